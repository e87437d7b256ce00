"""What the SQL stores need of a database: transactions over statements that are compiled once.

SQLAlchemy's tables write the SQL, the driver runs it: SQLAlchemy's own execution costs several times what a small SQLite statement does.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from sqlalchemy import bindparam, insert, select
from sqlalchemy.schema import CreateIndex, CreateTable

from whet.errors import StoreError
from whet.store.schema import HEAD, VERSION_TABLE, metadata, versions

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql.elements import ClauseElement

__all__ = ["Database", "Link", "Statement", "Transaction", "no_text"]


def no_text(error: UnicodeError) -> StoreError:
    """Return the error for a text that is none (`whet.store.codec.text` makes one of what is to be kept; ids are not changed)."""
    return StoreError(f"a text can't be kept or looked up ({error})", "use whole characters, without lone surrogates")


@final
class Statement:
    """A statement of SQLAlchemy's, compiled once for each kind of database.

    Where the kinds write it differently, `postgresql` has their other form.
    """

    __slots__ = ("_compiled", "clause", "postgresql")

    def __init__(self, clause: ClauseElement, *, postgresql: ClauseElement | None = None) -> None:
        self.clause = clause
        self.postgresql = postgresql
        self._compiled: dict[str, tuple[Any, dict[str, Any]]] = {}

    def on(self, dialect: Dialect) -> tuple[Any, dict[str, Any]]:
        """Return the SQL and the parameters that it has already."""
        found = self._compiled.get(dialect.name)
        if found is None:
            clause = self.postgresql if self.postgresql is not None and dialect.name == "postgresql" else self.clause
            done = clause.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
            open_ = {name for name, bind in getattr(done, "binds", {}).items() if bind.required}
            given = {name: value for name, value in (done.params or {}).items() if name not in open_}
            sql = str(done)
            found = self._compiled[dialect.name] = (sql.encode() if dialect.name == "postgresql" else sql, given)
        return found


@final
class Transaction:
    """Runs statements. Rows come as plain tuples.

    Args:
        is_alone: Nobody else writes while it does, in the whole database: what it reads is of now, though it waited for a lock.
    """

    __slots__ = ("_dialect", "cursor", "is_alone")

    def __init__(self, cursor: Any, dialect: Dialect, *, is_alone: bool = False) -> None:
        self.cursor = cursor
        self._dialect = dialect
        self.is_alone = is_alone

    def run(self, statement: Statement, **values: object) -> int:
        """Run it and return how many rows it changed."""
        sql, given = statement.on(self._dialect)
        self.cursor.execute(sql, {**given, **values} if given else values)
        count: int = self.cursor.rowcount
        return count

    def run_many(self, statement: Statement, values: Sequence[Mapping[str, object]]) -> None:
        """Run it once for each mapping."""
        if values:
            sql, given = statement.on(self._dialect)
            self.cursor.executemany(sql, [{**given, **v} for v in values])

    def rows(self, statement: Statement, **values: object) -> list[tuple[Any, ...]]:
        """Return all rows."""
        sql, given = statement.on(self._dialect)
        self.cursor.execute(sql, {**given, **values} if given else values)
        rows: list[tuple[Any, ...]] = self.cursor.fetchall()
        return rows

    def row(self, statement: Statement, **values: object) -> tuple[Any, ...] | None:
        """Return the first row, or None."""
        rows = self.rows(statement, **values)
        return rows[0] if rows else None


class Link(ABC):
    """One thread's connection, and its transaction object."""

    tx: Transaction

    def __init__(self) -> None:
        self.pid = os.getpid()

    @abstractmethod
    def close(self) -> None:
        """Let go of it; harmless twice."""

    def __del__(self) -> None:
        if self.pid == os.getpid():  # its thread has ended
            with contextlib.suppress(Exception):
                self.close()


_abandoned: list[Link] = []  # a parent's connections: to close them in a forked child would end the parent's, too


