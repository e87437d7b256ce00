"""Runs as one file that is sent while it is made, whatever their number."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Literal, final

from starlette.responses import Response, StreamingResponse

from whet.server.rest import answer
from whet.store.base import Run, Store, Sweep
from whet.store.export import ParquetFile, RowSpool, csv_cell, documents, in_order, row_of
from whet.store.matching import sweeps_of

__all__ = ["Format", "file_of"]

Format = Literal["csv", "jsonl", "parquet", "json"]

_PAGE = 500
_FEW = 20
_PIECE = 1 << 16
_TYPES = {
    "csv": "text/csv",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
    "json": "application/json",
}

Rows = list[dict[str, Any]]


def file_of(store: Store, runs: Iterable[Run], format: Format, name: str) -> Response:
    """Return runs as a file to be saved: a row a run with the columns of ``whet export``, or as JSON whole runs with their curves.

    Args:
        store: Where they are kept.
        runs: Them, whole and in order. What has its columns before its first row begins when the last run is there.
        format: Of the file.
        name: Of the file, without its ending.

    Raises:
        WhetError: what goes wrong before the first piece.
    """
    pages = _Pages(store, runs)
    make = {"csv": _as_csv, "jsonl": _as_lines, "parquet": _as_parquet, "json": _as_json}[format]
    pieces = make(pages)
    first = next(pieces, b"")  # what goes wrong goes wrong here, while there can be another answer
    named = {"Content-Disposition": f'attachment; filename="{name}.{format}"'}

    def all_pieces() -> Iterator[bytes]:
        yield first
        yield from pieces

    return StreamingResponse(all_pieces(), headers=named, media_type=_TYPES[format])


@final
class _Pages:
    """Runs a page at a time."""

    def __init__(self, store: Store, runs: Iterable[Run]) -> None:
        self._store, self._runs = store, runs
        self._sweeps: dict[str, Sweep] = {}

    def _pages(self, size: int) -> Iterator[list[Run]]:
        runs = iter(self._runs)
        while page := list(islice(runs, size)):
            self._sweeps |= sweeps_of(self._store, [run for run in page if run.sweep not in self._sweeps])
            yield page

    def rows(self) -> Iterator[Rows]:
        for page in self._pages(_PAGE):
            yield [row_of(run, self._sweeps.get(run.sweep or "")) for run in page]

    def documents(self) -> Iterator[list[dict[str, object]]]:
        for page in self._pages(_FEW):
            yield documents(self._store, page, self._sweeps)


def _as_csv(pages: _Pages) -> Iterator[bytes]:
    with RowSpool() as spool:
        for rows in pages.rows():
            spool.add(rows)
        columns = in_order(spool.kinds)
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for piece in spool.pieces():
            writer.writerows([[csv_cell(row.get(name)) for name in columns] for row in piece])
            yield file.getvalue().encode()
            file.seek(0)
            file.truncate()
        yield file.getvalue().encode()  # of no rows


def _as_lines(pages: _Pages) -> Iterator[bytes]:
    for rows in pages.rows():
        yield b"".join(bytes(answer(row).body) + b"\n" for row in rows)


def _as_parquet(pages: _Pages) -> Iterator[bytes]:
    with tempfile.TemporaryFile() as file:
        with ParquetFile(file) as made:  # its index stands at the end, so it is whole before it is sent
            for rows in pages.rows():
                made.write(rows)
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece


def _as_json(pages: _Pages) -> Iterator[bytes]:
    before = b'{"runs":['
    for page in pages.documents():
        yield before + b",".join(bytes(answer(one).body) for one in page)
        before = b","
    yield b"]}" if before == b"," else before + b"]}"
