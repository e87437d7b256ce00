"""Is all in a store as its laws want it? What is wrong is said in words, and what follows from the rest can be put right.

Most is asked through the verbs, so it holds for every store, over HTTP too; what no verb tells is asked of the database itself.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from whet.errors import NotFound, StoreError, StoreUnavailable
from whet.store import rules
from whet.store.base import Changes, Origin, Run, RunQuery, Stat, Store, Sweep
from whet.store.stats import of_curve
from whet.trial import Phase, Trial

__all__ = ["Finding", "check", "check_sweep"]

_LOOKS = 4  # at something that others change meanwhile
UNREADABLE = (LookupError, ValueError, TypeError, AttributeError)
"""What reading a row raises that holds what no verb writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it should be.

    Args:
        rule: Which law it breaks: goals, numbers, cap, best, revisions, reports, trials, runs, leases, parents, former, chunks, stats,
            offsets, artifacts, tables, rows, or damage.
        problem: What is wrong, in words.
        sweep, run: Ids of what it is about, where it is about one.
        repairable: It follows from the rest of the store, so that `whet.store.check_sql.repair` can put it right.
    """

    rule: str
    problem: str
    sweep: str | None = None
    run: str | None = None
    repairable: bool = False

    @property
    def place(self) -> tuple[str, str | None, str | None]:
        """What it is about: two findings with the same place are the same trouble."""
        return self.rule, self.sweep, self.run


def check(store: Store, *, on_step: Callable[[str], None] = lambda what: None) -> list[Finding]:
    """Return what is wrong with a store; empty: all is well.

    It only reads, and others may work on the store meanwhile: what a change explains is looked at again.

    Args:
        on_step: Called with what is looked at next, in words.

    Example:
        >>> from whet.store import open_store
        >>> check(open_store("memory"))
        []
    """
    from whet.store.sql import SqlStore

    found: list[Finding] = []
    if isinstance(store, SqlStore):
        from whet.store.check_sql import check_database

        on_step("the database itself")
        found += check_database(store.database)
    for id in _sweeps(store):
        on_step(f"sweep {id}")
        found += check_sweep(store, id)
    for project in store.runs.projects():
        on_step(f"the runs of project {project}")
        try:
            runs = store.runs.select(RunQuery(project=project, newest_first=False))
        except UNREADABLE as error:
            problem = f"the runs of project {project!r} can't be read ({type(error).__name__}: {error})"
            found.append(Finding(rule="rows", problem=problem))
            continue
        for run in runs:
            found += _settled(partial(_run, store, run.id), f"run {run.id}", run=run.id)
    return found


def _sweeps(store: Store) -> list[str]:
    """Return the ids of the sweeps, also where one of them can't be read."""
    from whet.store.sql import SqlStore

    if isinstance(store, SqlStore):
        from whet.store.check_sql import sweep_ids

        return sweep_ids(store.database)
    return [sweep.id for sweep in store.sweeps.all()]


def check_sweep(store: Store, id: str) -> list[Finding]:
    """Return what is wrong with a sweep and its trials, but for their metrics."""
    return _settled(partial(_sweep, store, id), f"sweep {id}", sweep=id)


def _settled(
    look: Callable[[], Iterable[Finding]], what: str, *, sweep: str | None = None, run: str | None = None
) -> list[Finding]:
    """Return what is found at each of several looks: verbs that come one after the other may see a change half done."""
    try:
        found = list(look())
        for _ in range(_LOOKS - 1):
            if not found:
                break
            before = {finding.place for finding in found}
            found = [finding for finding in look() if finding.place in before]
    except NotFound:  # it was deleted meanwhile
        return []
    except StoreUnavailable:
        raise
    except (StoreError, *UNREADABLE) as error:  # what a row holds is nothing that a verb could read
        problem = f"{what} can't be read ({type(error).__name__}: {error})"
        return [Finding(rule="rows", problem=problem, sweep=sweep, run=run)]
    return found


def _sweep(store: Store, id: str) -> Iterator[Finding]:
    for _ in range(_LOOKS):
        sweep, changes = store.sweeps.get(id), store.trials.changes(id)
        origins, runs = store.trials.origins(id), store.runs.select(RunQuery(sweep=id, newest_first=False))
        leases, former = store.trials.leases(id), store.sweeps.former(id)
        now = store.sweeps.get(id)
        if (now.revision, now.version) == (sweep.revision, sweep.version):
            break
    by_number = {trial.number: trial for trial in changes.trials}
    for rule, problem in (
        *_goals(sweep),
        *_numbers(sweep, changes.trials),
        *_trials(sweep, changes.trials),
        *_cap(sweep, changes.trials, origins),
        *_revisions(sweep, changes, origins),
        *_reports(changes, by_number),
        *_runs(sweep, by_number, runs),
        *_leases(by_number, {lease.number: lease.attempt for lease in leases}),
        *(("former", f"keeps a configuration of version {v}, which is not over") for v in former if v >= sweep.version),
    ):
        yield Finding(rule=rule, problem=f"sweep {sweep.name!r} {problem}", sweep=id)
    for problem in _best(sweep, runs):
        # What keeps a limit was decided when the trial ended, from values that may have changed since.
        repairable = not sweep.config.get("limits")
        yield Finding(rule="best", problem=f"sweep {sweep.name!r} {problem}", sweep=id, repairable=repairable)


