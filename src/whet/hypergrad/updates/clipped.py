"""Clip the gradients before an update, as `torch.nn.utils.clip_grad_norm_` and `clip_grad_value_` do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.tensors import Hyper, Weights
from whet.hypergrad.updates.algebra import combine, dot, give, named
from whet.hypergrad.updates.base import Cotangents, Part, Setting, State, Update, setting

__all__ = ["Clipped"]

_TINY = 1e-6  # what `clip_grad_norm_` adds to the norm


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Clipped(Update):
    """g ← g·min(1, c/(‖g‖ + 1e-6)), the norm taken over all weights, or g ← min(max(g, −c), c); then `update`.

    Derivatives go through the norm, too.

    Args:
        update: What is done with the clipped gradients.
        max_norm: c for the norm: a number or the name of a hyperparameter that is one number.
        max_value: c for each element; likewise. Give one of the two.

    Raises:
        HypergradError: neither or both are given.

    Example:
        >>> from whet.hypergrad.updates.sgd import SGD
        >>> update, w, g = Clipped(update=SGD(lr=1.0), max_value=0.5), {"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}
        >>> update(w, g, update.init(w), {})[0]
        {'w': tensor([0.5000])}
    """

    update: Update
    max_norm: Setting | None = None
    max_value: Setting | None = None

    def __post_init__(self) -> None:
        Update.__post_init__(self)
        if (self.max_norm is None) == (self.max_value is None):
            raise HypergradError(
                f"Clipped got max_norm={self.max_norm!r} and max_value={self.max_value!r}",
                "give one of them; for both, put one Clipped into another",
            )

    def init(self, weights: Weights) -> State:
        return self.update.init(weights)

    def __call__(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> tuple[dict[str, Tensor], State]:
        bound = self._bound(hyper)
        if self.max_norm is None:
            clipped = {n: _clamp(g, bound) for n, g in grads.items()}
        else:
            factor = torch.clamp(bound / (_norm(grads) + _TINY), max=1.0)
            clipped = {n: g * factor.to(g.device) for n, g in grads.items()}
        return self.update(weights, clipped, state, hyper)

    def step_(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> State:
        with torch.no_grad():
            clipped = self._clip(grads, hyper)
        return self.update.step_(weights, clipped, state, hyper)

    def vjp(self, weights: Weights, grads: Weights, state: State, hyper: Hyper, cot_weights: Weights,
            cot_slots: Mapping[str, Weights] | None = None, *, parts: Part = Part.ALL, lean: bool = False) -> Cotangents:  # fmt: skip
        with torch.no_grad():
            clipped = self._clip(grads, hyper)
            inner = self.update.vjp(weights, clipped, state, hyper, cot_weights, cot_slots, parts=parts, lean=lean)
            if self.max_norm is None:
                return self._back_through_values(inner, grads, hyper, parts)
            if clipped is grads:  # a bound that is a hyperparameter is reached all the same
                if Part.HYPER in parts and self.max_norm is not None:
                    give(inner.hyper, self.max_norm, "", hyper, torch.zeros(()))
                return inner
            return self._back_through_norm(inner, grads, hyper, parts)

    def scaled(self, factor: float) -> Clipped:
        return replace(self, update=self.update.scaled(factor))

    @property
    def elementwise(self) -> bool:
        return self.max_norm is None and self.update.elementwise

    @property
    def constant_lr(self) -> float | None:
        return self.update.constant_lr

    @property
    def atoms(self) -> tuple[Update, ...]:
        return self.update.atoms

    @property
    def hyper_names(self) -> frozenset[str]:
        own = self.max_value if self.max_norm is None else self.max_norm
        return self.update.hyper_names | ({own} if isinstance(own, str) else set())

    def _bound(self, hyper: Hyper) -> Tensor | float:
        own = self.max_value if self.max_norm is None else self.max_norm
        assert own is not None
        found = hyper.get(own) if isinstance(own, str) else None
        if isinstance(found, Mapping) or (found is not None and found.numel() != 1):
            raise HypergradError(
                f"the bound of a clipped gradient is the hyperparameter {own!r}, which has many values",
                "make it one number",
            )
        return setting(own, "", hyper)

    def _clip(self, grads: Weights, hyper: Hyper) -> Weights:
        """Return the clipped gradients, without a graph; `grads` themselves where none had to be."""
        bound = self._bound(hyper)
        if self.max_norm is None:
            return {n: _clamp(g, bound) for n, g in grads.items()}
        factor = torch.clamp(bound / (_norm(grads) + _TINY), max=1.0)
        if factor.device.type == "cpu" and float(factor) >= 1:
            return grads
        return {n: g * factor.to(g.device) for n, g in grads.items()}

    def _back_through_values(self, inner: Cotangents, grads: Weights, hyper: Hyper, parts: Part) -> Cotangents:
        bound = self._bound(hyper)
        found = dict(inner.hyper)
        back = {}
        for name, cot in inner.grads.items():
            outside = grads[name].abs() > bound
            back[name] = cot.masked_fill(outside, 0.0)
            if Part.HYPER in parts and self.max_value is not None and named(self.max_value):
                give(found, self.max_value, name, hyper, cot * torch.sign(grads[name]), outside.to(cot))
        return replace(inner, grads=back, hyper=found)

    def _back_through_norm(self, inner: Cotangents, grads: Weights, hyper: Hyper, parts: Part) -> Cotangents:
        bound, norm = self._bound(hyper), _norm(grads)
        ratio = bound / (norm + _TINY)
        factor, clips = torch.clamp(ratio, max=1.0), (ratio <= 1).to(norm)
        along = torch.stack([dot(cot, grads[n]).to(norm) for n, cot in inner.grads.items()]).sum() * clips
        pull = torch.where(norm > 0, along * ratio / ((norm + _TINY) * norm), 0.0)
        back = {n: combine(cot * factor.to(cot.device), grads[n], -1.0, pull.to(cot)) for n, cot in inner.grads.items()}
        found = dict(inner.hyper)
        if Part.HYPER in parts and self.max_norm is not None:
            give(found, self.max_norm, "", hyper, along / (norm + _TINY))
        return replace(inner, grads=back, hyper=found)


def _norm(grads: Weights) -> Tensor:
    norms = [torch.linalg.vector_norm(g) for g in grads.values()]
    return torch.linalg.vector_norm(torch.stack([n.to(norms[0].device) for n in norms]))


def _clamp(grad: Tensor, bound: Tensor | float) -> Tensor:
    if isinstance(bound, Tensor):
        bound = bound.to(grad)
    return torch.clamp(grad, -bound, bound)
