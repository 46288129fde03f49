"""Tools bound to a node: their names, how they run, what the model gets to read, and where coroutines run."""

from __future__ import annotations

import asyncio
import collections
import contextvars
import dataclasses
import datetime
import decimal
import doctest
import functools
import importlib
import json
import pkgutil
import signal
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from graphbit import clear_tools, tools
from graphbit.tools import (
    BoundTool,
    bind_tools,
    execute_listing,
    executor_for,
    get_tool_registry,
    tool,
)
from tool_setup import Color, on_another_thread, on_threads


@dataclasses.dataclass
class Place:
    name: str
    when: datetime.date


class Odd:
    def __str__(self) -> str:
        return "odd"


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError


def bound(function: Callable[..., Any]) -> BoundTool:
    return bind_tools([function])[0]


def outcome(function: Callable[..., Any], loop: Any = None) -> tuple[bool, str]:
    return bound(function).run("{}", loop)


def test_its_attributes_are_read_only() -> None:
    def add(one: int, other: int = 2) -> int:
        """Adds."""
        return one + other

    each = bound(add)
    assert (each.name, each.description, each.function) == ("add", "Adds.", add)
    each.parameters["properties"].clear()
    assert list(each.parameters["properties"]) == ["one", "other"]
    for name in ("name", "description", "parameters", "function", "more"):
        with pytest.raises(AttributeError):
            setattr(each, name, "x")
    assert repr(each) == "BoundTool(name='add')"


def test_names_fit_every_server() -> None:
    class Counter:
        """Counts."""

        def __init__(self) -> None:
            self.count = 0

        def __call__(self, by: int = 1) -> int:
            self.count += by
            return self.count

        def ask(self) -> int:
            return self.count

    def größe(): ...  # noqa: PLC2401

    counter = Counter()
    named = tool(name="my tool!")(lambda: 1)
    tools = [
        counter,
        counter.ask,
        lambda: 1,
        lambda: 2,
        functools.partial(counter, 5),
        named,
        größe,
    ]
    each = bind_tools(tools)
    assert [one.name for one in each] == [
        "Counter", "ask", "lambda", "lambda_2", "Counter_2", "my_tool_", "gr__e",
    ]  # fmt: skip
    assert [one.run("{}")[1] for one in each[:6]] == ["1", "1", "1", "2", "6", "1"]
    assert each[0].description == each[4].description == "Counts."


def test_two_of_one_name_are_refused() -> None:
    def one(): ...

    def made() -> Any:
        def one(): ...

        return one

    with pytest.raises(ValueError, match="two tools are named 'one'"):
        bind_tools([one, made()])
    assert [each.name for each in bind_tools([one, tool(name="two")(made())])] == ["one", "two"]


@pytest.mark.parametrize("thing", [3, None, "text", {}])
def test_what_can_not_be_called_is_refused(thing: Any) -> None:
    with pytest.raises(TypeError, match="tool 2 has to be callable"):
        bind_tools([print, thing])


def test_a_node_keeps_its_own_tool() -> None:
    def made(answer: str) -> Any:
        def same() -> str:
            """Same name."""
            return answer

        return same

    first, second = bound(made("first")), bound(made("second"))
    assert (first.run("{}"), second.run("{}")) == ((True, "first"), (True, "second"))
    assert get_tool_registry().execute_tool("same", {}).output == "second"


def test_binding_registers_the_real_schema() -> None:
    @tool(return_type="int")
    def registered_with_schema(x: int) -> int:
        """"""
        return x

    each = bound(registered_with_schema)
    known = json.loads(get_tool_registry().get_tool_metadata("registered_with_schema") or "")
    assert known["parameters_schema"] == each.parameters
    assert (known["description"], known["return_type"]) == ("Tool function", "int")


VALUES = [
    ("as it is", "as it is"), ("", ""), ('"quoted"', '"quoted"'), (None, "null"), (True, "true"), (3, "3"),
    (2.0, "2.0"), (float("nan"), "nan"), ([1, float("inf")], "[1,null]"), (2**70, str(2**70)),
    ({"b": 1, "a": [None, "é"]}, '{"a":[null,"é"],"b":1}'), ((1, "x"), '[1,"x"]'), ({2, 1}, "[1,2]"),
    ({1: "x", "y": 2, None: 3, (1, 2): 4}, '{"1":"x","[1,2]":4,"null":3,"y":2}'),
    (Place("Oslo", datetime.date(2026, 1, 2)), '{"name":"Oslo","when":"2026-01-02"}'),
    (datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.timezone.utc), "2026-01-02T03:00:00+00:00"),
    (datetime.timedelta(seconds=90), "90.0"), (Color.RED, "red"), ([Color.RED], '["red"]'),
    (decimal.Decimal("1.10"), "1.10"), (uuid.UUID(int=1), str(uuid.UUID(int=1))), (Path("/a"), "/a"),
    (b"text", "text"), (b"\xff", "/w=="), pytest.param(Odd(), "odd", id="Odd()"),
    pytest.param([Odd()], '["odd"]', id="[Odd()]"), (range(3), "[0,1,2]"),
    (collections.deque([1]), "[1]"), ({"a": 1}.keys(), '["a"]'), (ValueError("x"), "ValueError: x"),
    ("\ud800", "?"), (Mute(), None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), VALUES, ids=lambda each: ascii(each)[:40])
