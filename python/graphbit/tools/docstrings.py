"""What a docstring says about each parameter, in the styles of Google, NumPy and Sphinx.

The first style that describes anything is taken. Continuation lines are joined by one space. Types in
a docstring are passed over, the hints of the signature are the truth; a NumPy entry without a
description gives its type text, which is better than nothing.

>>> parameter_descriptions('''Weather of a place.
...
...     Args:
...         city: Name of the place,
...             in English.
...         days (int): How far ahead.
...     ''')
{'city': 'Name of the place, in English.', 'days': 'How far ahead.'}
"""

from __future__ import annotations

import inspect
import re

# What opens a list of parameters, and what may follow it, in Google's style.
_GOOGLE_OPENS = {"Args:", "Arguments:", "Parameters:", "Keyword Args:", "Keyword Arguments:"}
_GOOGLE_CLOSES = {
    "Attributes:", "Example:", "Examples:", "Note:", "Notes:", "Raises:", "References:", "Return:",
    "Returns:", "See Also:", "Todo:", "Warning:", "Warnings:", "Warns:", "Yield:", "Yields:",
}  # fmt: skip
_NUMPY_OPENS = {"Parameters", "Other Parameters"}
_NUMPY_CLOSES = {
    "Attributes", "Examples", "Methods", "Notes", "Raises", "Receives", "References", "Returns",
    "See Also", "Warnings", "Warns", "Yields",
}  # fmt: skip
_NAMES = r"\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*"
_GOOGLE_ENTRY = re.compile(rf"({_NAMES})\s*(?:\(.*?\))?\s*:(?!:)\s*(.*)")
_NUMPY_ENTRY = re.compile(rf"({_NAMES})(?:\s*:\s*(.*))?")
_SPHINX_ENTRY = re.compile(
    r":(?:param|parameter|arg|argument|key|keyword)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)"
)


def parameter_descriptions(docstring: str | None) -> dict[str, str]:
    """Descriptions by parameter name, without those that are empty; ``{}`` for no docstring."""
    if not isinstance(docstring, str) or not docstring:
        return {}
    lines = inspect.cleandoc(docstring).splitlines()
    return _google(lines) or _numpy(lines) or _sphinx(lines)


class _Entries:
    """Collects entries and their continuation lines in the order of the text."""

    def __init__(self) -> None:
        self._found: list[tuple[list[str], list[str]]] = []

    def open(self, names: str, text: str) -> None:
        every = [name.strip().lstrip("*") for name in names.split(",")]
        self._found.append((every, [text] if text else []))

    def extend(self, text: str) -> None:
        if self._found:
            self._found[-1][1].append(text)

    def described(self) -> dict[str, str]:
        described: dict[str, str] = {}
        for names, texts in self._found:
            text = " ".join(texts).strip()
            for name in names:
                if text:
                    described[name] = text
        return described


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _google(lines: list[str]) -> dict[str, str]:
    entries = _Entries()
    outer: int | None = None  # indentation of the line that opened the section; None outside
    inner: int | None = None  # indentation of its entries, told by the first
    for line in lines:
        stripped, indentation = line.strip(), _indentation(line)
        if stripped in _GOOGLE_OPENS:
            outer, inner = indentation, None
            continue
        if outer is None or not stripped:
            continue
        if inner is None:
            inner = indentation
        # Entries that are not indented at all are read too: then only a heading ends the section.
        if stripped in _GOOGLE_CLOSES or (inner > outer and indentation <= outer):
            outer = None
        elif indentation <= inner and (entry := _GOOGLE_ENTRY.fullmatch(stripped)):
            entries.open(entry[1], entry[2])
        else:
            entries.extend(stripped)
    return entries.described()


def _numpy(lines: list[str]) -> dict[str, str]:
    entries = _Entries()
    types: dict[str, str] = {}
    outer: int | None = None
    for number, line in enumerate(lines):
        stripped, indentation = line.strip(), _indentation(line)
        following = lines[number + 1].strip() if number + 1 < len(lines) else ""
        underlined = following[2:] != "" and not following.strip("-=")
        if stripped in _NUMPY_OPENS:
            outer = indentation
        elif outer is None or not stripped or not stripped.strip("-="):
            continue
        elif underlined or stripped.rstrip(":") in _NUMPY_CLOSES:
            outer = None
        elif indentation <= outer and (entry := _NUMPY_ENTRY.fullmatch(stripped)):
            entries.open(entry[1], "")
            for name in entry[1].split(","):
                types[name.strip().lstrip("*")] = (entry[2] or "").strip()
        elif indentation > outer:
            entries.extend(stripped)
    described = entries.described()
    return {
        name: text for name in types if (text := described.get(name) or types[name])
    }  # in the order of the docstring


def _sphinx(lines: list[str]) -> dict[str, str]:
    entries = _Entries()
    inside = False
    for line in lines:
        stripped = line.strip()
        if entry := _SPHINX_ENTRY.fullmatch(stripped):
            entries.open(entry[1], entry[2])
            inside = True
        elif not stripped or stripped.startswith(":"):
            inside = False
        elif inside:
            entries.extend(stripped)
    return entries.described()
