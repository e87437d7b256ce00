"""CMA-ES: a normal distribution that learns its step and its shape from the better half of each generation."""

from __future__ import annotations

import copy
import math
import random
from bisect import insort
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from whet.errors import MissingDependency
from whet.plugins import knob_number, knob_whole
from whet.search.base import Searcher
from whet.search.choosing import Chooser
from whet.search.standing import Standings, place
from whet.trial import Phase, Problem, Suggestion, Trial

if TYPE_CHECKING:
    import numpy as np

    from whet.search.parzen import Layout

    Array = np.ndarray[Any, Any]

__all__ = ["CMAES"]

_CHILDREN = 20  # drawn until one is legal and new
_MEMORY = 4  # generations that options are counted in
_STAGES = 16  # distributions that are kept, in case a trial of an earlier generation is told late


@final
class CMAES(Searcher):
    """Draws numbers from a normal distribution in their quantiles, which moves, widens and turns with each generation of results.

    A generation are `population` trials over, consecutive in the order of their numbers, whoever proposed them; trials of the one that is
    not full yet change nothing. So the distribution is a function of the history, and parallel workers draw from the same one until
    a generation is full. Results count by rank: failed trials and NaN are the worst. Where the distribution has converged it starts
    afresh elsewhere with twice the population.

    Whole numbers and ordered choices are rounded, and keep a margin: now and then one moves to its neighbour, so that none is stuck where
    steps are shorter than the grid. Unordered choices are drawn by how often their options are among the better half of the last
    generations. A number that is inactive in a trial says nothing about it: its coordinate is drawn from the distribution.
    Constraints are kept by drawing again, at last by plain sampling. A configuration is not repeated while others are found (see `Chooser`).

    Args:
        population: Trials in a generation, >= 4; None: 4 + ⌊3 ln D⌋ with D numbers.
        sigma: The first step, as a share of the range, > 0.

    Raises:
        MissingDependency: the package `cmaes` is not installed.
        StudyError: the problem has several metrics.
        ConfigError: a knob outside its range.

    Example:
        >>> from whet.space import Float, Space
        >>> searcher = CMAES(Problem(space=Space({"x": Float(-5, 5), "y": Float(-5, 5)})), seed=1)
        >>> for number in range(120):
        ...     params = searcher.ask(1)[0].params
        ...     loss = (params["x"] - 1) ** 2 + (params["x"] + params["y"]) ** 2
        ...     searcher.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(loss,))], [])
        >>> abs(searcher.ask(1)[0].params["x"] - 1) < 0.5
        True

    Source: Hansen, The CMA Evolution Strategy: A Tutorial, arXiv 1604.00772; Auger & Hansen, CEC 2005, for restarts; Hamano et al.,
    CMA-ES with Margin, GECCO 2022, for margins.
    """

    suits = "Hundreds of trials over numbers that act together; one metric."

    def __init__(self, problem: Problem, *, seed: int, population: int | None = None, sigma: float = 0.2) -> None:
        super().__init__(problem, seed=seed)
        self._standings = Standings(problem)
        self._population = None if population is None else knob_whole("cmaes", "population", population, 4)
        self._sigma = knob_number("cmaes", "sigma", sigma, 1e-6, 1)
        try:
            import cmaes  # noqa: F401  # to fail here rather than at the first trial
        except ImportError as error:
            raise MissingDependency.of("cmaes", "cmaes", "method cmaes") from error
        self._chooser = Chooser(problem.space)
        self._trials: list[tuple[int, list[float]]] = []  # by number
        self._stages: list[_Stage] = []
        self._layout_made: Layout | None = None

    def _learn(self, finished: Sequence[Trial]) -> None:
        self._chooser.learn(finished)
        if self._standings.learn(finished):
            self._stages.clear()
        for trial in finished:
            if trial.phase is Phase.CANCELED:
                continue
            rng = random.Random(f"{self.seed}/{trial.number}/place")
            unit = place(self.problem.space, trial.params, rng)
            unit = [u if n in trial.params else math.nan for n, u in zip(self.problem.space, unit, strict=True)]
            entry = trial.number, unit
            insort(self._trials, entry, key=lambda known: known[0])
            # Generations that began before it are as they were, unless it falls into one.
            while self._stages and self._stages[-1].last >= trial.number:
                self._stages.pop()

    @property
    def _layout(self) -> Layout:
        from whet.search.parzen import Layout

        if self._layout_made is None:
            self._layout_made = Layout(self.problem.space)
        return self._layout_made

    def ask(self, n: int) -> list[Suggestion]:
        return self._in_turn(n, self._suggest)

    def _suggest(self, number: int, pending: Sequence[Mapping[str, object]]) -> dict[str, object]:
        rng = self.rng(number)
        return self._chooser.choose(self._children(rng), pending, rng)

    # -- the distribution -----------------------------------------------------------------------------------------------

    def _stage(self) -> _Stage:
        """Return the distribution after the last full generation, made from the last one that is known."""
        if not self._stages:
            self._stages.append(_Stage(cma=self._fresh(0, self._population), restarts=0, start=0, last=-1))
        while True:
            stage = self._stages[-1]
            size = stage.size
            members = self._trials[stage.start : stage.start + size]
            if len(members) < size:
                return stage
            self._stages.append(self._next(stage, members))
            if len(self._stages) > 2 * _STAGES:  # the first one stays, to begin again from
                del self._stages[1:_STAGES]

    def _fresh(self, restarts: int, population: int | None) -> Any:
        """Return a distribution in the middle, or, when it starts again, anywhere."""
        import numpy as np
        from cmaes import CMA

        D = self._layout.D
        if not D:
            return None
        rng = random.Random(f"{self.seed}/restart/{restarts}")
        mean = np.array([rng.uniform(0.2, 0.8) if restarts else 0.5 for _ in range(D)])
        bounds = np.stack([np.zeros(D), np.ones(D)], axis=1)
        return CMA(mean=mean, sigma=self._sigma, bounds=bounds, population_size=population, seed=0)

    def _next(self, stage: _Stage, members: Sequence[tuple[int, list[float]]]) -> _Stage:
        import numpy as np

        start, last, restarts = stage.start + stage.size, members[-1][0], stage.restarts
        if stage.cma is None:
            return _Stage(cma=None, restarts=0, start=start, last=last)
        ranked = sorted(members, key=lambda member: self._standings(member[0]))
        columns = self._layout.place_D
        cma, told = copy.deepcopy(stage.cma), []
        for rank, (number, unit) in enumerate(ranked):
            cma.reseed_rng(_seed(random.Random(f"{self.seed}/{number}/inactive")))
            point = np.array([unit[column] for column in columns])
            if np.isnan(point).any():
                point = np.where(np.isnan(point), cma.ask(), point)
            told.append((point, float(rank)))  # ranks alone matter to it, and they are never infinite
        cma.tell(told)
        if cma.should_stop() or not np.isfinite(cma.mean).all():
            restarts += 1
            cma = self._fresh(restarts, 2 * cma.population_size)
        return _Stage(cma=cma, restarts=restarts, start=start, last=last)

    def _children(self, rng: random.Random) -> Iterator[Sequence[float]]:
        import numpy as np

        layout, space = self._layout, self.problem.space
        if not space:
            yield []
            return
        stage = self._stage()
        cma = copy.deepcopy(stage.cma)
        if cma is not None:
            cma.reseed_rng(_seed(rng))
        shares = self._shares(stage)
        for _ in range(_CHILDREN):
            unit = np.zeros(len(space))
            if cma is not None:
                x = cma.ask()
                for column, (edges, middles) in layout.cells.items():
                    cell = int(edges.searchsorted(x[column]))
                    if rng.random() < 1.0 / (stage.size * layout.D):
                        cell += 1 if rng.random() < 0.5 else -1
                    x[column] = middles[min(max(cell, 0), len(middles) - 1)]
                unit[layout.place_D] = x
            for column, middles, share in zip(layout.place_B, layout.middles_B, shares, strict=True):
                option = int(share.cumsum().searchsorted(rng.random() * share.sum(), side="right"))
                unit[column] = middles[min(option, len(middles) - 1)]
            yield unit.tolist()

    def _shares(self, stage: _Stage) -> list[Array]:
        """Return for each unordered choice how often its options are to be drawn."""
        import numpy as np

        layout = self._layout
        recent = self._trials[max(stage.start - _MEMORY * stage.size, 0) : stage.start]
        good = sorted(recent, key=lambda member: self._standings(member[0]))[: len(recent) // 2]
        found = []
        for column, middles, cumulative in zip(layout.place_B, layout.middles_B, layout.cumulative_B, strict=True):
            prior = np.diff(cumulative, prepend=0.0)
            counts = np.zeros(len(middles))
            for _, unit in good:
                if unit[column] == unit[column]:
                    counts[int(np.abs(middles - unit[column]).argmin())] += 1.0
            found.append(np.where(prior > 0, counts + 2.0 * prior, 0.0))
        return found


class _Stage:
    """The distribution between two generations: `start` is the place of the next one's first trial, `last` the last number that it knows."""

    __slots__ = ("cma", "last", "restarts", "start")

    def __init__(self, *, cma: Any, restarts: int, start: int, last: int) -> None:
        self.cma, self.restarts, self.start, self.last = cma, restarts, start, last

    @property
    def size(self) -> int:
        return 8 if self.cma is None else int(self.cma.population_size)


def _seed(rng: random.Random) -> int:
    return rng.getrandbits(32)
