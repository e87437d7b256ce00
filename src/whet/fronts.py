"""Losses in several metrics at once: who beats whom, in which order, and how much space a set of them covers.

Smaller is better in every column. Shape suffixes: N points, M metrics, K boxes. NaN in a row means that it beats nobody.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np

__all__ = [
    "boxes",
    "contributions",
    "dominates",
    "evenly",
    "hypervolume",
    "nondominated",
    "ranks",
    "reference",
    "spread",
]

Array = np.ndarray[Any, np.dtype[Any]]

_MOST_SPREAD = 500  # points that `spread` looks at


def dominates(a_NM: Array, b_NM: Array) -> Array:
    """Return, row by row, whether a is at least as good as b in every metric and better in one.

    Args:
        a_NM, b_NM: Losses; shapes that numpy can bring together.
    """
    found: Array = np.logical_and((a_NM <= b_NM).all(axis=-1), (a_NM < b_NM).any(axis=-1))
    return found


def nondominated(loss_NM: Array) -> Array:
    """Return N booleans: True for the points that no other point dominates; points that are equal don't dominate each other.

    Costs O(N log N) for one and two metrics, and O(N · front) for more.

    Args:
        loss_NM: Losses; rows with NaN are dominated.

    Example:
        >>> nondominated(np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 3.0], [3.0, 1.0]])).tolist()
        [True, True, False, True]
    """
    loss_NM = np.asarray(loss_NM, dtype=float)
    N, M = loss_NM.shape
    kept = np.zeros(N, dtype=bool)
    valid = np.flatnonzero(~np.isnan(loss_NM).any(axis=1))
    if not len(valid) or not M:
        kept[valid] = True
        return kept
    order = np.lexsort(loss_NM[valid].T[::-1])  # by the first metric, then the next
    ranked = loss_NM[valid][order]
    is_new = np.concatenate([[True], (ranked[1:] != ranked[:-1]).any(axis=1)])
    points = ranked[is_new]
    if M <= 2:
        last = points[:, -1]
        best_before = np.concatenate([[np.inf], np.minimum.accumulate(last)[:-1]])
        front = last < best_before if M == 2 else np.arange(len(points)) == 0
        front[0] = True  # also where its last loss is infinite
    else:
        front = np.zeros(len(points), dtype=bool)
        rest = np.arange(len(points))
        while len(rest):  # in this order the first of the rest is dominated by none of it
            front[rest[0]] = True
            rest = rest[(points[rest] < points[rest[0]]).any(axis=1)]
    kept[valid[order]] = front[np.cumsum(is_new) - 1]
    return kept


def ranks(loss_NM: Array) -> Array:
    """Return the rank of each point: 0 on the front, 1 on the front of the rest, and so on; the last rank for NaN.

    Costs O(N log N) for one and two metrics; for more, fronts are taken off one by one.

    Args:
        loss_NM: Losses.

    Example:
        >>> ranks(np.array([[1.0, 3.0], [2.0, 4.0], [3.0, 1.0], [4.0, 4.0]])).tolist()
        [0, 1, 0, 2]

    Source: Deb et al., A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, IEEE TEVC 2002.
    """
    loss_NM = np.asarray(loss_NM, dtype=float)
    rank_N = np.zeros(len(loss_NM), dtype=np.intp)
    lost = np.isnan(loss_NM).any(axis=1)
    rest, rank = np.flatnonzero(~lost), 0
    if loss_NM.shape[1] in (1, 2):
        rank_N[rest] = _few_ranks(loss_NM[rest])
        rank = int(rank_N[rest].max(initial=-1)) + 1
        rest = rest[:0]
    while len(rest):
        front = nondominated(loss_NM[rest])
        rank_N[rest[front]] = rank
        rest, rank = rest[~front], rank + 1
    rank_N[lost] = rank
    return rank_N


def _few_ranks(loss_NM: Array) -> Array:
    """Return the ranks of points in one or two metrics, none of them NaN."""
    if loss_NM.shape[1] == 1:
        return np.unique(loss_NM[:, 0], return_inverse=True)[1].reshape(-1)
    order = np.lexsort((loss_NM[:, 1], loss_NM[:, 0]))
    found = np.zeros(len(loss_NM), dtype=np.intp)
    # In this order a front beats the next point if the least second loss in it, which is its latest one, is not above the point's. These
    # least ones rise from front to front.
    least: list[float] = []
    before, rank = None, 0
    for i, point in zip(order.tolist(), loss_NM[order].tolist(), strict=True):
        if point != before:  # twins don't beat each other
            rank = bisect_right(least, point[1])
            least[rank : rank + 1] = [point[1]]
            before = point
        found[i] = rank
    return found


def reference(loss_NM: Array, margin: float = 0.1) -> Array:
    """Return a point that lies beyond the worst of each metric by a share of its range (at least by a little).

    Args:
        loss_NM: Finite losses, at least one.
        margin: The share, >= 0.
    """
    worst, best = loss_NM.max(axis=0), loss_NM.min(axis=0)
    found: Array = worst + margin * (worst - best) + 1e-9 * np.maximum(np.abs(worst), 1.0)
    return found


def hypervolume(loss_NM: Array, reference_M: Array) -> float:
    """Return the volume that the points dominate below the reference point; points that are not below it add nothing.

    Exact: a sweep for up to three metrics, O(N log N); for more the recursion of WFG, which grows fast with the number of metrics.

    Args:
        loss_NM: Losses.
        reference_M: Finite.

    Example:
        >>> hypervolume(np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([3.0, 3.0]))
        3.0

    Source: While, Bradstreet & Barone, A Fast Way of Calculating Exact Hypervolumes, IEEE TEVC 2012 (WFG).
    """
    loss_NM, reference_M = np.asarray(loss_NM, dtype=float), np.asarray(reference_M, dtype=float)
    if loss_NM.ndim != 2 or not len(loss_NM):
        return 0.0
    inside = (loss_NM < reference_M).all(axis=1)
    points = loss_NM[inside]
    if not len(points):
        return 0.0
    return _volume(points[nondominated(points)], reference_M)


def _volume(points: Array, reference_M: Array) -> float:
    """Return the volume of points that don't dominate each other (equal ones may be there)."""
    M = points.shape[1]
    if len(points) == 1:
        return float(np.prod(reference_M - points[0]))
    if M == 1:
        return float(reference_M[0] - points.min())
    if M == 2:
        points = points[np.lexsort((points[:, 1], points[:, 0]))]
        above = np.concatenate([reference_M[1:], points[:-1, 1]])
        return float((reference_M[0] - points[:, 0]) @ (above - points[:, 1]))
    if M == 3:
        return _volume3(points[points[:, 2].argsort(kind="stable")].tolist(), reference_M.tolist())
    points = points[points[:, -1].argsort(kind="stable")]
    total = 0.0
    for i, point in enumerate(points):
        total += float(np.prod(reference_M - point))
        if i + 1 < len(points):
            limited = np.maximum(points[i + 1 :], point)
            # All of them share the last coordinate's order, so that the common part is a volume of as many points at most.
            total -= _volume(limited[nondominated(limited)], reference_M)
    return total


