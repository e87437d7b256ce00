"""Adagrad, as `torch.optim.Adagrad` does it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from whet.hypergrad.tensors import Hyper, Weights
from whet.hypergrad.updates.algebra import is_zero, madd, safe_sqrt
from whet.hypergrad.updates.base import Setting, State, Update, setting, slot
from whet.hypergrad.updates.inplace import add_ratio_, add_square_, chunks, each, knobs, madds, plus_, zero

__all__ = ["Adagrad"]

_SUM = "sum"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Adagrad(Update):
    """s ← s + g², w ← w − η/(1 + (t − 1)δ) · g/(√s + ε); g has ξw added.

    Where s = 0 the derivative of √s is taken as 0, not ∞: right for a weight that never got a gradient.

    Args:
        lr: η >= 0.
        lr_decay: δ >= 0.
        weight_decay: ξ >= 0, the coefficient of ½ξ‖w‖².
        initial_accumulator_value: What s begins with, >= 0.
        eps: ε >= 0; with 0, a weight that never got a gradient becomes NaN, as in PyTorch.
        maximize: Go up the gradient, not down.

    Example:
        >>> update, w, g = Adagrad(lr="lr"), {"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}
        >>> update(w, g, update.init(w), {"lr": torch.tensor(0.25)})[0]
        {'w': tensor([0.7500])}

    Source: Duchi, Hazan and Singer, Adaptive subgradient methods for online learning and stochastic optimization, JMLR 2011.
    """

    lr: Setting = 1e-2
    lr_decay: Setting = 0.0
    weight_decay: Setting = 0.0
    initial_accumulator_value: float = 0.0
    eps: Setting = 1e-10
    maximize: bool = False

    def init(self, weights: Weights) -> State:
        return State(slots={_SUM: {n: torch.full_like(w, self.initial_accumulator_value) for n, w in weights.items()}})

    def __call__(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> tuple[dict[str, Tensor], State]:
        new, sums = {}, {}
        for name, weight in weights.items():
            lr, lr_decay, decay, eps = (setting(s, name, hyper, weight) for s in self._settings)
            d = -grads[name] if self.maximize else grads[name]
            if not is_zero(decay):
                d = madd(d, weight, decay)
            total = sums[name] = torch.addcmul(slot(state, _SUM, name), d, d)
            size = lr / (1 + float(state.step) * lr_decay)
            root = safe_sqrt(total) + eps
            if isinstance(size, Tensor):
                new[name] = torch.addcdiv(weight, d * size, root, value=-1)
            else:
                new[name] = torch.addcdiv(weight, d, root, value=-size)
        return new, replace(state, step=state.step + 1, slots={_SUM: sums})

    def step_(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> State:
        t = float(state.step)
        with torch.no_grad():
            for names in chunks(weights):
                lr, lr_decay, decay, eps = (knobs(s, names, hyper, weights) for s in self._settings)
                moved, ds = [weights[n] for n in names], [grads[n] for n in names]
                if self.maximize:
                    ds = list(torch._foreach_neg(ds))
                if not zero(decay):
                    ds = madds(ds, moved, decay)
                sums = [slot(state, _SUM, n) for n in names]
                add_square_(sums, ds, 1.0)
                roots = list(torch._foreach_sqrt(sums))
                plus_(roots, eps)
                add_ratio_(moved, ds, roots, each(lambda lr, k: -(lr / (1 + t * k)), lr, lr_decay))
        return replace(state, step=state.step + 1)

    @property
    def _settings(self) -> tuple[Setting, ...]:
        return self.lr, self.lr_decay, self.weight_decay, self.eps
