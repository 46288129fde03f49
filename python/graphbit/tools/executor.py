"""Runs calls that a model asked for, one after another, within limits; keeps what came of them.

>>> registry = ToolRegistry()
>>> registry.register_tool("add", "Adds.", lambda one, other: one + other, {}, "int")
>>> executor = ToolExecutor(registry)
>>> [result.output for result in executor.execute_tools([{"name": "add", "parameters": {"one": 1, "other": 2}}])]
['3']
>>> executor.get_variable("tool_result_1")
'"3"'
"""

from __future__ import annotations

import copy
import json
import math
import time
import uuid
from typing import Any, NamedTuple, NoReturn, cast

from graphbit.tools.registry import ToolRegistry
from graphbit.tools.rendering import compact, pretty
from graphbit.tools.result import ToolResult, ToolResultCollection, require, require_count


class ExecutorConfig:
    """Limits of a `ToolExecutor`. Equal by value, pickles.

    Args:
        max_execution_time_ms: How long all calls of one request may take, looked at between two of them.
        max_tool_calls: How many calls of one request are run.
        continue_on_error: Whether calls behind a failed one are run.
        store_results: Whether `ToolExecutor.get_results` and the variables keep them.
        enable_logging: Kept for GraphBit's sake.
    """

    __module__ = "graphbit"

    __slots__ = (
        "_continue_on_error", "_enable_logging", "_max_execution_time_ms", "_max_tool_calls",
        "_store_results",
    )  # fmt: skip

    def __init__(
        self,
        max_execution_time_ms: int = 30000,
        max_tool_calls: int = 10,
        continue_on_error: bool = False,
        store_results: bool = True,
        enable_logging: bool = True,
    ) -> None:
        self.max_execution_time_ms = max_execution_time_ms
        self.max_tool_calls = max_tool_calls
        self.continue_on_error = continue_on_error
        self.store_results = store_results
        self.enable_logging = enable_logging

    @staticmethod
    def production() -> ExecutorConfig:
        """A minute, 20 calls, and an end at the first failure."""
        return ExecutorConfig(60000, 20, False, True, True)

    @staticmethod
    def development() -> ExecutorConfig:
        """Ten seconds, 5 calls, failures or not."""
        return ExecutorConfig(10000, 5, True, True, True)

    @property
    def max_execution_time_ms(self) -> int:
        """How long all calls of one request may take, in milliseconds."""
        return self._max_execution_time_ms

    @max_execution_time_ms.setter
    def max_execution_time_ms(self, value: int) -> None:
        self._max_execution_time_ms = require_count(value, "max_execution_time_ms")

    @property
    def max_tool_calls(self) -> int:
        """How many calls of one request are run."""
        return self._max_tool_calls

    @max_tool_calls.setter
    def max_tool_calls(self, value: int) -> None:
        self._max_tool_calls = require_count(value, "max_tool_calls")

    @property
    def continue_on_error(self) -> bool:
        """Whether calls behind a failed one are run."""
        return self._continue_on_error

    @continue_on_error.setter
    def continue_on_error(self, value: bool) -> None:
        self._continue_on_error = require(value, bool, "continue_on_error")

    @property
    def store_results(self) -> bool:
        """Whether the executor keeps results and variables."""
        return self._store_results

    @store_results.setter
    def store_results(self, value: bool) -> None:
        self._store_results = require(value, bool, "store_results")

    @property
    def enable_logging(self) -> bool:
        """Kept for GraphBit's sake."""
        return self._enable_logging

    @enable_logging.setter
    def enable_logging(self, value: bool) -> None:
        self._enable_logging = require(value, bool, "enable_logging")

    def _values(self) -> tuple[int, int, bool, bool, bool]:
        return (
            self._max_execution_time_ms,
            self._max_tool_calls,
            self._continue_on_error,
            self._store_results,
            self._enable_logging,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExecutorConfig):
            return NotImplemented
        return self._values() == other._values()

    # Its attributes may change.
    __hash__ = None  # type: ignore[assignment]  # checkers know only the method

    def __reduce__(self) -> tuple[Any, ...]:
        return ExecutorConfig, self._values()

    def __repr__(self) -> str:
        more = str(self._continue_on_error).lower()
        return (
            f"ExecutorConfig(max_time={self._max_execution_time_ms}ms, "
            f"max_calls={self._max_tool_calls}, continue_on_error={more})"
        )


