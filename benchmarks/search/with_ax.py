"""Ax's default generation strategy, driven as the other tools are."""

from __future__ import annotations

import logging
import time
from typing import Any

from benchmarks.search.problems import Problem
from whet.space import Choice, Int, Space

__all__ = ["study"]


def study(here: Problem, seed: int, count: int) -> tuple[list[float], float]:
    """Return the losses of `count` trials in order, and the seconds that suggestions took."""
    from ax.api.client import Client

    logging.disable(logging.WARNING)  # Ax says each trial
    client = Client(random_seed=seed)
    client.configure_experiment(parameters=_parameters(here.space))
    client.configure_optimization(objective="-loss")
    losses, spent = [], 0.0
    for _ in range(count):
        began = time.perf_counter()
        ((index, found),) = client.get_next_trials(max_trials=1).items()
        spent += time.perf_counter() - began
        params = _active(here.space, found)
        losses.append(here.loss(params))
        client.complete_trial(trial_index=index, raw_data={"loss": losses[-1]})
    return losses, spent


def _active(space: Space, found: Any) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name in space.active_order:
        if space.is_active(name, known):
            known[name] = space.parameters[name].clean(name, found[name])
    return known


def _parameters(space: Space) -> list[Any]:
    """Return the space flat: Ax knows conditions only as trees with one root, which these spaces are not."""
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

    found: list[Any] = []
    for name, p in space.parameters.items():
        if isinstance(p, Choice):
            kind = "bool" if all(isinstance(o, bool) for o in p.options) else "str"
            found.append(
                ChoiceParameterConfig(name=name, values=list(p.options), parameter_type=kind, is_ordered=p.ordered)
            )  # type: ignore[arg-type]
            continue
        bounds = (int(p.low), int(p.high)) if isinstance(p, Int) else (p.low, p.high)
        found.append(RangeParameterConfig(name=name, bounds=bounds, parameter_type="int" if isinstance(p, Int) else "float",
                                          scaling="log" if p.log else "linear"))  # fmt: skip
    return found
