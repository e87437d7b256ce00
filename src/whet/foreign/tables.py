"""CSV and JSON Lines: a file is a run, its rows are steps; or rows are of several runs; or each row is one, where rows look like finished ones."""

from __future__ import annotations

import re
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, final

from whet.errors import TrackError
from whet.foreign.base import Claim, Facts, Folder, ForeignRun, Format, Scope, Stream, quiet_since, run_id
from whet.foreign.beside import Beside, config_in, is_result, results_in
from whet.foreign.reading import tamed, value_of
from whet.store.base import Row
from whet.track.readers.base import Reader, Rows
from whet.track.readers.files import STEPS, CsvReader, TableReader, numbers_of, reader_of, row_of
from whet.trial import Phase

__all__ = ["Csv", "JsonLines", "known_tables"]

_KNOWN = ("metrics", "progress", "history", "training_log", "train_log", "log", "results", "scalars")
_RUN_IDS = ("run", "run_id", "run id", "run_uuid", "run_name", "trial", "trial_id", "trial_number", "experiment_id")
_NAMES = ("name", "id", "uuid", "number", "experiment")
_MOST_RUNS = 100_000
_MOST_ROWS = 10_000
_LOOKED_AT = 20  # rows, among which a table of metrics has numbers
_COMMA = re.compile(r"[-+]?\d+,\d+([eE][-+]?\d+)?")
_POINT = re.compile(_COMMA.pattern.replace(",", r"\."))
_PREFIXES = {
    "params.": 0,
    "params_": 0,
    "param_": 0,
    "config.": 0,
    "metrics.": 1,
    "metric_": 1,
    "summary.": 1,
    "values_": 1,
}
_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")


def known_tables(folder: Folder) -> list[str]:
    """Return the tables of a folder whose names say that they hold metrics."""
    paths = [Path(name) for name in folder.files]
    return [p.name for p in paths if p.suffix.lower() in _SUFFIXES and p.stem.lower() in _KNOWN]


class _Tables(Format):
    suffixes: ClassVar[tuple[str, ...]]

    def find(self, folder: Folder, scope: Scope) -> Claim:
        names = [name for name in folder.files if Path(name).suffix.lower() in self.suffixes]
        known = [name for name in names if name in known_tables(folder)]
        runs: list[ForeignRun] = []
        taken: set[str] = set()
        troubles: list[tuple[Path, str]] = []
        for name in names:
            path = folder.path / name
            named = scope.sure or name in known
            try:
                table = _Table(self.name, path, scope)
                if not table.looks_right(named=named):
                    continue
                if trouble := table.trouble(named=named):
                    troubles.append((path, trouble))
                    taken.add(name)
                    continue
                if not table.has_numbers:
                    continue
                taken.add(name)
                if table.rows_are_runs:
                    runs += table.runs()
                    continue
                alone = name in known and len(known) == 1
                configs, results = config_in(folder), results_in(folder) if alone else []
                taken |= {p.name for p in [*configs, *results]} | {".hydra"}
                shown = scope.name(folder.path if alone else path.with_suffix(""))
                runs += table.curves(shown, configs, results)
            except (TrackError, OSError) as error:
                if named:
                    troubles.append((path, str(error)))
                    taken.add(name)
        return Claim(runs=tuple(runs), taken=frozenset(taken), troubles=tuple(troubles))


@final
class Csv(_Tables):
    """Tables with a header line, separated by commas, semicolons or tabs."""

    name: ClassVar[str] = "csv"
    about: ClassVar[str] = ".csv and .tsv files with a step column, or called metrics, progress, history, log, results"
    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv")


@final
class JsonLines(_Tables):
    """One JSON object a line."""

    name: ClassVar[str] = "jsonl"
    about: ClassVar[str] = ".jsonl and .ndjson files with a step, or called so"
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")


