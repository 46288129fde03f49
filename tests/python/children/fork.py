"""Forks of every kind, with parent and child both going on working.

    python fork.py CASE

Prints ``ok`` when parent and every child got their answers.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import os
import sys
import threading
import warnings

import graphbit

URL = os.environ["GRAPHBIT_SIMULATOR_URL"]
# Python 3.12 warns about forking with threads; that it is safe here is what is being shown.
warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")

LLM = graphbit.LlmConfig.azurellm("key-0123456789", "prod-chat", URL)
EMBEDDING = graphbit.EmbeddingConfig.azure("key-0123456789", "prod-embed", URL)
CLIENT = graphbit.LlmClient(LLM)
EMBEDDER = graphbit.EmbeddingClient(EMBEDDING)


def work(number: int = 0) -> int:
    """Blocking and asynchronous calls on clients made before the fork, and on a new one."""
    assert CLIENT.complete(f"ping {number}") == f"echo: ping {number}"
    assert len(EMBEDDER.embed("x")) > 1
    assert graphbit.LlmClient(LLM).complete("new") == "echo: new"

    async def ask() -> str:
        return await CLIENT.complete_async("async")

    assert asyncio.run(ask()) == "echo: async"
    return number


def fork_and_wait(function: object = work) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            function()  # type: ignore[operator]
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status


def before_first_use() -> None:
    fork_and_wait()
    work()


def after_use() -> None:
    work()
    for _ in range(5):
        fork_and_wait()
        work()


def grandchildren() -> None:
    work()

    def child() -> None:
        work()
        fork_and_wait()
        work()

    fork_and_wait(child)
    work()


def while_threads_work() -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def busy() -> None:
        try:
            while not stop.is_set():
                CLIENT.complete("ping")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=busy) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        fork_and_wait()
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures


def inside_callback() -> None:
    def callback(messages: list[dict[str, str]], **options: object) -> str:
        fork_and_wait()
        return "forked"

    config = graphbit.LlmConfig.from_callable(callback)
    assert graphbit.LlmClient(config).complete("x") == "forked"
    work()


def ordinary_exit_of_child() -> None:
    work()
    pid = os.fork()
    if pid == 0:
        work()
        sys.exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
    work()


def prefork_server() -> None:
    """Four workers forked from a warm parent, each serving with threads of its own."""
    work()
    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                good = sorted(pool.map(work, range(16))) == list(range(16))
            os._exit(0 if good else 1)
        children.append(pid)
    work()
    for pid in children:
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status


def _multiprocessing(method: str) -> None:
    work()
    context = multiprocessing.get_context(method)
    with context.Pool(3) as pool:
        assert pool.map(work, range(9)) == list(range(9))
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        assert list(executor.map(work, range(6))) == list(range(6))
    work()


def multiprocessing_fork() -> None:
    _multiprocessing("fork")


def multiprocessing_forkserver() -> None:
    _multiprocessing("forkserver")


def multiprocessing_spawn() -> None:
    _multiprocessing("spawn")


CASES = {
    case.__name__: case
    for case in (
        before_first_use,
        after_use,
        grandchildren,
        while_threads_work,
        inside_callback,
        ordinary_exit_of_child,
        prefork_server,
        multiprocessing_fork,
        multiprocessing_forkserver,
        multiprocessing_spawn,
    )
}

if __name__ == "__main__":
    CASES[sys.argv[1]]()
    print("ok")
