"""Copy a store's rows, as they are, from one database to another or to a file and back: in a stream, in constant memory.

A stream is of entries, (table, row). It comes in units: the projects, then each sweep with all that hangs on it, then each run outside any
sweep. A unit is taken in by one transaction, so whatever interrupts a copy leaves whole units, and repeating it adds the rest. Which
tables there are, and what hangs on what, is read off the schema; tables that hang on no project (such as those of access) are not copied.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby, zip_longest
from typing import Any, final

from sqlalchemy import Boolean, Column, Integer, Table, and_, bindparam, func, insert, or_, select

from whet.errors import Conflict
from whet.store.codec import unpack
from whet.store.database import Database, Statement, Transaction
from whet.store.rows import ADD_PROJECT
from whet.store.schema import chunks, metadata, projects, runs, sweeps

__all__ = [
    "Copied",
    "Entry",
    "agreed",
    "contents",
    "copied_tables",
    "differences",
    "last_key",
    "reserve",
    "take_in",
    "totals",
]

Entry = tuple[str, dict[str, Any]]
_PAGE = 500  # rows read at once
_CHUNK_PAGE = 50
_BATCH_ROWS, _BATCH_BYTES = 1000, 4_000_000  # kept before they are written


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What a copy did: rows written by table, and how many sweeps and runs outside sweeps were new, and how many were there already."""

    rows: Mapping[str, int] = field(default_factory=dict)
    new: Mapping[str, int] = field(default_factory=dict)
    known: Mapping[str, int] = field(default_factory=dict)


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
        yield from page
        if len(page) < size:
            return
        after = {f"after_{i}": page[-1][1][c.name] for i, c in enumerate(rest)}


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


def _unit(tx: Transaction, head: Entry) -> Iterator[Entry]:
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


# -- units ----------------------------------------------------------------------------------------------------------------


def _is_head(entry: Entry) -> bool:
    return entry[0] == sweeps.name or (entry[0] == runs.name and entry[1]["sweep"] is None)


def _units(entries: Iterable[Entry]) -> Iterator[Iterator[Entry]]:
    """Return the units of a stream, each as a stream; the first may be that of the projects."""
    number = 0

    def unit(entry: Entry) -> int:
        nonlocal number
        number += _is_head(entry)
        return number

    return (inside for _, inside in groupby(entries, unit))


def _name(head: Entry) -> str:
    table, row = head
    return f"{table.removesuffix('s')} {row['id']} ({row['name']!r})"


@final
class _Digest:
    """The metrics of a run, whatever chunks they lie in."""

    def __init__(self) -> None:
        self._curves: dict[str, tuple[Any, ...]] = {}

    def add(self, payload: bytes) -> None:
        for name, columns in unpack(payload).items():
            hashes = self._curves.setdefault(name, tuple(hashlib.sha256() for _ in columns))
            for hashed, kind, column in zip(hashes, "qdd", columns, strict=True):
                hashed.update(array(kind, column).tobytes())

    def as_row(self) -> dict[str, Any]:
        return {name: [h.hexdigest() for h in hashes] for name, hashes in sorted(self._curves.items())}


