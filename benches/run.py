"""Every speed claim of this project, measured beside its rivals in one run.

    python benches/run.py [--only complete,user] [--rounds 5] [--full] [--json results.json]

Each measurement is a child process of its own, against one simulator process on the same machine
(its CPU time is not counted, but it shares the cores). Rounds are interleaved: every package once,
then the next round, in alternating order; one round more is run first and thrown away. A line gives
the median and, in brackets, the least and the greatest of the rounds; a ratio is made of medians,
its brackets of the ratios of the rounds.

The interpreter that runs this script measures the `graphbit` it has installed. GraphBit 0.6.8 comes
from the interpreter named by ``GRAPHBIT_PEER_PYTHON``, else from a virtual environment made below
``.venv-bench/``; so do OpenAI's SDK and the wordllama package, whose rows are left out when pip
cannot install them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WORKLOADS = ROOT / "benches" / "workloads"
sys.path.insert(0, str(ROOT / "tests" / "python"))

import pipeline  # noqa: E402  (the path is set just above)
import postgres_store  # noqa: E402
import weather  # noqa: E402
from simulator import Simulator  # noqa: E402
from stores import FAISS, HNSWLIB, USEARCH  # noqa: E402
from stores import ROWS as STORES  # noqa: E402
from workflows import ROWS as WORKFLOWS  # noqa: E402

OURS, PEER, OPENAI, WORDLLAMA = "ours", "0.6.8", "openai", "wordllama"
BASETEN = "baseten"
# Our own package with less of something, where that is what a row compares.
PLAIN = "ours, plain"
# What an HTTP library alone costs, measured by `benches/floor`.
REQWEST, HYPER = "bare reqwest", "bare hyper"
REQUIREMENTS = {
    PEER: "graphbit==0.6.8",
    OPENAI: "openai==3.54.0 numpy",
    BASETEN: "baseten_performance_client==0.1.16 numpy",
    WORDLLAMA: "wordllama==0.4.0.post1",
    **pipeline.REQUIREMENTS,
    **postgres_store.REQUIREMENTS,
    FAISS: "faiss-cpu==1.15.1 numpy",
    USEARCH: "usearch==2.26.6 numpy",
    HNSWLIB: "hnswlib==0.8.0 numpy",
}
Values = dict[str, float]


@dataclass(frozen=True)
class Row:
    """One workload, the packages that run it, and what is made of its times."""

    group: str
    title: str
    workload: str
    given: dict[str, Any] = field(default_factory=dict)
    latency_ms: float = 0
    # Further behaviour of the server.
    settings: dict[str, Any] = field(default_factory=dict)
    # By package, what differs from `given`; the key "workload" names another program.
    packages: dict[str, dict[str, Any]] = field(default_factory=lambda: {OURS: {}, PEER: {}})
    # Which measures to print, in order; see `measures`.
    show: tuple[str, ...] = ("calls/s", "CPU us/call")
    target: str = ""


LESS_IS_BETTER = {
    "CPU us/call", "worst ms", "p99 ms", "KB/call", "seconds", "KB/run", "peak MB", "CPU ms/run",
    "requests/run", "connections/run", "tool calls/run", "requests/answer", "answered twice",
    "found 500/s", "found 250/s", "found 1000/s", "CPU us/prompt", "requests/call", "once spent",
    "recovery s", "stall s", "CPU s", "KB/document", "ms/query", "MB", "x plain", "plain us/call",
}  # fmt: skip
FLOORS = {REQWEST: {}, HYPER: {}}
THREAD_RIVAL = {
    OURS: {},
    PEER: {},
    OPENAI: {"workload": "openai_threads", "calls": 2000},
    **FLOORS,
}
ASYNC_RIVAL = {OURS: {}, PEER: {}, OPENAI: {"workload": "openai_async", "calls": 1000}}
SHARE = ("of ideal", "CPU us/call")
BACKFILL = {
    OURS: {"client": "graphbit"},
    PEER: {"client": "0.6.8"},
    BASETEN: {"client": "baseten"},
    OPENAI: {"client": "openai", "texts": 16_384},
}

ROWS = [
    # A second at least on a quick machine: in the first tenth of one both are still getting faster.
    Row(
        "complete",
        "complete(), 32 threads, no latency",
        "complete_threads",
        {"threads": 32, "calls": 60_000},
        packages=THREAD_RIVAL,
        target="calls/s >= 1.5x 0.6.8, CPU a call <= 0.6x",
    ),
    # Calls that have come back stand in line for an interpreter that is given up every 5 ms.
    Row(
        "complete",
        "complete(), 32 threads beside one that computes",
        "complete_threads",
        {"threads": 32, "calls": 3000, "busy": True},
        show=("calls/s",),
        target=">= 1x 0.6.8",
    ),
    Row(
        "complete",
        "complete() by ThreadPoolExecutor(32).map, no latency",
        "complete_pool",
        {"threads": 32, "calls": 60_000},
        target="calls/s >= 1.5x 0.6.8, CPU a call <= 0.6x",
    ),
    Row(
        "many",
        "complete_many, 64 at a time, no latency",
        "complete_many",
        {"calls": 40_000, "concurrency": 64},
        packages={OURS: {}, **FLOORS},
        target="calls/s >= 0.7x bare reqwest",
    ),
    *(
        Row(
            "flight",
            f"{method}, 10,000 calls x 100 ms, all in flight at once",
            "complete_many",
            {"method": method, "calls": 10_000, "concurrency": 10_000},
            100,
            packages={OURS: {}},
            show=("KB/call", *SHARE),
            target="<= 60 KB/call",
        )
        for method in ("complete_many", "complete_many_async")
    ),
    Row(
        "latency",
        "1000 calls x 50 ms, 100 threads, warm",
        "complete_threads",
        {"threads": 100, "calls": 1000},
        50,
        show=SHARE,
        target=">= 0.95",
    ),
    Row(
        "latency",
        "1000 calls x 50 ms, new pool of 100, cold",
        "complete_pool",
        {"threads": 100, "calls": 1000},
        50,
        show=SHARE,
    ),
    Row(
        "latency",
        "5000 calls x 100 ms, 1000 threads, warm",
        "complete_threads",
        {"threads": 1000, "calls": 5000},
        100,
        show=SHARE,
        target=">= 0.7",
    ),
    Row(
        "latency",
        "5000 calls x 100 ms, new pool of 1000, cold",
        "complete_pool",
        {"threads": 1000, "calls": 5000},
        100,
        show=SHARE,
    ),
    Row(
        "async",
        "5000 calls x 100 ms, complete_async, 1000 at a time",
        "complete_async",
        {"concurrency": 1000, "calls": 5000},
        100,
        packages=ASYNC_RIVAL,
        show=SHARE,
        target=">= 0.8",
    ),
    Row(
        "embed",
        "32 texts x 1536, embed_array against embed_many",
        "embed_batch",
        {"calls": 300, "texts": 32},
        # Ten times the calls, so that both are measured for about a second.
        packages={OURS: {"method": "embed_array", "calls": 3000}, PEER: {"method": "embed_many"}},
        target="calls/s >= 15x 0.6.8",
    ),
    Row(
        "embed",
        "32 texts x 1536, embed_many",
        "embed_batch",
        {"calls": 300, "texts": 32},
        target="calls/s >= 3x 0.6.8",
    ),
    Row(
        "backfill",
        "131,072 texts to 1024 numbers each, 128 a request, 32 at a time",
        "embed_backfill",
        {"texts": 131_072, "dimensions": 1024},
        packages=BACKFILL,
        show=("vectors/s",),
        target="vectors/s >= 2x baseten's",
    ),
    Row(
        "stall",
        "event loop beside 8 blocking threads, 3 s",
        "loop_stall",
        {"seconds": 3.0},
        5,
        show=("worst ms", "p99 ms"),
        target="worst <= 5 ms",
    ),
    Row(
        "stall",
        "event loop alone, 3 s",
        "loop_stall",
        {"seconds": 3.0, "busy": False},
        5,
        show=("worst ms", "p99 ms"),
    ),
    *(
        Row(
            "split",
            f"{name}, 1000 characters, 100 overlap, 1 thread",
            "split_text",
            {"splitter": name},
            show=("MB/s",),
        )
        for name in ("RecursiveSplitter", "CharacterSplitter", "SentenceSplitter", "TokenSplitter")
    ),
    Row(
        "split",
        "RecursiveSplitter, 200 characters, 20 overlap, 1 MB each, beside a thread that computes",
        "split_text",
        {"size": 200, "overlap": 20, "characters": 1_000_000, "megabytes": 20, "busy": True},
        show=("MB/s",),
        target=">= 1x 0.6.8",
    ),
    Row(
        "local",
        "local embeddings, wordllama weights",
        "local_embedding",
        packages={OURS: {}, WORDLLAMA: {"model": "wordllama package"}},
        show=("texts/s", "CPU us/text"),
    ),
    *(Row("workflows", **row) for row in WORKFLOWS),
    *(Row("weather", **row) for row in weather.ROWS),
    *(Row("store", **row) for row in STORES),
]


def measures(row: Row, package: str, raw: dict[str, Any]) -> Values:
    """Readable figures out of one child's times."""
    given = row.given | row.packages[package]
    if "figures" in raw:
        return raw["figures"]
    if "worst_ms" in raw:
        return {"worst ms": raw["worst_ms"], "p99 ms": raw["p99_ms"]}
    seconds, cpu = raw["seconds"], raw["cpu_seconds"]
    if "megabytes" in raw:
        return {"MB/s": raw["megabytes"] / seconds}
    if "vectors" in raw:
        return {"vectors/s": raw["vectors"] / seconds}
    if "texts" in raw:
        return {"texts/s": raw["texts"] / seconds, "CPU us/text": cpu / raw["texts"] * 1e6}
    calls = given["calls"]
    values = {"calls/s": calls / seconds, "CPU us/call": cpu / calls * 1e6}
    if "kilobytes" in raw:
        values["KB/call"] = raw["kilobytes"]
    at_once = given.get("threads") or given.get("concurrency")
    if row.latency_ms and at_once:
        values["of ideal"] = calls / at_once * row.latency_ms / 1000 / seconds
    return values


