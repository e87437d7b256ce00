"""Against random: what a random search would be expected to have found after as many trials."""

from __future__ import annotations

from collections.abc import Sequence

from whet.analysis.surface import Surface
from whet.errors import StudyError
from whet.trial import Goal

__all__ = ["expected_best", "random_best"]


def expected_best(values: Sequence[float], counts: Sequence[int], goal: Goal = Goal.MINIMIZE) -> list[float]:
    """Return the expected best of n draws (with replacement) from `values`, for each n of `counts`.

    Exact for the sample: with the losses sorted, x₁ ≤ … ≤ x_N, the least of n draws is at most x_i with probability
    1 - (1 - i/N)ⁿ. Where the sample was drawn at random, this is the curve that random search has on average, as far as N draws tell;
    beyond n = N it says little.

    Args:
        values: At least one, finite.
        counts: Each at least 1.
        goal: Which way is better.

    Raises:
        StudyError: no values, or a count below 1.

    Example:
        >>> expected_best([1.0, 2.0, 3.0, 4.0], [1, 2])
        [2.5, 1.875]

    Source: Dodge et al., Show Your Work, EMNLP 2019.
    """
    import numpy as np

    if not len(values):
        raise StudyError("there are no values to draw from", "run trials first")
    if any(n < 1 for n in counts):
        raise StudyError(f"counts={list(counts)} has one below 1", "give numbers of draws")
    losses = np.sort([goal.loss(float(v)) for v in values])
    left = 1.0 - np.arange(len(losses) + 1) / len(losses)  # the share of the sample that is worse than the first i
    return [goal.loss(float(-np.diff(left**n) @ losses)) for n in counts]


def random_best(fitted: Surface, counts: Sequence[int]) -> list[float] | None:
    """Return what random search is estimated to have found on average after n trials, for each n of `counts`.

    An estimate, and no measurement: the distribution of results that random search draws from is taken to be what the single trees of
    the forest say of 4,096 configurations drawn from the space. So nothing better than what the sweep has found is ever drawn, and the
    estimate is as good as the forest (see `Fanova.explained`): where the search has never been, a forest knows least. A sweep of
    ``method: random`` settles it.

    Returns:
        None where all results are equal.
    """
    if fitted.forest is None:
        return None
    return expected_best(fitted.drawn().ravel().tolist(), counts, fitted.metric.goal)
