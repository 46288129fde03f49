"""A PostgreSQL server of the tests' own, with pgvector: one for a run, or one that a test may kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HOME = Path(__file__).parent / "children" / "postgres_home.py"
#: Of the role that must say one; it would be found in whatever repeats it.
PASSWORD = "hunter2-of-postgres"


class Postgres:
    """A running server: a socket file for `dsn`, and a port for `dsn_with_password`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gbpg"))
        # A user that the server runs as must reach it, whoever runs the tests.
        self.folder.chmod(0o755)
        data = self.folder / "data"
        made = subprocess.run(
            [sys.executable, str(HOME), str(data)], capture_output=True, text=True, timeout=120
        )
        assert made.returncode == 0, made.stderr
        found = json.loads(made.stdout.strip().splitlines()[-1])
        self.programs, self.user = Path(found["programs"]), found["user"]
        rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (data / "pg_hba.conf").write_text(rules, encoding="utf-8")
        self.sockets = self.folder / "s"
        self.sockets.mkdir()
        self.sockets.chmod(0o777)
        # Asking for any free port and closing it again: the server cannot be told to choose.
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()
        self.run("create role owner superuser login password '" + PASSWORD + "'")
        self.run("create extension vector")

    def start(self) -> None:
        """Starts it, as for the first time or after it was killed."""
        asked = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.sockets),
            # What a test loses to a power cut is no loss.
            "fsync": "off",
            "max_connections": "100",
        }
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data")]
        for name, value in asked.items():
            command += ["-c", f"{name}={value}"]
        as_whom: dict[str, Any] = {"user": self.user, "group": self.user} if self.user else {}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, **as_whom
            )
        end = time.monotonic() + 60
        while self.psql("select 1").returncode:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        """Ends it and all its connections at once, in the middle of whatever they do."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(30)

    def close(self) -> None:
        """Ends it, and removes its folder."""
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def psql(self, sql: str) -> subprocess.CompletedProcess[str]:
        """What the server's own client says to a statement."""
        command = [str(self.programs / "psql"), "-X", "-A", "-t", "-h", str(self.sockets)]
        command += ["-p", str(self.port), "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-c", sql]
        environment = {name: value for name, value in os.environ.items() if name[:2] != "PG"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)

    def run(self, sql: str) -> str:
        """The rows of a statement, as text."""
        done = self.psql(sql)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @property
    def dsn(self) -> str:
        """By the socket file, where nobody is asked for a password."""
        return f"host={self.sockets} port={self.port} user=postgres dbname=postgres"

    @property
    def dsn_with_password(self) -> str:
        """By the port."""
        return f"postgresql://owner:{PASSWORD}@127.0.0.1:{self.port}/postgres"
