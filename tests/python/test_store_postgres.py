"""The store in PostgreSQL: what the other stores have no occasion for."""

from __future__ import annotations

import contextlib
import pickle
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme
from graphbit import PgVectorStore
from graphbit.exceptions import (
    AuthenticationError,
    GraphbitError,
    NetworkError,
    RequestTimeoutError,
    StoreError,
    ValidationError,
)
from postgres import PASSWORD, Postgres
from remote_stores import assert_the_loop_goes_on

WRITER = Path(__file__).parent / "children" / "postgres_writer.py"


@pytest.fixture
def store(postgres: Postgres, table: str) -> Iterator[PgVectorStore]:
    with PgVectorStore.connect(postgres.dsn, table) as store:
        yield store


@contextmanager
def locked(postgres: Postgres, table: str, seconds: float) -> Iterator[None]:
    """Nobody else reads the table meanwhile."""
    sql = (
        f'begin; lock table "{table}" in access exclusive mode; select pg_sleep({seconds}); commit'
    )
    thread = threading.Thread(target=postgres.run, args=(sql,))
    thread.start()
    waiting = "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted"
    waiting += f" and relation = to_regclass('\"{table}\"')"
    while postgres.run(waiting) == "0":
        time.sleep(0.01)
    yield
    thread.join()


def test_a_table_that_is_there_is_used_as_it_is(postgres: Postgres, table: str) -> None:
    with PgVectorStore.connect(postgres.dsn, table) as first:
        assert (first.dimensions, first.table, first.metric) == (None, table, "cosine")
        first.add([[1, 2, 3]], ["kept"])
    second = PgVectorStore.connect(postgres.dsn, table, metric="l2")
    assert (second.dimensions, len(second)) == (3, 1)
    with pytest.raises(StoreError, match="3 dimensions.*2"):
        PgVectorStore.connect(postgres.dsn, table, dimensions=2)
    postgres.run(f'alter table "{table}" drop column metadata')
    with pytest.raises(StoreError, match="no column .metadata. of type jsonb"):
        PgVectorStore.connect(postgres.dsn, table)


def test_names_are_never_statements(postgres: Postgres) -> None:
    name = 'odd "name"; drop table x; --'
    store = PgVectorStore.connect(postgres.dsn, name)
    store.add([[1.0]], ["'; drop table x; --"], ids=["$1"])
    assert [one.text for one in store.entries({"$1": {"ne": "'"}})] == ["'; drop table x; --"]
    postgres.run('drop table "odd ""name""; drop table x; --"')
    for wrong in ("", "a.b.c", "x" * 64, "a\0b"):
        with pytest.raises(ValidationError, match="table"):
            PgVectorStore.connect(postgres.dsn, wrong)


def test_the_password_is_nowhere_to_be_seen(postgres: Postgres, table: str, caplog: Any) -> None:
    told: list[str] = []
    store = PgVectorStore.connect(postgres.dsn_with_password, table)
    assert len(store) == 0
    told += [repr(store), str(store)]
    with pytest.raises(TypeError) as refused:
        pickle.dumps(store)
    told.append(str(refused.value))
    wrong = [
        (AuthenticationError, postgres.dsn_with_password.replace("owner", "nobody")),
        (NetworkError, postgres.dsn_with_password.replace(str(postgres.port), "1")),
        (StoreError, postgres.dsn_with_password + "_that_is_not"),
        (ValidationError, f"host=x pass word={PASSWORD}"),
        (ValidationError, f"mysql://me:{PASSWORD}@host/db"),
        (ValidationError, postgres.dsn_with_password + "?sslmode=strict"),
        (GraphbitError, postgres.dsn_with_password + "?sslmode=require"),
    ]
    for kind, dsn in wrong:
        with pytest.raises(kind) as raised:
            PgVectorStore.connect(dsn, table)
        told += [str(raised.value), repr(raised.value), repr(vars(raised.value))]
    told += [str(record.__dict__) for record in caplog.records]
    assert not [text for text in told if PASSWORD in text]
    with pytest.raises(AuthenticationError, match="SQLSTATE 28P01") as refused_password:
        PgVectorStore.connect(
            postgres.dsn_with_password.replace(PASSWORD, "not-" + PASSWORD), table
        )
    assert PASSWORD not in str(refused_password.value)


