"""The best trial."""

from __future__ import annotations

from collections.abc import Iterable

from whet.errors import StudyError
from whet.trial import Problem, Trial

__all__ = ["best_trial", "why_none"]


def best_trial(problem: Problem, trials: Iterable[Trial]) -> Trial:
    """Return the complete trial with the best value of the only metric that keeps all limits; of equal ones the one with the lowest number.

    Args:
        problem: With one metric.
        trials: In any phase and order; only the complete ones can be the best.

    Raises:
        StudyError: no trial is complete, none keeps the limits (it names the nearest), or there are several metrics (see `whet.analysis.pareto.pareto_front`).
    """
    goal = problem.metric.goal
    trials = list(trials)
    ranked = [(goal.loss(t.values[0]), t.number, t) for t in trials if t.values is not None and problem.counts(t)]
    if not ranked:
        if why := why_none(problem, trials):
            raise StudyError(why, "run more trials, or loosen the limits")
        raise StudyError("no trial is complete, so there is no best one", "run a trial to its end first")
    return min(ranked, key=lambda entry: entry[:2])[2]


def why_none(problem: Problem, trials: Iterable[Trial]) -> str:
    """Return that no complete trial keeps the limits, and which is the nearest, in words; empty where one keeps them, or none is complete.

    Example:
        >>> from whet.space import Space
        >>> from whet.trial import Limit, Phase
        >>> problem = Problem(space=Space({}), limits=(Limit(name="latency_ms", max=20),))
        >>> why_none(problem, [Trial(number=7, params={}, phase=Phase.FINISHED, values=(1.0,), attrs={"latency_ms": 23.1})])
        'no trial keeps the limits yet: the nearest is trial 7, latency_ms 23.1 above 20'
    """
    complete = [t for t in trials if t.complete]
    if not complete or any(problem.keeps(t) for t in complete):
        return ""
    scales = problem.scales(complete)
    nearest = min(complete, key=lambda t: (problem.off(t, scales), t.number))
    return f"no trial keeps the limits yet: the nearest is trial {nearest.number}, {problem.broken(nearest)}"
