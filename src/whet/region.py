"""Where the constraints of a space can hold: boxes of the unit cube, found by cutting it and leaving out what is ruled out.

What remains is drawn from as from the whole cube, so that tight constraints are fulfilled without bending the distribution, as long as
some of those draws are legal (else points are sought one by one, and are near uniform only); and where nothing remains, that is a proof
that the constraints contradict each other.
"""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from whet.bounds import ANYTHING, Among, Bounds, Range, bounds_of, truth
from whet.errors import ExpressionError
from whet.expression import Expression
from whet.parameters import Choice, Float, Int, Parameter

__all__ = ["Region", "smallest_conflict"]

_FEW = 8  # values of a number that are looked at one by one
_MANY = 256  # options that are not looked at at all
_BRIEF = 500  # boxes, to see whether one or two constraints alone contradict each other
_SINGLES = 12  # constraints up to which that is done
_THINNEST = 1e-13  # of a box
_DEEPEST = 45  # cuts across each parameter around one point
_ENOUGH = 0.5  # share of the region where the constraints surely hold: no need to cut on

_Box = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """What holds in a box: all constraints, none of its configurations, or (None) the constraints at these places are open."""

    holds: bool | None
    open: tuple[int, ...] = ()


@final
class Region:
    """The part of the unit cube of some parameters where constraints can hold.

    Args:
        order: Name and parameter, each after those that its condition depends on.
        constraints: That must hold.
        num_boxes: That are looked at, at most.
    """

    def __init__(
        self, order: Sequence[tuple[str, Parameter]], constraints: Sequence[Expression], num_boxes: int = 5_000
    ) -> None:
        self._order = tuple(order)
        self._rules = tuple(constraints)
        self._near = [_all_names(dict(order), rule) for rule in self._rules]
        self._places = {name: i for i, (name, _) in enumerate(self._order)}
        self._boxes: list[_Box] = []
        self._cut(num_boxes)
        sizes = [math.prod(high - low for low, high in box) for box in self._boxes]
        self.share = math.fsum(sizes)
        """Of the unit cube; the constraints hold at most there."""
        self._edges = list(itertools.accumulate(sizes))

    @property
    def is_empty(self) -> bool:
        """Whether no configuration fulfils the constraints; that is certain."""
        return not self._boxes

    def point(self, uniforms: Sequence[float]) -> dict[str, float]:
        """Return quantiles by name of a point that is uniform in the region.

        Args:
            uniforms: One variate for the box, and one a parameter.
        """
        box = self._boxes[min(bisect_right(self._edges, uniforms[0] * self._edges[-1]), len(self._boxes) - 1)]
        placed = zip(self._order, box, uniforms[1:], strict=True)
        return {name: low + u * (high - low) for (name, _), (low, high), u in placed}

    def deep_point(self, uniform: Callable[[], float]) -> dict[str, float] | None:
        """Return quantiles by name of a point in a box cut out anew around it, far finer than those kept: near uniform; None: a dead end.

        Args:
            uniform: Of variates.
        """
        at = uniform() * self._edges[-1]
        box = self._boxes[min(bisect_right(self._edges, at), len(self._boxes) - 1)]
        found = self._look(box)
        for _ in range(_DEEPEST * len(self._order)):
            if found.holds is not None:
                break
            halves = [
                (half, look) for half in self._halves(box, found.open) if (look := self._look(half)).holds is not False
            ]
            if not halves:
                return None
            sizes = [math.prod(high - low for low, high in half) for half, _ in halves]
            box, found = halves[0 if len(halves) == 1 or uniform() * sum(sizes) < sizes[0] else 1]
        return {name: low + uniform() * (high - low) for (name, _), (low, high) in zip(self._order, box, strict=True)}

    def _cut(self, num_boxes: int) -> None:
        whole: _Box = ((0.0, 1.0),) * len(self._order)
        found = self._look(whole)
        if found.holds is not None:
            self._boxes = [whole] if found.holds else []
            return
        ticket = itertools.count()  # so that no boxes are compared
        waiting = [(-1.0, next(ticket), whole, found.open)]
        sure, open_ = 0.0, 1.0
        while waiting and num_boxes > 0 and sure < _ENOUGH * (sure + open_):
            minus, _, box, rules = heapq.heappop(waiting)
            halves = self._halves(box, rules)
            if not halves:
                self._boxes.append(box)  # as thin as a number can be
                sure, open_ = sure - minus, open_ + minus
                continue
            open_ += minus
            for half in halves:
                num_boxes -= 1
                found = self._look(half)
                size = math.prod(high - low for low, high in half)
                if found.holds is None:
                    heapq.heappush(waiting, (-size, next(ticket), half, found.open))
                    open_ += size
                elif found.holds:
                    self._boxes.append(half)
                    sure += size
        self._boxes += [box for _, _, box, _ in waiting]

    def _look(self, box: _Box) -> _Found:
        domain: dict[str, Bounds] = {}
        active: dict[str, bool | None] = {}
        for (name, parameter), (low, high) in zip(self._order, box, strict=True):
            when = parameter.when
            if when is None:
                active[name] = True
            else:
                states = [active[other] for other in when.names]
                held = truth(bounds_of(when, domain)) if False not in states else False
                active[name] = None if held and None in states else held
            domain[name] = _domain(parameter, low, high)
        open_ = []
        for i, rule in enumerate(self._rules):
            states = [active[name] for name in rule.names]
            held = True if False in states else truth(bounds_of(rule, domain))
            if held is False and None in states:
                held = None
            if held is False:
                return _Found(False)
            if held is None:
                open_.append(i)
        if not open_:
            return _Found(True)
        if all(_is_one(domain[name]) for i in open_ for name in self._near[i]):
            return _Found(self._holds_at(box, open_))
        return _Found(None, tuple(open_))

    def _holds_at(self, box: _Box, rules: Sequence[int]) -> bool:
        """Return whether the rules hold in a box where each of their parameters has one value."""
        values: dict[str, object] = {}
        for (name, parameter), (low, _) in zip(self._order, box, strict=True):
            if parameter.when is None or (parameter.when.names <= values.keys() and parameter.when(values)):
                values[name] = parameter.decode(low)
        held = [self._rules[i] for i in rules if self._rules[i].names <= values.keys()]
        try:
            return all(rule(values) for rule in held)
        except ExpressionError:
            return True  # whoever draws it will say so

    def _halves(self, box: _Box, rules: Sequence[int]) -> list[_Box]:
        """Return the box in two parts, cut across the widest parameter that an open rule depends on."""
        names = {name for i in rules for name in self._near[i]}
        places = sorted((self._places[name] for name in names), key=lambda p: (box[p][0] - box[p][1], p))
        for place in places:
            low, high = box[place]
            edge = _edge(self._order[place][1], low, high)
            if edge is not None:
                return [(*box[:place], part, *box[place + 1 :]) for part in ((low, edge), (edge, high))]
        return []


