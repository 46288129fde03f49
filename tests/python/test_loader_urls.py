"""Documents from servers: real ones, in a process of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from far_side import NO_HOST, Proxy
from graphbit import DocumentContent, DocumentLoader, DocumentLoaderConfig, exceptions

PROGRAM = Path(__file__).parent / "children" / "documents.py"
PREFIX = "Validation error for field 'unknown': "


class Documents:
    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.base = f"http://{self.host}"

    def file(self, body: str | bytes, name: str = "a", content_type: str = "text/plain") -> str:
        raw = body.encode() if isinstance(body, str) else body
        return f"{self.base}/file/{name}?type={quote(content_type)}&hex={raw.hex()}"

    def last(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.base}/seen") as answer:
            return json.load(answer)[-1]


@pytest.fixture(scope="module")
def documents() -> Iterator[Documents]:
    command = [sys.executable, str(PROGRAM)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield Documents(int(process.stdout.readline()))
        process.communicate()


def load(url: str, document_type: str = "txt", **keywords: Any) -> DocumentContent:
    return DocumentLoader(DocumentLoaderConfig(**keywords)).load_document(url, document_type)


def test_text_comes_raw_and_json_printed_again(documents: Documents) -> None:
    for document_type in ("txt", "csv", "xml", "html"):
        url = documents.file("<p>a,b\r\n", content_type="Text/HTML; Charset=UTF-8")
        document = load(url, document_type)
        assert document.content == "<p>a,b\r\n"
        assert document.metadata == {
            "url": url,
            "file_size": 8,
            "content_type": "text/html; charset=utf-8",
        }
    assert load(documents.file('{"b":1,"a":[]}'), "json").content == '{\n  "a": [],\n  "b": 1\n}'
    empty = load(documents.base + "/nothing")
    assert (empty.content, empty.metadata["content_type"]) == ("", "")


def test_what_is_sent_is_what_0_6_8_sends(documents: Documents) -> None:
    load(documents.base + "/nothing?a=b#c")
    seen = documents.last()
    assert seen["path"] == "/nothing?a=b"
    assert seen["user-agent"] == "GraphBit Document Loader/1.0"
    assert seen["accept"] == "*/*"
    assert "gzip" not in seen.get("accept-encoding", "")
    assert "content-type" not in seen


def test_full_is_the_pipeline_of_files(documents: Documents) -> None:
    html = documents.file("<div>loose</div>")
    assert load(html, "html", full=True).content == "loose\n"
    assert "Row 1:\n  a: 1\n" in load(documents.file("a\n1\n"), "csv", full=True).content
    assert "@b: c" in load(documents.file("<a b='c'/>"), "xml", full=True).content


@pytest.mark.parametrize("document_type", ["pdf", "docx", "xlsb", "xlsx", "xls"])
def test_packed_formats_are_refused_without_a_download(
    documents: Documents, document_type: str
) -> None:
    load(documents.base + "/nothing")
    with pytest.raises(ValueError) as caught:
        load(documents.base + "/endless", document_type)
    assert str(caught.value) in {
        f"{PREFIX}URL loading for {document_type} documents is not yet supported",
        f"{PREFIX}Unsupported document type for URL loading: {document_type}",
    }
    assert documents.last()["path"] == "/nothing"


def test_the_charset_helps_where_utf_8_fails(documents: Documents) -> None:
    latin = documents.file("café".encode("latin-1"), content_type="text/plain; charset=ISO-8859-1")
    assert load(latin).content == "café"
    wrong = documents.file("café", content_type="text/plain; charset=latin1")
    assert load(wrong).content == "café"
    with pytest.raises(ValueError, match=f"^{PREFIX}Failed to decode text content: "):
        load(documents.file(b"\xe9"))
    assert load(documents.file(b"\xe9"), default_encoding="latin-1").content == "é"


# --- redirects ------------------------------------------------------------------------------------


def test_ten_redirects_are_followed_and_source_stays(documents: Documents) -> None:
    url = documents.base + "/hops/10"
    document = load(url)
    assert (document.content, document.source, document.metadata["url"]) == ("arrived", url, url)
    with pytest.raises(ConnectionError, match=r"Failed to fetch URL .*: more than 10 redirects"):
        load(documents.base + "/hops/11")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_kind_of_redirect_is_followed(documents: Documents, status: int) -> None:
    assert load(f"{documents.base}/to?status={status}&url=/hops/0").content == "arrived"


def test_a_redirect_out_of_the_web_is_not_followed(documents: Documents) -> None:
    url = documents.base + "/to?url=file:///etc/passwd"
    with pytest.raises(ValueError) as caught:
        load(url)
    assert str(caught.value) == f"{PREFIX}HTTP error 302 Found: {url}"
    assert caught.value.status_code == 302


def test_credentials_go_to_their_own_server_and_nowhere_else(documents: Documents) -> None:
    url = f"http://user:pass%40word@{documents.host}/hops/1"
    document = load(url)
    assert documents.last()["authorization"] == "Basic dXNlcjpwYXNzQHdvcmQ="
    assert document.source == url
    assert document.metadata["url"] == f"{documents.base}/hops/1"
    away = quote(documents.base.replace("127.0.0.1", "localhost") + "/hops/0")
    load(f"http://user:word@{documents.host}/to?url={away}")
    assert "authorization" not in documents.last()
    with pytest.raises(ValueError) as caught:
        load(f"http://user:secret-word@{documents.host}/status/500")
    assert "secret-word" not in str(caught.value)


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason", "cls"),
    [
        (404, "Not Found", FileNotFoundError),
        (403, "Forbidden", PermissionError),
        (504, "Gateway Timeout", TimeoutError),
        (500, "Internal Server Error", exceptions.DocumentError),
    ],
)
def test_a_status_is_an_error_of_its_own_class(
    documents: Documents, status: int, reason: str, cls: type[Exception]
) -> None:
    url = f"{documents.base}/status/{status}"
    with pytest.raises(cls) as caught:
        load(url)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value) == f"{PREFIX}HTTP error {status} {reason}: {url}"


def test_no_server_is_a_connection_error() -> None:
    for url in ("http://127.0.0.1:1/x", f"http://{NO_HOST}/x"):
        with pytest.raises(ConnectionError) as caught:
            load(url)
        assert str(caught.value).startswith(f"{PREFIX}Failed to fetch URL {url}: ")
    for url in ("http://", "https://a b/"):
        with pytest.raises(exceptions.DocumentError, match="Failed to fetch URL"):
            load(url)


def test_a_connection_that_breaks_is_a_connection_error(documents: Documents) -> None:
    with pytest.raises(ConnectionError, match="Failed to read response body: "):
        load(documents.base + "/broken")


def test_a_download_stops_at_the_limit(documents: Documents) -> None:
    with pytest.raises(exceptions.DocumentError) as caught:
        load(documents.base + "/announced", max_file_size=100)
    assert str(caught.value) == (
        f"{PREFIX}Remote file size (1000000 bytes) exceeds maximum allowed size (100 bytes)"
    )
    pattern = r"Downloaded file size \(\d+ bytes\) exceeds maximum allowed size \(100 bytes\)"
    with pytest.raises(exceptions.DocumentError, match=pattern):
        load(documents.base + "/endless", max_file_size=100)
    time.sleep(0.3)
    assert documents.last()["sent"] < 64 << 20, "the server was hung up on"


def test_downloads_wait_side_by_side(documents: Documents) -> None:
    urls = [f"{documents.base}/late/{number}.txt" for number in range(8)]
    loader = DocumentLoader()
    for verb in (loader.load_many, loader.load_iter):
        begun = time.monotonic()
        outcomes = list(verb(urls, max_workers=8))
        assert time.monotonic() - begun < 4, "each of the eight takes a second"
        assert [outcome.content for outcome in outcomes] == [f"/late/{n}.txt" for n in range(8)]


def test_ctrl_c_ends_a_download(documents: Documents, run_child: Any) -> None:
    child = run_child(
        f"""
        import signal, threading, time, os
        from graphbit import DocumentLoader
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        begun = time.monotonic()
        try:
            DocumentLoader().load_document({documents.base + "/silent"!r}, "txt")
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - begun < 3)
        """
    )
    assert child.stdout == "interrupted True\n", child


def test_a_forked_child_loads_too(documents: Documents, run_child: Any) -> None:
    child = run_child(
        f"""
        import os, warnings
        warnings.simplefilter("ignore")
        from graphbit import DocumentLoader
        url = {documents.file("hello")!r}
        assert DocumentLoader().load_document(url, "txt").content == "hello"
        if (pid := os.fork()) == 0:
            os._exit(DocumentLoader().load_document(url, "txt").content != "hello")
        print(os.waitpid(pid, 0)[1], DocumentLoader().load_document(url, "txt").content)
        """
    )
    assert child.stdout == "0 hello\n", child


# --- private networks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0"],
)
def test_private_addresses_can_be_denied(documents: Documents, host: str) -> None:
    port = documents.host.rpartition(":")[2]
    url = f"http://{host}:{port}/hops/0"
    with pytest.raises(PermissionError, match="is not an address of the public internet") as caught:
        load(url, deny_private_networks=True)
    assert isinstance(caught.value, ValueError)


def test_a_loader_that_judges_addresses_connects_by_itself(run_child: Any) -> None:
    # A proxy would look the name up on its own and connect to whatever it likes.
    with Proxy() as proxy:
        child = run_child(
            """
            import sys
            from graphbit import DocumentLoader, DocumentLoaderConfig
            loader = DocumentLoader(DocumentLoaderConfig(deny_private_networks=True))
            try:
                loader.load_document(sys.argv[1], "txt")
            except ConnectionError as error:
                print(type(error).__name__)
            """,
            arguments=(f"http://{NO_HOST}/x",),
            env={"HTTP_PROXY": proxy.url, "http_proxy": proxy.url},
        )
        assert child.stdout == "DocumentNetworkError\n", child
        assert proxy.seen == []


def test_the_scheme_may_be_in_capitals(documents: Documents) -> None:
    url = documents.base.replace("http", "HTTP") + "/hops/0"
    assert load(url).content == "arrived"


def test_proxies_of_the_environment_are_used(run_child: Any) -> None:
    with Proxy() as proxy:
        child = run_child(
            """
            from graphbit import DocumentLoader
            try:
                print(DocumentLoader().load_document("http://nowhere.invalid/x", "txt").content)
            except ValueError as error:
                print(error)
            """,
            env=dict.fromkeys(("HTTP_PROXY", "http_proxy"), proxy.url)
            | {"NO_PROXY": "", "no_proxy": ""},
        )
        assert re.match(r"GET http://nowhere\.invalid/x ", proxy.seen[0]), (child, os.environ)
