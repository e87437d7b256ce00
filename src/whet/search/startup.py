"""Where model-based searchers begin."""

from __future__ import annotations

import functools
import random

from whet.parameters import Choice
from whet.space import Space

__all__ = ["hypercube"]


def hypercube(seed: int, count: int, space: Space, number: int) -> list[float]:
    """Return point `number` of a Latin hypercube of `count` points in the unit cube; points after its last are independent.

    Point 0 has all numbers in the middle: people choose ranges around what they believe in.
    """
    points = _hypercube(seed, count, len(space))
    if number >= len(points):
        rng = random.Random(f"{seed}/{number}")
        return [rng.random() for _ in range(len(space))]
    if number > 0:
        return list(points[number])
    middle = [not isinstance(p, Choice) or p.ordered for p in space.values()]
    return [0.5 if is_number else u for is_number, u in zip(middle, points[0], strict=True)]


@functools.lru_cache(maxsize=64)
def _hypercube(seed: int, count: int, dims: int) -> list[tuple[float, ...]]:
    rng = random.Random(f"{seed}/startup")
    strata = [rng.sample(range(count), count) for _ in range(dims)]
    return [tuple((s + rng.random()) / count for s in point) for point in zip(*strata, strict=True)]