Found = Iterator[tuple[str, str]]


def _some(numbers: Sequence[object]) -> str:
    return ", ".join(map(str, numbers[:5])) + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")


def _goals(sweep: Sweep) -> Found:
    config: Mapping[str, Any] = sweep.config
    listed = [config["metric"]] if "metric" in config else config.get("metrics")
    if not isinstance(listed, (list, tuple)) or not all(isinstance(m, Mapping) and "goal" in m for m in listed):
        return  # a store keeps any mapping; what a sweep was made of names the goal of each metric
    said, kept = [str(metric["goal"]) for metric in listed], [goal.value for goal in sweep.goals]
    if said != kept:
        yield "goals", f"has the goals {_some(kept) or 'none'}, but its configuration says {_some(said) or 'none'}"


def _numbers(sweep: Sweep, trials: Sequence[Trial]) -> Found:
    numbers = [trial.number for trial in trials]
    if twice := sorted(n for n, count in Counter(numbers).items() if count > 1):
        yield "numbers", f"has trial {_some(twice)} more than once"
    gaps = [(a + 1, b) for a, b in pairwise([-1, *sorted({n for n in numbers if n >= 0})]) if b > a + 1]
    if gaps:
        yield "numbers", f"lacks trial {_some([str(a) if b == a + 1 else f'{a} to {b - 1}' for a, b in gaps])}"
    if negative := [n for n in numbers if n < 0]:
        yield "numbers", f"has trials with numbers below 0 ({_some(negative)})"
    if sweep.next_number != max(numbers, default=-1) + 1:
        yield (
            "numbers",
            f"says that its next trial is {sweep.next_number}, but its last one is {max(numbers, default=-1)}",
        )


def _trials(sweep: Sweep, trials: Sequence[Trial]) -> Found:
    known = {trial.number for trial in trials}
    for trial in trials:
        which = f"trial {trial.number}"
        if trial.phase is Phase.FINISHED and not trial.stopped:
            values = trial.values
            if values is None or len(values) != len(sweep.goals) or any(map(math.isnan, values)):
                yield (
                    "trials",
                    f"has finished {which} with values {values}, wanted {len(sweep.goals)}, none of them NaN",
                )
        if trial.phase in (Phase.PENDING, Phase.PAUSED) and sweep.state.value == "canceled":
            yield "trials", f"is canceled, but its {which} is {trial.phase.value}"
        if trial.attempt < 0:
            yield "trials", f"has {which} in attempt {trial.attempt}"
        if trial.parent is not None and trial.parent not in known:
            yield "parents", f"has {which} with the parent {trial.parent}, which is not there"


def _cap(sweep: Sweep, trials: Sequence[Trial], origins: Sequence[Origin]) -> Found:
    if sweep.cap is None:
        return
    suggested = {origin.number for origin in origins if origin.seen is not None}
    # Trials that ran elsewhere are over when they are added, and under no cap.
    over = sorted(
        t.number
        for t in trials
        if t.number >= sweep.cap and (t.number in suggested or not t.phase.is_over or t.attempt > 0)
    )
    if over:
        yield "cap", f"has handed out trial {_some(over)}, above its run cap of {sweep.cap}"


def _revisions(sweep: Sweep, changes: Changes, origins: Sequence[Origin]) -> Found:
    phases = {trial.number: trial.phase for trial in changes.trials}
    for origin in origins:
        marks = {"seen": origin.seen, "over": origin.over, "settled": origin.settled}
        for name, revision in (*marks.items(), *((f"report of step {s}", r) for s, r in origin.reported)):
            if revision is not None and revision > sweep.revision:
                yield (
                    "revisions",
                    f"is at revision {sweep.revision}, but trial {origin.number} has {revision} ({name})",
                )
        if origin.version is not None and origin.version > sweep.version:
            yield "revisions", f"is at version {sweep.version}, but trial {origin.number} was made by {origin.version}"
        phase = phases.get(origin.number)
        if phase is not None and phase.is_over is (origin.over is None):
            said = "no revision at which it was over" if origin.over is None else f"was over at {origin.over}"
            yield "revisions", f"has trial {origin.number} {phase.value}, with {said}"
    if len(origins) != len(changes.trials):
        yield "numbers", f"has {len(changes.trials)} trials, but the origins of {len(origins)}"


