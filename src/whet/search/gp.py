"""Bayesian optimization with a Gaussian process: the most of few trials."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from whet.plugins import knob_whole
from whet.search.base import Searcher
from whet.search.history import Key, key
from whet.search.startup import hypercube
from whet.trial import Phase, Problem, Suggestion, Trial

if TYPE_CHECKING:
    import numpy as np

    from whet.search.gaussian import Features, Process
    from whet.search.parzen import Layout

    Array = np.ndarray[Any, Any]

__all__ = ["GP"]

_SMALL = 10_000  # combinations up to which it can happen that all have been tried
_FITTED = 160  # trials that length scales are fitted to
_LIES = 64  # pending trials that count, the latest ones
_REDRAWS = 30
_GROWTH = 1.1  # length scales are fitted anew after so many times the trials
_EVERY = 20  # up to here, at every trial
_CLIMBERS, _ROUNDS, _BROOD = 6, 6, 16


@final
class GP(Searcher):
    """Models the results by a Gaussian process and suggests where the expected improvement is greatest.

    The kernel is Matérn-5/2 with a length scale a parameter; it knows which parameters are inactive, and options of an unordered choice
    are equally far from each other. Length scales and noise have the greatest posterior density; results are clipped from above
    and made about normal (Yeo–Johnson), so that a few terrible ones do not matter. Failed trials and NaN count as the worst result, pending
    ones as what the model expects of them. The cost of a suggestion is bounded: of many trials the best ones and an even choice of the
    others are kept.

    The first trials are a Latin hypercube. Constraints are kept by rejection. A configuration is not repeated while there are others.

    Args:
        num_startup: Results before the model is used, >= 2; None: one more than there are parameters, 5 to 10.
        max_points: The most trials in the model, >= 10.
        num_candidates: Random points at which expected improvement is looked at first, >= 10.

    Raises:
        StudyError: the problem has several metrics.
        ConfigError: a knob outside its range.

    Example:
        >>> from whet.space import Float, Space
        >>> gp, found = GP(Problem(space=Space({"x": Float(-5, 5)})), seed=1), []
        >>> for number in range(12):
        ...     x = gp.ask(1)[0].params["x"]
        ...     found.append((x - 2) ** 2)
        ...     gp.tell([Trial(number=number, params={"x": x}, phase=Phase.FINISHED, values=(found[-1],))], [])
        >>> min(found) < 0.01
        True

    Source: Snoek et al., Practical Bayesian Optimization of Machine Learning Algorithms, NeurIPS 2012; Hvarfner et al., ICML 2024, for
    the length scales' prior; Cowen-Rivers et al., HEBO, JAIR 2022, for the transformed results; Ament et al., NeurIPS 2023, for log EI.
    """

    def __init__(self, problem: Problem, *, seed: int, num_startup: int | None = None, max_points: int = 300,
                 num_candidates: int = 400) -> None:  # fmt: skip
        super().__init__(problem, seed=seed)
        self._goal = problem.metric.goal
        usual = min(max(5, len(problem.space) + 1), 10)
        self._num_startup = usual if num_startup is None else knob_whole("gp", "num_startup", num_startup, 2)
        self._max_points = knob_whole("gp", "max_points", max_points, 10)
        self._num_candidates = knob_whole("gp", "num_candidates", num_candidates, 10)
        size = problem.space.size
        self._finite = size is not None and size <= _SMALL
        self._visited: set[Key] = set()
        self._trials: dict[
            int, tuple[float, Mapping[str, object]]
        ] = {}  # by number: loss (NaN: none) and configuration
        self._rows: dict[int, list[float]] = {}
        self._tools: tuple[Layout, Features] | None = None
        self._scales: tuple[tuple[int, ...], Any] | None = None
        self._model: tuple[Array, Array, Process, float] | None = None

    def _learn(self, finished: Sequence[Trial]) -> None:
        self._model = None
        for trial in finished:
            self._visited.add(key(self.problem.space, trial.params))
            if trial.phase is not Phase.CANCELED:
                self._trials[trial.number] = self._loss(trial), trial.params

    def _loss(self, trial: Trial) -> float:
        if trial.complete and trial.values is not None:
            return self._goal.loss(trial.values[0])
        if trial.phase is Phase.FINISHED and trial.stopped and trial.reports:
            return self._goal.loss(trial.reports[-1].values[0])
        return math.nan

    def ask(self, n: int) -> list[Suggestion]:
        space, number = self.problem.space, self.next_number
        pending = [t.params for t in sorted(self.pending, key=lambda t: t.number)]
        taken = {key(space, params) for params in pending}
        found: list[Suggestion] = []
        while len(found) < n:
            params = self._suggest(number + len(found), pending, taken)
            found.append(Suggestion(params=params))
            pending.append(params)
            taken.add(key(space, params))
        return found

    def _suggest(self, number: int, pending: Sequence[Mapping[str, object]], taken: set[Key]) -> dict[str, object]:
        space, rng = self.problem.space, self.rng(number)
        avoid = not self._finite or len(self._visited) + len(taken) < (space.size or 0)
        scored = sum(loss == loss for loss, _ in self._trials.values())
        if scored < self._num_startup or not space:
            units = iter([hypercube(self.seed, self._num_startup, len(space), number)])
        else:
            units = iter(self._ranked(rng, pending[-_LIES:]))
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
        label = key(self.problem.space, params)
        return label in self._visited or label in taken

    # -- the model ------------------------------------------------------------------------------------------------------

    def _ready(self) -> tuple[Layout, Features]:
        from whet.search.gaussian import Features
        from whet.search.parzen import Layout  # numpy and scipy: 0.3 s

        if self._tools is None:
            layout = Layout(self.problem.space)
            self._tools = layout, Features(layout)
        return self._tools

    def _table(self, numbers: Sequence[int]) -> Array:
        """Return the trials' rows of the layout, each made once."""
        import numpy as np

        layout, _ = self._ready()
        for number in numbers:
            if number not in self._rows:
                self._rows[number] = layout.row(self._trials[number][1])
        return np.array([self._rows[number] for number in numbers])

    def _features(self, numbers: Sequence[int]) -> Array:
        return self._ready()[1].of_rows(self._table(numbers))

    def _kept(self, numbers: Sequence[int], most: int) -> list[int]:
        """Return at most so many of these trials, the better half of them being the best ones, in the order of their numbers."""
        if len(numbers) <= most:
            return sorted(numbers)
        ranked = sorted(numbers, key=lambda n: (_order(self._trials[n][0]), n))
        near = most // 2
        rest = ranked[near:]
        stride = len(rest) / (most - near)
        return sorted(ranked[:near] + [rest[int(i * stride)] for i in range(most - near)])

    def _values(self, numbers: Sequence[int]) -> Array:
        """Return the transformed losses, about normal."""
        import numpy as np

        return _normalised(np.array([self._trials[n][0] for n in numbers]))

    def _fit(self) -> tuple[Array, float]:
        """Return length scales and noise, which depend on the first so many trials only, so that they need not be fitted each time."""
        from whet.search.gaussian import fitted

        numbers = sorted(self._trials)
        first = tuple(numbers[: _milestone(len(numbers))])
        if self._scales is None or self._scales[0] != first:
            some = self._kept(first, _FITTED)
            _, features = self._ready()
            self._scales = first, fitted(self._features(some), self._values(some), features.group_F, features.H)
        scales: tuple[Array, float] = self._scales[1]
        return scales

    def _process(self, pending: Sequence[Mapping[str, object]]) -> tuple[Process, float]:
        """Return the posterior, pending trials taken for what is expected of them, and the best mean at a finished trial."""
        import numpy as np

        from whet.search.gaussian import Process

        scale_F, noise = self._fit()
        if self._model is None:
            numbers = self._kept(list(self._trials), self._max_points)
            z, y = self._features(numbers), self._values(numbers)
            process = Process(z, y, scale_F, noise)
            self._model = z, y, process, float(process.mean(z).min())
        z, y, process, best = self._model
        if pending:
            layout, features = self._ready()
            more = features.of_rows(np.array([layout.row(params) for params in pending]))
            process = Process(np.concatenate([z, more]), np.concatenate([y, process.mean(more)]), scale_F, noise)
        return process, best

    # -- the search -----------------------------------------------------------------------------------------------------

    def _ranked(self, rng: random.Random, pending: Sequence[Mapping[str, object]]) -> list[list[float]]:
        """Return points for `Space.decode`, the one with the greatest expected improvement first."""
        import numpy as np

        from whet.search.gaussian import log_expected_improvement

        layout, features = self._ready()
        process, best = self._process(pending)
        generator = np.random.Generator(np.random.PCG64(rng.getrandbits(64)))
        units: list[Array] = []
        scores: list[Array] = []

        def look(x_ND: Array, index_NB: Array) -> Array:
            for column, (edges, middles) in layout.cells.items():
                x_ND[:, column] = middles[edges.searchsorted(x_ND[:, column])]
            found = layout.candidates(x_ND, index_NB)
            D = layout.D
            m_ND, h_NC = found.features_NF[:, 2 * D : 3 * D], found.features_NF[:, 3 * D :]
            mean, deviation = process(features.of_points(x_ND, m_ND, h_NC))
            score = log_expected_improvement(mean, deviation, best)
            if self.problem.space.constraints:
                legal = [not self.problem.space.broken(self.problem.space.decode(u)) for u in found.unit_NP.tolist()]
                score = np.where(legal, score, -np.inf)
            units.append(found.unit_NP)
            scores.append(score)
            return score

        D, B = layout.D, len(layout.place_B)
        options = [len(middles) for middles in layout.middles_B]
        N = self._num_candidates

        def drawn(count: int) -> tuple[Array, Array]:
            index = np.stack([c.searchsorted(generator.random(count), side="right").clip(0, k - 1)
                              for c, k in zip(layout.cumulative_B, options, strict=True)], axis=1) if B else np.zeros((count, 0), dtype=np.intp)  # fmt: skip
            return generator.random((count, D)), index

        def mutated(x_ND: Array, index_NB: Array, width: float) -> tuple[Array, Array]:
            count = len(x_ND)
            share = max(0.2, 3.0 / (D + B))  # of the numbers that move: all where there are few, else about three
            other_x, other_index = drawn(count)
            moves = generator.random((count, D)) < share
            x = np.where(moves, x_ND + width * generator.standard_normal((count, D)), x_ND)
            x = np.clip(x, 0.0, 1.0)
            wild = generator.random((count, D)) < 0.3 * width  # leaves a basin that numbers can't walk out of
            x = np.where(wild, other_x, x)
            flips = generator.random((count, B)) < max(0.1, 1.0 / (D + B) if B else 0.0) * min(1.0, 4.0 * width)
            return x, np.where(flips, other_index, index_NB)

        x, index = drawn(N)
        good = self._best_points(layout, 10)
        near_x, near_index = (np.repeat(part, 20, axis=0) for part in good)
        local = [mutated(near_x, near_index, width) for width in (0.1, 0.02)]
        x = np.concatenate([x, *(part for part, _ in local)])
        index = np.concatenate([index, *(part for _, part in local)])
        score = look(x, index)
        places = (-score).argsort(kind="stable")[:_CLIMBERS]
        at_x, at_index, at_score = x[places], index[places], score[places]
        width = 0.1
        for _ in range(_ROUNDS):
            brood = mutated(np.repeat(at_x, _BROOD, axis=0), np.repeat(at_index, _BROOD, axis=0), width)
            found = look(*brood).reshape(len(at_x), _BROOD)
            top = found.argmax(axis=1)
            rows = np.arange(len(at_x)) * _BROOD + top
            better = found.max(axis=1) > at_score
            at_x = np.where(better[:, None], brood[0][rows], at_x)
            at_index = np.where(better[:, None], brood[1][rows], at_index)
            at_score = np.where(better, found.max(axis=1), at_score)
            width *= 0.45
        every = np.concatenate(scores)
        unit_NP = np.concatenate(units)
        order = (-every).argsort(kind="stable")
        found_points: list[list[float]] = unit_NP[order[np.isfinite(every[order])]].tolist()
        return found_points

    def _best_points(self, layout: Layout, count: int) -> tuple[Array, Array]:
        """Return quantiles and options of the best trials, in the middle where a parameter was inactive."""
        import numpy as np

        rows = self._table(sorted(self._trials, key=lambda n: (_order(self._trials[n][0]), n))[:count])
        D = layout.D
        x = np.where(rows[:, D : 2 * D] > 0, rows[:, :D], 0.5)
        h = rows[:, 2 * D : 2 * D + layout.C]
        index = [
            h[:, start : start + len(middles)].argmax(axis=1)
            for start, middles in zip(layout.start_B, layout.middles_B, strict=True)
        ]
        return x, np.stack(index, axis=1) if index else np.zeros((len(x), 0), dtype=np.intp)


