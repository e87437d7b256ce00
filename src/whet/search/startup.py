"""Where model-based searchers begin."""

from __future__ import annotations

import functools
import random

__all__ = ["hypercube"]


def hypercube(seed: int, count: int, dims: int, number: int) -> list[float]:
    """Return point `number` of a Latin hypercube of `count` points in the unit cube; points after its last are independent."""
    points = _hypercube(seed, count, dims)
    if number < len(points):
        return list(points[number])
    rng = random.Random(f"{seed}/{number}")
    return [rng.random() for _ in range(dims)]


@functools.lru_cache(maxsize=64)
def _hypercube(seed: int, count: int, dims: int) -> list[tuple[float, ...]]:
    rng = random.Random(f"{seed}/startup")
    strata = [rng.sample(range(count), count) for _ in range(dims)]
    return [tuple((s + rng.random()) / count for s in point) for point in zip(*strata, strict=True)]
