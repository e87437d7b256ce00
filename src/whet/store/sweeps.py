"""The stored searches, in SQL."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import final

from sqlalchemy import bindparam, delete, func, insert, or_, select, update

from whet.store import answered, codec, rules
from whet.store.base import Sweep, Sweeps, SweepState
from whet.store.codec import dump, load, text
from whet.store.database import Database, Statement, Transaction
from whet.store.ids import new_id
from whet.store.rows import ADD_PROJECT, SWEEPS, to_sweep
from whet.store.schema import former, runs, sweeps
from whet.store.table_sql import gains
from whet.trial import Goal, Phase

__all__ = ["SqlSweeps", "no_sweep"]

_AT_ONCE = 10_000
"""As many values as both databases take in a statement, and some."""
_ID = sweeps.c.id == bindparam("sweep")
_GET = Statement(SWEEPS.where(_ID))
_LOCK = Statement(SWEEPS.where(_ID).with_for_update())
_BY_NAME = Statement(SWEEPS.where(sweeps.c.name == bindparam("text")).order_by(sweeps.c.created))
_BY_BEGINNING = Statement(
    SWEEPS.where(func.substr(sweeps.c.id, 1, bindparam("length")) == bindparam("text")).order_by(sweeps.c.created)
)
_ALL = Statement(SWEEPS.order_by(sweeps.c.created.desc(), sweeps.c.id))
_KNOWN = Statement(select(sweeps.c.id, sweeps.c.name).order_by(sweeps.c.created.desc()).limit(100))
_TAKEN = Statement(
    select(sweeps.c.id).where(sweeps.c.project == bindparam("project"), sweeps.c.name == bindparam("name"))
)
_CREATE = Statement(
    insert(sweeps).values(
        {
            **{
                name: bindparam(name, type_=sweeps.c[name].type)
                for name in ("id", "project", "name", "config", "goals")
            },
            "state": SweepState.RUNNING.value,
            "cap": bindparam("cap", type_=sweeps.c.cap.type),
            **dict.fromkeys(("next_number", "revision", "reports_revision", "version"), 0),
            "created": bindparam("now", type_=sweeps.c.created.type),
            "updated": bindparam("now", type_=sweeps.c.updated.type),
        }
    )
)
_MOVE = Statement(
    update(sweeps)
    .where(_ID)
    .values(state=bindparam("to"), revision=sweeps.c.revision + bindparam("by"), updated=bindparam("now"))
)
_CANCEL_WAITING = Statement(
    update(runs)
    .where(
        runs.c.sweep == bindparam("sweep_id"),
        or_(runs.c.phase == Phase.PENDING.value, runs.c.phase == Phase.PAUSED.value),
    )
    .values(
        phase=Phase.CANCELED.value,
        reason=bindparam("why"),
        ended=bindparam("now"),
        revision=bindparam("next"),
        over=bindparam("next"),
    )
)
_EDIT = Statement(
    update(sweeps)
    .where(_ID)
    .values(
        config=func.coalesce(bindparam("new_config", type_=sweeps.c.config.type), sweeps.c.config),
        goals=func.coalesce(bindparam("new_goals", type_=sweeps.c.goals.type), sweeps.c.goals),
        cap=func.coalesce(bindparam("new_cap", type_=sweeps.c.cap.type), sweeps.c.cap),
        version=sweeps.c.version + 1,
        updated=bindparam("now"),
    )
)
_KEEP_FORMER = Statement(insert(former).values({c.name: bindparam(c.name, type_=c.type) for c in former.c}))
_FORMER = Statement(
    select(former.c.version, former.c.config).where(former.c.sweep == bindparam("sweep")).order_by(former.c.version)
)
_DRIVER = Statement(select(sweeps.c.name, sweeps.c.driver, sweeps.c.driver_beat).where(_ID).with_for_update())
_DRIVE = Statement(update(sweeps).where(_ID).values(driver=bindparam("owner"), driver_beat=bindparam("now")))
_RELEASE = Statement(
    update(sweeps).where(_ID, sweeps.c.driver == bindparam("owner")).values(driver=None, driver_beat=None)
)
_DELETE = Statement(delete(sweeps).where(_ID))  # all that is the sweep's goes with it


def no_sweep(tx: Transaction, id: str) -> Exception:
    """Return the error for a sweep that is not there."""
    return rules.not_found("sweep", id, [known for row in tx.rows(_KNOWN) for known in row])


@final
class SqlSweeps(Sweeps):
    """Sweeps in a database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def create(
        self,
        project: str,
        config: Mapping[str, object],
        *,
        goals: Sequence[Goal],
        name: str | None = None,
        cap: int | None = None,
        once: str | None = None,
    ) -> Sweep:
        id = new_id()
        project, name = text(project), text(name) if name is not None else id
        now, goal_names = time.time(), dump([goal.value for goal in goals])
        with self._db.write() as tx:
            if (there := answered.before(tx, once)) is not None:
                return _read(tx, there)
            tx.run(ADD_PROJECT, name=project, created=now)
            if tx.rows(_TAKEN, project=project, name=name):
                raise rules.name_taken(project, name)
            tx.run(_CREATE, id=id, project=project, name=name, config=dump(config), goals=goal_names, cap=cap, now=now)
            answered.keep(tx, once, id)
            return _read(tx, id)

    def get(self, id: str) -> Sweep:
        rows = self._db.once(_GET, sweep=id)
        if not rows:
            with self._db.read() as tx:
                raise no_sweep(tx, id)
        return to_sweep(rows[0])

    def find(self, text: str, project: str | None = None) -> Sweep:
        text = codec.text(text)
        with self._db.read() as tx:
            ways: list[tuple[Statement, dict[str, object]]] = [(_GET, {"sweep": text}), (_BY_NAME, {"text": text})]
            if text:
                ways.append((_BY_BEGINNING, {"text": text, "length": len(text)}))
            for how, values in ways:
                found = [s for s in map(to_sweep, tx.rows(how, **values)) if project is None or s.project == project]
                if len(found) > 1:
                    raise rules.ambiguous("sweep", text, [sweep.id for sweep in found])
                if found:
                    return found[0]
            raise no_sweep(tx, text)

    def all(self, project: str | None = None) -> list[Sweep]:
        found = map(to_sweep, self._db.once(_ALL))
        return [sweep for sweep in found if project is None or sweep.project == project]

    def gains(self, ids: Collection[str]) -> Mapping[str, list[tuple[int, float]]]:
        found: dict[str, list[tuple[int, float]]] = {}
        each = sorted(set(ids))
        for at in range(0, len(each), _AT_ONCE):
            asked, values = gains(each[at : at + _AT_ONCE], postgres=self._db.dialect.name == "postgresql")
            for sweep, number, value in self._db.once(asked, **values):
                found.setdefault(sweep, []).append((number, value))
        return found

    def move(self, id: str, to: SweepState, *, revision: int | None = None, version: int | None = None) -> Sweep:
        now = time.time()
        with self._db.write() as tx:
            sweep = _read(tx, id, _LOCK)
            rules.check_unchanged(sweep.name, revision, version, sweep.revision, sweep.version)
            if not rules.check_move(sweep.name, sweep.state, to):
                return sweep
            canceled = 0
            if to is SweepState.CANCELED:
                canceled = tx.run(_CANCEL_WAITING, sweep_id=id, why=rules.CANCELED, now=now, next=sweep.revision + 1)
            tx.run(_MOVE, sweep=id, to=to.value, by=int(canceled > 0), now=now)
            return _read(tx, id)

    def edit(
        self,
        id: str,
        *,
        version: int,
        config: Mapping[str, object] | None = None,
        goals: Sequence[Goal] | None = None,
        cap: int | None = None,
    ) -> Sweep:
        with self._db.write() as tx:
            sweep = _read(tx, id, _LOCK)
            rules.check_version(sweep.name, version, sweep.version)
            if cap is not None:
                rules.check_cap(sweep.name, cap, sweep.next_number)
            if goals is not None:
                rules.check_goals(sweep.name, goals, sweep.goals, sweep.next_number)
            kept = None if config is None else dump(config)
            aims = None if goals is None else dump([goal.value for goal in goals])
            if config is not None and not rules.searches_alike(sweep.config, load(dump(config))):
                tx.run(_KEEP_FORMER, sweep=id, version=sweep.version, config=dump(sweep.config))
            tx.run(_EDIT, sweep=id, new_config=kept, new_goals=aims, new_cap=cap, now=time.time())
            return _read(tx, id)

    def former(self, id: str) -> Mapping[int, Mapping[str, object]]:
        with self._db.read() as tx:
            _read(tx, id)
            return {version: load(config) for version, config in tx.rows(_FORMER, sweep=id)}

    def drive(self, id: str, owner: str, *, silent_s: float) -> None:
        owner = text(owner)
        now = time.time()
        with self._db.write() as tx:
            row = tx.row(_DRIVER, sweep=id)
            if row is None:
                raise no_sweep(tx, id)
            name, driver, beat = row
            rules.check_driver(name, driver, owner, beat, now, silent_s)
            tx.run(_DRIVE, sweep=id, owner=owner, now=now)

    def release(self, id: str, owner: str) -> None:
        owner = text(owner)
        with self._db.write() as tx:
            tx.run(_RELEASE, sweep=id, owner=owner)

    def delete(self, id: str) -> None:
        with self._db.write() as tx:
            if not tx.run(_DELETE, sweep=id):
                raise no_sweep(tx, id)
        self._db.end_turns(id)


def _read(tx: Transaction, id: str, how: Statement = _GET) -> Sweep:
    row = tx.row(how, sweep=id)
    if row is None:
        raise no_sweep(tx, id)
    return to_sweep(row)
