"""The document loader beside GraphBit 0.6.8, on generated documents.

Needs an interpreter with graphbit 0.6.8 installed, named by ``GRAPHBIT_PEER_PYTHON``;
``GRAPHBIT_PEER_CASES`` is the number of documents of each type. What the project claims is shown by

    GRAPHBIT_PEER_CASES=20000 pytest tests/python/test_loader_peer.py -s
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import graphbit
import pytest

PEER = os.environ.get("GRAPHBIT_PEER_PYTHON")
CASES = int(os.environ.get("GRAPHBIT_PEER_CASES", "1500"))
CHILD = Path(__file__).parent / "children" / "load.py"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not PEER, reason="GRAPHBIT_PEER_PYTHON names no interpreter with 0.6.8"),
    pytest.mark.timeout(3600),
]

WORDS = [
    "a",
    "Wörld",
    "世界",
    "🚀",
    " ",
    "  ",
    "\n",
    "\t",
    "\r\n",
    "\u00a0",
    "x y",
    "0",
    "\ufeff",
    "\0",
]
WORDS += ["'", "=", "/", "-", "]]>", "é\u0301", "\u2028", "ﬁ"]


def some_of(chance: random.Random, pieces: list[str], most: int) -> str:
    return "".join(chance.choices(pieces, k=chance.randint(0, most)))


def csv_text(chance: random.Random) -> str:
    pieces = [*WORDS, *'""""', *",,,,,,", *"\n\n\n\n", "\r", '"a,b"', '"a""b"', "1,2\n" * 30]
    return chance.choice(["", "", "\ufeff"]) + some_of(chance, pieces, 60)


def number(chance: random.Random) -> str:
    digits = "".join(chance.choices("0123456789", k=chance.choice([1, 3, 8, 17, 19, 25])))
    text = chance.choice(["", "-"]) + (digits.lstrip("0") or "0")
    if chance.random() < 0.6:
        text += "." + "".join(chance.choices("0123456789", k=chance.choice([1, 5, 17, 20])))
    if chance.random() < 0.4:
        text += chance.choice("eE") + chance.choice(["", "-", "+"])
        text += str(chance.choice([chance.randint(0, 30), chance.randint(280, 340)]))
    return text


def json_value(chance: random.Random, depth: int) -> str:
    kind = chance.random()
    space = chance.choice(["", "", " ", "\n"])
    if depth and kind < 0.25:
        items = [json_value(chance, depth - 1) for _ in range(chance.randint(0, 4))]
        return f"[{space}{','.join(items)}{space}]"
    if depth and kind < 0.5:
        keys = [json_string(chance) for _ in range(chance.randint(0, 4))]
        entries = [f"{key}{space}:{json_value(chance, depth - 1)}" for key in keys]
        return f"{{{','.join(entries)}{space}}}"
    if kind < 0.8:
        return number(chance)
    return chance.choice([json_string(chance), "null", "true", "false"])


def json_string(chance: random.Random) -> str:
    text = json.dumps(some_of(chance, WORDS, 3), ensure_ascii=chance.random() < 0.5)
    return text.replace("/", chance.choice(["/", "\\/"]))


def json_text(chance: random.Random) -> str:
    text = json_value(chance, 4)
    if chance.random() < 0.2:
        at = chance.randint(0, len(text))
        text = text[:at] + chance.choice(["", ",", "}", "x", "\\u", '"', "NaN"]) + text[at + 1 :]
    return text


XML = [
    *(
        "<a>",
        "</a>",
        "<b>",
        "</b>",
        "<n:c x='1'>",
        "</n:c>",
        '<d y="&lt;" z="2&3">',
        "</d>",
        "<e/>",
    ),
    *(
        "<f g='h'/>",
        "<!-- no -->",
        "<![CDATA[ raw <b> ]]>",
        "<?go on?>",
        "&amp;",
        "&#65;",
        "&#x4e16;",
    ),
    *("text", "text", " ", "\n  ", "Wörld", "世", "&quot;", "&apos;", "&gt;", "&#10;"),
]
BROKEN_XML = [
    "&",
    "&nope;",
    "<",
    "< a>",
    "<g h>",
    "<g h=i>",
    "<g h='1' h='2'>",
    "<!DOCTYPE a>",
    ">",
    "&#0;",
]