def test_a_nul_is_refused_with_its_place(store: PgVectorStore) -> None:
    for field, given in {
        "texts": {"texts": ["a", "b\0"]},
        "ids": {"ids": ["a", "\0"]},
        "metadatas": {"metadatas": [{}, {"k\0": "v"}]},
    }.items():
        with pytest.raises(ValidationError, match=f"'{field}' with value 'row 1': holds a NUL"):
            store.add(np.ones((2, 2)), **given)
    store.add([[1, 1]], ["kept"], ids=["a"], metadatas=[{"k": "v"}])
    assert store.get(["a\0", "a"])[0] is None
    assert store.delete(["\0"]) == 0
    assert store.count({"k\0": "v"}) == store.count({"k": {"prefix": "v\0"}}) == 0


def test_values_of_other_types_are_read_as_they_are_written(
    postgres: Postgres, store: PgVectorStore
) -> None:
    store.add([[1, 1]], ids=["mine"])
    postgres.run(
        f'insert into "{store.table}" (id, text, metadata, embedding) values '
        """('theirs', 'x', '{"page": 9, "ok": true, "none": null}', '[1,2]')"""
    )
    assert store.get(["theirs"])[0].metadata == {"page": "9", "ok": "true"}
    assert store.count({"page": {"lt": 10}, "ok": True}) == 1
    assert store.count({"none": {"ne": ""}}) == 2


