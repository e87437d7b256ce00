"""The best points of a growing set in several metrics, by rank, at a cost that does not grow with the set."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from whet.fronts import dominates, ranks
from whet.search.limits import Limits
from whet.trial import Problem, Trial

__all__ = ["KeptLayers", "Layers"]

Array = np.ndarray[Any, np.dtype[Any]]


@final
class Layers:
    """The points of a growing set by rank (see `ranks`); the layers depend on the set alone, not on the order in which points came.

    With one or two metrics adding a point costs nothing, and asking for the first layers takes the points of twice as many and those that
    are new: all points are looked at only when many were pushed out of these layers. With more, adding a point costs O(layer) for each of
    the log₂ layers that its rank is found by, and for each layer out of which it, or what it pushed down, pushes others.

    Example:
        >>> layers = Layers()
        >>> for label, losses in enumerate([(1.0, 3.0), (2.0, 4.0), (3.0, 1.0)]):
        ...     layers.add(losses, label)
        >>> layers.first(2)
        [[0, 2]]

    Source: Li et al., Efficient Non-domination Level Update Method for Steady-State Evolutionary Multiobjective Optimization, IEEE
    Trans. Cybern. 2017, for more than two metrics.
    """

    def __init__(self) -> None:
        self._losses: list[Array] = []
        self._labels: list[Array] = []
        self._few: _FewLayers | None = None

    def add(self, losses: Sequence[float], label: int) -> None:
        """Take in a point without NaN; `label` finds it again."""
        if len(losses) <= 2:
            self._few = self._few or _FewLayers()
            self._few.add(tuple(losses), label)
            return
        coming, names = np.array([losses], dtype=float), np.array([label])
        # A point that a layer beats is beaten by all layers above it.
        place = bisect_left(self._losses, True, key=lambda layer: not dominates(layer, coming).any())
        while len(coming) and place < len(self._losses):
            layer, labels = self._losses[place], self._labels[place]
            # What comes is the new point, or what it pushed out of the layer above: no point of this one dominates it.
            pushed = dominates(coming[:, None, :], layer[None, :, :]).any(axis=0)
            self._losses[place] = np.concatenate([layer[~pushed], coming])
            self._labels[place] = np.concatenate([labels[~pushed], names])
            coming, names = layer[pushed], labels[pushed]
            place += 1
        if len(coming):
            self._losses.append(coming)
            self._labels.append(names)

    def first(self, count: int) -> list[list[int]]:
        """Return the labels of the best layers, each sorted, as many layers as hold `count` points (all, if there are fewer points)."""
        if self._few is not None:
            return self._few.first(count)
        found: list[list[int]] = []
        held = 0
        for labels in self._labels:
            if held >= count:
                break
            found.append(sorted(labels.tolist()))
            held += len(labels)
        return found


@final
class KeptLayers:
    """The layers of trials with several metrics (see `Layers`): first of those that keep the limits, then each of the others by itself, the nearest first.

    Args:
        problem: Its metrics and limits.
    """

    view: Callable[[Trial], Trial] | None = None
    """As in `Standings`."""

    def __init__(self, problem: Problem) -> None:
        self.losses: dict[int, tuple[float, ...]] = {}
        """Of the trials that are in a layer, by number."""
        self._problem = problem
        self._limits = Limits(problem)
        self._layers = Layers()
        self._unkept: list[int] = []

    def learn(self, finished: Sequence[Trial]) -> None:
        """Take in trials that are newly over; those without a result are in no layer."""
        self._limits.learn(finished)
        for trial in finished:
            seen = trial if self.view is None else self.view(trial)
            if not seen.complete or seen.values is None:
                continue
            losses = self.losses[trial.number] = self._problem.losses(seen.values)
            if self._limits.off(trial.number):
                self._unkept.append(trial.number)
            else:
                self._layers.add(losses, trial.number)

    def first(self, count: int) -> list[list[int]]:
        """Return the numbers of the best layers, as many layers as hold `count` trials (all, if there are fewer)."""
        found = self._layers.first(count)
        missing = count - sum(map(len, found))
        if missing > 0 and self._unkept:
            self._unkept.sort(key=lambda number: (self._limits.off(number), number))
            found += [[number] for number in self._unkept[:missing]]
        return found


@final
class _FewLayers:
    """The same for one or two metrics, whose ranks are found fast: those of the first layers, and of all points when these run out."""

    def __init__(self) -> None:
        self._losses: list[tuple[float, ...]] = []
        self._labels: list[int] = []
        self._layers: list[list[int]] = []  # places in both lists
        self._seen = 0  # of these points, those in no layer lie below all layers
        self._most = 0  # points that were asked for

    def add(self, losses: tuple[float, ...], label: int) -> None:
        self._losses.append(losses)
        self._labels.append(label)

    def first(self, count: int) -> list[list[int]]:
        self._most = max(self._most, count)
        total = len(self._losses)
        if self._seen < total:
            # A point that left is below as many layers as there are, and so is what it beats: without it these layers are the same.
            places = [*(place for layer in self._layers for place in layer), *range(self._seen, total)]
            self._layers = self._layered(places)[: len(self._layers)]
            self._seen = total
        held = sum(map(len, self._layers))
        if held < min(count, total):
            self._layers = self._layered(range(total))
        self._shorten()
        found: list[list[int]] = []
        held = 0
        for layer in self._layers:
            if held >= count:
                break
            found.append(sorted(self._labels[place] for place in layer))
            held += len(layer)
        return found

    def _layered(self, places: Sequence[int]) -> list[list[int]]:
        rank_N = ranks(np.array([self._losses[place] for place in places], dtype=float))
        found: list[list[int]] = [[] for _ in range(int(rank_N.max(initial=-1)) + 1)]
        for place, rank in zip(places, rank_N.tolist(), strict=True):
            found[rank].append(place)
        return found

    def _shorten(self) -> None:
        """Leave as many layers as hold twice the most that was asked for, so that it takes long until they run out."""
        held = 0
        for depth, layer in enumerate(self._layers):
            if held >= 2 * self._most:
                del self._layers[depth:]
                return
            held += len(layer)
