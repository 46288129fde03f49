"""The code in README and docs runs as printed, offline; tables that could drift are compared.

A block under the comment `compile only: <why>` is compiled and not run. Each page is one program,
run in a child process, so that a page may configure the runtime.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from graphbit.exceptions import BY_KIND

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?P<skip><!-- compile only: [^>]+ -->\n)?^```python\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks(page: Path) -> list[tuple[str, bool]]:
    """Each Python block with its line numbers kept, and whether it is to be run."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        padding = "\n" * text.count("\n", 0, match.start("code"))
        found.append((padding + match["code"], match["skip"] is None))
    return found


def environment(base_url: str) -> dict[str, str]:
    """What a reader has set, with the simulator in the place of every provider."""
    keys = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "AZURE_OPENAI_API_KEY")
    addresses = {
        "OPENAI_BASE_URL": f"{base_url}/v1",
        "ANTHROPIC_BASE_URL": base_url,
        "GEMINI_BASE_URL": f"{base_url}/v1beta",
        "AZURE_OPENAI_ENDPOINT": base_url,
        "REPLICATE_BASE_URL": f"{base_url}/v1",
        "OLLAMA_HOST": base_url,
    }
    return addresses | dict.fromkeys((*keys, "REPLICATE_API_TOKEN"), "sk-0123456789abcdef0123")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_compiles_and_runs(page: Path, run_child: Any, server: Any) -> None:
    program = ["import os", "import sys"]
    for code, runs in blocks(page):
        compile(code, str(page), "exec")
        if runs:
            program.append(f"exec(compile({code!r}, {str(page)!r}, 'exec'), globals())")
    child = run_child("\n".join(program), timeout=50, env=environment(server.base_url))
    assert child.returncode == 0, child.stderr
    assert child.stderr == ""


def test_the_entry_pages_have_code_that_runs() -> None:
    for name in ("README.md", "index.md", "runtime-and-nesting.md", "errors.md"):
        page = next(page for page in PAGES if page.name == name)
        assert any(runs for _, runs in blocks(page)), name


def test_the_error_table_is_the_tree() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| ([^|]*) \|", text, re.MULTILINE)
    assert {kind: name for kind, name, _ in rows} == {
        kind: cls.__name__ for kind, cls in BY_KIND.items()
    }
    for kind, _, bases in rows:
        listed = re.findall(r"`(\w+)`", bases)
        actual = [base.__name__ for base in BY_KIND[kind].__bases__]
        assert listed == [name for name in actual if name != "GraphbitError"], kind


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([\w./-]+\.md)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file(), f"{page.name}: {target}"
