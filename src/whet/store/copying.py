"""Copy a store's rows, as they are, from one database to another, or out of a file: in a stream, in constant memory.

Each unit of the stream (see `whet.store.contents`) is taken in by one transaction, so whatever interrupts a copy leaves whole units, and
repeating it adds the rest.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby, zip_longest
from typing import Any, final

from sqlalchemy import Table, bindparam, insert, select

from whet.errors import Conflict
from whet.store.codec import unpack
from whet.store.contents import Entry, last_key, unit
from whet.store.database import Database, Statement, Transaction
from whet.store.rows import ADD_PROJECT
from whet.store.schema import chunks, metadata, projects, runs, sweeps

__all__ = ["Copied", "agreed", "differences", "reserve", "take_in"]

_BATCH_ROWS, _BATCH_BYTES = 1000, 4_000_000  # kept before they are written


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What a copy did: rows written by table, and how many sweeps and runs outside sweeps were new, and how many were there already."""

    rows: Mapping[str, int] = field(default_factory=dict)
    new: Mapping[str, int] = field(default_factory=dict)
    known: Mapping[str, int] = field(default_factory=dict)


# -- units ----------------------------------------------------------------------------------------------------------------


def _is_head(entry: Entry) -> bool:
    return entry[0] == sweeps.name or (entry[0] == runs.name and entry[1]["sweep"] is None)


def _units(entries: Iterable[Entry]) -> Iterator[Iterator[Entry]]:
    """Return the units of a stream, each as a stream; the first may be that of the projects."""
    number = 0

    def numbered(entry: Entry) -> int:
        nonlocal number
        number += _is_head(entry)
        return number

    return (inside for _, inside in groupby(entries, numbered))


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
        for parts in _units(entries):
            head = next(parts)
            if head[0] != projects.name:
                yield _name(head), _standing(tx, head, parts)


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

    return _first_difference(theirs(), unit(tx, head)) or ""


def reserve(database: Database, last: int, shift: int | None = None) -> int:
    """Return what to add to the keys of a stream's runs so that they come after those that are here; 0 in an empty database.

    Args:
        last: The stream's greatest key.
        shift: What was added to those of its runs that are here already, as `agreed` says.
    """
    with database.write() as tx:
        if database.dialect.name == "postgresql":  # its counter must be past all keys that are given
            tx.cursor.execute(b"LOCK TABLE runs IN SHARE ROW EXCLUSIVE MODE")
            shift = last_key(tx) if shift is None else shift
            counter = "pg_get_serial_sequence('runs', 'key')"
            tx.cursor.execute(f"SELECT setval({counter}, greatest(nextval({counter}), {shift + last}))".encode())
            return shift
        return last_key(tx) if shift is None else shift


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
    for parts in _units(entries):
        head = next(parts)
        if head[0] == projects.name:
            with database.write() as tx:
                for _, row in (head, *parts):
                    rows[projects.name] += max(0, tx.run(ADD_PROJECT, **row))
            continue
        with database.write() as tx:
            there = tx.rows(_HAS_SWEEP if head[0] == sweeps.name else _HAS_RUN, id=head[1]["id"])
            if there:
                known[head[0]] += 1
            else:
                writer = _Writer(tx, shift)
                writer.add(head)
                for entry in parts:
                    writer.add(entry)
                writer.flush()
                rows.update(writer.count)
                new[head[0]] += 1
        on_unit(_name(head))
    return Copied(rows=dict(rows), new=dict(new), known=dict(known))


def agreed(database: Database, entries: Iterable[Entry]) -> tuple[int, int | None]:
    """Return how many units of a stream are new here, and what was added to the keys of those runs that are not (None: all are new).

    Raises:
        Conflict: one is here with other content, or something else has its name or id. All of them are named.
    """
    shift: int | None = None

    def looked_up() -> Iterator[Entry]:
        nonlocal shift
        for entry in entries:
            if shift is None and entry[0] == runs.name:
                for key, _ in database.once(_HAS_RUN, id=entry[1]["id"]):
                    shift = key - entry[1]["key"]
            yield entry

    num_new, wrong = 0, []
    for what, difference in differences(database, looked_up()):
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
    return num_new, shift
