"""Documents that may end the process that reads them are read in another one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

DOCUMENTS = Path(__file__).resolve().parents[1] / "documents"
HELP = f"""
import os, signal, sys
from pathlib import Path
from graphbit import DocumentLoader, DocumentLoaderConfig

PDF, XLSX = {str(DOCUMENTS / "plain.pdf")!r}, {str(DOCUMENTS / "cells.xlsx")!r}

def readers():
    found = []
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            if b"_read_documents" in Path("/proc", child, "cmdline").read_bytes():
                found.append(int(child))
    return found

def load(path, **settings):
    return DocumentLoader(DocumentLoaderConfig(**settings)).load_document(path, path[-4:].strip("."))
"""


def test_a_pdf_is_read_elsewhere_and_a_reader_that_dies_is_replaced(run_child: Any) -> None:
    child = run_child(
        HELP
        + """
text = load(PDF).content
(reader,) = readers()
assert load(PDF).content == text and readers() == [reader], "one reads one after the other"
assert load(PDF, isolate=False).content == text
os.kill(reader, signal.SIGKILL)
assert load(PDF).content == text, "its death was no fault of the document"
assert readers() and readers() != [reader]
print("done")
"""
    )
    assert child.stdout == "done\n", child


def test_other_documents_are_read_here_unless_it_is_asked_for(run_child: Any) -> None:
    child = run_child(
        HELP
        + """
text = load(XLSX).content
print(len(readers()))
assert load(XLSX, isolate=True).content == text
print(len(readers()))
"""
    )
    assert child.stdout == "0\n1\n", child


def test_a_forked_child_has_readers_of_its_own(run_child: Any) -> None:
    child = run_child(
        HELP
        + """
text = load(PDF).content
mine = readers()
if os.fork() == 0:
    ok = load(PDF).content == text and readers() and readers() != mine
    os._exit(0 if ok else 1)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
assert load(PDF).content == text and readers() == mine
print("done")
"""
    )
    assert child.stdout == "done\n", child
