"""How long until within 1 % of the best, where trials can be stopped early: beside random search and Optuna's TPE with Hyperband.

    python -m benchmarks.search fidelity [--quick] [--json FILE] [--check] [--repeats N]

A trial replays the learning curve that a small network had on digits (`curves.py`): 27 epochs, a report after each, of the validation
loss. The space is the grid of the table, so that every configuration has its own, real curve. Time is what the epochs of the table took,
summed; neither tool's own time counts. One trial runs after the other. Only trials that ran to their end count as found.

"Within 1 % of the best" is a final loss of at most best + 1 % · (median - best), of the final losses of the whole table. What is shown is
the median over the seeds of the seconds until then (a search that has not got there in the time of 400 full trainings counts
as that). Seeds from 1000 on are reported; what was tuned (the knobs of `bohb`) saw seeds 0 to 59. `bayes` is what a sweep takes when nothing is said.

Two metrics: the final loss and the seconds of an epoch, both to be small. The second table has the share of the true front's hypervolume
(below the medians of both) that complete trials cover after 1,080 epochs, 40 full trainings, and how many times fewer epochs a search
with hyperband needs for what the same search without it has in the end. (`bohb` without stopping is MOTPE; `bayes` is EHVI with every
eighth trial from MOTPE, and with stopping with every second one from `bohb`.) Methods and stoppers of that table were chosen on seeds
below 60: `bohb` did better with `strict`; `asha` and `curve` less well than `hyperband`. `bayes` runs fewer seeds, for its `ehvi` takes a
tenth of a second a suggestion.
"""

from __future__ import annotations

import math
import os
import statistics
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks._harness import Report as Summary
from benchmarks._harness import arguments, number
from benchmarks.search.curves import EPOCHS, SPACE, curves
from whet.fronts import hypervolume
from whet.plugins import build
from whet.space import Choice, Float, Int
from whet.stop.base import Verdict
from whet.trial import Metric, Phase, Problem, Report, Trial

Array = np.ndarray[Any, Any]

__all__ = ["TOOLS", "Search", "fewer", "goal", "main", "optuna", "volumes", "whet"]

