"""Random search: independent draws from the parameters' own distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from whet.search.base import Searcher
from whet.search.history import Key, key
from whet.trial import Problem, Suggestion, Trial

__all__ = ["Random"]

_SMALL = 10_000
_TRIES = 30


@final
class Random(Searcher):
    """Draws every trial afresh, trial n from the n-th random stream.

    In a finite space of up to 10,000 combinations a draw that repeats an earlier or pending trial is drawn again, up to 30
    times, so that small spaces are covered sooner; the search never ends by itself, and where all has been tried it repeats.

    Example:
        >>> from whet.space import Float, Space
        >>> searcher = Random(Problem(space=Space({"lr": Float(1e-4, 1e-1, log=True)})), seed=0)
        >>> 1e-4 <= searcher.ask(1)[0].params["lr"] <= 1e-1
        True

    Source: Bergstra & Bengio, Random Search for Hyper-Parameter Optimization, JMLR 2012.
    """

    learns = False

    def __init__(self, problem: Problem, *, seed: int) -> None:
        super().__init__(problem, seed=seed)
        size = problem.space.size
        self._finite = size is not None and size <= _SMALL
        self._visited: set[Key] = set()

    def _learn(self, finished: Sequence[Trial]) -> None:
        if self._finite:
            self._visited.update(key(self.problem.space, trial.params) for trial in finished)

    def ask(self, n: int) -> list[Suggestion]:
        space, first = self.problem.space, self.next_number
        if not self._finite:
            return [Suggestion(params=space.sample(self.rng(first + i))) for i in range(n)]
        taken = self._visited.union(key(space, trial.params) for trial in self.pending)
        suggestions = []
        for i in range(n):
            rng = self.rng(first + i)
            params = space.sample(rng)
            tries = _TRIES if len(taken) < (space.size or 0) else 0
            while tries and key(space, params) in taken:
                params = space.sample(rng)
                tries -= 1
            taken.add(key(space, params))
            suggestions.append(Suggestion(params=params))
        return suggestions
