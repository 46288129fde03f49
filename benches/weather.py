"""The rows about weather: what many prompts cost when a server fails, limits, dies and comes back.

``benches/run.py --only weather`` measures them. Two need somebody who changes the weather while a workload
runs and looks at the server's counters meanwhile, so they are functions: :func:`storm` and
:func:`failover`. ``ROWS`` are the others, as in `workflows.py`.

The server of the storm answers after 100 ms, lets in so many requests a second (a burst of 25, 429
beyond) and fails a fifth of what it let in with 500. Its limit is halved in the middle and then doubled, or,
in a second storm, raised to four times that. *let in* is the share of its limit that was used, *requests/answer* what
each answer cost: 1.25 is what a fifth of failures costs whoever knows the limit beforehand.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from simulator import Simulator

OURS, PLAIN, PEER, OPENAI = "ours", "ours, plain", "0.6.8", "openai"
PROMPTS = 10_000
#: From these seconds on the server lets in so many requests a second.
Limits = tuple[tuple[float, float], ...]
STORMS: tuple[Limits, ...] = (
    ((0.0, 500.0), (7.0, 250.0), (14.0, 500.0)),
    ((0.0, 500.0), (7.0, 250.0), (14.0, 1000.0)),
)
#: A client has found a limit when it used so much of it within a second ...
USED = 0.9
#: ... and had no more than so many requests refused for each that was let in.
REFUSED = 0.2

ROWS: list[dict[str, Any]] = [
    {
        "title": "everything fails: 500 for each request",
        "workload": "weather_failing",
        "given": {"calls": 4000},
        "settings": {"fail_rate": 1.0},
        "packages": {
            OURS: {"client": "ours"},
            PLAIN: {"client": "ours, no breaker"},
            PEER: {"client": "0.6.8"},
            OPENAI: {"client": "openai", "calls": 200},
        },
        "show": ("requests/call", "once spent", "opened after", "recovery s"),
        "target": "<= 1.2 requests a call once the budget is spent; recovery within the 1 s of a probe",
    },
    {
        "title": "complete(), 32 threads, all layers on and the defaults in turns",
        "workload": "weather_layers",
        "packages": {OURS: {}},
        "show": ("x plain", "CPU us/call", "plain us/call"),
        "target": "CPU a call <= 1.15x the defaults'",
    },
    {
        "title": "an answer from the cache",
        "workload": "weather_cache",
        "given": {"calls": 50_000},
        "packages": {OURS: {}},
        "show": ("us/hit", "CPU us/hit", "requests"),
        "target": "<= 20 us, 1 request",
    },
    {
        "title": "1000 threads ask the same at once",
        "workload": "weather_cache",
        "given": {"threads": 1000, "calls": 1000},
        "latency_ms": 100,
        "packages": {OURS: {}},
        "show": ("requests", "seconds"),
        "target": "1 request",
    },
]


@dataclass(frozen=True)
class Sample:
    """The server's counters at one moment, in seconds since its first request."""

    at: float
    let_in: int
    refused: int
    answered: int


def storm(bench: Any, limits: Limits) -> None:
    """Many prompts against a server that fails a fifth, and limits the rest to a rate that changes."""
    packages = {
        OURS: {"client": "ours"},
        PEER: {"client": "0.6.8"},
        OPENAI: {"client": "openai"},
    }
    shown = (
        "answered", "in order", "requests/answer", "answered twice", "let in", "found 1st",
        "found 2nd", "found 3rd", "seconds", "CPU us/prompt",
    )  # fmt: skip
    collected: dict[str, list[dict[str, float]]] = {}
    failures: dict[str, str] = {}
    for _ in range(min(bench.rounds, 3)):
        for name, given in packages.items():
            if bench.packages.interpreter(name) is None:
                continue
            raw, samples, stats = stormed(bench, name, given, limits)
            if "failed" in raw:
                failures[name] = raw["failed"]
                continue
            collected.setdefault(name, []).append(figures(raw, samples, stats, limits))
    bench.show(
        "weather",
        f"{PROMPTS:,} prompts, 20 % fail, requests/s: "
        + ", then ".join(f"{rate:.0f}" for _, rate in limits),
        shown, collected, failures, {},
        "all in order, <= 1.35 requests/answer, let in >= 0.9, found within 5 s",
    )  # fmt: skip


