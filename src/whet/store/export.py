"""Runs as tables and documents for other programs."""

from __future__ import annotations

import csv
import json
import pickle
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, TextIO, final

from whet.config import flatten
from whet.errors import MissingDependency
from whet.store.describe import SYSTEM, run_as_json, seconds_of, state_of, values_of

if TYPE_CHECKING:
    from whet.store.base import Run, Store, Sweep

__all__ = [
    "ParquetFile",
    "RowSpool",
    "csv_cell",
    "documents",
    "in_order",
    "kinds_of",
    "row_of",
    "table_of",
    "write_csv",
]

_IN_MEMORY = 1 << 24


def row_of(run: Run, sweep: Sweep | None) -> dict[str, Any]:
    """Return a run as a row of a table, by column; the sweep is the run's own, if it has one."""
    row: dict[str, Any] = {
        "id": run.id,
        "name": run.name,
        "project": run.project,
        "sweep": run.sweep,
        "trial": run.number,
        "state": state_of(run),
        "best": run.best,
        "reason": run.reason,
        "started": run.started,
        "ended": run.ended,
        "seconds": seconds_of(run),
    }
    row |= {f"value.{name}": value for name, value in (values_of(run, sweep) or {}).items()}
    row |= {f"param.{name}": value for name, value in {**flatten(run.config), **run.params}.items()}
    row |= {f"metric.{name}": stat.last for name, stat in run.stats.items() if not name.startswith(SYSTEM)}
    row |= {f"summary.{name}": value for name, value in run.summary.items()}
    return row


def in_order(columns: Iterable[str]) -> list[str]:
    """Return the columns of rows, each once: what every run has, then results, parameters, metrics and summaries, otherwise as they come."""
    places = ("", "value", "param", "metric", "summary")
    return sorted(dict.fromkeys(columns), key=lambda name: places.index(name.partition(".")[0]) if "." in name else 0)


def table_of(runs: Sequence[Run], sweeps: Mapping[str, Sweep]) -> dict[str, list[Any]]:
    """Return columns by name, all as long as there are runs; what a run has not got is None."""
    rows = [row_of(run, sweeps.get(run.sweep or "")) for run in runs]
    return {name: [row.get(name) for row in rows] for name in in_order(name for row in rows for name in row)}


def write_csv(table: Mapping[str, Sequence[Any]], file: TextIO) -> None:
    """Write columns by name as CSV: None is empty, lists and mappings are JSON."""

    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table)
    writer.writerows([[csv_cell(v) for v in row] for row in zip(*table.values(), strict=True)])


def csv_cell(value: Any) -> Any:
    """Return a value as a cell of CSV: None is empty, lists and mappings are JSON."""
    return "" if value is None else json.dumps(value) if isinstance(value, (dict, list, tuple)) else value


@final
class RowSpool:
    """Rows that wait in a temporary file until it is known what columns there are: a sweep may go on while its file is made. A context manager."""

    def __init__(self) -> None:
        self.kinds: dict[str, set[type]] = {}
        """The columns so far, and of what types their values are, besides None."""
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed when this ends
        self._num_pieces = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take rows, by column."""
        kinds_of(rows, self.kinds)
        pickle.dump(list(rows), self._file, pickle.HIGHEST_PROTOCOL)
        self._num_pieces += 1

    def pieces(self) -> Iterator[list[Mapping[str, Any]]]:
        """Yield the rows as they came."""
        self._file.seek(0)
        for _ in range(self._num_pieces):
            yield pickle.load(self._file)  # what this process has just written


@final
class ParquetFile:
    """Writes rows as Parquet, piece by piece. A context manager; the file is whole when it ends, and not begun when it ends by an error.

    Columns and their types are those of all the rows that came.

    Args:
        target: A path, or a file open for writing bytes.

    Raises:
        MissingDependency: pyarrow is not installed.
    """

    def __init__(self, target: Path | IO[bytes]) -> None:
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise MissingDependency.of("pyarrow", "parquet", "export --format parquet") from None
        self._target = target
        self._waiting = RowSpool()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._waiting:
            if kind is None:
                self._write_all()

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take rows, by column."""
        self._waiting.add(rows)

    def _write_all(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = self._waiting.kinds
        types = {name: _type_of(kinds[name]) for name in in_order(kinds)}
        one = {float: pa.float64(), int: pa.int64(), bool: pa.bool_(), str: pa.string()}
        schema = pa.schema([(name, one[kind]) for name, kind in types.items()])
        with pq.ParquetWriter(self._target, schema) as writer:
            for rows in self._waiting.pieces():
                columns = {name: [_as(kind, row.get(name)) for row in rows] for name, kind in types.items()}
                writer.write_table(pa.table(columns, schema=schema))


def _type_of(found: Collection[type]) -> type:
    """Return the type of a column: the only one of its values; of several numbers float, else text."""
    is_number = {float} <= set(found) <= {int, float}
    only = float if is_number else next(iter(found)) if len(found) == 1 else str
    return only if only in (float, int, bool, str) else str


def _as(kind: type, value: Any) -> Any:
    if value is None or type(value) is kind:
        return value
    return float(value) if kind is float else json.dumps(value)


def kinds_of(rows: Iterable[Mapping[str, Any]], found: dict[str, set[type]]) -> None:
    """Add to `found` what types the values of each column have, besides None."""
    for row in rows:
        for name, value in row.items():
            kinds = found.setdefault(name, set())
            if value is not None:
                is_long = type(value) is int and value.bit_length() > 63  # which no column of numbers holds
                kinds.add(object if is_long else type(value))


def documents(store: Store, runs: Sequence[Run], sweeps: Mapping[str, Sweep]) -> list[dict[str, object]]:
    """Return each run as `run_as_json` has it, with its curves, artifacts, folder, and what is known of where it ran (meta)."""
    found = []
    for run in runs:
        curves = {name: asdict(curve) for name, curve in store.runs.metrics(run.id).items()}
        artifacts = [asdict(a) for a in store.runs.artifacts(run.id)]
        document = {**run_as_json(run, sweeps.get(run.sweep or "")), "meta": run.meta, "artifacts": artifacts}
        found.append({**document, "folder": run.folder, "curves": curves})
    return found
