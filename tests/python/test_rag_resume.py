"""An ingest that is killed again and again, against a server that fails: nothing lost, hardly anything paid twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from graphbit import VectorStore
from simulator import Server

CHILD = Path(__file__).parent / "children" / "ingest.py"
KILLS = int(os.environ.get("GRAPHBIT_INGEST_KILLS", "4"))
DOCUMENTS, CHUNKS = (5000, 3) if KILLS >= 20 else (300, 3)
#: What a kill may cost: the requests that are under way. One text a request, so that no half-filled batch is sent
#: because of a kill, and a request is the price of a chunk.
AT_ONCE = 4
MINIMUM = DOCUMENTS * CHUNKS


def paid(server: Server) -> int:
    """Requests that brought vectors, or would have but for a kill; those that met an injected fault did not."""
    stats = server.stats()
    requests: int = stats["requests"] - stats["failed"] - stats["refused"]
    return requests


@pytest.mark.timeout(120 + 20 * KILLS)
def test_a_killed_ingest_loses_nothing_and_pays_next_to_nothing_twice(
    tmp_path: Path, server: Server
) -> None:
    server.behaviour(latency_ms=2, fail_rate=0.1, fail_status=503, seed=5)
    chance = random.Random(7)
    # Where the server stands tells how far the work is, however fast the machine.
    moments = sorted(chance.randrange(MINIMUM // 50, MINIMUM * 49 // 50) for _ in range(KILLS))
    command = [sys.executable, str(CHILD), str(tmp_path)]
    command += [str(number) for number in (DOCUMENTS, CHUNKS, AT_ONCE)]
    environment = os.environ | {"GRAPHBIT_SIMULATOR_URL": server.base_url}
    killed = 0
    for moment in moments:
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as child:
            while paid(server) < moment and child.poll() is None:
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.01))
            child.kill()
        killed += child.returncode == -9
    assert killed == KILLS
    last = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert last.returncode == 0, last.stderr
    documents, unchanged, stored, *failed = last.stdout.split()
    assert (int(documents), failed) == (DOCUMENTS, ["[]"])
    assert int(unchanged) + int(stored) // CHUNKS == DOCUMENTS
    assert int(unchanged) > 0

    entries = VectorStore.open(tmp_path / "store", read_only=True).search(
        [0.0] * 8, top_k=2 * MINIMUM
    )
    held = Counter(entry.text.rstrip("x") for entry in entries)
    expected = {
        f"{document:06}.{chunk:02}" for document in range(DOCUMENTS) for chunk in range(CHUNKS)
    }
    assert held == Counter(expected)
    assert len({entry.id for entry in entries}) == MINIMUM
    requests, stats = paid(server), server.stats()
    print(f"{KILLS} kills: {requests} requests for {MINIMUM} chunks, {stats['failed']} faults")
    assert stats["failed"] > MINIMUM // 20
    assert MINIMUM <= requests <= MINIMUM * 1.02