def _volume3(points: list[list[float]], reference_M: list[float]) -> float:
    """Return the volume of points sorted by their third loss: slices, each with the area of those seen so far."""
    far_x, far_y, far_z = reference_M
    xs, ys = [-np.inf, far_x], [far_y, -np.inf]  # the stairs: x rises, y falls; sentinels at both ends
    area, volume, before = 0.0, 0.0, points[0][2]
    for x, y, z in points:
        volume += area * (z - before)
        before = z
        first = bisect_left(xs, x)
        if ys[first - 1] <= y or (xs[first] == x and ys[first] <= y):
            continue  # covered by an earlier one
        last = first
        left, height = x, ys[first - 1]
        while ys[last] >= y:  # these are behind the new one
            area += (xs[last] - left) * (height - y)
            left, height = xs[last], ys[last]
            last += 1
        area += (xs[last] - left) * (height - y)
        xs[first:last], ys[first:last] = [x], [y]
    return volume + area * (far_z - before)


def contributions(loss_NM: Array, reference_M: Array) -> Array:
    """Return for each point the volume that would be lost without it; 0 for points that are dominated or have a twin.

    Args:
        loss_NM: Losses.
        reference_M: Finite.

    Example:
        >>> contributions(np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0]]), np.array([3.0, 3.0])).tolist()
        [1.0, 1.0, 0.0]
    """
    loss_NM, reference_M = np.asarray(loss_NM, dtype=float), np.asarray(reference_M, dtype=float)
    found = np.zeros(len(loss_NM))
    inside = (loss_NM < reference_M).all(axis=1)
    points, places = loss_NM[inside], np.flatnonzero(inside)
    for i in np.flatnonzero(nondominated(points)):
        shared = hypervolume(np.maximum(np.delete(points, i, axis=0), points[i]), reference_M)
        found[places[i]] = max(float(np.prod(reference_M - points[i])) - shared, 0.0)
    return found


