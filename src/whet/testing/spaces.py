"""Hypothesis strategies: parameters, spaces with nested conditions and constraints, and legal values in them.

Example::

    @given(spaces(), st.integers(0, 99))
    def test_samples_are_legal(space, seed):
        assert space.contains(space.sample(random.Random(seed)))
"""

from __future__ import annotations

import math

from hypothesis import strategies as st

from whet.parameters import Beta, Choice, Float, Int, Normal, Parameter
from whet.space import Space

__all__ = ["choices", "configurations", "floats", "ints", "parameters", "spaces"]

_OPTIONS: tuple[object, ...] = ("sgd", "adam", "", "it's", 0, 1, -2.5, True, False, None, [1, 2], {"a": 1}, 1e300)
_NAMES = ("lr", "depth", "optimizer.name", "optimizer.lr", "batch-size", "p q", "width", "x")


@st.composite
def floats(draw: st.DrawFn, *, when: str | None = None) -> Float:
    """Draw a `Float`: linear or log, with and without step and shape, bounded or not."""
    if draw(st.integers(0, 7)) == 0:
        low, high = draw(st.sampled_from([(-math.inf, math.inf), (-1.0, math.inf), (-math.inf, 3.0), (-2.0, 5.0)]))
        step = draw(st.sampled_from([None, None, 0.5]))
        return Float(low, high, step=step, shape=Normal(draw(st.sampled_from([0.0, 0.5])), 2.0), when=when)
    log = draw(st.booleans())
    low = draw(st.floats(1e-6, 10.0) if log else st.floats(-1e3, 1e3))
    high = low * draw(st.floats(1.5, 1e4)) if log else low + draw(st.floats(1e-3, 1e3))
    step = (high - low) / draw(st.sampled_from([1, 2, 3.5, 7, 40])) if draw(st.integers(0, 3)) == 0 else None
    shape = Beta(draw(st.floats(0.5, 4)), draw(st.floats(0.5, 4))) if draw(st.integers(0, 5)) == 0 else None
    return Float(low, high, log=log, step=step, shape=shape, when=when)


@st.composite
def ints(draw: st.DrawFn, *, when: str | None = None) -> Int:
    """Draw an `Int`: linear or log, with and without a step."""
    log = draw(st.booleans())
    low = draw(st.integers(1, 20) if log else st.integers(-100, 100))
    high = low + draw(st.one_of(st.integers(0, 6), st.integers(0, 2000)))
    return Int(low, high, log=log, step=draw(st.sampled_from([1, 1, 1, 2, 5])), when=when)


@st.composite
def choices(draw: st.DrawFn, *, when: str | None = None) -> Choice:
    """Draw a `Choice` of one to five options of any JSON type, weighted or not, ordered or not."""
    options = [
        _OPTIONS[i] for i in draw(st.lists(st.integers(0, len(_OPTIONS) - 1), min_size=1, max_size=5, unique=True))
    ]
    weights = None
    if draw(st.integers(0, 3)) == 0:
        weights = [*draw(st.lists(st.integers(0, 5), min_size=len(options) - 1, max_size=len(options) - 1)), 1]
    return Choice(options, weights=weights, ordered=draw(st.booleans()), when=when)


def parameters(*, when: str | None = None) -> st.SearchStrategy[Parameter]:
    """Draw any parameter."""
    return st.one_of(floats(when=when), ints(when=when), choices(when=when))


@st.composite
def spaces(draw: st.DrawFn, *, max_size: int = 6, min_size: int = 1, conditions: bool = True,
           constraints: bool = True) -> Space:  # fmt: skip
    """Draw a space of at most 8 parameters.

    A condition may depend on a parameter that itself has one. Constraints hold for a good part of the space, at least a third, so
    that rejection works.
    """
    names = draw(st.permutations(_NAMES))[: draw(st.integers(min_size, min(max_size, len(_NAMES))))]
    made: dict[str, Parameter] = {}
    for name in names:
        when = None
        if conditions and made and draw(st.integers(0, 2)) == 0:
            parent = draw(st.sampled_from(sorted(made)))
            when = _condition(parent, made[parent], draw(st.floats(0.1, 0.9)))
        made[name] = draw(parameters(when=when))
    # The space need not list parents first.
    ordered = {name: made[name] for name in draw(st.permutations(names))}
    rules = []
    if constraints and draw(st.integers(0, 3)) == 0:
        numbers = [name for name, p in ordered.items() if isinstance(p, (Float, Int))]
        for name in draw(st.lists(st.sampled_from(numbers), max_size=2, unique=True)) if numbers else ():
            bound = ordered[name].decode(draw(st.floats(0.6, 0.9)))
            rules.append(f"params[{name!r}] <= {bound!r}")
    return Space(ordered, constraints=rules)


def _condition(parent: str, parameter: Parameter, share: float) -> str | None:
    value = parameter.decode(share)
    if isinstance(parameter, (Float, Int)):
        return f"params[{parent!r}] <= {value!r}"
    if isinstance(value, (dict, list)):
        return None
    return f"params[{parent!r}] in [{value!r}, 'never']"


@st.composite
def configurations(draw: st.DrawFn, space: Space) -> dict[str, object]:
    """Draw a legal configuration of `space`."""
    return space.sample(draw(st.randoms(use_true_random=False)))
