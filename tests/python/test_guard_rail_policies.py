"""Policies of guard rails: where they come from, what they say of themselves, and what is refused."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from graphbit import Executor, GuardRailPolicyConfig, Node, WorkflowResult, exceptions
from guard_rail_setup import MAPPING, MASKING, RULES, policy, private, ran, tokens, user
from simulator import Server
from workflow_setup import executor, workflow

PREFIX = "GuardRail config error: "


def test_what_a_policy_says_of_itself() -> None:
    default = GuardRailPolicyConfig.default_config()
    assert (default.policy_name(), default.policy_version()) == ("default", "0.0.0")
    assert default.is_active() is False and MAPPING.is_active() is True
    assert repr(MAPPING) == (
        "GuardRailPolicyConfig(policy_name='contacts', policy_version='0.0.0', active=True)"
    )
    with pytest.raises(TypeError):
        GuardRailPolicyConfig()
    with pytest.raises(TypeError):
        GuardRailPolicyConfig.from_json(b"{}")  # type: ignore[arg-type]


def test_policies_are_values() -> None:
    assert policy(mapping=True) == MAPPING != MASKING
    assert len({MAPPING, policy(mapping=True), MASKING}) == 2
    for again in (pickle.loads(pickle.dumps(MAPPING)), copy.copy(MAPPING), copy.deepcopy(MAPPING)):
        assert again == MAPPING and again.policy_name() == "contacts"
    result, [body] = ran(
        lambda body, _: tokens(user(body))[0],
        pickle.loads(pickle.dumps(MAPPING)),
        Node.agent("a", "joe@x.com"),
    )
    assert private(body) == [] and result.output() == "joe@x.com"


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "unclosed group"),
        ("a(?=b)", "look-around"),
        (r"(a)\1", "backreferences"),
        (r"\w{1000}{1000}", "when compiled"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_named(pattern: str, reason: str) -> None:
    rules = [*RULES, {"type": "regex", "name": "BAD", "pattern": pattern}]
    document = json.dumps({"guardrail_policy": {"pii_rules": rules}})
    with pytest.raises(exceptions.GuardRailError) as refused:
        GuardRailPolicyConfig.from_json(document)
    assert isinstance(refused.value, ValueError) and refused.value.kind == "guard_rail"
    assert str(refused.value).startswith(f"{PREFIX}rule 'BAD' (number 3): ")
    assert reason in str(refused.value)


def told(document: object, caplog: pytest.LogCaptureFixture, words: str) -> bool:
    """Whether reading this policy logs a warning with these words."""

    def found() -> bool:
        return any(words in record.getMessage() for record in caplog.records)

    caplog.clear()
    with caplog.at_level(logging.WARNING, "graphbit"):
        GuardRailPolicyConfig.from_json(json.dumps(document))
        until = time.monotonic() + 5
        while not found() and time.monotonic() < until:
            time.sleep(0.01)
    return found()


def test_a_rule_that_protects_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    rules = [{"type": "dictionary", "name": "N", "pattern": "joe"}]
    assert told({"guardrail_policy": {"pii_rules": rules}}, caplog, "a rule is passed over")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"guardrail_policy": {"pii_rules": RULES[0]}}, "'pii_rules' is no list"),
        ({"guardrail_policy": {"rules": RULES}}, "active without rules"),
        ({"guardrail_policy": RULES}, "'guardrail_policy' is no object"),
        ({"guardrail_policy": None}, "'guardrail_policy' is no object"),
        ({"guardrail_policy": None}, "active without rules"),
        ({"pii_rules": RULES, "active": True}, "active without rules"),
        ({"guardrail_policy": {"pii_rules": RULES, "mapping": "true"}}, "'mapping' is not true"),
        ({"guardrail_policy": {"pii_rules": RULES, "masking": 1}}, "'masking' is not true"),
    ],
)
def test_a_document_that_protects_nothing_is_told(
    document: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert told({"policy_name": "mine", **document}, caplog, words)
    # What an earlier test caused may come as late as now.
    assert any(
        words in record.getMessage() and "policy=mine" in record.getMessage()
        for record in caplog.records
    )


def test_other_documents_that_do_nothing_are_told_or_meant(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for document in (
        {},
        {"active": False, "guardrail_policy": {"rules": RULES}},
        {"guardrail_policy": {"masking": False}},
        {"guardrail_policy": {"pii_rules": RULES, "masking": None, "mapping": True}},
    ):
        GuardRailPolicyConfig.from_json(json.dumps(document))
    # Records come in order: what those before it had to say would be there.
    assert told(RULES, caplog, "no JSON object")
    assert len(caplog.records) == 1


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text("\ufeff" + json.dumps({"policy_name": "of a file"}), encoding="utf-8")
    for path in (file, str(file)):
        assert GuardRailPolicyConfig.from_file(path).policy_name() == "of a file"
    file.write_bytes(b"{" + b" " * (4 << 20) + b"}")
    with pytest.raises(ValueError, match=PREFIX + "the policy has more than"):
        GuardRailPolicyConfig.from_file(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=PREFIX + "stream did not contain valid UTF-8"):
        GuardRailPolicyConfig.from_file(file)
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ValueError, match=PREFIX + ".*os error"):
            GuardRailPolicyConfig.from_file(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_read_while_others_run(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text('{"policy_name": "of a pipe"}'))
    writer.start()
    assert GuardRailPolicyConfig.from_file(pipe).policy_name() == "of a pipe"
    writer.join()


class _Policies(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        document = json.dumps({"policy_name": self.path}).encode()
        answers = {
            "/missing": (404, b'{"policy_name": "an error page"}'),
            "/large": (200, b"{" + b" " * (4 << 20) + b"}"),
            "/words": (200, b"no policy"),
            "/bytes": (200, b"\xff\xfe"),
            "/moved": (302, b""),
        }
        status, body = answers.get(self.path, (200, document))
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if status == 302:
            self.send_header("location", "/there")
        self.end_headers()
        # Who is told that there is too much does not wait for it.
        with suppress(ConnectionError):
            self.wfile.write(body)


@contextmanager
def served() -> Iterator[str]:
    """A server of policies in this process, which 0.6.8 waits for in vain."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Policies)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.timeout(30)
