# ruff: noqa: RUF001 - full-width punctuation is what is tested
"""The splitters beside GraphBit 0.6.8, on random texts.

Needs an interpreter with graphbit 0.6.8 installed, named by ``GRAPHBIT_PEER_PYTHON``;
``GRAPHBIT_PEER_CASES`` is the number of texts for each splitter. What the project claims is shown by

    GRAPHBIT_PEER_CASES=100000 pytest tests/python/test_split_peer.py -s
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import graphbit
import pytest

PEER = os.environ.get("GRAPHBIT_PEER_PYTHON")
CASES = int(os.environ.get("GRAPHBIT_PEER_CASES", "2000"))
CHILD = Path(__file__).parent / "children" / "split.py"

pytestmark = [
    pytest.mark.skipif(not PEER, reason="GRAPHBIT_PEER_PYTHON names no interpreter with 0.6.8"),
    pytest.mark.timeout(3600),
]

# Cases that one interpreter of the peer is given, and how many of those run at a time: memory stays
# bounded however many cases are asked for.
BLOCK = 5000
PEERS = 2

PIECES = [
    *(
        "a",
        "word",
        "some longer words here",
        "x1_y",
        "3.14",
        "Dr. Smith",
        "naïve",
        "Ünï",
        "e\u0301",
    ),
    *(
        " ",
        "  ",
        "\n",
        "\n\n",
        "\n\n\n",
        "\r\n",
        "\t",
        "\u00a0",
        "\u3000",
        "\u2028",
        "\x1c",
        "\u200b",
    ),
    *(". ", ".", "! ", "!", "? ", "?!", "...", "; ", ": ", " - ", ", ", "-", "|", "(", "'"),
    *("世界", "你好，朋友。", "明天呢？", "！", "🚀", "👩\u200d👩\u200d👧", "🇩🇪", "\0", "Ω", "ß"),
]
PATTERNS = [None, None, None, r"\w+", "l*", r"\S+\s", "[^a]", "", r"\s", r"世|\n+|."]
ENDINGS = [None, None, None, [], [r"\|", "-"], [r"[.]\s"], ["", "a"], ["\n\n"], ["。", "！"]]
SEPARATORS = [
    *(None, None, None, ["\n\n", " "], [" ", "", "\n"], ["\n\n", "\n", "-", "|", ""]),
    *(["世", "  "], ["aa", "a", ""], [". ", ".", "!"], ["\n\n", "\n\n"], [""]),
]
Chunk = list[Any]


def text_of(chance: random.Random) -> str:
    # Half of the texts from a few kinds of pieces, so that runs and repetitions are common.
    pieces = chance.sample(PIECES, chance.randint(1, 6)) if chance.random() < 0.5 else PIECES
    return "".join(chance.choices(pieces, k=chance.randint(0, 60)))


def cases_of(name: str, block: int, count: int) -> list[list[Any]]:
    chance = random.Random(f"{name} {block}")
    cases = []
    for _ in range(count):
        size = chance.choice((chance.randint(1, 12), chance.randint(1, 100)))
        beyond = size + 3 if name in ("SentenceSplitter", "RecursiveSplitter") else size - 1
        overlap = chance.choice((0, chance.randint(0, beyond)))
        extra = {
            "CharacterSplitter": [],
            "TokenSplitter": [chance.choice(PATTERNS)],
            "SentenceSplitter": [chance.choice(ENDINGS)],
            "RecursiveSplitter": [chance.choice(SEPARATORS)],
        }[name]
        cases.append([name, [size, overlap, *extra], text_of(chance)])
    return cases


def answers_of_the_peer(cases: list[list[Any]]) -> list[list[Chunk] | None]:
    assert PEER is not None
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    # -I: a PYTHONPATH that leads to our own package must not reach the peer.
    command = [PEER, "-I", CHILD]
    # A backtrace costs each of 0.6.8's aborts fifty milliseconds, and nobody reads it.
    environment = os.environ | {"RUST_BACKTRACE": "0"}
    run = subprocess.run(
        command, input=lines, capture_output=True, text=True, check=True, env=environment
    )
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(answers) == len(cases)
    return answers


def answered(name: str) -> Iterator[tuple[list[Any], list[Chunk] | None]]:
    """Every case with the peer's answer; the next blocks are under way meanwhile."""
    under_way: deque[tuple[list[list[Any]], Future[list[list[Chunk] | None]]]] = deque()
    with ThreadPoolExecutor(PEERS) as pool:
        for number, start in enumerate(range(0, CASES, BLOCK)):
            block = cases_of(name, number, min(BLOCK, CASES - start))
            under_way.append((block, pool.submit(answers_of_the_peer, block)))
            while len(under_way) > PEERS or (under_way and start + BLOCK >= CASES):
                block, answers = under_way.popleft()
                yield from zip(block, answers.result(), strict=True)


