"""How texts are written: by name, by a mark, by what a document or a setting says."""

from __future__ import annotations

import json
from encodings.aliases import aliases
from pathlib import Path

import pytest
from loader_setup import load


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("raw", "encoding", "expected"),
    [
        ("café".encode("latin-1"), "latin-1", "café"),
        ("“quoted”".encode("cp1252"), "cp1252", "“quoted”"),
        ("日本".encode("shift_jis"), "shift_jis", "日本"),
        ("hi".encode("utf-16"), "utf-16", "hi"),
        (b"\xef\xbb\xbfhi", "utf-8-sig", "hi"),
        (b"\xef\xbb\xbfhi", "latin-1", "ï»¿hi"),
    ],
)
def test_the_default_encoding_is_honoured(raw: bytes, encoding: str, expected: str) -> None:
    assert load(raw, "txt", default_encoding=encoding).content == expected


def test_bytes_that_are_not_in_the_encoding_are_refused() -> None:
    with pytest.raises(ValueError, match="stream did not contain valid Shift_JIS"):
        load(b"\x82", "csv", default_encoding="shift_jis")


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", ["iso2022_kr", "hz", "utf-7"])
def test_an_unknown_encoding_of_seven_bits_is_refused_by_name(name: str, full: bool) -> None:
    # All of it could be read as UTF-8, and would be garbage.
    with pytest.raises(ValueError, match=f"the encoding '{name}' is not known"):
        load("plain", "txt", default_encoding=name, full=full)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", ["no such", "cp437"])
def test_an_unknown_encoding_is_refused_where_it_is_needed(name: str, full: bool) -> None:
    """0.6.8 took any word and never looked at it again."""
    assert load("é", "txt", default_encoding=name, full=full).content == "é"
    with pytest.raises(ValueError, match=f"the encoding '{name}' is not known"):
        load(b"\xe9", "txt", default_encoding=name, full=full)


# Encodings of Python that the web knows too, and a text that both write alike.
CODECS = {
    "ascii": "plain",
    "big5": "你好",
    "big5hkscs": "你好",
    "cp1250": "Łódź",
    "cp1251": "Цапля",
    "cp1252": "“café”",
    "cp1253": "ερωδιός",
    "cp1254": "çiğ",
    "cp1255": "אנפה",
    "cp1256": "مالك",
    "cp1257": "gārnis",
    "cp1258": "Diêc",
    "cp866": "Цапля",
    "cp874": "นกกระสา",
    "cp932": "日本",
    "cp949": "한국",
    "cp950": "你好",
    "euc_jp": "日本",
    "euc_kr": "한국",
    "gb18030": "你好",
    "gb2312": "你好",
    "gbk": "你好",
    "iso2022_jp": "日本",
    "iso8859_10": "ŋ",
    "iso8859_11": "นก",
    "iso8859_13": "gārnis",
    "iso8859_14": "ŵ",
    "iso8859_15": "€",
    "iso8859_16": "ș",
    "iso8859_2": "Łódź",
    "iso8859_3": "ĥ",
    "iso8859_4": "ģ",
    "iso8859_5": "Цапля",
    "iso8859_6": "مالك",
    "iso8859_7": "ερωδιός",
    "iso8859_8": "אנפה",
    "iso8859_9": "çiğ",
    "koi8_r": "Цапля",
    "koi8_u": "Чапля",
    "latin_1": "café\x93",
    "mac_cyrillic": "Цапля",
    "mac_roman": "café",
    "shift_jis": "日本",
    "tis_620": "นก",
    "utf_16": "hé",
    "utf_16_be": "hé",
    "utf_16_le": "hé",
    "utf_32": "hé🐦",
    "utf_32_be": "hé🐦",
    "utf_32_le": "hé🐦",
    "utf_8": "hé",
    "utf_8_sig": "hé",
}


@pytest.mark.parametrize("codec", CODECS)
def test_every_name_that_python_has_for_an_encoding_is_known(codec: str) -> None:
    text = CODECS[codec]
    names = {codec, codec.replace("_", "-"), codec.upper()}
    names |= {name for name, meant in aliases.items() if meant == codec}
    for name in sorted(names):
        assert load(text.encode(codec), "txt", default_encoding=name).content == text, name


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be"])
def test_a_mark_decides_in_full(encoding: str) -> None:
    text = '{"é": 1}'
    mark = "" if encoding == "utf-8-sig" else "\ufeff"
    raw = (mark + text).encode(encoding)
    assert load(raw, "txt", full=True).content == text
    assert json.loads(load(raw, "json", full=True).content) == {"é": 1}


@pytest.mark.parametrize("encoding", ["utf-32-le", "utf-32-be"])
def test_a_mark_of_utf_32_is_none_of_utf_16(encoding: str) -> None:
    raw = "\ufeffThe 🐦".encode(encoding)
    assert load(raw, "txt", full=True).content == "The 🐦"
    with pytest.raises(ValueError, match="stream did not contain valid UTF-32"):
        load(raw[:-1], "txt", full=True)
    with pytest.raises(ValueError, match="did not contain valid UTF-8"):
        load(raw, "txt")


@pytest.mark.parametrize(
    ("label", "encoding", "text"),
    [
        ("ISO-8859-1", "latin-1", "café"),
        ("windows-1252", "cp1252", "“café”"),
        ("Shift_JIS", "shift_jis", "日本"),
        # What was written in two bytes a letter could not be read so far.
        ("UTF-16", "utf-8", "café"),
        # Bytes that cannot be what they claim to be are what they would be without the claim.
        ("Shift_JIS", "utf-8", "ぁ é"),
    ],
)
def test_xml_in_full_is_written_as_it_declares(label: str, encoding: str, text: str) -> None:
    raw = f'<?xml version="1.0" encoding="{label}"?><a>{text}</a>'.encode(encoding)
    assert f"Text: {text}\n" in load(raw, "xml", full=True).content
    if encoding == "utf-8":
        assert f"Text: {text}\n" in load(raw, "xml").content
    else:
        expected = "Failed to read XML file: stream did not contain valid UTF-8"
        with pytest.raises(ValueError, match=expected):
            load(raw, "xml")


@pytest.mark.parametrize(
    ("claim", "encoding"),
    [
        ("<meta charset=windows-1252>", "cp1252"),
        ("<meta http-equiv='Content-Type' content='text/html; charset=Shift_JIS'>", "shift_jis"),
        ("<!-- a page --><META CHARSET='gb18030'/>", "gb18030"),
        ("<?xml version='1.0' encoding='koi8-r'?>", "koi8-r"),
        # What was written in two bytes a letter could not be read so far.
        ("<meta charset=utf-16>", "utf-8"),
        # Bytes that cannot be what they claim to be are what they would be without the claim.
        ("<meta charset=shift_jis>", "utf-8"),
    ],
)
def test_a_page_in_full_says_how_it_is_written(claim: str, encoding: str) -> None:
    word = {"cp1252": "“café”", "shift_jis": "日本", "gb18030": "你好", "koi8-r": "Цапля"}
    text = word.get(encoding, "ぁ é")
    raw = f"{claim}<p>{text}</p>".encode(encoding)
    assert load(raw, "html", full=True).content.strip() == text
    marked = "\ufeff".encode() + f"<meta charset=windows-1252><p>{text}</p>".encode()
    assert load(marked, "html", full=True).content.strip() == text
    if encoding != "utf-8":
        with pytest.raises(ValueError, match="did not contain valid UTF-8"):
            load(raw, "html")
