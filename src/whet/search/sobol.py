"""Sobol search: a scrambled low-discrepancy sequence, which fills the space more evenly than chance."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any, final

from whet.errors import SpaceError
from whet.search.base import Searcher
from whet.trial import Problem, Suggestion

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Sobol"]

_BLOCK = 256
_DRAWS = 10_000
_DIMS = 21_201  # what the table of direction numbers covers


@final
class Sobol(Searcher):
    """Takes the n-th trial from the n-th point of a scrambled Sobol sequence.

    With constraints, trial n takes the n-th point that keeps them; where 10,000 in a row don't, that trial and all later ones are
    draws at random. Conditional parameters have a coordinate each, left
    unused where they are inactive. The random shift and scrambling come from the seed alone.

    Raises:
        SpaceError: more than 21,201 parameters; or, when asked, no configuration fulfils the constraints.

    Example:
        >>> from whet.space import Float, Space
        >>> sobol = Sobol(Problem(space=Space({"x": Float(0, 1), "y": Float(0, 1)})), seed=0)
        >>> sum(s.params["x"] < 0.5 for s in sobol.ask(64))
        32

    Source: Owen, Scrambling Sobol' and Niederreiter-Xing points, J. Complexity 1998; Joe & Kuo 2008 (direction numbers).
    """

    suits = "A look around that covers the space more evenly than random draws."

    learns = False

    def __init__(self, problem: Problem, *, seed: int) -> None:
        super().__init__(problem, seed=seed)
        if len(problem.space) > _DIMS:
            raise SpaceError(f"Sobol has {_DIMS:,} dimensions, not {len(problem.space):,}", "use method: random")
        self._engine: Any = None
        self._block: tuple[int, list[list[float]]] = (-1, [])
        self._legal: list[int] = []  # the first points that keep the constraints
        self._looked_at = 0
        self._last = sys.maxsize  # the first trial for which the sequence is too sparse

    def ask(self, n: int) -> list[Suggestion]:
        first = self.next_number
        return [self.at(first + i) for i in range(n)]

    def at(self, number: int) -> Suggestion:
        return Suggestion(params=self._configuration(number))

    def _configuration(self, number: int) -> dict[str, object]:
        space = self.problem.space
        if not space.constraints:
            return space.decode(self._point(number))
        misses = 0
        while len(self._legal) <= number < self._last:
            if space.broken(space.decode(self._point(self._looked_at))):
                misses += 1
                if misses == _DRAWS:
                    self._last = len(self._legal)
            else:
                misses = 0
                self._legal.append(self._looked_at)
            self._looked_at += 1
        if number >= self._last:
            return space.sample(self.rng(number))
        return space.decode(self._point(self._legal[number]))

    def _point(self, index: int) -> list[float]:
        if not len(self.problem.space):
            return []
        block, place = divmod(index, _BLOCK)
        if self._block[0] != block:
            self._block = (block, self._points(block * _BLOCK).tolist())
        return self._block[1][place]

    def _points(self, start: int) -> np.ndarray[Any, Any]:
        """Return points `start` … `start` + 255: whole blocks cost about the same as single points."""
        import numpy as np
        from scipy.stats import qmc  # 0.5 s to import

        if self._engine is None or self._engine.num_generated > start:
            generator = np.random.Generator(np.random.PCG64(random.Random(f"{self.seed}/sobol").getrandbits(64)))
            self._engine = qmc.Sobol(len(self.problem.space), scramble=True, seed=generator)
        if start > self._engine.num_generated:
            self._engine.fast_forward(start - self._engine.num_generated)
        points: np.ndarray[Any, Any] = self._engine.random(_BLOCK)
        return points
