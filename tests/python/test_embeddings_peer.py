"""Embeddings beside GraphBit 0.6.8: the same calls, against the same server, in both packages.

Needs an interpreter with graphbit 0.6.8 installed, named by ``GRAPHBIT_PEER_PYTHON``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from simulator import Server

PEER = os.environ.get("GRAPHBIT_PEER_PYTHON")
CHILD = Path(__file__).parent / "children" / "embeddings.py"

pytestmark = pytest.mark.skipif(
    not PEER, reason="GRAPHBIT_PEER_PYTHON names no interpreter with 0.6.8"
)


def outcomes(python: str, url: str) -> dict[str, Any]:
    child = subprocess.run(
        [python, CHILD, url], capture_output=True, text=True, timeout=60, check=False
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


def test_both_packages_answer_alike(server: Server) -> None:
    server.behaviour(dimensions=16)
    assert PEER is not None
    theirs, ours = outcomes(PEER, server.base_url), outcomes(sys.executable, server.base_url)
    assert ours.keys() == theirs.keys()
    for name, their in theirs.items():
        our = ours[name]
        if "value" in their:
            assert our == their, name
            continue
        # What caught their exception catches ours, and where the text is part of the contract it is
        # the same. The texts of argument errors are the interpreter's.
        assert their["classes"][0] in our["classes"], (name, our, their)
        if their["classes"][0] not in ("TypeError", "OverflowError"):
            assert our["text"] == their["text"], name