def xml_text(chance: random.Random) -> str:
    text, open_names = chance.choice(["", '<?xml version="1.0"?>\n', "\ufeff", "<!DOCTYPE a>"]), []
    for _ in range(chance.randint(0, 25)):
        piece = chance.choice(XML if chance.random() < 0.98 else BROKEN_XML)
        if piece.startswith("</"):
            if not open_names:
                continue
            piece = f"</{open_names.pop()}>"
        elif piece[0] == "<" and piece[1:2].isalpha() and not piece.endswith("/>"):
            open_names.append(piece[1:].split()[0].rstrip(">"))
        text += piece
    if chance.random() < 0.8:
        text += "".join(f"</{name}>" for name in reversed(open_names))
    return text


TAGS = (
    "html head body title p div span a b i ul ol li table tr td th thead tbody caption h1 h2 h6 br"
)
TAGS += (
    " svg math template noscript pre dl dt dd form select option button font nobr frameset style"
)
TAGS += " script textarea foo"
HTML = [
    *(f"<{tag}>" for tag in TAGS.split()),
    *(f"</{tag}>" for tag in TAGS.split()),
    *("<a href=u>", "<a href=' v '>", "<a href=''>", "<meta name=description content=' D '>"),
    *("<meta name=description>", "<meta name=Description content=x>", "<p class=q>", "<!-- c -->"),
    *("<!doctype html>", "&amp;", "&nbsp;", "&eacute", "&#x4e16;", "<ul><li>one<li>two</ul>"),
    *(
        "<table><tr><td>1<td>2<tr><th>3</table>",
        "<p>para",
        "text",
        " ",
        "\n",
        "Wörld",
        "🚀",
        "<",
        "</",
    ),
    *(
        "<li>",
        "</li>",
        "</ul>",
        "</ol>",
        "</table>",
        "<svg><title>S</title></svg>",
        "<![CDATA[x]]>",
    ),
]


def html_text(chance: random.Random) -> str:
    return some_of(chance, chance.sample(HTML, chance.choice([8, 20, len(HTML)])), 40)


MAKERS = {"csv": csv_text, "json": json_text, "xml": xml_text, "html": html_text}


def answers_of_the_peer(cases: list[tuple[str, str]]) -> list[Any]:
    assert PEER is not None
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    # -I: a PYTHONPATH that leads to our own package must not reach the peer.
    command = [PEER, "-I", str(CHILD)]
    run = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(answers) == len(cases)
    return answers


def lost_by_the_peer(document_type: str, ours: Any, theirs: Any) -> bool:
    """Whether all that is there in 0.6.8's text of a page is in ours.

    Where elements such as <a> are closed out of order, the tree that 0.6.8 builds can lose a branch.
    """
    if document_type != "html" or isinstance(ours, str) or isinstance(theirs, str):
        return False
    return not Counter(theirs[0]) - Counter(ours[0])


@pytest.mark.parametrize("document_type", MAKERS)
def test_same_text_as_graphbit(
    document_type: str, tmp_path: Path, monkeypatch: Any, record_property: Any
) -> None:
    chance = random.Random(document_type)
    cases = [(document_type, MAKERS[document_type](chance)) for _ in range(CASES)]
    loader = graphbit.DocumentLoader()
    monkeypatch.chdir(tmp_path)
    different, loaded, raised, fallbacks, lost = [], 0, 0, 0, 0
    for (_, text), theirs in zip(cases, answers_of_the_peer(cases), strict=True):
        Path("document").write_text(text, encoding="utf-8", newline="")
        ours: Any
        try:
            document = loader.load_document("document", document_type)
            metadata = document.metadata
            fallback = metadata.pop("parse_fallback", None)
            assert fallback is None or document.content == text
            fallbacks += fallback is not None
            ours = [document.content, metadata]
            loaded += 1
        except ValueError as error:
            ours = str(error)
            raised += 1
        if ours == theirs:
            continue
        if lost_by_the_peer(document_type, ours, theirs):
            lost += 1
        else:
            different.append(f"{text!r}:\n ours   {ours!r}\n theirs {theirs!r}")
    summary = (
        f"{document_type}: {CASES} documents, {len(different)} different,"
        f" {loaded} loaded ({fallbacks} as raw text), {raised} refused,"
        f" {lost} of which 0.6.8 lost a part"
    )
    record_property("summary", summary)
    print(summary)
    assert not different, "\n".join(different[:5])
    assert loaded > CASES // 2
    assert lost <= CASES // 200
