"""The document loader: what 0.6.8 returns by default, everything in full, and what it refuses."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import os
import pickle
import sys
import threading
import time
from pathlib import Path
from typing import Any

import graphbit
import pytest
from graphbit import DocumentContent, DocumentLoader, DocumentLoaderConfig, exceptions
from loader_setup import load

DATA = Path(__file__).parent / "data"
CASES = json.loads((DATA / "loader-cases.json").read_text("utf-8"))["cases"]
PREFIX = "Validation error for field 'unknown': "
TYPES = ["txt", "pdf", "docx", "json", "csv", "xml", "html", "xlsb", "xlsx", "xls"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_default_is_what_0_6_8_returns(case: dict[str, Any]) -> None:
    raw = base64.b64decode(case["file_base64"]) if "file_base64" in case else None
    Path(case["file_name"]).write_bytes(case["file_text"].encode() if raw is None else raw)
    loader = DocumentLoader()
    if "raises" in case:
        with pytest.raises(ValueError) as caught:
            loader.load_document(case["file_name"], case["document_type"])
        assert str(caught.value) == case["message"]
        return
    document = loader.load_document(case["file_name"], case["document_type"])
    assert document.content == case["content"]
    metadata = document.metadata
    fallback = metadata.pop("parse_fallback", None)
    assert fallback is None or document.content == case["file_text"]
    assert metadata == case["metadata"]
    assert document.document_type == case["type_echoed"]
    assert document.file_size == case["file_size"]
    assert document.content_length() == case["content_length"]
    assert document.is_empty() == case["is_empty"]
    assert document.source == case["file_name"]


# --- settings -------------------------------------------------------------------------------------


def test_settings_have_the_defaults_and_checks_of_0_6_8() -> None:
    config = DocumentLoaderConfig()
    assert (config.max_file_size, config.default_encoding) == (10485760, "utf-8")
    assert (config.preserve_formatting, config.extraction_settings) == (False, {})
    shown = "DocumentLoaderConfig(max_file_size=7, default_encoding='x', preserve_formatting=true)"
    assert repr(DocumentLoaderConfig(7, "x", True)) == shown
    with pytest.raises(ValueError, match=r"^max_file_size must be greater than 0$"):
        DocumentLoaderConfig(0, " ")
    with pytest.raises(ValueError, match=r"^default_encoding cannot be empty$"):
        DocumentLoaderConfig(1, " ")
    with pytest.raises(OverflowError):
        DocumentLoaderConfig(-1)
    for name, bad in [("max_file_size", "1"), ("default_encoding", 1), ("preserve_formatting", 1)]:
        for value in (bad, None):
            with pytest.raises(TypeError):
                setattr(config, name, value)
        with pytest.raises(AttributeError):
            delattr(config, name)
    with pytest.raises(ValueError, match="max_file_size must be"):
        config.max_file_size = 0
    config.max_file_size = 9
    loader = DocumentLoader(config)
    config.max_file_size = 1
    Path("document").write_text("nine is 9")
    assert loader.load_document("document", "txt").file_size == 9


def test_extraction_settings_are_values_of_json() -> None:
    config = DocumentLoaderConfig()
    settings = {"none": None, "yes": True, "n": -7, "big": 2**63, "x": 1.5, "l": ["é", {"k": []}]}
    config.extraction_settings = settings
    assert config.extraction_settings == settings
    assert isinstance(config.extraction_settings["big"], float)
    config.extraction_settings["more"] = 1
    assert config.extraction_settings == settings
    loop: list[Any] = []
    loop.append(loop)
    for bad, error in [
        ((1,), TypeError),
        (b"x", TypeError),
        (10**400, TypeError),
        (float("nan"), ValueError),
        ({1: 2}, TypeError),
        (loop, ValueError),
    ]:
        with pytest.raises(error):
            config.extraction_settings = {"key": bad}
    with pytest.raises(TypeError):
        config.extraction_settings = []
    assert config.extraction_settings == settings


@pytest.mark.parametrize(
    "name",
    ["max_text_bytes", "max_unpacked_bytes", "max_pages", "max_cells", "max_depth", "max_seconds"],
)
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' with value '0'"):
        DocumentLoaderConfig(**{name: 0})
    assert getattr(DocumentLoaderConfig(**{name: 3}), name) == 3


def test_settings_documents_and_loaders_pickle() -> None:
    config = DocumentLoaderConfig(5, "latin-1", True, full=True, root="/", max_seconds=0.25)
    config.extraction_settings = {"a": [1, None]}
    document = load("<a b='c'/>", "xml")
    for copied in (pickle.loads(pickle.dumps(config)), copy.deepcopy(config)):
        assert copied == config and copied is not config
        assert (copied.max_seconds, copied.full, copied.root) == (0.25, True, "/")
        assert copied.extraction_settings == {"a": [1, None]}
    assert config != DocumentLoaderConfig()
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        copied = pickle.loads(pickle.dumps(document, protocol))
        assert copied == document and hash(copied) == hash(document)
        assert copied.metadata == document.metadata
    Path("long").write_text("123456")
    with pytest.raises(ValueError, match="exceeds maximum"):
        pickle.loads(pickle.dumps(DocumentLoader(config))).load_document(
            Path("long").resolve(), "txt"
        )


# --- documents and names --------------------------------------------------------------------------


def test_a_document_knows_its_sizes_and_shows_itself() -> None:
    document = load("ähm, 世界", "TXT")
    assert repr(document) == str(document)
    assert repr(document) == (
        "DocumentContent(source='document', type='TXT', size=12 bytes, content_length=12)"
    )
    assert document.preview(3) == "ähm..." and document.preview() == "ähm, 世界"
    assert document.preview(0) == "..."
    with pytest.raises(OverflowError):
        document.preview(-1)
    assert abs(document.extracted_at - time.time()) < 60
    document.metadata["x"] = 1
    assert document.metadata == {"file_path": "document", "file_size": 12}
    assert load(" \n ", "txt").is_empty()
    with pytest.raises(AttributeError):
        document.content = "x"
    with pytest.raises(TypeError):
        DocumentContent()


def test_types_are_listed_and_told_by_their_extension() -> None:
    assert DocumentLoader.supported_types() == TYPES
    listed = json.dumps(TYPES)
    assert repr(DocumentLoader()) == f"DocumentLoader(supported_types={listed})"
    detect = DocumentLoader.detect_document_type
    assert detect("a/b.PDF/") == "pdf" == detect(Path("x.pdf"))
    assert [detect(name) for name in (".txt", "a.htm", "a.tar.gz", "http://x/y.pdf?z", "")] == [
        None
    ] * 5


def test_sources_are_validated_without_reading_them() -> None:
    Path("a.txt").touch()
    validate = DocumentLoader.validate_document_source
    for source in ("a.txt", Path("a.txt"), ".", "http://", "HTTPS://nowhere.invalid/x"):
        assert validate(source, "pdf") is None
    for source in ("nope", "ftp://x", ""):
        with pytest.raises(FileNotFoundError) as missing:
            validate(source, "txt")
        assert str(missing.value) == f"{PREFIX}File not found: {source}"
    with pytest.raises(ValueError) as unknown:
        validate("a.txt", "TXT")
    supported = json.dumps(TYPES)
    message = f"{PREFIX}Unsupported document type: TXT. Supported types: {supported}"
    assert str(unknown.value) == message


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "document_type", "classes", "message"),
    [
        ("", "", (ValueError,), "source_path cannot be empty"),
        (" ", "txt", (ValueError,), "source_path cannot be empty"),
        ("x", "\t", (ValueError,), "document_type cannot be empty"),
        ("x", "md", (ValueError,), PREFIX + "Unsupported document type: md"),
        (
            "ftp://x",
            "txt",
            (ValueError,),
            PREFIX + "Invalid URL format: ftp://x. Only HTTP and HTTPS URLs are supported",
        ),
        ("nope", "txt", (ValueError, FileNotFoundError), PREFIX + "File not found: nope"),
        ("a\0b", "txt", (ValueError, FileNotFoundError), PREFIX + "File not found: a\0b"),
        (
            ".",
            "json",
            (ValueError, IsADirectoryError),
            PREFIX + "Failed to read JSON file: Is a directory (os error 21)",
        ),
    ],
)
def test_refusals_say_what_0_6_8_says_and_are_what_python_says(
    source: str, document_type: str, classes: tuple[type, ...], message: str
) -> None:
    for cls in (*classes, graphbit.GraphbitError):
        with pytest.raises(cls) as caught:
            DocumentLoader().load_document(source, document_type)
        assert str(caught.value) == message


def test_a_file_may_be_as_large_as_the_limit_and_no_larger() -> None:
    assert load("12345", "txt", max_file_size=5).content == "12345"
    with pytest.raises(exceptions.DocumentError) as caught:
        load("123456", "txt", max_file_size=5)
    size = "File size (6 bytes) exceeds maximum allowed size (5 bytes)"
    assert str(caught.value) == PREFIX + size


@pytest.mark.skipif(os.name == "nt", reason="there are no such modes")
def test_an_unreadable_file_is_a_permission_error(run_child: Any) -> None:
    child = run_child(
        """
        import os, tempfile
        from graphbit import DocumentLoader
        folder = tempfile.mkdtemp()
        path = os.path.join(folder, "secret.txt")
        open(path, "w").close()
        os.chmod(path, 0)
        if os.geteuid() == 0:
            os.chmod(folder, 0o755)
            os.seteuid(65534)  # root may read everything
        try:
            DocumentLoader().load_document(path, "txt")
        except PermissionError as error:
            print(isinstance(error, ValueError), str(error).partition("Failed")[2])
        """
    )
    assert child.stdout == "True  to read text file: Permission denied (os error 13)\n", child


@pytest.mark.skipif(sys.platform != "linux", reason="the files of Linux's kernel")
@pytest.mark.parametrize("source", ["/dev/zero", "pipe", "/proc/self/mem"])
def test_what_is_no_regular_file_is_refused_at_once(source: str, here: Path) -> None:
    os.mkfifo("pipe")
    begun = time.monotonic()
    with pytest.raises(exceptions.DocumentError) as caught:
        DocumentLoader(DocumentLoaderConfig(10)).load_document(source, "txt")
    assert time.monotonic() - begun < 5
    assert str(caught.value).startswith(PREFIX + "Failed to read text file: ")


@pytest.mark.skipif(sys.platform != "linux", reason="the files of Linux's kernel")
def test_a_file_that_says_it_is_empty_is_read_up_to_the_limit() -> None:
    with pytest.raises(exceptions.DocumentError, match=r"File size \(11 bytes\) exceeds"):
        DocumentLoader(DocumentLoaderConfig(10)).load_document("/proc/version", "txt")


def test_a_root_confines_files(here: Path) -> None:
    (here / "root" / "inner").mkdir(parents=True)
    (here / "root" / "inner" / "a.txt").write_text("inside")
    (here / "b.txt").write_text("outside")
    (here / "root" / "link").symlink_to(here / "b.txt")
    (here / "root" / "good").symlink_to("inner/a.txt")
    loader = DocumentLoader(DocumentLoaderConfig(root=here / "root"))
    for source in ("inner/a.txt", "good", here / "root" / "inner" / "a.txt", "inner/../good"):
        assert loader.load_document(source, "txt").content == "inside"
    for source in ("link", "../b.txt", here / "b.txt", "../nope", "/etc/nope"):
        with pytest.raises(PermissionError, match="lies outside of the root folder"):
            loader.load_document(source, "txt")
    with pytest.raises(FileNotFoundError):
        loader.load_document("nope", "txt")


def test_path_objects_are_paths_whatever_they_look_like(here: Path) -> None:
    folder = here / "http:" / "host"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("a file")
    document = DocumentLoader().load_document(Path("http://host/a.txt"), "txt")
    assert (document.content, document.source) == ("a file", "http:/host/a.txt")
    if sys.platform == "linux":  # elsewhere names are text
        name = os.fsdecode(b"caf\xe9.txt")
        (here / name).write_text("bytes")
        assert DocumentLoader().load_document(name, "txt").content == "bytes"
    with pytest.raises(TypeError, match="source_path must be a str or an os.PathLike, not int"):
        DocumentLoader().load_document(1, "txt")


# --- in full --------------------------------------------------------------------------------------


def test_json_in_full_keeps_order_duplicates_and_digits() -> None:
    text = '{"b": 1.10, "a": [12345678901234567890123, -0], "b": "\\u00e9/"}'
    expected = (
        '{\n  "b": 1.10,\n  "a": [\n    12345678901234567890123,\n    -0\n  ],\n  "b": "é/"\n}'
    )
    assert load(text, "json", full=True).content == expected
    assert load(text, "json", full=True, preserve_formatting=True).content == text


def test_csv_in_full_has_every_row_and_field() -> None:
    text = "a,b\n" + "".join(f"{row},x,extra\n" for row in range(250))
    content = load(text, "csv", full=True).content
    assert "Row 250:\n  a: 249\n  b: x\n  Column 3: extra\n" in content
    assert content.endswith("Total rows processed: 250\n")
    assert "truncated" not in content
    kept = load("a\n x \n", "csv", full=True, preserve_formatting=True).content
    assert "  a:  x \n" in kept


def test_xml_in_full_has_every_element_and_text_in_its_place() -> None:
    text = "<a>one<b c='&lt;&#65;'/>two<d>three</d>&nope;four</a><e/>"
    assert load(text, "xml", full=True).content == (
        "XML Document Content:\n\n"
        "Element: a\n  Text: one\n  Element: b\n    @c: <A\n  Text: two\n"
        "  Element: d\n    Text: three\n  Text: &nope;four\nElement: e\n"
        "\nXML parsing completed.\n"
    )


def test_broken_xml_comes_back_raw_and_says_so() -> None:
    for full in (False, True):
        document = load("<a>x</b>", "xml", full=full)
        assert document.content == "<a>x</b>"
        assert document.metadata["parse_fallback"]
    assert "parse_fallback" not in load("<a>x</a>", "xml").metadata


HTML = """<!doctype html><html><head><title>The  page</title><style>p {}</style>
<meta name=description content="What it is"></head><body><div>Loose <b>words</b> here</div>
<h2>Head<br>line</h2><p>See <a href="/x?y">the  link</a>.</p>
<ul><li>one<ul><li>inner</li></ul></li><li><p>two</p><p>more</p></li></ul><ol start=3><li>three</ol>
<blockquote><p>quoted</p><p>twice</p></blockquote><pre>  code
    more</pre><dl><dt>term<dd>meaning</dl><script>alert(1)</script><noscript>plain</noscript>
