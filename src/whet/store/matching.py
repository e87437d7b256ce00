"""The whole runs of a question to the run table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from whet.store.values import RunQuery

if TYPE_CHECKING:
    from whet.store.base import Run, Store, Sweep, TableQuery, TableRow

__all__ = ["matching", "sweeps_of"]

_PAGE = 200


def matching(
    store: Store, query: TableQuery, *, keep: Callable[[TableRow], bool] = lambda row: True, most: int | None = None
) -> Iterator[Run]:
    """Yield the runs that `query` wants, whole and in its order, whatever its `limit`: two requests a page, not one a run.

    Those that are deleted meanwhile are left out.

    Args:
        keep: Whether a row is wanted that the question has found.
        most: The most to yield; None is all.
    """
    rows = (row for row in _rows(store, query) if keep(row))
    left = most
    while page := [row.id for row in islice(rows, _PAGE if left is None else min(left, _PAGE))]:
        whole = {run.id: run for run in store.runs.select(RunQuery(ids=page))}
        there = [whole[id] for id in page if id in whole]
        yield from there
        left = None if left is None else left - len(there)


def _rows(store: Store, query: TableQuery) -> Iterator[TableRow]:
    query = replace(query, limit=_PAGE, columns=())
    while True:
        page = store.runs.table(query)
        yield from page.rows
        if page.cursor is None:
            return
        query = replace(query, cursor=page.cursor)


def sweeps_of(store: Store, runs: Collection[Run]) -> dict[str, Sweep]:
    """Return the sweeps that the runs are trials of, by id."""
    return {id: store.sweeps.get(id) for id in sorted({run.sweep for run in runs if run.sweep})}
