"""Bayesian optimization with a Gaussian process: the most of few trials."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, final

from whet.plugins import knob_whole
from whet.search.base import Searcher
from whet.search.belief import Belief
from whet.search.chances import Chances
from whet.search.choosing import Chooser
from whet.search.costs import Costs
from whet.search.evidence import Evidence, Fitted
from whet.search.one_thread import in_one_thread
from whet.trial import Problem, Suggestion, Trial

if TYPE_CHECKING:
    import numpy as np

    from whet.search.gaussian import Process
    from whet.search.merit import Merit
    from whet.search.transfer import Expectation, Experience

    Array = np.ndarray[Any, Any]

__all__ = ["GP"]

_LIES = 64  # pending trials that count, the latest ones
_GOOD, _ROUNDS = 10, 3
_MARGIN = 0.02  # of every other suggestion: improvements that count, in deviations of the results


@final
class GP(Searcher):
    """Models the results by a Gaussian process and suggests where the expected improvement is greatest.

    The kernel is Matérn-5/2 with a length scale a parameter; it knows which parameters are inactive, and options of an unordered choice
    are equally far from each other. Length scales and noise have the greatest posterior density; results are clipped from above
    and made about normal (Yeo–Johnson), so that a few terrible ones do not matter. Failed trials and NaN count as the worst result, pending
    ones as what the model expects of them. The cost of a suggestion is bounded: of many trials the best ones and an even choice of the
    others are kept.

    Where the sweep has limits, each limited value has a process of its own, improvements are over the best trial that keeps them, and the
    logarithm of the improvement is joined by that of the probability that all are kept; while no trial keeps them that alone counts.

    Every other suggestion counts only improvements that are worth mentioning, or the search would polish the best trial for long where
    a better one is far away. The first trials are a Latin hypercube, the very first one in the middle of all ranges. Constraints are kept by
    rejection. A configuration is not repeated while others are found (see `Chooser`).

    Args:
        num_startup: Results before the model is used, >= 2; None: one more than there are parameters, 5 to 10.
        max_points: The most trials in the model, >= 10.
        num_candidates: Random points at which expected improvement is looked at first, >= 10.
        prior: Good values that the user believes in, by name of the parameter: ``{"lr": 0.01}``, or with a confidence
            ``{"lr": {"value": 0.01, "confidence": "high"}}`` (low, medium, high). The first trials are drawn from this belief; results
            outweigh it in time, so that a wrong one costs little. No range changes.
        cost: What trials cost, by name: ``"seconds"``, a metric, or an attribute that trials report. Log EI is lessened by α times the
            logarithm of the cost that a process of its own expects (see `Costs`). None: improvements count alike whatever they cost.
        budget: What all trials together may cost, > 0: α falls from 1 to 0 while it is used up, since at last only the improvement
            matters. None: α stays 1. A sweep with ``terminate: {cost: …}`` fills it in.

    Raises:
        StudyError: the problem has several metrics.
        ConfigError: a knob outside its range.

    Example:
        >>> from whet.space import Float, Space
        >>> from whet.trial import Phase
        >>> gp, found = GP(Problem(space=Space({"x": Float(-5, 5)})), seed=1), []
        >>> for number in range(12):
        ...     x = gp.ask(1)[0].params["x"]
        ...     found.append((x - 2) ** 2)
        ...     gp.tell([Trial(number=number, params={"x": x}, phase=Phase.FINISHED, values=(found[-1],))], [])
        >>> min(found) < 0.01
        True

    Source: Snoek et al., Practical Bayesian Optimization of Machine Learning Algorithms, NeurIPS 2012; Hvarfner et al., ICML 2024, for
    the length scales' prior, and ICLR 2022 for the user's; Cowen-Rivers et al., HEBO, JAIR 2022, for the transformed results; Gardner et al., ICML 2014, for limits; Ament et al.,
    NeurIPS 2023, for log EI; Lee et al., Cost-aware Bayesian Optimization, arXiv 2003.10870, for costs.
    """

    suits = "Few, dear trials with one metric; costs some 10 ms a suggestion."

    def __init__(self, problem: Problem, *, seed: int, num_startup: int | None = None, max_points: int = 300,
                 num_candidates: int = 400, prior: Mapping[str, object] | None = None, cost: str | None = None,
                 budget: float | None = None) -> None:  # fmt: skip
        super().__init__(problem, seed=seed)
        assert problem.metric  # says so where there are several
        usual = min(max(5, len(problem.space) + 1), 10)
        self._num_startup = usual if num_startup is None else knob_whole("gp", "num_startup", num_startup, 2)
        self._num_candidates = knob_whole("gp", "num_candidates", num_candidates, 10)
        self._belief = Belief("gp", problem.space, prior)
        self._chooser = Chooser(problem.space)
        self._evidence = Evidence(problem, knob_whole("gp", "max_points", max_points, 10))
        self._chances = Chances(problem, self._evidence)
        self._costs = Costs("gp", problem, self._evidence, cost, budget)
        self._experience: Experience | None = None
        self._fit = Fitted(self._evidence, self._fitted)
        self._model: tuple[Array, Array, Process, float] | None = None

    def _learn(self, finished: Sequence[Trial]) -> None:
        self._model = None
        self._chooser.learn(finished)
        self._evidence.learn(finished)
        self._costs.learn(finished)

    def ask(self, n: int) -> list[Suggestion]:
        found = self._in_turn(n, self._suggest)
        note = self._costs.note(self._num_startup)
        return [replace(suggestion, note=note) for suggestion in found] if note else found

    def _suggest(self, number: int, pending: Sequence[Mapping[str, object]]) -> dict[str, object]:
        space, rng = self.problem.space, self.rng(number)
        if self._evidence.num_scored < self._num_startup or not space:
            units = [self._belief.startup(self.seed, self._num_startup, number)]
        else:
            units = self._ranked(rng, pending[-_LIES:], _MARGIN if number % 2 else 0.0)
        return self._chooser.choose(units, pending, rng)

    @property
    def foresees(self) -> bool:
        return True

    @in_one_thread
    def expected_gain(self) -> float | None:
        if self._evidence.num_scored < self._num_startup or not self.problem.space:
            return None
        process, best = self._process([])
        if math.isinf(best):
            return None  # whatever keeps the limits is a gain
        import numpy as np

        from whet.search.normal import normalised_unit

        # What is most improved by, whatever it costs and whoever believes in it; and what has been tried can't be the next.
        rng = random.Random(f"{self.seed}/gain/{self.num_told}")
        merit = self._merit(process, best, [])
        params = self._chooser.choose(self._climbed(merit, rng), [], rng)
        gain = math.exp(float(merit.at(self._evidence.features_of([params]))[0]))
        numbers = self._evidence.model()
        loss_M, kept = self._evidence.losses(numbers)[:, 0], self._evidence.kept(numbers)
        place = int(np.where(kept, loss_M, np.inf).argmin())
        return gain * normalised_unit(loss_M, place)

    def _fitted(self, numbers: list[int]) -> tuple[Array, float, Expectation | None]:
        """Return length scales and noise, and what earlier sweeps let expect; with any, the scales and the noise are of what is left."""
        from whet.search.gaussian import fitted
        from whet.search.normal import normalised

        _, features = self._evidence.tools()
        z, y = self._evidence.features(numbers), normalised(self._evidence.losses(numbers)[:, 0])
        scale_F, noise = fitted(z, y, features.group_F, features.H)
        expectation = self._expectation(z, y, scale_F, noise)
        if expectation:
            scale_F, noise = fitted(z, y - expectation(z), features.group_F, features.H)
        return scale_F, noise, expectation

    def _expectation(self, z_MF: Array, y_M: Array, scale_F: Array, noise: float) -> Expectation | None:
        if not self.problem.earlier:
            return None
        from whet.search.gaussian import Process
        from whet.search.transfer import Experience

        if self._experience is None:
            self._experience = Experience(self.problem.earlier, *self._evidence.tools())
        return self._experience.expectation(z_MF, y_M, Process(z_MF, y_M, scale_F, noise)) or None

    def _process(self, pending: Sequence[Mapping[str, object]]) -> tuple[Process, float]:
        """Return the posterior (of what earlier sweeps do not explain), pending trials taken for what is expected of them, and the best mean at a finished trial that keeps the limits (∞: none does)."""
        import numpy as np

        from whet.search.gaussian import Process
        from whet.search.normal import normalised

        scale_F, noise, expectation = self._fit()
        if self._model is None:
            numbers = self._evidence.model()
            z, y = self._evidence.features(numbers), normalised(self._evidence.losses(numbers)[:, 0])
            known = 0.0 if expectation is None else expectation(z)
            process = Process(z, y - known, scale_F, noise)
            mean = process.mean(z) + known
            if self._chances:
                mean = mean[self._evidence.kept(numbers)]
            self._model = z, y - known, process, float(mean.min(initial=math.inf))
        z, y, process, best = self._model
        if pending:
            more = self._evidence.features_of(pending)
            process = Process(np.concatenate([z, more]), np.concatenate([y, process.mean(more)]), scale_F, noise)
        return process, best

    @in_one_thread
    def _ranked(self, rng: random.Random, pending: Sequence[Mapping[str, object]], margin: float) -> list[list[float]]:
        """Return points for `Space.decode`, the one with the greatest expected improvement first."""
        process, best = self._process(pending)
        layout, _ = self._evidence.tools()
        weight = self._belief.weight(self._evidence.num_scored)
        belief = (self._belief.on(layout), weight) if self._belief else None
        merit = self._merit(process, best - margin, pending, expense=self._costs.expense(), belief=belief)
        return self._climbed(merit, rng)

    def _merit(self, process: Process, goal: float, pending: Sequence[Mapping[str, object]], **more: Any) -> Merit:
        from whet.search.merit import Merit

        _, features = self._evidence.tools()
        chance = self._chances.given(pending) if self._chances else None
        return Merit(features, process, goal, expectation=self._fit()[2], chance=chance, **more)

    def _climbed(self, merit: Merit, rng: random.Random) -> list[list[float]]:
        import numpy as np

        from whet.search.climb import climbed

        layout, _ = self._evidence.tools()
        generator = np.random.Generator(np.random.PCG64(rng.getrandbits(64)))
        good = layout.places(self._evidence.rows(self._evidence.ordered()[:_GOOD]))
        return climbed(layout, merit.score, generator, good, self._num_candidates, _ROUNDS, merit.slope)