def test_the_model_reads_text_or_json(value: Any, text: str | None) -> None:
    succeeded, read = outcome(lambda: value)
    assert succeeded
    assert text is None or read == text


def test_libraries_values_are_read_too() -> None:
    numpy = pytest.importorskip("numpy")
    assert outcome(lambda: numpy.array([[1, 2]])) == (True, "[[1,2]]")
    assert outcome(lambda: {"x": numpy.float64(1.5), "y": numpy.int64(2)}) == (
        True,
        '{"x":1.5,"y":2}',
    )
    pydantic = pytest.importorskip("pydantic")
    made = pydantic.create_model("Made", when=(datetime.date, ...))
    assert outcome(lambda: made(when=datetime.date(2026, 1, 2))) == (True, '{"when":"2026-01-02"}')


def test_what_contains_itself_ends() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert outcome(lambda: loop)[0]


def test_failures_name_the_exception() -> None:
    class Inner(ValueError): ...

    def failing(error: BaseException) -> Callable[[], None]:
        def function() -> None:
            raise error

        return function

    assert outcome(failing(ValueError("kaboom"))) == (
        False,
        "Tool execution failed: ValueError: kaboom",
    )
    assert outcome(failing(KeyError("x")))[1] == "Tool execution failed: KeyError: 'x'"
    assert outcome(failing(ValueError()))[1] == "Tool execution failed: ValueError: "
    assert outcome(failing(Inner("x")))[1].endswith("<locals>.Inner: x")
    assert outcome(failing(StopIteration()))[1] == "Tool execution failed: StopIteration: "
    assert outcome(failing(Mute()))[1] == "Tool execution failed: Mute: <no text>"
    assert outcome(failing(ValueError("\ud800")))[1].endswith("ValueError: ?")


@pytest.mark.parametrize("arguments", ["[]", "3", "null", "x", '{"a": 1', '{"a": NaN}', '"{}"'])
def test_malformed_arguments(arguments: str) -> None:
    def function(**more):
        raise AssertionError("it is not called")

    assert bound(function).run(arguments) == (False, "Invalid tool call format")


def test_blank_arguments_are_none() -> None:
    assert bound(lambda: "called").run(" ") == (True, "called")


CONTROL = [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]


@pytest.mark.parametrize("error", CONTROL)
def test_what_stops_a_program_is_raised_on(error: type[BaseException]) -> None:
    def function():
        raise error

    async def coroutine():
        raise error

    for each in (function, coroutine):
        with pytest.raises(error):
            outcome(each)


def test_coroutines_generators_and_awaitables() -> None:
    async def coroutine(x: int = 2):
        await asyncio.sleep(0)
        return {"x": x}

    async def generator():
        yield 1
        await asyncio.sleep(0)
        yield 2

    def plain():
        yield from "ab"

    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "awaited"

    async def failing():
        yield 1
        raise ValueError("late")

    def failing_too():
        yield 1
        raise ValueError("late")

    assert bound(coroutine).run('{"x": "3"}') == (True, '{"x":3}')
    assert outcome(generator) == (True, "[1,2]")
    assert outcome(plain) == (True, '["a","b"]')
    assert outcome(lambda: coroutine()) == (True, '{"x":2}')
    assert outcome(lambda: Awaitable()) == (True, "awaited")
    for each in (failing, failing_too):
        assert outcome(each) == (False, "Tool execution failed: ValueError: late")


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


class Running:
    """An event loop that runs in a thread of its own."""

    def __enter__(self) -> asyncio.AbstractEventLoop:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        return self.loop

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


async def whereabouts() -> list[Any]:
    await asyncio.sleep(0)
    return [id(asyncio.get_running_loop()), threading.get_ident(), variable.get()]


def test_coroutines_run_on_the_loop_of_the_caller() -> None:
    variable.set("kept")
    with Running() as loop:
        where = json.loads(outcome(whereabouts, loop)[1])
        assert where == [id(loop), loop._thread_id, "kept"]  # type: ignore[attr-defined]


def test_without_a_running_loop_they_run_in_this_thread() -> None:
    variable.set("here")
    stopped = asyncio.new_event_loop()
    for loop in (None, stopped):
        _, thread, value = json.loads(outcome(whereabouts, loop)[1])
        assert (thread, value) == (threading.get_ident(), "here")
    stopped.close()


async def test_on_the_thread_of_a_loop_they_run_in_another() -> None:
    variable.set("across")
    here = asyncio.get_running_loop()
    for loop in (None, here):
        where, thread, value = json.loads(outcome(whereabouts, loop)[1])
        assert where != id(here)
        assert thread != threading.get_ident()
        assert value == "across"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_the_callers_loop_survives_what_stops_a_program(error: type[BaseException]) -> None:
    async def coroutine():
        raise error

    with Running() as loop:
        with pytest.raises(error):
            outcome(coroutine, loop)
        assert outcome(whereabouts, loop)[0]


