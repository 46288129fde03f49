"""Memories in a process of its own: ``memories.py URL FILE write TIMES``, or ``memories.py URL FILE CASE``.

``write`` stores three memories in each decision, named by the process and a number, and prints a line for each.
The other cases fork, and print ``ok`` when parent and child got their answers.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import time
import warnings

from graphbit import EmbeddingConfig, LlmConfig, MemoryClient, MemoryConfig

URL, FILE, CASE = sys.argv[1:4]
# Python warns about forking with threads; that it is safe here is what is being shown.
warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")


class Model:
    """Remembers what it is told to."""

    def __init__(self) -> None:
        self.contents: list[str] = []

    def __call__(self, messages: list[dict[str, str]], **_: object) -> str:
        if messages[1]["content"].startswith("New facts"):
            return json.dumps([{"fact": fact, "action": "ADD"} for fact in self.contents])
        return json.dumps(self.contents)


def opened(model: Model, file: str = FILE) -> MemoryClient:
    embedding = EmbeddingConfig.openai("sk-0123456789abcdef0123", "e", base_url=URL)
    return MemoryClient(MemoryConfig(LlmConfig.from_callable(model), embedding, file, 0.0))


def write(times: int) -> None:
    model = Model()
    memory = opened(model)
    for number in range(times):
        batch = f"{os.getpid()}-{number}"
        model.contents = [f"{batch} {fact}" for fact in "abc"] if times > 100 else [batch]
        assert len(memory.add([("user", "x")])) == len(model.contents)
        print(batch, flush=True)


def child_of(work: object) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            work()  # type: ignore[operator]
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status


def remember(memory: MemoryClient, model: Model, content: str) -> None:
    model.contents = [content]
    memory.add([("user", "x")])
    assert memory.search(content, top_k=1)[0].memory.content == content


def contents(memory: MemoryClient) -> list[str]:
    return [one.content for one in memory.get_all()]


def fork(file: str = FILE) -> None:
    model = Model()
    memory = opened(model, file)
    remember(memory, model, "parent")

    def child() -> None:
        assert contents(memory) == ["parent"]
        remember(memory, model, "child")
        child_of(lambda: remember(memory, model, "grandchild"))

    child_of(child)
    shared = [] if file == ":memory:" else ["child", "grandchild"]
    assert contents(memory) == ["parent", *shared]
    remember(memory, model, "after")


def fork_in_memory() -> None:
    """What is in no file a child has as it was."""
    fork(":memory:")


def fork_while_threads_work() -> None:
    model = Model()
    memory = opened(model)
    remember(memory, model, "first")
    (first,) = memory.get_all()
    over = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not over.is_set():
                memory.update(first.id, "changed")
                memory.search("changed")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()

    def child() -> None:
        memory.update(first.id, "by a child")
        assert len(memory.search("x")) <= 1

    for _ in range(20):
        child_of(child)
    over.set()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert len(memory.get_all()) == 1


def fork_while_threads_search_long() -> None:
    """All together, the searches under way take longer than a fork waits for anything."""
    model = Model()
    with opened(model) as memory:
        remember(memory, model, "first")
    multiply(300_000)
    memory = opened(model)
    over = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not over.is_set():
                assert len(memory.search("first")) == 10
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            time.sleep(0.2)
            child_of(lambda: memory.search("first", top_k=1))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, failures


def multiply(times: int) -> None:
    """The one memory of the file, again and again, by somebody else's SQLite."""
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {times})"
    other = sqlite3.connect(FILE)
    with other:
        (first,) = other.execute("SELECT id FROM memories").fetchone()
        other.execute(
            "INSERT INTO memories (id, content, hash, created_at, updated_at)"
            f" {numbers} SELECT printf('%012x', i), content, hash, created_at, updated_at"
            " FROM n, (SELECT * FROM memories WHERE id = ?)",
            [first],
        )
        other.execute(
            "INSERT INTO memory_vectors SELECT m.id, v.model, v.content_hash, v.vector"
            " FROM memories AS m, memory_vectors AS v WHERE m.id != ? AND v.memory_id = ?",
            [first, first],
        )
    other.close()


if __name__ == "__main__":
    if CASE == "write":
        write(int(sys.argv[4]))
    else:
        globals()[CASE]()
        print("ok")
