"""Lorraine's method: implicit hypergradients by a Neumann sum, for millions of hyperparameters of the training loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, final

import torch
from torch import Tensor, nn

from whet.hypergrad.base import HyperGrad, kept_rng
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.implicit import implicit_through
from whet.hypergrad.linear import Curvature, Meter, ValGrad
from whet.hypergrad.optimizers.arguments import needs_no_closure, whole
from whet.hypergrad.optimizers.base import Common, HyperOptimizer
from whet.hypergrad.solve import neumann
from whet.hypergrad.tensors import detached
from whet.hypergrad.updates.base import Update

__all__ = ["Neumann"]


@final
class Neumann(HyperOptimizer):
    """Every `every` weight steps: dF/dλ ≈ ∂F/∂λ − qᵀ ∂²f/∂w∂λ, with q = α Σ_{k≤K} (I − αH)ᵏ ∂F/∂w in place of H⁻¹ ∂F/∂w.

    For what is in the training loss or in `penalty`, as many hyperparameters as there are weights; the weights should be near a minimum
    of the training loss as it stands, so start from a trained model or wait a while. Any optimizer moves the weights, Whet need not know
    it. A hyper-step costs about 10 weight steps with ``terms=5``. When not: learning rates and momentum, which are not in the loss.

    Args:
        model, optimizer, train_loss, val_loss, hyper, every: As for `HyperOptimizer`.
        terms: K >= 0, products with the Hessian.
        scale: α, below 2/L for the greatest curvature L; "auto" finds one.
        common: As for `HyperOptimizer`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x, y, model = torch.randn(40, 20), torch.randn(40, 1), nn.Linear(20, 1)  # there is nothing to learn: decay helps
        >>> from whet.hypergrad.hyperparameter import Hyperparameter
        >>> from whet.hypergrad.penalties import L2
        >>> loss = lambda model, batch: ((model(batch[0]) - batch[1]) ** 2).mean()
        >>> opt = Neumann(model, torch.optim.SGD(model.parameters(), lr=0.05), train_loss=loss, val_loss=loss,
        ...               hyper={"decay": Hyperparameter(1e-2, transform="log10", per="weight")}, penalty=L2(strength="decay"))
        >>> for _ in range(200):
        ...     result = opt.step((x[:20], y[:20]), (x[20:], y[20:]))
        >>> opt.hyper.summary()["decay/mean"] > 2e-2
        True

    Source: Lorraine et al., Optimizing Millions of Hyperparameters by Implicit Differentiation, AISTATS 2020.
    """

    _uses_update = False

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer | Update, *, train_loss: Any, val_loss: Any,
        hyper: Hyperparameters | Mapping[str, Any], every: float = 10, terms: int = 5, scale: float | str = "auto",
        **common: Unpack[Common],
    ) -> None:  # fmt: skip
        needs_no_closure(optimizer, "Neumann")
        super().__init__(model, optimizer, train_loss=train_loss, val_loss=val_loss, hyper=hyper, every=every, **common)
        self.solve = neumann.Neumann(terms=whole("terms", terms, 0), scale=scale)

    def _hyper_step(self, train_batch: Any, val_batch: Any) -> tuple[Tensor, HyperGrad]:
        val_batch = self._taken(val_batch)
        problem, meter = self.problem, Meter()
        # One gradient serves the hypergradient, here, and then the weight step: so no weights need be kept.
        buffers = dict(self._plain.named_buffers())
        at = Curvature(problem, self._memory, self._values, train_batch, buffers=buffers, meter=meter)
        grads = at.grads
        with kept_rng(self._memory):
            after = detached(buffers, copy=True)
            val = ValGrad(problem, self._memory, self._values, val_batch, buffers=after, meter=meter)
            found = implicit_through(at, val, self.solve, self._values, meter=meter)
        self._inner.put_buffers(buffers)  # not before: the graph may need what they were
        self._apply(grads)
        return at.loss, self._move_hyper(found)
