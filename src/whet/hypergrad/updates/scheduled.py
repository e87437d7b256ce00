"""A learning rate that changes with the steps, and weights that joined a run late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import final

from torch import Tensor

from whet.hypergrad.tensors import Hyper, Weights
from whet.hypergrad.updates.base import Cotangents, Part, State, Update

__all__ = ["Late", "Scheduled"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled(Update):
    """`update` with its learning rate multiplied by factor(t), t counted from 0, as `torch.optim.lr_scheduler.LambdaLR` does.

    A learning rate that is a hyperparameter is multiplied, too, so its derivative sees the schedule.

    Args:
        update: What is done; its learning rate is the base.
        factor: From the number of updates made before this one to a factor.

    Example:
        >>> import torch
        >>> from whet.hypergrad.updates.sgd import SGD
        >>> update = Scheduled(update=SGD(lr=1.0), factor=lambda t: 0.5 ** (t // 100))
        >>> w, g = {"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}
        >>> update(w, g, State(step=200), {})[0]
        {'w': tensor([0.5000])}
    """

    update: Update
    factor: Callable[[int], float]

    def init(self, weights: Weights) -> State:
        return self.update.init(weights)

    def __call__(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> tuple[dict[str, Tensor], State]:
        return self._now(state)(weights, grads, state, hyper)

    def step_(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> State:
        return self._now(state).step_(weights, grads, state, hyper)

    def vjp(self, weights: Weights, grads: Weights, state: State, hyper: Hyper, cot_weights: Weights,
            cot_slots: Mapping[str, Weights] | None = None, *, parts: Part = Part.ALL, lean: bool = False) -> Cotangents:  # fmt: skip
        now = self._now(state)
        return now.vjp(weights, grads, state, hyper, cot_weights, cot_slots, parts=parts, lean=lean)

    def scaled(self, factor: float) -> Scheduled:
        return replace(self, update=self.update.scaled(factor))

    @property
    def reads_grads(self) -> bool:
        return self.update.reads_grads

    @property
    def elementwise(self) -> bool:
        return self.update.elementwise

    @property
    def constant_lr(self) -> float | None:
        return None

    @property
    def atoms(self) -> tuple[Update, ...]:
        return self.update.atoms

    @property
    def hyper_names(self) -> frozenset[str]:
        return self.update.hyper_names

    def _now(self, state: State) -> Update:
        return self.update.scaled(float(self.factor(state.step)))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Late(Update):
    """`update` that was first made at step `start` of the run: its own count of steps begins there.

    Example:
        >>> import torch
        >>> from whet.hypergrad.updates.adam import Adam
        >>> update, w, g = Late(update=Adam(lr=0.5), start=1000), {"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}
        >>> update(w, g, replace(update.init(w), step=1000), {})[0]
        {'w': tensor([0.5000])}
    """

    update: Update
    start: int

    def init(self, weights: Weights) -> State:
        return replace(self.update.init(weights), step=self.start)

    def __call__(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> tuple[dict[str, Tensor], State]:
        new, after = self.update(weights, grads, self._own(state), hyper)
        return new, replace(after, step=state.step + 1)

    def step_(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> State:
        return replace(self.update.step_(weights, grads, self._own(state), hyper), step=state.step + 1)

    def vjp(self, weights: Weights, grads: Weights, state: State, hyper: Hyper, cot_weights: Weights,
            cot_slots: Mapping[str, Weights] | None = None, *, parts: Part = Part.ALL, lean: bool = False) -> Cotangents:  # fmt: skip
        own = self._own(state)
        return self.update.vjp(weights, grads, own, hyper, cot_weights, cot_slots, parts=parts, lean=lean)

    def scaled(self, factor: float) -> Late:
        return replace(self, update=self.update.scaled(factor))

    @property
    def reads_grads(self) -> bool:
        return self.update.reads_grads

    @property
    def elementwise(self) -> bool:
        return self.update.elementwise

    @property
    def constant_lr(self) -> float | None:
        return self.update.constant_lr

    @property
    def atoms(self) -> tuple[Update, ...]:
        return self.update.atoms

    @property
    def hyper_names(self) -> frozenset[str]:
        return self.update.hyper_names

    def _own(self, state: State) -> State:
        return replace(state, step=max(state.step - self.start, 0))
