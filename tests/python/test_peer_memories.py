"""Memories in GraphBit 0.6.8 and here: the same calls, and one file for both.

The program is ``children/same_memories.py``, which both packages run. 0.6.8 is found by ``GRAPHBIT_PEER_PYTHON``.
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
CHILD = Path(__file__).parent / "children" / "same_memories.py"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not PEER, reason="GRAPHBIT_PEER_PYTHON names no interpreter with 0.6.8"),
]


def run(python: str | None, server: Server, *arguments: str) -> Any:
    assert python is not None
    server.reset()
    # -I: a PYTHONPATH that leads to our own package must not reach the peer.
    command = [python, "-I", str(CHILD), server.base_url, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    # It may crash on its way out, when everything has been said.
    assert done.stdout, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "case",
    [
        "same_requests",
        "same_listing",
        "same_readings",
        "same_decisions",
        "same_search",
        "same_refusals",
        "same_failures",
        "same_values",
    ],
)
def test_the_outcome_is_0_6_8_s(case: str, server: Server) -> None:
    theirs, ours = run(PEER, server, case), run(sys.executable, server, case)
    assert ours == theirs


@pytest.mark.parametrize("writer", [PEER, sys.executable], ids=["theirs", "ours"])
@pytest.mark.parametrize("reader", [PEER, sys.executable], ids=["theirs", "ours"])
def test_either_reads_and_writes_the_file_of_the_other(
    writer: str, reader: str, server: Server, tmp_path: Path
) -> None:
    file = str(tmp_path / "memory.db")
    first, second = run(writer, server, "write_file", file)
    memories, histories, hits, left = run(reader, server, "read_file", file)
    assert [memory[0] for memory in memories] == ["newer", "third"]
    assert memories[0][1:] == ["u", None, "r", {}]
    assert histories == [
        [["ADD", "", "first"], ["UPDATE", "first", "newer"]],
        [["ADD", "", "third"]],
    ]
    assert hits == [["newer", 1.0]]
    assert [memory[0] for memory in left] == ["changed", "added"]
    # What was deleted is told of once more by the package that made the file first here.
    if writer == sys.executable:
        told = subprocess.run(
            [sys.executable, "-c", HISTORY, server.base_url, file, first, second],
            capture_output=True, text=True, timeout=40, check=True,
        )  # fmt: skip
        assert json.loads(told.stdout) == [["ADD", "UPDATE", "DELETE"], ["ADD", "DELETE"]]


HISTORY = """
import json, sys
from graphbit import EmbeddingConfig, LlmConfig, MemoryClient, MemoryConfig
url, file, *ids = sys.argv[1:]
key = "sk-0123456789abcdef0123"
models = LlmConfig.azurellm(key, "chat", url), EmbeddingConfig.azure(key, "e", url)
memory = MemoryClient(MemoryConfig(*models, file))
print(json.dumps([[change.action for change in memory.history(one)] for one in ids]))
"""
