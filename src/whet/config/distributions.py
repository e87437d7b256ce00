"""One parameter to and from its plain form: all of W&B's distributions, and Whet's own keys beside them.

W&B's quantised distributions give multiples of `q`, integers when `q` is one; Whet keeps to the multiples within the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any

from whet.config.conditions import condition
from whet.config.keys import PARAMETER, check_keys
from whet.config.place import Place
from whet.config.read import plain
from whet.errors import SpaceError
from whet.parameters import identity
from whet.space import Beta, Choice, Float, Int, Normal, Parameter, infer

__all__ = ["DISTRIBUTIONS", "Bounds", "Distribution", "parameter_from", "parameter_to_mapping", "read_parameter"]


class Bounds(Enum):
    """What min and max are."""

    VALUES = "values"
    EXPONENTS = "exponents"  # natural logarithms, unless they can only be values
    EXPONENTS_IF_NEGATIVE = "exponents if min <= 0"  # where Whet's own form has values
    INVERSE = "inverse exponents"  # natural logarithms of 1/x


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One row of W&B's distributions: the keys it needs and takes, and how they are read."""

    needs: tuple[str, ...] = ("min", "max")
    takes: tuple[str, ...] = ("q", "step")
    shape: type[Normal] | type[Beta] | None = None
    log: bool = False
    quantised: bool = False
    bounds: Bounds = Bounds.VALUES


def _log(bounds: Bounds, quantised: bool = False) -> Distribution:
    return Distribution(log=True, bounds=bounds, quantised=quantised)


def _normal(log: bool = False, quantised: bool = False) -> Distribution:
    return Distribution(
        needs=(), takes=("mu", "sigma", "min", "max", "q", "step"), shape=Normal, log=log, quantised=quantised
    )


def _beta(quantised: bool = False) -> Distribution:
    return Distribution(needs=(), takes=("a", "b", "min", "max", "log", "q", "step"), shape=Beta, quantised=quantised)


_WIDE = ("log", "q", "step")

DISTRIBUTIONS: Mapping[str, Distribution] = MappingProxyType(
    {
        "constant": Distribution(needs=("value",), takes=()),
        "categorical": Distribution(needs=("values",), takes=("probabilities", "weights", "ordered")),
        "categorical_w_probabilities": Distribution(needs=("values", "probabilities"), takes=("ordered",)),
        "int_uniform": Distribution(takes=_WIDE),
        "uniform": Distribution(takes=_WIDE),
        "q_uniform": Distribution(takes=_WIDE, quantised=True),
        "log_uniform": _log(Bounds.EXPONENTS_IF_NEGATIVE),
        "log_uniform_values": _log(Bounds.VALUES),
        "q_log_uniform": _log(Bounds.EXPONENTS, quantised=True),
        "q_log_uniform_values": _log(Bounds.VALUES, quantised=True),
        "inv_log_uniform": _log(Bounds.INVERSE),
        "inv_log_uniform_values": _log(Bounds.VALUES),  # log(1/x) uniform is log(x) uniform
        "normal": _normal(),
        "q_normal": _normal(quantised=True),
        "log_normal": _normal(log=True),
        "q_log_normal": _normal(log=True, quantised=True),
        "beta": _beta(),
        "q_beta": _beta(quantised=True),
    }
)

_SIGMAS = 8.0  # where unbounded integers end: beyond lies less than 1e-14
_GREATEST = 2**53  # beyond it a float skips integers


def parameter_from(value: object, *, name: str = "parameter", source: str = "<config>") -> Parameter:
    """Return the parameter that `value` describes.

    Args:
        value: A mapping of the keys in W&B's and Whet's schema, a list (choices) or a scalar (a constant).
        name: Shown in errors; `around` looks at it, too.
        source: Shown in errors.

    Raises:
        ConfigError: it describes none.

    Example:
        >>> parameter_from({"distribution": "q_log_uniform_values", "min": 16, "max": 256, "q": 8})
        Int(16, 256, log, step=8)
    """
    place = Place(source, (name,))
    return read_parameter(plain(value, place), name, place, [])


