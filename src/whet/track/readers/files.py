"""Metrics from files that a script writes, row by row: CSV, JSON Lines; and the numbers in what any document holds."""

from __future__ import annotations

import csv
import json
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, final

from whet.errors import TrackError, UnknownName
from whet.store.base import Row
from whet.track.readers.base import Reader, Rows

__all__ = ["STEPS", "CsvReader", "JsonLinesReader", "TableReader", "numbers_of", "reader_of", "row_of", "rows_in"]

STEPS = ("step", "global_step", "_step", "training_iteration", "iteration", "iter", "epoch")
"""Columns that count steps, however they are capitalised: the first of those that are there."""
_TIMES = ("time", "timestamp", "wall_time", "_timestamp", "wall time")
"""Columns that tell the time, where they look like seconds since the epoch."""
_PIECE_BYTES = 1 << 20
_LONGEST_RECORD = 1 << 18
_BUFFER_BYTES = 4096
_DEEPEST = 50
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_MARK = b"\xef\xbb\xbf"  # that some put before UTF-8


def reader_of(path: Path, offset: int = 0) -> TableReader:
    """Return the reader for a file by its suffix.

    Raises:
        UnknownName: no reader has that suffix.
    """
    readers: dict[str, type[CsvReader | JsonLinesReader]] = {
        ".csv": CsvReader, ".tsv": CsvReader, ".jsonl": JsonLinesReader, ".ndjson": JsonLinesReader,
    }  # fmt: skip
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise UnknownName.of("kind of metrics file", suffix or path.name, readers)
    return readers[suffix](path, offset)