def test_a_server_of_the_same_process() -> None:
    """D60: the interpreter is free meanwhile."""
    with served() as url:
        assert GuardRailPolicyConfig.from_url(f"{url}/here").policy_name() == "/here"
        assert GuardRailPolicyConfig.from_url(f"{url}/moved").policy_name() == "/there"

        async def main() -> str:
            return GuardRailPolicyConfig.from_url(f"{url}/loop").policy_name()

        assert asyncio.run(main()) == "/loop"


@pytest.mark.timeout(30)
def test_a_tool_may_fetch_a_policy(server: Server) -> None:
    fetched = []

    def fetch() -> str:
        """Fetches."""
        with served() as url:
            fetched.append(GuardRailPolicyConfig.from_url(f"{url}/tool").policy_name())
        return "done"

    server.behaviour(tool_rounds=1)
    made = workflow([Node.agent("a", "fetch it", tools=[fetch])])
    assert executor(server).execute(made).is_success()
    assert asyncio.run(_run_async(executor(server), made)).is_success()
    assert fetched == ["/tool", "/tool"]


async def _run_async(run: Executor, made: Any) -> WorkflowResult:
    return await run.run_async(made)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("path", "words", "status"),
    [
        ("/missing", "HTTP error 404 Not Found", 404),
        ("/large", "exceeds maximum allowed size", None),
        ("/words", "not valid JSON", None),
        ("/bytes", "not UTF-8", None),
    ],
)
def test_answers_that_are_no_policy(path: str, words: str, status: int | None) -> None:
    """D60: the status is looked at."""
    with served() as url, pytest.raises(exceptions.GuardRailError) as refused:
        GuardRailPolicyConfig.from_url(url + path)
    assert str(refused.value).startswith(PREFIX) and words in str(refused.value)
    assert refused.value.status_code == status


def test_addresses_that_are_none() -> None:
    for url in ("http://127.0.0.1:9/x", "nonsense", "ftp://host/x", "file:///etc/passwd"):
        with pytest.raises(ValueError, match=PREFIX):
            GuardRailPolicyConfig.from_url(url)
    with pytest.raises(ValueError, match=PREFIX) as refused:
        GuardRailPolicyConfig.from_url("http://user:secret@127.0.0.1:9/x")
    assert "secret" not in str(refused.value)
