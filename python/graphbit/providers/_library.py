"""Imports what a backend stands on, or says how to install it."""

from __future__ import annotations

import importlib
from typing import Any


def imported(package: str, name: str, *, extra: str) -> Any:
    """Return ``name`` of ``package``, as ``from package import name`` would.

    Untyped on purpose: types come from a library that may not be installed where types are checked.

    Raises:
        ImportError: The package is absent or lacks the name; the text names the extra to install.
    """
    advice = f"run: pip install 'graphbit[{extra}]'"
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        # A package that is there but lacks a dependency of its own has another complaint.
        if error.name != package:
            raise
        text = f"the package {package!r} is not installed; {advice}"
        raise ModuleNotFoundError(text, name=package) from None
    try:
        return getattr(module, name)
    except AttributeError as error:
        text = f"the package {package!r} that is installed has no {name!r}; {advice}"
        raise ImportError(text, name=package) from error
