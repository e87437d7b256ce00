"""What the verbs of trials say to the database."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import and_, bindparam, delete, exists, func, literal_column, select, text, update

from whet.store.base import SweepState
from whet.store.database import Statement
from whet.store.rows import TRIALS, upsert
from whet.store.schema import chunks, reports, runs, sources, sweeps
from whet.trial import Phase

__all__ = [
    "BEAT",
    "BEST",
    "BUMP",
    "BUMP_REPORTS",
    "CHANGED",
    "CHANGED_AFTER",
    "CHANGED_FIRST",
    "CLAIM",
    "EXTEND",
    "FORGET_METRICS",
    "FORGET_OFFSETS",
    "FORGET_REPORTS",
    "HANDED_OUT",
    "HEAD",
    "HEAD_AND_LINE",
    "Head",
    "LEASES",
    "KEEP_REPORTS",
    "LINE",
    "Line",
    "NOT_BEST",
    "NOW",
    "ORIGINS",
    "REPORT",
    "REPORTED",
    "REPORTED_AFTER",
    "REPORTED_FIRST",
    "REPORTED_OF",
    "REPORT_REVISIONS",
    "REQUEUE",
    "RUN_ID",
    "SET_ATTRS",
    "SET_PARAMS",
    "SIGN_OF_LIFE",
    "GLANCE",
    "TAKE_OVER",
    "TELL",
    "TELL_SETTLED",
]

_TEXT, _INT, _FLOAT = runs.c.params.type, sweeps.c.best_number.type, sweeps.c.best_value.type

_SWEEP = sweeps.c.id == bindparam("sweep_id")
_OF_SWEEP = runs.c.sweep == bindparam("sweep_id")
_TRIAL = (_OF_SWEEP, runs.c.number == bindparam("trial"))
# SQLite uses an index over some of the rows only where the query repeats the index's own words.
_WAITS = text("phase IN ('pending', 'paused')")
_LIVE = (_OF_SWEEP, literal_column("phase") == literal_column("'running'"))


class Head(NamedTuple):
    """What the verbs need of a sweep."""

    name: str
    project: str
    state: SweepState
    cap: int | None
    next_number: int
    revision: int
    goals: str
    best_run: str | None
    best_number: int | None
    best_value: float | None


class Line(NamedTuple):
    """What the verbs need of a trial's run."""

    id: str
    phase: Phase
    attempt: int
    owner: str
    values: str | None
    attrs: str
    started: float | None


