"""What Gaussian processes learn from: the trials of a history in bounded number, as points and losses.

Shape suffixes: M trials, K metrics, W columns of a row, F features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

from whet.search.history import thinned
from whet.search.limits import Limits, milestone
from whet.trial import Phase, Problem, Trial

if TYPE_CHECKING:
    import numpy as np

    from whet.search.gaussian import Features
    from whet.search.parzen import Layout

    Array = np.ndarray[Any, Any]

__all__ = ["FITTED", "Evidence", "Fitted"]

T = TypeVar("T")

FITTED = 160  # rows that length scales are fitted to


@final
class Evidence:
    """The trials that are over, canceled ones left out; failed ones, and NaN in any metric, have a loss of NaN in all of them.

    Args:
        problem: Space and metrics.
        max_points: The most trials in a model.
    """

    def __init__(self, problem: Problem, max_points: int) -> None:
        self._problem = problem
        self._max_points = max_points
        self._nothing = (math.nan,) * len(problem.metrics)
        self._limits = Limits(problem)
        self._measured: dict[int, tuple[float, ...]] = {}  # what the limits are about, NaN where it was not reported
        self._losses: dict[int, tuple[float, ...]] = {}
        self._params: dict[int, Mapping[str, object]] = {}
        self._rows: dict[int, list[float]] = {}
        self._ordered: list[int] | None = None
        self._fitted: tuple[list[int], list[int]] | None = None  # of the first ones, those that are fitted to
        self._tools: tuple[Layout, Features] | None = None
        self.num_scored = 0

    def learn(self, finished: Sequence[Trial]) -> None:
        """Take in trials that are newly over."""
        self._ordered = None
        self._limits.learn(finished)
        for trial in finished:
            if trial.phase is not Phase.CANCELED:
                losses = self._losses_of(trial)
                self._losses[trial.number], self._params[trial.number] = losses, trial.params
                self.num_scored += losses is not self._nothing
                if self._problem.limits:
                    said = (self._problem.measured(limit.name, trial) for limit in self._problem.limits)
                    self._measured[trial.number] = tuple(math.nan if v is None else v for v in said)

    def _losses_of(self, trial: Trial) -> tuple[float, ...]:
        values = trial.values if trial.complete else None
        if trial.phase is Phase.FINISHED and trial.stopped and trial.reports:
            values = trial.reports[-1].values
        if values is None or any(math.isnan(v) for v in values):
            return self._nothing
        return self._problem.losses(values)

    def tools(self) -> tuple[Layout, Features]:
        """Return the layout of the space and its features."""
        from whet.search.gaussian import Features
        from whet.search.parzen import Layout  # numpy and scipy: 0.3 s

        if self._tools is None:
            layout = Layout(self._problem.space)
            self._tools = layout, Features(layout)
        return self._tools

    def rows(self, numbers: Sequence[int]) -> Array:
        """Return the trials' rows of the layout, each made once."""
        import numpy as np

        layout, _ = self.tools()
        for number in numbers:
            if number not in self._rows:
                self._rows[number] = layout.row(self._params[number])
        return np.array([self._rows[number] for number in numbers])

    def features(self, numbers: Sequence[int]) -> Array:
        """Return the trials as points."""
        return self.tools()[1].of_rows(self.rows(numbers))

    def features_of(self, params: Sequence[Mapping[str, object]]) -> Array:
        """Return configurations as points."""
        import numpy as np

        layout, features = self.tools()
        return features.of_rows(np.array([layout.row(one) for one in params]))

    def losses(self, numbers: Sequence[int]) -> Array:
        """Return the trials' losses [trial, metric]."""
        import numpy as np

        return np.array([self._losses[number] for number in numbers])

    def measured(self, numbers: Sequence[int]) -> Array:
        """Return what the trials measured of the values that are limited [trial, limit], NaN where they did not."""
        import numpy as np

        return np.array([self._measured[number] for number in numbers])

    def scored(self, numbers: Sequence[int]) -> Array:
        """Return which of the trials have losses."""
        import numpy as np

        return np.array([self._losses[n] is not self._nothing for n in numbers], dtype=bool)

    def kept(self, numbers: Sequence[int]) -> Array:
        """Return which of the trials have losses and keep all limits."""
        import numpy as np

        found: Array = self.scored(numbers) & np.array([not self._limits.off(n) for n in numbers], dtype=bool)
        return found

    def numbers(self) -> list[int]:
        """Return all trials."""
        return sorted(self._losses)

    def ordered(self) -> list[int]:
        """Return all trials, the best first: by loss, or with several metrics by rank; equal ones by number, NaN last.

        Those beyond the limits come after those that keep them, the nearest first.
        """
        if self._ordered is None:
            self._ordered = self.ranked(self.numbers())
        return self._ordered

    def model(self) -> list[int]:
        """Return the trials that a model is made of, in the order of their numbers: a half of them the best ones, and an even choice."""
        return sorted(thinned(self.ordered(), self._max_points))

    def fitted(self) -> list[int]:
        """Return the trials that length scales are fitted to: of the first 20, 22, 24, 26 … by number, so that it need not be done each time."""
        first = sorted(self._losses)[: milestone(len(self._losses))]
        if (
            self._fitted is None or self._fitted[0] != first
        ):  # they change at milestones, or where a late one comes among them
            self._fitted = first, first if len(first) <= FITTED else sorted(thinned(self.ranked(first), FITTED))
        return self._fitted[1]

    def ranked(self, numbers: Sequence[int]) -> list[int]:
        """Return these trials in the order of `ordered`; what else there is does not matter."""
        import numpy as np

        from whet.fronts import ranks

        if not numbers:
            return []
        losses = self.losses(numbers)
        if losses.shape[1] == 1:
            place = np.where(np.isnan(losses[:, 0]), np.inf, losses[:, 0])
        else:
            place = ranks(losses)
        if not self._limits:
            return [numbers[i] for i in place.argsort(kind="stable")]
        off = np.array([self._limits.off(number) for number in numbers])
        off[np.isnan(losses).any(axis=1)] = np.inf
        return [numbers[i] for i in np.lexsort((place, off))]


@final
class Fitted(Generic[T]):
    """What is fitted to the trials of an `Evidence` that length scales are fitted to: once, as long as these stay the same.

    Args:
        evidence: The trials.
        fit: Called with their numbers.
    """

    def __init__(self, evidence: Evidence, fit: Callable[[list[int]], T]) -> None:
        self._evidence, self._fit = evidence, fit
        self._known: tuple[list[int], T] | None = None

    def __call__(self) -> T:
        """Return it."""
        numbers = self._evidence.fitted()
        if self._known is None or self._known[0] != numbers:
            self._known = numbers, self._fit(numbers)
        return self._known[1]
