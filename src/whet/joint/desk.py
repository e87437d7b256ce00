"""Where a training tells what it does: a trial of a study, a run, or nobody."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, final

from whet.errors import StoreUnavailable, TrialPruned

if TYPE_CHECKING:
    from whet.store.base import Store
    from whet.study.live import LiveTrial
    from whet.track.claim import Claim
    from whet.track.run import Run

__all__ = ["Desk", "OfRun", "OfTrial", "Silent"]


class Desk(ABC):
    """Takes what a training tells."""

    @abstractmethod
    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep numbers as curves."""

    @abstractmethod
    def report(self, value: float, step: int, *, last: bool) -> None:
        """Keep the metric after `step` weight steps.

        Raises:
            TrialPruned: a stopper ends the trial here; not at its `last` step, which it has made.
        """

    @abstractmethod
    def keep(self, facts: Mapping[str, object]) -> None:
        """Keep what the training came to, with the trial."""


@final
class Silent(Desk):
    """Passes metrics on to a function, if there is one.

    Args:
        function: Called with the metrics and the step.
        metric: What the metric is called.
    """

    def __init__(self, function: Callable[[Mapping[str, float], int], object] | None, metric: str) -> None:
        self._function = function
        self._metric = metric

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        if self._function is not None:
            self._function(metrics, step)

    def report(self, value: float, step: int, *, last: bool) -> None:
        self.log({self._metric: value}, step)

    def keep(self, facts: Mapping[str, object]) -> None:
        """Nobody asks."""


@final
class OfTrial(Desk):
    """A trial of `Study.optimize`."""

    def __init__(self, trial: LiveTrial) -> None:
        self._trial = trial
        self._metric = trial.study.metric_names[0]

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self._trial.log(metrics, step)

    def report(self, value: float, step: int, *, last: bool) -> None:
        self._trial.log({self._metric: value}, step)
        self._trial.report(value, step)
        if not last and self._trial.should_prune():
            raise TrialPruned

    def keep(self, facts: Mapping[str, object]) -> None:
        for name, fact in facts.items():
            self._trial.set_user_attr(name, fact)


@final
class OfRun(Desk):
    """A run of `whet.init`, and its trial if it has one.

    Args:
        run: The run.
        metric: What the metric is called.
        claim, store: The trial, and where it is kept; None for a run outside any sweep.
    """

    def __init__(self, run: Run, metric: str, claim: Claim | None = None, store: Store | None = None) -> None:
        self._run = run
        self._metric = metric
        self._claim = claim
        self._store = store

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self._run.log(metrics, step)

    def report(self, value: float, step: int, *, last: bool) -> None:
        try:
            self._run.log({self._metric: value}, step)
        except TrialPruned:
            if not last:
                raise

    def keep(self, facts: Mapping[str, object]) -> None:
        self._run.summary.update(facts)
        if self._claim is not None and self._store is not None:
            with contextlib.suppress(StoreUnavailable):  # the run's own file has it
                self._store.trials.annotate(self._claim.sweep_id, self._claim.number, attrs=facts)