def _comparable(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Return the entries without what may differ between two copies: keys, and how metrics are cut into chunks."""
    digest: _Digest | None = None
    for table, row in entries:
        if table == chunks.name:
            digest = digest or _Digest()
            digest.add(row["payload"])
            continue
        if digest is not None:
            yield "metrics", digest.as_row()
            digest = None
        yield table, {name: value for name, value in row.items() if name != "key"}
    if digest is not None:
        yield "metrics", digest.as_row()


def _first_difference(theirs: Iterable[Entry], ours: Iterable[Entry]) -> str | None:
    for a, b in zip_longest(_comparable(theirs), _comparable(ours)):
        if a == b or repr(a) == repr(b):  # NaN is no NaN's equal
            continue
        if a is None or b is None or a[0] != b[0]:
            more, less = (b, "there") if a is None else (a, "here")
            return f"a row of {more[0] if more else '?'} that is not {less}"
        return f"{a[0]}.{' and '.join(sorted(n for n in a[1].keys() | b[1].keys() if repr(a[1].get(n)) != repr(b[1].get(n))))}"
    return None


# -- taking in ------------------------------------------------------------------------------------------------------------

_NAMED = Statement(
    select(sweeps.c.id).where(sweeps.c.project == bindparam("project"), sweeps.c.name == bindparam("name"))
)
_HAS_SWEEP = Statement(select(sweeps.c.id).where(sweeps.c.id == bindparam("id")))
_HAS_RUN = Statement(select(runs.c.key, runs.c.sweep).where(runs.c.id == bindparam("id")))
_HAS_KEY = Statement(select(runs.c.id).where(runs.c.key == bindparam("key", type_=runs.c.key.type)))


def differences(database: Database, entries: Iterable[Entry]) -> Iterator[tuple[str, str]]:
    """Return for each unit of a stream how it stands in a database: (what it is, and what differs: "" nothing, "new": it is not here).

    Nothing is changed. A unit that could not be taken in, since something of its own name or id is here already, differs too.
    """
    with database.read() as tx:
        for unit in _units(entries):
            head = next(unit)
            if head[0] != projects.name:
                yield _name(head), _standing(tx, head, unit)


def _standing(tx: Transaction, head: Entry, rest: Iterator[Entry]) -> str:
    table, row = head
    if table == sweeps.name:
        if not tx.rows(_HAS_SWEEP, id=row["id"]):
            for (other,) in tx.rows(_NAMED, project=row["project"], name=row["name"]):
                return f"another sweep of project {row['project']!r} has that name ({other})"
            for name, inner in rest:
                if name == runs.name and tx.rows(_HAS_RUN, id=inner["id"]):
                    return f"its run {inner['id']} is here already, in another place"
            return "new"
    elif not (found := tx.rows(_HAS_RUN, id=row["id"])):
        return "new"
    elif found[0][1] is not None:
        return f"a trial of sweep {found[0][1]} has that id"

    def theirs() -> Iterator[Entry]:
        yield head
        yield from rest

    return _first_difference(theirs(), _unit(tx, head)) or ""


def reserve(database: Database, last: int) -> int:
    """Return what to add to the keys of a stream's runs so that they come after those that are here; 0 in an empty database.

    Args:
        last: The stream's greatest key.
    """
    with database.write() as tx:
        if database.dialect.name == "postgresql":  # its counter must be past all keys that are given
            tx.cursor.execute(b"LOCK TABLE runs IN SHARE ROW EXCLUSIVE MODE")
            shift = last_key(tx)
            counter = "pg_get_serial_sequence('runs', 'key')"
            tx.cursor.execute(f"SELECT setval({counter}, greatest(nextval({counter}), {shift + last}))".encode())
            return shift
        return last_key(tx)


@cache
def _add(table: Table, keyed: bool) -> Statement:
    given = [c for c in table.c if keyed or c.name != "key"]
    return Statement(insert(table).values({c.name: bindparam(c.name, type_=c.type) for c in given}).inline())


@final
class _Writer:
    """Writes a unit's entries, parents first, some at a time."""

    def __init__(self, tx: Transaction, shift: int) -> None:
        self._tx, self._shift = tx, shift
        self._waiting: dict[tuple[Table, bool], list[dict[str, Any]]] = {}
        self._num_rows = self._num_bytes = 0
        self.count: Counter[str] = Counter()

    def add(self, entry: Entry) -> None:
        name, row = entry
        table = metadata.tables[name]
        keyed = False
        if table is runs:
            key = row["key"] + self._shift
            keyed = key > 0 and not self._tx.rows(_HAS_KEY, key=key)
            row = {**row, "key": key}
        if not keyed:
            row = {n: value for n, value in row.items() if n != "key"}
        self._waiting.setdefault((table, keyed), []).append(row)
        self._num_rows += 1
        self._num_bytes += len(row["payload"]) if table is chunks else 0
        if self._num_rows >= _BATCH_ROWS or self._num_bytes >= _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        order = {table: i for i, table in enumerate(metadata.sorted_tables)}
        for (table, keyed), rows in sorted(self._waiting.items(), key=lambda item: order[item[0][0]]):
            self._tx.run_many(_add(table, keyed), rows)
            self.count[table.name] += len(rows)
        self._waiting, self._num_rows, self._num_bytes = {}, 0, 0


def take_in(
    database: Database,
    entries: Iterable[Entry],
    *,
    shift: int,
    on_unit: Callable[[str], None] = lambda what: None,
) -> Copied:
    """Write what is not here yet, each unit in one transaction.

    Args:
        entries: A stream that `differences` has found fit: what is here already with the same id is passed over.
        shift: Added to the keys of runs, see `reserve`.
        on_unit: Called with what has been dealt with, in words.

    Raises:
        Conflict: something came meanwhile that has a name or an id of the stream's.
    """
    rows: Counter[str] = Counter()
    new: Counter[str] = Counter()
    known: Counter[str] = Counter()
    for unit in _units(entries):
        head = next(unit)
        if head[0] == projects.name:
            with database.write() as tx:
                for _, row in (head, *unit):
                    rows[projects.name] += max(0, tx.run(ADD_PROJECT, **row))
            continue
        with database.write() as tx:
            there = tx.rows(_HAS_SWEEP if head[0] == sweeps.name else _HAS_RUN, id=head[1]["id"])
            if there:
                known[head[0]] += 1
            else:
                writer = _Writer(tx, shift)
                writer.add(head)
                for entry in unit:
                    writer.add(entry)
                writer.flush()
                rows.update(writer.count)
                new[head[0]] += 1
        on_unit(_name(head))
    return Copied(rows=dict(rows), new=dict(new), known=dict(known))


def agreed(database: Database, entries: Iterable[Entry]) -> int:
    """Return how many units of a stream are new here.

    Raises:
        Conflict: one is here with other content, or something else has its name or id. All of them are named.
    """
    num_new, wrong = 0, []
    for what, difference in differences(database, entries):
        if difference == "new":
            num_new += 1
        elif difference:
            wrong.append(f"{what}: {difference}")
    if wrong:
        shown = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise Conflict(
            f"{database.shown} has other content already: {shown}",
            "nothing was changed; import into another store, or remove there what differs (`whet rm`)",
            differences=tuple(wrong),
        )
    return num_new
