"""A sweep's trials, in SQL.

Every verb that writes reads the sweep's row first and locks it until it ends (SQLite locks the whole database anyway): so checks
in Python hold, and no two verbs on one sweep can wait for each other.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, final

from whet.store import answered, rules
from whet.store import trial_statements as say
from whet.store.base import NOTHING, Changes, Glance, Lease, Origin, Trials
from whet.store.changes import changes, glance
from whet.store.codec import dump, floats, load, text
from whet.store.database import Database, Transaction
from whet.store.ids import new_id
from whet.store.rows import ADD_RUN, NEW_RUN, PHASES, STATES
from whet.store.sweeps import no_sweep
from whet.store.trial_statements import Head, Line
from whet.trial import Goal, Phase, Report, Suggestion, Trial

__all__ = ["SqlTrials"]


@final
class SqlTrials(Trials):
    """Trials in a database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def changes(self, sweep: str, since: int = -1, *, limit: int | None = None, after: int = -1) -> Changes:
        return changes(self._db, sweep, since, limit, after)

    def glance(self, sweep: str) -> Glance:
        return glance(self._db, sweep)

    def turn(self, sweep: str, *, brief: bool = False) -> AbstractContextManager[None]:
        return self._db.turn(sweep, brief)

    def add(
        self,
        sweep: str,
        number: int,
        suggestion: Suggestion,
        *,
        owner: str,
        seen: int,
        version: int | None = None,
        name: str | None = None,
        asked: str | None = None,
    ) -> str:
        id, params, note = new_id(), dump(suggestion.params), text(suggestion.note)
        with self._db.write() as tx:
            head = _head(tx, sweep)
            rules.check_hand_out(head.name, head.state, head.cap, head.next_number)
            rules.check_number(head.name, number, head.next_number)
            parent = None
            if suggestion.parent is not None:
                row = tx.row(say.RUN_ID, sweep_id=sweep, trial=suggestion.parent)
                if row is None:
                    raise rules.no_trial(head.name, suggestion.parent, head.next_number)
                parent = row[0]
            now = time.time()
            _hand_out(
                tx,
                sweep,
                head,
                now,
                id=id,
                phase=Phase.RUNNING.value,
                params=params,
                note=note,
                parent=parent,
                parent_number=suggestion.parent,
                owner=text(owner),
                started=now,
                beat=now,
                seen=seen,
                seen_version=version,
                asked=None if asked is None else text(asked),
                **({} if name is None else {"name": text(name)}),
            )
        return id

    def enqueue(
        self,
        sweep: str,
        params: Mapping[str, object],
        *,
        attrs: Mapping[str, object] = NOTHING,
        extra: bool = False,
        once: str | None = None,
    ) -> int:
        kept, kept_attrs = dump(params), dump(attrs)
        with self._db.write() as tx:
            if (there := answered.before(tx, once)) is not None:
                return int(there)
            head = _head(tx, sweep)
            if extra:
                head = _extended(tx, sweep, head)
            rules.check_hand_out(head.name, head.state, head.cap, head.next_number)
            phase = Phase.PENDING.value
            _hand_out(tx, sweep, head, time.time(), id=new_id(), phase=phase, params=kept, attrs=kept_attrs)
            answered.keep(tx, once, head.next_number)
        return head.next_number

    def extend(
        self, sweep: str, trials: Sequence[Trial], *, barred: Collection[int] = (), once: str | None = None
    ) -> list[int]:
        with self._db.write() as tx:
            if (there := answered.before(tx, once)) is not None:
                return list(range(*there))
            head = _head(tx, sweep)
            goals, first = load(head.goals), head.next_number
            for trial in trials:
                rules.check_extra(trial.phase)
                rules.check_result(trial.number, trial.phase, trial.values, trial.stopped, len(goals))
            if not trials:
                answered.keep(tx, once, [0, 0])
                return []
            now, rev = time.time(), head.revision + 1
            ids = [new_id() for _ in trials]
            places = {trial.number: i for i, trial in enumerate(trials)}
            best = (head.best_run, head.best_number, head.best_value)
            if len(goals) == 1:
                for i, trial in enumerate(trials):
                    if trial.complete and trial.values and i not in barred:
                        value = float(trial.values[0])
                        if rules.beats(Goal(goals[0]), value, first + i, best[2], best[1]):
                            best = (ids[i], first + i, value)
            new: list[dict[str, object]] = []
            for i, trial in enumerate(trials):
                parent = places.get(trial.parent) if trial.parent is not None else None
                values = floats(trial.values)
                new.append(
                    {
                        **NEW_RUN,
                        "id": ids[i],
                        "project": head.project,
                        "sweep": sweep,
                        "number": first + i,
                        "name": f"{head.name}-{first + i}",
                        "phase": trial.phase.value,
                        "params": dump(trial.params),
                        "values": None if values is None else dump(values),
                        "stopped": trial.stopped,
                        "best": ids[i] == best[0],
                        "reason": text(trial.reason),
                        "note": text(trial.note),
                        "parent": None if parent is None else ids[parent],
                        "parent_number": None if parent is None else first + parent,
                        "attrs": dump(trial.attrs),
                        "created": now,
                        "started": trial.started,
                        "ended": trial.ended,
                        "revision": rev,
                        "over": rev,
                    }
                )
            reported = [_report(sweep, first + i, 0, r, rev) for i, trial in enumerate(trials) for r in trial.reports]
            if best[0] != head.best_run:
                _crown(tx, sweep, head.best_run, *best)
            tx.run_many(ADD_RUN, new)
            tx.run_many(say.REPORT, reported)
            tx.run(say.HANDED_OUT, sweep_id=sweep, next=first + len(trials), rev=rev, now=now)
            if reported:
                tx.run(say.BUMP_REPORTS, sweep_id=sweep, rev=rev, now=now)
            answered.keep(tx, once, [first, first + len(trials)])
        return list(range(first, first + len(trials)))

    def claim(self, sweep: str, number: int, *, owner: str, asked: str | None = None) -> tuple[str, int]:
        with self._db.write() as tx:
            head, line = _trial(tx, sweep, number)
            rules.check_open(head.name, head.state)
            rules.check_waiting(number, line.phase)
            now, rev = time.time(), head.revision + 1
            start = now if line.started is None else line.started
            attempt, bump = line.attempt, say.BUMP
            if line.phase is Phase.PAUSED:
                attempt += 1
                tx.run(say.FORGET_OFFSETS, run=line.id)
                if tx.run(say.KEEP_REPORTS, sweep_id=sweep, trial=number, nth=attempt, rev=rev):
                    bump = say.BUMP_REPORTS
            tx.run(
                say.CLAIM, sweep_id=sweep, trial=number, by=text(owner), key=None if asked is None else text(asked), nth=attempt, start=start,
                now=now, rev=rev,
            )  # fmt: skip
            tx.run(bump, sweep_id=sweep, rev=rev, now=now)
        return line.id, attempt

    def take_over(self, sweep: str, number: int, attempt: int, *, owner: str, was: str) -> str:
        with self._db.write() as tx:
            _, line = _trial(tx, sweep, number)
            rules.check_running(number, line.phase, attempt, line.attempt)
            rules.check_lost(number, line.owner, text(was))
            tx.run(say.TAKE_OVER, sweep_id=sweep, trial=number, by=text(owner), now=time.time())
        return line.id

    def requeue(self, sweep: str, number: int, attempt: int, reason: str, *, lost: bool = False) -> None:
        with self._db.write() as tx:
            head, line = _trial(tx, sweep, number)
            rules.check_running(number, line.phase, attempt, line.attempt)
            now, rev = time.time(), head.revision + 1
            to = rules.landing(head.state, Phase.PENDING)
            end = now if to.is_over else None
            why = text(reason)
            over = rev if to.is_over else None
            tx.run(
                say.REQUEUE, sweep_id=sweep, trial=number, to=to.value, lost=int(lost), why=why, end=end, rev=rev, over=over
            )  # fmt: skip
            tx.run(say.FORGET_REPORTS, sweep_id=sweep, trial=number)
            tx.run(say.FORGET_METRICS, run=line.id)
            tx.run(say.FORGET_OFFSETS, run=line.id)
            tx.run(say.BUMP, sweep_id=sweep, rev=rev, now=now)

    def report(self, sweep: str, number: int, attempt: int, reports: Sequence[Report]) -> None:
        with self._db.write() as tx:
            head, line = _trial(tx, sweep, number)
            rules.check_running(number, line.phase, attempt, line.attempt)
            now, rev = time.time(), head.revision + 1
            tx.run_many(say.REPORT, [_report(sweep, number, attempt, report, rev) for report in reports])
            tx.run(say.SIGN_OF_LIFE, sweep_id=sweep, trial=number, now=now)
            if reports:
                tx.run(say.BUMP_REPORTS, sweep_id=sweep, rev=rev, now=now)

    def tell(
        self,
        sweep: str,
        number: int,
        attempt: int,
        *,
        phase: Phase,
        values: tuple[float, ...] | None = None,
        stopped: bool = False,
        reason: str = "",
        params: Mapping[str, object] | None = None,
        attrs: Mapping[str, object] | None = None,
        may_be_best: bool = True,
    ) -> None:
        values = floats(values)
        with self._db.write() as tx:
            head, line = _trial(tx, sweep, number)
            goals = load(head.goals)
            rules.check_result(number, phase, values, stopped, len(goals))
            to = rules.landing(head.state, phase)
            told = None if line.values is None else load(line.values)
            if line.attempt == attempt and line.phase is to and rules.same_values(values, told):
                return
            rules.check_told(number, line.phase, attempt, line.attempt, stopped=stopped)
            now, rev = time.time(), head.revision + 1
            is_best = False
            if to is Phase.FINISHED and not stopped and values and may_be_best and len(goals) == 1:
                is_best = rules.beats(Goal(goals[0]), values[0], number, head.best_value, head.best_number)
                if is_best:
                    _crown(tx, sweep, head.best_run, line.id, number, values[0])
            settled = {} if params is None else {"kept": dump(params)}
            tx.run(
                say.TELL_SETTLED if settled else say.TELL, sweep_id=sweep, trial=number, to=to.value,
                result=None if values is None else dump(values), early=stopped, is_best=is_best, why=text(reason),
                end=now if to.is_over else None, rev=rev, over=rev if to.is_over else None, **settled,
            )  # fmt: skip
            _note(tx, sweep, number, line, None, attrs, rev)
            tx.run(say.BUMP, sweep_id=sweep, rev=rev, now=now)

    def annotate(
        self,
        sweep: str,
        number: int,
        *,
        params: Mapping[str, object] | None = None,
        attrs: Mapping[str, object] | None = None,
    ) -> None:
        with self._db.write() as tx:
            head, line = _trial(tx, sweep, number)
            if params is not None:
                rules.check_running(number, line.phase, line.attempt, line.attempt)
            if params is not None or attrs:
                _note(tx, sweep, number, line, params, attrs, head.revision + 1)
                tx.run(say.BUMP, sweep_id=sweep, rev=head.revision + 1, now=time.time())

    def origins(self, sweep: str) -> list[Origin]:
        with self._db.read() as tx:
            if tx.row(say.NOW, sweep_id=sweep) is None:
                raise no_sweep(tx, sweep)
            reported: dict[int, list[tuple[int, int]]] = {}
            for number, step, rev in tx.rows(say.REPORT_REVISIONS, sweep_id=sweep):
                reported.setdefault(number, []).append((step, rev))
            return [
                Origin(
                    number=number,
                    seen=seen,
                    version=version,
                    over=over,
                    suggested=None if suggested is None else load(suggested),
                    settled=settled,
                    reported=tuple(reported.get(number, ())),
                )
                for number, seen, version, over, suggested, settled in tx.rows(say.ORIGINS, sweep_id=sweep)
            ]

    def leases(self, sweep: str) -> Sequence[Lease]:
        return [
            Lease(run_id=id, number=number, attempt=attempt, owner=owner, beat=beat, num_lost=num_lost, asked=asked)
            for id, number, attempt, owner, beat, num_lost, asked in self._db.once(say.LEASES, sweep_id=sweep)
        ]

    def beat(self, sweep: str, owner: str) -> None:
        with self._db.write() as tx:
            tx.run(say.BEAT, sweep_id=sweep, by=text(owner), now=time.time())


