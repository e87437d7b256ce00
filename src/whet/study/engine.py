"""Where searcher, stopper and store meet: ask, report, decide, tell, recover. Everything that runs trials goes through here.

An `Engine` is one process's view of one sweep. It keeps the sweep's trials in memory and brings them up to date by revision, so the
cost of a step does not grow with the history, and it rebuilds its searcher from them, so nothing about a search is ever saved.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, final

from whet.config import SweepConfig, parse, to_mapping
from whet.errors import CapReached, Conflict, NotFound, NumberTaken, StudyError, SweepClosed
from whet.plugins import build
from whet.space import Space
from whet.store import owner as owners
from whet.store.base import Lease, Store, Sweep, SweepState
from whet.study.learn import Learned
from whet.trial import Phase, Problem, Report, Suggestion, Trial

if TYPE_CHECKING:
    from whet.search.base import Searcher
    from whet.space import Parameter
    from whet.stop.base import Decision, Stopper

__all__ = ["Assignment", "Engine", "Nothing"]

LEASE_S = 60.0
"""A worker on another machine that gave no sign of life for this long is lost."""
MAX_ATTEMPTS = 3
"""A trial whose worker was lost this often fails: it is likely what kills them."""
_LOOK_FOR_LOST_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A trial handed out to this process."""

    run_id: str
    number: int
    attempt: int
    params: Mapping[str, object]
    note: str = ""
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """No trial to hand out, and why. `final`: there will never be one (unless somebody reopens the sweep)."""

    reason: str
    final: bool


