"""The store that keeps nothing: plain Python, for studies in one process.

The same verbs and errors as the others (`whet.store.rules`), at microseconds each. What is given is copied one level deep:
don't change values inside a mapping after handing it over, nor anything in what comes back.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import cast, final

from whet.store import rules
from whet.store.base import (
    Artifact,
    Batch,
    Changes,
    Curve,
    Lease,
    NewRun,
    Run,
    RunQuery,
    Runs,
    Stat,
    Store,
    Sweep,
    Sweeps,
    SweepState,
    Trials,
)
from whet.store.codec import floats, text
from whet.store.ids import new_id
from whet.store.stats import merge
from whet.trial import Goal, Phase, Report, Suggestion, Trial

__all__ = ["MemoryStore"]

_NOTHING: Mapping[str, object] = MappingProxyType({})
_NO_STATS: Mapping[str, Stat] = MappingProxyType({})
_RUNNING, _FINISHED = Phase.RUNNING, Phase.FINISHED


class _Run:
    """A run, and a trial if it is one, as it is now."""

    __slots__ = (
        *("id", "project", "sweep", "number", "name", "phase", "params", "config", "values", "stopped", "best"),
        *("reason", "note", "attempt", "parent", "parent_number", "owner", "group", "tags", "notes", "folder", "attrs"),
        *("stats", "summary", "meta", "created", "started", "ended", "beat"),
        *("reports", "curves", "sources", "artifacts"),
    )

    def __init__(self, id: str, project: str, name: str, phase: Phase, now: float) -> None:
        self.id = id
        self.project = project
        self.name = name
        self.phase = phase
        self.created = now
        self.sweep: _Sweep | None = None
        self.number: int | None = None
        self.params: Mapping[str, object] = _NOTHING
        self.config: Mapping[str, object] = _NOTHING
        self.values: tuple[float, ...] | None = None
        self.stopped = self.best = False
        self.reason = self.note = self.owner = self.group = self.notes = self.folder = ""
        self.attempt = 0
        self.parent: str | None = None
        self.parent_number: int | None = None
        self.tags: tuple[str, ...] = ()
        self.attrs: Mapping[str, object] = {}
        self.stats: Mapping[str, Stat] = _NO_STATS
        self.summary: Mapping[str, object] = _NOTHING
        self.meta: Mapping[str, object] = _NOTHING
        self.started: float | None = None
        self.ended: float | None = None
        self.beat: float | None = None
        self.reports: dict[int, tuple[int, Report]] | None = None  # by step: revision and report
        self.curves: dict[str, Curve] | None = None
        self.sources: dict[str, int] | None = None
        self.artifacts: dict[str, Artifact] | None = None

    def as_trial(self) -> Trial:
        return Trial(
            number=cast(int, self.number),
            params=self.params,
            phase=self.phase,
            values=self.values,
            stopped=self.stopped,
            reason=self.reason,
            note=self.note,
            attempt=self.attempt,
            parent=self.parent_number,
            attrs=self.attrs,
            started=self.started,
            ended=self.ended,
        )

    def as_run(self) -> Run:
        return Run(
            id=self.id,
            project=self.project,
            sweep=self.sweep.id if self.sweep else None,
            number=self.number,
            name=self.name,
            phase=self.phase,
            params=self.params,
            config={**self.params, **self.config},
            values=self.values,
            stopped=self.stopped,
            best=self.best,
            reason=self.reason,
            note=self.note,
            attempt=self.attempt,
            parent=self.parent,
            owner=self.owner,
            group=self.group,
            tags=self.tags,
            notes=self.notes,
            folder=self.folder,
            attrs=self.attrs,
            stats=dict(self.stats),
            summary=dict(self.summary),
            meta=dict(self.meta),
            created=self.created,
            started=self.started,
            ended=self.ended,
            beat=self.beat,
        )


class _Sweep:
    """A sweep as it is now. `changed[r]` and `reported[r]` tell what revision r + 1 brought: trials, and (number, step) of reports."""

    def __init__(self, id: str, project: str, name: str, config: Mapping[str, object], goals: tuple[Goal, ...]) -> None:
        self.id = id
        self.project = project
        self.name = name
        self.config = config
        self.goals = goals
        self.goal = goals[0] if len(goals) == 1 else None
        self.state = SweepState.RUNNING
        self.cap: int | None = None
        self.version = 0
        self.best: _Run | None = None
        self.best_value: float | None = None
        self.driver: str | None = None
        self.driver_beat: float | None = None
        self.created = self.updated = time.time()
        self.trials: list[_Run] = []
        self.running: dict[int, _Run] = {}
        self.changed: list[Sequence[int]] = []
        self.reported: list[Sequence[tuple[int, int]]] = []
        self.last_report = 0  # the revision of the last one
        self.turn = threading.Lock()

    def bump(self, now: float, changed: Sequence[int], reported: Sequence[tuple[int, int]] = ()) -> None:
        self.changed.append(changed)
        self.reported.append(reported)
        if reported:
            self.last_report = len(self.changed)
        self.updated = now

    def trial(self, number: int) -> _Run:
        if not 0 <= number < len(self.trials):
            raise rules.no_trial(self.name, number, len(self.trials))
        return self.trials[number]

    def crown(self, run: _Run) -> None:
        """Make a complete trial the best, if it is."""
        if self.goal is None or run.values is None:
            return
        best = self.best
        number = None if best is None else best.number
        if rules.beats(self.goal, run.values[0], cast(int, run.number), self.best_value, number):
            if best is not None:
                best.best = False
            run.best = True
            self.best, self.best_value = run, run.values[0]

    def as_sweep(self) -> Sweep:
        return Sweep(
            id=self.id,
            project=self.project,
            name=self.name,
            config=self.config,
            goals=self.goals,
            state=self.state,
            cap=self.cap,
            next_number=len(self.trials),
            revision=len(self.changed),
            version=self.version,
            best_run=self.best.id if self.best else None,
            best_value=self.best_value,
            driver=self.driver,
            created=self.created,
            updated=self.updated,
        )


class _World:
    """All there is, and the one lock that every verb holds."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sweeps: dict[str, _Sweep] = {}
        self.runs: dict[str, _Run] = {}

    def sweep(self, id: str) -> _Sweep:
        try:
            return self.sweeps[id]
        except KeyError:
            known = [text for s in self.sweeps.values() for text in (s.id, s.name)]
            raise rules.not_found("sweep", id, known[-200:]) from None

    def run(self, id: str) -> _Run:
        try:
            return self.runs[id]
        except KeyError:
            known = [text for r in self.runs.values() for text in (r.id, r.name)]
            raise rules.not_found("run", id, known[-200:]) from None


