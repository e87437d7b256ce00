"""SQLite as a database.

It writes ahead (WAL) with `synchronous=NORMAL`: what was acknowledged survives the death of every process (`kill -9`); when the whole
machine loses power, the last moments may be missing, but the database is whole. Writers queue at a lock file beside it, so each
waits its turn and none sleeps in vain. WAL needs shared memory: on a network folder, use PostgreSQL.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

from sqlalchemy import Engine, NullPool, create_engine, event
from sqlalchemy.dialects import sqlite

from whet.errors import Conflict, StoreError, StoreUnavailable
from whet.locks import FileLock
from whet.store.codec import finite, item, item_number
from whet.store.database import Database, Link, Statement, Transaction, no_text

__all__ = ["SqliteDatabase"]

_BUSY_S = 60.0
_ELSEWHERE = "or choose another place with $WHET_STORE or storage=…"


@final
class _SqliteLink(Link):
    def __init__(self, path: Path, dialect: Any) -> None:
        super().__init__()
        self.connection = _open(path)
        self.cursor = self.connection.cursor()
        self.tx = Transaction(self.cursor, dialect, is_alone=True)
        self.lock = FileLock(_beside(path, ".lock"))
        self.turns: dict[str, FileLock] = {}

    def close(self) -> None:
        self.connection.close()
        for lock in (self.lock, *self.turns.values()):
            lock.close()


@final
class SqliteDatabase(Database):
    """The SQLite database in the file `path`; its folder is made where there is none.

    Args:
        prepare: Make its tables, or bring them up to date (`Database.prepare`).
    """

    def __init__(self, path: Path, *, prepare: bool = True) -> None:
        super().__init__()
        self.path = path.absolute()  # the program may change its directory
        self.shown = str(path)
        self._watch: tuple[int, str, sqlite3.Connection] | None = (
            None  # process, name, and a connection that never writes
        )
        self._watching = threading.Lock()
        self.dialect = sqlite.dialect(paramstyle="named")  # type: ignore[no-untyped-call, unused-ignore]
        with self.translated():
            self.path.parent.mkdir(parents=True, exist_ok=True)
        if prepare:
            self.prepare()

    def _connect(self) -> _SqliteLink:
        link = _SqliteLink(self.path, self.dialect)
        if link.cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            with link.lock:  # two that switch at once would both be told "locked"
                link.cursor.execute("PRAGMA journal_mode=WAL").fetchone()
        return link

    def once(self, statement: Statement, **values: object) -> list[tuple[Any, ...]]:
        with self.translated():
            return self.link().tx.rows(statement, **values)

    def translated(self) -> contextlib.AbstractContextManager[None]:
        return _translated(self.shown)

    @contextlib.contextmanager
    def read(self) -> Iterator[Transaction]:
        with self.translated():
            link = self.link()
            try:
                link.tx.cursor.execute("BEGIN")  # within, lest Ctrl-C leave it open
                yield link.tx
            finally:
                _roll_back(link)

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        with self.translated():
            link = self.link()
            assert isinstance(link, _SqliteLink)
            with link.lock:
                try:
                    link.cursor.execute("BEGIN IMMEDIATE")
                    yield link.tx
                    link.cursor.execute("COMMIT")
                except BaseException:
                    _roll_back(link)
                    raise

    @contextlib.contextmanager
    def turn(self, name: str, brief: bool = False) -> Iterator[None]:
        with self.translated():
            link = self.link()
            assert isinstance(link, _SqliteLink)
            lock = (
                link.lock if brief else link.turns.get(name)
            )  # a brief one instead of two locks, for each of which there may be a queue
            if lock is None:
                link.turns = {other: lock for other, lock in link.turns.items() if lock.held}  # the others' files close
                lock = link.turns[name] = FileLock(self._turn_file(name))
            lock.__enter__()
        try:
            yield
        finally:
            lock.__exit__(None, None, None)

    def end_turns(self, name: str) -> None:
        with contextlib.suppress(OSError):
            self._turn_file(name).unlink(missing_ok=True)

    def _turn_file(self, name: str) -> Path:
        return _beside(self.path, ".turns") / name

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        with self.translated():
            link = self.link()
            assert isinstance(link, _SqliteLink)
            with link.lock:
                yield

    def engine(self) -> Engine:
        engine = create_engine("sqlite://", creator=lambda: _open(self.path), poolclass=NullPool)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        return engine

    def tables(self) -> set[str]:
        with self.translated():
            cursor = self.link().tx.cursor
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            return {name for (name,) in cursor.fetchall()}

    def mark(self) -> str:
        with self.translated(), self._watching:
            if self._watch is None or self._watch[0] != os.getpid():
                self._watch = os.getpid(), secrets.token_hex(4), _open(self.path)
            _, name, connection = self._watch
            return f"{name}-{connection.execute('PRAGMA data_version').fetchone()[0]}"  # counts what others committed

    def close(self) -> None:
        with self._watching:
            if self._watch is not None and self._watch[0] == os.getpid():
                self._watch[2].close()
            self._watch = None
        super().close()

    def size(self) -> int:
        return sum(p.stat().st_size for p in (self.path, _beside(self.path, "-wal")) if p.exists())

    def damage(self) -> list[str]:
        with self.translated():
            cursor = self.link().tx.cursor
            found = [said for (said,) in cursor.execute("PRAGMA integrity_check").fetchall() if said != "ok"]
            lost = cursor.execute("PRAGMA foreign_key_check").fetchall()
        return found + [f"row {key} of {table} belongs to {other} that are not there" for table, key, other, _ in lost]

    def compact(self) -> None:
        with self.exclusive():
            cursor = self.link().tx.cursor
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def back_up(self, version: str) -> Path | None:
        names = (f".bak-{version}" + (f"-{n}" if n > 1 else "") for n in itertools.count(1))
        path = next(path for name in names if not (path := _beside(self.path, name)).exists())
        unfinished = _beside(path, ".part")  # what bears the name of a back-up is one
        with self.translated():
            unfinished.unlink(missing_ok=True)
            with contextlib.closing(sqlite3.connect(unfinished)) as copy:
                link = self.link()
                assert isinstance(link, _SqliteLink)
                link.connection.backup(copy)
            unfinished.replace(path)
        return path


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(
        "PRAGMA wal_autocheckpoint=4000"
    )  # 16 MB: a checkpoint waits for the disk, and the same few pages change
    connection.execute("PRAGMA foreign_keys=ON")
    connection.create_function("whet_finite", 1, finite, deterministic=True)
    connection.create_function("whet_item", 2, item, deterministic=True)
    connection.create_function("whet_number", 2, item_number, deterministic=True)
    return connection


def _roll_back(link: Link) -> None:
    assert isinstance(link, _SqliteLink)
    if link.connection.in_transaction:  # a full disk may have rolled it back already
        with contextlib.suppress(sqlite3.Error):  # what went wrong first matters
            link.connection.rollback()


@contextlib.contextmanager
def _translated(shown: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _as_ours(error, shown) from error
    except UnicodeError as error:
        raise no_text(error) from error
    except OverflowError as error:
        raise StoreError(f"a number can't be kept ({error})", "use 64-bit integers") from error
    except OSError as error:  # the folder, or the lock file
        raise StoreUnavailable(
            f"{shown} can't be written ({os.strerror(error.errno) if error.errno else error})",
            f"make its folder writable, {_ELSEWHERE}",
        ) from error


def _as_ours(error: sqlite3.Error, shown: str) -> StoreError:
    said = str(error)
    if "is full" in said:
        return StoreUnavailable(
            f"the disk that holds {shown} is full",
            "free some space and repeat: what was acknowledged is kept, this call changed nothing",
        )
    if "readonly" in said:
        return StoreUnavailable(
            f"{shown} can't be written ({said})", f"make the file and its folder writable, {_ELSEWHERE}"
        )
    if "unable to open" in said:
        return StoreUnavailable(
            f"{shown} can't be opened ({said})", f"check the path and the rights of its folder, {_ELSEWHERE}"
        )
    if "malformed" in said or "not a database" in said:
        return StoreError(
            f"{shown} is damaged or no SQLite database ({said})",
            f"move it away and start anew, or save what can be read with `sqlite3 {shown} .recover`",
        )
    if "locked" in said:
        return StoreUnavailable(
            f"{shown} has been locked by another program for {_BUSY_S:g} s",
            "end what holds it (a database browser with an open transaction?)",
        )
    if "I/O error" in said or "locking protocol" in said:
        return StoreUnavailable(
            f"{shown} can't be read or written ({said})",
            "check the disk; on a network folder use PostgreSQL instead of SQLite",
        )
    if isinstance(error, sqlite3.IntegrityError):
        return Conflict(f"{shown} refuses this ({said})", "read what is there, then repeat")
    return StoreError(f"{shown} can't do this ({said})", "run `whet doctor`")