class _Context:
    """What one run has come to; written by the thread that runs it."""

    __slots__ = ("calls", "execution_id", "results", "started", "variables")

    def __init__(self) -> None:
        self.execution_id = str(uuid.uuid4())
        self.started = time.perf_counter_ns()
        self.calls = 0
        self.results = ToolResultCollection()
        self.variables: dict[str, Any] = {}

    def elapsed_ms(self) -> int:
        return (time.perf_counter_ns() - self.started) // 1_000_000


class _Call(NamedTuple):
    id: str
    name: str
    parameters: Any


class ToolExecutor:
    """Runs requests of calls against one registry. Usable from any number of threads, and from its own tools.

    Args:
        registry: Whose tools are found, and who counts the calls; by default an empty one.
        config: The limits, as they are now; by default those of ``ExecutorConfig()``.
    """

    __module__ = "graphbit"

    __slots__ = ("__weakref__", "_config", "_context", "_registry")

    def __init__(
        self, registry: ToolRegistry | None = None, config: ExecutorConfig | None = None
    ) -> None:
        if registry is not None:
            require(registry, ToolRegistry, "registry")
        if config is not None:
            require(config, ExecutorConfig, "config")
        self._registry = ToolRegistry() if registry is None else registry
        self._config = copy.copy(config) if config else ExecutorConfig()
        self._context = _Context()

    def execute_tools(self, tool_calls: list[Any]) -> ToolResultCollection:
        """Run the calls in their order and return a result for each that was looked at.

        Args:
            tool_calls: Each a dict with ``name`` and perhaps ``id`` and ``parameters``, the JSON text of one with
                all three, or an `LlmToolCall`.

        Raises:
            TypeError: If ``tool_calls`` is no list.
            ValueError: If a limit is zero.
        """
        require(tool_calls, list, "tool_calls")
        if self._config.max_execution_time_ms == 0:
            raise ValueError("Max execution time must be greater than 0")
        if self._config.max_tool_calls == 0:
            raise ValueError("Max tool calls must be greater than 0")
        returned = ToolResultCollection()
        if not tool_calls:
            return returned
        # A run has a context of its own, so that runs beside and inside of it leave it alone; the last
        # one that starts or ends is what the executor tells of.
        context = self._context = _Context()
        try:
            for call in list(tool_calls):
                spent = context.elapsed_ms() > self._config.max_execution_time_ms
                if spent or context.calls >= self._config.max_tool_calls:
                    break
                result = self._one(call, context)
                returned.add(result)
                if not (result.success or self._config.continue_on_error):
                    break
        finally:
            self._context = context
        return returned

    def _one(self, call: Any, context: _Context) -> ToolResult:
        try:
            parsed = _parsed(call)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            reason = f"Failed to parse tool call: {type(error).__name__}: {error}"
            return ToolResult.failure("unknown_tool", "invalid_params", reason)
        problem = _problem(parsed)
        if problem is not None:
            reason = f"Tool call validation failed: Validation error: {problem}"
            return ToolResult.failure(parsed.name, compact(parsed.parameters), reason)
        params: dict[str, Any] = parsed.parameters or {}
        context.calls += 1
        try:
            result = self._registry.execute_tool(parsed.name, params)
        except KeyError:
            result = ToolResult.failure(
                parsed.name, repr(params), f"Tool '{parsed.name}' not found"
            )
        if self._config.store_results:
            context.results.add(result)
            context.variables[f"tool_result_{context.calls}"] = result.output
        return result

    def get_results(self) -> ToolResultCollection:
        """A copy of what the last run has kept."""
        return self._context.results.__copy__()

    def get_variables(self) -> str:
        """JSON object of the variables: ``tool_result_<n>`` of the last run, and what was set since."""
        return compact(dict(self._context.variables))

    def set_variable(self, key: str, value: Any) -> None:
        """Set a variable to a value of JSON; it is gone with the next run.

        Raises:
            TypeError: If the value, or something in it, has no form in JSON.
            ValueError: If a number is not finite.
        """
        self._context.variables[require(key, str, "key")] = _strict(value)

    def get_variable(self, key: str) -> str | None:
        """JSON text of a variable, ``None`` if there is none."""
        variables = self._context.variables
        return compact(variables[key]) if require(key, str, "key") in variables else None

    def clear_context(self) -> None:
        """Forget the last run and the variables."""
        self._context = _Context()

    def get_execution_stats(self) -> str:
        """Pretty JSON of the last run: its id, its calls, its results and the time since it began."""
        context = self._context
        results = context.results.__copy__()
        return pretty(
            {
                "execution_id": context.execution_id,
                "elapsed_ms": context.elapsed_ms(),
                "tool_calls": context.calls,
                "total_results": results.count(),
                "successful_results": results.success_count(),
                "failed_results": results.failure_count(),
                "success_rate": results.success_rate(),
            }
        )

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a ToolExecutor holds functions of this process and can not be copied")

    def __repr__(self) -> str:
        return f"ToolExecutor(config={self._config!r})"