def floor_arguments(package: str, given: dict[str, Any]) -> list[str]:
    """The command line of `benches/floor` for a row's parameters."""
    at_once = given.get("threads") or given.get("concurrency") or 1
    library = package.removeprefix("bare ")
    return [library, given["url"], "--calls", str(given["calls"]), "--concurrency", str(at_once)]


class Packages:
    """The interpreters of the rivals, made when they are missing."""

    def __init__(self) -> None:
        floor = os.environ.get("GRAPHBIT_FLOOR")
        self._found: dict[str, str | None] = {
            OURS: sys.executable,
            PLAIN: sys.executable,
            REQWEST: floor,
            HYPER: floor,
        }
        if os.environ.get("GRAPHBIT_PEER_PYTHON"):
            self._found[PEER] = os.environ["GRAPHBIT_PEER_PYTHON"]

    def interpreter(self, package: str) -> str | None:
        """The interpreter of a package, or None when it cannot be had here."""
        if package not in self._found:
            self._found[package] = self._install(package)
        return self._found[package]

    def environment(self, package: str) -> dict[str, str]:
        """Our own PYTHONPATH must not put our package in front of a rival's."""
        return {
            k: v for k, v in os.environ.items() if package in (OURS, PLAIN) or k != "PYTHONPATH"
        }

    @staticmethod
    def _install(package: str) -> str | None:
        home = ROOT / ".venv-bench" / package
        python = home / "bin" / "python"
        wanted = REQUIREMENTS[package]
        if not python.exists():
            print(f"installing {wanted} in {home.relative_to(ROOT)}", file=sys.stderr)
            venv.create(home, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", *wanted.split()]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"left out: {wanted}: {done.stderr.strip()[-200:]}", file=sys.stderr)
            return None
        return str(python)


class Bench:
    """Runs children and keeps what they say."""

    def __init__(self, simulator: Simulator, packages: Packages, rounds: int) -> None:
        self.simulator = simulator
        self.packages = packages
        self.rounds = rounds
        self.results: list[dict[str, Any]] = []

    def child(
        self, package: str, program: str, *arguments: str, **variables: str
    ) -> dict[str, Any]:
        """One measurement in a process of its own; a failure is an answer too."""
        command = [str(self.packages.interpreter(package))]
        if package in FLOORS:
            command += floor_arguments(package, json.loads(arguments[0]))
        else:
            command += [str(WORKLOADS / f"{program}.py"), *arguments]
        environment = self.packages.environment(package) | variables
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=600, check=False
            )
        except subprocess.TimeoutExpired:
            return {"failed": "no end within 600 s"}
        if done.returncode or not done.stdout.strip():
            reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
            return {"failed": f"exit status {done.returncode}: {reason}"}
        return json.loads(done.stdout.strip().splitlines()[-1])

    def row(self, row: Row) -> None:
        """Measures one row in interleaved rounds and prints it."""
        scope = self.simulator.new_scope("bench")
        settings = dict(row.settings)
        if "dimensions" in row.given:
            settings["dimensions"] = row.given["dimensions"]
        self.simulator.behaviour(scope, latency_ms=row.latency_ms, **settings)
        names = [name for name in row.packages if self.packages.interpreter(name)]
        collected: dict[str, list[Values]] = {name: [] for name in names}
        outputs: dict[str, str] = {}
        failures: dict[str, str] = {}
        for turn in range(self.rounds + 1):
            for name in names if turn % 2 else names[::-1]:
                given = row.given | row.packages[name] | {"url": self.simulator.url(scope)}
                program = given.pop("workload", row.workload)
                raw = self.child(name, program, json.dumps(given))
                if "failed" in raw:
                    failures[name] = raw["failed"]
                elif turn:  # round 0 warms caches and clocks
                    collected[name].append(measures(row, name, raw))
                    outputs[name] = raw.get("output", "")
        self.simulator.forget(scope)
        self.show(row.group, row.title, row.show, collected, failures, outputs, row.target)

    def script(
        self, package: str, scope: str, documents: int, workers: int, program: str = "user_script"
    ) -> dict[str, Any]:
        """The unmodified script of a user, on so many threads."""
        return self.child(
            package, program,
            AZURE_ENDPOINT=self.simulator.url(scope), AZURE_API_KEY="benchmark-key",
            DOCUMENTS=str(documents), WORKERS=str(workers),
        )  # fmt: skip

    def user_script(self, *, full: bool) -> None:
        """The unmodified script: its own serial time over its time with 100 threads."""
        scope = self.simulator.new_scope("bench")
        self.simulator.behaviour(scope, latency_ms=50)
        documents, workers, sample = 200, 100, 200 if full else 10
        collected: dict[str, list[Values]] = {OURS: [], PEER: []}
        failures: dict[str, str] = {}

        serial = {name: self.script(name, scope, sample, 1) for name in collected}
        for turn in range(self.rounds + 1):
            for name in list(collected)[:: 1 if turn % 2 else -1]:
                raw = self.script(name, scope, documents, workers)
                if "failed" in raw or "failed" in serial[name]:
                    failures[name] = raw.get("failed") or serial[name]["failed"]
                elif turn:
                    whole = serial[name]["seconds"] * documents / sample
                    collected[name].append({
                        "x its serial time": whole / raw["seconds"],
                        "seconds": raw["seconds"],
                        "CPU us/call": raw["cpu_seconds"] / raw["calls"] * 1e6,
                    })  # fmt: skip
        self.simulator.forget(scope)
        how = "all documents" if full else f"{sample} documents, scaled"
        title = f"user's script, {documents} documents of 10 KB, {workers} threads, 50 ms"
        shown = ("x its serial time", "seconds", "CPU us/call")
        self.show("user", f"{title} (serial: {how})", shown, collected, failures, {},
                  ">= 90x its serial time")  # fmt: skip

    def show(
        self,
        group: str,
        title: str,
        shown: tuple[str, ...],
        collected: dict[str, list[Values]],
        failures: dict[str, str],
        outputs: dict[str, str],
        target: str,
    ) -> None:
        """Prints one block of the table and keeps it for --json."""
        print(f"\n{group}: {title}" + (f"   [target: {target}]" if target else ""), flush=True)
        ours = collected.get(OURS) or []
        for measure in shown:
            for name, rounds in collected.items():
                values = [values[measure] for values in rounds]
                if not values:
                    continue
                line = f"  {measure:<18} {name:<11} {spread(values)}"
                if name != OURS and ours:
                    line += "   ours/its " + ratio([v[measure] for v in ours], values)
                    line += " (less is better)" if measure in LESS_IS_BETTER else ""
                print(line, flush=True)
        for name, output in outputs.items():
            if output:
                print(f"  output             {name:<11} {output}")
        for name, reason in failures.items():
            print(f"  FAILED             {name:<11} {reason}", flush=True)
        self.results.append({
            "group": group, "title": title, "target": target, "rounds": collected,
            "outputs": outputs, "failures": failures,
        })  # fmt: skip


