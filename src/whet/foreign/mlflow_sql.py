"""MLflow's databases in SQLite (``mlflow.db``, what MLflow 3 writes by default): read as they are, without MLflow.

They are opened for reading alone, and each question ends before the next thing happens, so that who writes is not held up. Runs and
experiments that were deleted there are left out. Nothing in a file is trusted: its tables must be tables, and what is in them may be of any type.
"""

from __future__ import annotations

import math
import os
import re
import sqlite3
import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, final
from urllib.parse import quote

from whet.errors import TrackError
from whet.foreign.base import Claim, Facts, Folder, ForeignRun, Format, Scope, Stream, files_below, folder_at, run_id
from whet.foreign.mlflow import seconds, told_of
from whet.foreign.reading import opened
from whet.store.base import Row
from whet.track.readers.base import Reader, Rows

__all__ = ["MLflowDatabase"]

_OWN = "mlflow.db"
_SUFFIXES = (".db", ".sqlite", ".sqlite3")
_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")
_HEAD = b"SQLite format 3\0"
_IN_WAL = b"\2\2"  # bytes 18 and 19
_TABLES = frozenset({"alembic_version", "experiments", "runs", "params", "tags", "metrics"})
_ARTIFACTS = ("mlruns", "mlartifacts")  # beside the database: by default, and of `mlflow server`
_MOST_RUNS = 100_000
_MOST_ROWS = 10_000
_MOST_WORDS = 100_000  # params, or tags, of a run
_LONGEST = 1 << 20  # of a value in it
_MOST_BYTES = 64 << 20  # of an answer: a damaged or hostile file may unfold to more than it has
_WAIT_S = 5.0  # for who writes
_RECORD = ("status", "start_time", "end_time", "source_version", "source_name", "user_id")
_HUGE = 1.7976931348623157e308  # MLflow's word for what has no end


@final
class MLflowDatabase(Format):
    """SQLite files of MLflow."""

    name: ClassVar[str] = "mlflow-db"
    about: ClassVar[str] = "mlflow.db (SQLite), or another .db, .sqlite or .sqlite3 with MLflow's tables"

    def __init__(self) -> None:
        self._artifacts: set[Path] = set()

    def find(self, folder: Folder, scope: Scope) -> Claim:
        if folder.path in self._artifacts:  # no folder of runs, or that of a store which was moved into the database
            return Claim(whole=True)
        runs: list[ForeignRun] = []
        taken, troubles = [], []
        for name in folder.files:
            if not name.lower().endswith(_SUFFIXES):
                continue
            path = folder.path / name
            try:
                database = _Database.at(path)
                if database is None and not scope.sure:
                    continue
                if database is None:
                    raise TrackError(f"{path} has no tables of MLflow", "leave it out")
                taken.append(name)
                runs += self._runs(database)
            except TrackError as error:
                if scope.sure or name in (*taken, _OWN):
                    troubles.append((path, str(error)))
        return Claim(runs=tuple(runs), taken=frozenset(taken), troubles=tuple(troubles))

    def _runs(self, database: _Database) -> Iterator[ForeignRun]:
        # Asked one by one: tables of a hostile file need no keys, so that a join may bring together each row with each.
        told = _all_of(database, "experiments", "experiment_id", "experiment_id", "name", "lifecycle_stage")
        named = {id: (_text(name), stage) for id, name, stage in told}
        found = _all_of(
            database, "runs", "start_time", "run_uuid", "name", "experiment_id", "lifecycle_stage", *_RECORD
        )
        for id, name, number, stage, *record in found:
            if not isinstance(id, str) or not _ID.fullmatch(id) or not isinstance(number, int) or number not in named:
                continue
            project, project_stage = named[number]
            places = [database.path.parent / place / str(number) / id for place in _ARTIFACTS]
            self._artifacts.update(places)
            if "deleted" not in (stage, project_stage):
                facts = dict(zip(_RECORD, record, strict=True))
                yield _Run(database, id, _text(name), project, facts, places)


def _all_of(database: _Database, table: str, order: str, *columns: str) -> list[tuple[Any, ...]]:
    found = database.ask(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order} LIMIT ?", _MOST_RUNS + 1)
    if len(found) > _MOST_RUNS:
        raise TrackError(f"{database.path} has more than {_MOST_RUNS} {table}", "delete some there (mlflow gc)")
    return found


class _Stand(NamedTuple):
    has_wal: bool
    size: int
    written_ns: int


def _stand(path: Path) -> _Stand:
    """Return how a database stands: whoever opens or writes one in WAL mode changes some of it.

    Raises:
        TrackError: it is gone.
    """
    try:
        facts = path.stat()
        return _Stand(has_wal=os.path.exists(f"{path}-wal"), size=facts.st_size, written_ns=facts.st_mtime_ns)
    except OSError as error:
        raise TrackError(f"{path} can't be read ({error.strerror})", "try again, or leave it out") from error


