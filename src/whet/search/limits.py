"""How far trials are off the limits of their sweep: the one rule by which searchers that rank put those that keep them first.

What keeps all limits comes before what does not, and of the latter the nearer one comes first, whatever its loss (Deb's rule).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import final

from whet.trial import Phase, Problem, Trial

__all__ = ["Limits", "held_against", "milestone"]

_GROWTH = 1.1  # it is learnt anew after so many times the trials
_EVERY = 20  # up to here, at every trial


@final
class Limits:
    """How far off the trials of a growing history are.

    Excesses are measured in the interquartile range of what they exceed, over the first 20, 22, 24, 26 … trials by number: so the order
    of old trials changes seldom, and is a function of the history. With one limit it never does.

    Args:
        problem: Whose limits; without any, every trial is 0 off.

    Example:
        >>> from whet.space import Space
        >>> from whet.trial import Limit
        >>> limits = Limits(Problem(space=Space({}), limits=(Limit(name="size", max=10),)))
        >>> done = [Trial(number=i, params={}, phase=Phase.FINISHED, values=(0.0,), attrs={"size": s}) for i, s in enumerate([9, 14])]
        >>> limits.learn(done), [limits.off(i) > 0 for i in range(2)]
        (False, [False, True])

    Source: Deb, An efficient constraint handling method for genetic algorithms, CMAME 2000.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._excesses: dict[int, tuple[float, ...]] = {}
        self._over: list[tuple[int, Trial]] = []  # by number; kept with several limits only
        self._basis: list[int] = []
        self._scales = (1.0,) * len(problem.limits)

    def __bool__(self) -> bool:
        return bool(self._problem.limits)

    def learn(self, finished: Sequence[Trial]) -> bool:
        """Take in trials that are newly over, and return whether trials that were known before may be ordered otherwise now."""
        if not self:
            return False
        for trial in finished:
            self._excesses[trial.number] = held_against(self._problem, trial)
        if len(self._problem.limits) == 1:
            return False
        for trial in finished:
            if trial.phase is not Phase.CANCELED:
                insort(self._over, (trial.number, trial), key=lambda known: known[0])
        count = milestone(len(self._over))
        last = self._basis[-1] if self._basis else -1
        if count == len(self._basis) and all(trial.number > last for trial in finished):
            return False  # so it is mostly, and then not all of them are looked at
        first = self._over[:count]
        self._basis = [number for number, _ in first]
        scales = self._problem.scales(trial for _, trial in first)
        changes = scales != self._scales
        self._scales = scales
        return changes

    def off(self, number: int) -> float:
        """Return how far a trial is off: 0 where it keeps all limits, infinite where it did not report a value."""
        excesses = self._excesses.get(number, ())
        return sum(excess / scale for excess, scale in zip(excesses, self._scales, strict=False))


def held_against(problem: Problem, trial: Trial) -> tuple[float, ...]:
    """Return how far `trial` is off each limit, infinitely far where it did not report the value.

    A trial that is not complete had no time to report all of them: what it did not report is not held against it.
    """
    excesses = problem.excesses(trial)
    if trial.complete or not any(excesses):
        return excesses
    given = (problem.measured(limit.name, trial) is not None for limit in problem.limits)
    return tuple(excess if is_given else 0.0 for excess, is_given in zip(excesses, given, strict=True))


def milestone(count: int) -> int:
    """Return the greatest number of trials, not above `count`, at which what is costly to learn is learnt anew."""
    if count <= _EVERY:
        return count
    found = float(_EVERY)
    while int(found * _GROWTH) <= count:
        found = int(found * _GROWTH)
    return int(found)
