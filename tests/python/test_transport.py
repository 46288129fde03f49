"""TLS, HTTP/2 and proxies as a program meets them: through the environment and through arguments."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from far_side import Proxy, TlsServer

CALL = """
    import sys
    from graphbit import LlmClient, LlmConfig
    url, proxy = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    config = LlmConfig.openai_compatible(url, "m", "sk-key-0123456789", http_proxy=proxy)
    client = LlmClient(config)
    try:
        print(client.complete("hi"), client.complete("again"))
    except Exception as error:
        print(type(error).__name__, error)
"""
#: Nothing the machine itself says about proxies must reach the children.
BARE = {
    name: ""
    for word in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    for name in (word, word.upper())
}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def roots(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("roots") / "roots.pem"
    authority.cert_pem.write_to_path(str(file))
    return str(file)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as running:
        yield running


def test_a_certificate_is_checked_against_the_roots_of_the_environment(
    authority: trustme.CA, roots: str, run_child: Any
) -> None:
    with TlsServer(authority, ["http/1.1"]) as server:
        trusting = run_child(CALL, arguments=(server.url,), env=BARE | {"SSL_CERT_FILE": roots})
        assert trusting.stdout == "hello hello\n", trusting
        assert [seen.split()[:2] for seen in server.seen[:2]] == [["http/1.1", "POST"]] * 2
        wary = run_child(CALL, arguments=(server.url,), env=BARE)
        assert wary.stdout.startswith("NetworkError"), wary
        assert "certificate" in wary.stdout


def test_http_2_is_spoken_where_it_is_offered(
    authority: trustme.CA, roots: str, run_child: Any
) -> None:
    with TlsServer(authority, ["h2", "http/1.1"]) as server:
        child = run_child(CALL, arguments=(server.url,), env=BARE | {"SSL_CERT_FILE": roots})
        assert child.stdout == "hello hello\n", child
        assert server.seen == ["h2 POST /v1/chat/completions"] * 2


@pytest.mark.parametrize("named", ["by the environment", "by the argument"])
@pytest.mark.parametrize("kind", ["tunnel", "socks"])
def test_https_goes_through_a_tunnel(
    authority: trustme.CA, roots: str, proxy: Proxy, run_child: Any, named: str, kind: str
) -> None:
    address = proxy.url if kind == "tunnel" else proxy.socks_url
    environment = BARE | {"SSL_CERT_FILE": roots}
    with TlsServer(authority, ["http/1.1"]) as server:
        arguments: tuple[str, ...] = (server.url,)
        if named == "by the environment":
            environment["HTTPS_PROXY"] = address
        else:
            arguments += (address,)
        child = run_child(CALL, arguments=arguments, env=environment)
        assert child.stdout == "hello hello\n", child
        assert len([seen for seen in server.seen if "POST" in seen]) == 2
        asked = "\n".join(proxy.seen)
        if kind == "tunnel":
            assert asked.startswith(f"CONNECT localhost:{server.port} "), asked
            credentials = base64.b64encode(b"user:secret-word").decode()
            assert f"proxy-authorization: basic {credentials}".lower() in asked.lower()
        else:
            assert proxy.seen == ["socks user:secret-word", "socks to localhost"]
        # Credentials of the provider are inside the tunnel only, those of the proxy outside only.
        assert "sk-key" not in asked
        assert not any("proxy-authorization" in seen.lower() for seen in server.seen)


def test_plain_http_is_forwarded_and_exempt_hosts_are_not(
    proxy: Proxy, server: Any, run_child: Any
) -> None:
    environment = BARE | {"HTTP_PROXY": proxy.url}
    child = run_child(CALL, arguments=("http://nowhere.invalid/v1",), env=environment)
    assert child.stdout == "hello hello\n", child
    assert proxy.seen[0].startswith("POST http://nowhere.invalid/v1/chat/completions HTTP/1.1")
    assert "proxy-authorization: basic" in proxy.seen[0].lower()

    proxy.seen.clear()
    exempt = run_child(
        CALL, arguments=(server.openai_url,), env=environment | {"NO_PROXY": "127.0.0.1"}
    )
    assert exempt.stdout.startswith("echo: hi"), exempt
    assert proxy.seen == []


def test_an_empty_argument_overrules_the_environment(
    proxy: Proxy, server: Any, run_child: Any
) -> None:
    child = run_child(CALL, arguments=(server.openai_url, ""), env=BARE | {"HTTP_PROXY": proxy.url})
    assert child.stdout.startswith("echo: hi"), child
    assert proxy.seen == []


def test_a_proxy_that_is_down_or_refuses_is_an_error_without_its_password(
    run_child: Any, tmp_path: Path
) -> None:
    address = "http://user:secret-word@127.0.0.1:9"
    child = run_child(CALL, arguments=("https://nowhere.invalid/v1", address), env=BARE)
    assert child.stdout.startswith("NetworkError"), child
    assert "secret-word" not in child.stdout + child.stderr