def test_no_more_connections_than_it_was_given(postgres: Postgres, table: str) -> None:
    count = "select count(*) from pg_stat_activity where application_name = 'graphbit'"
    before = int(postgres.run(count))
    store = PgVectorStore.connect(postgres.dsn, table, connections=3)
    store.add(np.eye(8))
    most = 0
    threads = [threading.Thread(target=store.search_many, args=(np.eye(8),)) for _ in range(20)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most = max(most, int(postgres.run(count)) - before)
    assert most <= 3
    store.close()
    end = time.monotonic() + 5
    while int(postgres.run(count)) > before:
        assert time.monotonic() < end, "connections stay open"
        time.sleep(0.02)


async def test_a_slow_server_keeps_neither_loop_nor_threads(
    postgres: Postgres, store: PgVectorStore
) -> None:
    await store.add_async([[1, 0]], ids=["a"])
    with locked(postgres, store.table, 0.6):
        thread = threading.Thread(target=store.search, args=([1, 0],))
        thread.start()
        await assert_the_loop_goes_on(store)
    thread.join()
    # Connections of cancelled work are not used again, and others take their places.
    assert [hit.id for hit in await store.search_async([1, 0])] == ["a"]


def test_a_statement_that_takes_too_long_is_given_up(postgres: Postgres, table: str) -> None:
    store = PgVectorStore.connect(postgres.dsn, table, timeout=0.3)
    store.add([[1, 0]])
    with locked(postgres, table, 1.5):
        started = time.monotonic()
        with pytest.raises(RequestTimeoutError, match="statement timeout"):
            store.count()
        assert time.monotonic() - started < 1.2
    assert store.count() == 1


def test_a_server_that_does_not_answer_is_given_up(table: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        dsn = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=1"
        started = time.monotonic()
        with pytest.raises(RequestTimeoutError, match="no connection within"):
            PgVectorStore.connect(dsn, table)
        assert time.monotonic() - started < 4


def test_two_that_write_the_same_rows_wait_for_each_other(postgres: Postgres, table: str) -> None:
    command = [sys.executable, str(WRITER), postgres.dsn, table]
    writers = [
        subprocess.Popen([*command, name, "40", "60"], stdout=subprocess.PIPE, text=True)
        for name in ("one", "two", "three")
    ]
    store = PgVectorStore.connect(postgres.dsn, table)
    while any(writer.poll() is None for writer in writers):
        tags = Counter(entry.text for entry in store.entries())
        # What one writer wrote in one round, and all of it.
        assert len(tags) <= 1, tags
        assert sum(tags.values()) in (0, 40)
    assert [writer.communicate()[0] for writer in writers] == ["ready\ndone\n"] * 3
    assert len(store) == 40


def test_a_killed_writer_leaves_whole_changes(postgres: Postgres, table: str) -> None:
    store = PgVectorStore.connect(postgres.dsn, table, dimensions=4)
    command = [sys.executable, str(WRITER), postgres.dsn, table]
    for pause in (0.05, 0.11, 0.17, 0.23):
        with subprocess.Popen(
            [*command, str(pause), "3000", "0"], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(pause)
            writer.kill()
        tags = Counter(entry.text for entry in store.entries(limit=5000))
        assert list(tags.values()) in ([], [3000]), tags


def test_calls_outlive_a_server_that_comes_back(table: str) -> None:
    server = Postgres()
    try:
        store = PgVectorStore.connect(server.dsn, table)
        store.add([[1.0, 0.0]], ids=["a"])
        server.kill()
        back = threading.Timer(0.5, server.start)
        back.start()
        assert store.add([[0.0, 1.0]], ids=["b"]) == ["b"]
        assert [hit.id for hit in store.search([0.0, 1.0])] == ["b", "a"]
        back.join()
        server.kill()
        started = time.monotonic()
        with pytest.raises(NetworkError):
            store.count()
        assert 2 < time.monotonic() - started < 15
    finally:
        server.close()


def test_an_index_looks_at_less_and_finds_nearly_all(postgres: Postgres, table: str) -> None:
    chance = np.random.default_rng(2)
    rows = chance.standard_normal((4000, 32)).astype(np.float32)
    store = PgVectorStore.connect(postgres.dsn, table)
    with pytest.raises(StoreError, match="nothing to index"):
        store.create_index()
    parts = [{"part": str(number % 100)} for number in range(4000)]
    store.add(rows, ids=[str(number) for number in range(4000)], metadatas=parts)
    queries = chance.standard_normal((50, 32)).astype(np.float32)

    def best(top_k: int, where: Any = None) -> list[list[str]]:
        return [[hit.id for hit in hits] for hits in store.search_many(queries, top_k, where=where)]

    exact, exact_part = best(10), best(10, {"part": "7"})
    store.create_index("hnsw", m=8, ef_construction=64)
    store.create_index("hnsw", m=8, ef_construction=64)
    store.create_index("words")
    postgres.run(f'analyze "{table}"')

    def recall(found: list[list[str]], true: list[list[str]]) -> float:
        return sum(len(set(one) & set(two)) for one, two in zip(found, true, strict=True)) / 500

    store.ef_search = 10
    low = recall(best(10), exact)
    store.ef_search = 400
    high = recall(best(10), exact)
    assert low < high
    assert high > 0.97
    # A filter is no reason to find fewer than there are.
    assert {len(found) for found in best(10, {"part": "7"})} == {10}
    assert recall(best(10, {"part": "7"}), exact_part) > 0.97
    assert {len(found) for found in best(500)} == {500}
    for call in (
        lambda: store.create_index("btree"),
        lambda: store.create_index("hnsw", m=1),
        lambda: store.create_index("words", m=8),
        lambda: setattr(store, "ef_search", 0),
        lambda: PgVectorStore.connect(postgres.dsn, table, connections=0),
        lambda: PgVectorStore.connect(postgres.dsn, table, timeout=-1),
    ):
        with pytest.raises(ValidationError):
            call()


class Encrypting:
    """In front of a server that knows no TLS: what a server that does says, and its certificate."""

    def __init__(self, server: Postgres, authority: trustme.CA) -> None:
        self._server, self._tls = server, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self._tls)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.encrypted: list[bool] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        asked = client.recv(8, socket.MSG_PEEK)
        wants = asked == struct.pack("!ii", 8, 80877103)
        with contextlib.suppress(OSError):
            if wants:
                client.recv(8)
                client.sendall(b"S")
                client = self._tls.wrap_socket(client, server_side=True)
            self.encrypted.append(wants)
            server = socket.create_connection(("127.0.0.1", self._server.port))
            back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
            back.start()
            self._pump(client, server)
            back.join()
            server.close()
        client.close()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def test_sslmode_is_heeded(postgres: Postgres, table: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "root.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    front = Encrypting(postgres, authority)
    base = f"host=localhost hostaddr=127.0.0.1 port={front.port} user=owner password={PASSWORD} dbname=postgres"

    def is_encrypted(dsn: str) -> bool:
        front.encrypted.clear()
        with PgVectorStore.connect(dsn, table, dimensions=2) as store:
            assert len(store) == 0
        (encrypted,) = front.encrypted
        return encrypted

    assert is_encrypted(base)
    assert is_encrypted(base + " sslmode=require")
    assert is_encrypted(base + f" sslmode=verify-full sslrootcert='{tmp_path}/root.pem'")
    assert not is_encrypted(base + " sslmode=disable")
    for refused in (
        base + " sslmode=verify-full",
        base + f" sslmode=verify-full sslrootcert='{tmp_path}/other.pem'",
        base.replace("=localhost", "=elsewhere.example")
        + f" sslmode=verify-full sslrootcert='{tmp_path}/root.pem'",
    ):
        with pytest.raises(GraphbitError, match=r"(?i)certificate"):
            PgVectorStore.connect(refused, table)
    front.close()
