"""higher: `innerloop_ctx` around `torch.optim.SGD`."""

from __future__ import annotations

import higher
import torch
from torch import Tensor

from benchmarks.hypergrad.problems import Task, inner, outer

__all__ = ["one_step", "unrolled"]


def one_step(task: Task) -> list[Tensor]:
    """T1–T2 as what it is: unrolling one step."""
    return unrolled(task, 1)


def unrolled(task: Task, steps: int, momentum: float = 0.0) -> list[Tensor]:
    """Backpropagation through so many SGD steps."""
    own = [d.detach().requires_grad_() for d in task.decay]
    optimizer = torch.optim.SGD(task.model.parameters(), lr=task.rate, momentum=momentum)
    with higher.innerloop_ctx(task.model, optimizer) as (model, differentiable):
        for i in range(steps):
            differentiable.step(inner(model, model.parameters(), own, task.train[i % len(task.train)]))
        return list(torch.autograd.grad(outer(model, task.val), own))
