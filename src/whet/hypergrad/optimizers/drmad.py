"""DrMAD: whole runs, differentiated along the straight line from their first to their last weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, final

import torch
from torch import nn

from whet.hypergrad import drmad
from whet.hypergrad.base import Hypergradient
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.optimizers.arguments import whole
from whet.hypergrad.optimizers.base import Common
from whet.hypergrad.optimizers.runs import InRuns
from whet.hypergrad.updates.base import Update

__all__ = ["DrMAD"]


@final
class DrMAD(InRuns):
    """Every `every` weight steps are a run, which is walked back along w(β) = (1 − β) w₀ + β w_T; then λ moves.

    As `Unrolled`, with memory that does not depend on the length of the runs, and approximate. When not: short runs, which `Unrolled`
    has the memory for.

    Args:
        model, optimizer, train_loss, val_loss, hyper: As for `HyperOptimizer`.
        every: Weight steps of a run.
        restart: Whether every run starts where the first one did.
        skip: Steps that share one gradient and one product with the Hessian on the way back, >= 1.
        pieces: Straight lines that make up the path, >= 1.
        common: As for `HyperOptimizer`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x, model = torch.randn(64, 3), nn.Linear(3, 1)
        >>> y = x.sum(1, keepdim=True)
        >>> loss = lambda model, batch: ((model(batch[0]) - batch[1]) ** 2).mean()
        >>> from whet.hypergrad.hyperparameter import Hyperparameter
        >>> opt = DrMAD(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=loss, val_loss=loss, every=10,
        ...             hyper={"lr": Hyperparameter(1e-3, transform="log10")})
        >>> for _ in range(200):
        ...     result = opt.step((x[:32], y[:32]), (x[32:], y[32:]))
        >>> opt.hyper.summary()["lr"] > 5e-3
        True

    Source: Fu et al., DrMAD: Distilling Reverse-Mode Automatic Differentiation for Optimizing Hyperparameters of Deep Neural Networks,
    IJCAI 2016.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer | Update, *, train_loss: Any, val_loss: Any,
        hyper: Hyperparameters | Mapping[str, Any], every: float = 100, restart: bool = True, skip: int = 1, pieces: int = 1,
        **common: Unpack[Common],
    ) -> None:  # fmt: skip
        super().__init__(model, optimizer, train_loss=train_loss, val_loss=val_loss, hyper=hyper, every=every, restart=restart, **common)  # fmt: skip
        self.method = drmad.DrMAD(skip=whole("skip", skip, 1), pieces=whole("pieces", pieces, 1))

    def _method(self) -> Hypergradient:
        return self.method
