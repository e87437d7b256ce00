"""The Pareto front: the trials that no other trial beats in every metric."""

from __future__ import annotations

from collections.abc import Iterable

from whet.trial import Problem, Trial

__all__ = ["pareto_front"]


def pareto_front(problem: Problem, trials: Iterable[Trial]) -> list[Trial]:
    """Return the complete trials that are not dominated, the best in the first metric first, equal ones by number.

    A trial dominates another if it is at least as good in every metric and better in one; trials with equal values don't
    dominate each other. Costs O(n log n) for one and two metrics, and O(n · front) for more.

    Args:
        problem: With any number of metrics; with one, the front is all trials that share the best value.
        trials: In any phase and order.
    """
    entries = [(problem.losses(t.values), t) for t in trials if t.complete and t.values is not None]
    # In this order a trial can only be dominated by one before it, and if by any, then by one of the front.
    entries.sort(key=lambda entry: (entry[0], entry[1].number))
    front: list[tuple[tuple[float, ...], Trial]] = []
    for losses, trial in entries:
        # Of two metrics the last on the front has the best second one, so it alone decides.
        rivals = front[-1:] if len(losses) <= 2 else front
        if not any(other != losses and all(a <= b for a, b in zip(other, losses, strict=True)) for other, _ in rivals):
            front.append((losses, trial))
    return [trial for _, trial in front]
