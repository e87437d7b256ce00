"""A sweep's trials, in memory."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import cast, final

from whet.store import rules
from whet.store.base import NOTHING, Changes, Glance, Lease, Origin, Trials
from whet.store.codec import floats, text
from whet.store.cut import last_whole
from whet.store.ids import new_id
from whet.store.memory.world import NO_STATS, KeptRun, KeptSweep, World
from whet.trial import Phase, Report, Suggestion, Trial

__all__ = ["MemoryTrials"]

_RUNNING, _FINISHED = Phase.RUNNING, Phase.FINISHED


@final
class MemoryTrials(Trials):
    """Trials in memory."""

    def __init__(self, world: World) -> None:
        self._world = world

    def changes(self, sweep: str, since: int = -1, *, limit: int | None = None, after: int = -1) -> Changes:
        rules.check_limit(limit)
        with self._world.lock:
            s = self._world.sweep(sweep)
            revision, since = len(s.changed), max(since, 0)
            trials: tuple[Trial, ...] = ()
            reports: list[tuple[int, int, Report]] = []
            if since == 0 and limit is not None:  # a page of all: the trials behind it need not be looked at
                some = s.trials[after + 1 : after + 2 + limit]
                trials = tuple([run.as_trial() for run in some])
                kept_of = [(cast(int, run.number), run.attempt, run.reports) for run in some if run.reports]
                reports = [
                    (number, attempt, kept[step][1]) for number, attempt, kept in kept_of for step in sorted(kept)
                ]
            elif since < revision:
                numbers = {number for entry in s.changed[since:] for number in entry}
                trials = tuple([s.trials[number].as_trial() for number in sorted(numbers)])
                for at, entry in enumerate(s.reported[since:], since + 1) if s.last_report > since else ():
                    for number, step in entry:
                        run = s.trials[number]
                        kept = run.reports.get(step) if run.reports else None
                        if kept is not None and kept[0] == at:  # else it was overwritten since, or dropped
                            reports.append((number, run.attempt, kept[1]))
            last: int | None = None
            if limit is not None or after >= 0:
                trials = tuple(t for t in trials if t.number > after)
                reports = sorted((r for r in reports if r[0] > after), key=lambda r: r[0])
                if limit is not None:
                    last = last_whole([t.number for t in trials], [r[0] for r in reports], limit)
                if last is not None:
                    trials = tuple(t for t in trials if t.number <= last)
                    reports = [r for r in reports if r[0] <= last]
            return Changes(
                revision=revision, version=s.version, state=s.state, cap=s.cap, trials=trials, reports=tuple(reports), after=last
            )  # fmt: skip

    def glance(self, sweep: str) -> Glance:
        with self._world.lock:
            s = self._world.sweep(sweep)
            best = None if s.best is None or s.best_value is None else (cast(int, s.best.number), s.best_value)
            return Glance(
                revision=len(s.changed), version=s.version, state=s.state, cap=s.cap, next_number=len(s.trials), is_waiting=bool(s.waiting),
                best=best,
            )  # fmt: skip

    def turn(self, sweep: str, *, brief: bool = False) -> AbstractContextManager[None]:
        with self._world.lock:
            return cast("AbstractContextManager[None]", self._world.sweep(sweep).turn)

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
        with self._world.lock:
            s = self._world.sweep(sweep)
            rules.check_hand_out(s.name, s.state, s.cap, len(s.trials))
            rules.check_number(s.name, number, len(s.trials))
            parent = None if suggestion.parent is None else s.trial(suggestion.parent).id
            run = self._append(s, f"{s.name}-{number}" if name is None else text(name), _RUNNING)
            run.params = dict(suggestion.params)
            run.note = text(suggestion.note)
            run.parent, run.parent_number = parent, suggestion.parent
            run.owner, run.asked = text(owner), None if asked is None else text(asked)
            run.seen, run.version = seen, version
            run.started = run.beat = run.created
            s.running[number] = run
            s.bump(run.created, (number,))
            return run.id

    def _append(self, s: KeptSweep, name: str, phase: Phase) -> KeptRun:
        run = KeptRun(new_id(), s.project, name, phase, time.time())
        run.sweep, run.number = s, len(s.trials)
        s.trials.append(run)
        self._world.runs[run.id] = run
        return run

    def enqueue(
        self,
        sweep: str,
        params: Mapping[str, object],
        *,
        attrs: Mapping[str, object] = NOTHING,
        extra: bool = False,
        once: str | None = None,
    ) -> int:
        with self._world.lock:
            if (there := self._world.answers.get(once)) is not None:
                return int(there)
            s = self._world.sweep(sweep)
            number = len(s.trials)
            if extra:
                s.state, s.cap = rules.extended(s.name, s.state, s.cap, number)
                s.version += s.cap is not None
            rules.check_hand_out(s.name, s.state, s.cap, number)
            run = self._append(s, f"{s.name}-{number}", Phase.PENDING)
            run.params, run.attrs = dict(params), dict(attrs)
            s.bump(run.created, (number,))
            self._world.keep(once, number)
            return number

    def extend(
        self, sweep: str, trials: Sequence[Trial], *, barred: Collection[int] = (), once: str | None = None
    ) -> list[int]:
        with self._world.lock:
            if (there := self._world.answers.get(once)) is not None:
                return list(there)
            s = self._world.sweep(sweep)
            for trial in trials:
                rules.check_extra(trial.phase)
                rules.check_result(trial.number, trial.phase, trial.values, trial.stopped, len(s.goals))
            if not trials:
                self._world.keep(once, [])
                return []
            first, revision = len(s.trials), len(s.changed) + 1
            places = {trial.number: first + i for i, trial in enumerate(trials)}
            new = [self._append(s, f"{s.name}-{first + i}", trial.phase) for i, trial in enumerate(trials)]
            for place, (run, trial) in enumerate(zip(new, trials, strict=True)):
                run.params, run.attrs, run.values = dict(trial.params), dict(trial.attrs), floats(trial.values)
                run.stopped, run.reason, run.note = trial.stopped, text(trial.reason), text(trial.note)
                run.started, run.ended, run.over = trial.started, trial.ended, revision
                if trial.parent in places:
                    run.parent_number = places[trial.parent]
                    run.parent = s.trials[run.parent_number].id
                _keep(run, trial.reports, revision)
                if trial.complete and place not in barred:
                    s.crown(run)
            numbers = range(first, first + len(trials))
            s.bump(
                new[0].created, numbers, [(cast(int, r.number), step) for r in new for step in sorted(r.reports or ())]
            )
            self._world.keep(once, list(numbers))
            return list(numbers)

    def claim(self, sweep: str, number: int, *, owner: str, asked: str | None = None) -> tuple[str, int]:
        with self._world.lock:
            s = self._world.sweep(sweep)
            run = s.trial(number)
            rules.check_open(s.name, s.state)
            rules.check_waiting(number, run.phase)
            is_paused = run.phase is Phase.PAUSED
            now = time.time()
            run.phase, run.values, run.stopped, run.reason, run.owner, run.beat = (
                _RUNNING,
                None,
                False,
                "",
                text(owner),
                now,
            )
            run.started = now if run.started is None else run.started
            run.asked = None if asked is None else text(asked)
            s.running[number] = run
            kept: list[tuple[int, int]] = []
            if is_paused:
                run.attempt += 1
                run.sources = None
                revision = len(s.changed) + 1
                run.reports = {step: (revision, report) for step, (_, report) in sorted((run.reports or {}).items())}
                kept = [(number, step) for step in run.reports]
            s.bump(now, (number,), kept)
            return run.id, run.attempt

    def take_over(self, sweep: str, number: int, attempt: int, *, owner: str, was: str) -> str:
        with self._world.lock:
            run = self._world.sweep(sweep).trial(number)
            rules.check_running(number, run.phase, attempt, run.attempt)
            rules.check_lost(number, run.owner, text(was))
            run.owner, run.beat = text(owner), time.time()
            return run.id

    def requeue(self, sweep: str, number: int, attempt: int, reason: str, *, lost: bool = False) -> None:
        with self._world.lock:
            s = self._world.sweep(sweep)
            run = s.trial(number)
            rules.check_running(number, run.phase, attempt, run.attempt)
            now = time.time()
            run.phase = rules.landing(s.state, Phase.PENDING)
            run.attempt += 1
            run.num_lost += lost
            run.reason, run.owner = text(reason), ""
            run.started, run.beat, run.ended = None, None, now if run.phase.is_over else None
            run.over = len(s.changed) + 1 if run.phase.is_over else None
            run.stats, run.summary = NO_STATS, NOTHING
            run.reports = run.curves = run.sources = None
            s.running.pop(number, None)
            s.bump(now, (number,))

    def report(self, sweep: str, number: int, attempt: int, reports: Sequence[Report]) -> None:
        with self._world.lock:
            s = self._world.sweep(sweep)
            run = s.trial(number)
            rules.check_running(number, run.phase, attempt, run.attempt)
            run.beat = now = time.time()
            if reports:
                _keep(run, reports, len(s.changed) + 1)
                s.bump(now, (), sorted({(number, report.step) for report in reports}))

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
        with self._world.lock:
            s = self._world.sweep(sweep)
            run = s.trial(number)
            rules.check_result(number, phase, values, stopped, len(s.goals))
            to = rules.landing(s.state, phase)
            if run.attempt == attempt and run.phase is to and rules.same_values(values, run.values):
                return
            rules.check_told(number, run.phase, attempt, run.attempt, stopped=stopped)
            now = time.time()
            run.phase, run.values, run.stopped = to, values, stopped
            run.reason = text(reason)
            run.ended = now if to is not Phase.PAUSED else None
            run.over = len(s.changed) + 1 if to is not Phase.PAUSED else None
            if to is _FINISHED and not stopped and may_be_best:
                s.crown(run)
            if params is not None:
                run.settle(params, len(s.changed) + 1)
            if attrs:
                run.attrs = {**run.attrs, **attrs}
            s.running.pop(number, None)
            s.bump(now, (number,))

    def annotate(
        self,
        sweep: str,
        number: int,
        *,
        params: Mapping[str, object] | None = None,
        attrs: Mapping[str, object] | None = None,
    ) -> None:
        with self._world.lock:
            s = self._world.sweep(sweep)
            run = s.trial(number)
            if params is not None:
                rules.check_running(number, run.phase, run.attempt, run.attempt)
                run.settle(params, len(s.changed) + 1)
            if attrs:
                run.attrs = {**run.attrs, **attrs}
            if params is not None or attrs:
                s.bump(time.time(), (number,))

    def origins(self, sweep: str) -> list[Origin]:
        with self._world.lock:
            return [run.as_origin() for run in self._world.sweep(sweep).trials]

    def leases(self, sweep: str) -> Sequence[Lease]:
        with self._world.lock:
            return [
                Lease(
                    run_id=run.id,
                    number=number,
                    attempt=run.attempt,
                    owner=run.owner,
                    beat=cast(float, run.beat),
                    num_lost=run.num_lost,
                    asked=run.asked,
                )
                for number, run in sorted(self._world.sweep(sweep).running.items())
            ]

    def beat(self, sweep: str, owner: str) -> None:
        with self._world.lock:
            for run in self._world.sweep(sweep).running.values():
                if run.owner == text(owner):
                    run.beat = time.time()


def _keep(run: KeptRun, reports: Sequence[Report], revision: int) -> None:
    if run.reports is None:
        run.reports = {}
    for report in reports:
        run.reports[report.step] = (revision, Report(step=report.step, values=floats(report.values) or ()))
