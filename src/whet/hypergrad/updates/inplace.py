"""The arithmetic of in-place steps, over lists of tensors, with coefficients that are one for all of a list or one each.

On a CPU the lists have one tensor, which then stays in the cache from operation to operation; elsewhere one has all tensors of a
device, so that an operation is one launch (`torch._foreach_*`, as in `torch.optim`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from whet.hypergrad.tensors import Hyper, Weights
from whet.hypergrad.updates.algebra import Coefficient, knob, madd
from whet.hypergrad.updates.base import Setting

__all__ = ["Coefficients", "add_ratio_", "add_square_", "chunks", "div_", "each", "knobs", "lerp_", "madd_", "madds", "mul_", "plus_", "zero"]  # fmt: skip

Coefficients: TypeAlias = "float | list[Coefficient]"
"""A number for all tensors of a list, or a number or tensor for each."""


def chunks(weights: Weights) -> Iterator[list[str]]:
    """Yield the names of the weights in lists to be updated together."""
    together: dict[tuple[object, object], list[str]] = {}
    for name, weight in weights.items():
        if weight.device.type == "cpu":
            yield [name]
        else:
            together.setdefault((weight.device, weight.dtype), []).append(name)
    yield from together.values()


def knobs(value: Setting, names: Sequence[str], hyper: Hyper, weights: Weights) -> Coefficients:
    """Return a knob's values for the weights `names`."""
    if isinstance(value, int | float):
        return value
    found = [knob(value, name, hyper, weights[name]) for name in names]
    return found[0] if len(found) == 1 and not isinstance(found[0], Tensor) else found


def each(f: Callable[..., Coefficient], *ks: Coefficients) -> Coefficients:
    """Return f of the coefficients: one, or one a tensor if one of `ks` is."""
    size = next((len(k) for k in ks if isinstance(k, list)), None)
    if size is None:
        return f(*ks)
    columns = [k if isinstance(k, list) else [k] * size for k in ks]
    return [f(*row) for row in zip(*columns, strict=True)]


def zero(k: Coefficients) -> bool:
    """Return whether `k` is the number 0, so that what it multiplies can be left out."""
    return not isinstance(k, list) and k == 0


def mul_(xs: list[Tensor], k: Coefficients) -> None:
    """x ← k·x."""
    if isinstance(k, list):
        for x, ki in zip(xs, k, strict=True):
            x.mul_(ki)
    else:
        torch._foreach_mul_(xs, k)


def div_(xs: list[Tensor], k: Coefficients) -> None:
    """x ← x/k."""
    if isinstance(k, list):
        for x, ki in zip(xs, k, strict=True):
            x.div_(ki)
    else:
        torch._foreach_div_(xs, k)


def madd_(xs: list[Tensor], ys: list[Tensor], k: Coefficients, scale: float = 1.0) -> None:
    """x ← x + scale·k·y."""
    if isinstance(k, list):
        for x, y, ki in zip(xs, ys, k, strict=True):
            x.addcmul_(y, ki, value=scale) if isinstance(ki, Tensor) else x.add_(y, alpha=scale * ki)
    else:
        torch._foreach_add_(xs, ys, alpha=scale * k)


def madds(xs: list[Tensor], ys: list[Tensor], k: Coefficients) -> list[Tensor]:
    """Return x + k·y, new tensors."""
    if isinstance(k, list):
        return [madd(x, y, ki) for x, y, ki in zip(xs, ys, k, strict=True)]
    return list(torch._foreach_add(xs, ys, alpha=k))


def lerp_(xs: list[Tensor], ys: list[Tensor], k: Coefficients) -> None:
    """x ← x + k·(y − x)."""
    if isinstance(k, list):
        for x, y, ki in zip(xs, ys, k, strict=True):
            x.lerp_(y, ki)
    else:
        torch._foreach_lerp_(xs, ys, k)


def add_square_(xs: list[Tensor], ys: list[Tensor], k: Coefficients) -> None:
    """x ← x + k·y²."""
    if isinstance(k, list):
        for x, y, ki in zip(xs, ys, k, strict=True):
            x.addcmul_(y * ki, y) if isinstance(ki, Tensor) else x.addcmul_(y, y, value=ki)
    else:
        torch._foreach_addcmul_(xs, ys, ys, k)


def add_ratio_(xs: list[Tensor], ys: list[Tensor], zs: list[Tensor], k: Coefficients) -> None:
    """x ← x + k·y/z."""
    if isinstance(k, list):
        for x, y, z, ki in zip(xs, ys, zs, k, strict=True):
            x.addcdiv_(y * ki, z) if isinstance(ki, Tensor) else x.addcdiv_(y, z, value=ki)
    else:
        torch._foreach_addcdiv_(xs, ys, zs, k)


def plus_(xs: list[Tensor], k: Coefficients) -> None:
    """x ← x + k."""
    if isinstance(k, list):
        for x, ki in zip(xs, k, strict=True):
            x.add_(ki)
    else:
        torch._foreach_add_(xs, k)
