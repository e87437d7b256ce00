"""Reverse mode through whole runs: begun again each time, or a stretch at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, final

import torch
from torch import nn

from whet.hypergrad import unrolled
from whet.hypergrad.base import Hypergradient
from whet.hypergrad.checkpointer import Checkpointer
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.optimizers.arguments import whole
from whet.hypergrad.optimizers.base import Common
from whet.hypergrad.optimizers.runs import InRuns
from whet.hypergrad.updates.base import Update

__all__ = ["Unrolled"]


@final
class Unrolled(InRuns):
    """Every `every` weight steps are a run, dF/dλ is differentiated through it in reverse, exactly, and λ moves.

    With ``restart=True`` each run starts anew (Maclaurin), so there is no bias but that of the run's length: `every` is the training that
    is meant. With ``restart=False`` training goes on from run to run, and what was before a run is taken as given. Memory is what
    `checkpoints` allows. When not: one long training is all that there is time for (`OnePass`, `DiffThroughOpt`).

    Args:
        model, optimizer, train_loss, val_loss, hyper: As for `HyperOptimizer`.
        every: Weight steps of a run.
        restart: Whether every run starts where the first one did.
        lookback: Go back through the last so many steps of a run only; None: through all.
        checkpoints: How much memory the way back may take.
        common: As for `HyperOptimizer`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x, model = torch.randn(64, 3), nn.Linear(3, 1)
        >>> y = x.sum(1, keepdim=True)
        >>> loss = lambda model, batch: ((model(batch[0]) - batch[1]) ** 2).mean()
        >>> from whet.hypergrad.hyperparameter import Hyperparameter
        >>> opt = Unrolled(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=loss, val_loss=loss, every=10,
        ...                hyper={"lr": Hyperparameter(1e-3, transform="log10")})
        >>> for _ in range(200):
        ...     result = opt.step((x[:32], y[:32]), (x[32:], y[32:]))
        >>> opt.hyper.summary()["lr"] > 5e-3
        True

    Source: Maclaurin et al., Gradient-based Hyperparameter Optimization through Reversible Learning, ICML 2015; Shaban et al., AISTATS
    2019, for the truncated form.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer | Update, *, train_loss: Any, val_loss: Any,
        hyper: Hyperparameters | Mapping[str, Any], every: float = 100, restart: bool = True, lookback: int | None = None,
        checkpoints: Checkpointer | None = None, **common: Unpack[Common],
    ) -> None:  # fmt: skip
        super().__init__(model, optimizer, train_loss=train_loss, val_loss=val_loss, hyper=hyper, every=every, restart=restart, **common)  # fmt: skip
        lookback = None if lookback is None else whole("lookback", lookback, 1)
        self.method = unrolled.Unrolled(truncate=lookback, checkpoints=checkpoints or Checkpointer())

    def _method(self) -> Hypergradient:
        return self.method
