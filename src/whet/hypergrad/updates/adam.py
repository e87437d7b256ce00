"""Adam, as `torch.optim.Adam` does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from whet.hypergrad.updates.moments import Moments

__all__ = ["Adam"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Adam(Moments):
    """m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², w ← w − η m̂/(√v̂ + ε); m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ); g has ξw added.

    Where v = 0 the derivative of √v is taken as 0, not ∞: right for a weight that never got a gradient.

    Args:
        lr: η >= 0.
        beta1, beta2: β₁, β₂ in [0, 1).
        eps: ε >= 0; with 0, a weight that never got a gradient becomes NaN, as in PyTorch.
        weight_decay: ξ >= 0, the coefficient of ½ξ‖w‖². `AdamW` has the decoupled kind.
        amsgrad: Divide by the greatest v so far.
        maximize: Go up the gradient, not down.

    Example:
        >>> import torch
        >>> update, w, g = Adam(lr="lr"), {"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}
        >>> update(w, g, update.init(w), {"lr": torch.tensor(0.25)})[0]
        {'w': tensor([0.7500])}

    Source: Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015; Reddi et al., ICLR 2018, for `amsgrad`.
    """

    @property
    def decoupled(self) -> bool:
        return False
