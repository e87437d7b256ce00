"""What `whet.store.check` asks of the database itself, and what it can put right there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import bindparam, func, or_, select, update

from whet.errors import StoreError
from whet.store import rules
from whet.store.base import Store
from whet.store.check import UNREADABLE, Finding
from whet.store.codec import dump_stats, load
from whet.store.database import Database, Statement, Transaction
from whet.store.runs import curves_of
from whet.store.schema import VERSION_TABLE, chunks, metadata, reports, runs, sources, sweeps
from whet.store.sql import SqlStore
from whet.store.stats import of_curve
from whet.store.trial_statements import BEST
from whet.trial import Goal, Phase

__all__ = ["check_database", "repair", "sweep_ids"]

_SWEEPS = Statement(select(sweeps.c.id).order_by(sweeps.c.created.desc(), sweeps.c.id))
_LATE_TRIALS = Statement(
    select(sweeps.c.id, sweeps.c.name, runs.c.number, runs.c.revision, sweeps.c.revision)
    .join_from(runs, sweeps)
    .where(or_(runs.c.revision > sweeps.c.revision, runs.c.revision.is_(None)))
)
_REPORTED = select(reports.c.sweep, func.max(reports.c.revision).label("last")).group_by(reports.c.sweep).subquery()
_LATE_REPORTS = Statement(
    select(sweeps.c.id, sweeps.c.name, _REPORTED.c.last, sweeps.c.reports_revision, sweeps.c.revision)
    .join_from(sweeps, _REPORTED, _REPORTED.c.sweep == sweeps.c.id, isouter=True)
    .where(
        or_(
            _REPORTED.c.last > sweeps.c.reports_revision,
            sweeps.c.reports_revision > sweeps.c.revision,
            _REPORTED.c.last > sweeps.c.revision,
        )
    )
)
_BEST_NUMBERS = Statement(
    select(sweeps.c.id, sweeps.c.name, sweeps.c.best_number, runs.c.number)
    .join_from(sweeps, runs, sweeps.c.best_run == runs.c.id)
    .where(or_(sweeps.c.best_number != runs.c.number, sweeps.c.best_number.is_(None), sweeps.c.id != runs.c.sweep))
)
_OFFSETS = Statement(select(sources.c.run, sources.c.source, sources.c.offset).where(sources.c.offset < 0))
_PHASES = Statement(
    select(runs.c.id, runs.c.phase).where(runs.c.phase.not_in([phase.value for phase in Phase])).limit(100)
)
_LONE_NUMBERS = Statement(
    select(runs.c.id).where(or_(runs.c.sweep.is_(None) != runs.c.number.is_(None), runs.c.attempt < 0)).limit(100)
)


def sweep_ids(database: Database) -> list[str]:
    """Return the ids of the sweeps, newest first, whatever else is in their rows."""
    return [id for (id,) in database.once(_SWEEPS)]


def check_database(database: Database) -> list[Finding]:
    """Return what is wrong with the tables and the rows in them that no verb shows."""
    found = [Finding(rule="damage", problem=said) for said in database.damage()]
    found += [Finding(rule="tables", problem=said) for said in _tables(database)]
    found += [Finding(rule="rows", problem=said) for said in _orphans(database)]
    with database.read() as tx:
        for id, name, number, revision, now in tx.rows(_LATE_TRIALS):
            problem = f"sweep {name!r} is at revision {now}, but its trial {number} changed at {revision}"
            found.append(Finding(rule="revisions", problem=problem, sweep=id))
        for id, name, last, kept, now in tx.rows(_LATE_REPORTS):
            problem = (
                f"sweep {name!r} says that its last report came at revision {kept} of {now}, but one came at {last}"
            )
            found.append(Finding(rule="revisions", problem=problem, sweep=id))
        for id, name, said, number in tx.rows(_BEST_NUMBERS):
            problem = f"sweep {name!r} says that its best trial is {said}, but its best run is trial {number}"
            found.append(Finding(rule="best", problem=problem, sweep=id, repairable=True))
        for run, source, offset in tx.rows(_OFFSETS):
            problem = f"run {run} says that {source!r} was shipped up to {offset}"
            found.append(Finding(rule="offsets", problem=problem, run=run))
        for run, phase in tx.rows(_PHASES):
            found.append(Finding(rule="runs", problem=f"run {run} is in a phase that nobody knows: {phase!r}", run=run))
        for (run,) in tx.rows(_LONE_NUMBERS):
            problem = f"run {run} has a number without a sweep, a sweep without a number, or an attempt below 0"
            found.append(Finding(rule="runs", problem=problem, run=run))
    return found


def _tables(database: Database) -> Iterator[str]:
    """Say where the tables are not those of their version: an index that somebody dropped, a column of another type."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    own = set(metadata.tables)
    with database.connected() as connection:
        options = {
            "compare_type": True,
            "version_table": VERSION_TABLE,
            "include_name": lambda name, kind, parents: kind != "table" or name in own,
        }
        for change in compare_metadata(MigrationContext.configure(connection, opts=options), metadata):
            what = change[0] if isinstance(change, list) else change
            thing = next((part for part in what[1:] if getattr(part, "name", None)), what[1:])
            yield f"the tables are not those of their version: {what[0].replace('_', ' ')} {getattr(thing, 'name', thing)}"


