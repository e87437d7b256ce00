"""What a new sweep takes from earlier ones: their trials, once, when it is made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from whet.config import SweepConfig, parse
from whet.errors import StudyError
from whet.search.history import thinned
from whet.search.overlap import overlap
from whet.store.base import Store, Sweep
from whet.store.rules import not_found
from whet.study.catching_up import history_of
from whet.trial import Earlier, Past, Phase, Problem, Trial

if TYPE_CHECKING:
    from whet.study.look import Look

__all__ = ["taken", "with_earlier"]

_MOST = 100


def with_earlier(
    store: Store, config: SweepConfig, project: str | None = None, given: Sequence[str | Look] = ()
) -> SweepConfig:
    """Return `config` with what the sweeps of its `start_from`, and those `given`, have found. What it holds already stays as it is.

    Args:
        store: Where the named sweeps are.
        config: Of the new sweep.
        project: Where names are looked up first.
        given: More of them: names, ids, or studies, which may be in another store.

    Raises:
        NotFound: there is no sweep of that name or id.
        StudyError: one has nothing in common with the new one, no results, or several metrics.
    """
    if config.problem.earlier or not (config.start_from or given):
        return config
    if len(config.problem.metrics) != 1:
        raise StudyError(
            f"start_from needs one metric, not {len(config.problem.metrics)}", "leave it out, or optimise one metric"
        )
    wanted: list[tuple[Store, Sweep]] = []
    for one in (*config.start_from, *given):
        found = (store, _find(store, one, project)) if isinstance(one, str) else one.stored()
        if found[1].id not in [sweep.id for _, sweep in wanted]:
            wanted.append(found)
    earlier = tuple(_earlier(where, sweep, config) for where, sweep in wanted)
    names = tuple(dict.fromkeys(sweep.name for _, sweep in wanted))
    return replace(
        config, problem=replace(config.problem, earlier=earlier), start_from=names if given else config.start_from
    )


def _find(store: Store, name: str, project: str | None) -> Sweep:
    """Return the sweep of that id, or of that name: in the new sweep's project, or else in the only one that has it."""
    every = store.sweeps.all()
    for fits in (
        [s for s in every if s.id == name],
        [s for s in every if s.name == name and s.project == project],
        [s for s in every if s.name == name],
    ):
        if len(fits) > 1:
            raise StudyError(
                f"start_from: {len(fits)} sweeps are called {name!r}", f"give an id: {', '.join(s.id for s in fits)}"
            )
        if fits:
            return fits[0]
    raise not_found("sweep", name, [s.name for s in every])


def _earlier(store: Store, sweep: Sweep, config: SweepConfig) -> Earlier:
    old, new = parse(dict(sweep.config), source=f"sweep {sweep.id}").problem, config.problem
    if len(old.metrics) != 1:
        raise StudyError(
            f"start_from: {sweep.name} has {len(old.metrics)} metrics", "name sweeps with one: results are ranked by it"
        )
    if (old.metric.name, old.metric.goal) == (new.metric.name, _other(new)):
        raise StudyError(
            f"start_from: {sweep.name} is to {old.metric.goal.value} {old.metric.name}, this sweep to {new.metric.goal.value} it",
            "set the goals right, or leave that sweep out",
        )
    found = taken(sweep.name, old, history_of(store, sweep.id).in_order())
    if not any(past.loss is not None for past in found.trials):
        raise StudyError(f"start_from: {sweep.name} has no results yet", "wait for some, or leave that sweep out")
    if config.define_by_run and not new.space:
        return found  # nobody knows yet what they have in common
    if not any(name in new.space for name in old.space):
        raise StudyError(
            f"start_from: {sweep.name} has no parameter of this sweep; it has {', '.join(old.space)}",
            f"this sweep has {', '.join(new.space)}: give the same things the same names, or leave that sweep out",
        )
    if not any(overlap(new.space, past.params) and past.loss is not None for past in found.trials):
        raise StudyError(
            f"start_from: no result of {sweep.name} lies in the ranges of this sweep",
            "widen the ranges, or leave that sweep out",
        )
    return found


def _other(problem: Problem) -> object:
    goals = list(type(problem.metric.goal))
    return goals[1 - goals.index(problem.metric.goal)]


def taken(name: str, problem: Problem, trials: Sequence[Trial]) -> Earlier:
    """Return what is taken of a sweep's trials: at most 100, the best half of them and an even choice of the others, the best first.

    Complete ones come first, by their result, then those that broke a limit, those that were stopped early, and the failed ones. A result
    that is no finite number counts as failed.
    """
    ranked: list[tuple[tuple[int, float, int], Past]] = []
    for trial in trials:
        if not trial.params or not trial.phase.is_over or trial.phase is Phase.CANCELED:
            continue
        values = trial.values if trial.complete else None
        if values is None and trial.phase is Phase.FINISHED and trial.stopped and trial.reports:
            values = trial.reports[-1].values
        loss = math.nan if values is None else problem.losses(values)[0]
        if not math.isfinite(loss):
            ranked.append(((3, 0.0, trial.number), Past(number=trial.number, params=trial.params, loss=None)))
            continue
        place = 2 if not trial.complete else 0 if problem.keeps(trial) else 1
        ranked.append(((place, loss, trial.number), Past(number=trial.number, params=trial.params, loss=loss)))
    ranked.sort(key=lambda pair: pair[0])
    return Earlier(name=name, trials=tuple(thinned([past for _, past in ranked], _MOST)))