TOOLS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "random, full training": ("random", "", {}),
    "bayes, full training": ("bayes", "", {}),
    "random + asha": ("random", "asha", {"max_steps": EPOCHS}),
    "bayes + asha": ("bayes", "asha", {"max_steps": EPOCHS}),
    "bayes + hyperband": ("bayes", "hyperband", {"max_iter": EPOCHS, "s": 3, "brackets": 4}),
    "bohb + asha": ("bohb", "asha", {"max_steps": EPOCHS}),
    "bohb + hyperband": ("bohb", "hyperband", {"max_iter": EPOCHS, "s": 3, "brackets": 4}),
}
"""Method, stopper and its knobs."""
OPTUNA = "Optuna: TPE + Hyperband"
RANDOM = "random, full training"
TWO = (Metric(name="loss"), Metric(name="seconds of an epoch"))
TWO_TOOLS: Mapping[str, tuple[Mapping[str, Any], float]] = {
    "random": ({"max_iter": EPOCHS, "s": 3}, 1.0),
    "bohb": ({"max_iter": EPOCHS, "s": 3, "strict": True}, 1.0),
    "bayes": ({"max_iter": EPOCHS, "s": 3}, 0.2),
}
"""Hyperband's knobs, and on which share of the seeds."""
TWO_EPOCHS = 40 * EPOCHS
FIRST_SEED = 1000
MOST = 400  # full trainings


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What a search did until it was good enough, or its time was over.

    Args:
        seconds: Of all epochs.
        epochs: How many there were.
        trials: How many there were.
        best: The least final loss.
    """

    seconds: float
    epochs: int
    trials: int
    best: float


def goal() -> float:
    """Return the final loss that is within 1 % of the best."""
    final = curves().loss[:, -1]
    best = float(final.min())
    return best + 0.01 * (float(np.median(final)) - best)


def most_s() -> float:
    """Return the time that a search has."""
    return float(MOST * EPOCHS * curves().seconds.mean())


def whet(method: str, stopper: str, knobs: Mapping[str, Any], seed: int) -> Search:
    """Search with Whet, without a store, until the goal is reached."""
    table, target, end_s = curves(), goal(), most_s()
    seconds, epochs, trials, best = 0.0, 0, 0, np.inf
    for trial in _trials(method, stopper, knobs, seed, Problem(space=SPACE)):
        assert trial.values is not None
        seconds += len(trial.reports) * table.seconds[table.row(trial.params)]
        epochs, trials = epochs + len(trial.reports), trials + 1
        best = best if trial.stopped else min(best, trial.values[0])
        if best <= target or seconds >= end_s:
            break
    return Search(seconds=float(seconds), epochs=epochs, trials=trials, best=float(best))


def volumes(method: str, stopper: str, knobs: Mapping[str, Any], seed: int, most_epochs: int) -> list[float]:
    """Search for a small loss and short epochs, and return the share of the hypervolume that complete trials cover after each epoch."""
    table, far = curves(), reference()
    whole = hypervolume(np.stack([table.loss[:, -1], table.seconds], axis=1), far)
    points: list[tuple[float, ...]] = []
    found: list[float] = []
    covered = 0.0
    for trial in _trials(method, stopper, knobs, seed, Problem(space=SPACE, metrics=TWO)):
        assert trial.values is not None
        found += [covered] * (len(trial.reports) - 1)
        if not trial.stopped:
            points.append(trial.values)
            covered = hypervolume(np.array(points), far) / whole
        found.append(covered)
        if len(found) >= most_epochs:
            return found[:most_epochs]
    return found


def reference() -> Array:
    """Return the medians of final loss and seconds over the table: hypervolume is measured below them."""
    return np.array([np.median(curves().loss[:, -1]), np.median(curves().seconds)])


def _trials(method: str, stopper: str, knobs: Mapping[str, Any], seed: int, problem: Problem) -> Iterator[Trial]:
    """Yield trial after trial as it ended."""
    table = curves()
    searcher = build("searcher", method, problem, seed=seed, knobs_given={})
    stops = build("stopper", stopper, problem, knobs_given=dict(knobs)) if stopper else None
    trials: list[Trial] = []
    for count in range(len(table.loss)):
        params = searcher.ask(1)[0].params
        row, stopped = table.row(params), False
        reports: tuple[Report, ...] = ()
        for epoch in range(1, EPOCHS + 1):
            values = (float(table.loss[row, epoch - 1]), float(table.seconds[row]))[: len(problem.metrics)]
            reports = (*reports, Report(step=epoch, values=values))
            if stops is not None and epoch < EPOCHS:
                running = Trial(number=count, params=params, reports=reports)
                stopped = stops.decide(running, trials).verdict is Verdict.STOP
                if stopped:
                    break
        trials.append(Trial(number=count, params=params, phase=Phase.FINISHED, reports=reports, stopped=stopped,
                            values=reports[-1].values))  # fmt: skip
        searcher.tell(trials[-1:], [])
        yield trials[-1]


def optuna(seed: int) -> Search:
    """Search with Optuna's TPE and its Hyperband pruner, both as they come, with the resources said."""
    import optuna as module

    warnings.simplefilter("ignore")
    module.logging.set_verbosity(module.logging.ERROR)
    pruner = module.pruners.HyperbandPruner(min_resource=1, max_resource=EPOCHS)
    # By the study's name and a trial's number its Hyperband chooses the bracket: without a name every run is another one.
    study = module.create_study(study_name=str(seed), sampler=module.samplers.TPESampler(seed=seed), pruner=pruner)
    table, target = curves(), goal()
    seconds, epochs, trials, best, end_s = 0.0, 0, 0, np.inf, most_s()
    while best > target and seconds < end_s:
        trial = study.ask()
        row = table.row(_suggested(trial))
        trials += 1
        for epoch in range(1, EPOCHS + 1):
            loss = float(table.loss[row, epoch - 1])
            seconds, epochs = seconds + table.seconds[row], epochs + 1
            trial.report(loss, epoch)
            if epoch < EPOCHS and trial.should_prune():
                study.tell(trial, state=module.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, loss)
            best = min(best, loss)
    return Search(seconds=seconds, epochs=epochs, trials=trials, best=best)