class Database(ABC):
    """A database. Each thread gets a connection of its own, and a new one after a fork."""

    dialect: Dialect
    shown: str
    """What errors call it."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._links: weakref.WeakSet[Link] = weakref.WeakSet()
        self._lock = threading.Lock()

    @abstractmethod
    def _connect(self) -> Link: ...

    @abstractmethod
    def read(self) -> contextlib.AbstractContextManager[Transaction]:
        """Return one view of the database for several statements, none of which changes it."""

    @abstractmethod
    def write(self) -> contextlib.AbstractContextManager[Transaction]:
        """Return a transaction: kept when the block ends, gone when it raises."""

    @abstractmethod
    def once(self, statement: Statement, **values: object) -> list[tuple[Any, ...]]:
        """Return the rows of one statement, with no transaction around it."""

    @abstractmethod
    def mark(self) -> str:
        """Return a text that differs if anything was committed since the one before."""

    @abstractmethod
    def turn(self, name: str, brief: bool = False) -> contextlib.AbstractContextManager[None]:
        """Hold the lock called `name`, one holder among all threads and processes; a brief one may be that of all who write."""

    @abstractmethod
    def end_turns(self, name: str) -> None:
        """Forget the lock called `name`."""

    @abstractmethod
    def exclusive(self) -> contextlib.AbstractContextManager[None]:
        """Keep other processes from changing the tables themselves."""

    @abstractmethod
    def engine(self) -> Engine:
        """Return an SQLAlchemy engine on a connection of its own; whose errors are SQLAlchemy's: see `connected`."""

    @abstractmethod
    def translated(self) -> contextlib.AbstractContextManager[None]:
        """Return a block out of which the driver's errors come as Whet's."""

    @contextlib.contextmanager
    def connected(self) -> Iterator[Connection]:
        """Yield an SQLAlchemy connection of its own, for migrations; what goes wrong comes as everywhere."""
        from sqlalchemy.exc import DBAPIError

        with self.translated():
            try:
                with self.engine().connect() as connection:
                    yield connection
            except DBAPIError as error:
                raise error.orig or error from error

    @abstractmethod
    def tables(self) -> set[str]:
        """Return the names of the tables that are there and could be in the way of Whet's."""

    @abstractmethod
    def size(self) -> int:
        """Return how many bytes it takes on the disk."""

    @abstractmethod
    def damage(self) -> list[str]:
        """Return what the database's own check of itself finds wrong; empty where it has none, or is whole."""

    @abstractmethod
    def compact(self) -> None:
        """Give back the room of what was deleted, as far as the database does that."""

    def back_up(self, version: str) -> Path | None:
        """Copy the database before it is changed from `version`, and return the copy; None: that is its keeper's task."""
        return None

    def link(self) -> Link:
        """Return this thread's connection."""
        link: Link | None = getattr(self._local, "link", None)
        if link is not None:
            if link.pid == os.getpid():
                return link
            _abandoned.append(link)
        link = self._local.link = self._connect()
        with self._lock:
            self._links.add(link)
        return link

    def drop(self) -> None:
        """Forget this thread's connection; the next use makes another."""
        link: Link | None = getattr(self._local, "link", None)
        self._local.link = None
        if link is not None:
            link.close()

    def close(self) -> None:
        """Close every thread's connection; harmless twice, and a later use opens again."""
        with self._lock:
            links = [link for link in self._links if link.pid == os.getpid()]
            self._links = weakref.WeakSet()
        self._local = threading.local()
        for link in links:
            link.close()

    def version(self) -> str | None:
        """Return the version of the tables, or None where there is none."""
        if VERSION_TABLE not in self.tables():
            return None
        rows = self.once(_VERSION)
        return rows[0][0] if rows else None

    def prepare(self) -> None:
        """Make the tables where there are none, and bring older ones up to date.

        Raises:
            StoreError: they are newer than this Whet, or not Whet's.
        """
        if self.version() == HEAD:
            return
        with self.exclusive():
            found = self.version()  # another process may have been at it
            if found == HEAD:
                return
            if found is None:
                self._create()
            elif found > HEAD:
                raise StoreError(
                    f"{self.shown} was written by a newer Whet (its tables have version {found}, this one knows {HEAD})",
                    "upgrade this one with `pip install -U whet`, or use another store",
                    found=found,
                    known=HEAD,
                )
            else:
                from whet.store import migrate  # alembic takes a third of a second to import: only when it is needed

                self.back_up(found)
                migrate.upgrade(self)

    def _create(self) -> None:
        others = sorted(self.tables())
        if others:
            raise StoreError(
                f"{self.shown} holds tables that are not Whet's ({', '.join(others[:5])})", "choose another database"
            )
        with self.write() as tx:
            for table in (*metadata.sorted_tables, versions):
                tx.run(Statement(CreateTable(table)))
                for index in sorted(table.indexes, key=lambda i: str(i.name)):
                    tx.run(Statement(CreateIndex(index)))
            tx.run(_STAMP, version_num=HEAD)


_VERSION = Statement(select(versions.c.version_num))
_STAMP = Statement(insert(versions).values(version_num=bindparam("version_num")))
