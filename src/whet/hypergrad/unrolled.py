"""Reverse-mode differentiation through a training run, within a memory budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from whet.errors import HypergradError
from whet.hypergrad.base import HyperGrad, Hypergradient, finished
from whet.hypergrad.checkpointer import Checkpointer
from whet.hypergrad.counts import is_count
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.states import Moment
from whet.hypergrad.tensors import Hyper, Weights, detached
from whet.hypergrad.updates.base import State
from whet.hypergrad.walk import Walk

__all__ = ["Unrolled"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Unrolled(Hypergradient):
    """a_T = ∂F/∂w at the end of a run; back through its steps a_{t−1} = a_t ∂Φ/∂w, dF/dλ = ∂F/∂λ + Σ a_t ∂Φ/∂λ: exact.

    The weights and the state that the method is given are where the run starts. A step costs its gradient and one product with the
    Hessian, however many hyperparameters there are; what has to be run again to save memory comes on top (see `Checkpointer`).
    With BatchNorm it is exact for ``eval_mode=False`` only, since no derivative goes through running statistics.

    Args:
        steps: T >= 1, weight updates; the training batches are taken in turn, again from the first if there are fewer. None: one a batch.
        truncate: Go back through the last so many steps only, >= 1: cheaper, with the bias of a short memory. None: through all.
        checkpoints: How much memory the walk back may take.

    Example:
        >>> import torch
        >>> from whet.hypergrad.updates.sgd import SGD
        >>> problem = Bilevel(train_loss=lambda w, x, h: x * w["w"], val_loss=lambda w, _, h: w["w"] ** 2, update=SGD(lr="lr"))
        >>> batches = Batches(train=[torch.tensor(1.0), torch.tensor(2.0)], val=None)
        >>> found = Unrolled()(problem, {"w": torch.tensor(5.0)}, {"lr": torch.tensor(1.0)}, batches)
        >>> found.weights, found.grads  # w = 5 - 3 lr, F = w²
        ({'w': tensor(2.)}, {'lr': tensor(-12.)})

    Source: Maclaurin et al., Gradient-based Hyperparameter Optimization through Reversible Learning, ICML 2015; Franceschi et al.,
    ICML 2017; Shaban et al., Truncated Back-propagation for Bilevel Optimization, AISTATS 2019.
    """

    steps: int | None = None
    truncate: int | None = None
    checkpoints: Checkpointer = field(default_factory=Checkpointer)

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("truncate", self.truncate)):
            if value is not None and not is_count(value):
                raise HypergradError(
                    f"Unrolled({name}={value}) is no number of steps", f"give {name} a whole number of at least 1"
                )

    def _compute(
        self, problem: Bilevel, weights: Weights, hyper: Hyper, batches: Batches, *, state: State, warm: Weights | None
    ) -> HyperGrad:
        steps = len(batches.train) if self.steps is None else self.steps
        start = Moment(step=0, weights=detached(weights), state=state.detached())
        walk = Walk(problem, hyper, batches, start, steps)
        try:
            walk.there_and_back(steps - min(self.truncate or steps, steps), self.checkpoints)
        finally:
            walk.close()
        return finished(
            hyper, walk.found, what="the training loss or the update", loss=walk.loss, meter=walk.meter, steps=walk.updates,
            notes=walk.notes, weights=dict(walk.end.weights), state=walk.end.state,
        )  # fmt: skip
