"""RTHO: forward-mode hypergradients in real time, for few hyperparameters and without a horizon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Unpack, final

import torch
from torch import Tensor, nn

from whet.errors import HypergradError
from whet.hypergrad.base import HyperGrad, finished, kept_rng
from whet.hypergrad.forward import Tangents, forward_step, hypergradient_of
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.linear import Meter, ValGrad
from whet.hypergrad.optimizers.arguments import whole
from whet.hypergrad.optimizers.base import Common, HyperOptimizer
from whet.hypergrad.optimizers.loaders import to_device
from whet.hypergrad.tensors import leaves
from whet.hypergrad.updates.base import Update

__all__ = ["RTHO"]


@final
class RTHO(HyperOptimizer):
    """At every weight step Z ← A Z + B, with Z = d(w, state)/dλ; every `every` steps dF/dλ = ∂F/∂w · Z, and λ moves.

    Nothing of the past is left out, but for λ having been another then. A weight step costs one product with the Hessian for each
    number that is tuned, and memory is that many copies of the weights. When not: more than a handful of numbers.

    Args:
        model, optimizer, train_loss, val_loss, hyper, every: As for `HyperOptimizer`.
        limit: The greatest count of numbers to tune that it accepts.
        common: As for `HyperOptimizer`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x, model = torch.randn(64, 3), nn.Linear(3, 1)
        >>> y = x.sum(1, keepdim=True)
        >>> loss = lambda model, batch: ((model(batch[0]) - batch[1]) ** 2).mean()
        >>> from whet.hypergrad.hyperparameter import Hyperparameter
        >>> opt = RTHO(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=loss, val_loss=loss,
        ...            hyper={"lr": Hyperparameter(1e-3, transform="log10")})
        >>> for _ in range(100):
        ...     result = opt.step((x[:32], y[:32]), (x[32:], y[32:]))
        >>> opt.hyper.summary()["lr"] > 2e-3
        True

    Source: Franceschi et al., Forward and Reverse Gradient-Based Hyperparameter Optimization, ICML 2017.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer | Update, *, train_loss: Any, val_loss: Any,
                 hyper: Hyperparameters | Mapping[str, Any], every: float = 10, limit: int = 100, **common: Unpack[Common]) -> None:  # fmt: skip
        super().__init__(model, optimizer, train_loss=train_loss, val_loss=val_loss, hyper=hyper, every=every, **common)
        limit = whole("limit", limit, 1)
        count = sum(raw.numel() for raw in self._raws)
        if count > limit:
            raise HypergradError(f"there are {count:,} numbers to tune, and each costs RTHO a copy of the weights (limit={limit})",
                                 "tune fewer, take OnePass, or raise limit=")  # fmt: skip
        self._tangents: Tangents | None = None
        self._meter = Meter()

    def _weight_step(self, batch: Any) -> Tensor:
        if self.every == float("inf"):
            return super()._weight_step(batch)
        losses: list[Tensor] = []

        def heard(model: Any, batch: Any, hyper: Any) -> Tensor:
            loss = self._train_loss(model, batch, hyper)
            losses.append(loss.detach())
            return loss

        problem = replace(self.problem, train_loss=heard)
        before = self._inner.state(problem.update)
        weights, state, self._tangents = forward_step(
            problem, self._memory, self._values, batch, before, self._tangents, meter=self._meter
        )
        self._inner.zero_grad()
        self._inner.adopt(weights, state)
        return losses[0]

    def _hyper_step(self, train_batch: Any, val_batch: Any) -> tuple[Tensor, HyperGrad]:
        val_batch = self._taken(val_batch)
        loss = self._weight_step(train_batch)
        assert self._tangents is not None
        with kept_rng(self._memory):
            val = ValGrad(self.problem, self._memory, self._values, val_batch, meter=self._meter)
        found = hypergradient_of(self._tangents, val)
        meter, self._meter = self._meter, Meter()
        result = finished(self._values, found, what="the training loss or the update", loss=val.loss, meter=meter, steps=int(self.every))  # fmt: skip
        return loss, self._move_hyper(result)

    def _own_state(self) -> dict[str, Any]:
        if self._tangents is None:
            return {"tangents": None}
        kept = {f.name: getattr(self._tangents, f.name) for f in fields(Tangents) if f.name != "hyper"}
        return {"tangents": {**kept, "reached": sorted(self._tangents.reached)}}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._tangents = None
        if state["tangents"] is not None:
            kept = to_device(state["tangents"], next(iter(self._memory.values())).device)
            flat = {path: t.detach().clone() for path, t in leaves(self._values).items()}
            self._tangents = Tangents(**{**kept, "reached": frozenset(kept["reached"])}, hyper=flat)
