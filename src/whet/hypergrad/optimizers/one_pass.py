"""Clarke's one-pass method: learning rate, momentum, weight decay and the rest are tuned while the one run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, final

import torch
from torch import Tensor, nn

from whet.hypergrad.base import HyperGrad
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.optimizers.arguments import whole
from whet.hypergrad.optimizers.base import Common, HyperOptimizer
from whet.hypergrad.solve.neumann import Neumann
from whet.hypergrad.updates.base import Update

__all__ = ["OnePass"]


@final
class OnePass(HyperOptimizer):
    """Every `every` weight steps, dF/dλ ≈ −Σ_{0≤j<i} v (I − ∂u/∂w)ʲ ∂u/∂λ, with u the last weight update and v = ∂F/∂w after it.

    It tunes whatever is in the weight update: learning rate (one, or one a weight: "HDLR"), momentum, weight decay, and all that is in
    the training loss. The optimizer's momentum is taken as a constant. A hyper-step costs about 9 weight steps with ``lookback=5``.

    Args:
        model, optimizer, train_loss, val_loss, hyper, every: As for `HyperOptimizer`.
        lookback: i >= 1, terms of the sum: how far the effect of a hyperparameter is followed.
        common: As for `HyperOptimizer`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x, model = torch.randn(64, 3), nn.Linear(3, 1)
        >>> y = x.sum(1, keepdim=True)
        >>> loss = lambda model, batch: ((model(batch[0]) - batch[1]) ** 2).mean()
        >>> from whet.hypergrad.hyperparameter import Hyperparameter
        >>> opt = OnePass(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=loss, val_loss=loss,
        ...               hyper={"lr": Hyperparameter(1e-3, transform="log10")})
        >>> for _ in range(100):
        ...     result = opt.step((x[:32], y[:32]), (x[32:], y[32:]))
        >>> bool(result.hypergrad.grads["lr"] < 0), opt.hyper.summary()["lr"] > 2e-3
        (True, True)

    Source: Clarke et al., Scalable One-Pass Optimisation of High-Dimensional Weight-Update Hyperparameters by Implicit Differentiation,
    ICLR 2022.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer | Update, *, train_loss: Any, val_loss: Any,
                 hyper: Hyperparameters | Mapping[str, Any], every: float = 10, lookback: int = 5, **common: Unpack[Common]) -> None:  # fmt: skip
        super().__init__(model, optimizer, train_loss=train_loss, val_loss=val_loss, hyper=hyper, every=every, **common)
        self.lookback = whole("lookback", lookback, 1)

    def _hyper_step(self, train_batch: Any, val_batch: Any) -> tuple[Tensor, HyperGrad]:
        return self._through_update(train_batch, val_batch, Neumann(terms=self.lookback - 1, scale=1.0))
