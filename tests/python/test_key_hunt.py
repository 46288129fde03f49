"""No API key in anything a program can print, however a call fails, at any log level.

``children/key_hunt.py`` makes the calls, each run in a process of its own, since logging is set up once
a process; here its output and its log are searched.
"""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from disguises import disguises

CHILDREN = Path(__file__).parent / "children"
LEVELS = ["off", "error", "warn", "info", "debug", "trace"]
# The middle of each key: half a key is one too many as well.
MIDDLES = {"key": "KEY/hunt+9=&~secret", "header's key": "HEADER/hunt+8=&~secret"}


SOUGHT = {
    f"{whose} {how}": text
    for whose, middle in MIDDLES.items()
    for how, text in disguises(middle).items()
}


def found_in(text: str) -> list[str]:
    lowered = text.lower()
    return [how for how, sought in SOUGHT.items() if sought in text or sought.lower() in lowered]


def entries(child: Any) -> list[dict[str, Any]]:
    # Not splitlines(): a pickle has characters that it takes for the end of a line.
    return [json.loads(line) for line in child.stdout.split("\n") if line]


def leaks(child: Any) -> list[str]:
    """Where a key was found: one line for each place and disguise."""
    places: dict[str, str] = {}
    if not found_in(child.stdout.replace("\\\\", "\\") + child.stderr):
        return []
    for entry in entries(child):
        for how in found_in(str(entry["text"])):
            places.setdefault(f"{entry['label']}: {how}", str(entry["text"])[-300:])
    for line in child.stderr.splitlines():
        for how in found_in(line):
            places.setdefault(f"log: {how}", line[:300])
    return [f"{place}: {text}" for place, text in places.items()]


def hunt(run_child: Any, level: str, echo: str) -> Any:
    child = run_child(
        script=CHILDREN / "key_hunt.py",
        arguments=(level, echo),
        env={"RUST_LOG": "trace"},
        timeout=55,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    return child


def test_the_search_finds_what_it_looks_for() -> None:
    for middle in MIDDLES.values():
        for text in disguises(middle).values():
            assert found_in(f"a {text} b")
        for prefix in (b"", b":", b"me"):
            assert found_in(base64.b64encode(prefix + middle.encode() + b"more").decode())
    assert not found_in("sk-*** and nothing else")


@pytest.mark.timeout(120)
def test_no_key_is_told_at_any_log_level(run_child: Any) -> None:
    with ThreadPoolExecutor(len(LEVELS)) as pool:
        children = dict(
            zip(LEVELS, pool.map(lambda level: hunt(run_child, level, "raw"), LEVELS), strict=True)
        )
    assert children["off"].stderr == "" != children["trace"].stderr
    for level in ("debug", "trace"):
        assert "python: new client" in children[level].stderr, level
    for level, child in children.items():
        assert leaks(child) == [], level
    # The hunt was one: clients were made, sent their keys, and failed.
    hunted, raised, sent = set(), set(), set()
    for entry in entries(children["off"]):
        name, what = entry["label"].split(" ")[0], entry["label"].split(" ")[-1]
        hunted.add(name)
        raised |= {name} if what == "raised" else set()
        sent |= {name} if what == "sent" and entry["text"] else set()
    assert hunted == raised and len(hunted) >= 20
    assert {name.partition(".")[2] for name in hunted - sent} == {"huggingface", "litellm"}


def test_no_key_is_told_when_the_server_encodes_it(run_child: Any) -> None:
    assert leaks(hunt(run_child, "trace", "encoded")) == []


def test_no_key_in_a_header_is_told_by_a_library(run_child: Any) -> None:
    assert leaks(hunt(run_child, "off", "headers")) == []
