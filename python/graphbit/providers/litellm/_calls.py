"""What chat and embeddings share: the arguments of a call of litellm, and how its failure is raised."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from graphbit.providers._secrets import redacted, reveals

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping


def arguments(
    api_key: str | None,
    config: Mapping[str, Any],
    given: Mapping[str, Any],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the keyword arguments of one call: later mappings win, unset values are left out.

    The key travels with each call. In the environment it would reach other services' calls.
    """
    named = {name: value for name, value in given.items() if value is not None}
    key = {} if api_key is None else {"api_key": api_key}
    return {**key, **config, **named, **more}


@contextmanager
def failing_as(prefix: str, key: object) -> Generator[None]:
    """Raise a bare `Exception`, as GraphBit does, for whatever goes wrong inside, without the key.

    What went wrong is its cause, unless that would show the key.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever litellm and the services raise
        text = redacted(f"{prefix}{error}", key)
        raise Exception(text) from (None if reveals(error, key) else error)  # noqa: TRY002
