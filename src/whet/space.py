"""The `Space`: parameters by name, the conditions among them and the constraints over them; and the range that suits a value.

The parameters themselves are in `whet.parameters`; their names may be imported from here, too.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Protocol

from whet.errors import SpaceError, UnknownName
from whet.expression import Expression, parse
from whet.parameters import Beta, Choice, Float, Int, Normal, Parameter
from whet.region import Region, smallest_conflict

__all__ = ["Beta", "Choice", "Float", "Int", "Normal", "Parameter", "Space", "Uniforms", "infer", "undefined"]

_PLAIN = 50  # draws before it is worked out where the constraints can hold
_DRAWS = 10_000  # draws there
_EVEN, _DEEP = 150, 100  # after so many of them so many by a search of their own, much dearer


class Uniforms(Protocol):
    """What a random generator must have: `random.Random` and `numpy.random.Generator` both do."""

    def random(self) -> float:
        """Return a float in [0, 1)."""


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Space(Mapping[str, Parameter]):
    """Named parameters, the conditions among them and constraints over them.

    Args:
        parameters: Name to parameter; nested ones have dotted names.
        constraints: Expressions that every configuration must fulfil. One that names an inactive parameter holds.

    Raises:
        SpaceError: a condition or constraint names an unknown parameter, or conditions run in a circle.

    Example:
        >>> space = Space({"opt": Choice(["sgd", "adam"]), "momentum": Float(0, 0.99, when="opt == 'sgd'")})
        >>> space.clean({"opt": "adam"})
        {'opt': 'adam'}
    """

    parameters: Mapping[str, Parameter]
    constraints: tuple[Expression, ...]
    conditional: bool
    """Whether any parameter has a condition."""
    _order: tuple[tuple[str, Parameter], ...]
    _places: Mapping[str, int]
    _region: Region | None = field(compare=False)

    def __init__(
        self, parameters: Mapping[str, Parameter] | None = None, *, constraints: Sequence[str | Expression] = ()
    ) -> None:
        parameters = dict(parameters or {})
        rules = tuple(parse(c) if isinstance(c, str) else c for c in constraints)
        for name, parameter in parameters.items():
            if not isinstance(parameter, Parameter):
                raise SpaceError(f"{name}={parameter!r} is not a parameter", "give a Float, an Int or a Choice")
        owned = [(f"the condition of {name}", p.when) for name, p in parameters.items() if p.when is not None]
        for owner, rule in [*owned, *(("a constraint", rule) for rule in rules)]:
            for unknown in undefined(rule, parameters):
                problem = f"{owner}, {rule.source!r}, names the unknown parameter {unknown.facts['name']!r}"
                raise SpaceError(problem, unknown.fix)
        graph = {name: sorted(p.when.names) if p.when else [] for name, p in parameters.items()}
        try:
            order = tuple((name, parameters[name]) for name in TopologicalSorter(graph).static_order())
        except CycleError as error:
            raise SpaceError(f"the conditions run in a circle: {' -> '.join(error.args[1])}", "break it") from None
        store = object.__setattr__  # the class is frozen
        store(self, "parameters", parameters)
        store(self, "constraints", rules)
        store(self, "conditional", any(p.when is not None for p in parameters.values()))
        store(self, "_order", order)
        store(self, "_places", {name: i for i, name in enumerate(parameters)})
        store(self, "_region", None)

    def __getitem__(self, name: str) -> Parameter:
        return self.parameters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    def __repr__(self) -> str:
        inner = ", ".join(f"{n!r}: {p!r}" for n, p in self.parameters.items())
        rules = f", constraints={[r.source for r in self.constraints]!r}" if self.constraints else ""
        return f"Space({{{inner}}}{rules})"

    @property
    def size(self) -> int | None:
        """The number of combinations before conditions and constraints, or None when uncountable."""
        sizes = [p.size for p in self.parameters.values()]
        return None if None in sizes else math.prod(s for s in sizes if s is not None)

    @property
    def active_order(self) -> tuple[str, ...]:
        """The names, each after those that its condition depends on."""
        return tuple(name for name, _ in self._order)

    def is_active(self, name: str, values: Mapping[str, object]) -> bool:
        """Return whether parameter `name` exists where the (active) others have `values`."""
        return _holds(self.parameters[name].when, values)

    def active(self, values: Mapping[str, object]) -> list[str]:
        """Return the names of the parameters that exist where the others have `values`, parents first."""
        seen: dict[str, object] = {}
        for name, parameter in self._order:
            if _holds(parameter.when, seen) and name in values:
                seen[name] = values[name]
        return [name for name, parameter in self._order if _holds(parameter.when, seen)]

    def clean(self, values: Mapping[str, object]) -> dict[str, object]:
        """Return `values` in their parameters' own types, in the order of the space.

        Raises:
            SpaceError: a name is unknown, missing or inactive, a value is illegal, a constraint is broken.
        """
        for name in values:
            if name not in self.parameters:
                raise SpaceError(
                    f"{name}={values[name]!r} is no parameter of this space", UnknownName.of("", name, self).fix
                )
        cleaned: dict[str, object] = {}
        for name, parameter in self._order:
            if not _holds(parameter.when, cleaned):
                if name in values:
                    raise SpaceError(
                        f"{name}={values[name]!r} is given, but exists only when {parameter.when}", "leave it out"
                    )
            elif name not in values:
                raise SpaceError(f"{name} is missing", f"give a value that fits {parameter}")
            else:
                cleaned[name] = parameter.clean(name, values[name])
        broken = self.broken(cleaned)
        if broken:
            raise SpaceError(f"{cleaned} breaks the constraint {broken[0].source!r}", "change the values it names")
        return {name: cleaned[name] for name in self.parameters if name in cleaned}

    def contains(self, values: Mapping[str, object]) -> bool:
        """Return whether `clean` would accept `values`."""
        try:
            self.clean(values)
        except SpaceError:
            return False
        return True

    def broken(self, values: Mapping[str, object]) -> list[Expression]:
        """Return the constraints that `values` (active ones only) break."""
        return [rule for rule in self.constraints if rule.names <= values.keys() and not rule(values)]

    def decode(self, unit_D: Sequence[float]) -> dict[str, object]:
        """Return the configuration at the point `unit_D` of the unit cube, D = len(space); inactive ones are left out.

        Constraints are not looked at: see `broken`.
        """
        if not self.conditional:
            return {name: p.decode(u) for (name, p), u in zip(self.parameters.items(), unit_D, strict=True)}
        values: dict[str, object] = {}
        places = self._places
        for name, parameter in self._order:
            if parameter.when is None or _holds(parameter.when, values):
                values[name] = parameter.decode(unit_D[places[name]])
        return {name: values[name] for name in self.parameters if name in values}

    def encode(self, values: Mapping[str, object]) -> list[float]:
        """Return the point of the unit cube for legal `values`, NaN where a parameter is inactive."""
        return [p.encode(values[name]) if name in values else math.nan for name, p in self.parameters.items()]

    def sample(self, rng: Uniforms | None = None) -> dict[str, object]:
        """Return one configuration drawn from the parameters' distributions, within the constraints.

        Where constraints are tight the draws are from those parts of the unit cube that they don't rule out, so the distribution is the same;
        only where few draws even there are legal is it near uniform instead of uniform within them.

        Raises:
            SpaceError: no draw fulfils the constraints; it names the smallest set of them that contradict each other.
        """
        found = self._drawn(rng or random.Random(), self.constraints)
        if found is None:
            raise self._contradiction()
        return found

    def check(self) -> None:
        """See whether any configuration fulfils the constraints.

        Raises:
            SpaceError: none does, or none of many draws; it names the smallest set of constraints that contradict each other.

        Example:
            >>> Space({"a": Float(0, 1), "b": Float(0, 1)}, constraints=["a > b", "b > a + 0.5", "a < 0.9"]).check()
            Traceback (most recent call last):
            whet.errors.SpaceError: no configuration fulfils 'a > b' and 'b > a + 0.5' together: drop or relax one of them
        """
        if self.constraints:
            self.sample(random.Random(0))

    def _drawn(self, rng: Uniforms, rules: Sequence[Expression]) -> dict[str, object] | None:
        """Return a configuration that fulfils `rules`, or None where none is found."""
        for _ in range(_PLAIN):
            values = self.decode([rng.random() for _ in self.parameters])
            if not rules or not _broken(rules, values):
                return values
        region = self._region if rules is self.constraints else Region(self._order, rules)
        if region is None:
            region = Region(self._order, rules)
            object.__setattr__(self, "_region", region)  # made once; the class is frozen
        if region.is_empty:
            return None
        for number in range(_DRAWS):
            is_deep = _EVEN <= number < _EVEN + _DEEP
            uniforms = [] if is_deep else [rng.random() for _ in range(len(self.parameters) + 1)]
            unit = region.deep_point(rng.random) if is_deep else region.point(uniforms)
            if unit is not None:
                values = self.decode([unit[name] for name in self.parameters])
                if not _broken(rules, values):
                    return values
        return None

    def _contradiction(self) -> SpaceError:
        """Return the error for constraints that no draw has fulfilled."""
        assert self._region is not None
        if self._region.is_empty:
            rules = smallest_conflict(self._order, self.constraints, lambda some: Region(self._order, some).is_empty)
        else:
            rules = smallest_conflict(
                self._order, self.constraints, lambda some: self._drawn(random.Random(0), some) is None
            )
        named = " and ".join(repr(rule.source) for rule in rules)
        together, which = (" together", "one of them") if len(rules) > 1 else ("", "it")
        if Region(self._order, rules).is_empty:
            ranges = "" if len(rules) > 1 else ", or widen the ranges of what it names"
            return SpaceError(f"no configuration fulfils {named}{together}", f"drop or relax {which}{ranges}")
        equal = "; that two floats are equal is written abs(a - b) < 0.01" if "==" in named else ""
        return SpaceError(
            f"none of {_DRAWS + _PLAIN:,} draws fulfils {named}{together}",
            f"drop or relax {which}, or narrow the ranges to where they hold{equal}",
        )


def _broken(rules: Sequence[Expression], values: Mapping[str, object]) -> bool:
    return not all(rule(values) for rule in rules if rule.names <= values.keys())


def undefined(rule: Expression, parameters: Mapping[str, Parameter]) -> list[UnknownName]:
    """Return an error for each name in `rule` that is not among `parameters`."""
    errors = [UnknownName.of("parameter", name, parameters) for name in sorted(rule.names - parameters.keys())]
    for error in errors:
        name = error.facts["name"]
        if any(isinstance(p, Choice) and name in p.options for p in parameters.values()):
            error.fix = f"put the text in quotes: {name!r}"
    return errors


def _holds(when: Expression | None, values: Mapping[str, object]) -> bool:
    return when is None or (when.names <= values.keys() and bool(when(values)))


_SHARES = ("drop", "momentum", "beta", "prob", "ratio", "fraction", "smoothing", "alpha", "gamma")
_RATES = ("lr", "learning_rate", "decay", "wd", "penalty", "l1", "l2")


def _plain(bound: float) -> float:
    """Return a bound without the noise of floats: 1e-05, not 9.999999999999999e-06."""
    return float(f"{bound:.12g}")


def infer(name: str, value: object) -> Parameter:
    """Return a sensible range around `value`, a good guess of the user's ("intelligent bounds").

    Booleans become both values; text, seeds and numbers beyond 1e±300 constants; integers a quarter to four times as much (log); floats a tenth to ten
    times (log). Shares by custom (momentum, betas, …) of 0 or at least 0.01 get [0, 0.99], dropout [0, 0.9]; those above that a
    range in which the distance from 1 is up to ten times smaller or greater. 0.0 becomes [0, 0.01] for rates (lr, weight_decay)
    and otherwise [0, 1].

    Example:
        >>> infer("lr", 0.01), infer("beta2", 0.999)
        (Float(0.001, 0.1, log), Float(0.99, 0.9999))
    """
    plain = name.lower()
    is_extreme = isinstance(value, (int, float)) and value != 0 and not 1e-300 < abs(value) < 1e300
    if "seed" in plain or plain == "random_state" or is_extreme:
        return Choice([value])
    is_share = any(share in plain for share in _SHARES)
    is_rate = any(rate in plain.split("_") for rate in _RATES) or "learning_rate" in plain
    if (is_share or is_rate) and type(value) is int and value in (0, 1):
        value = float(value)
    match value:
        case bool():
            return Choice([False, True])
        case int() if value > 0:
            return Int(max(1, value // 4), value * 4, log=True) if value > 3 else Int(1, value * 4)
        case int():
            return Int(*sorted((2 * value, 0))) if value else Int(0, 10)
        case float() if is_share and (value == 0 or 0.01 <= value < 1):
            high = 0.9 if "drop" in plain else 0.99
            low = 0.0 if value <= high else min(round(10 * value - 9, 12), value)
            return Float(low, high if value <= high else max(round(0.9 + value / 10, 12), value))
        case float() if value > 0:
            return Float(_plain(value / 10), _plain(value * 10), log=True)
        case float() if value < 0:
            return Float(value * 2, 0.0)
        case float():
            return Float(0.0, 0.01 if is_rate else 1.0)
    return Choice([value])
