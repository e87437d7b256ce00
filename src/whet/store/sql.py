"""The store in a database: SQLite or PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import final

from whet.store.base import Store
from whet.store.database import Database
from whet.store.runs import SqlRuns
from whet.store.sweeps import SqlSweeps
from whet.store.tokens import SqlTokens
from whet.store.trials import SqlTrials

__all__ = ["SqlStore", "database_at"]


def database_at(url: str, *, prepare: bool = True) -> Database:
    """Return the database at ``sqlite:///file`` or ``postgresql://…``; without `prepare` its tables stay as they are."""
    if url.startswith("sqlite:///"):
        from whet.store.sqlite import SqliteDatabase

        return SqliteDatabase(Path(url.removeprefix("sqlite:///")), prepare=prepare)
    from whet.store.postgres import PostgresDatabase

    return PostgresDatabase(url, prepare=prepare)


@final
class SqlStore(Store):
    """A store at ``sqlite:///file`` or ``postgresql://user:password@host/name``; its tables are made or brought up to date.

    Raises:
        StoreUnavailable: it can't be opened or written.
        StoreError: the tables there are a newer Whet's, or not Whet's.
        MissingDependency: PostgreSQL's driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.database = database_at(url)
        if url.startswith("sqlite:///"):
            url = f"sqlite:///{Path(url.removeprefix('sqlite:///')).absolute()}"  # processes that are told of it may be elsewhere
        self.url = url
        self.sweeps = SqlSweeps(self.database)
        self.trials = SqlTrials(self.database)
        self.runs = SqlRuns(self.database)
        self.tokens = SqlTokens(self.database)

    def close(self) -> None:
        self.database.close()

    @property
    def shown(self) -> str:
        return self.url if self.url.startswith("sqlite:") else self.database.shown

    def __repr__(self) -> str:
        return f"SqlStore({self.database.shown})"