def read_parameter(value: object, name: str, place: Place, notices: list[str]) -> Parameter:
    """Return the parameter that plain `value` at `place` describes; what should be said about it is added to `notices`."""
    if value is None:
        raise place.error("it has no value", "indent its keys below it, or write {value: null} for the constant")
    if not isinstance(value, Mapping):
        value = {"values": value} if isinstance(value, list) else {"value": value}
    given = check_keys(place, value, PARAMETER)
    when = condition(given["when"], place.at("when")) if "when" in given else None
    named = given.get("distribution")
    if named is not None and named not in DISTRIBUTIONS:
        raise place.at("distribution").unknown("distribution", named, DISTRIBUTIONS)
    label = named or _inferred(given, place)
    row = Distribution(needs=("around",), takes=()) if label == "around" else DISTRIBUTIONS[label]
    for key in given:
        if key not in ("distribution", "when", *row.needs, *row.takes):
            raise place.at(key).error(
                f"{key} does not go with {label}", f"leave it out; {label} takes {', '.join((*row.needs, *row.takes))}"
            )
    for key in row.needs:
        if key not in given:
            owner = f"distribution {label}" if named else "a range"
            raise place.error(f"{key} is missing", f"{owner} needs {' and '.join(row.needs)}")
    try:
        match row.needs:
            case ("around",):
                guess = infer(name.rpartition(".")[2], given["around"])
                return read_parameter({**parameter_to_mapping(guess), **_only(given, "when")}, name, place, notices)
            case ("value",):
                return Choice([given["value"]], when=when)
            case ("values", *_):
                return _choice(given, place, notices, when)
        return _number(given, label, row, place, notices, when)
    except SpaceError as error:
        raise place.wrap(error) from None


def _only(given: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: given[key] for key in keys if key in given}


def _inferred(given: Mapping[str, Any], place: Place) -> str:
    """Return the distribution that the keys alone mean."""
    for key in ("around", "value", "values"):
        if key in given:
            return {"value": "constant", "values": "categorical"}.get(key, key)
    if "mu" in given or "sigma" in given:
        return "normal"
    if "a" in given or "b" in given:
        return "beta"
    grid = _only(given, "min", "max", "step")
    if not {"min", "max"} & grid.keys():
        raise place.error("it says no values", "give value, values, min and max, around, or a distribution")
    return "int_uniform" if "q" not in given and all(isinstance(v, int) for v in grid.values()) else "uniform"


def _choice(given: Mapping[str, Any], place: Place, notices: list[str], when: Any) -> Choice:
    options, weights = given["values"], given.get("probabilities", given.get("weights"))
    if "probabilities" in given:
        here, total = place.at("probabilities"), math.fsum(given["probabilities"])
        if "weights" in given:
            raise here.error("there are weights, too", "leave one of them out")
        if len(weights) != len(options):
            raise here.error(f"there are {len(weights)} of them and {len(options)} values", "give one a value")
        if abs(total - 1) > 0.0101:  # three times 0.33 is meant as 1
            raise here.error(f"they add up to {total:.6g}, not 1", "correct them, or call them weights")
    options, weights = _merged(options, weights, place, notices)
    return Choice(options, weights=weights, ordered=given.get("ordered", False), when=when)