def spread(loss_NM: Array, count: int, reference_M: Array) -> list[int]:
    """Return the places of `count` points that cover much of the volume: greedily, each the one that adds most.

    Greedy choice covers at least 1 − 1/e of what the best choice does. Of more than 500 points an even choice is looked at, so that the
    cost is bounded.

    Args:
        loss_NM: Finite losses.
        count: Points wanted; all, if there are not more.
        reference_M: Finite.

    Example:
        >>> spread(np.array([[0.0, 1.0], [0.1, 0.9], [1.0, 0.0]]), 2, np.array([2.0, 2.0]))
        [1, 2]

    Source: Guerreiro, Fonseca & Paquete, Greedy Hypervolume Subset Selection in Low Dimensions, Evol. Comput. 2016.
    """
    N = len(loss_NM)
    if count >= N:
        return list(range(N))
    places = np.arange(N)
    if max(_MOST_SPREAD, count) < N:
        order = np.lexsort(loss_NM.T[::-1])
        places = np.sort(order[np.linspace(0, N - 1, max(_MOST_SPREAD, count)).astype(int)])
    points = loss_NM[places]
    whole = np.prod(np.maximum(reference_M - points, 0.0), axis=1)
    bound, taken = whole.copy(), list[int]()  # a bound on what each adds: it only falls as more are taken
    while len(taken) < count:
        best, top = -1, -1.0
        for i in (-bound).argsort(kind="stable").tolist():
            if bound[i] <= top:
                break
            if taken:
                limited = np.maximum(points[taken], points[i])
                bound[i] = min(bound[i], max(whole[i] - hypervolume(limited, reference_M), 0.0))
            if bound[i] > top:
                best, top = i, float(bound[i])
        taken.append(best)
        # What two points share is at least what each of the rest shares with the new one.
        shared = np.prod(np.maximum(reference_M - np.maximum(points, points[best]), 0.0), axis=1)
        bound = np.minimum(bound, whole - shared)
        bound[taken] = -np.inf
    return sorted(int(places[i]) for i in taken)


def evenly(front_NM: Array, most: int) -> Array:
    """Return a front of bounded size: an even choice in the order of the first metric, both ends kept.

    Args:
        front_NM: Losses.
        most: How many points stay, >= 2.

    Example:
        >>> evenly(np.array([[3.0, 0.0], [0.0, 3.0], [1.0, 2.0], [2.0, 1.0]]), 3)
        array([[0., 3.],
               [1., 2.],
               [3., 0.]])
    """
    if len(front_NM) <= most:
        return front_NM
    order = np.lexsort(front_NM.T[::-1])
    found: Array = front_NM[order[np.linspace(0, len(order) - 1, most).astype(int)]]
    return found


