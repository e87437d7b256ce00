"""DrMAD: backpropagate through training along the straight line from the first to the last weights, so that nothing in between is kept."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.base import HyperGrad, Hypergradient, finished
from whet.hypergrad.counts import is_count
from whet.hypergrad.linear import Curvature, HyperGrads, Meter, ValGrad, add_direct_, add_into_
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.replay import Replay
from whet.hypergrad.tensors import Hyper, Weights, detached
from whet.hypergrad.updates.base import State

__all__ = ["DrMAD"]

Slots = dict[str, dict[str, Tensor]]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DrMAD(Hypergradient):
    """a ← a A_t, dF/dλ += a B_t for t = T − 1 … 0, with A_t and B_t taken at w(β) = (1 − β) w₀ + β w_T, β = t/T, instead of at w_t.

    Exact where training moves along a straight line in equal steps, else an approximation. The memory does not depend on the number of
    steps. The optimizer's tensors (momentum) are taken as their mean over the run, which gives learning rates the whole of the way
    that was really gone.

    Args:
        skip: Steps that share one gradient and one product with the Hessian, >= 1; the optimizer's own part is done for each of them.
        pieces: Straight lines that make up the path, >= 1, each with a mean of its own; as many as there are steps is exact. Each keeps
            another copy of the weights and of the optimizer's tensors.

    Example:
        >>> import torch
        >>> from whet.hypergrad.updates.sgd import SGD
        >>> problem = Bilevel(train_loss=lambda w, x, h: x * w["w"], val_loss=lambda w, _, h: w["w"] ** 2, update=SGD(lr="lr"))
        >>> batches = Batches(train=[torch.tensor(1.0), torch.tensor(2.0)], val=None)
        >>> found = DrMAD()(problem, {"w": torch.tensor(5.0)}, {"lr": torch.tensor(1.0)}, batches)
        >>> found.weights, found.grads  # w = 5 - 3 lr, F = w²
        ({'w': tensor(2.)}, {'lr': tensor(-12.)})

    Source: Fu et al., DrMAD: Distilling Reverse-Mode Automatic Differentiation for Optimizing Hyperparameters of Deep Neural Networks,
    IJCAI 2016 (`skip` and `pieces`, and hyperparameters of the update, are additions).
    """

    skip: int = 1
    pieces: int = 1

    def __post_init__(self) -> None:
        if not (is_count(self.skip) and is_count(self.pieces)):
            raise HypergradError(f"{self!r}: skip and pieces are counts", "give whole numbers of at least 1")

    def _compute(
        self, problem: Bilevel, weights: Weights, hyper: Hyper, batches: Batches, *, state: State, warm: Weights | None
    ) -> HyperGrad:
        meter, replay, count = Meter(), Replay(weights), len(batches.train)
        ends = [round(i * count / self.pieces) for i in range(self.pieces + 1)]
        path: list[_Line] = []
        begin, now = detached(weights), detached(weights, copy=True)
        state = state.detached(copy=True)
        first_step = state.step
        for low, high in itertools.pairwise(ends):
            if low == high:  # more pieces than steps
                continue
            sums = {s: {n: torch.zeros_like(t) for n, t in group.items()} for s, group in state.slots.items()}
            for i in range(low, high):
                for slot, group in state.slots.items():
                    for name, tensor in group.items():
                        sums[slot][name].add_(tensor, alpha=1 / (high - low))
                with replay.at(i):
                    grads = Curvature(
                        problem, now, hyper, batches.train[i], buffers=state.buffers, meter=meter, track=False
                    ).grads
                buffers = state.buffers
                state = replace(problem.update.step_(now, grads, state, hyper), buffers=buffers)
            end = now if high == count else detached(now, copy=True)
            path.append(_Line(low=low, high=high, begin=begin, end=end, slots=sums))
            begin = end
        val = ValGrad(problem, now, hyper, batches.val, buffers=state.own_buffers(), meter=meter)

        found: HyperGrads = dict(val.hyper)
        adjoint, slots = val.weights, None
        while path:
            line = path.pop()
            for high in range(line.high, line.low, -self.skip):
                low = max(line.low, high - self.skip)
                middle = (low + high - 1) // 2
                at = line.at((low + high - 1) / 2)
                with replay.at(middle):
                    curvature = Curvature(
                        problem, at, hyper, batches.train[middle], buffers=state.own_buffers(), meter=meter
                    )
                adjoint, slots = _back(
                    problem, curvature, at, hyper, line.slots, range(first_step + low, first_step + high), adjoint, slots, found
                )  # fmt: skip
        return finished(
            hyper, found, what="the training loss or the update", loss=val.loss, meter=meter, steps=count, weights=now, state=state
        )  # fmt: skip


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A straight line through the steps low … high − 1, and the mean of the optimizer's tensors before each of them."""

    low: int
    high: int
    begin: Weights
    end: Weights
    slots: Slots

    def at(self, step: float) -> dict[str, Tensor]:
        """Return the weights before a step, which may be between two."""
        beta = (step - self.low) / (self.high - self.low)
        return {n: torch.lerp(w, self.end[n], beta) for n, w in self.begin.items()}


def _back(problem: Bilevel, curvature: Curvature, at: Weights, hyper: Hyper, mean: Slots, steps: range, adjoint: Weights,
          slots: Slots | None, found: HyperGrads) -> tuple[dict[str, Tensor], Slots]:  # fmt: skip
    """Return a·A for some steps with one gradient, and add a·B to `found`.

    What the steps do to the gradient's covector is summed before it goes through the graph, so that momentum and the direct part of
    the update are taken step by step, and only the Hessian's effect is that of one long step.
    """
    to_grads: dict[str, Tensor] = {}
    for step in reversed(steps):
        before = State(step=step, slots=mean)
        through = problem.update.vjp(at, curvature.grads, before, hyper, adjoint, slots, lean=step == steps.start)
        adjoint, slots = through.weights, through.slots
        add_into_(found, through.hyper)
        to_grads = through.grads if not to_grads else {n: g + to_grads[n] for n, g in through.grads.items()}
    curvature.grads = {}
    products, cross = curvature.vjp(to_grads, retain=False)
    add_into_(found, cross)
    add_direct_(products, through)
    assert slots is not None
    return products, slots
