"""What came of a call of a tool, and collections of that.

>>> result = ToolResult("add", "{'one': 1}", "3", 12)
>>> print(result)
✓ add -> 3
>>> ToolResult.from_json(result.to_json()) == result
True
"""

from __future__ import annotations

import json
import operator
import time
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, cast, overload

from graphbit.tools.rendering import compact, json_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Value = TypeVar("Value")

_SHOWN = 50  # bytes of an output that `str()` shows
_FIELDS: dict[str, type] = {
    "tool_name": str, "input_params": str, "output": str, "success": bool, "duration_ms": int,
    "timestamp": int, "metadata": dict,
}  # fmt: skip


def require(value: Any, kind: type[Value], argument: str) -> Value:
    """The value, if it is of this type.

    Raises:
        TypeError: If it is not; names the argument and both types.
    """
    if isinstance(value, kind):
        return value
    raise TypeError(
        f"argument '{argument}': '{type(value).__name__}' object is not an instance of '{kind.__name__}'"
    )


def require_count(value: Any, argument: str) -> int:
    """The value as an unsigned integer of 64 bits.

    Raises:
        TypeError: If it is not an integer.
        OverflowError: If it is negative or too big.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"argument '{argument}': '{type(value).__name__}' object cannot be interpreted as an integer"
        ) from None
    if number < 0:
        raise OverflowError("can't convert negative int to unsigned")
    if number >= 2**64:
        raise OverflowError("int too big to convert")
    return number


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class ToolResult:
    """The outcome of one call. Equal by value; pickles as its JSON.

    Args:
        tool_name: Which tool was called.
        input_params: With what, as text.
        output: What it gave, as text.
        duration_ms: How long it took, in milliseconds.
    """

    __module__ = "graphbit"

    __slots__ = (
        "_duration_ms", "_error", "_input_params", "_metadata", "_output", "_success",
        "_timestamp", "_tool_name",
    )  # fmt: skip

    def __init__(
        self, tool_name: str, input_params: str, output: str, duration_ms: int = 0
    ) -> None:
        self._tool_name = require(tool_name, str, "tool_name")
        self._input_params = require(input_params, str, "input_params")
        self._output = require(output, str, "output")
        self._duration_ms = require_count(duration_ms, "duration_ms")
        self._success = True
        self._error: str | None = None
        self._timestamp = now_ms()
        self._metadata: dict[str, Any] = {}

    @staticmethod
    def failure(tool_name: str, input_params: str, error: str, duration_ms: int = 0) -> ToolResult:
        """The outcome of a call that failed: no output, and the text of the error."""
        result = ToolResult(tool_name, input_params, "", duration_ms)
        result._error = require(error, str, "error")
        result._success = False
        return result

    @property
    def tool_name(self) -> str:
        """Which tool was called."""
        return self._tool_name

    @property
    def input_params(self) -> str:
        """With what it was called, as text."""
        return self._input_params

    @property
    def output(self) -> str:
        """What it gave, as text; empty after a failure."""
        return self._output

    @property
    def success(self) -> bool:
        """Whether it did not fail."""
        return self._success

    @property
    def error(self) -> str | None:
        """Why it failed, if it did."""
        return self._error

    @property
    def duration_ms(self) -> int:
        """How long it took, in whole milliseconds."""
        return self._duration_ms

    @property
    def timestamp(self) -> int:
        """When it ended, in milliseconds since 1970."""
        return self._timestamp

    def is_success(self) -> bool:
        """Whether it did not fail."""
        return self._success

    def is_failure(self) -> bool:
        """Whether it failed."""
        return not self._success

    def get_error(self) -> str | None:
        """Why it failed, if it did."""
        return self._error

    def get_duration(self) -> float:
        """How long it took, in seconds."""
        return self._duration_ms / 1000

    def add_metadata(self, key: str, value: Any) -> None:
        """Keep a value of JSON under a key; what JSON does not have is kept as text, NaN as null."""
        plain = json_value([value])[0]
        self._metadata[require(key, str, "key")] = plain

    def get_metadata(self, key: str) -> str | None:
        """The JSON text of what was kept under a key."""
        require(key, str, "key")
        return compact(self._metadata[key]) if key in self._metadata else None

    def to_json(self) -> str:
        """The whole result as JSON, for `from_json`."""
        return compact(
            {
                "tool_name": self._tool_name,
                "input_params": self._input_params,
                "output": self._output,
                "success": self._success,
                "error": self._error,
                "duration_ms": self._duration_ms,
                "timestamp": self._timestamp,
                "metadata": self._metadata,
            }
        )

    @staticmethod
    def from_json(json_str: str) -> ToolResult:
        """A result from its JSON; keys that are not known are passed over.

        Raises:
            ValueError: If the text is not JSON, a key is missing or has a value of another type.
        """
        require(json_str, str, "json_str")
        failed = "Failed to deserialize tool result: "
        try:
            read: Any = json.loads(json_str)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{failed}{error}") from None
        if not isinstance(read, dict):
            raise ValueError(f"{failed}expected an object")  # noqa: TRY004 - it is the text that is wrong
        fields = cast("dict[str, Any]", read)
        for name, kind in _FIELDS.items():
            if name not in fields:
                raise ValueError(f"{failed}missing field `{name}`")
            value = fields[name]
            fits = isinstance(value, kind)
            if kind is int:
                fits = fits and not isinstance(value, bool) and 0 <= value < 2**64
            if not fits:
                raise ValueError(f"{failed}field `{name}` is not of type {kind.__name__}")
        reason = fields.get("error")
        if reason is not None and not isinstance(reason, str):
            raise ValueError(f"{failed}field `error` is not of type str")
        result = ToolResult(
            fields["tool_name"], fields["input_params"], fields["output"], fields["duration_ms"]
        )
        result._success = fields["success"]
        result._error = reason
        result._timestamp = fields["timestamp"]
        result._metadata = dict(fields["metadata"])
        return result

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ToolResult):
            return NotImplemented
        return self.to_json() == other.to_json()

    # Its metadata may change.
    __hash__ = None  # type: ignore[assignment]  # checkers know only the method

    def __reduce__(self) -> tuple[Any, ...]:
        return ToolResult.from_json, (self.to_json(),)

    def __repr__(self) -> str:
        success = str(self._success).lower()
        return (
            f"ToolResult(tool_name='{self._tool_name}', success={success}, "
            f"duration_ms={self._duration_ms})"
        )

    def __str__(self) -> str:
        if not self._success:
            return f"✗ {self._tool_name} -> Error: {self._error or ''}"
        raw = self._output.encode(errors="replace")
        text = self._output
        if len(raw) > _SHOWN:  # cut between two characters, never inside of one
            text = raw[:_SHOWN].decode(errors="ignore") + "..."
        return f"✓ {self._tool_name} -> {text}"


class ToolResultCollection:
    """Results in the order in which they came. Equal by value, pickles."""

    __module__ = "graphbit"

    __slots__ = ("_results",)

    def __init__(self) -> None:
        self._results: list[ToolResult] = []

    def add(self, result: ToolResult) -> None:
        """Append a result."""
        self._results.append(require(result, ToolResult, "result"))

    def get_all(self) -> list[ToolResult]:
        """Every result."""
        return list(self._results)

    def get_successful(self) -> list[ToolResult]:
        """The results that are no failures."""
        return [result for result in self.get_all() if result.success]

    def get_failed(self) -> list[ToolResult]:
        """The results that are failures."""
        return [result for result in self.get_all() if not result.success]

    def count(self) -> int:
        """How many there are."""
        return len(self._results)

    def success_count(self) -> int:
        """How many are no failures."""
        return len(self.get_successful())

    def failure_count(self) -> int:
        """How many are failures."""
        return len(self.get_failed())

    def success_rate(self) -> float:
        """Percent of them that are no failures, 0.0 for none."""
        results = self.get_all()
        return percent(sum(result.success for result in results), len(results))

    def total_duration_ms(self) -> int:
        """The sum of their durations, in milliseconds."""
        return sum(result.duration_ms for result in self.get_all())

    def clear(self) -> None:
        """Drop them all."""
        self._results.clear()

    def __len__(self) -> int:
        return len(self._results)

    def __bool__(self) -> bool:
        return True  # as long as it had no length, an empty one was true

    def __iter__(self) -> Iterator[ToolResult]:
        return iter(self.get_all())

    @overload
    def __getitem__(self, index: SupportsIndex) -> ToolResult: ...
    @overload
    def __getitem__(self, index: slice) -> list[ToolResult]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> ToolResult | list[ToolResult]:
        return self._results[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ToolResultCollection):
            return NotImplemented
        return self.get_all() == other.get_all()

    # It grows.
    __hash__ = None  # type: ignore[assignment]  # checkers know only the method

    def __copy__(self) -> ToolResultCollection:
        return _collection(self.get_all())

    def __reduce__(self) -> tuple[Any, ...]:
        return _collection, (self.get_all(),)

    def __repr__(self) -> str:
        return (
            f"ToolResultCollection(count={self.count()}, success_rate={self.success_rate():.1f}%)"
        )


def _collection(results: Iterable[ToolResult]) -> ToolResultCollection:
    made = ToolResultCollection()
    for result in results:
        made.add(result)
    return made


def percent(part: int, whole: int) -> float:
    """Percent, 0.0 of nothing."""
    return part / whole * 100.0 if whole else 0.0