def _orphans(database: Database) -> Iterator[str]:
    """Say which rows belong to rows that are not there (SQLite keeps foreign keys only for those who ask it to)."""
    with database.read() as tx:
        for table in metadata.sorted_tables:
            for key in table.foreign_keys:
                child, parent = key.parent, key.column
                there = select(parent).where(parent == child).exists()
                count = select(func.count()).select_from(table).where(child.is_not(None), ~there)
                ((lost,),) = tx.rows(Statement(count))
                if lost:
                    yield f"{lost} rows of {table.name} belong to {parent.table.name} that are not there"


_RESULTS = Statement(
    select(runs.c.id, runs.c.number, runs.c["values"])
    .where(
        runs.c.sweep == bindparam("sweep_id"),
        runs.c.phase == Phase.FINISHED.value,
        runs.c.stopped.is_(False),
        runs.c["values"].is_not(None),
    )
    .order_by(runs.c.number)
)
_HEAD = Statement(select(sweeps.c.goals, sweeps.c.config).where(sweeps.c.id == bindparam("sweep_id")).with_for_update())
_NONE_BEST = Statement(
    update(runs).where(runs.c.sweep == bindparam("sweep_id"), runs.c.best.is_(True)).values(best=False)
)
_ONE_BEST = Statement(update(runs).where(runs.c.id == bindparam("run")).values(best=True))
_LOCK_RUN = Statement(select(runs.c.id).where(runs.c.id == bindparam("run_id")).with_for_update())
_CHUNKS = Statement(select(chunks.c.payload).where(chunks.c.run == bindparam("run_id")).order_by(chunks.c.key))
_SET_STATS = Statement(update(runs).where(runs.c.id == bindparam("run_id")).values(stats=bindparam("new")))


def repair(store: Store, findings: Iterable[Finding]) -> list[Finding]:
    """Put right what follows from the rest of the store (bests and statistics), and return which findings that were.

    Raises:
        StoreError: the store is no database.
    """
    if not isinstance(store, SqlStore):
        raise StoreError(f"{store!r} can't be repaired from here", "run it where the database is")
    done: dict[object, bool] = {}  # by place: two findings may be the same trouble
    repairable = [finding for finding in findings if finding.repairable]
    for finding in repairable:
        if finding.place not in done:
            done[finding.place] = _is_repaired(store.database, finding)
    return [finding for finding in repairable if done[finding.place]]


def _is_repaired(database: Database, finding: Finding) -> bool:
    try:
        with database.write() as tx:
            if finding.rule == "best" and finding.sweep is not None:
                _crown_again(tx, finding.sweep)
            elif finding.rule == "stats" and finding.run is not None:
                _count_again(tx, finding.run)
    except UNREADABLE:  # what it would follow from can't be read itself
        return False
    return True


def _crown_again(tx: Transaction, sweep: str) -> None:
    head = tx.row(_HEAD, sweep_id=sweep)
    if head is None or load(head[1]).get("limits"):
        return
    goals = [Goal(goal) for goal in load(head[0])]
    best: tuple[str, float, int] | None = None
    if len(goals) == 1:
        results = ((id, load(kept), number) for id, number, kept in tx.rows(_RESULTS, sweep_id=sweep))
        complete = ((id, values[0], number) for id, values, number in results if values and values[0] == values[0])
        best = rules.best_of(goals[0], complete)
    tx.run(_NONE_BEST, sweep_id=sweep)
    run, value, number = best or (None, None, None)
    tx.run(BEST, sweep_id=sweep, run=run, trial=number, value=value)
    if run is not None:
        tx.run(_ONE_BEST, run=run)


def _count_again(tx: Transaction, run: str) -> None:
    if tx.row(_LOCK_RUN, run_id=run) is None:
        return
    curves = curves_of(tx.rows(_CHUNKS, run_id=run))
    tx.run(_SET_STATS, run_id=run, new=dump_stats({n: of_curve(c.steps, c.values) for n, c in curves.items()}))
