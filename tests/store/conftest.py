"""A real PostgreSQL server on loopback, for the tests that are marked so."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def _binary(name: str) -> str | None:
    installed = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: float(p.parts[-3]), reverse=True
    )
    return str(installed[0].resolve()) if installed else shutil.which(name)


def _as_nobody() -> dict[str, object]:
    """Return how to start a process that PostgreSQL accepts: it refuses to run as root."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return {"user": 65534, "group": 65534, "extra_groups": []}


class Server:
    """A server whose data live in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.who = _as_nobody()
        if self.who:
            os.chown(folder, self.who["user"], self.who["group"])  # type: ignore[arg-type]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.run("initdb", "-D", f"{folder}/data", "-U", "whet", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()

    def run(self, name: str, *args: str) -> None:
        binary = _binary(name)
        assert binary
        with open(self.folder.with_suffix(".log"), "ab") as log:
            done = subprocess.run(
                [binary, *args],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                check=False,
                **self.who,
            )
        assert done.returncode == 0, self.folder.with_suffix(".log").read_text()

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder} -F -c max_connections=50 -c shared_buffers=16MB"
        self.run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-t", "60", "-o", options, "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-m", "immediate", "stop")

    def url(self, database: str) -> str:
        return f"postgresql://whet@127.0.0.1:{self.port}/{database}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    missing = [name for name in ("initdb", "pg_ctl", "postgres") if _binary(name) is None]
    if missing:
        reason = f"PostgreSQL's {', '.join(missing)} is neither in /usr/lib/postgresql nor on the PATH"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="whet-pg-"))  # short and open to the other user, unlike pytest's own
    server = Server(folder)
    yield server
    server.stop()
    shutil.rmtree(folder)
    folder.with_suffix(".log").unlink()


@pytest.fixture
def new_database(postgres_server: Server) -> Callable[[], str]:
    """Make an empty schema, which is to Whet what a database is but is made faster, and return its URL."""
    import psycopg

    def make() -> str:
        name = f"s{secrets.token_hex(4)}"
        with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{postgres_server.url('postgres')}?options=-csearch_path%3D{name}"

    return make
