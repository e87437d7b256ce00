"""Increasing maps of all real numbers (raw: what an outer optimizer moves) into a legal range (value: what is meant)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from whet.errors import HypergradError, UnknownName

__all__ = ["Box", "Exp", "Identity", "Log10", "Softplus", "Transform", "UnitInterval", "transform_named"]

_MANY = 1000  # values from which speed counts for more than the last digit
_WITHIN = 0.99
"""The share of a dtype's range of exponents that is used: forward and its derivative neither overflow nor become 0."""


@dataclass(frozen=True, slots=True)
class Transform(ABC):
    """An increasing, differentiable map raw ↦ value with an inverse, element by element.

    The laws: ``inverse(forward(raw)) == raw`` within `ends`, up to rounding; `forward` gives legal values there, and none of them has
    the derivative 0, so that no clipped hyperparameter is stuck.
    """

    name: ClassVar[str]

    @abstractmethod
    def forward(self, raw: Tensor) -> Tensor:
        """Return the values."""

    @abstractmethod
    def pullback(self, raw: Tensor, grad: Tensor) -> Tensor:
        """Return grad · d value/d raw, a fresh tensor of raw's shape: the chain rule, in closed form."""

    @property
    @abstractmethod
    def domain(self) -> tuple[float, float]:
        """The least and the greatest legal value. Where no raw leads to one of them (10ˣ = 0), it is not legal itself."""

    @abstractmethod
    def ends(self, dtype: torch.dtype) -> tuple[float, float]:
        """Return the least and the greatest raw in `dtype` that makes sense."""

    def inverse(self, value: Tensor) -> Tensor:
        """Return the raws of legal values; those at or beyond what `ends` allows become the ends.

        Raises:
            HypergradError: a value is not legal, or not of a floating-point dtype.
        """
        if not value.is_floating_point():
            raise HypergradError(f"the value is of {value.dtype}", "give a floating-point tensor")
        if value.numel():
            low, high = (float(end) for end in torch.aminmax(value.detach()))
            self._check(low)
            self._check(high)
        return self._invert(value).clamp(*self.ends(value.dtype))

    @abstractmethod
    def _invert(self, value: Tensor) -> Tensor:
        """Return the raws of values in the domain; those of its ends may be infinite."""

    def _check(self, value: float) -> None:
        low, high = self.domain
        if not math.isfinite(value):
            raise HypergradError(f"{value} is no value of {self}", "give a finite number")
        slack = 1e-6 * (high - low)  # 0.1 in float32 is above 0.1
        if not low - slack <= value <= high + slack:
            raise HypergradError(f"{value:.6g} is no value of {self}", f"give one in [{low:g}, {high:g}]")


class _Positive(Transform):
    """What the transforms to values above 0 share."""

    __slots__ = ()

    @property
    def domain(self) -> tuple[float, float]:
        return 0.0, math.inf

    def _check(self, value: float) -> None:
        if not (math.isfinite(value) and value > 0):
            raise HypergradError(
                f"{value:.6g} is no value of {self}",
                "give a finite number above 0; for one that may be 0 take transform='identity' with low=0",
            )


@final
@dataclass(frozen=True, slots=True)
class Identity(Transform):
    """value = raw, and the very same tensor.

    Example:
        >>> Identity().forward(torch.tensor(-2.0))
        tensor(-2.)
    """

    name: ClassVar[str] = "identity"

    def forward(self, raw: Tensor) -> Tensor:
        return raw

    def pullback(self, raw: Tensor, grad: Tensor) -> Tensor:
        return grad.to(raw.dtype, copy=True)

    @property
    def domain(self) -> tuple[float, float]:
        return -math.inf, math.inf

    def ends(self, dtype: torch.dtype) -> tuple[float, float]:
        return -math.inf, math.inf

    def _invert(self, value: Tensor) -> Tensor:
        return value


@final
@dataclass(frozen=True, slots=True)
class Log10(_Positive):
    """value = 10^raw, for what spans orders of magnitude: learning rates, weight decays.

    Example:
        >>> Log10().forward(torch.tensor(-2.0)), Log10().inverse(torch.tensor(0.001))
        (tensor(0.0100), tensor(-3.))
    """

    name: ClassVar[str] = "log10"

    def forward(self, raw: Tensor) -> Tensor:
        # The exponential is several times as fast, and in float32 wrong in the sixth digit: of millions of values nobody reads that.
        return torch.pow(10.0, raw) if raw.numel() < _MANY else (raw * math.log(10)).exp_()

    def pullback(self, raw: Tensor, grad: Tensor) -> Tensor:
        # log(10)·10^raw in one exponential
        shift = torch.full((), math.log(math.log(10)), dtype=raw.dtype, device=raw.device)
        return torch.add(shift, raw.detach(), alpha=math.log(10)).exp_().mul_(grad)

    def ends(self, dtype: torch.dtype) -> tuple[float, float]:
        info = torch.finfo(dtype)
        return _WITHIN * math.log10(info.tiny), _WITHIN * math.log10(info.max)

    def _invert(self, value: Tensor) -> Tensor:
        return torch.log10(value)


