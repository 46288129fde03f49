"""The store in a folder: what was acknowledged is there, whoever dies; one writes, others read."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

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


#: Each ends with what it saw. An open pipe keeps the child alive; when its other end is closed, or its process gone,
#: the child ends.
FORKED = {
    "an idle child, when the parent has closed it": """
        store = VectorStore.open(folder)
        store.add([[1.0]])
        fork(lambda: None)
        assert not can_write()
        store.close()
        VectorStore.open(folder).add([[2.0]])
    """,
    "an idle child, when the parent has dropped it": """
        store = VectorStore.open(folder)
        fork(lambda: None)
        del store
        VectorStore.open(folder).add([[2.0]])
    """,
    "an idle pool": """
        store = VectorStore.open(folder)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            store.close()
            VectorStore.open(folder).add([[2.0]])
    """,
    "a child that closes and drops its copy": """
        store = VectorStore.open(folder)
        def child():
            global store
            store.close()
            store = None
            gc.collect()
        fork(child)
        assert not can_write(), "the child let go of what is its parent's"
        store.add([[2.0]])
        store.close()
        assert can_write()
    """,
    "files of a child that drops its copy": """
        store = VectorStore.open(folder)
        def child():
            global store
            # They get the numbers that have become free.
            files = [open(os.devnull) for _ in range(20)]
            other = VectorStore.open(folder + "-other")
            store = None
            gc.collect()
            other.add([[3.0]])
            assert [file.read() for file in files] == [""] * 20
            assert not can_write(folder + "-other")
        fork(child)
        store.add([[2.0]])
        assert not can_write()
    """,
    "a killed writer's child": """
        told, tell = os.pipe()
        writer = os.fork()
        if writer == 0:
            store = VectorStore.open(folder)
            store.add([[1.0]])
            fork(lambda: None)
            os.write(tell, b".")
            time.sleep(60)
            os._exit(1)
        assert os.read(told, 1)
        assert not can_write()
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        with VectorStore.open(folder) as store:
            assert len(store) == 1
            store.add([[2.0]])
    """,
}
FORKING = """
import gc, multiprocessing, os, signal, subprocess, sys, time
from graphbit import VectorStore
from graphbit.exceptions import StoreError

folder = sys.argv[1]
held, hold = os.pipe()


def fork(work):
    told, tell = os.pipe()
    if os.fork() == 0:
        os.close(hold)
        try:
            work()
            os.write(tell, b".")
            os.read(held, 1)
        finally:
            os._exit(0)
    os.close(tell)
    assert os.read(told, 1), "the child failed"


def can_write(folder=folder):
    code = "import sys; from graphbit import VectorStore; VectorStore.open(sys.argv[1])"
    third = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True)
    assert third.returncode == 0 or "another process is writing" in third.stderr, third.stderr
    return third.returncode == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("case", FORKED)
def test_a_forked_child_neither_keeps_nor_ends_its_parents_lock(
    tmp_path: Path, run_child: Any, case: str
) -> None:
    code = FORKING + textwrap.dedent(FORKED[case]) + "\nprint('done')\n"
    child = run_child(code, arguments=(str(tmp_path / "s"),))
    assert child.stdout == "done\n", child
    assert child.returncode == 0


def made(folder: Path, vectors: Any, text: str, **settings: Any) -> None:
    with VectorStore.open(folder, **settings) as store:
        store.add(vectors, [text] * len(vectors))


@pytest.mark.parametrize("index", ["exact", "hnsw"])
@pytest.mark.parametrize("how", ["renamed", "made anew"])
@pytest.mark.parametrize("rows", [1, 3, 5, 30])
def test_a_reader_sees_that_its_folder_was_replaced(
    tmp_path: Path, index: str, how: str, rows: int
) -> None:
    folder = tmp_path / "s"
    made(folder, [[1.0, 0.0]] * 5, "v1")
    reader = VectorStore.open(folder, read_only=True, index=index)
    if how == "renamed":
        made(tmp_path / "new", [[1.0, 0.0]] * rows, "v2")
        folder.rename(tmp_path / "old")
        with pytest.raises(StoreError, match="no store"):
            reader.refresh()
        assert reader.search([1.0, 0.0], 1)[0].text == "v1"
        (tmp_path / "new").rename(folder)
    else:
        shutil.rmtree(folder)
        made(folder, [[1.0, 0.0]] * rows, "v2")
    assert reader.refresh()
    assert not reader.refresh()
    assert [hit.text for hit in reader.search([1.0, 0.0], 100)] == ["v2"] * rows
    # And it follows whoever writes there now.
    made(folder, [[0.0, 1.0]], "v3")
    assert reader.refresh()
    assert reader.search([0.0, 1.0], 1)[0].text == "v3"


@pytest.mark.parametrize("index", ["exact", "hnsw"])
def test_what_replaced_a_folder_may_have_other_dimensions_but_no_other_metric(
    tmp_path: Path, index: str
) -> None:
    folder = tmp_path / "s"
    made(folder, [[1.0, 0.0]] * 5, "v1")
    reader = VectorStore.open(folder, read_only=True, index=index)
    shutil.rmtree(folder)
    made(folder, [[1.0, 0.0, 0.0]] * 5, "v2", precision="f16")
    assert reader.refresh()
    assert (reader.dimensions, reader.precision) == (3, "f16")
    assert reader.search([1.0, 0.0, 0.0], 1)[0].text == "v2"
    shutil.rmtree(folder)
    made(folder, [[1.0, 0.0, 0.0]] * 5, "v3", metric="l2")
    with pytest.raises(StoreError, match="metric 'l2' and not 'cosine'"):
        reader.refresh()
    assert reader.search([1.0, 0.0, 0.0], 1)[0].text == "v2"
    (folder / "journal-0.log").unlink()
    (folder / "journal-0.log").write_text("a text of somebody's that has this name")
    with pytest.raises(StoreError, match="damaged"):
        reader.refresh()
    assert len(reader) == 5


def test_a_reader_walks_the_graph_of_the_store_that_replaced_its_own(tmp_path: Path) -> None:
    first, second = np.random.default_rng(5).standard_normal((2, 10_000, 16), "float32")
    for vectors, name in ((first, "s"), (second, "new")):
        with VectorStore.open(tmp_path / name, index="hnsw") as store:
            store.add(vectors)
    reader = VectorStore.open(tmp_path / "s", read_only=True, index="hnsw")
    (tmp_path / "s").rename(tmp_path / "old")
    (tmp_path / "new").rename(tmp_path / "s")
    assert reader.refresh()
    fresh = VectorStore.open(tmp_path / "s", read_only=True, index="hnsw")
    queries = second[:50]
    found = reader.search_many(queries, 10)
    assert [hits[0].index for hits in found] == list(range(50))
    assert [[hit.index for hit in hits] for hits in found] == [
        [hit.index for hit in hits] for hits in fresh.search_many(queries, 10)
    ]


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
