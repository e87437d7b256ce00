"""PostgreSQL as a database, through psycopg 3."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any, final

from sqlalchemy import Engine, NullPool, create_engine, make_url, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import ArgumentError

from whet.errors import Conflict, MissingDependency, StoreError, StoreUnavailable
from whet.store.database import Database, Link, Statement, Transaction, no_text
from whet.store.schema import VERSION_TABLE, metadata
from whet.store.table_sql import TO_JSON

__all__ = ["PostgresDatabase"]

_SNAPSHOT = Statement(text("SELECT CAST(txid_current_snapshot() AS text)"))  # which transactions can be seen
_TABLES = frozenset(metadata.tables) | {VERSION_TABLE}


@final
class _PostgresLink(Link):
    def __init__(self, url: str, dialect: Any) -> None:
        super().__init__()
        import psycopg

        self.connection = psycopg.connect(url, autocommit=True, connect_timeout=10)
        self.cursor = self.connection.cursor()
        self.tx = Transaction(self.cursor, dialect)
        with contextlib.suppress(
            psycopg.Error
        ):  # who may make no temporary function can do all but ask for the run table
            self.cursor.execute(TO_JSON.encode())

    def close(self) -> None:
        self.connection.close()


@final
class PostgresDatabase(Database):
    """The PostgreSQL database at `url` (``postgresql://user:password@host:port/name``), which must exist.

    Args:
        prepare: Make its tables, or bring them up to date (`Database.prepare`).
    """

    def __init__(self, url: str, *, prepare: bool = True) -> None:
        super().__init__()
        try:
            import psycopg
        except ImportError as error:
            raise MissingDependency.of("psycopg", "postgres", "a PostgreSQL store") from error
        self._errors = psycopg.Error
        try:
            parsed = make_url(url).set(drivername="postgresql")
        except (ValueError, ArgumentError):  # which may show the password
            raise StoreError(
                "what follows postgresql:// is no address",
                "give postgresql://user:password@host:port/name, with a number as port",
            ) from None
        self.url = parsed.render_as_string(hide_password=False)
        self.shown = parsed.render_as_string(hide_password=True)
        self.dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]
        if prepare:
            self.prepare()

    def _connect(self) -> _PostgresLink:
        return _PostgresLink(self.url, self.dialect)

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            if self._link_is_broken():
                self.drop()
            raise _as_ours(error, self.shown) from error
        except UnicodeError as error:
            raise no_text(error) from error

    def _link_is_broken(self) -> bool:
        link = getattr(self._local, "link", None)
        return isinstance(link, _PostgresLink) and link.connection.closed

    def _begin(self, how: bytes) -> _PostgresLink:
        """Begin anew on a fresh connection where the old one is gone (the server was restarted): nothing is lost by that."""
        link = self.link()
        assert isinstance(link, _PostgresLink)
        try:
            link.cursor.execute(how)
        except self._errors:
            if not link.connection.closed:
                raise
            self.drop()
            link = self.link()
            assert isinstance(link, _PostgresLink)
            link.cursor.execute(how)
        return link

    @contextlib.contextmanager
    def _transaction(self, begin: bytes) -> Iterator[Transaction]:
        with self.translated():
            link = self._begin(begin)
            try:
                yield link.tx
                link.cursor.execute(b"COMMIT")
            except BaseException:
                if not link.connection.closed:
                    with contextlib.suppress(self._errors):  # what went wrong first matters
                        link.cursor.execute(b"ROLLBACK")
                raise

    def read(self) -> contextlib.AbstractContextManager[Transaction]:
        return self._transaction(b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def write(self) -> contextlib.AbstractContextManager[Transaction]:
        return self._transaction(b"BEGIN")

    def once(self, statement: Statement, **values: object) -> list[tuple[Any, ...]]:
        with self.translated():
            try:
                return self.link().tx.rows(statement, **values)
            except self._errors:
                if not self._link_is_broken():
                    raise
                self.drop()
                return self.link().tx.rows(statement, **values)

    def mark(self) -> str:
        return str(self.once(_SNAPSHOT)[0][0])

    @contextlib.contextmanager
    def turn(self, name: str, brief: bool = False) -> Iterator[None]:
        # A session's lock, not a transaction's: it outlives the transactions within the turn, and ends with the connection.
        key = int.from_bytes(hashlib.blake2b(f"whet turn {name}".encode(), digest_size=8).digest(), "big", signed=True)
        with self.translated():
            self._begin(b"SELECT pg_advisory_lock(%d)" % key)
        try:
            yield
        finally:
            with self.translated():
                link = self.link()
                assert isinstance(link, _PostgresLink)
                link.cursor.execute(b"SELECT pg_advisory_unlock(%d)" % key)

    def end_turns(self, name: str) -> None:
        return

    def exclusive(self) -> contextlib.AbstractContextManager[None]:
        return self.turn("the tables")

    def engine(self) -> Engine:
        return create_engine(make_url(self.url).set(drivername="postgresql+psycopg"), poolclass=NullPool)

    def tables(self) -> set[str]:
        with self.translated():
            link = self._begin(b"SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
            return {name for (name,) in link.cursor.fetchall() if name in _TABLES}

    def size(self) -> int:
        total = 0
        for table in self.tables():  # with its indexes, and the long values beside it
            with self.translated():
                cursor = self._begin(f"SELECT pg_total_relation_size('\"{table}\"')".encode()).cursor
                total += sum(int(size) for (size,) in cursor.fetchall())
        return total

    def damage(self) -> list[str]:
        return []  # its rows keep their foreign keys, and its pages are the server's

    def compact(self) -> None:
        for table in sorted(self.tables()):
            with self.translated():
                self._begin(f'VACUUM (ANALYZE) "{table}"'.encode())


def _as_ours(error: Exception, shown: str) -> StoreError:
    import psycopg

    said = " ".join(str(error).split())
    if isinstance(error, psycopg.errors.DiskFull):
        return StoreUnavailable(
            f"the disk that holds {shown} is full",
            "free some space and repeat: what was acknowledged is kept, this call changed nothing",
        )
    if isinstance(error, (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
        return StoreUnavailable(
            f"{shown} can't be written ({said})", "grant this user the right to create and change tables"
        )
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return StoreUnavailable(
            f"{shown} does not answer ({said})",
            "check that the server runs and that host, port, user, password and name are right",
        )
    if isinstance(error, psycopg.IntegrityError):
        return Conflict(f"{shown} refuses this ({said})", "read what is there, then repeat")
    return StoreError(f"{shown} can't do this ({said})", "run `whet doctor`")