@final
class _MemorySweeps(Sweeps):
    def __init__(self, world: _World) -> None:
        self._world = world

    def create(
        self,
        project: str,
        config: Mapping[str, object],
        *,
        goals: Sequence[Goal],
        name: str | None = None,
        cap: int | None = None,
    ) -> Sweep:
        id = new_id()
        project, name = text(project), text(name) if name is not None else id
        with self._world.lock:
            if any(s.project == project and s.name == name for s in self._world.sweeps.values()):
                raise rules.name_taken(project, name)
            sweep = self._world.sweeps[id] = _Sweep(id, project, name, dict(config), tuple(goals))
            sweep.cap = cap
            return sweep.as_sweep()

    def get(self, id: str) -> Sweep:
        with self._world.lock:
            return self._world.sweep(id).as_sweep()

    def find(self, text: str, project: str | None = None) -> Sweep:
        with self._world.lock:
            known = [s for s in self._world.sweeps.values() if project is None or s.project == project]
            for found in (
                [s for s in known if s.id == text],
                [s for s in known if s.name == text],
                [s for s in known if text and s.id.startswith(text)],
            ):
                if len(found) > 1:
                    raise rules.ambiguous("sweep", text, [s.id for s in found])
                if found:
                    return found[0].as_sweep()
            raise rules.not_found("sweep", text, [name for s in known[-100:] for name in (s.id, s.name)])

    def all(self, project: str | None = None) -> list[Sweep]:
        with self._world.lock:
            found = [s.as_sweep() for s in self._world.sweeps.values() if project is None or s.project == project]
        return found[::-1]

    def move(self, id: str, to: SweepState) -> Sweep:
        now = time.time()
        with self._world.lock:
            sweep = self._world.sweep(id)
            if not rules.check_move(sweep.name, sweep.state, to):
                return sweep.as_sweep()
            sweep.state, sweep.updated = to, now
            if to is SweepState.CANCELED:
                waiting = [run for run in sweep.trials if run.phase in (Phase.PENDING, Phase.PAUSED)]
                for run in waiting:
                    run.phase, run.reason, run.ended = Phase.CANCELED, rules.CANCELED, now
                if waiting:
                    sweep.bump(now, [cast(int, run.number) for run in waiting])
            return sweep.as_sweep()

    def edit(
        self, id: str, *, version: int, config: Mapping[str, object] | None = None, cap: int | None = None
    ) -> Sweep:
        with self._world.lock:
            sweep = self._world.sweep(id)
            rules.check_version(sweep.name, version, sweep.version)
            if cap is not None:
                rules.check_cap(sweep.name, cap, len(sweep.trials))
                sweep.cap = cap
            if config is not None:
                sweep.config = dict(config)
            sweep.version += 1
            sweep.updated = time.time()
            return sweep.as_sweep()

    def drive(self, id: str, owner: str, *, silent_s: float) -> None:
        now = time.time()
        with self._world.lock:
            sweep = self._world.sweep(id)
            rules.check_driver(sweep.name, sweep.driver, owner, sweep.driver_beat, now, silent_s)
            sweep.driver, sweep.driver_beat = owner, now

    def release(self, id: str, owner: str) -> None:
        with self._world.lock:
            sweep = self._world.sweeps.get(id)
            if sweep is not None and sweep.driver == owner:
                sweep.driver = sweep.driver_beat = None

    def delete(self, id: str) -> None:
        with self._world.lock:
            for run in self._world.sweep(id).trials:
                del self._world.runs[run.id]
            del self._world.sweeps[id]