def _merged(
    options: Sequence[object], weights: Sequence[float] | None, place: Place, notices: list[str]
) -> tuple[Sequence[object], Sequence[float] | None]:
    """Return the options without repeats and their weights: W&B lets repeats pass, and draws such a value more often."""
    distinct: dict[Hashable, object] = {}
    again: dict[Hashable, object] = {}
    totals: dict[Hashable, float] = {}
    if weights is None or len(weights) == len(options):  # or else `Choice` complains of it
        for option, weight in zip(options, weights or [1] * len(options), strict=True):
            label = identity(option)
            if label in distinct:
                again[label] = distinct[label]
            distinct.setdefault(label, option)
            totals[label] = totals.get(label, 0) + weight
    if not again:
        return options, weights
    shown = ", ".join(map(repr, again.values()))
    notices.append(f"{place}: values has {shown} more than once: taken as one value that is drawn as much more often")
    return list(distinct.values()), list(totals.values()) if len(set(totals.values())) > 1 else None


def _number(
    given: Mapping[str, Any], label: str, row: Distribution, place: Place, notices: list[str], when: Any
) -> Float | Int | Choice:
    low: Any
    high: Any
    low, high, step, q = (given.get(key) for key in ("min", "max", "step", "q"))
    log = row.log or given.get("log", False)
    if low is not None and high is not None and low > high:
        raise place.at("min").error(f"{low!r} is not below max {high!r}", "swap them")
    if step is not None and q is not None:
        raise place.at("q").error("there is a step, too", "leave one out: q counts from 0, step from min")
    if label == "int_uniform":
        for key, part in _only(given, "min", "max", "step", "q").items():
            if part != int(part):
                raise place.at(key).error(f"{part!r} is not an integer", "give an integer, or distribution: uniform")
        low, high, step, q = (None if part is None else int(part) for part in (low, high, step, q))
        whole = True
    else:
        q = 1 if row.quantised and q is None and step is None else q
        parts = [part for part in (low, high, step) if part is not None]
        whole = isinstance(q, int) or (row.quantised and q is None and all(isinstance(part, int) for part in parts))
    if row.bounds is not Bounds.VALUES:
        low, high = _exponents(low, high, row.bounds, place, notices)
    if log and low is not None and low <= 0 and not (row.shape is Normal and low == 0):
        fix = "give min > 0" if row.log else "give min > 0, or leave log out"
        raise place.at("min").error(f"{low!r} is not above 0, which a logarithm needs", fix)
    shape: Normal | Beta | None = None
    if row.shape is Normal and given.get("sigma") == 0:
        point = _middle(given.get("mu", 0.0), log, q or step)
        point = min(point if low is None else max(point, low), math.inf if high is None else high)
        constant = round(point) if whole else float(point)
        notices.append(f"{place}: with sigma 0 it is the constant {constant!r}")
        return Choice([constant], when=when)
    if row.shape is Normal:
        shape = Normal(given.get("mu", 0.0), given.get("sigma", 1.0))
        below, above = _reach(shape, log, (q or step) if whole else None)
        low, high = below if low is None else low, above if high is None else high
    elif row.shape is Beta:
        shape = Beta(given.get("a", 1.0), given.get("b", 1.0))
        low, high = 0 if low is None else low, 1 if high is None else high
    if q is not None:
        low, high = _multiples(low, high, q, place)
    if whole:
        return Int(math.ceil(low), math.floor(high), log=log, step=step or q or 1, shape=shape, when=when)
    return Float(low, high, log=log, step=step or q, shape=shape, when=when)


def _exponents(low: float, high: float, bounds: Bounds, place: Place, notices: list[str]) -> tuple[float, float]:
    """Return the values that the bounds mean, natural logarithms unless they can only be values."""
    if bounds is Bounds.EXPONENTS_IF_NEGATIVE and low > 0:
        return low, high
    if bounds is Bounds.EXPONENTS and low > 0 and high > math.log(_GREATEST):
        return low, high
    if bounds is Bounds.INVERSE:
        low, high = -high, -low
    if high > 700 or low < -700:
        far = high if high > 700 else low
        raise place.at("min").error(
            f"{low!r} can only be a natural-log exponent, but e**{far!r} is no number to work with",
            "give min > 0, which makes both bounds plain values",
        )
    least, most = math.exp(low), math.exp(high)
    notices.append(
        f"{place}: min and max are natural-log exponents, so values lie between {least:.6g} and {most:.6g} "
        "(write these with log_uniform_values to say so plainly)"
    )
    return least, most


