"""Whole runs: those of a question to the run table, or of ids."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from whet.store.values import RunQuery

if TYPE_CHECKING:
    from whet.store.base import Run, Store, Sweep, TableQuery, TableRow

__all__ = ["matching", "sweeps_of", "whole_runs"]

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
        there = whole_runs(store, page)
        yield from there
        left = None if left is None else left - len(there)


def whole_runs(store: Store, ids: Sequence[str]) -> list[Run]:
    """Return the runs of these ids (ids, not names) in their order, each once; those that are no more are left out.

    A question for every 200 of them, not one a run.
    """
    wanted = list(dict.fromkeys(ids))
    found: list[Run] = []
    for i in range(0, len(wanted), _PAGE):
        page = wanted[i : i + _PAGE]
        whole = {run.id: run for run in store.runs.select(RunQuery(ids=page))}
        found += (whole[id] for id in page if id in whole)
    return found


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
