"""Arithmetic on tensors with coefficients that are numbers or tensors, with no pass over the weights that is not needed."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TypeAlias

import torch
from torch import Tensor

from whet.hypergrad.tensors import Hyper
from whet.hypergrad.updates.base import Setting, Times, setting

__all__ = [
    "Coefficient",
    "combine",
    "decayed_square",
    "dot",
    "give",
    "is_scalar",
    "is_zero",
    "knob",
    "madd",
    "named",
    "safe_sqrt",
]

Coefficient: TypeAlias = "float | Tensor"
"""A number, or a tensor that broadcasts against the weight (one of no dimensions, too)."""


def is_scalar(k: Coefficient) -> bool:
    """Return whether `k` is one number, as a number or a tensor."""
    return not isinstance(k, Tensor) or k.dim() == 0


def knob(value: Setting, name: str, hyper: Hyper, like: Tensor) -> Coefficient:
    """Return `setting` without a graph, as a number where that costs no wait for a device."""
    found = setting(value, name, hyper, like, cast=False)
    if not isinstance(found, Tensor):
        return found
    return float(found.detach()) if found.dim() == 0 and found.device.type == "cpu" else found.detach().to(like)


def madd(x: Tensor, y: Tensor, k: Coefficient) -> Tensor:
    """Return x + k·y, rounded as `torch.optim` rounds it where k is a number; differentiable in all three."""
    return torch.addcmul(x, y, k) if isinstance(k, Tensor) else torch.add(x, y, alpha=k)


def combine(x: Tensor | None, y: Tensor, *factors: Coefficient) -> Tensor:
    """Return x + Π factors · y as a new tensor in one pass over x and y (x None: zero). Not for use under autograd."""
    scale, tensors = 1.0, []
    for factor in factors:
        if isinstance(factor, Tensor):
            tensors.append(factor)
        else:
            scale *= factor
    if not tensors:
        return y * scale if x is None else torch.add(x, y, alpha=scale)
    product = min(tensors, key=lambda t: int(t.dim()))
    for factor in tensors:
        if factor is not product:
            product = product * factor
    if x is None and scale == 1.0:
        return y * product
    return torch.addcmul(y.new_zeros(()) if x is None else x, y, product, value=scale)


def decayed_square(v: Tensor, x: Tensor, k: Coefficient) -> Tensor:
    """Return k·v + (1 − k)·x², rounded as `torch.optim` rounds it where k is a number; differentiable in all three."""
    if isinstance(k, Tensor):
        return torch.addcmul(v * k, x * (1 - k), x)
    return torch.addcmul(v * k, x, x, value=1 - k)


def is_zero(k: Coefficient) -> bool:
    """Return whether `k` is the number 0, so that what it multiplies can be left out."""
    return not isinstance(k, Tensor) and k == 0


def safe_sqrt(x: Tensor) -> Tensor:
    """Return √x with derivative 0, not ∞, at x = 0, so that a weight that never got a gradient makes no NaN of 0·∞."""
    zero = x == 0
    return x.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0)


def dot(x: Tensor, y: Tensor) -> Tensor:
    """Return Σ x·y without forming the products."""
    return torch.dot(x.reshape(-1), y.reshape(-1))


def named(value: Setting) -> bool:
    """Return whether a knob is a hyperparameter."""
    return isinstance(value, str | Times)


def give(found: MutableMapping[tuple[str, ...], Tensor], value: Setting, name: str, hyper: Hyper, x: Tensor, y: Tensor | None = None,
         *, scale: Coefficient = 1.0) -> None:  # fmt: skip
    """Add to `found` the cotangent scale·x, or scale·x·y, of the knob `value` of weight `name`; a number has none.

    x and y have one element a weight; x alone may be the sum of all.
    """
    if not isinstance(value, str | Times):
        return
    if not is_scalar(scale):
        x, scale = x * scale, 1.0
    factor = value.factor if isinstance(value, Times) else 1.0
    key = value.name if isinstance(value, Times) else value
    target = hyper[key]
    path: tuple[str, ...] = (key,)
    if isinstance(target, Mapping):
        path, target = (key, name), target[name]
    if target.numel() == 1:
        cotangent = (x.sum() if y is None else dot(x, y)).reshape(target.shape)
    else:
        cotangent = x if y is None else x * y
        if cotangent.shape != target.shape:
            cotangent = cotangent.sum_to_size(target.shape)
    if isinstance(scale, Tensor) or scale * factor != 1.0:
        cotangent = cotangent * (scale * factor)
    cotangent = cotangent.to(target)
    found[path] = found[path] + cotangent if path in found else cotangent