def _reach(shape: Normal, log: bool, step: int | None) -> tuple[float, float]:
    """Return the bounds of a normal shape that has none: infinite, but of integers as far as any value will come."""
    if step is None:
        return (0.0 if log else -math.inf), math.inf
    low, high = shape.mu - _SIGMAS * shape.sigma, shape.mu + _SIGMAS * shape.sigma
    if log:
        low, high = (math.exp(min(end, math.log(_GREATEST))) for end in (low, high))
    low, high = (min(max(end, -_GREATEST), _GREATEST) for end in (low, high))
    return math.floor(low / step) * step, math.ceil(high / step) * step


def _middle(mu: float, log: bool, step: float | None) -> float:
    value = math.exp(min(mu, 709.0)) if log else float(mu)
    return value if step is None else round(value / step) * step


def _multiples(low: float, high: float, q: float, place: Place) -> tuple[float, float]:
    """Return the least and the greatest multiple of `q` within the bounds."""
    ends = (
        low if math.isinf(low) else math.ceil(low / q - 1e-9) * q,
        high if math.isinf(high) else math.floor(high / q + 1e-9) * q,
    )
    if ends[0] > ends[1]:
        raise place.at("q").error(f"no multiple of {q!r} lies between {low:.6g} and {high:.6g}", "give a smaller q")
    return ends


def parameter_to_mapping(parameter: Parameter) -> dict[str, object]:
    """Return the plain form of `parameter`, in W&B's words where they suffice.

    The law: ``parameter_from(parameter_to_mapping(p)) == p``.

    Raises:
        ConfigError: a choice that JSON can't hold.

    Example:
        >>> parameter_to_mapping(Int(16, 256, log=True))
        {'distribution': 'q_log_uniform_values', 'min': 16, 'max': 256, 'q': 1}
    """
    assert isinstance(parameter, (Choice, Float, Int))
    found = _choice_form(parameter) if isinstance(parameter, Choice) else _number_form(parameter)
    return found if parameter.when is None else {**found, "when": parameter.when.source}


def _choice_form(choice: Choice) -> dict[str, object]:
    options = plain(list(choice.options), Place(path=("values",)))
    if len(options) == 1 and choice.weights is None and not choice.ordered:
        return {"value": options[0]}
    found: dict[str, object] = {"values": options}
    if choice.weights is not None:
        key = "probabilities" if abs(math.fsum(choice.weights) - 1) < 1e-6 else "weights"
        found[key] = list(choice.weights)
    return {**found, "ordered": True} if choice.ordered else found


def _number_form(p: Float | Int) -> dict[str, object]:
    bounds: dict[str, object] = {"min": p.low, "max": p.high}
    whole, step = isinstance(p, Int), p.step
    if whole and step == 1 and p.shape is None and not p.log:
        return {"distribution": "int_uniform", **bounds}
    found: dict[str, object] = {}
    match p.shape:
        case Normal(mu, sigma):
            found = {"distribution": "log_normal" if p.log else "normal", "mu": mu, "sigma": sigma}
            reach = _reach(p.shape, p.log, p.step if whole else None)  # type: ignore[arg-type]
            found |= {k: v for (k, v), end in zip(bounds.items(), reach, strict=True) if v != end}
        case Beta(a, b):
            found = {"distribution": "beta", "a": a, "b": b, **bounds, **({"log": True} if p.log else {})}
        case None:
            found = {"distribution": "log_uniform_values" if p.log else "uniform", **bounds}
    if whole:
        # q counts from 0 and step from min: the same where min is a multiple.
        found["distribution"] = f"q_{found['distribution']}"
        found["q" if p.low % (step or 1) == 0 else "step"] = step
    elif step is not None:
        found["step"] = step
    return found
