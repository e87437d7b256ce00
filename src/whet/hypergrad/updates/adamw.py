"""AdamW: Adam with a weight decay that stays out of the moments, as `torch.optim.AdamW` does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from whet.hypergrad.updates.base import Setting
from whet.hypergrad.updates.moments import Moments

__all__ = ["AdamW"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AdamW(Moments):
    """w ← (1 − ηξ)w, then as `Adam` without weight decay.

    Where v = 0 the derivative of √v is taken as 0, not ∞: right for a weight that never got a gradient.

    Args:
        lr: η >= 0.
        beta1, beta2: β₁, β₂ in [0, 1).
        eps: ε >= 0; with 0, a weight that never got a gradient becomes NaN, as in PyTorch.
        weight_decay: ξ >= 0, of which ηξw is taken off each weight.
        amsgrad: Divide by the greatest v so far.
        maximize: Go up the gradient, not down.

    Example:
        >>> import torch
        >>> update, w, g = AdamW(lr="lr", weight_decay=0.4), {"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}
        >>> update(w, g, update.init(w), {"lr": torch.tensor(0.25)})[0]
        {'w': tensor([0.6500])}

    Source: Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019.
    """

    weight_decay: Setting = 1e-2

    @property
    def decoupled(self) -> bool:
        return True
