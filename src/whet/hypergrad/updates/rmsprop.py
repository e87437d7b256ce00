"""RMSprop, plain or centered, with or without momentum, as `torch.optim.RMSprop` does it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from whet.hypergrad.tensors import Hyper, Weights
from whet.hypergrad.updates.algebra import decayed_square, is_zero, madd, safe_sqrt
from whet.hypergrad.updates.base import Setting, State, Update, setting, slot
from whet.hypergrad.updates.inplace import (  # fmt: skip
    add_ratio_,
    add_square_,
    chunks,
    each,
    knobs,
    lerp_,
    madd_,
    madds,
    mul_,
    plus_,
    zero,
)

__all__ = ["RMSprop"]

_V, _MEAN, _BUFFER = "square_avg", "grad_avg", "momentum_buffer"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RMSprop(Update):
    """v ← αv + (1 − α)g², w ← w − ηg/(√v + ε); g has ξw added.

    Centered: ḡ ← αḡ + (1 − α)g, and √(v − ḡ²) in place of √v. With momentum: m ← μm + g/(√v + ε), w ← w − ηm.
    Where v = 0 the derivative of √v is taken as 0, not ∞: right for a weight that never got a gradient.

    Args:
        lr: η >= 0.
        alpha: α in [0, 1).
        eps: ε >= 0; with 0, a weight that never got a gradient becomes NaN, as in PyTorch.
        weight_decay: ξ >= 0, the coefficient of ½ξ‖w‖².
        momentum: μ in [0, 1). The number 0 keeps no buffer.
        centered: Divide by the standard deviation of the gradients, not by their root mean square.
        maximize: Go up the gradient, not down.

    Example:
        >>> update, w, g = RMSprop(lr="lr", alpha=0.75), {"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}
        >>> update(w, g, update.init(w), {"lr": torch.tensor(0.25)})[0]
        {'w': tensor([0.5000])}

    Source: Hinton, Neural networks for machine learning, lecture 6e, 2012; Graves, arXiv:1308.0850, for `centered`; PyTorch's form.
    """

    lr: Setting = 1e-2
    alpha: Setting = 0.99
    eps: Setting = 1e-8
    weight_decay: Setting = 0.0
    momentum: Setting = 0.0
    centered: bool = False
    maximize: bool = False

    def init(self, weights: Weights) -> State:
        return State(slots={kind: {n: torch.zeros_like(w) for n, w in weights.items()} for kind in self._kinds})

    def __call__(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> tuple[dict[str, Tensor], State]:
        new: dict[str, Tensor] = {}
        slots: dict[str, dict[str, Tensor]] = {kind: {} for kind in self._kinds}
        for name, weight in weights.items():
            lr, alpha, eps, decay, momentum = (setting(s, name, hyper, weight) for s in self._settings)
            d = -grads[name] if self.maximize else grads[name]
            if not is_zero(decay):
                d = madd(d, weight, decay)
            v = slots[_V][name] = decayed_square(slot(state, _V, name), d, alpha)
            if self.centered:
                mean = slots[_MEAN][name] = torch.lerp(slot(state, _MEAN, name), d, 1 - alpha)
                v = torch.addcmul(v, mean, mean, value=-1)
            root = safe_sqrt(v) + eps
            if self.momentum != 0:
                buffer = slots[_BUFFER][name] = torch.addcdiv(slot(state, _BUFFER, name) * momentum, d, root)
                new[name] = madd(weight, buffer, -lr)
            elif isinstance(lr, Tensor):
                new[name] = torch.addcdiv(weight, d * lr, root, value=-1)
            else:
                new[name] = torch.addcdiv(weight, d, root, value=-lr)
        return new, replace(state, step=state.step + 1, slots=slots)

    def step_(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> State:
        with torch.no_grad():
            for names in chunks(weights):
                lr, alpha, eps, decay, momentum = (knobs(s, names, hyper, weights) for s in self._settings)
                moved, ds = [weights[n] for n in names], [grads[n] for n in names]
                if self.maximize:
                    ds = list(torch._foreach_neg(ds))
                if not zero(decay):
                    ds = madds(ds, moved, decay)
                new = each(lambda k: 1 - k, alpha)
                v = [slot(state, _V, n) for n in names]
                mul_(v, alpha)
                add_square_(v, ds, new)
                if self.centered:
                    means = [slot(state, _MEAN, n) for n in names]
                    lerp_(means, ds, new)
                    roots = list(torch._foreach_addcmul(v, means, means, -1))
                    torch._foreach_sqrt_(roots)
                else:
                    roots = list(torch._foreach_sqrt(v))
                plus_(roots, eps)
                if self.momentum != 0:
                    buffers = [slot(state, _BUFFER, n) for n in names]
                    mul_(buffers, momentum)
                    add_ratio_(buffers, ds, roots, 1.0)
                    madd_(moved, buffers, lr, -1.0)
                else:
                    add_ratio_(moved, ds, roots, each(lambda k: -k, lr))
        return replace(state, step=state.step + 1)

    @property
    def _settings(self) -> tuple[Setting, ...]:
        return self.lr, self.alpha, self.eps, self.weight_decay, self.momentum

    @property
    def _kinds(self) -> tuple[str, ...]:
        return (_V, *((_BUFFER,) if self.momentum != 0 else ()), *((_MEAN,) if self.centered else ()))