@final
class _MemoryTrials(Trials):
    def __init__(self, world: _World) -> None:
        self._world = world

    def changes(self, sweep: str, since: int = -1) -> Changes:
        with self._world.lock:
            s = self._world.sweep(sweep)
            revision, since = len(s.changed), max(since, 0)
            trials: tuple[Trial, ...] = ()
            reports: list[tuple[int, int, Report]] = []
            if since < revision:
                numbers = {number for entry in s.changed[since:] for number in entry}
                trials = tuple([s.trials[number].as_trial() for number in sorted(numbers)])
                for at, entry in enumerate(s.reported[since:], since + 1) if s.last_report > since else ():
                    for number, step in entry:
                        run = s.trials[number]
                        kept = run.reports.get(step) if run.reports else None
                        if kept is not None and kept[0] == at:  # else it was overwritten since, or dropped
                            reports.append((number, run.attempt, kept[1]))
            return Changes(
                revision=revision, version=s.version, state=s.state, cap=s.cap, trials=trials, reports=tuple(reports)
            )

    def turn(self, sweep: str) -> AbstractContextManager[None]:
        with self._world.lock:
            return cast("AbstractContextManager[None]", self._world.sweep(sweep).turn)

    def add(
        self, sweep: str, number: int, suggestion: Suggestion, *, owner: str, seen: int, name: str | None = None
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
            run.owner = owner
            run.started = run.beat = run.created
            s.running[number] = run
            s.bump(run.created, (number,))
            return run.id

    def _append(self, s: _Sweep, name: str, phase: Phase) -> _Run:
        run = _Run(new_id(), s.project, name, phase, time.time())
        run.sweep, run.number = s, len(s.trials)
        s.trials.append(run)
        self._world.runs[run.id] = run
        return run

    def enqueue(self, sweep: str, params: Mapping[str, object], *, attrs: Mapping[str, object] = _NOTHING) -> int:
        with self._world.lock:
            s = self._world.sweep(sweep)
            number = len(s.trials)
            rules.check_hand_out(s.name, s.state, s.cap, number)
            run = self._append(s, f"{s.name}-{number}", Phase.PENDING)
            run.params, run.attrs = dict(params), dict(attrs)
            s.bump(run.created, (number,))
            return number

    def extend(self, sweep: str, trials: Sequence[Trial]) -> list[int]:
        with self._world.lock:
            s = self._world.sweep(sweep)
            for trial in trials:
                rules.check_extra(trial.phase)
                rules.check_result(trial.number, trial.phase, trial.values, trial.stopped, len(s.goals))
            if not trials:
                return []
            first, revision = len(s.trials), len(s.changed) + 1
            places = {trial.number: first + i for i, trial in enumerate(trials)}
            new = [self._append(s, f"{s.name}-{first + i}", trial.phase) for i, trial in enumerate(trials)]
            for run, trial in zip(new, trials, strict=True):
                run.params, run.attrs, run.values = dict(trial.params), dict(trial.attrs), floats(trial.values)
                run.stopped, run.reason, run.note = trial.stopped, text(trial.reason), text(trial.note)
                run.started, run.ended = trial.started, trial.ended
                if trial.parent in places:
                    run.parent_number = places[trial.parent]
                    run.parent = s.trials[run.parent_number].id
                _keep(run, trial.reports, revision)
                if trial.complete:
                    s.crown(run)
            numbers = range(first, first + len(trials))
            s.bump(
                new[0].created, numbers, [(cast(int, r.number), step) for r in new for step in sorted(r.reports or ())]
            )
            return list(numbers)

    def claim(self, sweep: str, number: int, *, owner: str) -> tuple[str, int]:
        with self._world.lock:
            s = self._world.sweep(sweep)
            run = s.trial(number)
            rules.check_open(s.name, s.state)
            rules.check_waiting(number, run.phase)
            now = time.time()
            run.phase, run.values, run.stopped, run.reason, run.owner, run.beat = _RUNNING, None, False, "", owner, now
            run.started = now if run.started is None else run.started
            s.running[number] = run
            s.bump(now, (number,))
            return run.id, run.attempt

    def take_over(self, sweep: str, number: int, attempt: int, *, owner: str, was: str) -> str:
        with self._world.lock:
            run = self._world.sweep(sweep).trial(number)
            rules.check_running(number, run.phase, attempt, run.attempt)
            rules.check_lost(number, run.owner, was)
            run.owner, run.beat = owner, time.time()
            return run.id

    def requeue(self, sweep: str, number: int, attempt: int, reason: str) -> None:
        with self._world.lock:
            s = self._world.sweep(sweep)
            run = s.trial(number)
            rules.check_running(number, run.phase, attempt, run.attempt)
            now = time.time()
            run.phase = rules.landing(s.state, Phase.PENDING)
            run.attempt += 1
            run.reason, run.owner = text(reason), ""
            run.started, run.beat, run.ended = None, None, now if run.phase.is_over else None
            run.stats, run.summary = _NO_STATS, _NOTHING
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
    ) -> None:
        values = floats(values)
        with self._world.lock:
            s = self._world.sweep(sweep)
            run = s.trial(number)
            rules.check_result(number, phase, values, stopped, len(s.goals))
            to = rules.landing(s.state, phase)
            if run.attempt == attempt and run.phase is to and rules.same_values(values, run.values):
                return
            rules.check_running(number, run.phase, attempt, run.attempt)
            now = time.time()
            run.phase, run.values, run.stopped = to, values, stopped
            run.reason = text(reason)
            run.ended = now if to is not Phase.PAUSED else None
            if to is _FINISHED and not stopped:
                s.crown(run)
            if params is not None:
                run.params = dict(params)
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
                run.params = dict(params)
            if attrs:
                run.attrs = {**run.attrs, **attrs}
            if params is not None or attrs:
                s.bump(time.time(), (number,))

    def leases(self, sweep: str) -> Sequence[Lease]:
        with self._world.lock:
            return [
                Lease(run_id=run.id, number=number, attempt=run.attempt, owner=run.owner, beat=cast(float, run.beat))
                for number, run in sorted(self._world.sweep(sweep).running.items())
            ]

    def beat(self, sweep: str, owner: str) -> None:
        with self._world.lock:
            for run in self._world.sweep(sweep).running.values():
                if run.owner == owner:
                    run.beat = time.time()


