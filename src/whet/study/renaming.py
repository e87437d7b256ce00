"""Other names for a sweep's metrics, wherever its configuration names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from whet.config import SweepConfig
from whet.errors import StudyError

__all__ = ["renamed"]


def renamed(config: SweepConfig, names: Sequence[str]) -> SweepConfig:
    """Return `config` with its metrics called so, also by limits, budgets, a cost and bounds that are about them.

    Args:
        names: One a metric.

    Raises:
        StudyError: not one a metric, or two metrics, limits or budgets would have one name.
    """
    problem = config.problem
    if len(names) != len(problem.metrics):
        raise StudyError(f"{len(names)} metric names for {len(problem.metrics)} direction(s)", "give one each")
    by = {metric.name: name for metric, name in zip(problem.metrics, names, strict=True)}
    budgets = config.terminate.cost if config.terminate else {}
    for what, called in (("metrics", by), ("limits", [limit.name for limit in problem.limits]), ("budgets", budgets)):
        later = [by.get(name, name) for name in called]
        if twice := next((name for name in later if later.count(name) > 1), None):
            raise StudyError(f"two {what} would be called {twice!r}", "give each metric a name of its own")
    metrics = tuple(replace(metric, name=by[metric.name]) for metric in problem.metrics)
    limits = tuple(replace(limit, name=by.get(limit.name, limit.name)) for limit in problem.limits)
    terminate, method, stopper = config.terminate, config.method, config.stopper
    if terminate is not None and budgets:
        terminate = replace(terminate, cost={by.get(name, name): budget for name, budget in budgets.items()})
    if isinstance(cost := method.knobs.get("cost"), str):
        method = replace(method, knobs={**method.knobs, "cost": by.get(cost, cost)})
    if stopper is not None:
        stopper = replace(stopper, knobs={knob: _by_metric(value, by) for knob, value in stopper.knobs.items()})
    return replace(
        config,
        problem=replace(problem, metrics=metrics, limits=limits),
        terminate=terminate,
        method=method,
        stopper=stopper,
        extra={key: _by_metric(value, by) for key, value in config.extra.items()},
    )


def _by_metric(value: object, by: Mapping[str, str]) -> object:
    """Return `value` with other keys wherever it is a mapping from metrics."""
    if not isinstance(value, Mapping):
        return value
    if value and value.keys() <= by.keys():
        return {by[name]: one for name, one in value.items()}
    return {key: _by_metric(one, by) for key, one in value.items()}
