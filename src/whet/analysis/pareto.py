"""The Pareto front: the trials that no other trial beats in every metric."""

from __future__ import annotations

from collections.abc import Iterable

from whet.trial import Problem, Trial

__all__ = ["pareto_front"]


def pareto_front(problem: Problem, trials: Iterable[Trial]) -> list[Trial]:
    """Return the complete trials that keep the limits and are not dominated, the best in the first metric first, equal ones by number.

    A trial dominates another if it is at least as good in every metric and better in one; trials with equal values don't
    dominate each other. Costs O(n log n) for one and two metrics, and O(n · front) for more.

    Args:
        problem: With any number of metrics; with one, the front is all trials that share the best value.
        trials: In any phase and order.
    """
    import numpy as np

    from whet.fronts import nondominated

    entries = [(problem.losses(t.values), t) for t in trials if t.values is not None and problem.counts(t)]
    if not entries:
        return []
    kept = nondominated(np.array([losses for losses, _ in entries]))
    front = [entry for entry, on_front in zip(entries, kept, strict=True) if on_front]
    return [trial for _, trial in sorted(front, key=lambda entry: (entry[0], entry[1].number))]
