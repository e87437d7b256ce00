"""All rows of a store as a stream of entries, (table, row): read in constant memory, along what hangs on what by the schema.

A stream comes in units: the projects, then each sweep with all that hangs on it, then each run outside any sweep. Tables that hang on no
project (such as those of access) are not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import cache
from typing import Any

from sqlalchemy import Boolean, Column, Integer, Table, and_, bindparam, func, or_, select

from whet.store.database import Statement, Transaction
from whet.store.schema import chunks, metadata, projects, runs, sweeps

__all__ = ["Entry", "contents", "copied_tables", "last_key", "totals", "unit"]

Entry = tuple[str, dict[str, Any]]
_PAGE = 500  # rows read at once
_CHUNK_PAGE = 50


# -- what hangs on what ---------------------------------------------------------------------------------------------------


@cache
def _children(parent: Table) -> tuple[tuple[Table, Column[Any]], ...]:
    """Return the tables whose rows belong to one of `parent`'s, and the columns that say so; runs are no sweep's child here."""
    return tuple(
        (table, key.parent)
        for table in metadata.sorted_tables
        for key in table.foreign_keys
        if key.column.table is parent and table not in (runs, sweeps)
    )


def copied_tables() -> list[Table]:
    """Return the tables that are copied, parents first."""
    wanted = {projects, sweeps, runs, *(table for parent in (sweeps, runs) for table, _ in _children(parent))}
    return [table for table in metadata.sorted_tables if table in wanted]


# -- reading --------------------------------------------------------------------------------------------------------------


@cache
def _reader(table: Table) -> Callable[[tuple[Any, ...]], Entry]:
    names = [column.name for column in table.c]
    flags = [column.name for column in table.c if isinstance(column.type, Boolean)]

    def read(values: tuple[Any, ...]) -> Entry:
        row = dict(zip(names, values, strict=True))
        for name in flags:  # SQLite's are 0 and 1
            row[name] = bool(row[name])
        return table.name, row

    return read


@cache
def _page(table: Table, owner: Column[Any], rest: tuple[Column[Any], ...], size: int | None, first: bool) -> Statement:
    """Return the statement for the `first` rows of `owner`, or the next: those whose `rest` of the key is after :after_0, :after_1, …"""
    wanted = select(*table.c).where(owner == bindparam("owner"))
    if size is None:
        return Statement(wanted)
    wanted = wanted.order_by(*rest).limit(size)
    if not first:
        later = []
        for i, column in enumerate(rest):
            same = [c == bindparam(f"after_{j}", type_=c.type) for j, c in enumerate(rest[:i])]
            later.append(and_(*same, column > bindparam(f"after_{i}", type_=column.type)))
        wanted = wanted.where(or_(*later))
    return Statement(wanted)


def _rows(tx: Transaction, table: Table, column: Column[Any], owner: str) -> Iterator[Entry]:
    """Return the rows of one owner in the order of their key; page by page where the rest of the key is numbers."""
    rest = tuple(c for c in table.primary_key.columns if c is not column)
    read = _reader(table)
    if not rest or not all(isinstance(c.type, Integer) for c in rest):
        found = [read(row) for row in tx.rows(_page(table, column, (), None, True), owner=owner)]
        yield from sorted(found, key=lambda entry: [entry[1][c.name] for c in rest])  # each database sorts text its way
        return
    size = _CHUNK_PAGE if table is chunks else _PAGE
    yield from _paged(tx, table, column, rest, size, owner)


def _paged(
    tx: Transaction, table: Table, column: Column[Any], rest: tuple[Column[Any], ...], size: int, owner: str
) -> Iterator[Entry]:
    read = _reader(table)
    after: dict[str, int] = {}
    while True:
        rows = tx.rows(_page(table, column, rest, size, not after), owner=owner, **after)
        page = [read(row) for row in rows]
        last = dict(page[-1][1]) if page else {}
        for name, row in page:
            if table is not runs:  # only theirs say something; others are counted anew
                row.pop("key", None)
            yield name, row
        if len(page) < size:
            return
        after = {f"after_{i}": last[c.name] for i, c in enumerate(rest)}


_PROJECTS = Statement(select(*projects.c).order_by(projects.c.created))
_SWEEPS = Statement(select(sweeps.c.created, sweeps.c.id, sweeps.c.project))
_SWEEP = Statement(select(*sweeps.c).where(sweeps.c.id == bindparam("id")))
_RUN = Statement(select(*runs.c).where(runs.c.id == bindparam("id")))
_LONE = Statement(
    select(*runs.c)
    .where(runs.c.sweep.is_(None), runs.c.key > bindparam("after_0", type_=runs.c.key.type))
    .order_by(runs.c.key)
    .limit(_PAGE)
)
_LONE_OF = Statement(
    select(*runs.c)
    .where(
        runs.c.project == bindparam("project"),
        runs.c.sweep.is_(None),
        runs.c.key > bindparam("after_0", type_=runs.c.key.type),
    )
    .order_by(runs.c.key)
    .limit(_PAGE)
)


def contents(tx: Transaction, project: str | None = None) -> Generator[Entry, None, None]:
    """Return all entries of a store, or of one project, as a read transaction sees them."""
    for row in tx.rows(_PROJECTS):
        if project in (None, row[0]):
            yield _reader(projects)(row)
    for _, id, owner in sorted(tx.rows(_SWEEPS)):
        if project in (None, owner):
            yield from _sweep(tx, id)
    how, given = (_LONE, {}) if project is None else (_LONE_OF, {"project": project})
    after, read = -(1 << 62), _reader(runs)
    while page := [read(row) for row in tx.rows(how, after_0=after, **given)]:
        for entry in page:
            yield entry
            yield from _of_run(tx, entry[1]["id"])
        after = page[-1][1]["key"]


def _sweep(tx: Transaction, id: str) -> Iterator[Entry]:
    for row in tx.rows(_SWEEP, id=id):
        yield _reader(sweeps)(row)
    for table, column in _children(sweeps):
        yield from _rows(tx, table, column, id)
    for entry in _paged(tx, runs, runs.c.sweep, (runs.c.number,), _PAGE, id):
        yield entry
        yield from _of_run(tx, entry[1]["id"])


def _of_run(tx: Transaction, id: str) -> Iterator[Entry]:
    for table, column in _children(runs):
        yield from _rows(tx, table, column, id)


def unit(tx: Transaction, head: Entry) -> Iterator[Entry]:
    """Return the entries of the unit with that head as they are here; none where it is not here."""
    table, row = head
    if table == sweeps.name:
        yield from _sweep(tx, row["id"])
        return
    for found in tx.rows(_RUN, id=row["id"]):
        yield _reader(runs)(found)
        yield from _of_run(tx, row["id"])


def totals(tx: Transaction) -> dict[str, int]:
    """Return how many rows each table has that is copied."""
    return {table.name: tx.rows(_count(table))[0][0] for table in copied_tables()}


@cache
def _count(table: Table) -> Statement:
    return Statement(select(func.count()).select_from(table))


_LAST_KEY = Statement(select(func.coalesce(func.max(runs.c.key), 0)))


def last_key(tx: Transaction) -> int:
    """Return the greatest key of a run, which is its place in the order of creation; 0 where there is none."""
    return int(tx.rows(_LAST_KEY)[0][0])