def repeats_itself(text: str, size: int, overlap: int) -> bool:
    """Whether 0.6.8 falls into the one-letter steps that we leave out."""
    start = 0
    while start < len(text):
        end = min(start + size, len(text))
        if end == len(text):
            return False
        blanks = [at for at in range(start, end) if is_blank(text[at])]
        end = blanks[-1] + 1 if blanks else end
        if overlap and end - overlap <= start:
            return True
        start = end - overlap
    return False


def is_blank(character: str) -> bool:
    return character.isspace() and character not in "\x1c\x1d\x1e\x1f"


def check_spans(text: str, chunks: list[Any], joined_allowed: bool) -> None:
    encoded = text.encode()
    for chunk in chunks:
        assert 0 <= chunk.start_char < chunk.end_char <= len(text)
        piece = text[chunk.start_char : chunk.end_char]
        assert piece.encode() == encoded[chunk.start_byte : chunk.end_byte]
        assert piece == chunk.content or joined_allowed
        assert not all(map(is_blank, chunk.content))


def differs(case: list[Any], theirs: list[Chunk] | None) -> str:
    """How a case compares: "equal", "aborted", "repeating" or what is different."""
    name, arguments, text = case
    chunks = getattr(graphbit, name)(*arguments).split_text(text)
    size, overlap = arguments[:2]
    joined = name != "CharacterSplitter" and bool(overlap or name != "RecursiveSplitter")
    check_spans(text, chunks, joined)
    ours = [[c.content, c.start_index, c.end_index, c.chunk_index, c.metadata] for c in chunks]
    if theirs is None:
        return "aborted" if name == "RecursiveSplitter" else "0.6.8 aborted where it never did"
    if name == "CharacterSplitter":
        if repeats_itself(text, size, overlap):
            return "repeating"
        for chunk in theirs:
            chunk[2] = chunk[1] + len(chunk[0].encode())
    repeats = False
    if name == "SentenceSplitter":
        kept: list[Chunk] = []
        for chunk in theirs:
            # A chunk that ends where the last one ended repeats its tail; we leave it out.
            if not kept or chunk[2] > kept[-1][2]:
                chunk[3] = len(kept)
                kept.append(chunk)
        repeats, theirs = len(kept) < len(theirs), kept
    if ours != theirs:
        return f"{ours} is not {theirs}"
    return "equal, less its repetitions" if repeats else "equal"


@pytest.mark.parametrize(
    "name", ["CharacterSplitter", "TokenSplitter", "SentenceSplitter", "RecursiveSplitter"]
)
def test_same_chunks_as_graphbit(name: str, record_property: Any) -> None:
    found: Counter[str] = Counter()
    different: list[str] = []
    for case, theirs in answered(name):
        how = differs(case, theirs)
        if how in ("equal", "equal, less its repetitions", "aborted", "repeating"):
            found[how] += 1
        else:
            different.append(f"{case}: {how}")
    equal = found["equal"] + found["equal, less its repetitions"]
    summary = (
        f"{name}: {CASES} texts, {len(different)} different, {equal} equal"
        f" ({found['equal, less its repetitions']} less the repetitions of 0.6.8),"
        f" {found['aborted']} aborts of 0.6.8, {found['repeating']} in which it repeats itself"
    )
    record_property("summary", summary)
    print(summary)
    assert not different, "\n".join(different[:3])
    assert equal > CASES // 3
