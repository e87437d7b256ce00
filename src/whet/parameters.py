"""The parameters that may vary, one by one: `Float`, `Int`, `Choice`.

Every parameter maps to the unit interval and back by its own distribution function, so that a searcher which
understands ``[0, 1]^D`` understands all of them: `decode` of a uniform variate is a sample, and
``decode(encode(v)) == v`` for every legal value (floats: to 1e-9 of the range).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import ClassVar

from whet.errors import SpaceError
from whet.expression import Expression, parse
from whet.shapes import Beta, Normal

__all__ = ["Beta", "Choice", "Float", "Int", "Normal", "Parameter", "identity"]

_GREATEST = 2**1023  # an integer beyond it is no float


@dataclass(frozen=True, slots=True)
class Parameter(ABC):
    """One parameter: what is legal, and the map to the unit interval."""

    when: Expression | None
    """Active only where this holds; None: always. A condition on an inactive parameter does not hold."""

    @property
    @abstractmethod
    def size(self) -> int | None:
        """The number of legal values, or None when they are not countable."""

    @abstractmethod
    def clean(self, name: str, value: object) -> object:
        """Return `value` in the parameter's own type.

        Raises:
            SpaceError: it is not legal.
        """

    @abstractmethod
    def decode(self, u: float) -> object:
        """Return the value at quantile `u` in [0, 1]."""

    @abstractmethod
    def encode(self, value: object) -> float:
        """Return the quantile of a legal `value` in [0, 1]; of a discrete one the middle of its share."""


@dataclass(frozen=True, slots=True)
class _Number(Parameter):
    low: float
    high: float
    log: bool
    step: float | None
    shape: Normal | Beta | None
    # Derived once: the edges on the scale of the shape, and the distribution function there.
    _t_low: float
    _t_high: float
    _u_low: float
    _u_high: float

    kind: ClassVar[str]

    def _derive(self) -> None:
        if not self.low <= self.high:
            wrong = "low > high" if self.low > self.high else "a bound that is no number"
            raise SpaceError(f"{self} has {wrong}", "give low <= high")
        if self.log and self.low <= 0 and not (self.low == 0 and self.shape is not None):
            raise SpaceError(f"{self} is log with low <= 0", "give low > 0, or leave log out")
        if self.step is not None and not 0 < self.step < math.inf:
            raise SpaceError(f"{self} has step {self.step}", "give a finite step > 0")
        if not isinstance(self.shape, Normal) and not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise SpaceError(f"{self} has an infinite bound", "give finite bounds, or shape=Normal(mu, sigma)")
        if not isinstance(self.shape, Normal) and not self.log and float(self.high) - self.low == math.inf:
            raise SpaceError(f"{self} is too wide: no float is high - low", "give bounds nearer to each other")
        low, high = self.low, self.high
        if self.step is not None and math.isfinite(low):
            if math.isfinite(high):
                high = low + _whole_steps(low, high, self.step) * self.step
                object.__setattr__(self, "high", high)
            low, high = low - self.step / 2, high + self.step / 2
            low = self.low / 2 if self.log and low <= 0 else low
        t_low, t_high = self._t(low), self._t(high)
        object.__setattr__(self, "_t_low", t_low)
        object.__setattr__(self, "_t_high", t_high)
        if self.shape is not None and t_low < t_high:
            object.__setattr__(self, "_u_low", self.shape.cdf(t_low, t_low, t_high))
            object.__setattr__(self, "_u_high", self.shape.cdf(t_high, t_low, t_high))
            if not self._u_high - self._u_low > 1e-9:
                raise SpaceError(f"{self} has no probability within its bounds", "widen the bounds or move mu")

    def _t(self, value: float) -> float:
        if not self.log:
            return value
        return math.log(value) if value > 0 else -math.inf

    def decode(self, u: float) -> object:
        low, high = self._t_low, self._t_high
        if low == high:
            return self._typed(self.low)
        u = 0.0 if u < 0.0 else 1.0 if u > 1.0 else u  # the built-in min and max cost more than the rest of this method
        if self.shape is None:
            t = low + u * (high - low)
        else:
            t = self.shape.quantile(self._u_low + u * (self._u_high - self._u_low), low, high)
        value = (math.exp(t) if t < 709.0 else math.exp(709.0)) if self.log else t
        if self.step is not None:
            anchor = self.low if math.isfinite(self.low) else 0.0
            value = anchor + round((value - anchor) / self.step) * self.step
        low, high = self.low, self.high
        return self._typed(low if value < low else high if value > high else value)

    def encode(self, value: object) -> float:
        assert isinstance(value, (int, float))
        if self._t_low == self._t_high:
            return 0.5
        if self.step is None:
            return self._u(float(value))
        half = self.step / 2
        return (self._u(value - half) + self._u(value + half)) / 2

    def _u(self, value: float) -> float:
        low, high = self._t_low, self._t_high
        t = min(max(self._t(value), low), high)
        if self.shape is None:
            return (t - low) / (high - low)
        return min(max((self.shape.cdf(t, low, high) - self._u_low) / (self._u_high - self._u_low), 0.0), 1.0)

    def _typed(self, value: float) -> float:
        return value

    def clean(self, name: str, value: object) -> object:
        number = _scalar(value)
        if isinstance(number, int) and abs(number) > _GREATEST:
            raise SpaceError(f"{name} has {number.bit_length():,} bits, too many for {self}", "give a smaller number")
        if isinstance(number, bool) or not isinstance(number, (int, float)) or math.isnan(number):
            raise SpaceError(f"{name}={value!r} is not a number", f"give one that fits {self}")
        low, high = self.low, self.high
        if not low <= number <= high:
            slack = 1e-9 * (high - low) if isinstance(number, float) and math.isfinite(high - low) else 0.0
            if not low - slack <= number <= high + slack:
                raise SpaceError(
                    f"{name}={number:.12g} is outside {self}", f"give a value in [{low:.12g}, {high:.12g}]"
                )
            number = min(max(number, low), high)
        if self.step is not None:
            anchor = low if math.isfinite(low) else type(self.step)(0)
            k = round((number - anchor) / self.step)
            near = anchor + k * self.step
            if abs(near - number) > 1e-6 * self.step:
                raise SpaceError(
                    f"{name}={number:.12g} is off the grid of {self}", f"the nearest legal value is {near:.12g}"
                )
            number = near
        return float(number)

    @property
    def size(self) -> int | None:
        if self.low == self.high:
            return 1
        if self.step is None or not math.isfinite(self.high - self.low):
            return None
        return _whole_steps(self.low, self.high, self.step) + 1

    def __repr__(self) -> str:
        parts = [f"{self.low:.12g}", f"{self.high:.12g}"]
        parts += ["log"] * self.log
        if self.step is not None and not (self.kind == "Int" and self.step == 1):
            parts.append(f"step={self.step:.12g}")
        parts += [repr(self.shape)] * (self.shape is not None)
        if self.when is not None:
            parts.append(f"when={self.when.source!r}")
        return f"{self.kind}({', '.join(parts)})"


def _whole_steps(low: float, high: float, step: float) -> int:
    if isinstance(low, int) and isinstance(high, int) and isinstance(step, int):
        return (high - low) // step
    return math.floor((high - low) / step + 1e-6)  # as far off the grid as `clean` lets a value be


def _condition(when: str | Expression | None) -> Expression | None:
    if isinstance(when, str):
        return parse(when)
    if when is not None and not isinstance(when, Expression):
        raise SpaceError(f"when={when!r} is no expression", "give text such as \"optimizer == 'sgd'\"")
    return when


def _bound(kind: str, name: str, value: float) -> float:
    """Return the bound or step `value` as the float that it is."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise SpaceError(f"{kind} has {name}={value!r}, which is no number", "give a number") from None
    except OverflowError:
        raise SpaceError(f"{kind} has a {name} of more than 308 digits", "give a smaller number") from None