def _reports(changes: Changes, trials: Mapping[int, Trial]) -> Found:
    for number, attempt, report in changes.reports:
        trial = trials.get(number)
        if trial is None:
            yield "reports", f"has a report of trial {number}, which is not there"
        elif attempt != trial.attempt:
            yield (
                "reports",
                f"has a report of attempt {attempt} at trial {number} (step {report.step}), which is in attempt {trial.attempt}",
            )


def _runs(sweep: Sweep, trials: Mapping[int, Trial], runs: Sequence[Run]) -> Found:
    ids: dict[int | None, str] = {}
    for run in runs:
        trial = trials.get(run.number if run.number is not None else -1)
        if trial is None or run.number in ids:
            yield "runs", f"has the run {run.id}, which is no trial of its own (number {run.number})"
            continue
        ids[run.number] = run.id
        facts = {
            "phase": (run.phase, trial.phase),
            "attempt": (run.attempt, trial.attempt),
            "stopped": (run.stopped, trial.stopped),
            "params": (repr(run.params), repr(trial.params)),
        }
        for name, (one, other) in facts.items():
            if one != other:
                yield "runs", f"has run {run.id} with another {name} than its trial {run.number}"
        if run.project != sweep.project:
            yield "runs", f"is in project {sweep.project!r}, but its run {run.id} is in {run.project!r}"
        parent = None if trial.parent is None else ids.get(trial.parent)
        if trial.parent in ids and run.parent != parent:
            yield "parents", f"has run {run.id} with the parent {run.parent}, but its trial's is {parent}"
    if missing := sorted(trials.keys() - ids.keys()):
        yield "runs", f"has no run for trial {_some(missing)}"


def _leases(trials: Mapping[int, Trial], leases: Mapping[int, int]) -> Found:
    running = {n: trial.attempt for n, trial in trials.items() if trial.phase is Phase.RUNNING}
    if running != leases:
        odd = sorted(n for n in running.keys() | leases.keys() if running.get(n) != leases.get(n))
        yield "leases", f"has a lease without a running trial, or the reverse ({_some(odd)})"


def _best(sweep: Sweep, runs: Sequence[Run]) -> Iterator[str]:
    marked = [run.id for run in runs if run.best]
    if marked != [id for id in (sweep.best_run,) if id is not None]:
        yield f"says that its best run is {sweep.best_run}, but marked as best is {_some(marked) or 'none'}"
    if len(sweep.goals) != 1:
        if sweep.best_run is not None or sweep.best_value is not None:
            yield f"has several goals, and yet a best run ({sweep.best_run})"
        return
    complete = [
        r for r in runs if r.phase is Phase.FINISHED and not r.stopped and r.values and not math.isnan(r.values[0])
    ]
    by_id = {run.id: run for run in complete}
    if sweep.best_run is not None and sweep.best_run not in by_id:
        yield f"says that its best run is {sweep.best_run}, which is no complete trial of its own"
    elif sweep.best_run is not None and (by_id[sweep.best_run].values or ())[0] != sweep.best_value:
        yield f"says that its best value is {sweep.best_value}, but that run has {by_id[sweep.best_run].values}"
    if sweep.config.get("limits"):
        return
    best = rules.best_of(sweep.goals[0], ((r.id, (r.values or ())[0], r.number or 0) for r in complete))
    id, value, _ = best or (None, None, None)
    if sweep.best_run != id:
        yield f"says that its best run is {sweep.best_run} ({sweep.best_value}), but {id} ({value}) is"


def _run(store: Store, id: str) -> Iterator[Finding]:
    """Find what is wrong with a run's metrics and artifacts."""
    run = store.runs.get(id)
    what = f"run {id} ({run.name!r})"
    try:
        curves = store.runs.metrics(id)
    except NotFound:
        raise
    except StoreError as error:
        yield Finding(rule="chunks", problem=f"{what} has metrics that can't be read: {error.problem}", run=id)
        curves = None
    if curves is not None:
        found = {name: of_curve(curve.steps, curve.values) for name, curve in curves.items()}
        kept = dict(run.stats)
        if odd := sorted(n for n in found.keys() | kept.keys() if not _alike(found.get(n), kept.get(n))):
            problem = f"{what} has statistics that its metrics don't bear out ({_some(odd)})"
            yield Finding(rule="stats", problem=problem, run=id, repairable=True)
    for artifact in store.runs.artifacts(id):
        if artifact.size < 0:
            problem = f"{what} has the artifact {artifact.name!r} of {artifact.size} bytes"
            yield Finding(rule="artifacts", problem=problem, run=id)


def _alike(a: Stat | None, b: Stat | None) -> bool:
    """Return whether two statistics are the same, NaN being the same as NaN."""
    if a is None or b is None:
        return a is b
    numbers = ((a.last, b.last), (a.min, b.min), (a.max, b.max))
    counts = (a.last_step, a.min_step, a.max_step, a.count) == (b.last_step, b.min_step, b.max_step, b.count)
    return counts and all(x == y or (x != x and y != y) for x, y in numbers)