def _head(tx: Transaction, sweep: str) -> Head:
    row = tx.row(say.HEAD, sweep_id=sweep)
    if row is None:
        raise no_sweep(tx, sweep)
    return _head_of(row)


def _head_of(row: Sequence[Any]) -> Head:
    name, project, state, *rest = row
    return Head(name, project, STATES[state], *rest)


def _extended(tx: Transaction, sweep: str, head: Head) -> Head:
    state, cap = rules.extended(head.name, head.state, head.cap, head.next_number)
    if (state, cap) != (head.state, head.cap):
        tx.run(say.EXTEND, sweep_id=sweep, to=state.value, most=cap, by=int(cap is not None))
    return head._replace(state=state, cap=cap)


def _trial(tx: Transaction, sweep: str, number: int) -> tuple[Head, Line]:
    if not tx.is_alone:
        # The trial after the sweep is locked: a statement that waits for one row has the others as they were before it waited.
        head = _head(tx, sweep)
        line = tx.row(say.LINE, sweep_id=sweep, trial=number)
        return head, _line_of(line, head, number)
    row = tx.row(say.HEAD_AND_LINE, sweep_id=sweep, trial=number)  # this is done for each trial while all others wait
    if row is None:
        raise no_sweep(tx, sweep)
    head = _head_of(row[: len(Head._fields)])
    return head, _line_of(row[len(Head._fields) :], head, number)