def test_a_loop_that_stops_ends_the_wait() -> None:
    async def coroutine():
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().stop)
        await asyncio.sleep(30)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        succeeded, text = outcome(coroutine, loop)
        assert not succeeded
        assert "the event loop stopped before the tool was done" in text
    finally:
        thread.join()
        loop.run_until_complete(asyncio.sleep(0.01))  # lets the cancelled task end
        loop.close()


@pytest.mark.parametrize("where", ["loop", "thread", "here"])
def test_an_interrupted_wait_cancels(where: str) -> None:
    ended = threading.Event()
    started = threading.Event()
    seen: list[Any] = []

    async def coroutine():
        started.set()
        here = threading.get_ident()
        try:
            await asyncio.sleep(30)
        except BaseException as error:
            seen.append((type(error), threading.get_ident() == here))
            raise
        finally:
            ended.set()

    def interrupt() -> None:
        started.wait(10)
        time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    began = time.monotonic()
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        if where == "loop":
            with Running() as loop:
                try:
                    outcome(coroutine, loop)
                finally:
                    assert ended.wait(5)
        elif where == "thread":

            async def main() -> None:
                outcome(coroutine)

            loop = asyncio.new_event_loop()
            try:
                loop.run_until_complete(main())
            finally:
                loop.close()
        else:
            outcome(coroutine)
    thread.join()
    assert ended.wait(5)
    assert seen == [(asyncio.CancelledError, True)]
    assert time.monotonic() - began < 5


def test_eight_threads_run_one_tool_side_by_side() -> None:
    def sleepy(number: int) -> int:
        time.sleep(0.2)
        return number

    each = bound(sleepy)
    answers: dict[int, Any] = {}

    def call(number: int) -> None:
        answers[number] = each.run(json.dumps({"number": number}))

    began = time.monotonic()
    on_threads(8, call)
    assert answers == {number: (True, str(number)) for number in range(8)}
    assert time.monotonic() - began < 1.0


def test_a_tool_may_bind_and_run_tools() -> None:
    def inner(x: int) -> int:
        return x + 1

    def outer(x: int) -> str:
        return bound(inner).run(json.dumps({"x": x}))[1]

    assert bound(outer).run('{"x": 1}') == (True, "2")


def test_nothing_is_printed(capfd: Any) -> None:
    def function(x: int):
        """D."""

    bound(function).run('{"x": 1}')
    bound(int).run('{"x": 1}')
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", [each.name for each in pkgutil.iter_modules(tools.__path__)])
def test_the_examples_of_the_modules(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"graphbit.tools.{name}"))
    assert result.failed == 0
    assert result.attempted > 0
    clear_tools()


def test_a_class_may_be_a_tool() -> None:
    class Circle:
        """A circle."""

        radius: str

        def __init__(self, radius: float) -> None:
            self.radius = f"{radius} m"

        def __str__(self) -> str:
            return self.radius

    each = bound(Circle)
    assert each.parameters["properties"]["radius"]["type"] == "number"
    assert each.run('{"radius": "2.5"}') == (True, "2.5 m")


def test_the_listing_of_a_node() -> None:
    def good(q: str) -> str:
        return q

    def bad() -> None:
        raise ValueError("no")

    tools = bind_tools([good, bad])
    assert execute_listing(tools, []) == "Tool Execution Results:\n"
    calls: list[Any] = [{"name": "good", "parameters": {"q": "hey"}}, 3, {"name": "bad"}]
    assert execute_listing(tools, calls) == (
        "Tool Execution Results:\n1. good -> hey\n2. unknown_tool -> Error: Failed to parse tool call: "
        "TypeError: Tool call must be a dictionary or JSON string\n"
    )
    assert execute_listing(tools, [{"name": "bad"}, {"name": "good"}]) == (
        "Tool Execution Results:\n1. bad -> Error: Tool execution failed: ValueError: no\n"
    )
    with pytest.raises(TypeError):
        execute_listing(tools, ({"name": "good"},))  # type: ignore[arg-type]


def test_the_executor_of_a_node_finds_its_tools_only_and_on_every_thread() -> None:
    def mine(x: int) -> int:
        return x

    def other() -> None: ...

    executor = executor_for(bind_tools([mine]))
    bind_tools([other])
    calls: list[Any] = [{"name": "mine", "parameters": {"x": "4"}}, {"name": "other"}]
    found = on_another_thread(lambda: executor.execute_tools(calls))
    assert [(each.output, each.error) for each in found] == [
        ("4", None),
        ("", "Tool 'other' not found"),
    ]
    result = executor.execute_tools([{"name": "mine", "parameters": {"x": "four"}}])[0]
    assert result.error == (
        "Tool execution failed: TypeError: Argument 'x' is \"four\", but should be an integer."
    )