@final
class _Database:
    """A file, opened for reading; nothing is left open between two questions but the file itself.

    Args:
        quiet: How it stands (`_stand`), where nobody has it open: SQLite then takes nothing for changed, so each question looks whether it was. None:
            somebody may have it open.
    """

    def __init__(self, path: Path, *, quiet: _Stand | None) -> None:
        self.path = path
        self._quiet = quiet
        # Without its journal nobody has a database in WAL mode open; reading it in the usual way would leave files beside it.
        mode = "mode=ro" if quiet is None else "immutable=1"
        try:
            connection = sqlite3.connect(
                f"file:{quote(str(path))}?{mode}",
                uri=True,
                timeout=_WAIT_S,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        weakref.finalize(self, connection.close)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        self._connection = connection
        self.ask("PRAGMA trusted_schema = OFF")

    @classmethod
    def at(cls, path: Path) -> _Database | None:
        """Return the database at `path`, or None where that is none of MLflow's.

        Raises:
            TrackError: it can't be read.
        """
        with opened(path) as file:
            stand = _stand(path)
            head = file.read(20)
        if not head.startswith(_HEAD):
            if path.name == _OWN:
                raise TrackError(f"{path} is no SQLite database", "mend it, or leave it out")
            return None
        found = cls(path, quiet=stand if head[18:] == _IN_WAL and not stand.has_wal else None)
        tables = {name for (name,) in found.ask("SELECT name FROM sqlite_master WHERE type = 'table' LIMIT 10000")}
        return found if tables >= _TABLES else None

    def ask(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows that answer a question.

        Raises:
            TrackError: it can't be read, is damaged, holds too much, its tables are others than those of MLflow 2 and 3, or it was quiet and is
                written now.
        """
        self._check_quiet()
        try:
            return self._answer(question, values)
        finally:  # of pages that changed meanwhile neither rows nor errors mean anything
            self._check_quiet()

    def _answer(self, question: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        rows, left = [], _MOST_BYTES
        try:
            for row in self._connection.execute(question, values):
                left -= sum(len(cell) for cell in row if isinstance(cell, str | bytes))
                if left < 0:
                    raise TrackError(f"{self.path} holds too much", "leave it out")
                rows.append(row)
        except (sqlite3.Error, OverflowError) as error:
            raise self._unreadable(error) from error
        return rows

    def _check_quiet(self) -> None:
        if self._quiet is not None and _stand(self.path) != self._quiet:
            raise TrackError(f"{self.path} changed while it was read", "try again: what was read before is kept")

    def _unreadable(self, error: Exception) -> TrackError:
        return TrackError(f"{self.path} can't be read ({error})", "try again, mend it, or leave it out")


@final
class _Run(ForeignRun):
    def __init__(
        self,
        database: _Database,
        own: str,
        name: str,
        project: str,
        record: Mapping[str, Any],
        places: Sequence[Path],
    ) -> None:
        super().__init__(
            kind="mlflow-db",
            path=database.path,
            id=run_id("mlflow", own),  # as in a file store, which may be moved into a database
            project=project,
            name=name or own[:12],
            began=seconds(record["start_time"]) or 0.0,
        )
        self._database = database
        self._own = own
        self._record = record
        self._places = places
        self._facts: Facts | None = None

    def streams(self) -> Sequence[Stream]:
        return [
            Stream(
                source="mlflow-db:metrics",
                path=self.path,
                open=lambda offset: _MetricReader(self._database, self._own, offset),
            )
        ]

    def files(self) -> Iterator[tuple[str, Path]]:
        for place in self._places:
            if place.is_dir() and place.resolve() == place:
                yield from files_below(folder_at(place).child("artifacts"))

    def facts(self) -> Facts:
        if self._facts is None:
            self.name, self._facts = told_of(self._words("params"), self._words("tags"), self._record, self.name)
        return self._facts

    def _words(self, table: str) -> dict[str, str]:
        question = f"SELECT key, value FROM {table} WHERE run_uuid = ? ORDER BY key LIMIT {_MOST_WORDS}"
        return {_text(key): _text(value) for key, value in self._database.ask(question, self._own)}


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


@final
class _MetricReader(Reader):
    """Reads the metrics of a run in the order in which they were written; the offset counts them.

    By their count, as SQLite may number its rows anew (VACUUM), which keeps their order.
    """

    def __init__(self, database: _Database, run: str, offset: int) -> None:
        super().__init__(database.path, offset)
        self._database = database
        self._run = run
        ((num,),) = database.ask("SELECT count(*) FROM metrics WHERE run_uuid = ?", run)
        self._num = int(num)
        self._last: int | None = None

    @property
    def share(self) -> float:
        return min(1.0, self.offset / max(1, self._num))

    def read(self, *, final: bool = False) -> Rows:
        start = self.offset
        if self._last is None:
            if start > self._num:
                return Rows(rows=(), start=start, end=self._num)
            self._last = self._row_number(start)
        found = self._database.ask(
            "SELECT rowid, key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ? AND rowid > ? ORDER BY rowid LIMIT ?",
            self._run, self._last, _MOST_ROWS,
        )  # fmt: skip
        rows = []
        for i, (number, *cells) in enumerate(found, start):
            self._last = number
            row = _row(*cells)
            if row is None:
                self.damaged(f"metric {i + 1}")
            else:
                rows.append(row)
        self.offset = start + len(found)
        return Rows(rows=tuple(rows), start=start, end=self.offset)

    def _row_number(self, count: int) -> int:
        """Return SQLite's number of the last of the first `count` rows."""
        question = "SELECT rowid FROM metrics WHERE run_uuid = ? ORDER BY rowid LIMIT 1 OFFSET ?"
        found = self._database.ask(question, self._run, count - 1) if count else []
        return int(found[0][0]) if found else -(1 << 63)


def _row(key: object, value: object, when: object, step: object, is_nan: object) -> Row | None:
    if (
        not isinstance(key, str)
        or not isinstance(value, int | float)
        or not isinstance(step, int)
        or abs(step) >= 1 << 62
    ):
        return None
    number = math.nan if is_nan else float(value)
    if abs(number) >= _HUGE:
        number = math.copysign(math.inf, number)
    return Row(step=step, time=seconds(when) or 0.0, values={key: number})
