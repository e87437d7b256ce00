"""Random search: independent draws from the parameters' own distributions."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct
from typing import final

from whet.search.base import Searcher
from whet.search.history import Key, key
from whet.trial import Problem, Suggestion, Trial

__all__ = ["Random"]

_SMALL = 10_000
_TRIES = 30
_EIGHT = Struct("<8Q").unpack
_STEP = 2.0**-53


@final
class _Stream:
    """Uniform floats of 53 bits, eight from each digest of (seed, number, count): `random.Random` costs more to seed than a whole configuration to draw."""

    __slots__ = ("_left", "_text", "_turn")

    def __init__(self, seed: int, number: int) -> None:
        self._text = f"{seed}/{number}/"
        self._turn = 0
        self._left: list[int] = []

    def random(self) -> float:
        if not self._left:
            self._left = list(_EIGHT(blake2b(f"{self._text}{self._turn}".encode()).digest()))
            self._turn += 1
        return float(self._left.pop() >> 11) * _STEP


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

    suits = "A baseline, or a look around: any number of trials, each independent of the others."

    learns = False

    def __init__(self, problem: Problem, *, seed: int) -> None:
        super().__init__(problem, seed=seed)
        size = problem.space.size
        self._finite = size is not None and size <= _SMALL
        self._visited: set[Key] = set()

    def _learn(self, finished: Sequence[Trial]) -> None:
        if self._finite:
            self._visited.update(key(self.problem.space, trial.params) for trial in finished)

    def at(self, number: int) -> Suggestion | None:
        return None if self._finite else self._drawn(number)

    def _drawn(self, number: int) -> Suggestion:
        return Suggestion(params=self.problem.space.sample(_Stream(self.seed, number)))

    def ask(self, n: int) -> list[Suggestion]:
        space, first = self.problem.space, self.next_number
        if not self._finite:
            return [self._drawn(first + i) for i in range(n)]
        taken = self._visited.union(key(space, trial.params) for trial in self.pending)
        suggestions = []
        for i in range(n):
            rng = _Stream(self.seed, first + i)
            params = space.sample(rng)
            tries = _TRIES if len(taken) < (space.size or 0) else 0
            while tries and key(space, params) in taken:
                params = space.sample(rng)
                tries -= 1
            taken.add(key(space, params))
            suggestions.append(Suggestion(params=params))
        return suggestions
