"""Fixtures every test may use: the simulator, a scope of it, and child processes on a kill timer."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import hypothesis
import pytest
from postgres import Postgres
from qdrant import Qdrant
from remote_stores import RemoteStore, in_postgres, in_qdrant
from simulator import Server, Simulator

pytest_plugins = ["bridge_setup"]

# A shell lets its background jobs ignore SIGINT and children inherit that; the Ctrl-C tests must not.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Its pipelines report to its makers whenever they run: tests ask nothing of the network.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

# Between two tests pytest walks over all loggers, while what the last one let go of may be reported by one that is new.
for part in (
    "llm.cached",
    "llm.client",
    "memory",
    "providers.replicate",
    "python.courier",
    "resilience",
    "store",
):
    logging.getLogger(f"graphbit.{part}")

# An example that takes long tells of what else the machine does: only pytest's own timeout judges time.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """One simulator process for the whole run."""
    with Simulator() as running:
        yield running


@pytest.fixture
def server(simulator: Simulator, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A fresh scope: ``.base_url``, ``.openai_url``, ``.behaviour(...)``, ``.log()``, ``.stats()``."""
    scope = simulator.new_scope(request.node.name)
    yield Server(simulator, scope)
    simulator.forget(scope)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL server for the whole run, with pgvector: ``.dsn``, ``.run(sql)``."""
    running = Postgres()
    yield running
    running.close()


@pytest.fixture
def table(postgres: Postgres) -> Iterator[str]:
    """A name of a table of the test's own, which is dropped behind it."""
    name = f"t{uuid.uuid4().hex[:12]}"
    yield name
    postgres.run(f'drop table if exists "{name}"')


@pytest.fixture(scope="session")
def qdrant() -> Iterator[Qdrant]:
    """One server of Qdrant's interface for the whole run: ``.url``, ``.fail(...)``, ``.log(...)``."""
    running = Qdrant()
    yield running
    running.close()


@pytest.fixture
def collection(qdrant: Qdrant) -> Iterator[str]:
    """A name of a collection of the test's own, which is dropped behind it."""
    name = f"c{uuid.uuid4().hex[:12]}"
    yield name
    qdrant.drop(name)


@pytest.fixture(params=["postgres", "qdrant"])
def remote(request: pytest.FixtureRequest) -> RemoteStore:
    """A table, and a collection, of the test's own: ``.connect(**options)``."""
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        return in_postgres(server.dsn, request.getfixturevalue("table"))
    url: str = request.getfixturevalue("qdrant").url
    return in_qdrant(url, request.getfixturevalue("collection"))


class Child(NamedTuple):
    """How a child process ended. ``returncode`` is -9 and ``timed_out`` true after the kill timer."""

    returncode: int
    stdout: str
    stderr: str
    timed_out: bool = False


@pytest.fixture
def run_child(server: Server) -> Callable[..., Child]:
    """``run_child(code, timeout=30, *, script=None, arguments=(), env=None, python=...) -> Child``.

    Runs a snippet, or the file ``script``, in its own interpreter and session; the whole session is killed when time is up,
    so a hang or an abort of the code under test can never take pytest along. The snippet finds the
    test's scope in ``GRAPHBIT_SIMULATOR_URL`` (append ``/v1`` for OpenAI-style clients).
    """

    def run(
        code: str = "",
        timeout: float = 30,
        *,
        script: Path | None = None,
        arguments: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        python: str = sys.executable,
    ) -> Child:
        environment = os.environ | {"GRAPHBIT_SIMULATOR_URL": server.base_url} | (env or {})
        program = [str(script)] if script else ["-c", textwrap.dedent(code)]
        child = subprocess.Popen(
            [python, *program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,
        )
        try:
            stdout, stderr = child.communicate(timeout=timeout)
            return Child(child.returncode, stdout, stderr)
        except subprocess.TimeoutExpired:
            _kill_session(child)
            stdout, stderr = child.communicate()
            return Child(child.returncode, stdout, stderr, timed_out=True)
        finally:
            _kill_session(child)  # forked grandchildren that outlived the snippet

    return run


def _kill_session(child: subprocess.Popen[str]) -> None:
    if not hasattr(os, "killpg"):
        child.kill()
        return
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