def _order(loss: float) -> float:
    return loss if loss == loss else math.inf


def _milestone(count: int) -> int:
    """Return the greatest number of trials, not above `count`, at which length scales are fitted anew."""
    if count <= _EVERY:
        return count
    found = float(_EVERY)
    while int(found * _GROWTH) <= count:
        found = int(found * _GROWTH)
    return int(found)


def _normalised(loss_M: Array) -> Array:
    """Return losses with mean 0 and deviation 1, clipped from above and made about normal; NaN and infinity become the worst."""
    import numpy as np
    from scipy.stats import yeojohnson, yeojohnson_normmax

    finite = np.isfinite(loss_M)
    if not finite.any():
        return np.zeros(len(loss_M))
    low, middle, high = np.quantile(loss_M[finite], [0.0, 0.5, 1.0])
    y = np.where(finite, loss_M, np.where(loss_M == -np.inf, low, high))
    y = np.minimum(y, middle + 5.0 * (middle - low)) if middle > low else y
    deviation = y.std()
    if not deviation > 1e-12 * max(1.0, abs(float(middle))):
        return np.zeros(len(y))
    y = (y - y.mean()) / deviation
    if len(y) >= 5:
        shaped = yeojohnson(y, float(np.clip(yeojohnson_normmax(y), -2.0, 4.0)))
        if np.isfinite(shaped).all() and shaped.std() > 1e-6:
            y = (shaped - shaped.mean()) / shaped.std()
    found: Array = y
    return found
