"""Several objectives by Parzen estimators (MOTPE): look where trials of the front lie densely and the others do not."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from whet.fronts import contributions, reference, spread
from whet.plugins import knob_number, knob_whole
from whet.search.base import Searcher
from whet.search.belief import Belief
from whet.search.choosing import Chooser
from whet.search.layers import KeptLayers
from whet.trial import Phase, Problem, Suggestion, Trial

if TYPE_CHECKING:
    import numpy as np

    from whet.search.belief import Mixed
    from whet.search.parzen import Layout

    Array = np.ndarray[Any, Any]

__all__ = ["MOTPE"]

_LEAST = 1e-6  # of knobs that must be above 0
_NARROWEST = 0.01  # of the range: the least width of a kernel
_LIES = 256  # pending trials that count, the latest ones
_ROUNDS = 4  # of candidates, where constraints or repeats refuse them all


@final
class MOTPE(Searcher):
    """Models good and other trials by two densities l and g, draws candidates from l and takes the one with the highest l/g.

    Good are the best ``min(ceil(gamma * n), max_good)`` of n trials: by rank (those that no other trial beats in every metric, then those
    that only these beat, …), and of the rank that is not wholly good those that together cover most hypervolume. In l each weighs what
    would be lost without it. Trials that failed, were stopped early or gave NaN are not good; pending ones count so too, so that parallel
    suggestions keep their distance. Ranks are kept up trial by trial and both densities are bounded in size, so that the cost of a
    suggestion hardly grows with the history. With one metric this is `tpe` without its ranking of stopped trials.

    The first trials are a Latin hypercube. Constraints are kept by rejection, at last by plain sampling. A configuration is not
    repeated while others are found (see `Chooser`).

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
        ConfigError: a knob outside its range.

    Example:
        >>> from whet.space import Float, Space
        >>> from whet.trial import Metric
        >>> two = (Metric(name="loss"), Metric(name="size"))
        >>> motpe = MOTPE(Problem(space=Space({"x": Float(-5, 5)}), metrics=two), seed=1)
        >>> for number in range(60):
        ...     x = motpe.ask(1)[0].params["x"]
        ...     told = Trial(number=number, params={"x": x}, phase=Phase.FINISHED, values=(x * x, (x - 2) ** 2))
        ...     motpe.tell([told], [])
        >>> -0.5 < motpe.ask(1)[0].params["x"] < 2.5
        True

    Source: Ozaki et al., Multiobjective Tree-Structured Parzen Estimator, JAIR 2022 (first at GECCO 2020).
    """

    suits = "Several metrics and hundreds of trials, with conditions."

    def __init__(self, problem: Problem, *, seed: int, num_startup: int = 10, gamma: float = 0.1, max_good: int = 25,
                 num_candidates: int = 24, num_kernels: int = 200, good_width: float = 0.08, bad_width: float = 0.1,
                 prior_weight: float = 1.0, prior: Mapping[str, object] | None = None) -> None:  # fmt: skip
        super().__init__(problem, seed=seed)
        self._num_startup = knob_whole("motpe", "num_startup", num_startup, 1)
        self._gamma = knob_number("motpe", "gamma", gamma, _LEAST, 1)
        self._max_good = knob_whole("motpe", "max_good", max_good, 1)
        self._num_candidates = knob_whole("motpe", "num_candidates", num_candidates, 1)
        self._num_kernels = knob_whole("motpe", "num_kernels", num_kernels, 2)
        self._good_width = knob_number("motpe", "good_width", good_width, _LEAST, 1)
        self._bad_width = knob_number("motpe", "bad_width", bad_width, _LEAST, 1)
        self._prior_weight = knob_number("motpe", "prior_weight", prior_weight, _LEAST)
        self._belief = Belief("motpe", problem.space, prior)
        self._chooser = Chooser(problem.space)
        self.ranking = KeptLayers(problem)  # of the trials that can be good
        self._numbers: list[int] = []  # of all trials that count, sorted
        self._sorted = True
        self._rows: dict[int, list[float]] = {}
        self._layout_made: Layout | None = None
        self._chosen: tuple[tuple[int, list[list[int]]], tuple[list[int], list[float]]] | None = None
        self._parted: tuple[list[int], list[float], list[int], list[float]] | None = None

    def _learn(self, finished: Sequence[Trial]) -> None:
        self._chooser.learn(finished)
        self._parted = None
        self.ranking.learn(finished)
        for trial in finished:
            if trial.phase is Phase.CANCELED:
                continue
            self._numbers.append(trial.number)
            self._sorted = False
            self._rows[trial.number] = self._layout.row(trial.params)

    @property
    def _layout(self) -> Layout:
        from whet.search.parzen import Layout  # numpy and scipy.special: 0.2 s

        if self._layout_made is None:
            self._layout_made = Layout(self.problem.space)
        return self._layout_made

    def ask(self, n: int) -> list[Suggestion]:
        return self._in_turn(n, self._suggest)

    def _suggest(self, number: int, pending: Sequence[Mapping[str, object]]) -> dict[str, object]:
        rng = self.rng(number)
        return self._chooser.choose(self._units(number, rng, pending), pending, rng)

    def _units(
        self, number: int, rng: random.Random, pending: Sequence[Mapping[str, object]]
    ) -> Iterator[Sequence[float]]:
        """Yield candidates for `Space.decode`, in each round the most promising first."""
        space = self.problem.space
        if len(self.ranking.losses) < self._num_startup or not space:
            yield self._belief.startup(self.seed, self._num_startup, number)
            return
        import numpy as np

        from whet.search.parzen import Mixture

        layout = self._layout
        good, good_weights, rest, weights = self._parts()
        lies = [layout.row(params) for params in pending[-_LIES:]]
        prior = [0.0] * layout.width
        shrink = -1 / (len(space) + 4)  # Scott's rule
        densities = (
            Mixture(
                layout, np.array([prior, *(self._rows[n] for n in good)]), [self._prior_weight, *good_weights],
                max(self._good_width * len(self.ranking.losses) ** shrink, _NARROWEST),
            ),
            Mixture(
                layout, np.array([prior, *(self._rows[n] for n in rest), *lies]), [self._prior_weight, *weights, *[1.0] * len(lies)],
                max(self._bad_width * max(len(rest) + len(lies), 1) ** shrink, _NARROWEST),
            ),
        )  # fmt: skip
        l_density: Mixture | Mixed = densities[0]
        if self._belief:
            l_density = self._belief.mixed_into(densities[0], layout, len(self.ranking.losses))
        shape = (self._num_candidates, layout.num_draws)
        for _ in range(_ROUNDS):
            draws = np.array([rng.random() for _ in range(shape[0] * shape[1])]).reshape(shape)
            candidates = l_density.draw(draws)
            score_N = l_density.log_density(candidates.features_NF) - densities[1].log_density(candidates.features_NF)
            yield from candidates.unit_NP[(-score_N).argsort(kind="stable")].tolist()

    def _parts(self) -> tuple[list[int], list[float], list[int], list[float]]:
        """Return the numbers of the good trials and of those in g, both with their weights."""
        if self._parted is None:
            good, weights = self._good()
            if not self._sorted:
                self._numbers.sort()
                self._sorted = True
            chosen = set(good)
            rest = [n for n in self._numbers if n not in chosen]
            # Those next to the good ones all count, of the others an even choice stands for the rest.
            most = self._num_kernels
            near: list[int] = []
            if len(rest) > most:
                next_to = [n for layer in self.ranking.first(len(good) + most // 2) for n in layer if n not in chosen]
                near = next_to[: most // 2]
            taken = set(near)
            others = [n for n in rest if n not in taken] if near else rest
            stride = max(len(others) / (most - len(near)), 1.0)
            far = [others[int(i * stride)] for i in range(min(most - len(near), len(others)))]
            self._parted = good, weights, near + far, [1.0] * len(near) + [stride] * len(far)
        return self._parted

    def _good(self) -> tuple[list[int], list[float]]:
        """Return the numbers of the good trials, and their weights in l, whose mean is 1."""
        import numpy as np

        count = min(math.ceil(self._gamma * len(self.ranking.losses)), self._max_good)
        layers = self.ranking.first(count)
        good = [n for layer in layers[:-1] for n in layer]
        last = layers[-1]
        if self._chosen is not None and self._chosen[0] == (count, layers):  # most trials change nothing
            return self._chosen[1]
        loss_NM = _finite(np.array([self.ranking.losses[n] for n in [*good, *last]]))
        far = reference(loss_NM)
        of_last = loss_NM[len(good) :]
        picked = spread(of_last, count - len(good), far)
        weights = np.zeros(count)
        if not good:  # deeper ones add nothing to the front
            weights = contributions(of_last[picked], far)
        else:
            first = contributions(loss_NM[: len(layers[0])], far)
            weights[: len(first)] = first
        mean = float(weights.mean())
        # A trial that adds nothing is still good.
        shares = 0.5 + 0.5 * weights / mean if mean > 0 and math.isfinite(mean) else np.ones(count)
        found = [*good, *(last[i] for i in picked)], shares.tolist()
        self._chosen = (count, layers), found
        return found


def _finite(loss_NM: Array) -> Array:
    """Return losses from 0 to 1 in each metric, infinite ones beyond the finite ones."""
    import numpy as np

    found = np.zeros_like(loss_NM)
    for m, loss in enumerate(loss_NM.T):
        finite = np.isfinite(loss)
        if finite.any():
            scaled = loss / max(float(np.abs(loss[finite]).max()), 1e-300)  # so that no difference overflows
            low, high = scaled[finite].min(), scaled[finite].max()
            found[:, m] = (np.clip(scaled, 2 * low - high, 2 * high - low) - low) / max(high - low, 1e-300)
        found[:, m] = np.where(loss == np.inf, 2.0, np.where(loss == -np.inf, -1.0, found[:, m]))
    return found
