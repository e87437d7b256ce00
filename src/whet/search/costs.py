"""What trials cost, as a Gaussian process expects it: what a search weighs improvements by where some trials are much dearer than others.

Shape suffixes: N points, M training points, F features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

from whet.errors import ConfigError
from whet.plugins import knob_number
from whet.search.evidence import Evidence, Fitted
from whet.trial import Problem, Trial

if TYPE_CHECKING:
    import numpy as np

    from whet.search.gaussian import Process

    Array = np.ndarray[Any, Any]

__all__ = ["Costs", "Expense", "check_cost"]

_FEWEST = 2  # costs that a model is made of
_ALIKE = 1e-9  # logarithms this near to each other are equal
_USUAL = 1.0
_FREE = 0.01  # of what all trials have cost so far: what costs less is as good as free
_HUGE = 1e290  # sums of greater ones overflow


def check_cost(owner: str, name: object, budget: object) -> None:
    """Check what a method is told of costs.

    Raises:
        ConfigError: a name that is none, a budget that is no positive number, or one without a name.
    """
    if name is not None and (not isinstance(name, str) or not name):
        fix = "name it: seconds, one of the metrics, or an attribute that the trials report"
        raise ConfigError(f"{owner} has cost={name!r}, not the name of a value", fix)
    if budget is not None and name is None:
        raise ConfigError(f"{owner} has budget={budget!r} of no cost", "add cost, such as cost: seconds")
    if budget is not None and not knob_number(owner, "budget", budget, 0.0) > 0:
        raise ConfigError(f"{owner} has budget=0", "give budget a number above 0")


@final
class Costs:
    """The costs of a growing history, and a model of their logarithm: the same kernel as that of losses, fitted at the same times.

    A hundredth of what all trials have cost so far is added to what one is expected to cost, or a search would go on for ever where trials are
    a thousand times as cheap as elsewhere.

    Every trial that is over counts with what it took, a failed or stopped one, too. What it did not report, or what is no positive
    number, is not modelled.

    Args:
        owner: The method's name, for errors.
        problem: Space and metrics.
        evidence: The trials.
        name: Of the cost: ``seconds``, a metric or an attribute; None: costs don't matter, and this is false.
        budget: What all trials together may cost, > 0; None: nobody said.

    Raises:
        ConfigError: as `check_cost`.

    Source: Snoek et al., Practical Bayesian Optimization of Machine Learning Algorithms, NeurIPS 2012, for the model; Lee et al.,
    Cost-aware Bayesian Optimization, arXiv 2003.10870 (2020), for cooling.
    """

    def __init__(self, owner: str, problem: Problem, evidence: Evidence, name: object, budget: object) -> None:
        check_cost(owner, name, budget)
        self._problem = problem
        self._evidence = evidence
        self.name: str | None = name  # type: ignore[assignment]
        self._budget: float | None = budget  # type: ignore[assignment]
        self._logs: dict[int, float] = {}  # by number, NaN where it is not known
        self._num_known = 0
        self._spent: list[float] = []
        self._fit = Fitted(evidence, self._fitted)

    def __bool__(self) -> bool:
        return self.name is not None

    def learn(self, finished: Sequence[Trial]) -> None:
        """Take in trials that are newly over."""
        if self.name is None:
            return  # and no note
        for trial in finished:
            value = self._problem.measured(self.name, trial)
            fine = value is not None and 0.0 < value < math.inf
            self._num_known += fine
            self._logs[trial.number] = math.log(value) if fine else math.nan  # type: ignore[arg-type]
            if value is not None and math.isfinite(value):
                self._spent.append(value)

    @property
    def weight(self) -> float:
        """The power of the cost that improvements are divided by: the share of the budget that is left; 1 where there is none."""
        if self._budget is None:
            return _USUAL
        shares = (min(max(value / self._budget, -_HUGE), _HUGE) for value in self._spent)
        spent = math.fsum(shares)  # exact, so that the order of arrival does not matter
        return min(max(1.0 - spent, 0.0), 1.0)

    def note(self, count: int) -> str:
        """Return what the user should know, in words: that `count` trials or more are over, and none of them said what it cost. Else empty."""
        if len(self._logs) < count or self._num_known:
            return ""
        return (
            f"none of {len(self._logs)} trials has reported {self.name} as a number above 0, so costs are not weighed"
        )

    def expense(self) -> Expense | None:
        """Return what a trial is expected to cost; None where nothing is known, or costs are all alike or matter no more."""
        from whet.search.gaussian import Process

        if self.name is None or not (weight := self.weight):
            return None
        numbers = self._evidence.model()
        z, log_M = self._data(numbers)
        if not _differ(log_M) or (scale := self._fit()) is None:
            return None
        mean, deviation = float(log_M.mean()), float(log_M.std())
        process = Process(z, (log_M - mean) / deviation, *scale)
        known = [log for log in self._logs.values() if log == log]
        most = max(known)
        spent = most + math.log(math.fsum(math.exp(log - most) for log in known))
        return Expense(process, mean, deviation, weight, spent + math.log(_FREE))

    def _fitted(self, numbers: list[int]) -> tuple[Array, float] | None:
        from whet.search.gaussian import fitted

        _, features = self._evidence.tools()
        z, log_M = self._data(numbers)
        if not _differ(log_M):
            return None
        return fitted(z, (log_M - log_M.mean()) / log_M.std(), features.group_F, features.H)

    def _data(self, numbers: Sequence[int]) -> tuple[Array, Array]:
        """Return points and log costs of those trials whose cost is known."""
        import numpy as np

        log_M = np.array([self._logs[number] for number in numbers])
        known = np.isfinite(log_M)
        return self._evidence.features(numbers)[known], log_M[known]


@final
class Expense:
    """−α·log(E[cost] + free), as a function of the point, for a cost whose logarithm is normal: log E[cost] = μ + σ²/2.

    Args:
        process: Of the log cost, made standard.
        mean, deviation: Of the log costs it was made of.
        weight: α.
        free: The logarithm of what hardly counts, −∞ where everything does.
    """

    def __init__(self, process: Process, mean: float, deviation: float, weight: float, free: float) -> None:
        self._process = process
        self._mean, self._deviation, self._weight, self._free = mean, deviation, weight, free

    def __call__(self, z_NF: Array) -> Array:
        """Return it at N points."""
        import numpy as np

        mean_N, deviation_N = self._process(z_NF)
        spread_N = self._deviation * deviation_N
        log_N = self._mean + self._deviation * mean_N + 0.5 * spread_N * spread_N
        found: Array = -self._weight * np.logaddexp(log_N, self._free)
        return found

    def slope(self, z_F: Array) -> tuple[float, Array]:
        """Return it at one point, and its gradient."""
        import numpy as np

        mean, deviation, mean_F, deviation_F = self._process.moments(z_F)
        spread = self._deviation * deviation
        log = self._mean + self._deviation * mean + 0.5 * spread * spread
        whole = float(np.logaddexp(log, self._free))
        gradient_F: Array = (-self._weight * math.exp(log - whole) * self._deviation) * (mean_F + spread * deviation_F)
        return -self._weight * whole, gradient_F


def _differ(log_M: Array) -> bool:
    return len(log_M) >= _FEWEST and float(log_M.max() - log_M.min()) > _ALIKE