@final
class _Table:
    """A file, and what its first rows say of it."""

    def __init__(self, kind: str, path: Path, scope: Scope) -> None:
        self._kind = kind
        self._path = path
        self._scope = scope
        self._reader = reader_of(path)
        self._whole = quiet_since([path], scope.now) is not None
        self._first = [row for row in islice(self._rows(), _LOOKED_AT) if row is not None]
        self._columns = list(dict.fromkeys(name for row in self._first for name in row))

    def looks_right(self, *, named: bool) -> bool:
        """Return whether its columns, or its name, say that it has metrics."""
        return bool(self._first) and (named or _has_step(self._columns) or _has_run_id(self._columns))

    def trouble(self, *, named: bool) -> str:
        """Return in words why its metrics can't be read, or ""."""
        if cell := self._comma():
            return f"{self._path} has numbers with a decimal comma, such as {cell}: write {cell.replace(',', '.')}"
        is_written = self._scope.sure or self._whole or len(self._first) == _LOOKED_AT
        if named and is_written and not self.has_numbers:
            return f"{self._path} has no numbers in its first rows: a file of metrics has some"
        return ""

    @property
    def has_numbers(self) -> bool:
        """Whether its first rows have some, besides steps and times."""
        return any(numbers_of(row) if self.rows_are_runs else row_of(row, 0, float) for row in self._first)

    @property
    def rows_are_runs(self) -> bool:
        if self._scope.rows != "auto":
            return self._scope.rows == "runs"
        return not _has_step(self._columns) and _has_run_id(self._columns, weak=self._scope.sure)

    def runs(self) -> list[ForeignRun]:
        """Return the runs that its rows are."""
        found = list(islice(self._rows(), _MOST_RUNS + 1))
        rows = [row for row in found if row is not None]
        if len(found) > _MOST_RUNS:
            raise TrackError(
                f"{self._path} has more than {_MOST_RUNS} rows, which look like runs",
                "--rows steps makes one run of it",
            )
        met: Counter[str] = Counter()
        runs: list[ForeignRun] = []
        for number, row in enumerate(rows):
            key = _first_of(row, (*_RUN_IDS, *_NAMES))
            runs.append(_RowRun(self._kind, self._path, number, row, key, met[key], self._scope))
            met[key] += 1
        self._tell_damaged(runs, len(found) - len(rows))
        return runs

    def curves(self, name: str, configs: list[Path], results: list[Path]) -> list[ForeignRun]:
        """Return the runs whose steps its rows are: one, or one for each word in its column of runs."""
        column = None
        if self._scope.rows == "auto" and _has_run_id(self._columns):
            column = _column(self._columns, _RUN_IDS)
        if column is None:
            return [_CurveRun(self._kind, self._path, self._first[0], configs, results, self._scope, name)]
        parts: dict[str, _Part] = {}
        firsts: dict[str, Mapping[str, Any]] = {}
        num_damaged = 0
        for record, end in self._reader.records(final=self._whole):
            row = self._reader.mapping(record)
            if row is None:
                num_damaged += 1
                continue
            key = _first_of(row, [column.lower()])
            if key not in parts:
                if len(parts) == _MOST_RUNS:
                    raise TrackError(
                        f"{self._path} has more than {_MOST_RUNS} words in its column {column!r}, which look like runs",
                        "--rows steps makes one run of it",
                    )
                firsts[key] = row
                parts[key] = _Part(column, self._reader)
            parts[key].add(end - len(record), record)
        runs: list[ForeignRun] = []
        for key, part in parts.items():
            beside = (configs, results) if len(parts) == 1 else ([], [])
            shown = name if len(parts) == 1 or not key else key
            runs.append(_CurveRun(self._kind, self._path, firsts[key], *beside, self._scope, shown, part))
        self._tell_damaged(runs, num_damaged)
        return runs

    def _tell_damaged(self, runs: Sequence[ForeignRun], count: int) -> None:
        if count and runs:
            rows = "one of its rows is" if count == 1 else f"{count} of its rows are"
            runs[0].troubles.append(f"{self._path}: {rows} damaged; all else is taken")

    def _rows(self) -> Iterable[Mapping[str, Any] | None]:
        return (self._reader.mapping(record) for record, _ in self._reader.records(final=self._whole))

    def _comma(self) -> str:
        """Return a number with a decimal comma, of a column that has no other; "" where numbers have points, so that commas separate words."""
        if not isinstance(self._reader, CsvReader) or self._reader.delimiter != ";":
            return ""
        columns = {name: [row[name] for row in self._first if row.get(name)] for name in self._columns}
        if any(_POINT.fullmatch(cell) for cells in columns.values() for cell in cells):
            return ""
        return next((cells[0] for cells in columns.values() if cells and all(map(_COMMA.fullmatch, cells))), "")


@final
class _Part:
    """Where the rows of a table are that are of one run, whose word is in its `column`, and what they sum up to: 16 bytes a row."""

    def __init__(self, column: str, table: TableReader) -> None:
        self.column = column
        self.table = table
        self._starts = array("Q")
        self._sizes = array("I")
        self._sums = array("I")

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, start: int, record: bytes) -> None:
        """Take in a row that begins at byte `start`."""
        self._starts.append(start)
        self._sizes.append(len(record))
        self._sums.append(zlib.crc32(record))

    def records(self, first: int, most: int) -> list[bytes]:
        """Return rows from `first` on, as they were looked at: who reads by place must not take those of another run for them.

        Raises:
            TrackError: the file was written anew since it was looked through.
        """
        rows = slice(first, first + most)
        found = []
        with self.table.path.open("rb") as file:
            is_same = file.read(len(self.table.head)) == self.table.head
            for start, size, kept in zip(self._starts[rows], self._sizes[rows], self._sums[rows], strict=True):
                file.seek(max(0, start - 1))
                begins = not start or file.read(1) == b"\n"
                record = file.read(size)
                ends = record.endswith(b"\n") or not file.read(1).strip()
                is_same = is_same and begins and ends and zlib.crc32(record) == kept
                if not is_same:
                    break
                found.append(record)
        if not is_same:
            raise TrackError(f"{self.table.path} was written anew while it was read", "index it again")
        return found


