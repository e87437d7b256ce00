"""What comes into a study from outside: configurations with gaps to be filled in, and trials that ran elsewhere."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace

from whet.config import SweepConfig
from whet.errors import SpaceError, UnknownName
from whet.space import Space, Uniforms
from whet.study.results import check_count
from whet.trial import Trial

__all__ = ["completed", "fill", "fitting"]

_DRAWS = 1_000


def fill(space: Space, given: Mapping[str, object], rng: Uniforms) -> dict[str, object]:
    """Return a legal configuration with all that is `given`; the other parameters are drawn from their own distributions.

    Raises:
        SpaceError: a given name or value is not legal, or 1,000 draws in a row did not go with them.

    Example:
        >>> import random
        >>> from whet.space import Choice, Float
        >>> space = Space({"opt": Choice(["sgd", "adam"]), "momentum": Float(0, 0.99, when="opt == 'sgd'")})
        >>> fill(space, {"momentum": 0.5}, random.Random(0))
        {'opt': 'sgd', 'momentum': 0.5}
    """
    for name, value in given.items():
        if name not in space:
            raise SpaceError(f"{name}={value!r} is no parameter of this space", UnknownName.of("", name, space).fix)
    cleaned = {name: space[name].clean(name, value) for name, value in given.items()}
    if cleaned.keys() == space.parameters.keys() and not space.conditional:
        return space.clean(cleaned)  # complete: if it breaks a constraint, this says which
    for _ in range(_DRAWS):
        values: dict[str, object] = {}
        for name in space.active_order:
            if space.is_active(name, values):
                values[name] = cleaned[name] if name in cleaned else space[name].decode(rng.random())
        if cleaned.keys() <= values.keys() and not space.broken(values):
            return {name: values[name] for name in space if name in values}
    raise SpaceError(
        f"no configuration has {', '.join(f'{name}={value!r}' for name, value in cleaned.items())}"
        f" ({_DRAWS:,} draws of the rest broke a condition or a constraint)",
        "leave out what exists only elsewhere, or change what the constraints name",
    )


def completed(config: SweepConfig, params: Mapping[str, object], number: int) -> dict[str, object]:
    """Return an enqueued configuration with what it leaves open; of a study that learns its space as it is: it has no bounds to draw from.

    Raises:
        SpaceError: it is not legal in the space.
    """
    if config.define_by_run:
        return dict(params)
    return fill(config.problem.space, params, random.Random(f"{config.seed or 0}/enqueued/{number}"))


def fitting(config: SweepConfig, trials: Iterable[Trial]) -> list[Trial]:
    """Return trials that ran elsewhere, in the types of a declared space.

    Raises:
        SpaceError: one does not fit the space.
        StudyError: one has not one value a metric.
    """
    trials = list(trials)
    for trial in trials:
        if trial.values is not None:
            check_count(trial.number, trial.values, config.problem)
    if config.define_by_run:
        return trials
    return [replace(trial, params=config.problem.space.clean(trial.params)) for trial in trials]
