"""Regularised evolution: the best of a few young trials, with one parameter changed."""

from __future__ import annotations

import random
from bisect import insort
from collections.abc import Iterator, Mapping, Sequence
from typing import final

from whet.parameters import Choice
from whet.plugins import knob_number, knob_whole
from whet.search.base import Searcher
from whet.search.choosing import Chooser
from whet.search.standing import FAILED, Standings, place
from whet.search.startup import hypercube
from whet.trial import Phase, Problem, Suggestion, Trial

__all__ = ["Evolution"]

_CHILDREN = 20  # bred until one is legal and new
_WILD = 0.1  # of the changes of a number that are a draw from anywhere


@final
class Evolution(Searcher):
    """Takes the best of a random sample of the youngest trials and changes one parameter.

    The population are the last `population` trials that are over, by number: trials die of age, not of being worse, so that a lucky result
    of a noisy metric does not rule for ever. A number takes a normal step in its quantile (now and then a draw from anywhere), an
    unordered choice another option; a parameter that becomes active by the change is drawn. Failed trials and NaN are never parents.

    The first trials are a Latin hypercube. Constraints are kept by breeding again, at last by plain sampling. A configuration is not
    repeated while others are found (see `Chooser`).

    Args:
        population: Trials that live, and the number of results before any are bred, >= 2.
        sample: Of them the parent is the best of so many, drawn at random, >= 1.
        width: Of a step, as a share of the range, > 0.

    Raises:
        StudyError: the problem has several metrics.
        ConfigError: a knob outside its range.

    Example:
        >>> from whet.space import Float, Space
        >>> searcher = Evolution(Problem(space=Space({"x": Float(-5, 5)})), seed=1)
        >>> for number in range(80):
        ...     params = searcher.ask(1)[0].params
        ...     searcher.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(params["x"] ** 2,))], [])
        >>> abs(searcher.ask(1)[0].params["x"]) < 2
        True

    Source: Real et al., Regularized Evolution for Image Classifier Architecture Search, AAAI 2019.
    """

    suits = "Noisy metrics and many choices; one metric."

    def __init__(
        self, problem: Problem, *, seed: int, population: int = 20, sample: int = 8, width: float = 0.1
    ) -> None:
        super().__init__(problem, seed=seed)
        self._standings = Standings(problem)
        self._population = knob_whole("evolution", "population", population, 2)
        self._sample = knob_whole("evolution", "sample", sample, 1)
        self._width = knob_number("evolution", "width", width, 1e-6, 1)
        self._chooser = Chooser(problem.space)
        self._trials: list[tuple[int, list[float]]] = []  # by number, of trials with a result

    def _learn(self, finished: Sequence[Trial]) -> None:
        self._chooser.learn(finished)
        self._standings.learn(finished)
        for trial in finished:
            if trial.phase is not Phase.CANCELED and self._standings(trial.number)[0] < FAILED:
                unit = place(self.problem.space, trial.params, random.Random(f"{self.seed}/{trial.number}/place"))
                insort(self._trials, (trial.number, unit))

    def ask(self, n: int) -> list[Suggestion]:
        return self._in_turn(n, self._suggest)

    def _suggest(self, number: int, pending: Sequence[Mapping[str, object]]) -> dict[str, object]:
        rng = self.rng(number)
        return self._chooser.choose(self._children(number, rng), pending, rng)

    def _children(self, number: int, rng: random.Random) -> Iterator[Sequence[float]]:
        space = self.problem.space
        if len(self._trials) < self._population or not space:
            yield hypercube(self.seed, self._population, space, number)
            return
        alive = self._trials[-self._population :]
        for _ in range(_CHILDREN):
            drawn = (alive[rng.randrange(len(alive))] for _ in range(self._sample))
            parent = min(drawn, key=lambda trial: self._standings(trial[0]))
            yield self._changed(parent[1], rng)

    def _changed(self, parent: Sequence[float], rng: random.Random) -> list[float]:
        space = self.problem.space
        params = space.decode(parent)
        names = list(space)
        active = [i for i, name in enumerate(names) if name in params and space[name].size != 1]
        child = list(parent)
        if not active:
            return child
        i = active[rng.randrange(len(active))]
        parameter = space[names[i]]
        for _ in range(10):  # a step may be too small to change a discrete value
            if (isinstance(parameter, Choice) and not parameter.ordered) or rng.random() < _WILD:
                child[i] = rng.random()
            else:
                child[i] = _reflected(parent[i] + rng.gauss(0.0, self._width))
            if parameter.size is None or parameter.decode(child[i]) != params[names[i]]:
                break
        # What was inactive in the parent has no value that was ever tried.
        now = space.decode(child)
        return [child[j] if name in params or name not in now else rng.random() for j, name in enumerate(names)]


def _reflected(u: float) -> float:
    u = abs(u) % 2.0
    return 2.0 - u if u > 1.0 else u