def boxes(loss_NM: Array, reference_M: Array) -> tuple[Array, Array]:
    """Return disjoint boxes (lower_KM, upper_KM) that make up the region below the reference point that no point dominates.

    Lower corners may be −∞. A new point y adds the volume Σ_k Π_m (upper − max(lower, y))₊. K is N + 1 for two metrics, about 2 N for
    three, and grows as N^⌊M/2⌋.

    Args:
        loss_NM: Finite losses; may be empty.
        reference_M: Finite.

    Example:
        >>> boxes(np.array([[1.0, 1.0]]), np.array([2.0, 2.0]))
        (array([[-inf, -inf],
               [  1., -inf]]), array([[1., 2.],
               [2., 1.]]))

    Source: Lacour, Klamroth & Fonseca, A Box Decomposition Algorithm to Compute the Hypervolume Indicator, Comput. Oper. Res. 2017;
    Yang et al., Efficient Computation of Expected Hypervolume Improvement, J. Glob. Optim. 2019, on using it for a region upside down.
    """
    reference_M = np.asarray(reference_M, dtype=float)
    M = len(reference_M)
    points = np.asarray(loss_NM, dtype=float).reshape(-1, M)
    points = points[(points < reference_M).all(axis=1)]
    points = np.unique(points[nondominated(points)], axis=0)
    if M == 1:
        return np.full((1, 1), -np.inf), np.minimum(reference_M, points.min(initial=np.inf)).reshape(1, 1)
    if M == 2:
        edges = np.concatenate([[-np.inf], points[:, 0], reference_M[:1]])
        heights = np.concatenate([reference_M[1:], points[:, 1]])
        lower = np.stack([edges[:-1], np.full(len(heights), -np.inf)], axis=1)
        return lower, np.stack([edges[1:], heights], axis=1)
    corners, _ = _upper_corners(points, reference_M)
    # Upside down, the region is what the negative corners dominate: its boxes are those of a dominated region.
    upside = np.unique(-corners, axis=0)
    upside = upside[nondominated(upside)]
    bounds, defining = _upper_corners(upside, np.full(M, np.inf))
    low = np.empty_like(bounds)
    low[:, 0] = defining[:, 0, 0]
    for m in range(1, M):
        low[:, m] = defining[:, :m, m].max(axis=1)
    high = np.concatenate([np.full((len(bounds), 1), np.inf), bounds[:, 1:]], axis=1)
    whole = (low < high).all(axis=1)
    return -high[whole], -low[whole]


def _upper_corners(points: Array, reference_M: Array) -> tuple[Array, Array]:
    """Return the local upper bounds of points in the order of their first loss, and the points that define each."""
    M = len(reference_M)
    corners = reference_M[None, :].copy()
    defining = np.full((1, M, M), -np.inf)  # [k, j]: the point that bounds corner k in metric j
    defining[0, np.arange(M), np.arange(M)] = reference_M
    for point in points:
        hit = (point < corners).all(axis=1)
        if not hit.any():
            continue
        old, old_defining = corners[hit], defining[hit]
        new, new_defining = [], []
        for j in range(M):
            others = np.delete(old_defining, j, axis=1)[:, :, j].max(axis=1)
            fits = (
                point[j] >= others if j else np.ones(len(old), dtype=bool)
            )  # none comes before it in the first metric
            made, made_defining = old[fits].copy(), old_defining[fits].copy()
            made[:, j] = point[j]
            made_defining[:, j] = point
            new.append(made)
            new_defining.append(made_defining)
        corners = np.concatenate([corners[~hit], *new])
        defining = np.concatenate([defining[~hit], *new_defining])
    return corners, defining
