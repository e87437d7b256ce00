"""`Hyperparameter`: a differentiable value with a transform to its legal range, usable where a number is expected."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from enum import Enum
from typing import Any, TypeAlias, final

import torch
from torch import Tensor

from whet.errors import HypergradError, UnknownName
from whet.hypergrad.operators import TensorLike
from whet.hypergrad.tensors import broadcasts
from whet.hypergrad.transforms import Transform, transform_named

__all__ = ["Hyperparameter", "Per", "bound"]

Value: TypeAlias = "Tensor | Mapping[str, Tensor]"

_ONE = ""
"""The key of the raw tensor of a hyperparameter that is one tensor."""

_BOUND: ContextVar[Mapping[int, Value]] = ContextVar("whet_bound_hyperparameters", default={})  # noqa: B039 (never changed)


class Per(Enum):
    """How many values a hyperparameter has: one tensor for all, a number a weight tensor, a number a weight."""

    ALL = "all"
    LAYER = "layer"
    WEIGHT = "weight"


@contextlib.contextmanager
def bound(pairs: Iterable[tuple[Hyperparameter, Value]]) -> Iterator[None]:
    """Within it, each hyperparameter's value is the given one, in this thread or task: a leaf of somebody's graph, say."""
    values = {id(h): value for h, value in pairs if not isinstance(value, Hyperparameter)}
    token = _BOUND.set({**_BOUND.get(), **values})
    try:
        yield
    finally:
        _BOUND.reset(token)


@final
class Hyperparameter(TensorLike):
    """A value that a gradient moves: value = transform(raw), with raw free of bounds.

    It stands where a number or a tensor is expected: ``0.5 * h``, ``torch.exp(h)``, ``h < 1``, ``float(h)``, ``f"{h:.3g}"``; ``==``
    gives what it gives for a tensor.

    Args:
        value: A number, or a floating-point tensor of any shape, or one tensor a weight, by the weight's name.
        transform: From raw to value: a `Transform`, or the name of one ("identity", "log10", "exp", "softplus", "unit", "box").
        per: "all": one tensor; "layer": a number a weight tensor; "weight": a number a weight. The latter two are made by `bind`.
        shape: The shape of the one tensor; that of `value` by default.
        low, high: The least and the greatest value; `clip_` brings it back between them.
        tune: False for a constant: it has no gradient and no optimizer sees it.

    Raises:
        HypergradError: the value is not legal, or does not go with `per` or `shape`.
        UnknownName: there is no such transform.

    Example:
        >>> lr = Hyperparameter(0.01, transform="log10", high=1.0)
        >>> f"{lr:.3f}", lr.raw[""].item(), 2 * lr
        ('0.010', -2.0, tensor(0.0200, grad_fn=<MulBackward0>))
    """

    def __init__(
        self, value: float | Tensor | Mapping[str, Tensor], *, transform: Transform | str = "identity", per: Per | str = Per.ALL,
        shape: Sequence[int] | None = None, low: float | None = None, high: float | None = None, tune: bool = True,
    ) -> None:  # fmt: skip
        if isinstance(transform, str):
            transform = transform_named(transform, low, high)
        if not isinstance(per, Per) and per not in [p.value for p in Per]:
            raise UnknownName.of("per", per, [p.value for p in Per])
        if low is not None and high is not None and not low <= high:
            raise HypergradError(f"low={low:g} is above high={high:g}", "give low <= high")
        least, greatest = transform.domain
        if (low is not None and low > greatest) or (high is not None and high < least):
            raise HypergradError(
                f"the limits leave no value of {transform}", f"its values are in [{least:g}, {greatest:g}]"
            )
        self.transform, self.per, self.low, self.high, self.tune = transform, Per(per), low, high, tune
        self._limits: dict[torch.dtype, tuple[float, float]] = {}
        self._number: float | None = None
        """The number that it started from, while nothing else was set: it is not rounded to a dtype before the model's is known."""
        self.raw: dict[str, Tensor] = {}
        """What outer optimizers move: one tensor by the key "", or one a weight by the weight's name."""
        if isinstance(value, Mapping):
            if shape is not None or not value:
                raise HypergradError(
                    "a mapping of weights was given with a shape, or empty", "give one tensor a weight"
                )
            self.raw = {name: self._leaf(self._encoded(v)) for name, v in value.items()}
        else:
            if self.per is not Per.ALL and (shape is not None or (isinstance(value, Tensor) and value.dim())):
                raise HypergradError(
                    f"per={self.per.value!r} has a shape, though its shapes are the weights'",
                    "give one number to start from, or one tensor a weight",
                )
            self._number = None if isinstance(value, Tensor) else _number(value)
            self.raw = {_ONE: self._leaf(self._encoded(value, shape=shape))}

    # -- the value ------------------------------------------------------------------------------------------------------

    def value(self) -> Tensor | dict[str, Tensor]:
        """Return the value, with a graph to `raw` where gradients are enabled; one tensor a weight if there are several.

        Within `bound` (and so within the losses of a hypergradient call) it is the value that was bound.
        """
        found = _BOUND.get().get(id(self))
        if found is not None:
            return found if isinstance(found, Tensor) else dict(found)
        if self.is_single:
            return self.transform.forward(self.raw[_ONE])
        return {name: self.transform.forward(raw) for name, raw in self.raw.items()}

    def tensor(self) -> Tensor:
        """Return the value of a hyperparameter that is one tensor.

        Raises:
            HypergradError: it is several.
        """
        value = self.value()
        if isinstance(value, Tensor):
            return value
        raise HypergradError(
            "a hyperparameter of several tensors stands for none", "take hyperparameter[name of the weight]"
        )

    def item(self) -> float:
        if (count := self.tensor().numel()) != 1:
            raise HypergradError(f"a hyperparameter of {count:,} values is not one number", "take its value()")
        return float(self.tensor().detach())

    def __getitem__(self, index: Any) -> Tensor:
        return self.value()[index]

    def __eq__(self, other: object) -> Any:
        return self.tensor() == other if self.is_single else self is other

    __hash__ = object.__hash__

    def set(self, value: float | Tensor | Mapping[str, Tensor]) -> None:
        """Put `value` in, in place: a number everywhere, or tensors of the shapes that are there.

        Raises:
            HypergradError: it is not legal, or not of that shape; then nothing has changed.
        """
        if isinstance(value, Mapping) and value.keys() != self.raw.keys():
            raise HypergradError(
                f"the value is for {_listed(value)}, not {_listed(self.raw)}", "give one tensor a weight"
            )
        encoded = {}
        for name, raw in self.raw.items():
            part = value[name] if isinstance(value, Mapping) else value
            if isinstance(part, Tensor) and part.shape not in (raw.shape, ()):
                raise HypergradError(
                    f"the value has shape {tuple(part.shape)}, not {tuple(raw.shape)}", "give it that shape"
                )
            encoded[name] = self._encoded(part, dtype=raw.dtype)
        with torch.no_grad():
            for name, raw in self.raw.items():
                raw.copy_(encoded[name])
        self._number = None if isinstance(value, Mapping | Tensor) else _number(value)

    def clip_(self) -> None:
        """Bring the value back into [low, high], and raw to where the transform's derivative does not vanish."""
        for raw in self.raw.values():
            low, high = self._raw_limits(raw.dtype)
            if math.isfinite(low) or math.isfinite(high):
                raw.detach().clamp_(low, high)

    def bind(self, weights: Mapping[str, Tensor]) -> None:
        """Follow the weights: their device and dtype, and with ``per="layer"`` or ``"weight"`` their names and shapes; idempotent.

        Raises:
            HypergradError: it has tensors by name already, and the weights' names or shapes are others.
        """
        like = next(iter(weights.values()))
        if self.is_single and self.per is not Per.ALL:
            start = self._number if self._number is not None else self.value()
            self.raw = {
                name: self._leaf(
                    self._encoded(start, w.shape if self.per is Per.WEIGHT else (), w.device, _full(w.dtype))
                )
                for name, w in weights.items()
            }
            return
        if self.is_single:
            self.to(like.device, _full(like.dtype))
            return
        for name, raw in self.raw.items():
            if name not in weights:
                raise HypergradError(f"there is no trainable weight {name!r}", f"there are {_listed(weights)}")
            weight = weights[name]
            if not broadcasts(raw.shape, weight.shape):
                raise HypergradError(
                    f"for {name!r} the shape is {tuple(raw.shape)} and the weight's {tuple(weight.shape)}",
                    "make a new one for this model",
                )
        if self.per is not Per.ALL and (new := [n for n in weights if n not in self.raw]):
            raise HypergradError(f"there is no value for the weight {new[0]!r}", "make a new one for this model")
        for name, raw in self.raw.items():
            _move(raw, weights[name].device, _full(weights[name].dtype))

    def load(self, raw: Mapping[str, Tensor]) -> None:
        """Copy raw tensors in, by the keys of `raw` and of the same shapes."""
        with torch.no_grad():
            for key, tensor in self.raw.items():
                tensor.copy_(raw[key])
        self._number = None

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Hyperparameter:
        """Move `raw` and its gradient, as the same objects; return itself."""
        for raw in self.raw.values():
            if dtype not in (None, raw.dtype) and self._number is not None and self.is_single:
                fresh = self._encoded(self._number, raw.shape, raw.device, dtype)
                if torch.equal(raw, self._encoded(self._number, raw.shape, raw.device, raw.dtype)):
                    raw.data = fresh  # not moved since: a float32 0.1 would stay 0.10000000149 in float64
            _move(raw, device, dtype)
        return self

    @property
    def is_single(self) -> bool:
        """Whether it is one tensor (of any shape), not one a weight."""
        return _ONE in self.raw

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _leaf(self, raw: Tensor) -> Tensor:
        return raw.detach().requires_grad_(self.tune)

    def _encoded(self, value: Any, shape: Sequence[int] | None = None, device: Any = None, dtype: torch.dtype | None = None) -> Tensor:  # fmt: skip
        """Return the raws of a legal value, in memory of their own."""
        if not isinstance(value, Tensor):
            # In double precision first: 1e-50 has a logarithm, though no float32.
            dtype = torch.get_default_dtype() if dtype is None else dtype
            value = torch.tensor(_number(value), dtype=torch.float64, device=device)
        raw = self.transform.inverse(value.detach())
        dtype = _full(raw.dtype if dtype is None else dtype)
        if value.numel() and not (self.low is None and self.high is None):
            for end in map(float, torch.aminmax(value.detach())):
                if _above(self.low, end) or _above(end, self.high):
                    raise HypergradError(
                        f"{end:.6g} is outside {self._range}", "give a value within, or widen the limits"
                    )
        if shape is not None and tuple(shape) != tuple(raw.shape):
            if raw.dim():
                raise HypergradError(
                    f"the value has shape {tuple(raw.shape)}, not {tuple(shape)}", "give it that shape"
                )
            raw = raw.expand(tuple(shape))
        own = raw.to(dtype, copy=True, memory_format=torch.contiguous_format)
        return own.clamp_(*self._raw_limits(dtype))

    def _raw_limits(self, dtype: torch.dtype) -> tuple[float, float]:
        """Return the raws between which the value, as `dtype` has it, lies in [low, high]."""
        if dtype not in self._limits:
            self._limits[dtype] = self._raw_limit(dtype, self.low, 0), self._raw_limit(dtype, self.high, 1)
        return self._limits[dtype]

    def _raw_limit(self, dtype: torch.dtype, limit: float | None, side: int) -> float:
        end, last = self.transform.ends(dtype)[side], self.transform.domain[side]
        pick, inwards = (min, -math.inf) if side else (max, math.inf)
        limit = last if limit is None else pick(limit, last)
        if limit != last:
            end = pick(end, float(self.transform.inverse(torch.tensor(limit, dtype=torch.float64))))
        raw, wanted, further = (torch.tensor(x, dtype=dtype) for x in (end, limit, inwards))
        if not math.isfinite(limit):
            return float(raw)
        if pick(float(wanted), limit) != float(wanted):
            wanted = torch.nextafter(wanted, further)  # float32's 0.1 is above 0.1
        step = torch.nextafter(raw, further) - raw
        while pick(value := float(self.transform.forward(raw)), float(wanted)) != value and torch.isfinite(raw):
            raw, step = raw + step, 2 * step  # rounding has put the value beyond its limit
        return float(raw)

    @property
    def _range(self) -> str:
        return (
            f"[{'-inf' if self.low is None else f'{self.low:g}'}, {'inf' if self.high is None else f'{self.high:g}'}]"
        )

    def __repr__(self) -> str:
        return f"Hyperparameter({self.line})"

    def __str__(self) -> str:
        if self.is_single and self.raw[_ONE].numel() == 1:
            return f"{self.item():.6g}"
        low, mean, high = self.spread()
        return f"{sum(raw.numel() for raw in self.raw.values()):,} values from {low:.3g} to {high:.3g}, mean {mean:.3g}"

    @property
    def line(self) -> str:
        """What it is, in one line."""
        parts = [str(self), repr(self.transform)]
        if self.low is not None or self.high is not None:
            parts.append(f"in {self._range}")
        if self.per is not Per.ALL:
            parts.append(f"per {self.per.value}" + ", before bind(model)" * self.is_single)
        return ", ".join([*parts, *["constant"] * (not self.tune)])

    def spread(self) -> tuple[float, float, float]:
        """Return the least, the mean and the greatest value."""
        with torch.no_grad():
            lows, highs, total, count = [], [], 0.0, 0
            for raw in self.raw.values():
                if raw.numel():
                    value = self.transform.forward(raw)
                    lows.append(float(value.min()))
                    highs.append(float(value.max()))
                    total, count = total + float(value.sum(dtype=torch.float64)), count + value.numel()
        return (min(lows), total / count, max(highs)) if count else (math.nan, math.nan, math.nan)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise HypergradError(f"the value is {value}", "give a number or a floating-point tensor")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise HypergradError(
            f"the value is {value!r}, which is no number", "give a number or a floating-point tensor"
        ) from None


def _above(a: float | None, b: float | None) -> bool:
    """Return whether a > b by more than float32's rounding; a limit that is None is none."""
    return a is not None and b is not None and a > b + 1e-6 * min(abs(a), abs(b))


def _move(raw: Tensor, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
    """Move a leaf and its gradient; the object stays the same, so an optimizer keeps it."""
    raw.data = raw.data.to(device, dtype)
    if raw.grad is not None:
        raw.grad = raw.grad.to(device, dtype)


def _full(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype for raws beside tensors of `dtype`: half precision has too few digits."""
    dtype = dtype.to_real()
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _listed(names: Iterable[str]) -> str:
    shown = [name or "one tensor" for name in names]
    return ", ".join(shown[:10]) + (", …" if len(shown) > 10 else "")
