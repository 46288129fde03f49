"""Decisions of the core as records of Python's logging: levels, facts, order, and nobody held up."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import graphbit
import pytest
from graphbit import LlmClient, LlmConfig
from llm_setup import KEY, wait_until

CLIENTS = "graphbit.python.llm"
QUEUE = 4096


class Ear(logging.Handler):
    """Keeps records; calls ``then`` with each."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.then: Callable[[logging.LogRecord], object] = lambda record: None

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.then(record)

    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def ear() -> Iterator[Ear]:
    """Listens to the whole tree at every level; silent afterwards."""
    logger = logging.getLogger("graphbit")
    ear = Ear()
    logger.addHandler(ear)
    logger.setLevel(5)
    logger.propagate = False  # pytest's own handlers need no part in it
    yield ear
    logger.propagate = True
    logger.removeHandler(ear)
    logger.setLevel(logging.NOTSET)
    logging.getLogger(CLIENTS).setLevel(logging.NOTSET)
    logging.disable(logging.NOTSET)
    forget_levels()


def forget_levels() -> None:
    """How long the core may go by levels that it has seen before."""
    time.sleep(0.15)


def speak(model: str = "m") -> LlmClient:
    """Makes a client that is announced at DEBUG."""
    return LlmClient(LlmConfig.openai(KEY, model), debug=True)


def test_an_event_is_a_record_with_its_facts(ear: Ear) -> None:
    before = time.time()
    speak("gpt odd=1")
    wait_until(lambda: ear.records)
    [record] = ear.records
    assert (record.name, record.levelno, record.levelname) == (CLIENTS, logging.DEBUG, "DEBUG")
    assert record.getMessage() == 'new client provider=openai model="gpt odd=1"'
    facts: Any = record
    assert facts.graphbit == {"provider": "openai", "model": "gpt odd=1"}
    assert record.pathname.replace("\\", "/") == "src/python/llm.rs" and record.lineno > 0
    assert before - 0.01 <= record.created <= time.time()
    assert abs(record.msecs - record.created % 1 * 1000) < 1.5
    assert (record.threadName, record.exc_info) == ("graphbit-logging", None)
    assert logging.Formatter(logging.BASIC_FORMAT).format(record).startswith(f"DEBUG:{CLIENTS}:new")


def test_levels_are_python_s(ear: Ear) -> None:
    graphbit.shutdown()
    speak()
    wait_until(lambda: len(ear.records) == 2)
    assert [record.levelno for record in ear.records] == [logging.INFO, logging.DEBUG]


def test_the_usual_rules_decide_who_is_heard(ear: Ear) -> None:
    def heard() -> list[str]:
        ear.records.clear()
        forget_levels()
        speak()
        graphbit.shutdown()
        forget_levels()
        return [record.levelname for record in ear.records]

    assert heard() == ["DEBUG", "INFO"]
    logging.getLogger("graphbit").setLevel(logging.INFO)
    assert heard() == ["INFO"]
    logging.getLogger("graphbit").setLevel(logging.WARNING)
    assert heard() == []
    logging.getLogger(CLIENTS).setLevel(logging.DEBUG)
    assert heard() == ["DEBUG"]
    logging.disable(logging.DEBUG)
    assert heard() == []


def test_a_level_set_a_moment_ago_holds_for_the_next_client(ear: Ear) -> None:
    logging.getLogger("graphbit").setLevel(logging.WARNING)
    forget_levels()
    speak("unheard")
    logging.getLogger("graphbit").setLevel(logging.DEBUG)
    speak("heard")
    # On a busy machine the first is still under way when the level changes, and is judged by the new one.
    wait_until(lambda: "new client provider=openai model=heard" in ear.texts())


def test_the_order_is_that_of_the_events(ear: Ear) -> None:
    for number in range(500):
        speak(str(number))
    wait_until(lambda: len(ear.records) == 500)
    assert [record.graphbit["model"] for record in ear.records] == [  # type: ignore[attr-defined]
        str(number) for number in range(500)
    ]


def test_a_hundred_threads(ear: Ear) -> None:
    def talk(name: int) -> None:
        for number in range(20):
            speak(f"{name}-{number}")

    threads = [threading.Thread(target=talk, args=(name,)) for name in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: len(ear.records) == 2000)
    said: dict[str, list[int]] = {}
    for record in ear.records:
        name, _, number = record.graphbit["model"].partition("-")  # type: ignore[attr-defined]
        said.setdefault(name, []).append(int(number))
    assert len(said) == 100
    assert all(numbers == list(range(20)) for numbers in said.values())


