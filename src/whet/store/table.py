"""The run table, whatever keeps the runs: what a run has in a column, how rows are ordered, and where a page ended."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from whet.errors import ExpressionError, StoreError
from whet.filters import STATS, Column, Node, column, parse, scalar
from whet.store.describe import kept_state
from whet.store.values import Group, GroupQuery, Run, TableQuery, TableRow

__all__ = ["LARGEST", "PLACE_OF_STAT", "Division", "Place", "Question", "group_of", "rank", "to_row", "value_of"]

_MOST = 1000
_FARTHEST = 2**53
_ROW = tuple(field.name for field in fields(TableRow) if field.name != "cells")
PLACE_OF_STAT: Mapping[str, int] = {name: i for i, name in enumerate(STATS)}
"""Where a statistic lies in what the codec writes."""
LARGEST = 1e70
"""Beyond it a number is none to be summed up: the fourth powers of sums, which PostgreSQL makes on its way to a mean, are floats still."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands: numbers (rank 0) come before texts (1), and nothing (2) last; then by value, then by creation."""

    rank: int
    value: float | str | None
    key: int


@dataclass(frozen=True, slots=True)
class Question:
    """A `TableQuery`, read.

    Args:
        wanted: The filter.
        sort: The column; None is the order of creation.
        descending: The greatest first (not for what is equal).
        after: Where the page before ended.
        columns: By the names they were asked by.
    """

    query: TableQuery
    wanted: Node | None
    sort: Column | None
    descending: bool
    after: Place | None
    columns: Mapping[str, Column]

    @classmethod
    def of(cls, query: TableQuery, now: float) -> Question:
        """Read `query`.

        Raises:
            ExpressionError, StoreError: as `Runs.table`.
        """
        if not 1 <= query.limit <= _MOST:
            raise StoreError(
                f"limit={query.limit} is out of range", f"ask for 1 to {_MOST} rows, and page by the cursor"
            )
        if not 0 <= query.offset <= _FARTHEST:
            raise StoreError(f"offset={query.offset} is out of range", f"pass over 0 to {_FARTHEST} rows")
        if query.offset and query.cursor is not None:
            raise StoreError("both a cursor and an offset say where the page begins", "give one of them")
        descending = query.sort.startswith("-")
        sort = column(query.sort.removeprefix("-"))
        if sort == Column("", "tags"):
            raise ExpressionError("tags are several and in no order", "sort by another column")
        return cls(
            query=query,
            wanted=parse(query.filter, now=now),
            sort=None if sort == Column("", "created") else sort,
            descending=descending,
            after=None if query.cursor is None else _read_cursor(query, query.cursor),
            columns={name: column(name) for name in query.columns},
        )

    def is_after(self, place: Place) -> bool:
        """Return whether a row at `place` comes after the page before."""
        after: Any = self.after
        if self.sort is None:
            return bool(place.key < after.key if self.descending else place.key > after.key)
        if place.rank != after.rank or place.value == after.value:
            return bool(place.rank > after.rank or (place.rank == after.rank and place.key > after.key))
        return bool(place.value < after.value if self.descending else place.value > after.value)

    def cursor(self, place: Place) -> str:
        """Return the text that says: the page ended at `place`."""
        told = json.dumps([_same(self.query), place.rank, place.value, place.key], separators=(",", ":"))
        return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Division:
    """A `GroupQuery`, read. `by` is None for tags."""

    query: GroupQuery
    wanted: Node | None
    by: Column | None
    of: Column | None

    @classmethod
    def read(cls, query: GroupQuery, now: float) -> Division:
        """Read `query`.

        Raises:
            ExpressionError, StoreError: as `Runs.groups`.
        """
        if not 1 <= query.limit <= _MOST:
            raise StoreError(f"limit={query.limit} is out of range", f"ask for 1 to {_MOST} groups")
        by, of = column(query.by), None if query.of is None else column(query.of)
        if of == Column("", "tags"):
            raise ExpressionError("tags are no numbers", "sum up a metric")
        return cls(query, parse(query.filter, now=now), None if by == Column("", "tags") else by, of)


def group_of(
    value: float | str | None, num_runs: int, num_values: int, least: float, greatest: float, mean: float, square: float
) -> Group:
    """Return a group; `square` is the mean of the squared distances from the mean."""
    there = num_values > 0
    return Group(
        value=value if value is None or isinstance(value, str) else float(value),
        num_runs=num_runs,
        num_values=num_values,
        least=float(least) if there else None,
        greatest=float(greatest) if there else None,
        mean=float(mean) if there else None,
        deviation=math.sqrt(square * num_values / (num_values - 1)) if num_values > 1 else None,
    )


def _same(query: TableQuery) -> str:
    told = json.dumps([query.filter, query.sort, query.project, query.sweep, query.projects])
    return hashlib.blake2b(told.encode(), digest_size=6).hexdigest()


def _read_cursor(query: TableQuery, text: str) -> Place:
    try:
        same, rank, value, key = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if type(rank) is not int or type(key) is not int or not isinstance(value, (int, float, str, type(None))):
            raise ValueError
        if isinstance(value, str) is not (rank == 1) or (value is None) is not (rank == 2):
            raise ValueError
    except (ValueError, TypeError, binascii.Error):
        raise StoreError(f"{text[:40]!r} is no cursor", "give back what the page before had, or none") from None
    if same != _same(query):
        raise StoreError("the cursor is of another filter or sort", "ask the first page anew, without a cursor")
    return Place(rank, value, key)


def rank(value: float | str | None) -> int:
    """Return where a value stands before values are compared: numbers, texts, nothing."""
    return 2 if value is None else 1 if isinstance(value, str) else 0


def value_of(run: Run, which: Column) -> Any:
    """Return what a run has in a column, or None."""
    if not which.place:
        return _built_in(run, which.name)
    name = which.name
    if which.place == "metrics":
        stat = run.stats.get(name)
        if which.stat:
            return None if stat is None else getattr(stat, which.stat)
        own = run.summary.get(name)
        if isinstance(own, (int, float)) and not isinstance(own, bool) and scalar(own) is not None:
            return own
        return None if stat is None else stat.last
    places = {
        "config": (run.config, run.params),
        "params": (run.params,),
        "summary": (run.summary,),
        "attrs": (run.attrs,),
    }
    found = [place.get(name) for place in places[which.place]] + [_nested(place, name) for place in places[which.place]]
    there = [value for value in found if value is not None]
    return next((value for value in there if scalar(value) is not None), there[0] if there else None)


def _nested(value: object, name: str) -> Any:
    if "." not in name:
        return None
    for key in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _built_in(run: Run, name: str) -> Any:
    if name == "state":
        return kept_state(run)
    if name == "value":
        return run.values[0] if run.values else None
    if name == "duration":
        end = run.beat if run.ended is None else run.ended
        return None if run.started is None or end is None else end - run.started
    return getattr(run, name)


def to_row(run: Run, columns: Mapping[str, Column]) -> TableRow:
    """Return the run as a row of the table with these columns."""
    cells = {name: value for name, which in columns.items() if (value := value_of(run, which)) is not None}
    return TableRow(**{name: getattr(run, name) for name in _ROW}, cells=cells)
