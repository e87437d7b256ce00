"""What changed in a sweep, and how it stands, read from a database."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from whet.store import rules
from whet.store import trial_statements as say
from whet.store.base import Changes, Glance
from whet.store.codec import load
from whet.store.cut import last_whole
from whet.store.database import Database, Transaction
from whet.store.rows import STATES, to_trial
from whet.store.sweeps import no_sweep
from whet.trial import Report

__all__ = ["changes", "glance"]


def changes(database: Database, sweep: str, since: int, limit: int | None, after: int) -> Changes:
    """Return what changed after a revision: see `whet.store.base.Trials.changes`."""
    rules.check_limit(limit)
    rows = [] if after >= 0 else database.once(say.NOW, sweep_id=sweep)
    if rows and rows[0][0] == since:
        return _changes(rows[0], (), ())
    with database.read() as tx:
        now = tx.row(say.NOW, sweep_id=sweep)
        if now is None:
            raise no_sweep(tx, sweep)
        if limit is not None or after >= 0:
            return _page(tx, sweep, now, since, sys.maxsize - 1 if limit is None else limit, after)
        trials = tx.rows(say.CHANGED, sweep_id=sweep, since=since)
        reports = tx.rows(say.REPORTED, sweep_id=sweep, since=since) if now[1] > since else []
    return _changes(now, trials, reports)


def glance(database: Database, sweep: str) -> Glance:
    """Return how a sweep stands: see `whet.store.base.Trials.glance`."""
    rows = database.once(say.GLANCE, sweep_id=sweep)
    if not rows:
        with database.read() as tx:
            raise no_sweep(tx, sweep)
    revision, version, state, cap, next_number, best, value, is_waiting = rows[0]
    return Glance(
        revision=revision, version=version, state=STATES[state], cap=cap, next_number=next_number, is_waiting=bool(is_waiting),
        best=None if best is None else (best, value),
    )  # fmt: skip


def _changes(
    now: Sequence[Any], trials: Sequence[Sequence[Any]], reports: Sequence[Sequence[Any]], after: int | None = None
) -> Changes:
    revision, _, version, state, cap = now
    return Changes(
        revision=revision, version=version, state=STATES[state], cap=cap, trials=tuple(map(to_trial, trials)),
        reports=tuple((n, attempt, Report(step=step, values=tuple(load(values)))) for n, attempt, step, values in reports),
        after=after,
    )  # fmt: skip


def _page(tx: Transaction, sweep: str, now: Sequence[Any], since: int, limit: int, after: int) -> Changes:
    most = {"sweep_id": sweep, "since": since, "most": limit + 1}
    if after < 0:  # little is new nearly always, and found by revision
        trials = tx.rows(say.CHANGED_FIRST, **most)
        reports = tx.rows(say.REPORTED_FIRST, **most) if now[1] > since else []
        if len(trials) <= limit and len(reports) <= limit:
            return _changes(now, sorted(trials), reports)
    trials = tx.rows(say.CHANGED_AFTER, **most, after=after)
    reports = tx.rows(say.REPORTED_AFTER, **most, after=after) if now[1] > since else []
    last = last_whole([row[0] for row in trials], [row[0] for row in reports], limit)
    if last is None:
        return _changes(now, trials, reports)
    trials, whole = [row for row in trials if row[0] <= last], [row for row in reports if row[0] <= last]
    if len(whole) > limit:  # all of one trial, which has more of them
        whole = tx.rows(say.REPORTED_OF, sweep_id=sweep, since=since, trial=last)
    return _changes(now, trials, whole, last)
