"""Metrics from files that a script writes: CSV, JSON Lines, JSON, YAML."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, final

from whet.errors import TrackError, UnknownName
from whet.store.base import Row
from whet.track.readers.base import Reader, Rows

__all__ = ["STEPS", "TIMES", "CsvReader", "DocumentReader", "JsonLinesReader", "reader_of", "row_of"]

STEPS = ("step", "global_step", "_step", "training_iteration", "iteration", "iter", "epoch", "Step", "Epoch")
"""Columns that count steps, the first of those that are there."""
TIMES = ("time", "timestamp", "wall_time", "_timestamp", "Wall time")
"""Columns that tell the time, where they look like seconds since the epoch."""
_PIECE_BYTES = 1 << 20
_LONGEST_RECORD = 1 << 18
_DEEPEST = 50


def reader_of(path: Path, offset: int = 0) -> Reader:
    """Return the reader for a file by its suffix.

    Raises:
        UnknownName: no reader has that suffix.
    """
    readers: dict[str, type[CsvReader | JsonLinesReader | DocumentReader]] = {
        ".csv": CsvReader, ".tsv": CsvReader, ".jsonl": JsonLinesReader, ".ndjson": JsonLinesReader,
        ".json": DocumentReader, ".yaml": DocumentReader, ".yml": DocumentReader,
    }  # fmt: skip
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise UnknownName.of("kind of metrics file", suffix or path.name, readers)
    return readers[suffix](path, offset)


def _number(value: Any) -> float | None:
    if isinstance(value, bool | int | float | str):
        try:
            return float(value)
        except (ValueError, OverflowError):
            return None
    return None


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for key, value in values.items():
        if type(value) is float and key:
            flat[prefix + str(key)] = value
        elif isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif key != "" and (number := _number(value)) is not None:  # pandas writes its index under no name
            flat[f"{prefix}{key}"] = number
    return flat


def row_of(values: Mapping[str, Any], count: int, clock: Callable[[], float]) -> Row | None:
    """Return the numbers of a mapping as a row: its step is `count` unless it says one, its time is the clock's unless it says one."""
    return _row_of(_flat(values), count, clock)


def _row_of(numbers: dict[str, float], count: int, clock: Callable[[], float]) -> Row | None:
    step, when = count, None
    for key in STEPS:
        if key in numbers and abs(numbers[key]) < 1 << 62:
            step = int(numbers.pop(key))
            break
    for key in TIMES:
        if key in numbers and 1e8 < numbers[key] < 1e11:
            when = numbers.pop(key)
            break
    return Row(step=step, time=clock() if when is None else when, values=numbers) if numbers else None


class _Table(Reader):
    """Rows of a growing file: a step column sets the step (the first of several counts), else rows are counted."""

    def __init__(self, path: Path, offset: int = 0, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(path, offset, clock=clock)
        self._count: int | None = None

    def _records(self, start: int, final: bool) -> tuple[list[bytes], int]:
        """Return the whole records that begin at byte `start`, some at a time, and where they end.

        Raises:
            TrackError: one is longer than a piece.
        """
        data = self.bytes_from(start, _PIECE_BYTES)
        if final and len(data) < _PIECE_BYTES:
            cut = len(data)
        else:
            cut = data.rfind(b"\n") + 1
            if not cut and len(data) == _PIECE_BYTES:
                raise TrackError(
                    f"{self.path} has a line of more than {_PIECE_BYTES} bytes at byte {start}",
                    "a file of metrics has a row a line: leave this one out",
                )
        records, used = self._split(data[:cut], whole=cut == len(data) and final and len(data) < _PIECE_BYTES)
        return [record for record in records if record.strip()], start + used

    def _split(self, data: bytes, *, whole: bool) -> tuple[list[bytes], int]:
        return data.split(b"\n"), len(data)

    def _num_before(self, offset: int) -> int:
        """Return how many records there are before `offset`."""
        at = count = 0
        while at < offset:
            data = self.bytes_from(at, min(_PIECE_BYTES, offset - at))
            if not data:
                break
            cut = data.rfind(b"\n") + 1 or len(data)
            records, used = self._split(data[:cut], whole=at + len(data) >= offset)
            count += sum(1 for record in records if record.strip())
            at += used or len(data)
        return count


@final
class CsvReader(_Table):
    """A CSV or TSV file with a header line. Columns that hold no numbers are left out."""

    _names: list[str] | None = None
    _delimited_by: str | None = None

    @property
    def names(self) -> list[str]:
        """The names of the columns; none while the header is not there yet.

        Raises:
            TrackError: the header is no line of CSV.
        """
        if self._names is None:
            records, _ = self._records(0, final=False)
            if not records:
                records, _ = self._records(0, final=True)
                return self._cells(records[0]) if records else []
            self._names = self._cells(records[0])
        return self._names

    def texts(self) -> Iterator[dict[str, str]]:
        """Yield all rows as texts by column, from the first."""
        at, names = 0, self.names
        first = True
        while True:
            records, end = self._records(at, final=True)
            for record in records[1:] if first else records:
                yield dict(zip(names, self._cells(record), strict=False))
            first = False
            if end == at:
                return
            at = end

    def read(self, *, final: bool = False) -> Rows:
        start = self.offset
        if self._count is None:
            self._count = max(0, self._num_before(start) - 1)
        records, end = self._records(start, final)
        if start and not self.names:
            return Rows(rows=(), start=start, end=start)
        rows = []
        if not start and records:
            self._names = self._cells(records[0])
        names = self.names if records else []
        for cells in self._all_cells(records if start else records[1:]):
            if cells is None:
                self.damaged(f"row {self._count + 1}")
            numbers: dict[str, float] = {}
            for name, cell in zip(names, cells or (), strict=False):
                if cell and name:  # pandas writes its index under no name
                    try:
                        numbers[name] = float(cell)
                    except ValueError:
                        continue
            row = _row_of(numbers, self._count, self.clock)
            self._count += 1
            if row is not None:
                rows.append(row)
        self.offset = end
        return Rows(rows=tuple(rows), start=start, end=self.offset)

    def _all_cells(self, records: list[bytes]) -> Iterable[list[str] | None]:
        """Return the cells of each record, or None for one that is damaged."""
        try:
            texts = [record.decode("utf-8", errors="replace").rstrip("\r\n") for record in records]
            found = list(csv.reader(texts, delimiter=self._delimiter()))
            if len(found) == len(records):
                return found
        except csv.Error:
            pass
        return map(self._cells_or_none, records)  # one by one, so that a damaged one harms no other

    def _cells_or_none(self, record: bytes) -> list[str] | None:
        try:
            return self._cells(record)
        except TrackError:
            return None

    def _delimiter(self, header: str = "") -> str:
        if self._delimited_by is None:
            tabs = self.path.suffix.lower() == ".tsv"
            found = "\t" if tabs else ";" if ";" in header and "," not in header else ","
            if not header:
                return found
            self._delimited_by = found
        return self._delimited_by

    def _split(self, data: bytes, *, whole: bool) -> tuple[list[bytes], int]:
        """Split at the ends of lines that are in no quotes."""
        lines = data.split(b"\n")
        if b'"' not in data:
            return lines, len(data)
        records, used, held = [], 0, b""
        for line in lines[:-1]:
            held = held + line + b"\n"
            if held.count(b'"') % 2 == 0 or len(held) > _LONGEST_RECORD:
                records.append(held)
                used += len(held)
                held = b""
        held += lines[-1]
        if whole:
            return [*records, held], len(data)
        if not records:  # a quote that nothing closes
            return lines, len(data)
        return records, used

    def _cells(self, line: bytes) -> list[str]:
        text = line.decode("utf-8-sig", errors="replace").rstrip("\r\n")
        delimiter = self._delimiter(text)
        try:
            return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter), [])]
        except csv.Error as error:
            raise TrackError(f"{self.path} has a line that is no CSV ({error})", "mend it, or leave it out") from error


