"""The tree-structured Parzen estimator (TPE): look where good trials lie densely and bad ones do not."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from whet.plugins import knob_number, knob_whole
from whet.search.base import Searcher
from whet.search.belief import Belief
from whet.search.history import Key, key
from whet.search.overlap import best_of
from whet.search.standing import FAILED, Standing, Standings
from whet.trial import Phase, Problem, Suggestion, Trial

if TYPE_CHECKING:
    import numpy as np

    from whet.search.belief import Mixed
    from whet.search.parzen import Layout

    Array = np.ndarray[Any, Any]

__all__ = ["TPE"]

_LEAST = 1e-6  # of knobs that must be above 0
_NARROWEST = 0.01  # of the range: the least width of a kernel
_LIES = 256  # pending trials that count, the latest ones
_SMALL = 10_000  # combinations up to which repeats are avoided
_ROUNDS = 4  # of candidates, where constraints or repeats refuse them all
_REDRAWS = 30
_PAST, _FEW = (
    3.0,
    10,
)  # good trials that those of earlier sweeps count together, beside up to so many results; then as 1/n²
_LEAST_PAST = 0.02


@final
class TPE(Searcher):
    """Models good and bad trials by two densities l and g, draws candidates from l and takes the one with the highest l/g.

    Good are the best ``min(ceil(gamma * n), max_good)`` of n trials. Complete trials rank by their result, before those that were
    stopped early, which rank by how far they came, then by their last report; failed ones and NaN come last. Pending trials
    count as bad ("constant liar"), so that parallel suggestions keep their distance. Both densities are multivariate, know which
    parameters are inactive, and are bounded in size: g keeps the trials ranked next to the good ones and a thinned-out, reweighted
    rest, so that the cost of a suggestion does not grow with the history. The best trials of earlier sweeps are in l, too, together as
    three trials beside the first ten results, then less and less; those of a sweep that ranks the results wrongly have no weight.

    The first trials are a Latin hypercube. Constraints are kept by rejection, at last by plain sampling. In finite spaces of up to
    10,000 combinations a configuration is not repeated while the model, or one of 30 draws, proposes another one.

    Args:
        num_startup: Results before the model is used, >= 1.
        gamma: Share of good trials, in (0, 1].
        max_good: The most good trials, >= 1.
        num_candidates: Drawn for each suggestion, >= 1.
        num_kernels: The most kernels in g (pending trials come on top), >= 2.
        good_width, bad_width: Widths of the kernels in l and g for one trial, as shares of the range; with n trials (of which K are
            in g) and D parameters they shrink as n^(-1/(D+4)) and K^(-1/(D+4)).
        prior_weight: The weight of the uniform prior in both, in trials, > 0.
        prior: The user's belief about good values, as in `gp`; it is mixed into l, by a share that shrinks as results come.

    Raises:
        StudyError: the problem has several metrics.
        ConfigError: a knob outside its range.

    Example:
        >>> from whet.space import Float, Space
        >>> tpe = TPE(Problem(space=Space({"x": Float(-5, 5)})), seed=1)
        >>> for number in range(60):
        ...     params = tpe.ask(1)[0].params
        ...     tpe.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(params["x"] ** 2,))], [])
        >>> abs(tpe.ask(1)[0].params["x"]) < 1
        True

    Source: Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; Watanabe, Tree-Structured Parzen
    Estimator: Understanding Its Algorithm Components, arXiv 2304.11127 (2023), on which parts matter.
    """

    suits = "Hundreds of trials or many parameters, one metric; under a millisecond a suggestion."

    def __init__(self, problem: Problem, *, seed: int, num_startup: int = 10, gamma: float = 0.1, max_good: int = 25,
                 num_candidates: int = 24, num_kernels: int = 200, good_width: float = 0.08, bad_width: float = 0.1,
                 prior_weight: float = 1.0, prior: Mapping[str, object] | None = None) -> None:  # fmt: skip
        super().__init__(problem, seed=seed)
        self.ranking = Standings(problem)
        self._num_startup = knob_whole("tpe", "num_startup", num_startup, 1)
        self._gamma = knob_number("tpe", "gamma", gamma, _LEAST, 1)
        self._max_good = knob_whole("tpe", "max_good", max_good, 1)
        self._num_candidates = knob_whole("tpe", "num_candidates", num_candidates, 1)
        self._num_kernels = knob_whole("tpe", "num_kernels", num_kernels, 2)
        self._good_width = knob_number("tpe", "good_width", good_width, _LEAST, 1)
        self._bad_width = knob_number("tpe", "bad_width", bad_width, _LEAST, 1)
        self._prior_weight = knob_number("tpe", "prior_weight", prior_weight, _LEAST)
        self._belief = Belief("tpe", problem.space, prior)
        size = problem.space.size
        self._finite = size is not None and size <= _SMALL
        self._visited: set[Key] = set()
        self._ranks: list[Standing] = []  # sorted, the best first; the trial's number makes ties independent of arrival
        self._rows: list[int] = []  # their rows in the table
        self._num_scored = 0
        self._num_rows = 1  # row 0 is the prior
        self._lies: dict[int, tuple[Mapping[str, object], list[float]]] = {}
        self._model: tuple[Layout, Array] | None = None
        self._best_of: list[Array] | None = None  # of each earlier sweep, their rows

    def _learn(self, finished: Sequence[Trial]) -> None:
        layout, table = self._ready(len(finished))
        if self.ranking.learn(finished):
            known = sorted((self.ranking(rank[-1]), row) for rank, row in zip(self._ranks, self._rows, strict=True))
            self._ranks, self._rows = [rank for rank, _ in known], [row for _, row in known]
        for trial in finished:
            if self._finite:
                self._visited.add(key(self.problem.space, trial.params))
            if trial.phase is Phase.CANCELED:
                continue
            rank = self.ranking(trial.number)
            place = bisect_left(self._ranks, rank)
            self._ranks.insert(place, rank)
            self._rows.insert(place, self._num_rows)
            self._num_scored += rank[0] < FAILED
            table[self._num_rows] = layout.row(trial.params)
            self._num_rows += 1

    def _ready(self, num_new: int) -> tuple[Layout, Array]:
        """Return the layout and a table with room for `num_new` rows and the pending ones."""
        import numpy as np

        from whet.search.parzen import Layout  # numpy and scipy.special: 0.2 s

        if self._model is None:
            layout = Layout(self.problem.space)
            self._model = layout, np.zeros((2 * _LIES, layout.width))
        layout, table = self._model
        while self._num_rows + num_new + _LIES > len(table):
            table = np.concatenate([table, np.zeros_like(table)])
            self._model = layout, table
        return layout, table

    def ask(self, n: int) -> list[Suggestion]:
        space = self.problem.space
        number = self.next_number
        found: list[Suggestion] = []
        lies = self._encode_pending()
        taken = {key(space, trial.params) for trial in self.pending} if self._finite else set()
        while len(found) < n:
            params = self._suggest(number + len(found), lies, taken)
            found.append(Suggestion(params=params))
            if len(found) < n:  # the next one must know of it
                lies.append(self._ready(0)[0].row(params))
                taken.add(key(space, params))
        return found

    def _encode_pending(self) -> list[list[float]]:
        if not self.pending:
            return []
        layout, _ = self._ready(0)
        known, self._lies = self._lies, {}
        for trial in sorted(self.pending, key=lambda t: t.number)[-_LIES:]:
            params, row = known.get(trial.number, (None, []))
            self._lies[trial.number] = trial.params, row if params is trial.params else layout.row(trial.params)
        return [row for _, row in self._lies.values()]

    def _suggest(self, number: int, lies: list[list[float]], taken: set[Key]) -> dict[str, object]:
        space, rng = self.problem.space, self.rng(number)
        avoid = self._finite and len(self._visited) + len(taken) < (space.size or 0)
        if self._num_scored < self._num_startup or not space:
            proposals: Iterator[list[float]] = iter([self._belief.startup(self.seed, self._num_startup, number)])
        else:
            proposals = self._proposals(rng, lies)
        repeat: dict[str, object] | None = None
        for unit in proposals:
            params = space.decode(unit)
            if space.constraints and space.broken(params):
                continue
            if not avoid or not self._is_taken(params, taken):
                return params
            repeat = repeat or params
        for _ in range(_REDRAWS if avoid else 0):
            params = space.sample(rng)
            if not self._is_taken(params, taken):
                return params
        return space.sample(rng) if repeat is None else repeat

    def _is_taken(self, params: Mapping[str, object], taken: set[Key]) -> bool:
        label = key(self.problem.space, params)
        return label in self._visited or label in taken

    def _proposals(self, rng: random.Random, lies: list[list[float]]) -> Iterator[list[float]]:
        """Yield candidates for `Space.decode`, in each round the most promising first."""
        import numpy as np

        from whet.search.parzen import Mixture

        layout, table = self._ready(0)
        num_good = min(math.ceil(self._gamma * self._num_scored), self._max_good)
        past_RW, past_weights = self._past(layout, table)
        rest, weights = self._rest(num_good)
        if lies:
            lies = lies[-_LIES:]
            table[self._num_rows : self._num_rows + len(lies)] = lies
            rest += range(self._num_rows, self._num_rows + len(lies))
            weights += [1.0] * len(lies)
        shrink = -1 / (len(self.problem.space) + 4)  # Scott's rule
        kernels = Mixture(
            layout,
            np.concatenate([table[[0, *self._rows[:num_good]]], past_RW]),
            [self._prior_weight, *[1.0] * num_good, *past_weights],
            max(self._good_width * self._num_scored**shrink, _NARROWEST),
        )
        good: Mixture | Mixed = kernels
        if self._belief:
            good = self._belief.mixed_into(kernels, layout, self._num_scored)
        bad = Mixture(
            layout,
            table[[0, *rest]],
            [self._prior_weight, *weights],
            max(self._bad_width * max(len(rest), 1) ** shrink, _NARROWEST),
        )
        space, shape = self.problem.space, (self._num_candidates, layout.num_draws)
        for last in [False] * _ROUNDS + [True] * bool(space.constraints):
            if last:  # the constraints are too tight for l: of draws within them the most promising
                rows = np.array([layout.row(space.sample(rng)) for _ in range(self._num_candidates)])
                candidates = layout.candidates(*layout.places(rows))
            else:
                draws = np.array([rng.random() for _ in range(shape[0] * shape[1])]).reshape(shape)
                candidates = good.draw(draws)
            score_N = good.log_density(candidates.features_NF) - bad.log_density(candidates.features_NF)
            units = candidates.unit_NP
            yield units[score_N.argmax()].tolist()
            for place in (-score_N).argsort(kind="stable")[1:]:
                yield units[place].tolist()

    def _past(self, layout: Layout, table: Array) -> tuple[Array, list[float]]:
        """Return the rows of the best trials of earlier sweeps, and the weights of their kernels in l, which results outweigh.

        A sweep whose best trials lie where the new results are bad has less of a weight, or none.
        """
        import numpy as np

        from whet.search.parzen import Mixture

        if self._best_of is None:
            rows = [[layout.row(params) for params in best_of(self.problem.space, s)] for s in self.problem.earlier]
            self._best_of = [np.array(own) for own in rows if own]
        weight = _PAST * min(1.0, _FEW / max(self._num_scored, 1)) ** 2
        if not self._best_of or weight < _LEAST_PAST:
            return np.zeros((0, layout.width)), []
        own_NF = layout.features(table[self._rows])
        place_N = _mean_ranks([rank[:-1] for rank in self._ranks])
        parts, weights = [np.zeros((0, layout.width))], list[float]()
        for rows_RW in self._best_of:
            density_N = Mixture(layout, rows_RW, [1.0] * len(rows_RW), self._good_width).log_density(own_NF)
            order_N = _mean_ranks((-density_N).round(9).tolist())  # equal to rounding
            differ = order_N.any() and place_N.any()
            agreement = float(order_N @ place_N) / math.sqrt(order_N @ order_N * (place_N @ place_N)) if differ else 0.0
            trust = min(max(0.5 + 2.0 * agreement, 0.0), 1.0)
            if trust > 0:
                parts.append(rows_RW)
                weights += [trust * weight / (len(self._best_of) * len(rows_RW))] * len(rows_RW)
        return np.concatenate(parts), weights

    def _rest(self, num_good: int) -> tuple[list[int], list[float]]:
        """Return the rows of the kernels in g and their weights: half next to the good ones, half standing for all others."""
        rows, num = self._rows, len(self._rows) - num_good
        if num <= self._num_kernels:
            return rows[num_good:], [1.0] * num
        near = self._num_kernels // 2
        far = self._num_kernels - near
        stride = (num - near) / far
        first = num_good + near
        picked = [rows[first + int(k * stride)] for k in range(far)]
        return rows[num_good:first] + picked, [1.0] * near + [stride] * far


def _mean_ranks(values: Sequence[Any]) -> Array:
    """Return the ranks of `values` less their mean, equal values sharing that of theirs; 0 where all are equal."""
    import numpy as np

    order = sorted(range(len(values)), key=values.__getitem__)
    found, start = np.zeros(len(values)), 0
    for end in range(1, len(order) + 1):
        if end == len(order) or values[order[end]] != values[order[start]]:
            found[order[start:end]] = (start + end - len(order)) / 2
            start = end
    return found
