"""Peak memory above the source text while splitting it, in a process of its own.

Kept: with the list of chunks alive. Peak: the most while splitting. Read: the most after the content
of every chunk has been read one by one.
"""

from pathlib import Path

import graphbit
from measure import parameters, report

given = parameters(splitter="RecursiveSplitter", sizes=[1000, 100], path="", exact={})


def resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(field)


splitter = getattr(graphbit, given.splitter)(*given.sizes, **given.exact)
splitter.split_text("A warm word. " * 100)
text = Path(given.path).read_bytes().decode()
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from here
chunks = splitter.split_text(text)
kept, peak = resident("VmRSS") - before, resident("VmHWM") - before
characters = sum(len(chunk.content) for chunk in chunks)
report(
    kept=kept / 1e6,
    peak=peak / 1e6,
    read=(resident("VmHWM") - before) / 1e6,
    chunks=len(chunks),
    characters=characters,
)