def _keep(run: _Run, reports: Sequence[Report], revision: int) -> None:
    if run.reports is None:
        run.reports = {}
    for report in reports:
        run.reports[report.step] = (revision, Report(step=report.step, values=floats(report.values) or ()))


@final
class _MemoryRuns(Runs):
    def __init__(self, world: _World) -> None:
        self._world = world

    def create(self, run: NewRun) -> Run:
        with self._world.lock:
            old = self._world.runs.get(run.id)
            if old is not None:
                return old.as_run()
            new = self._world.runs[run.id] = _Run(run.id, text(run.project), text(run.name), _RUNNING, time.time())
            new.config = dict(run.config)
            new.parent, new.owner, new.group = run.parent, run.owner, text(run.group)
            new.tags, new.notes, new.folder = _tags(run.tags), text(run.notes), text(run.folder)
            new.started = new.beat = new.created
            return new.as_run()

    def get(self, id: str) -> Run:
        with self._world.lock:
            return self._world.run(id).as_run()

    def find(self, text: str, project: str | None = None) -> Run:
        with self._world.lock:
            known = [r for r in reversed(self._world.runs.values()) if project is None or r.project == project]
            for found, newest in (
                ([r for r in known if r.id == text], True),
                ([r for r in known if r.name == text], True),
                ([r for r in known if text and r.id.startswith(text)], False),
            ):
                if found and (newest or len(found) == 1):
                    return found[0].as_run()
                if found:
                    raise rules.ambiguous("run", text, [r.id for r in found])
            raise rules.not_found("run", text, [name for r in known[:100] for name in (r.id, r.name)])

    def select(self, query: RunQuery = RunQuery()) -> list[Run]:  # noqa: B008 - frozen
        with self._world.lock:
            everything = list(self._world.runs.values())
            found = [
                run.as_run()
                for run in (reversed(everything) if query.newest_first else everything)
                if (query.project is None or run.project == query.project)
                and (query.sweep is None or (run.sweep is not None and run.sweep.id == query.sweep))
                and (not query.phases or run.phase in query.phases)
                and (query.tag is None or query.tag in run.tags)
                and (query.group is None or run.group == query.group)
            ]
        return found[: query.limit]

    def projects(self) -> Mapping[str, int]:
        with self._world.lock:
            return dict(sorted(Counter(run.project for run in self._world.runs.values()).items()))

    def _story(self, id: str, attempt: int) -> _Run:
        run = self._world.run(id)
        rules.check_attempt(f"run {id!r}", attempt, run.attempt)
        return run

    def shipped(self, id: str, attempt: int, source: str) -> int:
        with self._world.lock:
            return (self._story(id, attempt).sources or {}).get(source, 0)

    def ship(self, id: str, attempt: int, source: str, start: int, end: int, batch: Batch) -> int:
        with self._world.lock:
            run = self._story(id, attempt)
            run.sources = run.sources or {}
            offset = run.sources.get(source, 0)
            if start != offset:
                return offset
            run.sources[source] = end
            run.curves = run.curves or {}
            for row in batch.rows:
                for name, value in row.values.items():
                    curve = run.curves.setdefault(name, Curve(steps=[], values=[], times=[]))
                    curve.steps.append(row.step)
                    curve.values.append(float(value))
                    curve.times.append(row.time)
            run.stats = merge(run.stats, batch.rows)
            run.config, run.summary = {**run.config, **batch.config}, {**run.summary, **batch.summary}
            run.meta = {**run.meta, **batch.meta}
            run.artifacts = {**(run.artifacts or {}), **{artifact.name: artifact for artifact in batch.artifacts}}
            run.beat = time.time()
            return end

    def metrics(self, id: str, names: Collection[str] | None = None) -> dict[str, Curve]:
        with self._world.lock:
            curves = self._world.run(id).curves or {}
            return {
                name: Curve(steps=curve.steps[:], values=curve.values[:], times=curve.times[:])
                for name, curve in sorted(curves.items())
                if names is None or name in names
            }

    def artifacts(self, id: str) -> list[Artifact]:
        with self._world.lock:
            return [artifact for _, artifact in sorted((self._world.run(id).artifacts or {}).items())]

    def finish(self, id: str, phase: Phase, reason: str = "") -> None:
        with self._world.lock:
            run = self._world.run(id)
            rules.check_run_edit(id, run.sweep.id if run.sweep else None, "ended")
            if rules.check_finish(id, run.phase, phase):
                run.phase, run.reason, run.ended = phase, text(reason), time.time()

    def edit(
        self,
        id: str,
        *,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
        group: str | None = None,
    ) -> Run:
        with self._world.lock:
            run = self._world.run(id)
            run.name = run.name if name is None else text(name)
            run.tags = run.tags if tags is None else _tags(tags)
            run.notes = run.notes if notes is None else text(notes)
            run.group = run.group if group is None else text(group)
            return run.as_run()

    def delete(self, ids: Collection[str]) -> int:
        unique = sorted(set(ids))
        with self._world.lock:
            for id in unique:
                run = self._world.run(id)
                rules.check_run_edit(id, run.sweep.id if run.sweep else None, "deleted")
                rules.check_ended(id, run.phase)
            for id in unique:
                del self._world.runs[id]
        return len(unique)


def _tags(tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text(tag) for tag in tags))


@final
class MemoryStore(Store):
    """A new, empty store that lives as long as this object."""

    def __init__(self) -> None:
        self.url = "memory"
        world = _World()
        self.sweeps = _MemorySweeps(world)
        self.trials = _MemoryTrials(world)
        self.runs = _MemoryRuns(world)

    def close(self) -> None:
        return

    def __repr__(self) -> str:
        return "MemoryStore()"
