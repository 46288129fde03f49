"""The store in a folder: what was acknowledged is there, whoever dies; one writes, others read."""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from graphbit import ParallelRAG, VectorStore
from graphbit.exceptions import StoreError, ValidationError

CHILD = Path(__file__).parent / "children" / "store_writer.py"
#: By index: rows a batch, values a row, batches kept. Large enough that a journal is outgrown every 20 or 40
#: batches, so that snapshots are killed as well, and in the second enough rows for a graph.
SIZES = {"exact": (100, 2000, 5), "hnsw": (1000, 100, 12)}
KILLS = int(os.environ.get("GRAPHBIT_STORE_KILLS", "15"))
SEED = int(os.environ.get("GRAPHBIT_STORE_SEED", "11"))


def batches(folder: Path, rows: int, dimensions: int) -> set[int]:
    """The batches in the folder, each of which must be whole, with its own vectors."""
    store = VectorStore.open(folder, read_only=True)
    hits = store.search([1, *[0] * (dimensions - 1)], top_k=max(len(store), 1))
    found: dict[int, set[int]] = {}
    for hit in hits:
        batch, row = map(int, hit.id.split("-"))
        assert hit.score == pytest.approx(batch / 100, rel=1e-4)
        found.setdefault(batch, set()).add(row)
    assert all(some == set(range(rows)) for some in found.values())
    return set(found)


def check_graph(folder: Path, dimensions: int) -> None:
    """Whoever opens the folder with its graph finds what is there, and nothing else."""
    queries = np.random.default_rng(3).standard_normal((20, dimensions), "float32")
    answers = [
        VectorStore.open(folder, read_only=True, index=index).search_many(queries, 10)
        for index in ("exact", "hnsw")
    ]
    same = 0
    for exact, walked in zip(*answers, strict=True):
        assert len(walked) == len(exact)
        same += len({hit.id for hit in exact} & {hit.id for hit in walked})
    assert same >= 0.9 * sum(map(len, answers[0]))


@pytest.mark.timeout(120 + 20 * KILLS)
@pytest.mark.parametrize("index", SIZES)
def test_a_writer_killed_at_any_moment_loses_nothing_it_acknowledged(
    tmp_path: Path, index: str
) -> None:
    sizes = rows, dimensions, kept = SIZES[index]
    chance = random.Random(SEED)
    held: set[int] = set()
    last = 0
    for _ in range(KILLS):
        # What the one before was killed before deleting goes first, or the store would grow with each kill.
        left = [batch for batch in sorted(held) if batch <= last - kept]
        command = [sys.executable, str(CHILD), str(tmp_path / "store"), index]
        command += [str(number) for number in (last + 1, *sizes, *left)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            told = [writer.stdout.readline()]
            time.sleep(chance.uniform(0, 0.4))
            writer.kill()
            told += writer.stdout.read().splitlines()
        for line in told:
            done, _, number = line.strip().partition(" ")
            if done == "added":
                held.add(int(number))
                last = int(number)
            elif done == "deleted":
                held.discard(int(number))
        found = batches(tmp_path / "store", rows, dimensions)
        # The change under way may have got there without anybody being told: the next batch added, or the oldest of
        # those that are too many deleted.
        oldest = set(sorted(batch for batch in held if batch <= last - kept)[:1])
        assert held ^ found in (set(), {last + 1}, oldest), (found, held, last)
        if index == "hnsw":
            check_graph(tmp_path / "store", dimensions)
        held, last = found, max(found)


def test_a_folder_survives_and_has_one_writer(tmp_path: Path) -> None:
    with VectorStore.open(tmp_path / "s", metric="l2", dimensions=2) as store:
        store.add([[0, 0], [3, 4]], ["here", "there"], metadatas=[{"a": "b"}, {}])
        with pytest.raises(StoreError, match="another process is writing"):
            VectorStore.open(tmp_path / "s")
        reader = VectorStore.open(tmp_path / "s", read_only=True)
        assert [hit.text for hit in reader.search([1, 1])] == ["here", "there"]
        assert not reader.refresh()
        store.delete(["0"])
        assert reader.refresh()
        assert len(reader) == 1
        with pytest.raises(StoreError, match="read-only"):
            reader.add([[1, 1]])
    with pytest.raises(StoreError, match="closed"):
        store.add([[1, 1]])
    again = VectorStore.open(tmp_path / "s")
    (hit,) = again.search([0, 0])
    assert (hit.id, hit.text, hit.score) == ("1", "there", -5.0)
    assert (again.metric, again.dimensions) == ("l2", 2)
    with pytest.raises(StoreError, match="no store"):
        VectorStore.open(tmp_path / "nothing", read_only=True)
    with pytest.raises(ValidationError, match="metric 'l2'"):
        VectorStore.open(tmp_path / "s", metric="dot", read_only=True)


def test_a_forked_child_must_open_it_for_itself(tmp_path: Path) -> None:
    store = VectorStore.open(tmp_path / "s")
    store.add([[1.0]], ["parent"])

    def child() -> None:
        try:
            store.add([[2.0]])
        except StoreError as error:
            os._exit(0 if "forked" in str(error) else 1)
        os._exit(2)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(30)
    assert process.exitcode == 0
    store.add([[3.0]])
    assert len(VectorStore.open(tmp_path / "s", read_only=True)) == 2


def test_a_pipeline_goes_on_where_the_last_process_left_it(tmp_path: Path) -> None:
    page = ("swift.md", "The common swift sleeps on the wing, high above the roofs.")
    with VectorStore.open(tmp_path / "s") as store:
        assert ParallelRAG(store=store).ingest([page]).failed == []
    with VectorStore.open(tmp_path / "s", read_only=True) as store:
        answer = ParallelRAG(store=store).ask("Where does the common swift sleep?")
        assert answer.citations[0].source == "swift.md"


def test_a_full_disk_is_an_error_and_no_damage(tmp_path: Path) -> None:
    code = (
        "import resource, sys, signal\n"
        "from graphbit import VectorStore\n"
        "from graphbit.exceptions import StoreError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "store = VectorStore.open(sys.argv[1])\n"
        "store.add([[1.0] * 100])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "for _ in range(50):\n"
        "    try:\n"
        "        store.add([[2.0] * 100])\n"
        "    except StoreError as error:\n"
        "        assert 'File too large' in str(error), error\n"
        "print(len(store))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "s")]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    count = int(told.stdout)
    assert 1 < count < 20
    store = VectorStore.open(tmp_path / "s")
    assert len(store) == count
    assert np.isclose(store.search([1.0] * 100, 1)[0].score, 1)