@final
class _PartReader(Reader):
    def __init__(self, path: Path, offset: int, part: _Part) -> None:
        super().__init__(path, offset)
        self._part = part

    @property
    def share(self) -> float:
        return self.offset / max(1, len(self._part))

    def read(self, *, final: bool = False) -> Rows:
        start, part = self.offset, self._part
        if start > len(part):
            return Rows(rows=(), start=start, end=len(part))
        records = part.records(start, _MOST_ROWS)
        rows = []
        for row in part.table.rows_of(records, start):
            values = {name: value for name, value in row.values.items() if name != part.column}
            if values:
                rows.append(Row(step=row.step, time=row.time, values=values))
        self.offset = start + len(records)
        return Rows(rows=tuple(rows), start=start, end=self.offset)


@final
class _CurveRun(ForeignRun):
    """A file (or the part of it that is a run's) whose rows are steps. Its first row is a part of what it is: written anew, it is another run.

    Cells without a value don't count, as Lightning writes a file anew with one more column once a metric comes in.
    """

    def __init__(
        self,
        kind: str,
        path: Path,
        first: Mapping[str, Any],
        configs: list[Path],
        results: list[Path],
        scope: Scope,
        name: str,
        part: _Part | None = None,
    ) -> None:
        told = {column: cell for column, cell in first.items() if cell not in ("", None)}
        words = [repr(sorted(told.items(), key=str)), *([] if part is None else [part.column])]
        id = run_id(kind, str(path), *words)
        super().__init__(kind=kind, path=path, id=id, project=None, name=name)
        self._part = part
        self._documents = (configs, results)
        self._quiet = quiet_since([path], scope.now)
        self._beside: Beside | None = None

    def streams(self) -> Sequence[Stream]:
        source = f"{self.kind}:{self.path.name}"
        return [Stream(source=source, path=self.path, open=self._open, whole=self._quiet is not None)]

    def _open(self, offset: int) -> Reader:
        written = self.path.stat().st_mtime
        reader = reader_of(self.path, offset) if self._part is None else self._part.table
        reader.clock = lambda: written
        return reader if self._part is None else _PartReader(self.path, offset, self._part)

    def facts(self) -> Facts:
        if self._beside is None:
            self._beside = Beside.of(*self._documents)
            self.troubles += self._beside.troubles
        return Facts(
            config=self._beside.config,
            summary=self._beside.summary,
            phase=Phase.RUNNING if self._quiet is None else Phase.FINISHED,
            quiet=self._quiet,
        )


@final
class _RowRun(ForeignRun):
    """A row that is a run: columns are its configuration and its results.

    Args:
        key: What the row calls itself; "": nothing, so that its place counts.
        num_before: How many rows before it call themselves so.
    """

    def __init__(
        self, kind: str, path: Path, number: int, row: Mapping[str, Any], key: str, num_before: int, scope: Scope
    ) -> None:
        identity = [key, *([str(num_before)] if num_before else [])] if key else [f"#{number}"]
        super().__init__(
            kind=kind,
            path=path,
            id=run_id(kind, str(path), *identity),
            project=None,
            name=_first_of(row, ("name", "run_name")) or key or f"{scope.name(path.with_suffix(''))}-{number}",
        )
        self._row = row

    def streams(self) -> Sequence[Stream]:
        return []

    def facts(self) -> Facts:
        parts: tuple[dict[str, object], dict[str, object]] = {}, {}
        phase = Phase.FINISHED
        for name, cell in self._row.items():
            value = value_of(cell) if isinstance(cell, str) else cell
            if name == "" or value is None or value == "":
                continue
            if name.lower() in ("state", "status"):
                phase = _phase(str(value))
                continue
            prefix = next((p for p in _PREFIXES if name.startswith(p) and len(name) > len(p)), "")
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            where = _PREFIXES[prefix] if prefix else int(is_number and is_result(name))
            parts[where][name if prefix == "values_" else name.removeprefix(prefix)] = value
        config, summary = (tamed(part) for part in parts)
        return Facts(config=config, summary=summary, phase=phase)


def _phase(word: str) -> Phase:
    word = word.lower().removeprefix("trialstate.")
    if word in ("running", "waiting", "scheduled", "pending", "queued"):
        return Phase.RUNNING
    if word in ("fail", "failed", "error", "crashed"):
        return Phase.FAILED
    return Phase.CANCELED if word in ("killed", "canceled", "cancelled") else Phase.FINISHED


def _column(columns: Iterable[str], names: Sequence[str]) -> str | None:
    """Return the column that has one of these names, however it is capitalised: the first name counts."""
    lower = {column.lower(): column for column in columns}
    return next((lower[name] for name in names if name in lower), None)


def _first_of(row: Mapping[str, Any], names: Sequence[str]) -> str:
    column = _column(row, names)
    return "" if column is None or row[column] is None else str(row[column])


def _has_step(columns: Sequence[str]) -> bool:
    return len(columns) > 1 and _column(columns, STEPS) is not None


def _has_run_id(columns: Sequence[str], *, weak: bool = False) -> bool:
    return len(columns) > 1 and _column(columns, (*_RUN_IDS, *_NAMES) if weak else _RUN_IDS) is not None
