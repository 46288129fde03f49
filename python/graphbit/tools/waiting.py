"""Brings what a tool returned to its end: awaits awaitables, collects generators.

Where an awaitable runs depends on who waits: on the caller's event loop when that runs in another thread, so
that the clients it holds are usable; in this thread when no loop runs here; else in a thread of its own.
An interrupted wait cancels what it waited for.

>>> async def double(number):
...     return 2 * number
>>> settled(double(21)), settled(letter for letter in "ab")
(42, ['a', 'b'])
"""

from __future__ import annotations

import asyncio
import collections.abc
import concurrent.futures
import contextlib
import contextvars
import inspect
import threading
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

#: Seconds between two looks at signals, and at whether the event loop that is waited for still runs.
_LOOK = 0.5
#: Seconds between two looks at whether anybody still wants what an awaitable gives.
_LOOK_WANTED = 0.1


def settled(
    value: Any,
    event_loop: asyncio.AbstractEventLoop | None = None,
    wanted: Callable[[], bool] | None = None,
) -> Any:
    """The value itself, what an awaitable gives, or the list of what a generator yields.

    Args:
        value: What the tool returned.
        event_loop: Where to await it, if that loop is running in another thread.
        wanted: Asked now and then; an awaitable that nobody wants any more is cancelled.

    Raises:
        asyncio.CancelledError: If the awaitable was cancelled.
        RuntimeError: If ``event_loop`` stops before the awaitable is done.
    """
    for _ in range(8):  # an awaitable may give a generator
        if isinstance(value, types.GeneratorType):
            return list(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if inspect.isawaitable(value):
            coroutine = _awaited(value)
        elif isinstance(value, collections.abc.AsyncIterator):
            coroutine = _collected(value)  # pyright: ignore[reportUnknownArgumentType]
        else:
            break
        value = _run(coroutine if wanted is None else _watched(coroutine, wanted), event_loop)
    return value


def called(
    function: Callable[[Any], Any],
    argument: Any,
    event_loop: asyncio.AbstractEventLoop | None = None,
    wanted: Callable[[], bool] | None = None,
) -> Any:
    """Call a function that may be a coroutine function; see `settled`."""
    return settled(function(argument), event_loop, wanted)


async def _watched(coroutine: Coroutine[Any, Any, Any], wanted: Callable[[], bool]) -> Any:
    task = asyncio.ensure_future(coroutine)
    try:
        while not (await asyncio.wait({task}, timeout=_LOOK_WANTED))[0]:
            if not wanted():
                task.cancel()
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        raise
    return task.result()


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


async def _delivered(coroutine: Coroutine[Any, Any, Any]) -> tuple[Any, BaseException | None]:
    # What stops a program would stop the caller's loop and never get to the one who waits.
    try:
        return await coroutine, None
    except (KeyboardInterrupt, SystemExit) as error:
        return None, error


async def _collected(values: AsyncIterator[Any]) -> list[Any]:
    return [value async for value in values]


def _run(coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop | None) -> Any:
    try:
        here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if loop is not None and loop is not here and loop.is_running():
        return _on(loop, coroutine)
    if here is None:
        return _run_here(coroutine)
    return _in_thread(coroutine)


def _run_here(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        return asyncio.run(coroutine)
    finally:
        coroutine.close()  # silent about one that could not be started


def _on(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]) -> Any:
    # The loop runs it in a copy of this thread's context, which is taken as it is handed over.
    delivered = _delivered(coroutine)
    try:
        future = asyncio.run_coroutine_threadsafe(delivered, loop)
    except RuntimeError:  # it was closed just now
        delivered.close()
        coroutine.close()
        raise
    try:
        while not concurrent.futures.wait([future], timeout=_LOOK).done:
            if loop.is_closed() or not loop.is_running():
                raise RuntimeError("the event loop stopped before the tool was done")
        value, error = future.result()
    except concurrent.futures.CancelledError:
        raise asyncio.CancelledError from None
    finally:
        future.cancel()
    if error is not None:
        raise error
    return value


class _Thread:
    """A coroutine on a loop and in a thread of its own, with the context of who started it."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._done = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False
        self._result: Any = None
        self._error: BaseException | None = None

    def result(self) -> Any:
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._body,), name="graphbit-tool", daemon=True
        )
        thread.start()
        try:
            while not self._done.wait(_LOOK):
                pass  # a signal that another thread was given is seen now
        except BaseException:
            self._cancel()
            raise
        if self._error is not None:
            raise self._error
        return self._result

    def _body(self) -> None:
        try:
            self._result = _run_here(self._watched())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error
        finally:
            self._done.set()

    async def _watched(self) -> Any:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(self._coroutine)
        if self._cancelled:
            self._task.cancel()
        return await self._task

    def _cancel(self) -> None:
        self._cancelled = True
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # it has just ended
                self._loop.call_soon_threadsafe(self._task.cancel)


def _in_thread(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return _Thread(coroutine).result()