def _parsed(call: Any) -> _Call:
    if isinstance(call, str):
        return _from_text(call)
    if isinstance(call, dict):
        fields = cast("dict[Any, Any]", call)
        if "name" not in fields:
            raise KeyError("Missing 'name' in tool call")
        name = require(fields["name"], str, "name")
        identity = require(fields["id"], str, "id") if "id" in fields else str(uuid.uuid4())
        return _Call(identity, name, _strict(fields.get("parameters", {})))
    made, called = getattr(call, "id", None), getattr(call, "name", None)
    parameters: Any = getattr(call, "parameters", None)
    if not (isinstance(made, str) and isinstance(called, str)):
        raise TypeError("Tool call must be a dictionary or JSON string")
    if isinstance(parameters, str):  # an LlmToolCall has them as the model wrote them
        parameters = json.loads(parameters, parse_constant=_refuse) if parameters.strip() else {}
    return _Call(made, called, _strict(parameters))


def _from_text(text: str) -> _Call:
    failed = "Failed to parse tool call JSON: "
    try:
        fields: Any = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{failed}{error}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{failed}expected an object")  # noqa: TRY004 - it is the text that is wrong
    for name in ("id", "name", "parameters"):
        if name not in fields:
            raise ValueError(f"{failed}missing field `{name}`")
        if name != "parameters" and not isinstance(fields[name], str):
            raise ValueError(f"{failed}field `{name}` is not a string")
    return _Call(fields["id"], fields["name"], _strict(fields["parameters"]))


def _problem(call: _Call) -> str | None:
    if not call.id.strip():
        return "Tool call ID cannot be empty"
    if not call.name.strip():
        return "Tool name cannot be empty"
    if not (call.parameters is None or isinstance(call.parameters, dict)):
        return "Tool parameters must be a JSON object or null"
    return None


def _strict(value: Any) -> Any:
    """A copy of a value of JSON with its keys sorted; anything else is refused."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("Invalid floating point number")
        return value
    if isinstance(value, list):
        return [_strict(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        entries = cast("dict[Any, Any]", value)
        if not all(isinstance(key, str) for key in entries):
            raise TypeError("Keys of JSON have to be strings")
        return {key: _strict(item) for key, item in sorted(entries.items())}
    raise TypeError("Unsupported type for JSON conversion")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
