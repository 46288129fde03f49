"""Tables in full, and the parts that a DOCX is made of."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from loader_setup import load


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table_of(rows: str) -> list[str]:
    return load(f"<table>{rows}</table>", "html", full=True).content.splitlines()


def test_values_of_a_table_stand_under_their_own_headings() -> None:
    head = "<tr><th>Region</th><th>City</th><th>Sales</th></tr>"
    north = (
        "<tr><td rowspan=2>North</td><td>Oslo</td><td>5</td></tr><tr><td>Turku</td><td>7</td></tr>"
    )
    assert table_of(head + north) == [
        "| Region | City | Sales |",
        "| --- | --- | --- |",
        "| North | Oslo | 5 |",
        "|  | Turku | 7 |",
    ]
    assert table_of(head + "<tr><td colspan=2>All</td><td>12</td></tr>")[2:] == ["| All |  | 12 |"]
    assert table_of(head + "<tr><td rowspan=0>N<td>a<td>1<tr><td>b<td>2<tr><td>c<td>3")[2:] == [
        "| N | a | 1 |",
        "|  | b | 2 |",
        "|  | c | 3 |",
    ]
    # By default the table is that of 0.6.8.
    assert "Row 3: Turku | 7\n" in load(f"<table>{head}{north}</table>", "html").content


def test_an_absurd_span_costs_no_more_than_another() -> None:
    absurd = "<tr><td colspan=100000000>a<td>b<tr><td rowspan=100000000>c<td>d<tr><td>e"
    assert table_of(absurd) == [
        "| a |  | b |",
        "| --- | --- | --- |",
        "| c | d |  |",
        "|  | e |  |",
    ]
    wide = "<tr>" + "<td colspan=100000000>x" * 5000
    assert table_of(wide)[0] == "|" + " x |" * 5000


DECLARATION = "<?xml version='1.0' encoding='UTF-8'?>"
KINDS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def docx(target: str, main: bytes) -> bytes:
    """A document whose main part is where `target` says."""
    root = f"<Relationship Id='r1' Type='{KINDS}/officeDocument' Target='{target}'/>"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("_rels/.rels", f"<Relationships>{root}</Relationships>")
        archive.writestr(target.lstrip("/"), main)
    return packed.getvalue()


def main_part(text: str, head: str = DECLARATION) -> str:
    inside = f"<w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body>"
    return f"{head}<w:document xmlns:w='{WORD}'>{inside}</w:document>"


@pytest.mark.parametrize("full", [False, True])
def test_the_main_part_of_a_docx_may_have_any_name(full: bool) -> None:
    for target in ("word/document2.xml", "/doc/main.xml", "document.xml"):
        document = load(docx(target, main_part("found").encode()), "docx", full=full)
        assert document.content == "found"


@pytest.mark.parametrize("full", [False, True])
def test_the_main_part_of_a_docx_is_read_as_it_is_written(full: bool) -> None:
    latin = main_part("café", "<?xml version='1.0' encoding='ISO-8859-1'?>").encode("latin-1")
    assert load(docx("word/document.xml", latin), "docx", full=full).content == "café"
    declared = "<!DOCTYPE w:document [<!ENTITY e 'big &f;'><!ENTITY f 'caf&#233;'>]>"
    entity = main_part("a &e;", DECLARATION + declared).encode()
    assert load(docx("word/document.xml", entity), "docx", full=full).content == "a big café"
    outside = main_part("a&e;", f"{DECLARATION}<!DOCTYPE a [<!ENTITY e SYSTEM '/etc/passwd'>]>")
    assert load(docx("word/document.xml", outside.encode()), "docx", full=full).content == "a"
    subset = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10}'>" for n in range(1, 10))
    bomb = main_part("&e9;", f"{DECLARATION}<!DOCTYPE a [<!ENTITY e0 'lol'>{subset}]>")
    with pytest.raises(ValueError, match="its entities are"):
        load(docx("word/document.xml", bomb.encode()), "docx", full=full)


def test_values_of_a_table_in_docx_stand_under_their_own_headings() -> None:
    def row(*cells: tuple[str, str], before: int = 0) -> str:
        texts = (
            f"<w:tc><w:tcPr>{properties}</w:tcPr><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>"
            for text, properties in cells
        )
        place = f"<w:trPr><w:gridBefore w:val='{before}'/></w:trPr>"
        return f"<w:tr>{place}{''.join(texts)}</w:tr>"

    two = "<w:gridSpan w:val='2'/>"
    table = (
        row(("a", ""), ("b", ""), ("c", ""))
        + row(("ab", two), ("3", ""))
        + row(("bc", two), before=1)
        + row(("all", "<w:gridSpan w:val='4000000000'/>"))
    )
    body = f"<w:document xmlns:w='{WORD}'><w:body><w:tbl>{table}</w:tbl></w:body></w:document>"
    raw = docx("word/document.xml", (DECLARATION + body).encode())
    assert load(raw, "docx", full=True).content == (
        "| a | b | c |\n| --- | --- | --- |\n| ab |  | 3 |\n|  | bc |  |\n| all |  |  |"
    )
