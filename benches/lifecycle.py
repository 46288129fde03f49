"""What happens to the process: nesting, forks, Ctrl-C, exit. GraphBit 0.6.8 in the same table.

    python benches/lifecycle.py [--only nesting,workflows,fork,interrupt,exit] [--rounds 100] [--exits 200]

Runs the programs of ``tests/python/children`` in child processes on kill timers, this package in the
interpreter that runs the script, 0.6.8 in the one that ``GRAPHBIT_PEER_PYTHON`` names.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests" / "python"
sys.path.insert(0, str(TESTS))

from lifecycle_cases import FORKS, NESTING  # noqa: E402
from simulator import Simulator  # noqa: E402  (the path is set just above)
from workflow_cases import CALLERS, CALLS, CELLS, DOORS  # noqa: E402

WORKERS = (1, 2, 8)
# What 0.6.8 cannot express at all: a user's function as a model.
NOT_IN_PEER = {"callback_of_embedding", "inside_callback"}


class Runner:
    """Starts children of one package against one simulator."""

    def __init__(self, python: str, simulator: Simulator) -> None:
        self.python = python
        self.simulator = simulator
        self.hanging = simulator.new_scope("hanging")
        simulator.behaviour(self.hanging, hang=True)

    def run(self, program: str, *arguments: str, timeout: float) -> tuple[str, str]:
        """(outcome, standard output) of a child; the outcome is one word."""
        scope = self.simulator.new_scope(program)
        if program.startswith("workflow"):
            self.simulator.behaviour(scope, tool_rounds=1, dimensions=8)
        environment = os.environ | {
            "GRAPHBIT_SIMULATOR_URL": self.simulator.url(scope),
            "GRAPHBIT_HANGING_URL": self.simulator.url(self.hanging),
        }
        child = subprocess.Popen(
            [self.python, str(TESTS / "children" / f"{program}.py"), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        try:
            stdout, stderr = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            kill_session(child.pid)
            stdout, stderr = child.communicate()
            return "hang", stdout
        finally:
            kill_session(child.pid)
            self.simulator.forget(scope)
        if child.returncode < 0:
            return signal.Signals(-child.returncode).name, stdout
        if child.returncode > 0:
            last = stderr.strip().splitlines()[-1:] or [""]
            return f"status {child.returncode}: {last[0][:60]}", stdout
        return ("ok" if not stderr else "ok, but prints"), stdout


def kill_session(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def nesting(ours: Runner, peer: Runner | None, rounds: int) -> None:
    heads = [f"{workers} worker{'s'[: workers > 1]}" for workers in WORKERS]
    print(f"\nNesting: blocking calls that return the right value, of {rounds} a cell")
    print(f"| context | {' | '.join(heads)} | 0.6.8, one try |")
    print("|---|" + "---|" * (len(WORKERS) + 1))
    for context in NESTING:
        cells = []
        for workers in WORKERS:
            outcome, _ = ours.run("nesting", context, str(rounds), str(workers), timeout=180)
            cells.append(f"{rounds} of {rounds}" if outcome == "ok" else outcome)
        if peer is None:
            cells.append("not measured")
        elif context in NOT_IN_PEER:
            cells.append("not expressible")
        else:
            cells.append(peer.run("nesting", context, "1", "2", timeout=15)[0])
        print(f"| {context.replace('_', ' ')} | {' | '.join(cells)} |", flush=True)


def workflows(ours: Runner, peer: Runner | None, rounds: int) -> None:
    print(f"\nCalls inside tools and conditions: {len(CELLS)} cells, {rounds} tries of each")
    print("| started from | 1 worker | 2 workers | 8 workers |")
    print("|---|---|---|---|")
    for caller in CALLERS:
        cells = []
        for workers in WORKERS:
            arguments = (caller, str(workers), str(rounds))
            outcome, stdout = ours.run("workflow_nesting", *arguments, timeout=60 + 10 * rounds)
            right = sum(int(tries) for line in stdout.splitlines() for tries in line.split()[1:])
            tries = f"{right:,} of {len(CELLS) * rounds:,}"
            cells.append(tries if outcome == "ok" else f"{tries}, {outcome}")
        print(f"| {caller} | {' | '.join(cells)} |", flush=True)
    if peer is None:
        return
    print("\nThe same calls in 0.6.8, from a plain script, one try in a process of its own")
    print(f"| call | {' | '.join(f'{p}, {d}' for p in ('tool', 'condition') for d in DOORS)} |")
    print("|---|" + "---|" * (2 * len(DOORS)))

    def attempt(cell: str) -> str:
        outcome, _ = peer.run("workflow_nesting", "plain", "2", "1", cell, timeout=5)
        return "wrong" if outcome.startswith("status") else outcome

    # Most of the time is spent on children that hang.
    with ThreadPoolExecutor(4) as pool:
        for call in CALLS:
            cells = [f"{place}/{call}/{door}" for place in ("tool", "condition") for door in DOORS]
            outcomes = pool.map(attempt, cells)
            print(f"| {call.replace('_', ' ')} | {' | '.join(outcomes)} |", flush=True)


def fork(ours: Runner, peer: Runner | None) -> None:
    print("\nForks: parent and child both go on working")
    print("| case | graphbit | 0.6.8 |")
    print("|---|---|---|")
    for case in FORKS:
        mine = ours.run("fork", case, timeout=60)[0]
        theirs = "not measured" if peer is None else "not expressible"
        if peer is not None and case not in NOT_IN_PEER:
            theirs = peer.run("fork", case, timeout=15)[0]
        print(f"| {case.replace('_', ' ')} | {mine} | {theirs} |", flush=True)


def interrupt(ours: Runner, peer: Runner | None, rounds: int) -> None:
    print("\nCtrl-C in a blocking call on a server that never answers")
    outcome, stdout = ours.run("interrupt", str(rounds), timeout=60 + rounds)
    if outcome.startswith("ok"):
        delays = json.loads(stdout)["delays_ms"]
        in_time = sum(delay < 100 for delay in delays)
        time.sleep(1)
        log = ours.simulator.log(ours.hanging)[-rounds:]
        closed = sum(entry["disconnected"] for entry in log)
        print(
            f"graphbit: {in_time} of {rounds} within 100 ms (median {statistics.median(delays):.1f},"
            f" worst {max(delays):.1f} ms); {closed} of {len(log)} requests"
            f" that reached the server seen disconnected"
        )
    else:
        print(f"graphbit: {outcome}")
    if peer is not None:
        print(f"0.6.8: {peer.run('interrupt', '1', timeout=20)[0]} (killed after 20 s)")


def leave(ours: Runner, peer: Runner | None, exits: int) -> None:
    print(f"\nInterpreter exit right after an asynchronous call, {exits} runs")
    for name, runner in (("graphbit", ours), ("0.6.8", peer)):
        if runner is None:
            continue
        outcomes: dict[str, int] = {}
        for _ in range(exits):
            outcome = runner.run("leave", "after_async_call", timeout=30)[0]
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
        print(f"{name}: " + ", ".join(f"{count} x {what}" for what, count in outcomes.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="nesting,workflows,fork,interrupt,exit")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--exits", type=int, default=200)
    options = parser.parse_args()
    wanted = options.only.split(",")
    peer_python = os.environ.get("GRAPHBIT_PEER_PYTHON")
    with Simulator() as simulator:
        ours = Runner(sys.executable, simulator)
        peer = Runner(peer_python, simulator) if peer_python else None
        if "nesting" in wanted:
            nesting(ours, peer, options.rounds)
        if "workflows" in wanted:
            workflows(ours, peer, max(1, options.rounds // 10))
        if "fork" in wanted:
            fork(ours, peer)
        if "interrupt" in wanted:
            interrupt(ours, peer, options.rounds)
        if "exit" in wanted:
            leave(ours, peer, options.exits)


if __name__ == "__main__":
    main()