def numbers_of(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers in a mapping, those in mappings within it with dotted names.

    Truth values are 0 and 1; a text that is a number is one, as loggers write those that they don't know.

    Example:
        >>> numbers_of({"loss": 0.5, "val": {"ok": True, "f1": "0.25", "note": "x"}})
        {'loss': 0.5, 'val.ok': 1.0, 'val.f1': 0.25}
    """
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= numbers_of(value, f"{prefix}{name}.")
        elif name != "" and isinstance(value, int | float | str):  # pandas writes its index under no name
            try:
                found[f"{prefix}{name}"] = float(value)
            except (ValueError, OverflowError):
                continue
    return found


def row_of(values: Mapping[str, Any], count: int, clock: Callable[[], float]) -> Row | None:
    """Return the numbers of a mapping as a row, or None where it has but a step and a time.

    Its step is `count` unless it says one, its time is the clock's unless it says one.
    """
    return _row_of(numbers_of(values), count, clock)


@lru_cache(1024)
def _rank(name: str, words: tuple[str, ...]) -> int | None:
    return words.index(name.lower()) if name.lower() in words else None


def _called(numbers: Mapping[str, float], words: tuple[str, ...]) -> list[str]:
    """Return the names that are among `words`, in the order of these."""
    found = [(rank, name) for name in numbers if len(name) < 20 and (rank := _rank(name, words)) is not None]
    return [name for _, name in sorted(found)] if len(found) > 1 else [name for _, name in found]


def _row_of(numbers: dict[str, float], count: int, clock: Callable[[], float]) -> Row | None:
    step, when = count, None
    for name in _called(numbers, STEPS):
        if abs(numbers[name]) < 1 << 62:
            step = int(numbers.pop(name))
            break
    for name in _called(numbers, _TIMES):
        if 1e8 < numbers[name] < 1e11:
            when = numbers.pop(name)
            break
    return Row(step=step, time=clock() if when is None else when, values=numbers) if numbers else None


def rows_in(document: Any) -> list[Mapping[str, Any]]:
    """Return the rows that a document holds: a list of mappings has one each, a mapping of lists has columns; anything else has none.

    Example:
        >>> rows_in({"loss": [2, 1], "val": [None, 3]})
        [{'loss': 2, 'val': None}, {'loss': 1, 'val': 3}]
        >>> rows_in({"loss": 1}), rows_in({"names": ["a", "b"]})
        ([], [])
    """
    if isinstance(document, list):
        return [row for row in document if isinstance(row, Mapping)]
    if not isinstance(document, Mapping) or not all(isinstance(column, list) for column in document.values()):
        return []
    cells = [cell for column in document.values() for cell in column]
    if any(isinstance(cell, Mapping | list) for cell in cells) or not any(isinstance(c, int | float) for c in cells):
        return []
    length = max(map(len, document.values()))
    return [{name: column[i] for name, column in document.items() if i < len(column)} for i in range(length)]


class TableReader(Reader):
    """Rows of a growing file: a step column sets the step (the first of several counts), else rows are counted.

    The offset counts rows, so that a file which is written anew with one more column can be read on. A row that is still being written is left
    for later. A piece that ends before it starts says that the file has fewer rows than were read.
    """

    has_head: ClassVar[bool]

    def __init__(self, path: Path, offset: int = 0, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(path, offset, clock=clock)
        self._at: int | None = None
        self._begin: int | None = None if self.has_head else 0
        self.head = b""
        """Its first line, once that was read."""

    @property
    def share(self) -> float:
        return self._share_at(self._at or 0)

    def read(self, *, final: bool = False) -> Rows:
        start = self.offset
        if self._at is None:
            num = self._pass_over(start)
            if self._at is None:
                return Rows(rows=(), start=start, end=num)
        records: list[bytes] = []
        while not records and (found := self._pieces(self._at, final)):
            self._at += sum(map(len, found))
            records = [record for record in found if record.strip()]
        rows = self.rows_of(records, start)
        self.offset = start + len(records)
        return Rows(rows=rows, start=start, end=self.offset)

    def rows_of(self, records: Sequence[bytes], count: int) -> tuple[Row, ...]:
        """Return the rows of records, the first of which is row `count` of the file."""
        numbers = enumerate(self._numbers(records, count), count)
        return tuple(row for i, values in numbers if values and (row := _row_of(values, i, self.clock)) is not None)

    def records(self, *, final: bool) -> Iterator[tuple[bytes, int]]:
        """Yield the whole records of the file, from the first and without the header, each with the byte at which it ends."""
        at, head = 0, self.has_head
        while found := self._pieces(at, final):
            for record in found:
                at += len(record)
                if head and record.strip():
                    self._read_head(record)
                    self._begin, head = at, False
                    self.head = record
                elif record.strip():
                    yield record, at

    @abstractmethod
    def mapping(self, record: bytes) -> Mapping[str, Any] | None:
        """Return what a record holds, or None where it is damaged."""

    @abstractmethod
    def _numbers(self, records: Sequence[bytes], count: int) -> Iterator[dict[str, float] | None]: ...

    @abstractmethod
    def _is_whole(self, tail: bytes) -> bool:
        """Return whether the last record of a file, which no end of line ends, looks as if it were all there."""

    def _read_head(self, record: bytes) -> None:
        raise NotImplementedError

    def _pass_over(self, count: int) -> int:
        """Go to row `count`, and return how many rows there are up to it."""
        num, at = 0, None
        for num, (_, at) in enumerate(islice(self.records(final=True), max(1, count)), 1):  # noqa: B007
            pass
        if num >= count:
            self._at = at if count else self._begin
        return min(num, count)

    def _pieces(self, start: int, final: bool) -> list[bytes]:
        """Return whole records from byte `start` on, with their ends of line, some at a time. Some may be blank.

        Raises:
            TrackError: one is longer than a piece, or the file is no text in UTF-8.
        """
        data = self.bytes_from(start, _PIECE_BYTES)
        if not start and data.startswith(_UTF_16):
            raise TrackError(f"{self.path} is text in UTF-16", "save it as UTF-8")
        full = len(data) == _PIECE_BYTES
        *lines, tail = data.split(b"\n")
        if full and not lines:
            raise TrackError(
                f"{self.path} has a line of more than {_PIECE_BYTES} bytes at byte {start}",
                "a file of metrics has a row a line: leave this one out",
            )
        records, rest = self._joined([line + b"\n" for line in lines])
        if full:
            return records or rest  # a quote that nothing closes
        # A writer with a buffer cuts where that is full, in the middle of a number, and may be quiet for long.
        if not final or (start + len(data)) % _BUFFER_BYTES == 0:
            return records
        last = b"".join([*rest, tail])
        if rest and self._is_whole(last):
            return [*records, last]
        return [*records, *rest, tail] if tail.strip() and self._is_whole(tail) else [*records, *rest]

    def _joined(self, lines: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Return the records that lines are, and the lines at the end of which it is not known yet."""
        return lines, []


@final
class CsvReader(TableReader):
    """A CSV or TSV file with a header line. Columns that hold no numbers are left out."""

    has_head: ClassVar[bool] = True
    delimiter = ","
    """What separates its cells, once the header was read."""

    def __init__(self, path: Path, offset: int = 0, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(path, offset, clock=clock)
        self._names: list[str] = []

    def mapping(self, record: bytes) -> Mapping[str, Any] | None:
        cells = self._cells_or_none(record)
        return None if cells is None else dict(zip(self._names, cells, strict=False))

    def _read_head(self, record: bytes) -> None:
        names = self._cells_or_none(record.removeprefix(_MARK))
        if names is None:
            raise TrackError(f"{self.path} has a first line that is no CSV", "mend it, or leave it out")
        self._names = names

    def _numbers(self, records: Sequence[bytes], count: int) -> Iterator[dict[str, float] | None]:
        for i, (cells, record) in enumerate(zip(self._all_cells(records), records, strict=True), count):
            if cells is None or (b'"' in record and self._ends_open(record)):
                self.damaged(f"row {i + 1}")
            numbers: dict[str, float] = {}
            for name, cell in zip(self._names, cells or (), strict=False):
                if cell and name:  # pandas writes its index under no name
                    try:
                        numbers[name] = float(cell)
                    except ValueError:
                        continue
            yield numbers

    def _all_cells(self, records: Sequence[bytes]) -> Sequence[list[str] | None]:
        """Return the cells of each record, or None for one that is damaged."""
        try:
            found = list(csv.reader([_text(record) for record in records], delimiter=self.delimiter))
            if len(found) == len(records):
                return found
        except csv.Error:
            pass
        return [self._cells_or_none(record) for record in records]  # one by one, so that a damaged one harms no other

    def _cells_or_none(self, record: bytes) -> list[str] | None:
        try:
            return [cell.strip() for cell in next(csv.reader([_text(record)], delimiter=self.delimiter), [])]
        except csv.Error:
            return None

    def _is_whole(self, tail: bytes) -> bool:
        cells = None if not self._names or self._ends_open(tail) else self._cells_or_none(tail)
        return cells is not None and len(cells) >= len(self._names)

    def _joined(self, lines: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Join lines that end within quotes with what follows; a quote that nothing closes for long costs none of the lines behind it."""
        if not self._names and (head := next((line for line in lines if line.strip()), None)):
            self.delimiter = self._delimiter_of(head)
        if not any(b'"' in line for line in lines):
            return lines, []
        records, held = [], []
        is_open, size = False, 0
        for line in lines:
            held.append(line)
            is_open = self._ends_open(line, is_open)
            size += len(line)
            if not is_open:
                records.append(b"".join(held))
            elif size > _LONGEST_RECORD:
                records += held
            else:
                continue
            held, is_open, size = [], False, 0
        return records, held

    def _delimiter_of(self, head: bytes) -> str:
        if self.path.suffix.lower() == ".tsv":
            return "\t"
        return ";" if b";" in head and b"," not in head else ","

    def _ends_open(self, line: bytes, is_open: bool = False) -> bool:
        """Return whether a line ends within quotes, as `csv` counts them: they begin where a cell does, elsewhere a quote is a letter.

        Args:
            is_open: Whether the line before it did.
        """
        opens = self.delimiter.encode() + b'"'
        at = 0
        if not self._names:
            line = line.removeprefix(_MARK)
        if not is_open and line.startswith(b'"'):
            is_open, at = True, 1
        while True:
            if not is_open:
                at = line.find(opens, at) + 2
                if at < 2:
                    return False
            at = line.find(b'"', at) + 1
            if at < 1:
                return True
            is_open = line[at : at + 1] == b'"'  # two of them are one that is meant
            at += is_open


def _text(record: bytes) -> str:
    return record.decode("utf-8", errors="replace").rstrip("\r\n")


@final
class JsonLinesReader(TableReader):
    """One JSON object a line; a line that is none is left out."""

    has_head: ClassVar[bool] = False

    def mapping(self, record: bytes) -> Mapping[str, Any] | None:
        try:
            values = json.loads(record)
            return values if isinstance(values, Mapping) and _depth_is_fine(values) else None
        except (ValueError, RecursionError):
            return None

    def _numbers(self, records: Sequence[bytes], count: int) -> Iterator[dict[str, float] | None]:
        for i, record in enumerate(records, count):
            values = self.mapping(record)
            if values is None:
                self.damaged(f"line {i + 1}")
            yield None if values is None else numbers_of(values)

    def _is_whole(self, tail: bytes) -> bool:
        return self.mapping(tail) is not None


def _depth_is_fine(values: Mapping[str, Any]) -> bool:
    level: list[Mapping[str, Any]] = [values]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in outer.values() if isinstance(inner, Mapping)]
        if not level:
            return True
    return False
