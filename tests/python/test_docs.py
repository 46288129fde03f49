"""The code in README and docs runs as printed, offline; tables that could drift are compared.

A block under the comment `compile only: <why>` is compiled and not run. Each page is one program,
run in a child process, so that a page may configure the runtime.
"""

from __future__ import annotations

import builtins
import dataclasses
import datetime
import decimal
import enum
import json
import re
import typing
import uuid
from pathlib import Path
from typing import Any

import graphbit
import pytest
from graphbit.exceptions import BY_KIND
from graphbit.tools import parameters_schema

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


def assert_each_call_is_answered(messages: list[dict[str, Any]]) -> None:
    """As services demand it: behind each turn with calls one result for each, in any order."""
    open_calls: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] in open_calls, messages
            open_calls.remove(message["tool_call_id"])
        else:
            assert open_calls == [], messages
            open_calls = [call["id"] for call in message.get("tool_calls") or ()]
    assert open_calls == [], messages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_compiles_and_runs(page: Path, run_child: Any, server: Any, tmp_path: Path) -> None:
    # Two calls in one answer show what a page does wrong with the second.
    question = "What is the weather in Oslo?"
    asks = [[name, "get_weather", {"town": "Oslo"}] for name in ("one", "other")]
    server.behaviour(replies=[{"prompt": question, "turn": 0, "tool_calls": asks}])
    program = ["import os", "import sys"]
    for code, runs in blocks(page):
        compile(code, str(page), "exec")
        if runs:
            program.append(f"exec(compile({code!r}, {str(page)!r}, 'exec'), globals())")
    # The package that brings a PostgreSQL server warns where this is not set.
    folder = {"XDG_RUNTIME_DIR": str(tmp_path)}
    child = run_child("\n".join(program), timeout=50, env=environment(server.base_url) | folder)
    assert child.returncode == 0, child.stderr
    assert child.stderr == ""
    asked = [json.loads(entry["body"]) for entry in server.log() if "chat/comp" in entry["path"]]
    for body in asked:
        assert_each_call_is_answered(body["messages"])
    if page.name == "chat.md":
        roles = [[message["role"] for message in body["messages"]] for body in asked]
        assert ["user", "assistant", "tool", "tool"] in roles


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


def rows_below(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").split(f"\n{heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table is not None, heading
    lines = table[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_operation_table_is_what_transforms_know() -> None:
    listed = [
        name for cells in rows_below("workflows.md", "## Transforms")
        for name in re.findall(r"`(\w+)`", cells[0])
    ]  # fmt: skip
    workflow = graphbit.Workflow("w")
    workflow.add_node(graphbit.Node.transform("t", "no such operation"))
    with pytest.raises(graphbit.exceptions.WorkflowError) as refused:
        workflow.validate()
    told = re.search(r"; use (.*) \(several", str(refused.value))
    assert told is not None
    assert sorted(listed) == told[1].split(", ")


def test_the_event_table_is_the_schema() -> None:
    schema = graphbit.Executor.get_stream_event_schema()
    listed = [
        (event.strip("`"), dimensions, re.findall(r"`(\w+)`", keys))
        for event, dimensions, keys in rows_below("workflows.md", "## Events")
    ]
    assert listed == [
        (
            event["event"],
            f"{event['category_value']}, {event['phase_value']}",
            [field["name"] for field in event["fields"][4:]],
        )
        for event in schema["events"]
    ]


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


def test_the_hint_table_is_what_models_are_shown() -> None:
    names = {
        **vars(typing), **vars(builtins), **vars(datetime), "Color": Color, "Point": Point,
        "Path": Path, "Decimal": decimal.Decimal, "UUID": uuid.UUID,
    }  # fmt: skip
    checked = 0
    for hints, schema in rows_below("tools.md", "## The schema"):
        # "`Point`, a dataclass, ..." explains the name that comes first.
        first = hints.split(", a")[0] if re.search(r", an? ", hints) else hints
        for hint in re.findall(r"`([^`]+)`", first):

            def function(value): ...  # type: ignore[no-untyped-def]

            function.__annotations__["value"] = eval(hint, names)
            shown = parameters_schema(function)["properties"]["value"]
            assert shown.pop("description") == "Parameter value"
            assert shown == json.loads(schema.strip("`")), hint
            checked += 1
    assert checked >= 20
