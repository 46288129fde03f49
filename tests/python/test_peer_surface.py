"""Every name of GraphBit 0.6.8, and every parameter, is here in its place.

Needs an interpreter with graphbit 0.6.8 installed, named by ``GRAPHBIT_PEER_PYTHON``. Both
interpreters run ``children/surface.py``; only the answers are compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PEER = os.environ.get("GRAPHBIT_PEER_PYTHON")
CHILD = Path(__file__).parent / "children" / "surface.py"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not PEER, reason="GRAPHBIT_PEER_PYTHON names no interpreter with 0.6.8"),
]

Surface = dict[str, dict[str, Any]]


def surface(python: str, *options: str) -> tuple[str, Surface]:
    """Version and names of the graphbit that an interpreter imports."""
    command = [python, *options, str(CHILD)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    answer = json.loads(run.stdout)
    return answer["version"], answer["names"]


@pytest.fixture(scope="module")
def theirs() -> Surface:
    assert PEER is not None
    # -I: a PYTHONPATH that leads to our own package must not reach the peer.
    version, names = surface(PEER, "-I")
    assert version == "0.6.8"
    assert len(names) > 200, "the peer's interface was not understood"
    return names


@pytest.fixture(scope="module")
def ours() -> Surface:
    return surface(sys.executable)[1]


def without_names(parameters: list[Any] | None) -> list[Any] | None:
    return parameters and [["", kind, default] for _, kind, default in parameters]


def test_no_name_is_missing(theirs: Surface, ours: Surface) -> None:
    assert theirs.keys() - ours.keys() == set()


def test_every_name_is_the_same_sort_of_thing(theirs: Surface, ours: Surface) -> None:
    shared = theirs.keys() & ours.keys()
    changed = {
        name: (theirs[name]["kind"], ours[name]["kind"])
        for name in shared
        if theirs[name]["kind"] != ours[name]["kind"]
    }
    assert not changed


def test_every_parameter_is_in_its_place(theirs: Surface, ours: Surface) -> None:
    compared, different = 0, []
    for name in sorted(theirs.keys() & ours.keys()):
        wanted, taken = theirs[name]["parameters"], ours[name]["parameters"]
        # A native `__call__` says (*args, **kwargs), which is anything.
        if wanted is None or name.endswith(".__call__"):
            continue
        compared += 1
        if ".__" in name:  # the interpreter hands operators their operands by position
            wanted, taken = without_names(wanted), without_names(taken)
        # Anything more may be passed by its keyword only, so that no call means something else.
        more = [] if taken is None else taken[len(wanted) :]
        same = taken is not None and taken[: len(wanted)] == wanted
        if not same or any(kind != "KEYWORD_ONLY" for _, kind, _ in more):
            different.append(f"{name}: {wanted} became {taken}")
    assert not different, "\n".join(different)
    assert compared > 80