@final
class Engine:
    """One process's handle on a sweep. Safe to use from several threads.

    Args:
        store: Where the sweep is kept.
        sweep: The sweep, or its id.
        recover: Called with each lease whose worker is lost; it returns True when it took the trial over itself (its job still
            runs, say). Otherwise the trial is handed out again.
    """

    def __init__(self, store: Store, sweep: Sweep | str, *, recover: Callable[[Lease], bool] | None = None) -> None:
        sweep = store.sweeps.get(sweep) if isinstance(sweep, str) else sweep
        self.store = store
        self.id = sweep.id
        self.name = sweep.name
        self.project = sweep.project
        self.owner = owners.here()
        self.trials: dict[int, Trial] = {}
        self._open: dict[int, Trial] = {}  # those that are not over: the only ones that every step looks at
        self.state = sweep.state
        self.cap = sweep.cap
        self._recover = recover
        self._lock = threading.RLock()
        self._revision = -1
        self._version = sweep.version
        self._untold: set[int] = set()
        self._looked_for_lost = -math.inf
        self._searcher: Searcher | None = None
        self._read_config(sweep)

    def _read_config(self, sweep: Sweep) -> None:
        self.config = parse(dict(sweep.config), source=f"sweep {sweep.id}")
        self.problem: Problem = self.config.problem
        self.seed = self.config.seed or 0
        self.learned = Learned(self.problem.space) if self.config.define_by_run else None
        plug = self.config.stopper
        self.stopper: Stopper | None = (
            build("stopper", plug.name, self.problem, knobs_given=dict(plug.knobs)) if plug else None
        )
        self._searcher = None
        self._version = sweep.version

    # -- what is known ------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Bring the trials up to date."""
        with self._lock:
            changes = self.store.trials.changes(self.id, self._revision)
            self.state, self.cap = changes.state, changes.cap
            for trial in changes.trials:
                old = self.trials.get(trial.number)
                if old is not None and old.attempt == trial.attempt and old.reports:
                    trial = replace(trial, reports=old.reports)
                self.trials[trial.number] = trial
                if not trial.phase.is_over:
                    self._open[trial.number] = trial
                elif not (old and old.phase.is_over):
                    self._open.pop(trial.number, None)
                    self._untold.add(trial.number)
            for number, attempt, report in changes.reports:
                trial = self.trials[number]
                if trial.attempt == attempt:
                    trial = self.trials[number] = replace(trial, reports=_with_report(trial.reports, report))
                    if number in self._open:
                        self._open[number] = trial
            self._revision = changes.revision
            if changes.version != self._version:
                self._read_config(self.store.sweeps.get(self.id))

    def trial(self, number: int) -> Trial:
        """Return trial `number` as last seen.

        Raises:
            NotFound: there is none.
        """
        if number not in self.trials:
            self.sync()
        try:
            return self.trials[number]
        except KeyError:
            raise NotFound(
                f"sweep {self.name!r} has no trial {number}", f"it has {len(self.trials)}, counted from 0"
            ) from None

    def in_order(self) -> list[Trial]:
        """Return all trials by number."""
        with self._lock:
            return [self.trials[number] for number in sorted(self.trials)]

    def pending(self) -> list[Trial]:
        """Return the trials that are not over, by number."""
        with self._lock:
            return [self._open[number] for number in sorted(self._open)]

    # -- ask ----------------------------------------------------------------------------------------------------------

    def ask(self) -> Assignment | Nothing:
        """Hand out the next trial to this process: a waiting one, else a paused one worth resuming, else a new suggestion."""
        with self._lock, self.store.trials.turn(self.id):
            self._look_for_lost()
            while True:
                self.sync()
                try:
                    return self._waiting() or self._resumed() or self._suggested()
                except NumberTaken:
                    continue
                except CapReached:
                    return Nothing(f"all {self.cap} trials of the run cap are handed out", final=True)
                except SweepClosed:
                    self.sync()
                    if self.state is SweepState.RUNNING:
                        continue
                    return Nothing(f"the sweep is {self.state.value}", final=self.state is not SweepState.PAUSED)

    def _waiting(self) -> Assignment | None:
        for trial in self.pending():
            if trial.phase is Phase.PENDING:
                try:
                    run_id, attempt = self.store.trials.claim(self.id, trial.number, owner=self.owner)
                except SweepClosed:
                    raise
                except Conflict:
                    continue
                params = self._completed(trial)
                return Assignment(run_id=run_id, number=trial.number, attempt=attempt, params=params, note=trial.note)
        return None

    def _completed(self, trial: Trial) -> Mapping[str, object]:
        """Fill in what an enqueued trial leaves open, and keep it."""
        space = self.problem.space
        if space.contains(trial.params) or self.config.define_by_run:
            return trial.params
        drawn = space.sample(self._search().rng(trial.number))
        params: dict[str, object] = {}
        for name in (*trial.params, *drawn):
            params[name] = trial.params.get(name, drawn.get(name))
        for name in set(space) - set(params):
            params[name] = space[name].decode(self._search().rng(trial.number).random())
        params = {name: params[name] for name in space.active(params)}
        self.store.trials.annotate(self.id, trial.number, params=params)
        return params

    def _resumed(self) -> Assignment | None:
        if self.stopper is None or not any(t.phase is Phase.PAUSED for t in self._open.values()):
            return None
        suggestion = self.stopper.promote(self.in_order())
        if suggestion is None or suggestion.parent is None:
            return None
        run_id, attempt = self.store.trials.claim(self.id, suggestion.parent, owner=self.owner)
        return Assignment(
            run_id=run_id, number=suggestion.parent, attempt=attempt, params=suggestion.params, note=suggestion.note
        )

    def _suggested(self) -> Assignment | Nothing:
        if self.state is not SweepState.RUNNING:
            return Nothing(f"the sweep is {self.state.value}", final=self.state is not SweepState.PAUSED)
        number = len(self.trials)
        if self.cap is not None and number >= self.cap:
            return Nothing(f"all {self.cap} trials of the run cap are handed out", final=True)
        suggestion = self._suggest()
        if suggestion is None:
            waiting = len(self.pending())
            if waiting:
                return Nothing(f"{self.config.method.name} waits for {waiting} running trial(s)", final=False)
            return Nothing(f"{self.config.method.name} has tried everything", final=True)
        run_id = self.store.trials.add(self.id, number, suggestion, owner=self.owner, seen=self._revision)
        return Assignment(
            run_id=run_id,
            number=number,
            attempt=0,
            params=suggestion.params,
            note=suggestion.note,
            parent=suggestion.parent,
        )

    def _suggest(self) -> Suggestion | None:
        searcher = self._search()
        fresh = [self._as_told(self.trials[number]) for number in sorted(self._untold)]
        self._untold.clear()
        searcher.tell(fresh, [self._as_told(t) for t in self.pending()])
        if not self.problem.space and self.config.define_by_run:
            return Suggestion(params={})
        suggestions = searcher.ask(1)
        return suggestions[0] if suggestions else None

    def _search(self) -> Searcher:
        if self._searcher is None:
            method = self.config.method
            self._searcher = build(
                "searcher", method.name, self.problem, knobs_given=dict(method.knobs), seed=self.seed
            )
            self._untold = {number for number, trial in self.trials.items() if trial.phase.is_over}
        return self._searcher

    def _as_told(self, trial: Trial) -> Trial:
        """Return `trial` as the searcher may see it: its params must fit the space as it is now."""
        if self._version == 0 and not self.config.define_by_run:
            return trial
        space = self.problem.space
        known = {name: value for name, value in trial.params.items() if name in space}
        if space.contains(known):
            return replace(trial, params=known)
        return replace(trial, params={}, values=None, phase=Phase.CANCELED if trial.phase.is_over else trial.phase)

    # -- report, decide, tell -----------------------------------------------------------------------------------------

    def report(self, number: int, attempt: int, report: Report) -> None:
        """Keep an intermediate result of a trial of this process."""
        self.store.trials.report(self.id, number, attempt, [report])

    def decide(self, number: int) -> Decision | None:
        """Return what the stopper says about a running trial, or None without a stopper or a report."""
        if self.stopper is None:
            return None
        with self._lock:
            self.sync()
            trial = self.trial(number)
            if not trial.reports:
                return None
            return self.stopper.decide(trial, [t for t in self.trials.values() if t.number != number])

    def tell(
        self,
        number: int,
        attempt: int,
        values: Sequence[float] | None,
        *,
        phase: Phase = Phase.FINISHED,
        stopped: bool = False,
        reason: str = "",
        asked: Mapping[str, Parameter] | None = None,
        params: Mapping[str, object] | None = None,
        attrs: Mapping[str, object] | None = None,
    ) -> Phase:
        """End a trial of this process and return the phase it got: a result with NaN in it makes it FAILED, and says so.

        Args:
            values: One a metric; of a stopped trial None takes its last report.
            asked: What a define-by-run objective asked for, in its order; the space learns from it.
            params: The values it got.
        """
        if values is not None and len(values) != len(self.problem.metrics):
            names = ", ".join(m.name for m in self.problem.metrics)
            raise StudyError(
                f"trial {number} gave {len(values)} value(s) for {len(self.problem.metrics)}",
                f"give one each for: {names}",
            )
        if phase is Phase.FINISHED and stopped and values is None:
            self.sync()
            reports = self.trial(number).reports
            values = reports[-1].values if reports else None
        if phase is Phase.FINISHED and not stopped:
            if values is None:
                phase, reason = Phase.FAILED, reason or "it ended without a result"
            elif any(math.isnan(v) for v in values):
                names = ", ".join(m.name for m, v in zip(self.problem.metrics, values, strict=True) if math.isnan(v))
                phase, reason, values = Phase.FAILED, f"its result {names} is NaN", None
        result = None if values is None else tuple(float(v) for v in values)
        self.store.trials.tell(
            self.id,
            number,
            attempt,
            phase=phase,
            values=result,
            stopped=stopped,
            reason=reason,
            params=params,
            attrs=attrs,
        )
        if asked is not None and self.learned is not None and phase is not Phase.CANCELED:
            self._learn(asked)
        if self.cap is not None or any(m.target is not None for m in self.problem.metrics):
            self.finish_if_done()
        return phase

    def finish_if_done(self, *, exhausted: bool = False) -> bool:
        """Finish the sweep when its cap is used up (or its method `exhausted`) and nothing runs, or its target is reached."""
        with self._lock:
            self.sync()
            if self.state is not SweepState.RUNNING:
                return self.state is SweepState.FINISHED
            used_up = exhausted or (self.cap is not None and len(self.trials) >= self.cap)
            if (used_up and not self.pending()) or self._target_reached():
                self.state = self.store.sweeps.move(self.id, SweepState.FINISHED).state
                return True
            return False

    def _target_reached(self) -> bool:
        if len(self.problem.metrics) != 1 or self.problem.metric.target is None:
            return False
        metric, target = self.problem.metric, self.problem.metric.target
        wanted = metric.goal.loss(target)
        return any(t.complete and t.values and metric.goal.loss(t.values[0]) <= wanted for t in self.trials.values())

    def enqueue(self, params: Mapping[str, object], attrs: Mapping[str, object] | None = None) -> int:
        """Queue a configuration (it may leave parameters open) and return its number.

        Raises:
            SpaceError: a value is not legal in the space.
        """
        cleaned = dict(params)
        if not self.config.define_by_run:
            space = self.problem.space
            for name in params:
                if name not in space:
                    space.clean(params)
            cleaned = {name: space[name].clean(name, value) for name, value in params.items()}
        return self.store.trials.enqueue(self.id, cleaned, attrs=attrs or {})

    def extend(self, trials: Iterable[Trial]) -> list[int]:
        """Add trials that ran elsewhere.

        Raises:
            SpaceError: one does not fit the space (of a declared space).
        """
        trials = list(trials)
        if not self.config.define_by_run:
            trials = [replace(t, params=self.problem.space.clean(t.params)) for t in trials]
        return self.store.trials.extend(self.id, trials)

    # -- learned spaces -----------------------------------------------------------------------------------------------

    def _learn(self, asked: Mapping[str, Parameter]) -> None:
        """Bring what a define-by-run objective asked for into the stored space."""
        with self._lock:
            while self.learned is not None:
                self.sync()
                self.learned.watch(self.trials.values())
                space = self.learned.space(asked)
                if space == self.problem.space:
                    return
                changed = replace(self.config, problem=replace(self.problem, space=space))
                try:
                    self._keep(changed)
                except Conflict:
                    continue

    def _keep(self, config: SweepConfig) -> None:
        self._read_config(self.store.sweeps.edit(self.id, version=self._version, config=to_mapping(config)))

    def edit_space(self, space: Space) -> None:
        """Replace the sweep's space; trials that don't fit it any more are kept, but the search no longer sees them."""
        with self._lock:
            self.sync()
            self._keep(replace(self.config, problem=replace(self.problem, space=space)))

    # -- lost workers -------------------------------------------------------------------------------------------------

    def _look_for_lost(self) -> None:
        now = time.monotonic()
        if now - self._looked_for_lost >= _LOOK_FOR_LOST_S:
            self._looked_for_lost = now
            self.recover_lost()

    def recover_lost(self) -> int:
        """Find running trials whose worker is gone, have them taken over or queued again, and return how many there were."""
        now, found = time.time(), 0
        for lease in self.store.trials.leases(self.id):
            living = owners.alive(lease.owner)
            if living or (living is None and now - lease.beat < LEASE_S):
                continue
            found += 1
            if self._recover is None or not self._recover(lease):
                self.requeue(lease.number, lease.attempt, "its worker was lost")
        return found

    def requeue(self, number: int, attempt: int, reason: str) -> None:
        """Hand a trial out again, or fail it when that was done too often; nothing when somebody else just did."""
        try:
            if attempt + 1 >= MAX_ATTEMPTS:
                self.store.trials.tell(
                    self.id,
                    number,
                    attempt,
                    phase=Phase.FAILED,
                    reason=f"{reason}, {MAX_ATTEMPTS} times: it was not tried again",
                )
            else:
                self.store.trials.requeue(self.id, number, attempt, reason)
        except Conflict:
            pass


def _with_report(reports: tuple[Report, ...], report: Report) -> tuple[Report, ...]:
    if not reports or reports[-1].step < report.step:
        return (*reports, report)
    kept = {r.step: r for r in reports}
    kept[report.step] = report
    return tuple(kept[step] for step in sorted(kept))