@final
class JsonLinesReader(_Table):
    """One JSON object a line; a line that is none is left out."""

    def mappings(self) -> Iterator[Mapping[str, Any]]:
        """Yield all objects, from the first."""
        at = 0
        while True:
            records, end = self._records(at, final=True)
            for record in records:
                values = self._values(record)
                if values is not None:
                    yield values
            if end == at:
                return
            at = end

    def read(self, *, final: bool = False) -> Rows:
        start = self.offset
        if self._count is None:
            self._count = self._num_before(start)
        records, end = self._records(start, final)
        rows = []
        for record in records:
            values = self._values(record)
            if values is None:
                self.damaged(f"line {self._count + 1}")
            row = None if values is None else row_of(values, self._count, self.clock)
            self._count += 1
            if row is not None:
                rows.append(row)
        self.offset = end
        return Rows(rows=tuple(rows), start=start, end=self.offset)

    def _values(self, record: bytes) -> Mapping[str, Any] | None:
        try:
            values = json.loads(record)
            return values if isinstance(values, Mapping) and _depth_is_fine(values) else None
        except (ValueError, RecursionError):
            return None


def _depth_is_fine(values: Mapping[str, Any]) -> bool:
    level: list[Mapping[str, Any]] = [values]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in outer.values() if isinstance(inner, Mapping)]
        if not level:
            return True
    return False


@final
class DocumentReader(_Table):
    """A whole JSON or YAML document, read once, at the end: a list of mappings (one a step), a mapping of lists, or one mapping.

    Raises:
        TrackError: it is no JSON or YAML.
    """

    def read(self, *, final: bool = False) -> Rows:
        start = self.offset
        data = self.bytes_from(0) if final else b""
        if not data or start >= len(data):
            return Rows(rows=(), start=start, end=start)
        rows = tuple(
            row for i, values in enumerate(self._mappings(data)) if (row := row_of(values, i, self.clock)) is not None
        )
        self.offset = len(data)
        return Rows(rows=rows, start=start, end=self.offset)

    def _mappings(self, data: bytes) -> Iterable[Mapping[str, Any]]:
        try:
            if self.path.suffix.lower() == ".json":
                document = json.loads(data)
            else:
                import yaml

                document = yaml.safe_load(data)
        except Exception as error:
            raise TrackError(f"{self.path} can't be read ({error})", "write metrics as JSON or YAML") from error
        if isinstance(document, list):
            return [m for m in document if isinstance(m, Mapping)]
        if not isinstance(document, Mapping):
            return []
        columns = {k: v for k, v in document.items() if isinstance(v, list)}
        if columns and len(columns) == len(document):
            length = max(len(v) for v in columns.values())
            return [{k: v[i] for k, v in columns.items() if i < len(v)} for i in range(length)]
        return [document]
