"""Nested tensors as plain dictionaries: weights by name, hyperparameters by name (and by weight), and their vector algebra."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

__all__ = [
    "Hyper",
    "Weights",
    "apart",
    "broadcasts",
    "detached",
    "inner",
    "is_finite",
    "leaves",
    "norm",
    "unflatten",
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


def apart(found: Iterable[Tensor | None], given: Iterable[Tensor]) -> Iterator[Tensor | None]:
    """Yield `found`, each in memory of its own: autograd may return one tensor for two inputs, an expanded one, or one that it was given."""
    taken = {t.untyped_storage().data_ptr() for t in given}
    for tensor in found:
        if tensor is not None:
            if tensor.untyped_storage().data_ptr() in taken or (0 in tensor.stride() and tensor.numel() > 1):
                tensor = tensor.clone(memory_format=torch.contiguous_format)
            taken.add(tensor.untyped_storage().data_ptr())
        yield tensor


def inner(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Return the inner product over all tensors as a float64 tensor without dimensions: nothing waits for a GPU here."""
    if not a:
        return torch.zeros((), dtype=torch.float64)
    parts = [torch.dot(x.reshape(-1), y.reshape(-1)) for x, y in zip(a, b, strict=True)]
    device = parts[0].device  # weights may be spread over several
    return torch.stack([p.to(device, torch.float64) for p in parts]).sum()


def norm(a: Sequence[Tensor]) -> float:
    """Return the Euclidean norm over all tensors."""
    return math.sqrt(float(inner(a, a))) if is_finite(a) else math.inf


def is_finite(a: Iterable[Tensor]) -> bool:
    """Return whether no element is NaN or infinite."""
    return all(bool(torch.isfinite(t.sum())) or bool(torch.isfinite(t).all()) for t in a)