def smallest_conflict(
    order: Sequence[tuple[str, Parameter]],
    constraints: Sequence[Expression],
    is_conflict: Callable[[Sequence[Expression]], bool],
) -> list[Expression]:
    """Return constraints that conflict, of which none can be left out: one alone or a pair, if that is certain, else what remains by leaving out.

    Args:
        order: As in `Region`.
        constraints: That conflict.
        is_conflict: Whether some of them do, as far as it can be told.
    """
    if len(constraints) <= _SINGLES:
        for count in (1, 2):
            for some in itertools.combinations(constraints, count):
                if Region(order, some, _BRIEF).is_empty:
                    return list(some)
    kept = list(constraints)
    for rule in constraints:
        rest = [other for other in kept if other is not rule]
        if rest and is_conflict(rest):
            kept = rest
    return kept


def _all_names(parameters: Mapping[str, Parameter], rule: Expression) -> frozenset[str]:
    """Return the names in `rule`, and those that decide whether these exist."""
    found: set[str] = set()
    queue = list(rule.names)
    while queue:
        name = queue.pop()
        when = parameters[name].when
        if name not in found and when is not None:
            queue += when.names
        found.add(name)
    return frozenset(found)


def _ends(parameter: Parameter, low: float, high: float) -> tuple[object, object]:
    """Return the values at the ends of [low, high), or of [low, 1]."""
    return parameter.decode(low), parameter.decode(high if high >= 1.0 else math.nextafter(high, 0.0))


def _domain(parameter: Parameter, low: float, high: float) -> Bounds:
    first, last = _ends(parameter, low, high)
    if isinstance(parameter, Choice):
        start, stop = parameter.index(first), parameter.index(last) + 1
        if stop - start > _MANY:
            return ANYTHING
        options = parameter.options[start:stop]
        return Among(options) if len(options) <= 4 * _FEW else _hull(options)
    assert isinstance(first, (int, float))
    assert isinstance(last, (int, float))
    if first == last:
        return Among((first,))
    if isinstance(parameter, Int) and last - first < _FEW * (parameter.step or 1):
        return Among(tuple(range(int(first), int(last) + 1, int(parameter.step or 1))))
    return Range(first, last)


def _is_one(bounds: Bounds) -> bool:
    return isinstance(bounds, Among) and len(bounds.values) == 1


def _hull(options: Sequence[object]) -> Bounds:
    numbers = [v for v in options if isinstance(v, (int, float))]
    return Range(min(numbers), max(numbers)) if len(numbers) == len(options) else ANYTHING


def _edge(parameter: Parameter, low: float, high: float) -> float | None:
    """Return where to cut [low, high), so that no value of a discrete parameter is on both sides; None: not at all."""
    middle = (low + high) / 2
    if isinstance(parameter, Float) and parameter.step is None:
        return middle if high - low > _THINNEST and parameter.low < parameter.high else None
    first, last = _ends(parameter, low, high)
    if first == last:
        return None
    at = parameter.decode(middle)
    # The cut is where the values change: beside the middle's own, on the side where there are others.
    below, above = (low, middle) if at != first else (middle, high)
    wanted = at if at != first else None
    while True:
        between = (below + above) / 2
        if not below < between < above:
            return above
        value = parameter.decode(between)
        is_right = value == wanted if wanted is not None else value != first
        below, above = (below, between) if is_right else (between, above)
