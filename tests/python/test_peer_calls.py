"""The same calls in GraphBit 0.6.8 and here: equal outcomes, but for the differences that are listed.

``children/calls.py`` runs in both interpreters, with the environment of ``interception.py``: the same keys,
arguments, requests on the wire, statistics, texts of errors, value types and embeddings, provider by provider.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from interception import Interceptor
from simulator import Simulator

PEER = os.environ.get("GRAPHBIT_PEER_PYTHON")
CALLS = Path(__file__).parent / "children" / "calls.py"


@pytest.fixture(scope="module")
def both(
    simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    if not PEER or not hasattr(os, "fork"):
        pytest.skip("needs fork, and GRAPHBIT_PEER_PYTHON to name an interpreter with 0.6.8")
    with Interceptor(simulator, tmp_path_factory.mktemp("interception")) as interceptor:
        running = [
            subprocess.Popen(
                [python, str(CALLS), "40"],
                env=interceptor.environment()
                | {"SIMULATOR": simulator.url(), "SCOPE": f"calls-{number}"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number, python in enumerate((PEER, sys.executable))
        ]
        outcomes = []
        for process in running:
            out, errors = process.communicate(timeout=55)
            assert process.returncode == 0, errors
            outcomes.append(json.loads(out))
        theirs, ours = outcomes
        yield theirs, ours


NO_SUCH = "temperature must be between 0.0 and 2.0"
# What is different on purpose, by probe and place: there, and here.
DECIDED: dict[str, dict[str, tuple[Any, Any]]] = {
    "names": {
        # Retired by their vendors, or about to be.
        "anthropic ()/1": ("claude-3-5-sonnet-20241022", "claude-sonnet-4-6"),
        "deepseek ()/1": ("deepseek-chat", "deepseek-flash"),
        "gemini ()/1": ("gemini-2.5-flash", "gemini-3.5-flash-lite"),
    },
    "arguments": {
        # D-20: it was sent as null.
        "complete_async {'temperature': nan}": (
            ["answered"],
            [
                "at once",
                ["ValueError", "Exception", "BaseException", "object"],
                f"Validation error for field 'temperature' with value 'NaN': {NO_SUCH}",
            ],
        ),
    },
    "embedding_texts": {
        # D-33: the reason is added.
        "2": (
            "LLM error: Invalid response format from Azure",
            "LLM error: Invalid response format from Azure: no data in {}",
        ),
    },
    "requests": {
        # The closing usage frame is asked for, so that streams can report usage.
        **{
            f"{provider} stream/3/stream_options": (None, {"include_usage": True})
            for provider in ("deepseek", "xai")
        },
        # Its vendor retired the one.
        **{
            f"deepseek{way}/3/model": ("deepseek-chat", "deepseek-flash")
            for way in ("", " bare", " stream")
        },
    },
}


def differences(theirs: Any, ours: Any, place: str = "") -> dict[str, tuple[Any, Any]]:
    """Places where two outcomes differ. A raised class of ours may be more than theirs, never less."""
    found: dict[str, tuple[Any, Any]] = {}
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if "raised" in theirs and "is" in ours:
            kept = theirs["text"] == ours["text"] or theirs["raised"] == "TypeError"
            if theirs["raised"] not in ours["is"] or not kept:
                found[place] = (theirs, ours)
            return found
        for key in {*theirs, *ours}:
            found |= differences(theirs.get(key), ours.get(key), f"{place}/{key}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for number, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            found |= differences(one, other, f"{place}/{number}")
    elif theirs != ours:
        found[place] = (theirs, ours)
    return found


@pytest.mark.peer
@pytest.mark.parametrize(
    "probe",
    [
        "keys",
        "names",
        "arguments",
        "conversation",
        "statistics",
        "open_breaker",
        "warm_up",
        "requests",
        "unsupported_streams",
        "values",
        "embeddings",
        "embedding_texts",
        "similarities",
        "functions",
    ],
)
def test_the_outcome_is_0_6_8_s(probe: str, both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    theirs, ours = (outcomes[probe] for outcomes in both)
    assert "value" in theirs and "value" in ours, (theirs, ours)
    decided = {f"/{place}": pair for place, pair in DECIDED.get(probe, {}).items()}
    assert differences(theirs["value"], ours["value"]) == decided


@pytest.mark.peer
def test_the_pauses_are_0_6_8_s_and_never_shorter(
    both: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    (text, theirs), (same_text, ours) = (outcomes["pauses"]["value"] for outcomes in both)
    assert text == same_text
    assert len(theirs) == len(ours) == 3
    for pause, their, our in zip((0.1, 0.2, 0.4), theirs, ours, strict=True):
        assert their >= pause * 0.98
        # Lengthened by up to a quarter, and by whatever else this machine is doing.
        assert pause * 0.98 <= our < pause * 1.25 + 0.3
