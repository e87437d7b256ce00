"""What hyper-optimizers that differentiate whole runs have in common: batches are gathered, and then there is one run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from whet.errors import HypergradError
from whet.hypergrad.base import HyperGrad, Hypergradient
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.optimizers.base import Common, HyperOptimizer
from whet.hypergrad.optimizers.loaders import random_state, set_random_state, to_device
from whet.hypergrad.problem import Batches
from whet.hypergrad.tensors import detached
from whet.hypergrad.updates.base import State, Update

__all__ = ["InRuns"]


class InRuns(HyperOptimizer):
    """`every` batches are one run, made at the last of them; its hypergradient is that of F at its end.

    Until then the weight steps are put off: making them at once would mean making them twice, since the way back needs them. A rest of
    fewer batches at the end of `fit` is left out where runs start anew.

    Args:
        model, optimizer, train_loss, val_loss, hyper: As for `HyperOptimizer`.
        every: Weight steps of a run, a number.
        restart: Whether every run starts where the first one did; else it goes on where the last one ended.
        common: As for `HyperOptimizer`.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer | Update, *, train_loss: Any, val_loss: Any,
                 hyper: Hyperparameters | Mapping[str, Any], every: float, restart: bool, **common: Unpack[Common]) -> None:  # fmt: skip
        super().__init__(model, optimizer, train_loss=train_loss, val_loss=val_loss, hyper=hyper, every=every, **common)
        self.restart = restart
        self._start: tuple[dict[str, Tensor], State] | None = None
        self._pending: list[Any] = []

    @abstractmethod
    def _method(self) -> Hypergradient:
        """Return what goes through the run."""

    def finish(self) -> None:
        if self._pending and self.restart:
            if self.num_hyper_steps + self.num_skipped:  # a short run in the place of a whole one would spoil the model
                self._pending = []
                return
            self._begin()
        for batch in self._pending:
            super()._weight_step(batch)
        self._pending = []

    def _weight_step(self, batch: Any) -> Tensor | None:
        if self.every == float("inf"):
            return super()._weight_step(batch)
        self._pending.append(batch)
        return None

    def _hyper_step(self, train_batch: Any, val_batch: Any) -> tuple[Tensor, HyperGrad]:
        batches = Batches(train=[*self._pending, train_batch], val=self._taken(val_batch))
        self._begin()
        losses: list[Tensor] = []
        after: dict[str, Any] = {}

        def heard(model: Any, batch: Any, hyper: Any) -> Tensor:
            loss = self._train_loss(model, batch, hyper)
            if len(losses) < len(batches.train):  # the way there; on the way back losses are run again
                losses.append(loss.detach())
                if len(losses) == len(batches.train):
                    after.update(random_state())
            return loss

        problem = replace(self.problem, train_loss=heard)
        found = self._method()(
            problem, detached(self._memory), self._values, batches, state=self._inner.state(problem.update)
        )
        set_random_state(after)  # the call leaves it as it was, and the next run is to draw other numbers
        self._pending = []
        if found.weights is None or found.state is None:
            raise HypergradError(f"{self._method()} does not say where its run ended", "take another method")
        self._inner.adopt(found.weights, found.state)
        return torch.stack(losses).mean(), self._move_hyper(found)

    def _begin(self) -> None:
        """Go to where the run starts."""
        if not self.restart:
            return
        if self._start is None:
            self._start = detached(self._memory, copy=True), self._inner.state(self._inner.update()).detached(copy=True)
        else:
            self._inner.adopt(*self._start)

    def _own_state(self) -> dict[str, Any]:
        start = None
        if self._start is not None:
            weights, state = self._start
            start = {"weights": weights, "step": state.step, "slots": {k: dict(g) for k, g in state.slots.items()}, "buffers": dict(state.buffers)}  # fmt: skip
        return {"pending": self._pending, "start": start}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        device = next(iter(self._memory.values())).device
        self._pending = to_device(state["pending"], device)
        self._start = None
        if (start := to_device(state["start"], device)) is not None:
            self._start = start["weights"], State(step=start["step"], slots=start["slots"], buffers=start["buffers"])
