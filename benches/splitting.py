"""Text splitting and token counting beside their rivals, on the same texts, in one run.

    python benches/splitting.py [--only recursive,count] [--corpora 'English;code'] [--quick] [--rounds 5] [--json results.json]

Megabytes of UTF-8 a second, the content of every chunk read and every chunk freed inside the clock;
medians of interleaved rounds, the least and the greatest in brackets. A ratio is ours over the
rival's, of the rounds' own pairs. Chunks and characters stand beside the speed: whoever makes other
chunks does other work. Every contestant is a process of its own that lives through the run, bound to
as many cores as its threads.

The interpreter that runs this measures the `graphbit` it has installed; ``GRAPHBIT_PEER_PYTHON``
names one with graphbit 0.6.8, ``GRAPHBIT_RIVALS_PYTHON`` one with the other packages (`make
bench-split` sets all three). What is missing is left out and named.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpora import gather

WORKLOADS = Path(__file__).parent / "workloads"
OURS, EXACT, PEER = "ours", "ours, exact", "0.6.8"
FLOORS = ("slices alone", "UTF-8, slices", "slices, objects")
RECURSIVE_RIVALS = ("langchain", "semantic-text-splitter", "chonkie", "chunkr-rs", "semchunk")
DISTRIBUTIONS = {
    "langchain": "langchain-text-splitters", "semantic-text-splitter": "semantic-text-splitter",
    "chonkie": "chonkie", "chunkr-rs": "chunkr-rs", "semchunk": "semchunk", "tiktoken": "tiktoken",
    "gigatoken": "gigatoken", "rs-bpe": "rs-bpe",
}  # fmt: skip
NAMES = {
    1_000: "1 KB",
    10_000: "10 KB",
    1_000_000: "1 MB",
    10_000_000: "10 MB",
    50_000_000: "50 MB",
}
# Longer than this for one document is not waited for.
PATIENCE = 10.0

# What each contestant is asked to do, where it cannot be read from its name.
NOTES = """\
Recursion: 1000 characters, 100 overlap, trimmed. `ours` and 0.6.8 count bytes and add the overlap on
both sides (0.6.8's meaning of the parameters); `ours, exact`, langchain, semantic-text-splitter,
chunkr-rs and semchunk count characters. chonkie has no overlap in its RecursiveChunker. semchunk and
semantic-text-splitter look for Unicode boundaries rather than for a list of separators; langchain is
asked for strings alone, its offsets (`add_start_index`) cost extra. "Without overlap" is 0.6.8's own
splitter with a list of separators that cannot cut inside a character, so that it survives texts
beyond ASCII. `slices` is CPython's part: our own spans cut out of the `str` in a list comprehension,
`UTF-8, slices` the same after encoding the `str`, as every splitter outside CPython reads UTF-8.
"""


class Contestant:
    """A process of `workloads/contestants.py`, started when first asked, and again after a crash."""

    def __init__(self, name: str, python: str, cores: int, environment: dict[str, str]) -> None:
        self._command = [python, str(WORKLOADS / "contestants.py"), name, str(cores)]
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None

    def ask(self, timeout: float, **request: Any) -> dict[str, Any]:
        """The answer to one request; a crash or silence is an answer too."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command, env=self._environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        line = ""
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], timeout)
            if not ready:
                self.end()
                return {"failed": f"stopped after {timeout:.0f} s"}
            line = process.stdout.readline()
        except BrokenPipeError:
            pass  # it ended before the request came
        if line:
            return json.loads(line)
        self._process = None
        status = process.wait()
        return {"failed": f"ended by signal {-status}" if status < 0 else f"exit status {status}"}

    def end(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@dataclass
class Cell:
    """What the rounds of one contestant on one kind of document gave."""

    speeds: list[float] = field(default_factory=list)
    chunks: int = 0
    characters: int = 0
    cores: float = 0.0
    failed: str = ""

    def add(self, answer: dict[str, Any]) -> None:
        """Takes one round's answer."""
        if "failed" in answer:
            self.failed = answer["failed"]
            return
        self.speeds.append(answer["mb_per_second"])
        self.chunks, self.characters = answer["chunks"], answer["characters"]
        self.cores = max(self.cores, answer["cores"])

    @property
    def median(self) -> float:
        """The median speed; 0 when there is none."""
        return 0.0 if self.failed or not self.speeds else statistics.median(self.speeds)


@dataclass(frozen=True)
class Settings:
    """How much to do."""

    rounds: int
    sizes: tuple[int, ...]
    largest: int
    seconds: float


class Bench:
    """Asks the contestants and prints what they say."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.results: list[dict[str, Any]] = []
        self.highlights: list[tuple[str, ...]] = []
        self._processes: dict[tuple[str, int], Contestant] = {}
        plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        plain |= vocabularies(folder) | {"RUST_BACKTRACE": "0"}
        self._environments = {"ours": os.environ | vocabularies(folder), "rival": plain}
        self._pythons = {PEER: os.environ.get("GRAPHBIT_PEER_PYTHON")}
        self.paths: dict[str, Path] = {}

    def python(self, name: str) -> str | None:
        """The interpreter that has a contestant's package."""
        if name in (OURS, EXACT, *FLOORS):
            return sys.executable
        return self._pythons.get(name, os.environ.get("GRAPHBIT_RIVALS_PYTHON"))

    def environment(self, name: str) -> dict[str, str]:
        """Our own PYTHONPATH must not put our package in front of a rival's."""
        return self._environments["ours" if self.python(name) == sys.executable else "rival"]

    def contestant(self, name: str, threads: int) -> Contestant | None:
        """The process of a contestant for that many threads, if its package is here."""
        python = self.python(name)
        if python is None:
            return None
        key = (name, threads)
        if key not in self._processes:
            self._processes[key] = Contestant(name, python, threads, self.environment(name))
        return self._processes[key]

    def child(self, program: str, name: str, **given: Any) -> dict[str, Any]:
        """One run of another workload in a fresh process."""
        command = [str(self.python(name)), str(WORKLOADS / f"{program}.py"), json.dumps(given)]
        try:
            done = subprocess.run(
                command, env=self.environment(name), capture_output=True, text=True,
                timeout=120, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return {"failed": "stopped after 120 s"}
        if done.returncode < 0:
            return {"failed": f"ended by signal {-done.returncode}"}
        if done.returncode or not done.stdout.strip():
            return {"failed": (done.stderr.strip().splitlines() or ["no output"])[-1][:160]}
        return json.loads(done.stdout.strip().splitlines()[-1])

    def close(self) -> None:
        """Ends all processes."""
        for process in self._processes.values():
            process.end()

    def compare(
        self,
        task: str,
        corpus: str,
        size: int,
        names: Iterable[str],
        *,
        threads: int = 1,
        known: dict[str, Cell],
        **request: Any,
    ) -> dict[str, Cell]:
        """Interleaved rounds of all contestants; ``known`` are their speeds on smaller documents."""
        asked = {"task": task, "path": str(self.paths[corpus]), "size": size, "threads": threads}
        asked |= {"seconds": self.settings.seconds} | request
        cells: dict[str, Cell] = {}
        for turn in range(self.settings.rounds + 1):
            for name in names if turn % 2 else [*names][::-1]:
                process = self.contestant(name, threads)
                if process is None:
                    continue
                cell = cells.setdefault(name, Cell())
                before = known.get(name)
                if before is not None and before.failed:
                    cell.failed = before.failed
                elif before is not None and size * threads / before.median / 1e6 > PATIENCE:
                    cell.failed = f"left out: more than {PATIENCE:.0f} s at its own speed"
                if cell.failed or (turn == 0 and size > 10_000_000):
                    continue  # the largest documents need no warming
                answer = process.ask(4 * PATIENCE, **asked)
                if turn or "failed" in answer:
                    cell.add(answer)
        return {name: cells[name] for name in names if name in cells}

    def show(self, task: str, corpus: str, size: int, threads: int, cells: dict[str, Cell]) -> None:
        """The rows of one comparison."""
        ours, exact = cells.get(OURS), cells.get(EXACT)
        for name, cell in cells.items():
            speed = spread(cell.speeds) if cell.median else cell.failed
            if cell.cores > threads * 1.15:
                speed += f", {cell.cores:.1f} cores"
            counts = f"{cell.chunks:,} | {cell.characters:,}" if cell.median else " | "
            ratios = [
                ratio(mine, cell) if mine and mine is not cell and name not in (OURS, EXACT) else ""
                for mine in (ours, exact)
            ]
            print(
                f"| {NAMES[size]} | {threads} | {name} | {speed} | {' | '.join(ratios)} | {counts} |",
                flush=True,
            )
            self.results.append({
                "task": task, "corpus": corpus, "size": size, "threads": threads, "name": name,
                "speeds": cell.speeds, "chunks": cell.chunks, "characters": cell.characters,
                "failed": cell.failed,
            })  # fmt: skip

    def speeds(
        self,
        title: str,
        task: str,
        names: tuple[str, ...],
        *,
        two_threads: tuple[int, ...] = (1_000_000,),
        corpora: tuple[str, ...] = (),
        sizes: tuple[int, ...] = (),
        unit: str = "chunks",
        **request: Any,
    ) -> None:
        """A table for each corpus: every size, one and two threads."""
        print(f"\n## {title}", flush=True)
        for corpus in corpora or self.paths:
            print(f"\n### {title}: {corpus}\n")
            print(
                f"| document | threads | contestant | MB/s | ours/its | exact/its | {unit} | characters |"
            )
            print("|---|---|---|---|---|---|---|---|")
            known: dict[str, Cell] = {}
            for size in sizes or self.settings.sizes:
                known = self.compare(task, corpus, size, names, known=known, **request)
                self.show(task, corpus, size, 1, known)
                if size == 1_000_000:
                    self.highlight(title, corpus, known)
                if size in two_threads:
                    rivals = [name for name in names if name not in FLOORS]
                    both = self.compare(
                        task, corpus, size, rivals, threads=2, known=known, **request
                    )
                    self.show(task, corpus, size, 2, both)

    def highlight(self, title: str, corpus: str, cells: dict[str, Cell]) -> None:
        """Keeps a line of the summary: 1 MB, one thread."""
        others = {n: c for n, c in cells.items() if n not in (OURS, EXACT, PEER, *FLOORS)}
        best = max(others, key=lambda name: others[name].median, default="")
        mine = [cells.get(OURS), cells.get(EXACT)]
        peer = cells.get(PEER)
        self.highlights.append((
            title, corpus,
            *(f"{cell.median:,.0f}" if cell and cell.median else "-" for cell in mine),
            f"{peer.median:,.0f}" if peer and peer.median else (peer.failed if peer else "-"),
            *(ratio(cell, peer) if cell and peer else "" for cell in mine),
            f"{best} {others[best].median:,.0f}" if best else "-",
            *(ratio(cell, others[best]) if cell and best else "" for cell in mine),
        ))  # fmt: skip

    def summary(self) -> None:
        """Ours beside the best rival, 1 MB, one thread."""
        if not self.highlights:
            return
        print("\n## Summary: 1 MB documents, one thread, MB/s\n")
        print(
            "| task | text | ours | exact | 0.6.8 | ours/0.6.8 | exact/0.6.8 "
            "| best rival | ours/best | exact/best |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|")
        for line in self.highlights:
            print(f"| {' | '.join(line)} |")


def figure(value: float) -> str:
    """Three digits that matter."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: list[float]) -> str:
    """Median, least and greatest."""
    middle = figure(statistics.median(values))
    return f"{middle} ({figure(min(values))}-{figure(max(values))})"


def ratio(ours: Cell, theirs: Cell) -> str:
    """Median and spread of the rounds' own ratios."""
    if not (ours.median and theirs.median):
        return ""
    return spread([a / b for a, b in zip(ours.speeds, theirs.speeds, strict=False)])


def vocabularies(folder: Path) -> dict[str, str]:
    """OpenAI's vocabulary files for tiktoken and gigatoken, out of the crate tiktoken-rs.

    tiktoken would fetch them from the network; in a cache folder it looks for them by the SHA-1 of
    their address.
    """
    cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    found = sorted(cargo.glob("registry/src/*/tiktoken-rs-*/assets/cl100k_base.tiktoken"))
    if not found:
        return {}
    cache = folder / "tiktoken"
    cache.mkdir(exist_ok=True)
    for path in found[-1].parent.glob("*.tiktoken"):
        address = f"https://openaipublic.blob.core.windows.net/encodings/{path.name}"
        cached = cache / hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()
        if not cached.exists():
            cached.symlink_to(path)
    return {"TIKTOKEN_CACHE_DIR": str(cache), "GRAPHBIT_VOCABULARIES": str(found[-1].parent)}


SPLITTERS = {
    "CharacterSplitter": [1000, 100],
    "TokenSplitter": [200, 20],
    "SentenceSplitter": [1000, 1],
    "RecursiveSplitter": [1000, 100],
}
EXACT_SIZES = SPLITTERS | {"SentenceSplitter": [1000, 100]}


def recursive(bench: Bench) -> None:
    names = (OURS, EXACT, PEER, *RECURSIVE_RIVALS, *FLOORS)
    bench.speeds("Recursive 1000/100", "recursive", names)
    beyond_ascii = tuple(name for name in ("accents", "CJK, emoji") if name in bench.paths)
    if beyond_ascii:
        title, sizes = "Recursive 1000/0 without overlap", (1_000_000,)
        task = "recursive without overlap"
        bench.speeds(title, task, (OURS, PEER, *FLOORS), corpora=beyond_ascii, sizes=sizes)


def own(bench: Bench) -> None:
    for task, title in (
        ("character", "Character 1000/100"),
        ("token", "Token 200/20, default pattern"),
        ("sentence", "Sentence 1000 (overlap: 1 sentence, exact: 100 characters)"),
    ):
        bench.speeds(title, task, (OURS, EXACT, PEER, *FLOORS))


def bpe(bench: Bench) -> None:
    names = (OURS, "langchain", "semantic-text-splitter", "chonkie", "chunkr-rs", "semchunk")
    bench.speeds("Token 200/20, cl100k_base", "bpe", names, encoding="cl100k_base")


def count(bench: Bench) -> None:
    names = (OURS, "tiktoken", "gigatoken", "rs-bpe", "chunkr-rs")
    for encoding in ("cl100k_base", "o200k_base"):
        title = f"Counting tokens, {encoding}"
        start = len(bench.results)
        bench.speeds(title, "count", names, encoding=encoding, unit="tokens")
        judge(bench.results[start:], encoding)


def judge(rows: list[dict[str, Any]], encoding: str) -> None:
    """Says who counts what tiktoken counts."""
    rows = [row for row in rows if row["speeds"] and row["threads"] == 1]
    right = {(r["corpus"], r["size"]): r["chunks"] for r in rows if r["name"] == "tiktoken"}
    for name in dict.fromkeys(row["name"] for row in rows):
        own = {(r["corpus"], r["size"]): r["chunks"] for r in rows if r["name"] == name}
        both = own.keys() & right.keys()
        wrong = [
            f"{corpus}, {NAMES[size]}: {own[corpus, size] - right[corpus, size]:+,} tokens"
            for corpus, size in sorted(both)
            if own[corpus, size] != right[corpus, size]
        ]
        verdict = f"NOT exact: {'; '.join(wrong)}" if wrong else "as many tokens as tiktoken"
        if name != "tiktoken" and both:
            print(f"\n{encoding}, {name}: {verdict} ({len(both)} comparisons)")


def rounds_of(
    bench: Bench, ask: Callable[[str], dict[str, Any]], names: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """Interleaved rounds of fresh processes; a failure stands alone."""
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for turn in range(bench.settings.rounds):
        for name in names if turn % 2 else names[::-1]:
            if not (answers[name] and "failed" in answers[name][0]):
                answers[name].append(ask(name))
    return answers


def batch(bench: Bench) -> None:
    print("\n## Batches\n\nMB/s until the lists are there, then until every content is read.\n")
    print("| documents | call | called | read | ratio called | ratio read | chunks | characters |")
    print("|---|---|---|---|---|---|---|---|")
    path = str(bench.paths["English"])
    large = bench.settings.largest
    mixed = [[500, 10_000], [1, large // 2], [500, 10_000]]
    for title, documents, base in (
        ("1000 x 10 KB", [[1000, 10_000]], (PEER, "split_texts")),
        (f"1 x {NAMES[large]}", [[1, large]], (OURS, "split_text")),
        (f"1000 x 10 KB and 1 x {large // 2_000_000} MB", mixed, (OURS, "split_text")),
    ):
        for splitter, sizes in SPLITTERS.items():
            calls = {
                f"{name}.{method}": (name, method)
                for name, method in (base, (OURS, "split_texts"), (OURS, "split_texts_parallel"))
            }

            def ask(
                call: str,
                calls: dict[str, tuple[str, str]] = calls,
                given: dict[str, Any] = {  # noqa: B006 - read only
                    "splitter": splitter,
                    "sizes": sizes,
                    "path": path,
                    "documents": documents,
                },
            ) -> dict[str, Any]:
                name, method = calls[call]
                return bench.child("split_batch", name, method=method, **given)

            answers = rounds_of(bench, ask, list(calls))
            first = next(iter(calls))
            for call, each in answers.items():
                if "failed" in each[0]:
                    print(f"| {title} | {splitter}: {call} | {each[0]['failed']} | | | | | |")
                    continue
                speeds = {
                    key: Cell([one["megabytes"] / one[key] for one in each])
                    for key in ("seconds", "seconds_read")
                }
                base_cells = {
                    key: Cell([one["megabytes"] / one[key] for one in answers[first] if key in one])
                    for key in speeds
                }
                compared = [
                    ratio(speeds[key], base_cells[key]) if call != first else "" for key in speeds
                ]
                shown = " | ".join([*(spread(cell.speeds) for cell in speeds.values()), *compared])
                print(
                    f"| {title} | {splitter}: {call} | {shown} "
                    f"| {each[0]['chunks']:,} | {each[0]['characters']:,} |",
                    flush=True,
                )


def memory(bench: Bench) -> None:
    print("\n## Memory above the source, 10 MB of English, fresh process, MB\n")
    print(
        "| splitter | contestant | kept | peak | peak/0.6.8's | peak with contents read | chunks |"
    )
    print("|---|---|---|---|---|---|---|")
    path = bench.folder / "ten"
    path.write_bytes(bench.paths["English"].read_bytes()[:10_000_000])
    for splitter, sizes in SPLITTERS.items():

        def ask(name: str, splitter: str = splitter, sizes: list[int] = sizes) -> dict[str, Any]:
            given = EXACT_SIZES[splitter] if name == EXACT else sizes
            exact = {"exact": True} if name == EXACT else {}
            return bench.child(
                "split_memory", name, splitter=splitter, sizes=given, exact=exact, path=str(path)
            )

        answers = {name: ask(name) for name in (OURS, EXACT, PEER) if bench.python(name)}
        for name, answer in answers.items():
            if "failed" in answer:
                print(f"| {splitter} | {name} | {answer['failed']} | | | | |")
                continue
            theirs = answers.get(PEER, {}).get("peak")
            part = f"{answer['peak'] / theirs:.2f}" if theirs and name != PEER else ""
            print(
                f"| {splitter} | {name} | {answer['kept']:.1f} | {answer['peak']:.1f} | {part} "
                f"| {answer['read']:.1f} | {answer['chunks']:,} |",
                flush=True,
            )


def growth(bench: Bench) -> None:
    print(
        "\n## Growth: English, one thread, seconds a megabyte beside those of 1 MB (1.00 is linear)\n\n"
        "As many bytes in documents of each size, none of them in a cache. The second figure is with\n"
        "the contents read: what a small document's splitting has brought into the cache, Python then\n"
        "reads from there. `slices alone` is CPython without us. Where a large string lies in memory\n"
        "moves these figures by a third; `cargo bench --bench splitting growth` measures the core on\n"
        "one buffer.\n"
    )
    sizes = [size for size in (1_000_000, 10_000_000, 50_000_000) if size <= bench.settings.largest]
    print("| splitter | contestant | " + " | ".join(f"{NAMES[size]}" for size in sizes) + " |")
    print("|---|---|" + "---|" * len(sizes))
    path = bench.folder / "growth"
    path.write_bytes(bench.paths["English"].read_bytes()[: bench.settings.largest])
    for splitter, given in SPLITTERS.items():
        for name in (OURS, EXACT):
            parameters = {
                "splitter": splitter,
                "sizes": EXACT_SIZES[splitter] if name == EXACT else given,
                "exact": {"exact": True} if name == EXACT else {},
                "path": str(path),
            }

            def ask(size: str, parameters: dict[str, Any] = parameters) -> dict[str, Any]:
                return bench.child("split_growth", OURS, size=int(size), **parameters)

            answers = rounds_of(bench, ask, [str(size) for size in sizes])
            shown = []
            for each in answers.values():
                base = answers[str(sizes[0])]
                ratios = [
                    [one[key] / other[key] for one, other in zip(each, base, strict=True)]
                    for key in ("called", "read")
                ]
                shown.append(", ".join(spread(found) for found in ratios))
            speeds = [
                figure(1 / statistics.median(one[key] for one in base))
                for key in ("called", "read")
            ]
            shown[0] = f"{' , '.join(speeds)} MB/s"
            print(f"| {splitter} | {name} | {' | '.join(shown)} |", flush=True)
    tables = [
        bench.compare(
            "recursive", "English", size, FLOORS[:1], known={}, together=bench.settings.largest
        )
        for size in sizes
    ]
    cells = [table[FLOORS[0]] for table in tables]
    shown = [ratio(cells[0], cell) for cell in cells]
    print(f"| RecursiveSplitter's spans | {FLOORS[0]} | {' | '.join(shown)} |", flush=True)


def stall(bench: Bench) -> None:
    size = NAMES[bench.settings.largest]
    print(f"\n## An asyncio loop while another thread splits {size}, ms late\n")
    print("| what the thread does | contestant | worst | 99 % below | ticks |")
    print("|---|---|---|---|---|")
    path = str(bench.paths["English"])
    rows: list[tuple[str, str, dict[str, Any]]] = [("nothing", OURS, {})]
    for splitter, sizes in SPLITTERS.items():
        rows += [
            (splitter, OURS, {"splitter": splitter, "sizes": sizes}),
            (splitter, EXACT, {
                "splitter": splitter, "sizes": EXACT_SIZES[splitter], "exact": {"exact": True},
            }),
            (splitter, PEER, {"splitter": splitter, "sizes": sizes}),
        ]  # fmt: skip
    rows += [
        (f"{given['splitter']}, split_texts_parallel", name, given)
        for name, given in ((OURS, {"splitter": "RecursiveSplitter", "batch": True}),)
    ]
    rows += [
        ("TextSplitter(recursive)", name, {"splitter": "TextSplitter.recursive"})
        for name in (OURS, PEER)
    ]
    for title, name, given in rows:
        if not bench.python(name):
            continue
        each = [
            bench.child("split_stall", name, path=path, **given)
            for _ in range(bench.settings.rounds)
        ]
        if "failed" in each[0]:
            print(f"| {title} | {name} | {each[0]['failed']} | | |")
            continue
        worst, late = ([one[key] for one in each] for key in ("worst_ms", "p99_ms"))
        print(
            f"| {title} | {name} | {spread(worst)} | {spread(late)} | {each[0]['ticks']:,} |",
            flush=True,
        )


GROUPS: dict[str, Callable[[Bench], None]] = {
    "recursive": recursive, "own": own, "bpe": bpe, "count": count,
    "batch": batch, "memory": memory, "growth": growth, "stall": stall,
}  # fmt: skip


def machine(bench: Bench) -> None:
    """What was measured, and on what."""
    script = (
        "import importlib.metadata as m, json, sys\n"
        "def v(n):\n try: return m.version(n)\n except m.PackageNotFoundError: return None\n"
        "print(json.dumps({n: v(n) for n in sys.argv[1:]}))"
    )

    def versions(name: str, *wanted: str) -> dict[str, str | None]:
        python = bench.python(name)
        if python is None:
            return dict.fromkeys(wanted)
        done = subprocess.run(
            [python, "-c", script, *wanted], env=bench.environment(name),
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    model = platform.processor() or platform.machine()
    if (about := Path("/proc/cpuinfo")).exists():
        lines = [line for line in about.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    code = "import graphbit; print(graphbit.__version__, graphbit.__file__)"
    ours = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rivals = versions("langchain", *DISTRIBUTIONS.values())
    peer = versions(PEER, "graphbit")["graphbit"]
    print("# Splitting and counting\n")
    print(f"- {model}, {cores} cores, {platform.system()} {platform.release()}")
    print(f"- Python {platform.python_version()}, graphbit {ours.stdout.strip()}")
    print(f"- graphbit {peer or '0.6.8: NOT INSTALLED'} as the peer")
    for name, version in rivals.items():
        print(f"- {name} {version or 'not installed: left out'}")
    settings = bench.settings
    print(
        f"- {settings.rounds} rounds after a warm-up round, {settings.seconds} s each or one call"
    )


def main() -> int:
    """Reads the command line, runs the groups, prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help=f"groups, comma separated: {', '.join(GROUPS)}")
    parser.add_argument("--corpora", help="kinds of text, separated by semicolons (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="a few minutes: fewer rounds and sizes"
    )
    parser.add_argument("--rounds", type=int, help="measured rounds (default 5; quick: 3)")
    parser.add_argument("--json", type=Path, help="also write every round's figures here")
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else [*GROUPS]
    if unknown := set(wanted) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    every = (1_000, 10_000, 1_000_000, 50_000_000)
    settings = (
        Settings(options.rounds or 3, (10_000, 1_000_000), 10_000_000, 0.05)
        if options.quick
        else Settings(options.rounds or 5, every, 50_000_000, 0.1)
    )
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="graphbit-bench-") as folder:
        bench = Bench(settings, Path(folder))
        machine(bench)
        print("\n| text | bytes a character | distinct | origin |\n|---|---|---|---|")
        only = options.corpora.split(";") if options.corpora else None
        for number, corpus in enumerate(gather(settings.largest, only and [*only, "English"])):
            path = bench.paths[corpus.name] = Path(folder, f"{number}.txt")
            path.write_bytes(corpus.data)
            width = len(corpus.data) / len(corpus.data.decode())
            print(
                f"| {corpus.name} | {width:.2f} | {corpus.distinct / 1e6:.1f} MB | {corpus.origin} |"
            )
        print(f"\n{NOTES}", flush=True)
        try:
            for group in wanted:
                GROUPS[group](bench)
                print(
                    f"\n({group}: {time.perf_counter() - begun:.0f} s since the start)", flush=True
                )
            bench.summary()
        finally:
            bench.close()
    if options.json:
        options.json.write_text(json.dumps(bench.results, indent=1) + "\n")
    print(f"\n{time.perf_counter() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
