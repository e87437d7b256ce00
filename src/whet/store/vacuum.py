"""Make a database smaller and quicker to read: the metrics of runs that are over in few chunks, and the room of what was deleted given back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, select, update

from whet.errors import StoreError
from whet.store import answered
from whet.store.codec import join
from whet.store.database import Database, Statement
from whet.store.schema import chunks, runs
from whet.trial import Phase

__all__ = ["Vacuumed", "vacuum"]

_OVER = [phase.value for phase in Phase if phase.is_over]
_LARGE = 1_000_000  # bytes: a chunk of so much is left as it is, and none is made much larger
_RUNS = Statement(
    select(chunks.c.run)
    .join_from(chunks, runs, chunks.c.run == runs.c.id)
    .where(runs.c.phase.in_(_OVER), func.length(chunks.c.payload) < _LARGE)
    .group_by(chunks.c.run)
    .having(func.count() > 1)
)
_LOCK = Statement(select(runs.c.phase).where(runs.c.id == bindparam("id")).with_for_update())
_CHUNKS = Statement(
    select(chunks.c.key, chunks.c.payload).where(chunks.c.run == bindparam("id")).order_by(chunks.c.key)
)
_SET = Statement(
    update(chunks)
    .where(chunks.c.key == bindparam("first", type_=chunks.c.key.type))
    .values(payload=bindparam("joined", type_=chunks.c.payload.type))
)
_DROP = Statement(delete(chunks).where(chunks.c.key == bindparam("other", type_=chunks.c.key.type)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Vacuumed:
    """What a vacuum did: bytes on the disk before and after, chunks of metrics joined into how many, of how many runs.

    What requests were answered is forgotten after a day, too (`whet.store.answered`).
    """

    bytes_before: int
    bytes_after: int
    chunks_before: int = 0
    chunks_after: int = 0
    num_runs: int = 0


def vacuum(database: Database, *, on_step: Callable[[str], None] = lambda what: None) -> Vacuumed:
    """Join small chunks of the metrics of runs that are over, and give back what room can be given back.

    Each run is one transaction, and its curves are the same before and after, so others may work on the store meanwhile; they wait while
    SQLite writes itself anew, which takes as much disk once more for a moment. PostgreSQL gives the room to later rows.
    """
    before = database.size()
    ids = [id for (id,) in database.once(_RUNS)]
    were = are = touched = 0
    for number, id in enumerate(ids):
        on_step(f"run {number + 1} of {len(ids)}")
        was, now = _join(database, id)
        were, are, touched = were + was, are + now, touched + (was > now)
    with database.write() as tx:
        answered.forget(tx, time.time())
    on_step("the database itself")
    database.compact()
    return Vacuumed(
        bytes_before=before, bytes_after=database.size(), chunks_before=were, chunks_after=are, num_runs=touched
    )


def _join(database: Database, id: str) -> tuple[int, int]:
    """Return how many chunks the run had and has."""
    with database.write() as tx:
        row = tx.row(_LOCK, id=id)
        if row is None or row[0] not in _OVER:  # handed out again meanwhile
            return 0, 0
        found = tx.rows(_CHUNKS, id=id)
        groups: list[list[tuple[int, bytes]]] = []
        size, left = _LARGE, 0
        for key, payload in found:  # neighbours only: their order is that of logging
            if size + len(payload) > _LARGE:
                groups.append([])
                size = 0
            groups[-1].append((key, payload))
            size += len(payload)
        for group in groups:
            if len(group) == 1:
                continue
            try:
                joined = join([payload for _, payload in group])
            except StoreError:  # damaged: `whet db check` says so
                left += len(group) - 1
                continue
            tx.run(_SET, first=group[0][0], joined=joined)
            tx.run_many(_DROP, [{"other": key} for key, _ in group[1:]])
    return len(found), len(groups) + left
