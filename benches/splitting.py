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
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contest import EXACT, FLOORS, NAMES, OURS, PEER, Bench, Cell, Settings, figure, ratio, spread
from corpora import gather

RECURSIVE_RIVALS = ("langchain", "semantic-text-splitter", "chonkie", "chunkr-rs", "semchunk")
DISTRIBUTIONS = {
    "langchain": "langchain-text-splitters", "semantic-text-splitter": "semantic-text-splitter",
    "chonkie": "chonkie", "chunkr-rs": "chunkr-rs", "semchunk": "semchunk", "tiktoken": "tiktoken",
    "gigatoken": "gigatoken", "rs-bpe": "rs-bpe",
}  # fmt: skip

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
    alone = (OURS, "split_text")
    for title, documents, base, most in (
        ("1000 x 10 KB", [[1000, 10_000]], (PEER, "split_texts"), None),
        (f"1 x {NAMES[large]}", [[1, large]], alone, None),
        (f"1000 x 10 KB and 1 x {large // 2_000_000} MB", mixed, alone, None),
        ("50 x 1 MB, 2 threads", [[50, 1_000_000]], alone, 2),
    ):
        for splitter, sizes in SPLITTERS.items():
            calls = {
                f"{name}.{method}": (name, method)
                for name, method in (base, (OURS, "split_texts"), (OURS, "split_texts_parallel"))
                # Only the last of them can be told a number of threads.
                if most is None or method != "split_texts"
            }

            def ask(
                call: str,
                calls: dict[str, tuple[str, str]] = calls,
                given: dict[str, Any] = {  # noqa: B006 - read only
                    "splitter": splitter,
                    "sizes": sizes,
                    "path": path,
                    "documents": documents,
                    "max_workers": most,
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