def _line_of(row: Sequence[Any] | None, head: Head, number: int) -> Line:
    if row is None or row[0] is None:
        raise rules.no_trial(head.name, number, head.next_number)
    id, phase, *rest = row
    return Line(id, PHASES[phase], *rest)


def _hand_out(tx: Transaction, sweep: str, head: Head, now: float, **known: object) -> None:
    number, rev = head.next_number, head.revision + 1
    row = {**NEW_RUN, "project": head.project, "sweep": sweep, "number": number, "name": f"{head.name}-{number}"}
    tx.run(ADD_RUN, **{**row, "created": now, "revision": rev, **known})
    tx.run(say.HANDED_OUT, sweep_id=sweep, next=number + 1, rev=rev, now=now)


def _note(
    tx: Transaction,
    sweep: str,
    number: int,
    line: Line,
    params: Mapping[str, object] | None,
    attrs: Mapping[str, object] | None,
    rev: int,
) -> None:
    if params is not None:
        tx.run(say.SET_PARAMS, sweep_id=sweep, trial=number, kept=dump(params), rev=rev)
    if attrs:
        tx.run(say.SET_ATTRS, sweep_id=sweep, trial=number, kept=dump({**load(line.attrs), **attrs}), rev=rev)


def _report(sweep: str, number: int, attempt: int, report: Report, rev: int) -> dict[str, object]:
    values = dump(floats(report.values))
    return {
        "sweep": sweep,
        "number": number,
        "step": report.step,
        "attempt": attempt,
        "values": values,
        "revision": rev,
    }


def _crown(
    tx: Transaction, sweep: str, was: str | None, run: str | None, number: int | None, value: float | None
) -> None:
    if was is not None:
        tx.run(say.NOT_BEST, run=was)
    tx.run(say.BEST, sweep_id=sweep, run=run, trial=number, value=value)