def _suggested(trial: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, p in SPACE.items():
        if isinstance(p, Choice):
            found[name] = trial.suggest_categorical(name, list(p.options))
        elif isinstance(p, Float):
            found[name] = trial.suggest_float(name, p.low, p.high, step=p.step)
        else:
            assert isinstance(p, Int)
            found[name] = trial.suggest_int(name, p.low, p.high, step=p.step)
    return found


def fewer(full: Sequence[Sequence[float]], early: Sequence[Sequence[float]]) -> float:
    """Return how many times fewer epochs `early` needs for the hypervolume that `full` has in the end, both the mean over the seeds.

    Args:
        full, early: The share covered after each epoch [seed, epoch].
    """
    target = np.mean(full, axis=0)[-1]
    mean = np.mean(early, axis=0)
    reached = np.flatnonzero(mean >= target)
    first = np.flatnonzero(np.mean(full, axis=0) >= target)[0]  # it may have had as much before its end
    return float((first + 1) / (reached[0] + 1)) if len(reached) else 0.0


def _run(job: tuple[str, str, int]) -> tuple[str, str, int, Any]:
    os.environ["OMP_NUM_THREADS"] = "1"
    kind, tool, seed = job
    if kind == "one":
        return kind, tool, seed, optuna(seed) if tool == OPTUNA else whet(*TOOLS[tool], seed)
    knobs, _ = TWO_TOOLS[tool]
    return kind, tool, seed, volumes(tool, "hyperband" if kind == "two, stopped" else "", knobs, seed, TWO_EPOCHS)


def main() -> int:
    """Run everything, and hold it against the bounds."""
    given = arguments(__doc__ or "", repeats=100, quick_repeats=2)
    tools = [*TOOLS, OPTUNA]
    jobs = [("one", tool, FIRST_SEED + turn) for turn in range(given.repeats) for tool in tools]
    if not given.quick:
        kinds = ("two", "two, stopped")
        jobs += [
            (kind, tool, FIRST_SEED + turn)
            for tool, (_, share) in TWO_TOOLS.items()
            for turn in range(math.ceil(share * given.repeats))
            for kind in kinds
        ]
    found: dict[tuple[str, str], list[Any]] = {}
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        for done, (kind, tool, _, result) in enumerate(pool.map(_run, jobs), 1):
            found.setdefault((kind, tool), []).append(result)
            if done % 20 == 0 or done == len(jobs):
                print(f"  {done} of {len(jobs)} searches", file=sys.stderr, flush=True)
    report = Summary(title=f"Learning curves of a network on digits, {given.repeats} seeds")
    _one(report, {tool: found["one", tool] for tool in tools}, checked=not given.quick)
    if not given.quick:
        _two(report, found)
    return report.finish(given)


def _one(report: Summary, found: Mapping[str, Sequence[Search]], *, checked: bool) -> None:
    seconds = {tool: [search.seconds for search in found[tool]] for tool in found}
    full_s = EPOCHS * float(curves().seconds.mean())
    middle = {tool: statistics.median(values) for tool, values in seconds.items()}
    rows = []
    for tool, searches in found.items():
        late = sum(search.best > goal() for search in searches)
        rows.append([
            tool, number(middle[tool] / full_s), number(statistics.geometric_mean(seconds[tool]) / full_s),
            number(statistics.median(s.trials for s in searches)), number(statistics.median(s.epochs for s in searches)),
            number(middle[RANDOM] / middle[tool]), number(middle[OPTUNA] / middle[tool]), str(late),
        ])  # fmt: skip
        report.data[tool] = {"seconds": seconds[tool], "trials": [s.trials for s in searches],
                             "epochs": [s.epochs for s in searches]}  # fmt: skip
    heads = ["", "median", "geometric mean", "trials", "epochs", "times less than random", "than Optuna", "too late"]
    report.table("time to within 1 % of the best, in full trainings of mean length", heads, rows)
    for tool in ("bayes + asha", "bohb + asha") if checked else ():
        for peer, times in ((RANDOM, 4.0), (OPTUNA, 1.5)):
            got = middle[peer] / middle[tool]
            report.bound(f"{tool}: at least {times:g} times less than {peer}", got, got >= times)


def _two(report: Summary, found: Mapping[tuple[str, str], Sequence[Sequence[float]]]) -> None:
    rows = []
    for tool in TWO_TOOLS:
        full, early = found["two", tool], found["two, stopped", tool]
        times = fewer(full, early)
        shares = [np.mean([run[-1] for run in runs]) for runs in (full, early)]
        rows.append([tool, str(len(full)), *(f"{share:.3f}" for share in shares), number(times)])
        report.data[f"two/{tool}"] = {
            "full": [run[-1] for run in full],
            "stopped": [run[-1] for run in early],
            "fewer": times,
        }
        text = f"two metrics, {tool}: at least 2 times fewer epochs with hyperband for the same hypervolume"
        report.bound(text, times, times >= 2)
    heads = ["", "seeds", "full training", "with hyperband", "times fewer epochs for the same"]
    report.table(f"loss and seconds of an epoch: share of the hypervolume after {TWO_EPOCHS:,} epochs", heads, rows)