def figure(value: float) -> str:
    """Three or four digits that matter."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: list[float]) -> str:
    """Median, least and greatest."""
    middle = figure(statistics.median(values))
    return f"{middle:>9}  ({figure(min(values))} - {figure(max(values))})"


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Ratio of medians, and the spread of the rounds' own ratios; "-" where there is none."""
    if not all(theirs) or not all(map(math.isfinite, (*ours, *theirs))):
        return "-"
    middle = statistics.median(ours) / statistics.median(theirs)
    each = [mine / other for mine, other in zip(ours, theirs, strict=False)]
    return f"{figure(middle)}  ({figure(min(each))} - {figure(max(each))})"


def main() -> int:
    """Reads the command line, runs the rows, prints the table."""
    groups = list(dict.fromkeys(["user", "pipeline", "postgres", *(row.group for row in ROWS)]))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help=f"groups, comma separated: {', '.join(groups)}")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds (default 5)")
    parser.add_argument("--full", action="store_true", help="serial run of all 200 documents")
    parser.add_argument("--json", type=Path, help="also write every round's figures here")
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else groups
    if unknown := set(wanted) - set(groups):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")

    packages = Packages()
    if packages.interpreter(PEER) is None:
        print("GraphBit 0.6.8 is what all is measured against; it is needed", file=sys.stderr)
        return 1
    version = "import graphbit; print(graphbit.__version__, graphbit.__file__)"
    installed = subprocess.run(
        [sys.executable, "-c", version], capture_output=True, text=True, check=False
    )
    if installed.returncode:
        print(f"graphbit is not installed in {sys.executable}", file=sys.stderr)
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"graphbit {installed.stdout.strip()} against graphbit 0.6.8")
    print(
        f"{cores} cores shared with the simulator, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}; {options.rounds} rounds after a warm-up round\n"
        "median (least - greatest); warm: threads started and connections open before the clock;\n"
        "CPU is of the client process alone; 1536 numbers an embedding"
    )
    with Simulator(log=False) as simulator:
        bench = Bench(simulator, packages, options.rounds)
        for row in ROWS:
            if row.group in wanted:
                bench.row(row)
        if "weather" in wanted:
            for limits in weather.STORMS:
                weather.storm(bench, limits)
            weather.failover(bench)
        if "pipeline" in wanted:
            pipeline.same_work(bench)
            pipeline.growth(bench)
        if "postgres" in wanted:
            postgres_store.rows(bench)
        if "user" in wanted:
            bench.user_script(full=options.full)
            pipeline.memory(bench)
    if options.json:
        options.json.write_text(json.dumps(bench.results, indent=1) + "\n")
    return 1 if any(OURS in result["failures"] for result in bench.results) else 0


if __name__ == "__main__":
    sys.exit(main())