<table><caption>Cap</caption><tr><th>h1<th>h|2<tr><td>a<td><a href=u>b</a><tr><td>c</table>
<img alt="A cat" src="cat.png"><textarea>typed</textarea></body></html>"""


def test_html_in_full_is_the_page_as_markdown_once() -> None:
    expected = """Title: The page

Description: What it is

Loose words here

## Head
line

See [the link](/x?y).

- one
  - inner
- two

  more

3. three

> quoted
>
> twice

```
  code
    more
```

term
: meaning

plain

Cap

| h1 | h\\|2 |
| --- | --- |
| a | [b](u) |
| c |  |

![A cat](cat.png)
typed
"""
    assert load(HTML, "html", full=True).content == expected


def test_every_word_of_a_page_is_there_once_in_full() -> None:
    words = [f"word{number}" for number in range(40)]
    tags = ["p", "div", "span", "li", "td", "h1", "a", "ul", "table", "tr", "section", "pre", "dd"]
    text = "".join(f"<{tags[n % len(tags)]}>{word} " for n, word in enumerate(words))
    content = load(text, "html", full=True).content
    assert [content.count(word + " ") + content.count(word + "\n") for word in words] == [1] * 40


def test_full_can_be_asked_for_a_single_call() -> None:
    Path("a.html").write_text("<div>loose</div>")
    loader = DocumentLoader()
    assert "loose" not in loader.load_document("a.html", "html").content
    assert loader.load_document("a.html", "html", full=True).content == "loose\n"
    careful = DocumentLoader(DocumentLoaderConfig(full=True))
    assert "loose" not in careful.load_document("a.html", "html", full=False).content


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("text", "document_type"),
    [
        ("<div>" * 100_000, "html"),
        ("<ul><li>" * 20_000, "html"),
        ("<table><tr><td>" * 400, "html"),
        ("<b x='1'><i y='2'>" * 3000 + "<p>" * 3000, "html"),
        ("<a>" * 30_000 + "</a>" * 30_000, "xml"),
    ],
    ids=["div", "lists", "tables", "formatting", "xml"],
)
def test_nesting_is_refused_before_it_costs_anything(
    text: str, document_type: str, full: bool
) -> None:
    begun = time.monotonic()
    with pytest.raises(exceptions.DocumentError, match="'max_depth'"):
        load(text, document_type, full=full)
    assert time.monotonic() - begun < 5


def test_depth_may_be_raised_without_exhausting_the_stack() -> None:
    text = "<div>" * 20_000 + "end"
    document = load(text, "html", full=True, max_depth=100_000, max_seconds=50)
    assert document.content == "end\n"


def test_output_is_limited_not_input() -> None:
    text = "<ul><li>" * 100 + "x" * 10_000
    with pytest.raises(
        exceptions.DocumentError, match="more than 100000 bytes of text.*max_text_bytes"
    ):
        load(text, "html", max_text_bytes=100_000)


def test_time_is_limited() -> None:
    text = "a,b\n" + "1,2\n" * 2_000_000
    begun = time.monotonic()
    with pytest.raises(exceptions.DocumentError, match=r"more than 0\.05 s.*max_seconds"):
        load(text, "csv", full=True, max_seconds=0.05)
    assert time.monotonic() - begun < 10


def test_cells_are_limited_in_full() -> None:
    with pytest.raises(exceptions.DocumentError, match="max_cells"):
        load("a,b\n1,2\n3,4\n", "csv", full=True, max_cells=3)


# --- where it may be called -----------------------------------------------------------------------


def test_the_async_twin_loads_on_a_loop_that_goes_on() -> None:
    Path("a.csv").write_text("a\n" + "1\n" * 300_000)

    async def run() -> tuple[int, DocumentContent]:
        loading = DocumentLoader().load_document_async("a.csv", "csv", full=True)
        beats = 0
        while not loading.done():
            beats += 1
            await asyncio.sleep(0.001)
        return beats, await loading

    beats, document = asyncio.run(run())
    assert beats > 3
    assert document.content.endswith("Total rows processed: 300000\n")

    async def missing() -> None:
        with pytest.raises(FileNotFoundError):
            await DocumentLoader().load_document_async("nope", "txt")

    asyncio.run(missing())


def test_a_callback_may_load() -> None:
    Path("a.txt").write_text("nested")

    def answer(messages: Any) -> str:
        return DocumentLoader().load_document("a.txt", "txt").content

    client = graphbit.LlmClient(graphbit.LlmConfig.from_callable(answer))
    assert client.complete("load") == "nested"


def test_other_threads_run_while_a_document_is_parsed() -> None:
    Path("big.csv").write_text("a,b\n" + "1,2\n" * 500_000)
    beats, done = [0], threading.Event()

    def beat() -> None:
        while not done.is_set():
            beats[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=beat)
    thread.start()
    begun = time.monotonic()
    DocumentLoader().load_document("big.csv", "csv", full=True)
    taken = time.monotonic() - begun
    done.set()
    thread.join()
    assert beats[0] > taken * 100
