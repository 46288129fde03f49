"""The contest of splitters: processes that live through a run, rounds that take turns, tables.

A :class:`Bench` asks contestants (`workloads/contestants.py`) or runs other workloads in processes of
their own, and prints what they say as rows of Markdown. What is asked stands in `splitting.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import statistics
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORKLOADS = Path(__file__).parent / "workloads"
OURS, EXACT, PEER = "ours", "ours, exact", "0.6.8"
FLOORS = ("slices alone", "UTF-8, slices", "slices, objects")
NAMES = {
    1_000: "1 KB",
    10_000: "10 KB",
    1_000_000: "1 MB",
    10_000_000: "10 MB",
    50_000_000: "50 MB",
}
# Longer than this for one document is not waited for.
PATIENCE = 10.0


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