def stormed(
    bench: Any, name: str, given: dict[str, Any], limits: Limits
) -> tuple[dict[str, Any], list[Sample], dict[str, Any]]:
    """One package in the storm: what it said, what the server saw over time, and in the end."""
    simulator: Simulator = bench.simulator
    scope = simulator.new_scope("storm")

    def limit(phase: int) -> None:
        rate = {"per_second": limits[phase][1], "burst": 25}
        trouble = {"fail_rate": 0.2, "fail_status": 500, "seed": phase}
        simulator.behaviour(scope, latency_ms=100, rate_limit=rate, **trouble)

    limit(0)
    phase, began = 0, 0.0
    samples: list[Sample] = []
    wanted = given | {"url": simulator.url(scope), "prompts": PROMPTS}
    with ThreadPoolExecutor(1) as pool:
        child = pool.submit(bench.child, name, "weather_storm", json.dumps(wanted))
        while not child.done():
            stats = simulator.stats(scope)
            now = time.perf_counter()
            if stats["requests"]:
                began = began or now
                let_in = stats["answered"] + stats["failed"]
                sample = Sample(now - began, let_in, stats["refused"], stats["answered"])
                samples.append(sample)
                if phase + 1 < len(limits) and sample.at >= limits[phase + 1][0]:
                    phase += 1
                    limit(phase)
            time.sleep(0.025)
    stats = simulator.stats(scope)
    simulator.forget(scope)
    return child.result(), samples, stats


def figures(
    raw: dict[str, Any], samples: list[Sample], stats: dict[str, Any], limits: Limits
) -> dict[str, float]:
    """The measures of one run of the storm."""
    end = next(sample.at for sample in samples if sample.answered == samples[-1].answered)
    ends = [*(start for start, _ in limits[1:]), max(end, limits[-1][0])]
    spans = [
        (start, min(stop, end), rate) for (start, rate), stop in zip(limits, ends, strict=True)
    ]
    allowed = sum(max(stop - start, 0.0) * rate for start, stop, rate in spans)
    values = {
        "answered": float(raw["answered"]),
        "in order": float(raw["in_order"]),
        "requests/answer": stats["requests"] / max(raw["answered"], 1),
        "answered twice": float(stats["answered"] - raw["answered"]),
        "let in": (stats["answered"] + stats["failed"]) / allowed,
        "seconds": raw["seconds"],
        "CPU us/prompt": raw["cpu_seconds"] / max(raw["answered"], 1) * 1e6,
    }
    for which, (start, stop, rate) in zip(("1st", "2nd", "3rd"), spans, strict=True):
        values[f"found {which}"] = found(samples, start, stop, rate)
    return values


def found(samples: list[Sample], start: float, stop: float, rate: float) -> float:
    """Seconds until a second begins in which a limit is used and not overrun; infinite if there is none."""
    for first in samples:
        if not start <= first.at <= stop - 1:
            continue
        last = next((sample for sample in samples if sample.at >= first.at + 1), None)
        if last is None:
            break
        let_in, refused = last.let_in - first.let_in, last.refused - first.refused
        if let_in >= USED * rate * (last.at - first.at) and refused <= REFUSED * let_in:
            return first.at - start
    return float("inf")


def failover(bench: Any) -> None:
    """A batch whose server dies in the middle, and the longest time without an answer from anybody."""
    collected: dict[str, list[dict[str, float]]] = {OURS: []}
    failures: dict[str, str] = {}
    prompts, latency = 1000, 50
    for _ in range(bench.rounds):
        with Simulator(log=False, latency_ms=latency) as second:
            first = Simulator(log=False, latency_ms=latency)
            given = {"urls": [first.url(), second.url()], "prompts": prompts, "concurrency": 50}
            with ThreadPoolExecutor(1) as pool:
                child = pool.submit(bench.child, OURS, "weather_failover", json.dumps(given))
                of_first, stall, answered = 0, 0.0, 0
                grew = time.perf_counter()
                while not child.done():
                    if of_first < prompts // 3:
                        of_first = first.stats()["answered"]
                        if of_first >= prompts // 3:
                            first.kill()
                    now, total = time.perf_counter(), of_first + second.stats()["answered"]
                    if total > answered:
                        # The time before the first answer is the start of the interpreter.
                        stall = max(stall, now - grew) if answered else 0.0
                        answered, grew = total, now
                    time.sleep(0.005)
            if of_first < prompts // 3:
                first.close()
        raw = child.result()
        if "failed" in raw:
            failures[OURS] = raw["failed"]
            continue
        values = {"answered": float(raw["answered"]), "in order": float(raw["in_order"])}
        collected[OURS].append(values | {"stall s": stall, "seconds": raw["seconds"]})
    bench.show(
        "weather", "1000 prompts, 50 at a time, 50 ms: the server dies after a third, another is named",
        ("answered", "in order", "stall s", "seconds"), collected, failures, {},
        "all in order, stall <= 2 s",
    )  # fmt: skip