@final
@dataclass(frozen=True, slots=True)
class Exp(_Positive):
    """value = e^raw: the log-decays of HOAG and of per-weight regularisation.

    Example:
        >>> Exp().forward(torch.tensor(0.0))
        tensor(1.)
    """

    name: ClassVar[str] = "exp"

    def forward(self, raw: Tensor) -> Tensor:
        return torch.exp(raw)

    def pullback(self, raw: Tensor, grad: Tensor) -> Tensor:
        return torch.exp(raw.detach()).mul_(grad)

    def ends(self, dtype: torch.dtype) -> tuple[float, float]:
        info = torch.finfo(dtype)
        return _WITHIN * math.log(info.tiny), _WITHIN * math.log(info.max)

    def _invert(self, value: Tensor) -> Tensor:
        return torch.log(value)


@final
@dataclass(frozen=True, slots=True)
class Softplus(_Positive):
    """value = log(1 + e^raw): positive, and as good as raw itself where it is large.

    Example:
        >>> Softplus().forward(torch.tensor([0.0, 50.0]))
        tensor([ 0.6931, 50.0000])
    """

    name: ClassVar[str] = "softplus"

    def forward(self, raw: Tensor) -> Tensor:
        # torch's softplus turns into the identity at 20 with a jump of 2e-9, which float64 sees.
        return torch.logaddexp(raw, raw.new_zeros(()))

    def pullback(self, raw: Tensor, grad: Tensor) -> Tensor:
        return torch.sigmoid(raw.detach()).mul_(grad)

    def ends(self, dtype: torch.dtype) -> tuple[float, float]:
        info = torch.finfo(dtype)
        return _WITHIN * math.log(info.tiny), _WITHIN * info.max

    def _invert(self, value: Tensor) -> Tensor:
        return value + torch.log(-torch.expm1(-value))


def _sigmoid_ends(margin: float) -> tuple[float, float]:
    end = math.log1p(-margin) - math.log(margin)
    return -end, end


def _pull_sigmoid(raw: Tensor, grad: Tensor) -> Tensor:
    share = torch.sigmoid(raw.detach())
    return share.addcmul_(share, share, value=-1).mul_(grad)


def _check_margin(transform: Transform, margin: float) -> None:
    if not 0 < margin < 0.5:
        raise HypergradError(f"{transform} has the margin {margin}", "give one in (0, 0.5), such as 1e-4")


@final
@dataclass(frozen=True, slots=True)
class Box(Transform):
    """value = low + (high − low)·sigmoid(raw).

    At the bounds themselves the derivative would be 0, so a value nearer to one than `margin` of the width is taken to be there. A
    hyperparameter that starts on a bound leaves it slowly: start it inside.

    Args:
        low, high: The bounds, low < high, finite.
        margin: In (0, 0.5).

    Example:
        >>> Box(-1.0, 3.0).forward(torch.tensor(0.0)), Box(0, 1).inverse(torch.tensor(0.0))
        (tensor(1.), tensor(-9.2102))
    """

    name: ClassVar[str] = "box"
    low: float
    high: float
    margin: float = 1e-4

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise HypergradError(f"{self} is no interval", "give finite bounds, low < high")
        _check_margin(self, self.margin)

    def forward(self, raw: Tensor) -> Tensor:
        return torch.sigmoid(raw) * (self.high - self.low) + self.low

    def pullback(self, raw: Tensor, grad: Tensor) -> Tensor:
        return _pull_sigmoid(raw, grad).mul_(self.high - self.low)

    @property
    def domain(self) -> tuple[float, float]:
        return self.low, self.high

    def ends(self, dtype: torch.dtype) -> tuple[float, float]:
        return _sigmoid_ends(self.margin)

    def _invert(self, value: Tensor) -> Tensor:
        return torch.logit((value - self.low) / (self.high - self.low), eps=self.margin)


@final
@dataclass(frozen=True, slots=True)
class UnitInterval(Transform):
    """value = sigmoid(raw), for shares: momentum, betas, dropout, weights of examples.

    Args:
        margin: As for `Box`, in (0, 0.5); the values are those in [margin, 1 − margin].

    Example:
        >>> UnitInterval().forward(torch.tensor(0.0))
        tensor(0.5000)
    """

    name: ClassVar[str] = "unit"
    margin: float = 1e-4

    def __post_init__(self) -> None:
        _check_margin(self, self.margin)

    def forward(self, raw: Tensor) -> Tensor:
        return torch.sigmoid(raw)

    def pullback(self, raw: Tensor, grad: Tensor) -> Tensor:
        return _pull_sigmoid(raw, grad)

    @property
    def domain(self) -> tuple[float, float]:
        return 0.0, 1.0

    def ends(self, dtype: torch.dtype) -> tuple[float, float]:
        return _sigmoid_ends(self.margin)

    def _invert(self, value: Tensor) -> Tensor:
        return torch.logit(value, eps=self.margin)


_SIMPLE: dict[str, Transform] = {t.name: t for t in (Identity(), Log10(), Exp(), Softplus(), UnitInterval())}


def transform_named(name: str, low: float | None = None, high: float | None = None) -> Transform:
    """Return the transform of a short name: "identity", "log10", "exp", "softplus", "unit", or "box" with its bounds.

    Raises:
        UnknownName: there is none of that name.
        HypergradError: "box" without both bounds.

    Example:
        >>> transform_named("log10"), transform_named("box", 0.0, 2.0)
        (Log10(), Box(low=0.0, high=2.0, margin=0.0001))
    """
    if name == Box.name:
        if low is None or high is None:
            raise HypergradError("transform='box' has no bounds", "give low and high")
        return Box(low, high)
    if name not in _SIMPLE:
        raise UnknownName.of("transform", name, [*_SIMPLE, Box.name])
    return _SIMPLE[name]
