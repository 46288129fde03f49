"""The rows about whole pipelines: documents of 10 KB read, cut, embedded, stored, and an answer for each.

``benches/run.py --only pipeline`` measures them: :func:`same_work` beside 0.6.8's script, LangChain and
LlamaIndex, each with the concurrency it offers and the store in memory it brings; :func:`growth` from
1,000 documents on, where time and memory should grow as the documents do. The yardstick of *x serial* is one
request after the other: our own script on one thread (0.6.8's is no faster), a call for each chunk and one for
each document.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

OURS, PEER = "ours", "0.6.8"
SCRIPT, LANGCHAIN, LLAMA_INDEX = "ours, script", "langchain", "llama-index"
#: The packages that must be installed for the rivals, pinned.
REQUIREMENTS = {
    LANGCHAIN: "langchain-core==1.8.3 langchain-openai==1.7.4 langchain-text-splitters==1.1.3 numpy",
    LLAMA_INDEX: (
        "llama-index-core==0.14.25 llama-index-llms-openai==0.8.3 llama-index-embeddings-openai==0.7.0"
    ),
}
DOCUMENTS, AT_ONCE, LATENCY = 200, 100, 50
#: Documents of the serial run, which is scaled: one takes 0.65 s.
SAMPLE = 10
#: Questions after a large ingest: what grows with the documents is the ingest.
QUESTIONS = 200


def same_work(bench: Any) -> None:
    """The work of 0.6.8's users by each package, over the time of one request after the other."""
    scope = bench.simulator.new_scope("pipeline")
    bench.simulator.behaviour(scope, latency_ms=LATENCY)
    url = bench.simulator.url(scope)

    def pipeline(name: str, program: str) -> dict[str, Any]:
        given = {"url": url, "documents": DOCUMENTS, "at_once": AT_ONCE}
        return bench.child(name, program, json.dumps(given))

    runs = {
        OURS: lambda: pipeline(OURS, "pipeline_graphbit"),
        SCRIPT: lambda: bench.script(OURS, scope, DOCUMENTS, AT_ONCE),
        PEER: lambda: bench.script(PEER, scope, DOCUMENTS, AT_ONCE),
        LANGCHAIN: lambda: pipeline(LANGCHAIN, "pipeline_langchain"),
        LLAMA_INDEX: lambda: pipeline(LLAMA_INDEX, "pipeline_llama_index"),
    }
    sample = bench.script(OURS, scope, SAMPLE, 1)
    serial = sample.get("seconds", float("nan")) * DOCUMENTS / SAMPLE
    collected: dict[str, list[dict[str, float]]] = {}
    failures: dict[str, str] = {}
    for turn in range(bench.rounds + 1):
        for name, run in runs.items():
            if name != SCRIPT and bench.packages.interpreter(name) is None:
                continue
            raw = run()
            if "failed" in raw:
                failures[name] = raw["failed"]
            elif turn:
                collected.setdefault(name, []).append(figures(raw, serial))
    bench.simulator.forget(scope)
    bench.show(
        "pipeline",
        f"{DOCUMENTS} documents of 10 KB to as many answers, {AT_ONCE} at once, {LATENCY} ms "
        f"(serial {serial:.0f} s, {SAMPLE} documents, scaled)",
        ("x serial", "seconds", "CPU s"), collected, failures, {},
        "script >= 95x, ParallelRAG >= 150x",
    )  # fmt: skip


def figures(raw: dict[str, Any], serial: float) -> dict[str, float]:
    """The measures of one run."""
    return {
        "x serial": serial / raw["seconds"],
        "seconds": raw["seconds"],
        "CPU s": raw["cpu_seconds"],
    }


def memory(bench: Any) -> None:
    """What the script's memory grows by, its documents aside; ParallelRAG's with all vectors in it.

    CPython alone is the least that lists of floats and answers can take, whoever brings them.
    """
    scope = bench.simulator.new_scope("memory")
    bench.simulator.behaviour(scope, latency_ms=LATENCY)
    given = {"url": bench.simulator.url(scope), "documents": 1_000, "at_once": AT_ONCE}
    runs = {
        OURS: lambda: bench.script(OURS, scope, given["documents"], AT_ONCE),
        PEER: lambda: bench.script(PEER, scope, given["documents"], AT_ONCE),
        "CPython alone": lambda: bench.script(
            OURS, scope, given["documents"], AT_ONCE, "user_script_floor"
        ),
        "ours, ParallelRAG": lambda: bench.child(OURS, "pipeline_graphbit", json.dumps(given)),
    }
    collected, failures = memories(bench, runs, given["documents"])
    bench.simulator.forget(scope)
    bench.show(
        "user", f"memory of the user's script, {given['documents']:,} documents, {AT_ONCE} threads",
        ("MB", "KB/document", "seconds"), collected, failures, {}, "MB <= 0.5x 0.6.8's",
    )  # fmt: skip


def memories(
    bench: Any, runs: dict[str, Callable[[], dict[str, Any]]], documents: int
) -> tuple[dict[str, list[dict[str, float]]], dict[str, str]]:
    """What each run took of memory, in turns, three times at most; and why a run has no figures."""
    collected: dict[str, list[dict[str, float]]] = {}
    failures: dict[str, str] = {}
    for _ in range(min(bench.rounds, 3)):
        for name, run in runs.items():
            raw = run()
            if "failed" in raw:
                failures[name] = raw["failed"]
                continue
            collected.setdefault(name, []).append({
                "MB": raw["megabytes"],
                "KB/document": raw["megabytes"] * 1024 / documents,
                "seconds": raw["seconds"],
            })  # fmt: skip
    return collected, failures


def growth(bench: Any) -> None:
    """More documents: the time of each, and memory beyond that of the first thousand."""
    scope = bench.simulator.new_scope("pipeline")
    bench.simulator.behaviour(scope, latency_ms=LATENCY, dimensions=64)
    url = bench.simulator.url(scope)
    for documents in (1_000, 10_000):
        rivals = {OURS: {}, "ours, folder": {"disk": True}}
        if documents == 1_000:
            rivals |= {LANGCHAIN: {}, LLAMA_INDEX: {}}
        collected: dict[str, list[dict[str, float]]] = {}
        failures: dict[str, str] = {}
        for name, extra in rivals.items():
            package = OURS if name.startswith(OURS) else name
            if bench.packages.interpreter(package) is None:
                continue
            program = "graphbit" if package == OURS else name.replace("-", "_")
            given = {"url": url, "documents": documents, "at_once": AT_ONCE, "questions": QUESTIONS}
            for _ in range(min(bench.rounds, 3)):
                raw = bench.child(package, f"pipeline_{program}", json.dumps(given | extra))
                if "failed" in raw:
                    failures[name] = raw["failed"]
                    continue
                collected.setdefault(name, []).append({
                    "documents/s": documents / raw["seconds"],
                    "KB/document": raw["megabytes"] * 1024 / documents,
                    "CPU s": raw["cpu_seconds"],
                })  # fmt: skip
        bench.show(
            "pipeline",
            f"{documents:,} documents of 10 KB, {QUESTIONS} questions, 64 numbers an embedding",
            ("documents/s", "KB/document", "CPU s"), collected, failures, {},
            "linear: documents/s and KB/document stay",
        )  # fmt: skip
    bench.simulator.forget(scope)
