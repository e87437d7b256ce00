"""The best trial."""

from __future__ import annotations

from collections.abc import Iterable

from whet.errors import StudyError
from whet.trial import Problem, Trial

__all__ = ["best_trial"]


def best_trial(problem: Problem, trials: Iterable[Trial]) -> Trial:
    """Return the complete trial with the best value of the only metric; of equal ones the one with the lowest number.

    Args:
        problem: With one metric.
        trials: In any phase and order; only the complete ones can be the best.

    Raises:
        StudyError: no trial is complete, or there are several metrics (see `whet.analysis.pareto.pareto_front`).
    """
    goal = problem.metric.goal
    ranked = [(goal.loss(t.values[0]), t.number, t) for t in trials if t.complete and t.values is not None]
    if not ranked:
        raise StudyError("no trial is complete, so there is no best one", "run a trial to its end first")
    return min(ranked, key=lambda entry: entry[:2])[2]
