"""Spaces against each other: which parameters are in all of them, and how much their ranges have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from whet.parameters import Choice, Float, Int, Parameter, identity
from whet.space import Space

__all__ = ["Extent", "Shared", "overlap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What a parameter may be.

    Args:
        low, high: Of numbers; both None where there are `options`, which may be values of any kind.
        log: Equal ratios count alike.
        is_whole: Of whole numbers.
        when: Where it is active; empty: everywhere.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    is_whole: bool = False
    options: tuple[object, ...] | None = None
    when: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """A parameter in several spaces.

    Args:
        name: The parameter.
        extents: What it may be in each space, None where it is not there.
        common: What it may be in all of those that have it, None where that is nothing, or where numbers meet options.
        share: How much of what it may be in any of them it may be in all, 0 to 1, on a logarithmic scale if all are on one; None where a
            space lacks it, numbers meet options, or a bound is infinite.
    """

    name: str
    extents: tuple[Extent | None, ...]
    common: Extent | None
    share: float | None


def overlap(spaces: Sequence[Space]) -> tuple[Shared, ...]:
    """Return the parameters of all spaces, those first that are in the most of them.

    Conditions are shown, and not looked at.

    Example:
        >>> a, b = Space({"lr": Float(1e-4, 1e-1, log=True)}), Space({"lr": Float(1e-3, 1, log=True), "seed": Choice([1])})
        >>> [(one.name, one.share) for one in overlap([a, b])]
        [('lr', 0.5), ('seed', None)]
    """
    found: Mapping[str, list[Extent | None]] = {
        name: [_extent(space[name]) if name in space else None for space in spaces]
        for name in dict.fromkeys(name for space in spaces for name in space)
    }
    rows = [_shared(name, extents) for name, extents in found.items()]
    return tuple(sorted(rows, key=lambda row: sum(extent is None for extent in row.extents)))


def _extent(parameter: Parameter) -> Extent:
    when = "" if parameter.when is None else str(parameter.when)
    if isinstance(parameter, Float | Int):
        is_whole = isinstance(parameter, Int)
        return Extent(low=parameter.low, high=parameter.high, log=parameter.log, is_whole=is_whole, when=when)
    assert isinstance(parameter, Choice)
    return Extent(options=parameter.options, when=when)


def _shared(name: str, extents: Sequence[Extent | None]) -> Shared:
    there = [extent for extent in extents if extent is not None]
    common, share = None, None
    if all(extent.options is not None for extent in there):
        common, share = _of_options([extent.options or () for extent in there])
    elif all(extent.options is None for extent in there):
        common, share = _of_numbers(there)
    return Shared(name=name, extents=tuple(extents), common=common, share=share if len(there) == len(extents) else None)


def _of_options(options: Sequence[Sequence[object]]) -> tuple[Extent | None, float]:
    each = [{identity(option): option for option in some} for some in options]
    every = {key for some in each for key in some}
    both = tuple(option for key, option in each[0].items() if all(key in some for some in each))
    return Extent(options=both) if both else None, len(both) / len(every)


def _of_numbers(extents: Sequence[Extent]) -> tuple[Extent | None, float | None]:
    log, is_whole = all(extent.log for extent in extents), all(extent.is_whole for extent in extents)
    lows, highs = [e.low or 0.0 for e in extents], [e.high or 0.0 for e in extents]
    low, high, least, greatest = max(lows), min(highs), min(lows), max(highs)
    common = Extent(low=low, high=high, log=log, is_whole=is_whole) if low <= high else None
    if not (math.isfinite(least) and math.isfinite(greatest)):
        return common, None
    if common is None:
        return None, 0.0
    if log and least <= 0:
        return common, None
    if least == greatest:
        return common, 1.0
    if log:
        return common, round(math.log(high / low) / math.log(greatest / least), 12)
    if is_whole:
        return common, (high - low + 1) / (greatest - least + 1)  # of the numbers, not of the way between them
    return common, (high / 2 - low / 2) / (greatest / 2 - least / 2)
