"""Exact backpropagation through the last few weight updates, while the one training run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Unpack, final

import torch
from torch import Tensor, nn

from whet.errors import HypergradError
from whet.hypergrad.base import HyperGrad, finished, kept_rng
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.linear import HyperGrads, Meter, Step, ValGrad, add_into_
from whet.hypergrad.optimizers.arguments import whole
from whet.hypergrad.optimizers.base import Common, HyperOptimizer
from whet.hypergrad.optimizers.loaders import random_state, set_random_state, to_device
from whet.hypergrad.updates.base import State, Update

__all__ = ["DiffThroughOpt"]


@final
class DiffThroughOpt(HyperOptimizer):
    """Every `every` weight steps: dF/dλ = Σ_t a_t ∂Φ_t/∂λ over the last `lookback` of them, a_{t−1} = a_t ∂Φ_t/∂(w, state).

    The derivative is exact but for the steps before those, which are taken as given. Momentum and Adam's averages are differentiated,
    too. The graphs of the last `lookback` training steps are kept and nothing is computed twice, so a hyper-step costs about one
    product with the Hessian for each of them; memory is that of `lookback` steps. When not: a large model with no memory to spare
    (`OnePass` keeps one step).

    Args:
        model, optimizer, train_loss, val_loss, hyper, every: As for `HyperOptimizer`.
        lookback: Weight steps that are differentiated, from 1 to `every`.
        common: As for `HyperOptimizer`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x, model = torch.randn(64, 3), nn.Linear(3, 1)
        >>> y = x.sum(1, keepdim=True)
        >>> loss = lambda model, batch: ((model(batch[0]) - batch[1]) ** 2).mean()
        >>> from whet.hypergrad.hyperparameter import Hyperparameter
        >>> opt = DiffThroughOpt(model, torch.optim.Adam(model.parameters()), train_loss=loss, val_loss=loss,
        ...                      hyper={"lr": Hyperparameter(1e-3, transform="log10")})
        >>> for _ in range(100):
        ...     result = opt.step((x[:32], y[:32]), (x[32:], y[32:]))
        >>> opt.hyper.summary()["lr"] > 2e-3
        True

    Source: Shaban et al., Truncated Back-propagation for Bilevel Optimization, AISTATS 2019; the baseline of Clarke et al., ICLR 2022.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer | Update, *, train_loss: Any, val_loss: Any,
                 hyper: Hyperparameters | Mapping[str, Any], every: float = 10, lookback: int = 5, **common: Unpack[Common]) -> None:  # fmt: skip
        super().__init__(model, optimizer, train_loss=train_loss, val_loss=val_loss, hyper=hyper, every=every, **common)
        self.lookback = whole("lookback", lookback, 1)
        if lookback > every:
            raise HypergradError(f"lookback={lookback} is above every={every}", "give fewer steps, or raise every")
        self._meter = Meter()
        self._window: list[Step] = []
        self._before: list[dict[str, Any]] = []
        """What it takes to make each of `_window` again."""

    def _weight_step(self, batch: Any) -> Tensor:
        left = -(self.num_steps + 1) % self.every if self.every != float("inf") else self.lookback
        return self._kept_step(batch) if left < self.lookback else super()._weight_step(batch)

    def _kept_step(self, batch: Any) -> Tensor:
        buffers = {n: b.clone() for n, b in self._plain.named_buffers()}
        random, groups = random_state(), self._inner.groups()
        step = self._tracked_step(batch, self._meter)
        self._window.append(step)
        self._before.append({"batch": batch, "random": random, "buffers": buffers, "groups": groups})
        return step.curvature.loss

    def _hyper_step(self, train_batch: Any, val_batch: Any) -> tuple[Tensor, HyperGrad]:
        val_batch = self._taken(val_batch)
        loss = self._kept_step(train_batch)
        window, self._window, self._before = self._window, [], []
        with kept_rng(self._memory):
            val = ValGrad(window[-1].problem, self._memory, self._values, val_batch, meter=self._meter)
            found: HyperGrads = {}
            weights, slots = val.weights, None
            while window:
                step = window.pop()  # its graph is freed once it is through
                weights, slots, more = step.vjp(weights, slots, weights=bool(window), slots=bool(window), retain=False)
                add_into_(found, more)
            add_into_(found, val.hyper)
        meter, self._meter = self._meter, Meter()
        result = finished(self._values, found, what="the training loss or the update", loss=val.loss, meter=meter, steps=self.lookback)  # fmt: skip
        return loss, self._move_hyper(result)

    def _own_state(self) -> dict[str, Any]:
        return {
            "window": [
                {
                    "weights": s.weights,
                    "step": s.before.step,
                    "slots": {k: dict(g) for k, g in s.before.slots.items()},
                    **b,
                }
                for s, b in zip(self._window, self._before, strict=True)
            ]
        }

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._window, self._before, self._meter = [], [], Meter()
        device = next(iter(self._memory.values())).device
        for saved in state["window"]:
            kept = {k: v if k in ("random", "groups") else to_device(v, device) for k, v in saved.items()}
            before = State(step=kept["step"], slots=kept["slots"], buffers=kept["buffers"])
            with kept_rng(self._memory):
                set_random_state(kept["random"])
                problem = replace(self.problem, update=self._inner.update(kept["groups"]))
                self._window.append(Step(problem, kept["weights"], self._values, kept["batch"], before, meter=self._meter))  # fmt: skip
            self._before.append({k: kept[k] for k in ("batch", "random", "buffers", "groups")})