def test_a_handler_may_call_graphbit(ear: Ear) -> None:
    client = LlmClient(LlmConfig.from_callable(lambda messages: messages[-1]["content"].upper()))
    answers: list[str] = []

    def call(record: logging.LogRecord) -> None:
        answers.append(client.complete("from the handler"))
        answers.extend(asyncio.run(several()))

    async def several() -> list[str]:
        return await asyncio.gather(*(client.complete_async(word) for word in ("a", "b")))

    ear.then = call
    speak()
    wait_until(lambda: len(answers) == 3)
    assert answers == ["FROM THE HANDLER", "A", "B"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_handler_that_raises_is_reported_and_the_next_record_comes(
    ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reported.append(report.exc_value))

    def fail(record: logging.LogRecord) -> None:
        if record.graphbit["model"] == "bad":  # type: ignore[attr-defined]
            raise SystemExit("no more")

    ear.then = fail
    speak("bad")
    speak("good")
    wait_until(lambda: len(ear.records) == 2 and reported)
    assert [repr(error) for error in reported] == ["SystemExit('no more')"]


def test_a_handler_that_hangs_holds_nobody_up_and_what_is_lost_is_counted(ear: Ear) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hang(record: logging.LogRecord) -> None:
        entered.set()
        leave.wait()

    ear.then = hang
    graphbit.shutdown()
    assert entered.wait(10)
    client = LlmClient(LlmConfig.from_callable(lambda messages: "an answer"))
    for _ in range(QUEUE + 1000):
        graphbit.shutdown()
    # The one thread that carries records is stuck; calls of every kind are not.
    assert client.complete("x") == "an answer"
    assert len(ear.records) == 1
    leave.set()
    wait_until(lambda: len(ear.records) == QUEUE + 1)
    [told] = [record for record in ear.records if record.name == "graphbit.logging"]
    assert told.levelno == logging.WARNING
    assert told.graphbit == {"count": 1001}  # type: ignore[attr-defined]
    assert told.getMessage() == "log records were dropped: the handlers are too slow count=1001"
    graphbit.shutdown()
    wait_until(lambda: len(ear.records) == QUEUE + 2)


SAVING = """
    import resource, sys, graphbit
    {setup}
    from graphbit import Executor, LlmConfig, Node, Workflow
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    workflow = Workflow("w")
    workflow.add_node(Node.agent("n", "p", agent_id="n"))
    executor = Executor(LlmConfig.from_callable(lambda messages, **_: "x" * 5000))
    assert executor.execute(workflow, checkpoint=sys.argv[1]).is_success()
"""
UNSAVED = "a finished node could not be saved"


@pytest.mark.parametrize("setup", ["", 'graphbit.init("warn", enable_tracing=True)'])
def test_a_warning_reaches_standard_error_once_unless_something_is_configured(
    setup: str, run_child: Any, tmp_path: Any
) -> None:
    pytest.importorskip("resource")
    child = run_child(SAVING.format(setup=setup), arguments=(str(tmp_path / "checkpoint"),))
    assert child.returncode == 0, child
    assert child.stderr.count(UNSAVED) == 1, child.stderr
    assert ("WARN" in child.stderr) == bool(setup), "one of Python's lines is the bare text"


def test_both_ways_of_logging_may_be_on(run_child: Any) -> None:
    child = run_child(
        """
        import graphbit, logging, sys
        graphbit.init("debug", enable_tracing=True)
        logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
        config = graphbit.LlmConfig.openai("sk-0123456789abcdef0123", "m")
        graphbit.LlmClient(config, debug=True)
        """
    )
    assert child.returncode == 0
    assert child.stdout == f"DEBUG:{CLIENTS}:new client provider=openai model=m\n"
    assert "DEBUG graphbit::python::llm: new client" in child.stderr


def test_a_program_that_does_not_log_pays_nothing(run_child: Any) -> None:
    child = run_child(
        """
        import sys, threading, time, graphbit
        assert "logging" not in sys.modules, "imported with graphbit"
        config = graphbit.LlmConfig.from_callable(lambda messages: "x")
        for _ in range(50):
            graphbit.LlmClient(config, debug=True).complete("x")
        time.sleep(0.2)
        assert "logging" not in sys.modules, "imported for nothing"
        """
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")


def test_configured_after_the_import_and_at_once_at_the_end(run_child: Any) -> None:
    """Nothing is lost at exit although the program does not wait for its records."""
    child = run_child(
        """
        import graphbit, logging
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        for _ in range(1000):
            graphbit.shutdown()
        """
    )
    assert (child.returncode, child.stderr.count("shutdown requested")) == (0, 1000), child.stderr


@pytest.mark.parametrize("pause", [0.02, 3])
def test_leaving_while_a_slow_handler_works(pause: float, run_child: Any) -> None:
    child = run_child(
        """
        import graphbit, logging, sys, time
        class Slow(logging.Handler):
            def emit(self, record):
                time.sleep(float(sys.argv[1]))
        logging.getLogger("graphbit").addHandler(Slow())
        logging.getLogger("graphbit").setLevel(logging.INFO)
        for _ in range(2000):
            graphbit.shutdown()
        """,
        arguments=(str(pause),),
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "", ""), child


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("used_before", [True, False])
def test_a_forked_child_logs_too(used_before: bool, run_child: Any) -> None:
    child = run_child(
        """
        import graphbit, json, logging, os, sys, time
        heard = []
        class Ear(logging.Handler):
            def emit(self, record):
                heard.append(os.getpid())
        logging.getLogger("graphbit").addHandler(Ear())
        logging.getLogger("graphbit").setLevel(logging.INFO)
        def speak(times):
            for _ in range(times):
                graphbit.shutdown()
            deadline = time.monotonic() + 10
            while len(heard) < times and time.monotonic() < deadline:
                time.sleep(0.01)
            told, heard[:] = [*heard], []
            return told == [os.getpid()] * times
        outcomes = [speak(50)] if sys.argv[1] == "True" else []
        for _ in range(3):
            if child := os.fork():
                outcomes += [os.waitpid(child, 0)[1] == 0, speak(50)]
            else:
                fine = speak(20)
                if grandchild := os.fork():
                    fine = fine and os.waitpid(grandchild, 0)[1] == 0
                    os._exit(0 if fine else 1)
                os._exit(0 if speak(20) else 1)
        print(json.dumps(outcomes))
        """,
        arguments=(str(used_before),),
        timeout=50,
    )
    assert child.returncode == 0, child
    assert set(json.loads(child.stdout)) == {True}, child
