"""Callbacks for `Study.optimize`."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from whet.trial import Trial, TrialState

if TYPE_CHECKING:
    from whet.study.study import Study

__all__ = ["MaxTrialsCallback"]


@final
@dataclass(frozen=True, slots=True)
class MaxTrialsCallback:
    """Stops `optimize` once the study has so many trials (Optuna's name), whoever ran them.

    Args:
        n_trials: How many.
        states: Those that count; None: all.
    """

    n_trials: int
    states: Container[TrialState] | None = (TrialState.COMPLETE,)

    def __call__(self, study: Study, trial: Trial) -> None:
        """Look whether there are enough."""
        if (
            sum(self.states is None or t.state in self.states for t in study.get_trials(deepcopy=False))
            >= self.n_trials
        ):
            study.stop()
