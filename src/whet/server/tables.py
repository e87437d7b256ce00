"""A sweep's runs as a table: page by page, or as one file that is sent while it is made."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from whet.server.access import needs
from whet.server.etags import Tags
from whet.server.rest import answer
from whet.server.run_views import PageView, page_view
from whet.store.base import Store, Sweep, TableQuery
from whet.store.export import ParquetFile, csv_cell, in_order, kinds_of, row_of
from whet.store.matching import matching

__all__ = ["router"]

_PAGE = 500
_PIECE = 1 << 16
_TYPES = {"csv": "text/csv", "jsonl": "application/jsonl", "parquet": "application/vnd.apache.parquet"}

Filter = Annotated[str, Query(max_length=2000)]
Rows = list[dict[str, Any]]


def router(store: Store, tags: Tags) -> APIRouter:
    """Return the routes ``/sweeps/{id}/runs`` and ``/sweeps/{id}/export``."""
    routes = APIRouter(prefix="/sweeps", tags=["sweeps"])

    @routes.get("/{id}/runs", response_model=PageView)
    @needs("read", sweep="id")
    def runs(
        request: Request,
        id: str,
        *,
        filter: Filter = "",
        sort: str = "-created",
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        cursor: str | None = None,
        column: Annotated[list[str], Query(default_factory=list)],
    ) -> Response:
        """Return a page of the sweep's runs, asked for as in ``/runs``."""
        sweep = store.sweeps.find(id).id
        query = TableQuery(filter=filter, sort=sort, sweep=sweep, limit=limit, cursor=cursor, columns=tuple(column))
        return tags.answer(request, lambda: page_view(store.runs.table(query)))

    @routes.get("/{id}/export", response_class=Response)
    @needs("read", sweep="id")
    def export(id: str, filter: Filter = "", format: Literal["csv", "jsonl", "parquet"] = "csv") -> Response:
        """Return the sweep's runs as one file, a row a run, with the columns of ``whet export``."""
        sweep = store.sweeps.find(id)
        pages = _Pages(store, sweep, filter)
        make = {"csv": _as_csv, "jsonl": _as_lines, "parquet": _as_parquet}[format]
        pieces = make(pages)
        first = next(pieces, b"")  # what goes wrong goes wrong here, while there can be another answer
        named = {"Content-Disposition": f'attachment; filename="{sweep.id}.{format}"'}

        def all_pieces() -> Iterator[bytes]:
            yield first
            yield from pieces

        return StreamingResponse(all_pieces(), headers=named, media_type=_TYPES[format])

    return routes


class _Pages:
    """A sweep's runs as rows, the oldest first, a page at a time; it may be walked through twice."""

    def __init__(self, store: Store, sweep: Sweep, filter: str) -> None:
        self._store, self._sweep = store, sweep
        self._query = TableQuery(filter=filter, sort="created", sweep=sweep.id)

    def __iter__(self) -> Iterator[Rows]:
        runs = matching(self._store, self._query)
        while page := [row_of(run, self._sweep) for run in islice(runs, _PAGE)]:
            yield page

    def kinds(self) -> dict[str, set[type]]:
        """Return the columns, and of what types their values are: files have these before the first row."""
        found: dict[str, set[type]] = {}
        for rows in self:
            kinds_of(rows, found)
        return {name: found[name] for name in in_order(found)}


def _as_csv(pages: _Pages) -> Iterator[bytes]:
    columns = list(pages.kinds())
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for rows in pages:
        writer.writerows([[csv_cell(row.get(name)) for name in columns] for row in rows])
        yield file.getvalue().encode()
        file.seek(0)
        file.truncate()


def _as_lines(pages: _Pages) -> Iterator[bytes]:
    for rows in pages:
        yield b"".join(bytes(answer(row).body) + b"\n" for row in rows)


def _as_parquet(pages: _Pages) -> Iterator[bytes]:
    with tempfile.TemporaryFile() as file:
        with ParquetFile(file, pages.kinds()) as made:  # its index stands at the end, so it is whole before it is sent
            for rows in pages:
                made.write(rows)
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece
