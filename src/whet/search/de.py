"""Differential evolution: a member moves by the difference of two others, and is replaced by what is better."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import final

from whet.plugins import knob_number, knob_whole
from whet.search.base import Searcher
from whet.search.choosing import Chooser
from whet.search.standing import Standing, Standings, place
from whet.search.startup import hypercube
from whet.trial import Phase, Problem, Suggestion, Trial

__all__ = ["DE"]

_CHILDREN = 20  # bred until one is legal and new
_LEAST_STEP = 0.5  # of a difference: the share is drawn between this and `scale`


@final
class DE(Searcher):
    """Moves a member of the population by differences of others and mixes the result with it, coordinate by coordinate.

    Trial n belongs to place n mod `population`, and the member of a place is the best trial over that belongs to it. So the population is
    a function of the history, no generation has to be waited for, and parallel workers move from what is known. The move is
    ``x + F (b − x) + F (r − s)`` with b one of the best members, r and s random ones, and F drawn anew each time; what would
    leave the unit cube goes halfway to its face instead. All parameters are moved in their quantiles, choices as well. Failed trials
    and NaN are members only until there is any other.

    The first trials are a Latin hypercube. Constraints are kept by moving again, at last by plain sampling. A configuration is not
    repeated while others are found (see `Chooser`).

    Args:
        population: Places, >= 4.
        best: The share of members that count as best, in (0, 1].
        scale: The greatest F, in [0.5, 2].
        crossover: The chance that a coordinate is the moved one, in [0, 1].

    Raises:
        StudyError: the problem has several metrics.
        ConfigError: a knob outside its range.

    Example:
        >>> from whet.space import Float, Space
        >>> searcher = DE(Problem(space=Space({"x": Float(-5, 5)})), seed=1)
        >>> for number in range(80):
        ...     params = searcher.ask(1)[0].params
        ...     searcher.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(params["x"] ** 2,))], [])
        >>> abs(searcher.ask(1)[0].params["x"]) < 2
        True

    Source: Storn & Price, J. Glob. Optim. 1997; the move: Zhang & Sanderson, JADE, IEEE TEVC 2009; for hyperparameters: Awad, Mallik
    & Hutter, DEHB, IJCAI 2021.
    """

    suits = "Hundreds of trials over numbers and choices; one metric."

    def __init__(self, problem: Problem, *, seed: int, population: int = 15, best: float = 0.2, scale: float = 0.9,
                 crossover: float = 0.9) -> None:  # fmt: skip
        super().__init__(problem, seed=seed)
        self._standings = Standings(problem)
        self._population = knob_whole("de", "population", population, 4)
        self._best = knob_number("de", "best", best, 1e-6, 1)
        self._scale = knob_number("de", "scale", scale, _LEAST_STEP, 2)
        self._crossover = knob_number("de", "crossover", crossover, 0, 1)
        self._chooser = Chooser(problem.space)
        self._members: dict[int, tuple[Standing, list[float]]] = {}  # by place
        self._over: list[Trial] = []  # kept where the order of old trials may change: with limits

    def _learn(self, finished: Sequence[Trial]) -> None:
        self._chooser.learn(finished)
        changes = self._standings.learn(finished)
        if self.problem.limits:
            self._over += finished
        if changes:
            self._members, finished = {}, self._over
        for trial in finished:
            if trial.phase is Phase.CANCELED:
                continue
            stands, spot = self._standings(trial.number), trial.number % self._population
            if spot not in self._members or stands < self._members[spot][0]:
                unit = place(self.problem.space, trial.params, random.Random(f"{self.seed}/{trial.number}/place"))
                self._members[spot] = stands, unit

    def ask(self, n: int) -> list[Suggestion]:
        return self._in_turn(n, self._suggest)

    def _suggest(self, number: int, pending: Sequence[Mapping[str, object]]) -> dict[str, object]:
        rng = self.rng(number)
        return self._chooser.choose(self._children(number, rng), pending, rng)

    def _children(self, number: int, rng: random.Random) -> Iterator[Sequence[float]]:
        space = self.problem.space
        if number < self._population or len(self._members) < 4 or not space:
            yield hypercube(self.seed, self._population, space, number)
            return
        ranked = [unit for _, unit in sorted(self._members.values())]
        own = self._members.get(number % self._population)
        for _ in range(_CHILDREN):
            target = ranked[rng.randrange(len(ranked))] if own is None else own[1]
            leader = ranked[rng.randrange(max(round(self._best * len(ranked)), 1))]
            one, other = rng.sample(ranked, 2)
            yield self._moved(target, leader, one, other, rng)

    def _moved(
        self, target: Sequence[float], leader: Sequence[float], one: Sequence[float], other: Sequence[float], rng: random.Random
    ) -> list[float]:  # fmt: skip
        factor = rng.uniform(_LEAST_STEP, self._scale)
        always = rng.randrange(len(target))  # at least one coordinate moves
        child = []
        for i, (x, b, r, s) in enumerate(zip(target, leader, one, other, strict=True)):
            moved = x + factor * (b - x) + factor * (r - s)
            if not 0.0 <= moved <= 1.0:
                moved = 0.5 * (x + (0.0 if moved < 0.0 else 1.0))
            child.append(moved if i == always or rng.random() < self._crossover else x)
        return child
