"""Several objectives by Gaussian processes: the greatest expected gain of hypervolume."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from whet.fronts import boxes, evenly, nondominated, reference
from whet.plugins import knob_whole
from whet.search.base import Searcher
from whet.search.belief import Belief
from whet.search.chances import Chances
from whet.search.choosing import Chooser
from whet.search.course import Course
from whet.search.evidence import FITTED, Evidence, Fitted
from whet.search.one_thread import in_one_thread
from whet.trial import Problem, Suggestion, Trial

if TYPE_CHECKING:
    import numpy as np

    from whet.search.gaussian import Process

    Array = np.ndarray[Any, Any]

__all__ = ["EHVI", "log_expected_gain"]

_LIES = 64  # pending trials that count, the latest ones
_FRONT = {1: 1, 2: 200, 3: 60, 4: 25}  # points of the front that the boxes are made for, by metrics
_MANY = 12  # the same for more metrics: the number of boxes grows fast
_GOOD, _ROUNDS = 12, 12
_SHARED, _SAME = 3, 1e-4  # trials that share the least loss, to so much of the range: nothing lies below
_NOISY = 0.02  # variance of the noise, relative to that of the metric, from which on means make the front


@final
class EHVI(Searcher):
    """Models each metric by a Gaussian process of its own and suggests where the expected gain of hypervolume is greatest.

    The processes are those of `gp` (Matérn-5/2, a length scale a parameter, aware of conditions). The gain is exact for any number of
    metrics: the region that no trial dominates is cut into boxes, and in each the expectation is a product over the metrics; its
    logarithm is taken throughout, so that it points somewhere also where it is far below the smallest float. The reference
    point is a tenth of the range beyond the worst of all trials in each metric (terrible ones are clipped), so that the ends of the front
    are worth finding; and a least loss that several trials share is taken for a bound below which there is nothing to gain.

    Failed trials and NaN count as the worst result in every metric, pending ones as what the models expect of them. The cost of a
    suggestion is bounded as that of `gp` is. With one metric this is expected improvement.

    Once trials were stopped early, how far a trial had come is one feature more, and trials have rows at the resources 1, 3, 9, … as well as
    where they ended (see `whet.search.course`): the processes learn how losses go on, and what is looked for is the gain of a trial that runs
    to its end. Then only complete trials are on the front, or, while there are none, what was last reported; and of those that were stopped
    the reference point heeds what they would have come to.

    Where the sweep has limits, only trials that keep them are on the front (the reference point is beyond all of them even so), and the
    gain is weighted with the probability that a trial does, as in `gp`.

    The first trials are a Latin hypercube. Constraints are kept by rejection. A configuration is not repeated while others are found (see `Chooser`).

    Args:
        num_startup: Results before the models are used, >= 2; None: one more than there are parameters, 5 to 10.
        max_points: The most trials in a model, >= 10.
        num_candidates: Random points at which the gain is looked at first, >= 10.
        prior: The user's belief about good values, as in `gp`.

    Raises:
        ConfigError: a knob outside its range.

    Example:
        >>> from whet.space import Float, Space
        >>> from whet.trial import Metric, Phase
        >>> two = (Metric(name="loss"), Metric(name="size"))
        >>> ehvi, found = EHVI(Problem(space=Space({"x": Float(-5, 5)}), metrics=two), seed=1), []
        >>> for number in range(12):
        ...     x = ehvi.ask(1)[0].params["x"]
        ...     found.append(x)
        ...     ehvi.tell([Trial(number=number, params={"x": x}, phase=Phase.FINISHED, values=(x * x, (x - 2) ** 2))], [])
        >>> all(-0.5 < x < 2.5 for x in found[-4:])
        True

    Source: Emmerich, Giannakoglou & Naujoks, IEEE TEVC 2006; Daulton, Balandat & Bakshy, Differentiable Expected Hypervolume
    Improvement, NeurIPS 2020, for boxes; Ament et al., Unexpected Improvements to Expected Improvement, NeurIPS 2023, for the logarithm; Swersky,
    Snoek & Adams, Multi-Task Bayesian Optimization, NeurIPS 2013, and Klein et al., Fast Bayesian Optimization of Machine Learning
    Hyperparameters on Large Datasets, AISTATS 2017, for what a trial costs as an input of the process.
    """

    suits = "Several metrics and few, dear trials."

    def __init__(self, problem: Problem, *, seed: int, num_startup: int | None = None, max_points: int = 200,
                 num_candidates: int = 400, prior: Mapping[str, object] | None = None) -> None:  # fmt: skip
        super().__init__(problem, seed=seed)
        usual = min(max(5, len(problem.space) + 1), 10)
        self._num_startup = usual if num_startup is None else knob_whole("ehvi", "num_startup", num_startup, 2)
        self._num_candidates = knob_whole("ehvi", "num_candidates", num_candidates, 10)
        self._belief = Belief("ehvi", problem.space, prior)
        self._chooser = Chooser(problem.space)
        self._max_points = knob_whole("ehvi", "max_points", max_points, 10)
        self._evidence = Evidence(problem, self._max_points)
        self._course = Course(problem)
        self._chances = Chances(problem, self._evidence)
        self._fit = Fitted(self._evidence, self._fitted)

    def _learn(self, finished: Sequence[Trial]) -> None:
        self._chooser.learn(finished)
        self._evidence.learn(finished)
        self._course.learn(finished)

    def ask(self, n: int) -> list[Suggestion]:
        return self._in_turn(n, self._suggest)

    def _suggest(self, number: int, pending: Sequence[Mapping[str, object]]) -> dict[str, object]:
        space, rng = self.problem.space, self.rng(number)
        if self._evidence.num_scored < self._num_startup or not space:
            units = [self._belief.startup(self.seed, self._num_startup, number)]
        else:
            units = self._ranked(rng, pending[-_LIES:])
        return self._chooser.choose(units, pending, rng)

    # -- the models -----------------------------------------------------------------------------------------------------

    def _rows(self, numbers: Sequence[int], most: int) -> tuple[Array, Array, Array, list[int]]:
        """Return what a model is made of: points, losses, which of these may be on the front, and whose they are.

        Once trials were stopped the last feature says how far a trial was, and trials have rows on their way, too. Nothing but the trials
        of these numbers decides them, so that what is fitted to some trials does not change while others end.
        """
        import numpy as np

        evidence, course = self._evidence, self._course
        if not any(map(course.stopped, numbers)):
            return evidence.features(numbers), evidence.losses(numbers), np.ones(len(numbers), dtype=bool), [*numbers]
        results: list[int] = []
        others: list[int] = []
        for number, is_scored in zip(numbers, evidence.scored(numbers), strict=True):
            (results if is_scored and not course.stopped(number) else others).append(number)
        rows = course.rows(evidence.ranked(results), evidence.ranked(others), most)
        whose = [row.number for row in rows]
        own = zip(rows, evidence.losses(whose), strict=True)
        loss_NM = np.array([loss if row.losses is None else row.losses for row, loss in own])
        result_N = np.array([row.losses is None for row in rows]) & evidence.scored(whose)
        if not result_N.any():  # nothing has run to its end: what was last reported has to do
            result_N = np.array([number not in whose[:i] for i, number in enumerate(whose)]) & evidence.scored(whose)
        return np.column_stack([evidence.features(whose), [row.share for row in rows]]), loss_NM, result_N, whose

    def _at_the_end(self, z_NF: Array) -> Array:
        """Return points of trials that run to their end."""
        import numpy as np

        return np.column_stack([z_NF, np.ones(len(z_NF))]) if self._course else z_NF

    def _fitted(self, numbers: list[int]) -> list[tuple[Array, float]]:
        """Return length scales and noise of each metric."""
        import numpy as np

        from whet.search.gaussian import fitted

        _, features = self._evidence.tools()
        z, losses, _, _ = self._rows(numbers, min(self._max_points, FITTED))
        groups, count = features.group_F, features.H
        if z.shape[1] > len(groups):
            groups, count = np.append(groups, count), count + 1
        return [fitted(z, column, groups, count) for column in _standard(losses).T]

    def _processes(self, pending: Sequence[Mapping[str, object]]) -> tuple[list[Process], Array, Array, Array]:
        """Return a posterior a metric, the losses of all that may be on the front, which of these keep the limits, and the reference point.

        Pending trials are taken for what is expected of them.
        """
        import numpy as np

        from whet.search.gaussian import Process

        numbers = self._evidence.numbers() if self._course else self._evidence.model()
        z, losses, result, whose = self._rows(numbers, self._max_points)
        y = _standard(losses)
        scales = [(_padded(scale, z.shape[1]), noise) for scale, noise in self._fit()]
        models = [Process(z, column, *scale) for column, scale in zip(y.T, scales, strict=True)]
        # Where a metric is noisy its mean counts, so that a lucky draw does not stand in the way for good.
        noisy = [noise > _NOISY for _, noise in scales]
        mean = np.where(noisy, np.stack([model.mean(z) for model in models], axis=1), y)
        reach = mean
        if self._course:  # what was stopped reaches as far as it would have come
            end = self._at_the_end(z[:, :-1])
            reach = np.where(z[:, -1:] < 1, np.stack([model.mean(end) for model in models], axis=1), mean)
        kept = np.ones(len(mean), dtype=bool)
        if self._chances:  # of pending ones nobody knows, so they may
            kept = self._evidence.kept(whose)
        mean, kept = mean[result], kept[result]
        if pending:
            more = self._at_the_end(self._evidence.features_of(pending))
            lies = np.stack([model.mean(more) for model in models], axis=1)
            z, y, mean, reach = (np.concatenate(pair) for pair in ((z, more), (y, lies), (mean, lies), (reach, lies)))
            kept = np.concatenate([kept, np.ones(len(more), dtype=bool)])
            models = [Process(z, column, *scale) for column, scale in zip(y.T, scales, strict=True)]
        # All trials say how far the metrics reach: by a few, or those that keep the limits, only what dominates these would be a gain.
        return models, mean, kept, reference(reach)

    @in_one_thread
    def _ranked(self, rng: random.Random, pending: Sequence[Mapping[str, object]]) -> list[list[float]]:
        """Return points for `Space.decode`, the one with the greatest expected gain first."""
        import numpy as np

        from whet.search.climb import climbed

        layout, features = self._evidence.tools()
        models, mean_NM, kept_N, far_M = self._processes(pending)
        belief = self._belief.on(layout) if self._belief else None
        weight = self._belief.weight(self._evidence.num_scored)
        chance = self._chances.given(pending) if self._chances else None
        is_aimless = not kept_N[: len(kept_N) - len(pending)].any()  # of pending ones it is not known
        if not is_aimless:
            front = mean_NM[kept_N]
            front = front[nondominated(front)]
            lower, upper = boxes(evenly(front, _FRONT.get(front.shape[1], _MANY)), far_M)
            lower = np.maximum(lower, _floors(mean_NM))

        def score(x_ND: Array, m_ND: Array, h_NC: Array) -> Array:
            z = features.of_points(x_ND, m_ND, h_NC)
            at_end = self._at_the_end(z)
            mean, deviation = zip(*(model(at_end) for model in models), strict=True)
            if is_aimless:  # what keeps the limits is to be found first
                value = np.zeros(len(z))
            else:
                value = log_expected_gain(np.stack(mean, axis=1), np.stack(deviation, axis=1), lower, upper)
            if chance is not None:
                value = value + chance(z)
            return value if belief is None else value + weight * belief.log_density(x_ND, m_ND, h_NC)

        generator = np.random.Generator(np.random.PCG64(rng.getrandbits(64)))
        best = self._evidence.rows(self._evidence.ordered()[:_GOOD])
        return climbed(layout, score, generator, layout.places(best), self._num_candidates, _ROUNDS)


def log_expected_gain(mean_NM: Array, deviation_NM: Array, lower_KM: Array, upper_KM: Array) -> Array:
    """Return the logarithm of the expected gain of hypervolume at N points whose M losses are independent and normal.

    In a box the gain of a point y is Π_m (upper − max(lower, y))₊, whose factors have the expectation E(upper − y)₊ − E(lower − y)₊.

    Args:
        mean_NM, deviation_NM: Of the losses.
        lower_KM, upper_KM: Corners of the boxes, see `whet.fronts.boxes`.
    """
    import numpy as np

    from whet.search.gaussian import log_expected_improvement

    N, M = mean_NM.shape
    log_NK = np.zeros((N, len(lower_KM)))
    for m in range(M):
        levels, place = np.unique(np.concatenate([lower_KM[:, m], upper_KM[:, m]]), return_inverse=True)
        at_NL = np.full((N, len(levels)), -np.inf)
        finite = np.isfinite(levels)
        mean, deviation = mean_NM[:, m, None], deviation_NM[:, m, None]
        wide = np.broadcast_to(deviation, (N, int(finite.sum())))
        at_NL[:, finite] = log_expected_improvement(mean - levels[finite], wide, 0.0)
        low, high = at_NL[:, place[: len(lower_KM)]], at_NL[:, place[len(lower_KM) :]]
        # log(eʰ − eˡ) = h + log(1 − e^(l − h)), by the form that keeps most digits
        gap = np.minimum(low - high, -1e-300)
        with np.errstate(divide="ignore"):
            log_NK += high + np.where(gap > -math.log(2), np.log(-np.expm1(gap)), np.log1p(-np.exp(gap)))
    top_N = log_NK.max(axis=1)
    safe_N = np.where(np.isfinite(top_N), top_N, 0.0)
    with np.errstate(divide="ignore"):
        found: Array = np.log(np.exp(log_NK - safe_N[:, None]).sum(axis=1)) + safe_N
    return found


def _padded(scale_F: Array, size: int) -> Array:
    """Return scales of as many features: of how far a trial was nothing is known before the next fit."""
    import numpy as np

    return np.append(scale_F, np.ones(size - len(scale_F)))


def _floors(loss_NM: Array) -> Array:
    """Return for each metric the least loss if several trials share it, or all but, so that it is a bound that no trial will get below; else −∞.

    A smooth model sees no such bound (an error of 0, a share, a count) and promises what lies below it, for ever at the front's ends.
    """
    import numpy as np

    least, most = loss_NM.min(axis=0), loss_NM.max(axis=0)
    shared = (loss_NM <= least + _SAME * (most - least)).sum(axis=0)
    found: Array = np.where(shared >= _SHARED, least, -np.inf)
    return found


def _standard(loss_NM: Array) -> Array:
    """Return losses with mean 0 and deviation 1 in each metric, clipped from above; NaN and infinity become the worst.

    What is clipped lies far beyond the median, and beyond the front by more than its range: at the end of a front half of all losses may
    be next to the least. No shape is changed, as `gp` does it for one metric: volumes would be bent.
    """
    import numpy as np

    found = np.zeros_like(loss_NM)
    front_N = nondominated(loss_NM)
    for m, loss in enumerate(loss_NM.T):
        finite = np.isfinite(loss)
        if not finite.any():
            continue
        loss = loss / max(float(np.abs(loss[finite]).max()), 1e-300)  # so that no square overflows
        low, middle, high = np.quantile(loss[finite], [0.0, 0.5, 1.0])
        y = np.where(finite, loss, np.where(loss == -np.inf, low, high))
        worst = loss[front_N & finite].max(initial=middle)
        most = max(middle + 5.0 * (middle - low), worst + (worst - low))
        y = np.minimum(y, most) if most > low else y
        deviation = y.std()
        if deviation > 1e-12 * max(1.0, abs(float(middle))):
            found[:, m] = (y - y.mean()) / deviation
    return found
