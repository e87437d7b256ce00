"""Optuna's modules that Whet has no room for, with what public code takes from them."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from whet.analysis.importance import importance as _importance
from whet.errors import Conflict, TrialPruned, WhetError
from whet.space import Choice, Float, Int, Parameter
from whet.study.logs import switches
from whet.study.study import Study

__all__ = ["distributions", "exceptions", "importance", "logging"]


def _float(low: float, high: float, log: bool = False, step: float | None = None) -> Float:
    return Float(low, high, log=log, step=step)


def _int(low: int, high: int, log: bool = False, step: int = 1) -> Int:
    return Int(low, high, log=log, step=step)


def _categorical(choices: Sequence[Any]) -> Choice:
    return Choice(choices)


distributions = SimpleNamespace(
    BaseDistribution=Parameter, FloatDistribution=_float, IntDistribution=_int, CategoricalDistribution=_categorical
)
"""`optuna.distributions`: they make Whet's parameters."""


class _ExperimentalWarning(Warning):
    """Never given: there to be filtered."""


exceptions = SimpleNamespace(
    TrialPruned=TrialPruned,
    OptunaError=WhetError,
    DuplicatedStudyError=Conflict,
    ExperimentalWarning=_ExperimentalWarning,
)
"""`optuna.exceptions`."""

logging = switches
"""`optuna.logging`: what is written to stderr as trials end."""


def _get_param_importances(study: Study, **_: Any) -> dict[str, float]:
    """Return each parameter's share in the spread of the results, the greatest first."""
    return dict(_importance(study.problem, study.trials))


importance = SimpleNamespace(get_param_importances=_get_param_importances)
"""`optuna.importance`."""
