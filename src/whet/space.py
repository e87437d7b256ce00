"""The `Space`: parameters by name, the conditions among them and the constraints over them; and the range that suits a value.

The parameters themselves are in `whet.parameters`; their names may be imported from here, too.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Protocol

from whet.errors import SpaceError, UnknownName
from whet.expression import Expression, parse
from whet.parameters import Beta, Choice, Float, Int, Normal, Parameter

__all__ = ["Beta", "Choice", "Float", "Int", "Normal", "Parameter", "Space", "Uniforms", "infer", "undefined"]

_DRAWS = 10_000


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

        Raises:
            SpaceError: 10,000 draws in a row broke a constraint.
        """
        rng = rng or random.Random()
        for _ in range(_DRAWS):
            values = self.decode([rng.random() for _ in self.parameters])
            if not self.constraints or not self.broken(values):
                return values
        raise SpaceError(
            f"{_DRAWS:,} draws in a row broke a constraint of {[r.source for r in self.constraints]}",
            "loosen the constraints, or narrow the ranges to where they hold",
        )


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
            return Float(value / 10, value * 10, log=True)
        case float() if value < 0:
            return Float(value * 2, 0.0)
        case float():
            return Float(0.0, 0.01 if is_rate else 1.0)
    return Choice([value])
