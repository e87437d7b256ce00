"""Nested tensors as plain dictionaries: weights by name, hyperparameters by name (and by weight), and their vector algebra."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

__all__ = [
    "Hyper",
    "Weights",
    "add",
    "broadcasts",
    "detached",
    "dot",
    "is_finite",
    "leaves",
    "norm",
    "unflatten",
    "zeros_like",
]

Weights = Mapping[str, Tensor]
"""The trainable weights by name, as `torch.nn.Module.named_parameters` names them (a tied weight once)."""

Hyper = Mapping[str, "Tensor | Mapping[str, Tensor]"]
"""Values of hyperparameters by name: one tensor each (any shape), or one a weight, by the weight's name."""


def leaves(hyper: Hyper) -> dict[tuple[str, ...], Tensor]:
    """Return the tensors of `hyper` by path: ``("lr",)``, ``("decay", "fc1.weight")``."""
    flat: dict[tuple[str, ...], Tensor] = {}
    for name, value in hyper.items():
        if isinstance(value, Mapping):
            flat.update({(name, key): tensor for key, tensor in value.items()})
        else:
            flat[(name,)] = value
    return flat


def unflatten(flat: Mapping[tuple[str, ...], Tensor]) -> dict[str, Tensor | dict[str, Tensor]]:
    """Return the nested form of what `leaves` returns."""
    nested: dict[str, Tensor | dict[str, Tensor]] = {}
    for path, tensor in flat.items():
        if len(path) == 1:
            nested[path[0]] = tensor
        else:
            inner = nested.setdefault(path[0], {})
            assert isinstance(inner, dict)
            inner[path[1]] = tensor
    return nested


def detached(weights: Weights, *, copy: bool = False) -> dict[str, Tensor]:
    """Return `weights` cut from any graph; with `copy`, in memory of their own."""
    return {n: t.detach().clone() if copy else t.detach() for n, t in weights.items()}


def broadcasts(shape: Sequence[int], to: Sequence[int]) -> bool:
    """Return whether a tensor of `shape` goes with one of shape `to` without making it larger."""
    return len(shape) <= len(to) and all(a in (1, b) for a, b in zip(reversed(shape), reversed(to), strict=False))


def zeros_like(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return zeros of the same shapes."""
    return [torch.zeros_like(t) for t in tensors]


def add(a: Sequence[Tensor], b: Sequence[Tensor], scale: float = 1.0) -> list[Tensor]:
    """Return a + scale·b, tensor by tensor."""
    return [torch.add(x, y, alpha=scale) for x, y in zip(a, b, strict=True)]


def dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """Return the inner product over all tensors."""
    if not a:
        return 0.0
    return float(
        sum(
            (x * y).sum() if x.dim() == 0 else torch.dot(x.reshape(-1), y.reshape(-1))
            for x, y in zip(a, b, strict=True)
        )
    )


def norm(a: Sequence[Tensor]) -> float:
    """Return the Euclidean norm over all tensors."""
    return math.sqrt(max(dot(a, a), 0.0)) if is_finite(a) else math.inf


def is_finite(a: Iterable[Tensor]) -> bool:
    """Return whether no element is NaN or infinite."""
    return all(bool(torch.isfinite(t.sum())) or bool(torch.isfinite(t).all()) for t in a)
