"""Populations of trainings that are trained together: what PBT and PB2 have in common."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from whet.plugins import knob_number, knob_whole
from whet.search.base import Searcher
from whet.search.limits import Limits
from whet.trial import Problem, Suggestion, Trial

__all__ = ["Generation", "Population"]


@dataclass(slots=True)
class Generation:
    """The trials that have been trained for so many stretches.

    `ranked` are the complete ones, (how far off the limits, loss, number), the best first; `num_over` counts all that are over.
    """

    num_over: int = 0
    ranked: list[tuple[float, float, int]] = field(default_factory=list)


class Population(Searcher):
    """Trials that go on from others: each is one stretch of training, and says by `parent` whose checkpoint it begins with.

    A trial without a parent is a founder, of generation 0; its child is of generation 1, and so on. For each trial of a generation that is
    over there is one in the next, so the population keeps its size. Of those of a generation that are complete, the worst share
    `truncation` has no child: in place of each of them, one of the best share, drawn at random, has another child, whose
    configuration is explored. All others go on as they are, the lowest number first. The lowest generation that lacks a trial gets it, as soon
    as a share `quorum` of a population is over in the one before; only trials that were trained as long are compared.

    A trial that fails or was stopped is replaced like one of the worst. Where no trial of a generation can go on, founders take over; of a
    generation that grew by that, as many as a population go on. Where `generations` is given, there are so many times a population of founders at most.

    Args:
        problem: Space and one metric.
        seed: Any integer.
        name: The method's, for messages.
        population: Members, >= 2.
        truncation: The share of a generation that is replaced, and the share that replaces it, in [0, 0.5].
        quorum: In [0, 1].
        generations: It ends after so many stretches of training; None: never by itself.
    """

    continues: ClassVar[bool] = True

    def __init__(self, problem: Problem, *, seed: int, name: str, population: int, truncation: float, quorum: float,
                 generations: int | None) -> None:  # fmt: skip
        super().__init__(problem, seed=seed)
        self._goal = problem.metric.goal
        self._population = knob_whole(name, "population", population, 2)
        self._truncation = knob_number(name, "truncation", truncation, 0, 0.5)
        self._quorum = knob_number(name, "quorum", quorum, 0, 1)
        self._most = None if generations is None else knob_whole(name, "generations", generations, 1)
        self._trials: dict[int, Trial] = {}  # that are over
        self._losses: dict[int, float] = {}  # of complete ones
        self._limits = Limits(problem)

    def _learn(self, finished: Sequence[Trial]) -> None:
        self._limits.learn(finished)
        for trial in finished:
            self._trials[trial.number] = trial
            if trial.complete and trial.values is not None and self.problem.space.contains(trial.params):
                self._losses[trial.number] = self._goal.loss(trial.values[0])

    def ask(self, n: int) -> list[Suggestion]:
        number, pending = self.next_number, list(self.pending)
        found: list[Suggestion] = []
        while len(found) < n:
            suggestion = self._suggest(number + len(found), pending)
            if suggestion is None:
                break
            found.append(suggestion)
            pending.append(Trial(number=number + len(found) - 1, params=suggestion.params, parent=suggestion.parent))
        return found

    def _suggest(self, number: int, pending: Sequence[Trial]) -> Suggestion | None:
        rng = self.rng(number)
        levels = self._levels(pending)
        over: dict[int, Generation] = {}
        for trial in self._trials.values():
            generation = over.setdefault(levels[trial.number], Generation())
            generation.num_over += 1
            if trial.number in self._losses:
                generation.ranked.append((self._limits.off(trial.number), self._losses[trial.number], trial.number))
        counts: dict[int, int] = {}
        for level in levels.values():
            counts[level] = counts.get(level, 0) + 1
        children: dict[int, int] = {}
        for trial in (*self._trials.values(), *pending):
            if trial.parent is not None:
                children[trial.parent] = children.get(trial.parent, 0) + 1
        if counts.get(0, 0) < self._population:
            return self._founder(rng)
        is_due = False
        for level in sorted(over):
            # Founders that took over have made this generation larger; they go on as far as one that cannot.
            lost = sum(later.num_over for at, later in over.items() if at > level and not later.ranked)
            wanted = min(over[level].num_over, self._population + lost)
            if counts.get(level + 1, 0) >= wanted or (self._most is not None and level + 1 >= self._most):
                continue
            is_due = True
            generation = over[level]
            generation.ranked.sort()
            if generation.ranked and generation.num_over >= self._quorum * self._population:
                return self._successor(generation, level, children, levels, pending, rng)
        is_enough = self._most is not None and counts[0] >= self._most * self._population
        return self._founder(rng) if is_due and not pending and not is_enough else None

    def _levels(self, pending: Sequence[Trial]) -> dict[int, int]:
        """Return the generation of each trial."""
        levels: dict[int, int] = {}
        for trial in sorted((*self._trials.values(), *pending), key=lambda t: t.number):
            known = trial.parent is not None and trial.parent in levels
            levels[trial.number] = levels[trial.parent] + 1 if known else 0  # type: ignore[index]
        return levels

    def _founder(self, rng: random.Random) -> Suggestion:
        return Suggestion(params=self.problem.space.sample(rng))

    def _successor(self, generation: Generation, level: int, children: dict[int, int], levels: dict[int, int],
                   pending: Sequence[Trial], rng: random.Random) -> Suggestion:  # fmt: skip
        numbers = [number for _, _, number in generation.ranked[: self._population]]
        share = int(self._truncation * len(numbers) + 1e-9)
        goes_on = min((n for n in numbers[: len(numbers) - share] if not children.get(n)), default=None)
        if goes_on is not None:
            return Suggestion(params=self._trials[goes_on].params, note=f"goes on from trial {goes_on}", parent=goes_on)
        best = numbers[: max(1, share)]
        parent = best[rng.randrange(len(best))]
        params = self._explored(self._trials[parent], level, levels, pending, rng)
        changed = [name for name in self.problem.space if params.get(name) != self._trials[parent].params.get(name)]
        what = f", with another {', '.join(changed)}" if changed else ""
        return Suggestion(
            params=params, note=f"goes on from trial {parent}, one of the best {len(best)}{what}", parent=parent
        )

    @abstractmethod
    def _explored(self, parent: Trial, level: int, levels: dict[int, int], pending: Sequence[Trial],
                  rng: random.Random) -> dict[str, object]:  # fmt: skip
        """Return the configuration of a trial that goes on from `parent`, of generation `level`, in place of a bad one."""
