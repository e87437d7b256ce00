"""The last step of a searcher that proposes points: the first that is legal and new."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import final

from whet.search.history import Key, key
from whet.space import Space
from whet.trial import Trial

__all__ = ["Chooser"]

_SMALL = 10_000  # combinations up to which it can happen that all have been tried
_REDRAWS = 30


@final
class Chooser:
    """Keeps constraints by rejection, at last by plain sampling, and avoids repeats while there are other configurations.

    That there are others is told by the number of combinations, which counts those that conditions make equal or constraints rule out: where
    all the others are tried, or 30 draws find none, a configuration is repeated.

    Args:
        space: Of the configurations.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        size = space.size
        self._size = size if size is not None and size <= _SMALL else None
        self._visited: set[Key] = set()

    def learn(self, finished: Iterable[Trial]) -> None:
        """Take in what has been tried."""
        self._visited.update(key(self._space, trial.params) for trial in finished)

    def choose(
        self, units: Iterable[Sequence[float]], pending: Iterable[Mapping[str, object]], rng: random.Random
    ) -> dict[str, object]:
        """Return the configuration of the first point of the unit cube that is legal and neither tried nor pending.

        Args:
            units: The points, the best first; they are read only as far as needed.
            pending: Configurations that are under way.
            rng: For plain sampling, when all points are refused.
        """
        space = self._space
        taken = {key(space, params) for params in pending}
        avoid = self._size is None or len(self._visited) + len(taken) < self._size
        for unit in units:
            params = space.decode(unit)
            if space.constraints and space.broken(params):
                continue
            if not avoid or not self._is_taken(params, taken):
                return params
        params = space.sample(rng)
        for _ in range(_REDRAWS if avoid else 0):
            if not self._is_taken(params, taken):
                break
            params = space.sample(rng)
        return params

    def _is_taken(self, params: Mapping[str, object], taken: set[Key]) -> bool:
        label = key(self._space, params)
        return label in self._visited or label in taken
