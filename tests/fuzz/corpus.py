"""Packs what the fuzzer left behind into the files that the tests replay, and unpacks them again.

    python tests/fuzz/corpus.py pack TARGET FOLDER     after `cargo fuzz cmin TARGET FOLDER`
    python tests/fuzz/corpus.py unpack TARGET FOLDER   to go on where the last run ended

One file a target in `tests/splitting/corpus`: each case behind its length as two little-endian bytes,
the shortest cases first, at most 80 KB.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

KEPT = Path(__file__).resolve().parents[1] / "splitting" / "corpus"
LIMIT = 80_000


def pack(target: str, folder: Path) -> None:
    cases = sorted({path.read_bytes() for path in folder.iterdir() if path.is_file()})
    packed = bytearray()
    kept = 0
    for case in sorted(cases, key=len):
        if len(case) > 0xFFFF or len(packed) + len(case) + 2 > LIMIT:
            continue
        packed += len(case).to_bytes(2, "little") + case
        kept += 1
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{target}.bin").write_bytes(packed)
    print(f"{target}: kept {kept} of {len(cases)} cases, {len(packed):,} bytes")


def unpack(target: str, folder: Path) -> None:
    packed = (KEPT / f"{target}.bin").read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    at = 0
    while at < len(packed):
        end = at + 2 + int.from_bytes(packed[at : at + 2], "little")
        case = packed[at + 2 : end]
        (folder / hashlib.sha1(case, usedforsecurity=False).hexdigest()).write_bytes(case)
        at = end


if __name__ == "__main__":
    {"pack": pack, "unpack": unpack}[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
