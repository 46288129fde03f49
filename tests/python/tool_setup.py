"""What the tests of tools share: classes to hint parameters with, registries in a line, and work on threads."""

from __future__ import annotations

import dataclasses
import enum
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from graphbit import ToolRegistry


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Place:
    """Somewhere that is still there.

    Attributes:
        name: what no schema shows, for it is the tool whose docstring is read
    """

    name: str
    height: float = 0.0
    tags: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        if self.name == "Atlantis":
            raise ValueError("it is gone")


@dataclasses.dataclass
class Tree:
    value: int
    children: list[Tree] = dataclasses.field(default_factory=list)


class Pair(NamedTuple):
    one: int
    other: str = "z"


class Described:
    """What stands in `Annotated` and describes by an attribute."""

    description = "From an object."


def registry_of(**functions: Any) -> ToolRegistry:
    """A registry with these functions, by these names."""
    registry = ToolRegistry()
    for name, function in functions.items():
        registry.register_tool(name, "Described.", function, {}, None)
    return registry


def on_threads(count: int, work: Callable[[int], object]) -> None:
    """Runs `work`, which gets the number of its thread, on so many threads at once."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def on_another_thread(work: Callable[[], Any]) -> Any:
    """What `work` returns there."""
    found: list[Any] = []
    on_threads(1, lambda _: found.append(work()))
    [result] = found
    return result