HEAD = Statement(select(*(sweeps.c[name] for name in Head._fields)).where(_SWEEP).with_for_update())
HEAD_AND_LINE = Statement(  # which locks nothing; a trial's columns are all None where there is none
    select(*(sweeps.c[name] for name in Head._fields), *(runs.c[name].label(f"run_{name}") for name in Line._fields))
    .select_from(sweeps.outerjoin(runs, and_(runs.c.sweep == sweeps.c.id, runs.c.number == bindparam("trial"))))
    .where(_SWEEP)
)
LINE = Statement(select(*(runs.c[name] for name in Line._fields)).where(*_TRIAL))
NOW = Statement(
    select(sweeps.c.revision, sweeps.c.reports_revision, sweeps.c.version, sweeps.c.state, sweeps.c.cap).where(_SWEEP)
)
GLANCE = Statement(
    select(
        *(
            sweeps.c[name]
            for name in ("revision", "version", "state", "cap", "next_number", "best_number", "best_value")
        ),
        exists(select(literal_column("1")).select_from(runs).where(_OF_SWEEP, _WAITS)),
    ).where(_SWEEP)
)
# By revision, where little is new; by number (the sum keeps the index over revisions out of it) where pages are cut.
_NEW_TRIALS = TRIALS.where(_OF_SWEEP, runs.c.revision > bindparam("since"))
CHANGED = Statement(_NEW_TRIALS.order_by(runs.c.number))
CHANGED_FIRST = Statement(_NEW_TRIALS.order_by(runs.c.revision).limit(bindparam("most")))
CHANGED_AFTER = Statement(
    TRIALS.where(_OF_SWEEP, runs.c.number > bindparam("after"), runs.c.revision + 0 > bindparam("since"))
    .order_by(runs.c.number)
    .limit(bindparam("most"))
)
_REPORTS = select(reports.c.number, reports.c.attempt, reports.c.step, reports.c["values"]).where(
    reports.c.sweep == bindparam("sweep_id")
)
_NEW_REPORTS = _REPORTS.where(reports.c.revision > bindparam("since")).order_by(
    reports.c.revision, reports.c.number, reports.c.step
)
REPORTED = Statement(_NEW_REPORTS)
REPORTED_FIRST = Statement(_NEW_REPORTS.limit(bindparam("most")))
REPORTED_AFTER = Statement(
    _REPORTS.where(reports.c.number > bindparam("after"), reports.c.revision + 0 > bindparam("since"))
    .order_by(reports.c.number, reports.c.step)
    .limit(bindparam("most"))
)
REPORTED_OF = Statement(
    _REPORTS.where(reports.c.number == bindparam("trial"), reports.c.revision + 0 > bindparam("since")).order_by(
        reports.c.step
    )
)
RUN_ID = Statement(select(runs.c.id).where(*_TRIAL))
EXTEND = Statement(
    update(sweeps)
    .where(_SWEEP)
    .values(
        state=bindparam("to"),
        cap=bindparam("most", type_=sweeps.c.cap.type),
        version=sweeps.c.version + bindparam("by"),
    )
)
HANDED_OUT = Statement(
    update(sweeps)
    .where(_SWEEP)
    .values(next_number=bindparam("next"), revision=bindparam("rev"), updated=bindparam("now"))
)
BUMP = Statement(update(sweeps).where(_SWEEP).values(revision=bindparam("rev"), updated=bindparam("now")))
BUMP_REPORTS = Statement(
    update(sweeps)
    .where(_SWEEP)
    .values(revision=bindparam("rev"), reports_revision=bindparam("rev"), updated=bindparam("now"))
)
BEST = Statement(
    update(sweeps)
    .where(_SWEEP)
    .values(
        best_run=bindparam("run", type_=_TEXT),
        best_number=bindparam("trial", type_=_INT),
        best_value=bindparam("value", type_=_FLOAT),
    )
)
NOT_BEST = Statement(update(runs).where(runs.c.id == bindparam("run")).values(best=False))
CLAIM = Statement(
    update(runs)
    .where(*_TRIAL)
    .values(
        phase=Phase.RUNNING.value,
        attempt=bindparam("nth"),
        values=None,
        stopped=False,
        reason="",
        owner=bindparam("by"),
        asked=bindparam("key", type_=_TEXT),
        started=bindparam("start"),
        beat=bindparam("now"),
        revision=bindparam("rev"),
    )
)
TAKE_OVER = Statement(update(runs).where(*_TRIAL).values(owner=bindparam("by"), beat=bindparam("now")))
REQUEUE = Statement(
    update(runs)
    .where(*_TRIAL)
    .values(
        phase=bindparam("to"),
        attempt=runs.c.attempt + 1,
        num_lost=runs.c.num_lost + bindparam("lost"),
        reason=bindparam("why"),
        owner="",
        started=None,
        ended=bindparam("end", type_=_FLOAT),
        beat=None,
        over=bindparam("over", type_=_INT),
        stats="{}",
        summary="{}",
        revision=bindparam("rev"),
    )
)
FORGET_REPORTS = Statement(
    delete(reports).where(reports.c.sweep == bindparam("sweep_id"), reports.c.number == bindparam("trial"))
)
FORGET_METRICS, FORGET_OFFSETS = (Statement(delete(t).where(t.c.run == bindparam("run"))) for t in (chunks, sources))
KEEP_REPORTS = Statement(
    update(reports)
    .where(reports.c.sweep == bindparam("sweep_id"), reports.c.number == bindparam("trial"))
    .values(attempt=bindparam("nth"), revision=bindparam("rev"))
)
REPORT = upsert(reports, "sweep", "number", "step")
SIGN_OF_LIFE = Statement(update(runs).where(*_TRIAL).values(beat=bindparam("now")))
_TOLD = {
    "phase": bindparam("to"),
    "values": bindparam("result", type_=_TEXT),
    "stopped": bindparam("early"),
    "best": bindparam("is_best"),
    "reason": bindparam("why"),
    "ended": bindparam("end", type_=_FLOAT),
    "over": bindparam("over", type_=_INT),
    "revision": bindparam("rev", type_=_INT),
}
_SETTLED = {
    "params": bindparam("kept"),
    "suggested": func.coalesce(runs.c.suggested, runs.c.params),
    "settled": func.coalesce(runs.c.settled, bindparam("rev", type_=_INT)),
    "revision": bindparam("rev", type_=_INT),
}
TELL = Statement(update(runs).where(*_TRIAL).values(_TOLD))
TELL_SETTLED = Statement(update(runs).where(*_TRIAL).values({**_TOLD, **_SETTLED}))
SET_PARAMS = Statement(update(runs).where(*_TRIAL).values(_SETTLED))
SET_ATTRS = Statement(update(runs).where(*_TRIAL).values(attrs=bindparam("kept"), revision=bindparam("rev")))
ORIGINS = Statement(
    select(runs.c.number, runs.c.seen, runs.c.seen_version, runs.c.over, runs.c.suggested, runs.c.settled)
    .where(_OF_SWEEP)
    .order_by(runs.c.number)
)
REPORT_REVISIONS = Statement(
    select(reports.c.number, reports.c.step, reports.c.revision)
    .where(reports.c.sweep == bindparam("sweep_id"))
    .order_by(reports.c.number, reports.c.step)
)
LEASES = Statement(
    select(runs.c.id, runs.c.number, runs.c.attempt, runs.c.owner, runs.c.beat, runs.c.num_lost, runs.c.asked)
    .where(*_LIVE)
    .order_by(runs.c.number)
)
BEAT = Statement(update(runs).where(*_LIVE, runs.c.owner == bindparam("by")).values(beat=bindparam("now")))