def _set(obj: object, **fields: object) -> None:
    for name, value in fields.items():
        object.__setattr__(obj, name, value)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Float(_Number):
    """A real parameter in [low, high].

    Args:
        low, high: The bounds, both legal. They may be infinite when `shape` is a `Normal`.
        log: Uniform (or shaped) in the logarithm; needs low > 0.
        step: Only low, low + step, … are legal; `high` is lowered to the last of them.
        shape: `Normal` (truncated to the bounds) or `Beta` (stretched over them) instead of uniform. With `log`,
            the shape is that of the natural logarithm.
        when: Expression over other parameters; the parameter exists only where it holds.

    Raises:
        SpaceError: low > high, log with low <= 0, a step that is not positive.

    Example:
        >>> round(Float(1e-4, 1e-1, log=True).decode(0.5), 9)
        0.003162278
    """

    kind: ClassVar[str] = "Float"

    def __init__(self, low: float, high: float, *, log: bool = False, step: float | None = None,
                 shape: Normal | Beta | None = None, when: str | Expression | None = None) -> None:  # fmt: skip
        _set(self, low=_bound("Float", "low", low), high=_bound("Float", "high", high), log=log, shape=shape,
             step=None if step is None else _bound("Float", "step", step), when=_condition(when), _t_low=0.0, _t_high=0.0,
             _u_low=0.0, _u_high=1.0)  # fmt: skip
        self._derive()


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Int(_Number):
    """An integer parameter in [low, high]; arguments as in `Float`, all integers, `step` 1 or more.

    Example:
        >>> Int(16, 256, log=True).decode(0.51)
        65
    """

    kind: ClassVar[str] = "Int"

    def __init__(self, low: int, high: int, *, log: bool = False, step: int = 1, shape: Normal | Beta | None = None,
                 when: str | Expression | None = None) -> None:  # fmt: skip
        for name, value in (("low", low), ("high", high), ("step", step)):
            if isinstance(value, bool) or not math.isfinite(_bound("Int", name, value)) or int(value) != value:
                raise SpaceError(
                    f"Int({low}, {high}, step={step}) has a {name} that is no integer", "give integers, or use Float"
                )
        _set(self, low=int(low), high=int(high), log=log, step=int(step), shape=shape, when=_condition(when), _t_low=0.0,
             _t_high=0.0, _u_low=0.0, _u_high=1.0)  # fmt: skip
        self._derive()

    def _typed(self, value: float) -> float:
        return round(value)

    def clean(self, name: str, value: object) -> object:
        number = _scalar(value)
        if isinstance(number, float):
            if not number.is_integer():
                raise SpaceError(f"{name}={number:.12g} is not an integer", f"give one that fits {self}")
            number = int(number)
        if isinstance(number, int) and not isinstance(number, bool) and self.low <= number <= self.high:
            # In integers: beyond 2^53 the steps of a float are too coarse.
            step = int(self.step or 1)
            beyond = (number - int(self.low)) % step
            if beyond == 0:
                return number
            near = number - beyond if 2 * beyond < step else number - beyond + step
            raise SpaceError(f"{name}={number} is off the grid of {self}", f"the nearest legal value is {near}")
        return _Number.clean(self, name, number)  # to say what is wrong with it


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Choice(Parameter):
    """One of `options`, any values that JSON can hold; a single option makes a constant.

    Args:
        options: At least one, no two equal (1 and True differ here).
        weights: Their relative probabilities, >= 0, not all 0; uniform by default.
        ordered: The order of the options means something (small, medium, large).
        when: As in `Float`.

    Example:
        >>> Choice(["sgd", "adam"]).decode(0.7)
        'adam'
    """

    options: tuple[object, ...]
    weights: tuple[float, ...] | None
    ordered: bool
    _edges: tuple[float, ...]
    _indices: Mapping[Hashable, int] = field(compare=False)

    def __init__(self, options: Sequence[object], *, weights: Sequence[float] | None = None, ordered: bool = False,
                 when: str | Expression | None = None) -> None:  # fmt: skip
        if isinstance(options, str):
            raise SpaceError(f"the options {options!r} are one string", f"give a list, such as [{options!r}]")
        options = tuple(options)
        if not options:
            raise SpaceError("Choice has no options", "give at least one")
        count, indices = len(options), dict[Hashable, int]()
        for i, option in enumerate(options):
            if indices.setdefault(identity(option), i) != i:
                raise SpaceError(f"Choice has the option {option!r} twice", "leave one out; weights prefer an option")
        if weights is None:
            edges = tuple(i / count for i in range(count + 1))
        else:
            if len(weights) != count:
                raise SpaceError(f"Choice has {count} options and {len(weights)} weights", "give one weight an option")
            if not all(math.isfinite(w) and w >= 0 for w in weights) or sum(weights) <= 0:
                raise SpaceError(f"Choice has the weights {list(weights)}", "give finite weights >= 0, not all 0")
            total = math.fsum(weights)
            edges = (0.0, *accumulate(weight / total for weight in weights))
        _set(self, options=options, weights=None if weights is None else tuple(map(float, weights)), ordered=ordered,
             when=_condition(when), _edges=edges, _indices=indices)  # fmt: skip

    @property
    def size(self) -> int | None:
        return len(self.options)

    def index(self, value: object) -> int:
        """Return the place of `value` among the options, or -1."""
        return self._indices.get(identity(value), -1)

    def clean(self, name: str, value: object) -> object:
        index = found if (found := self.index(value)) >= 0 else self.index(_scalar(value))
        if index < 0 or self._edges[index] == self._edges[index + 1]:
            why = f"{len(self.options)} options" if index < 0 else "what may be drawn: its weight is 0"
            raise SpaceError(f"{name}={value!r} is not among {why}", f"give one of {self._shown}")
        return self.options[index]

    def decode(self, u: float) -> object:
        count = len(self.options)
        if self.weights is None:
            return self.options[min(int(u * count), count - 1)]
        index = bisect_right(self._edges, u, hi=count) - 1
        while index >= count or self.weights[index] == 0:
            index -= 1
        return self.options[max(index, 0)]

    def encode(self, value: object) -> float:
        index = self.index(value)
        return (self._edges[index] + self._edges[index + 1]) / 2

    @property
    def _shown(self) -> str:
        return ", ".join(map(repr, self.options[:12])) + (", …" if len(self.options) > 12 else "")

    def __repr__(self) -> str:
        parts = [f"[{self._shown}]"]
        parts += [f"weights={list(self.weights)}"] if self.weights is not None else []
        parts += ["ordered=True"] * self.ordered
        if self.when is not None:
            parts.append(f"when={self.when.source!r}")
        return f"Choice({', '.join(parts)})"


def identity(value: object) -> Hashable:
    """Return what equal values share: 1 and 1.0 do, 1 and True do not; NaN equals NaN, a tuple the list of its values.

    Example:
        >>> identity([1, "a"]) == identity((1.0, "a")), identity(1) == identity(True)
        (True, False)
    """
    match value:
        case str() | None:
            return value
        case bool():
            return bool, value
        case list() | tuple():  # JSON knows no tuples
            return list, tuple(map(identity, value))
        case dict():
            return dict, frozenset((key, identity(inner)) for key, inner in value.items())
        case float() if value != value:
            return float, "nan"  # no NaN is found as a key, but for the same object
        case Hashable():
            return value
    return repr(value)


def _scalar(value: object) -> object:
    """Return the Python number in a numpy or torch scalar; anything else as it is."""
    if not hasattr(value, "item"):
        return value
    try:
        number: object = value.item()
    except (TypeError, ValueError, RuntimeError):  # an array of several
        return value
    return number
