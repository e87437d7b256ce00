"""What a configuration of an earlier sweep says in a new space: parameters keep their names, values their meaning."""

from __future__ import annotations

import math
from collections.abc import Mapping

from whet.parameters import Choice, Float, Int, Parameter
from whet.space import Space
from whet.trial import Earlier

__all__ = ["best_of", "overlap"]

_LEAST = 3


def overlap(space: Space, params: Mapping[str, object]) -> dict[str, object] | None:
    """Return the part of `params` that `space` knows, in its order; None where there is none, or a value lies outside a range.

    A result is never moved to where it was not obtained: a configuration of which one value is outside its range now says nothing here,
    rather than something about the nearest bound. Options are found by value. Whether a number was drawn on a log scale, or stands on a
    grid, does not matter: it is where it is. What is not there under the conditions of the new space is left out, and what is new there is
    unknown.

    Example:
        >>> space = Space({"lr": Float(1e-4, 1e-1, log=True), "layers": Int(1, 8)})
        >>> overlap(space, {"lr": 0.01, "momentum": 0.9})
        {'lr': 0.01}
        >>> overlap(space, {"lr": 1.0, "layers": 2}) is None
        True
    """
    found: dict[str, object] = {}
    for name in space.active_order:
        if name not in params:
            continue
        when = space[name].when
        if when is not None and when.names <= found.keys() and not space.is_active(name, found):
            continue
        if not _fits(space[name], params[name]):
            return None
        found[name] = params[name]
    return {name: found[name] for name in space if name in found} or None


def best_of(space: Space, sweep: Earlier) -> list[dict[str, object]]:
    """Return the best tenth of an earlier sweep's trials, at least three, as `space` knows them; without those outside of it."""
    num_results = sum(past.loss is not None for past in sweep.trials)
    best = sweep.trials[: min(num_results, max(_LEAST, math.ceil(num_results / 10)))]
    found = [overlap(space, past.params) for past in best]
    return [params for params in found if params is not None]


def _fits(parameter: Parameter, value: object) -> bool:
    if isinstance(parameter, Choice):
        return parameter.index(value) >= 0
    assert isinstance(parameter, (Float, Int))
    return isinstance(value, (int, float)) and not isinstance(value, bool) and parameter.low <= value <= parameter.high
