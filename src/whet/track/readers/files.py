"""Metrics from files that a script writes: CSV, JSON Lines, JSON, YAML."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, final

from whet.errors import TrackError, UnknownName
from whet.store.base import Row
from whet.track.readers.base import Reader, Rows

__all__ = ["CsvReader", "DocumentReader", "JsonLinesReader", "reader_of"]

_STEPS = ("step", "global_step", "_step", "iteration", "iter", "epoch")
_TIMES = ("time", "timestamp", "wall_time", "_timestamp")


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
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return None


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif (number := _number(value)) is not None:
            flat[f"{prefix}{key}"] = number
    return flat


class _Table(Reader):
    """Rows of a growing file: a step column sets the step (the first of several counts), else rows are counted."""

    def _row(self, values: Mapping[str, Any], count: int) -> Row | None:
        numbers = _flat(values)
        step_key = next((k for k in _STEPS if k in numbers and math.isfinite(numbers[k])), None)
        time_key = next((k for k in _TIMES if numbers.get(k, 0.0) > 1e8), None)
        step = count if step_key is None else int(numbers.pop(step_key))
        when = self.clock() if time_key is None else numbers.pop(time_key)
        return Row(step=step, time=when, values=numbers) if numbers else None

    def _lines(self, final: bool) -> tuple[list[bytes], bytes]:
        """Return the whole new lines, and all of their bytes."""
        data = self.bytes_from(self.offset)
        if not final:
            data = data[: data.rfind(b"\n") + 1]
        return [line for line in data.split(b"\n") if line.strip()], data


@final
class CsvReader(_Table):
    """A CSV or TSV file with a header line. Columns that hold no numbers are left out."""

    def read(self, *, final: bool = False) -> Rows:
        start = self.offset
        lines, data = self._lines(final)
        earlier = [line for line in self.bytes_from(0, start).split(b"\n") if line.strip()] if start else lines[:1]
        names = self._cells(earlier[0]) if earlier else []
        count = max(0, len(earlier) - 1)
        rows = []
        for line in lines if start else lines[1:]:
            row = self._row(dict(zip(names, self._cells(line), strict=False)), count)
            count += 1
            if row is not None:
                rows.append(row)
        self.offset = start + len(data)
        return Rows(rows=tuple(rows), start=start, end=self.offset)

    def _cells(self, line: bytes) -> list[str]:
        text = line.decode("utf-8-sig", errors="replace").rstrip("\r")
        delimiter = "\t" if self.path.suffix.lower() == ".tsv" else ";" if ";" in text and "," not in text else ","
        return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter), [])]


@final
class JsonLinesReader(_Table):
    """One JSON object a line; a line that is none is left out."""

    def read(self, *, final: bool = False) -> Rows:
        start = self.offset
        count = sum(1 for line in self.bytes_from(0, start).split(b"\n") if line.strip()) if start else 0
        lines, data = self._lines(final)
        rows = []
        for line in lines:
            try:
                values = json.loads(line)
            except ValueError:
                values = None
            row = self._row(values, count) if isinstance(values, Mapping) else None
            count += 1
            if row is not None:
                rows.append(row)
        self.offset = start + len(data)
        return Rows(rows=tuple(rows), start=start, end=self.offset)


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
        rows = tuple(row for i, values in enumerate(self._mappings(data)) if (row := self._row(values, i)) is not None)
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
