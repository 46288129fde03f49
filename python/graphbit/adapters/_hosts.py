"""What is said where the framework of an adapter is not installed."""

from __future__ import annotations


def missing(
    error: ModuleNotFoundError, packages: tuple[str, ...], extra: str
) -> ModuleNotFoundError:
    """What to raise for `error`, which importing one of `packages` raised.

    A package that is there but lacks a dependency of its own has another complaint, which is kept.
    """
    absent = [name for name in packages if error.name == name]
    if not absent:
        return error
    text = f"the package {absent[0]!r} is not installed; run: pip install 'graphbit[{extra}]'"
    return ModuleNotFoundError(text, name=absent[0])
