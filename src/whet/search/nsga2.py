"""Several objectives by evolution (NSGA-II): parents by rank and crowding, children by crossover and mutation."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from whet.parameters import Choice
from whet.plugins import knob_number, knob_whole
from whet.search.base import Searcher
from whet.search.choosing import Chooser
from whet.search.history import unit
from whet.search.layers import KeptLayers
from whet.search.startup import hypercube
from whet.trial import Problem, Suggestion, Trial

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["NSGA2", "crowding"]

_CHILDREN = 20  # bred until one is legal and new


@final
class NSGA2(Searcher):
    """Breeds each trial from two good ones: numbers by simulated binary crossover and polynomial mutation, options by swap and redraw.

    The parents are the best `population` of ALL finished trials, by rank and within a rank by how much room they have (crowding
    distance); a parent is the better of two drawn from them. So the population is a function of the history: it is renewed with each
    result, no generation has to be waited for, and parallel workers breed from what is known. Failed trials and NaN are no parents.
    A parameter that is inactive in a parent is taken from the other one, or drawn. With one metric it is an elitist genetic algorithm.

    The first trials are a Latin hypercube. Constraints are kept by breeding again, at last by plain sampling. A configuration is not
    repeated while others are found (see `Chooser`).

    Args:
        population: Trials that parents are drawn from, and the number of results before there are any, >= 2.
        crossover: The chance that a child has two parents, in [0, 1].
        mutation: The chance that a parameter mutates, in [0, 1]; None: one of them on average.
        crossover_index, mutation_index: How near to its parents a child is (η), >= 0; the greater the nearer.

    Raises:
        ConfigError: a knob outside its range.

    Example:
        >>> from whet.space import Float, Space
        >>> from whet.trial import Metric, Phase
        >>> two = (Metric(name="loss"), Metric(name="size"))
        >>> searcher = NSGA2(Problem(space=Space({"x": Float(-5, 5)}), metrics=two), seed=1, population=10)
        >>> for number in range(80):
        ...     x = searcher.ask(1)[0].params["x"]
        ...     told = Trial(number=number, params={"x": x}, phase=Phase.FINISHED, values=(x * x, (x - 2) ** 2))
        ...     searcher.tell([told], [])
        >>> -2 < searcher.ask(1)[0].params["x"] < 4
        True

    Source: Deb et al., A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, IEEE TEVC 2002; Deb & Agrawal, Complex Systems
    1995 (SBX). Without generations: Durillo et al., On the Effect of the Steady-State Selection Scheme in NSGA-II, EMO 2009.
    """

    suits = "Several metrics and thousands of cheap trials."

    def __init__(self, problem: Problem, *, seed: int, population: int = 30, crossover: float = 0.9, mutation: float | None = None,
                 crossover_index: float = 10.0, mutation_index: float = 20.0) -> None:  # fmt: skip
        super().__init__(problem, seed=seed)
        self._population = knob_whole("nsga2", "population", population, 2)
        self._crossover = knob_number("nsga2", "crossover", crossover, 0, 1)
        usual = 1.0 / max(len(problem.space), 1)
        self._mutation = usual if mutation is None else knob_number("nsga2", "mutation", mutation, 0, 1)
        self._crossover_index = knob_number("nsga2", "crossover_index", crossover_index, 0)
        self._mutation_index = knob_number("nsga2", "mutation_index", mutation_index, 0)
        self._chooser = Chooser(problem.space)
        self._layers = KeptLayers(problem)
        self._known: dict[int, tuple[tuple[float, ...], Mapping[str, object]]] = {}  # by number: losses, configuration
        self._parents: list[list[float]] | None = None

    def _learn(self, finished: Sequence[Trial]) -> None:
        self._chooser.learn(finished)
        self._layers.learn(finished)
        self._parents = None
        for trial in finished:
            if trial.complete and trial.values is not None:
                self._known[trial.number] = self.problem.losses(trial.values), trial.params

    def ask(self, n: int) -> list[Suggestion]:
        return self._in_turn(n, self._suggest)

    def _suggest(self, number: int, pending: Sequence[Mapping[str, object]]) -> dict[str, object]:
        rng = self.rng(number)
        return self._chooser.choose(self._children(number, rng), pending, rng)

    def _children(self, number: int, rng: random.Random) -> Iterator[Sequence[float]]:
        space = self.problem.space
        if len(self._known) < self._population or not space:
            yield hypercube(self.seed, self._population, space, number)
            return
        parents = self._ranked()
        for _ in range(_CHILDREN):
            # They stand in order, so that the better of two is the one in front.
            one, other = (parents[min(rng.randrange(len(parents)), rng.randrange(len(parents)))] for _ in range(2))
            yield self._child(one, other, rng)

    def _ranked(self) -> list[list[float]]:
        """Return the points of the best trials, by rank, then by crowding distance."""
        import numpy as np

        if self._parents is None:
            chosen: list[int] = []
            for layer in self._layers.first(self._population):
                distance = crowding(np.array([self._known[n][0] for n in layer]))
                chosen += [layer[i] for i in (-distance).argsort(kind="stable")]
            space = self.problem.space
            self._parents = [
                [
                    unit(p, self._known[n][1][name]) if name in self._known[n][1] else math.nan
                    for name, p in space.items()
                ]
                for n in chosen[: self._population]
            ]
        return self._parents

    def _child(self, one: Sequence[float], other: Sequence[float], rng: random.Random) -> list[float]:
        crossed = rng.random() < self._crossover
        child = []
        for parameter, a, b in zip(self.problem.space.values(), one, other, strict=True):
            a, b = (b, a) if a != a else (a, b)
            b = a if b != b or not crossed else b
            if a != a:  # neither parent has it
                child.append(rng.random())
            elif isinstance(parameter, Choice) and not parameter.ordered:
                gene = b if rng.random() < 0.5 else a
                child.append(rng.random() if rng.random() < self._mutation else gene)
            else:
                gene = (
                    _crossed(a, b, self._crossover_index, rng) if a != b and rng.random() < 0.5 else rng.choice((a, b))
                )
                child.append(_mutated(gene, self._mutation_index, rng) if rng.random() < self._mutation else gene)
        return child


def crowding(loss_NM: Array) -> Array:
    """Return the crowding distance of each point of a front: the sides of the box between its neighbours, as shares of the ranges.

    The ends have infinite distance; of a metric that is the same for all nothing is added.

    Args:
        loss_NM: Losses.

    Example:
        >>> import numpy as np
        >>> crowding(np.array([[0.0, 4.0], [1.0, 2.0], [4.0, 0.0]])).tolist()
        [inf, 2.0, inf]
    """
    import numpy as np

    found = np.zeros(len(loss_NM))
    for loss in loss_NM.T:
        order = loss.argsort(kind="stable")
        ranked = np.clip(loss[order], -1e300, 1e300)
        width = ranked[-1] / 2 - ranked[0] / 2
        if width > 0:
            found[order[[0, -1]]] = np.inf
            found[order[1:-1]] += (ranked[2:] / 2 - ranked[:-2] / 2) / width
    return found


def _crossed(a: float, b: float, index: float, rng: random.Random) -> float:
    """Return one child of SBX, bounded to [0, 1]."""
    low, high = min(a, b), max(a, b)
    u = rng.random()
    left = rng.random() < 0.5
    beta = 1.0 + 2.0 * (low if left else 1.0 - high) / (high - low)  # the spread at which the bound lies
    alpha = 2.0 - beta ** -(index + 1.0)
    spread: float = (u * alpha if u <= 1.0 / alpha else 1.0 / (2.0 - u * alpha)) ** (1.0 / (index + 1.0))
    half = 0.5 * spread * (high - low)
    return min(max(0.5 * (low + high) + (-half if left else half), 0.0), 1.0)


def _mutated(x: float, index: float, rng: random.Random) -> float:
    """Return `x` after polynomial mutation, bounded to [0, 1]."""
    u = rng.random()
    step: float
    power = 1.0 / (index + 1.0)
    if u < 0.5:
        step = (2.0 * u + (1.0 - 2.0 * u) * (1.0 - x) ** (index + 1.0)) ** power - 1.0
    else:
        step = 1.0 - (2.0 * (1.0 - u) + 2.0 * (u - 0.5) * x ** (index + 1.0)) ** power
    return min(max(x + step, 0.0), 1.0)
