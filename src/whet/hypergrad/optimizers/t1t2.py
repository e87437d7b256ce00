"""T1–T2: one-step hypergradients, the cheapest there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, final

import torch
from torch import Tensor, nn

from whet.hypergrad.base import HyperGrad
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.optimizers.base import Common, HyperOptimizer
from whet.hypergrad.solve.neumann import Neumann
from whet.hypergrad.updates.base import Update

__all__ = ["T1T2"]


@final
class T1T2(HyperOptimizer):
    """Every `every` weight steps w′ = Φ(w, λ): dF/dλ ≈ ∂F/∂w′ · ∂Φ/∂λ, the effect of the last step alone.

    A hyper-step costs one gradient of F more than a weight step for hyperparameters in `penalty` or in the update, and one product with
    the Hessian besides for others in the training loss. So with the default `every` a run takes about 20 % longer than plain training;
    the paper's is ``every=1``. When not: learning rates, for which one step is too short a horizon (they come out far too small).

    Args:
        model, optimizer, train_loss, val_loss, hyper, every: As for `HyperOptimizer`.
        common: As for `HyperOptimizer`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x, y, model = torch.randn(40, 20), torch.randn(40, 1), nn.Linear(20, 1)  # there is nothing to learn: decay helps
        >>> from whet.hypergrad.hyperparameter import Hyperparameter
        >>> from whet.hypergrad.penalties import L2
        >>> loss = lambda model, batch: ((model(batch[0]) - batch[1]) ** 2).mean()
        >>> opt = T1T2(model, torch.optim.SGD(model.parameters(), lr=0.05), train_loss=loss, val_loss=loss,
        ...            hyper={"decay": Hyperparameter(1e-2, transform="log10")}, penalty=L2(strength="decay"))
        >>> for _ in range(400):
        ...     result = opt.step((x[:20], y[:20]), (x[20:], y[20:]))
        >>> opt.hyper.summary()["decay"] > 5e-2
        True

    Source: Luketina et al., Scalable Gradient-Based Tuning of Continuous Regularization Hyperparameters, ICML 2016.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer | Update, *, train_loss: Any, val_loss: Any,
                 hyper: Hyperparameters | Mapping[str, Any], every: float = 20, **common: Unpack[Common]) -> None:  # fmt: skip
        super().__init__(model, optimizer, train_loss=train_loss, val_loss=val_loss, hyper=hyper, every=every, **common)

    def _hyper_step(self, train_batch: Any, val_batch: Any) -> tuple[Tensor, HyperGrad]:
        return self._through_update(train_batch, val_batch, Neumann(terms=0, scale=1.0))
