"""TorchOpt: `custom_root` with its linear solvers, and `MetaSGD` for unrolling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torchopt
from torch import Tensor
from torch.func import functional_call, grad
from torchopt.diff.implicit import custom_root
from torchopt.linear_solve import solve_cg, solve_inv

from benchmarks.hypergrad.problems import Task, inner, outer

__all__ = ["cg", "dense", "neumann", "unrolled"]


def neumann(task: Task, terms: int) -> list[Tensor]:
    """K terms of Neumann's series, α = the inner learning rate."""
    return _implicit(task, solve_inv(ns=True, maxiter=terms, alpha=task.rate))


def cg(task: Task, steps: int) -> list[Tensor]:
    """So many steps of conjugate gradients from zero."""
    return _implicit(task, solve_cg(maxiter=steps, rtol=0.0, atol=0.0))


def dense(task: Task) -> list[Tensor]:
    """Its exact solve."""
    return _implicit(task, solve_inv(ns=False))


def _implicit(task: Task, solve: Callable[..., Any]) -> list[Tensor]:
    model, names, batch = task.model, task.names, task.train[0]

    def call(weights: tuple[Tensor, ...]) -> Callable[[Tensor], Any]:
        named = dict(zip(names, weights, strict=True))
        return lambda x: functional_call(model, named, (x,))

    def loss(weights: tuple[Tensor, ...], decay: tuple[Tensor, ...]) -> Tensor:
        return inner(call(weights), weights, decay, batch)

    @custom_root(grad(loss, argnums=0), argnums=1, solve=solve)
    def solution(weights: tuple[Tensor, ...], decay: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return weights

    own = tuple(d.detach().requires_grad_() for d in task.decay)
    weights = solution(tuple(w.detach() for w in model.parameters()), own)
    return list(torch.autograd.grad(outer(call(weights), task.val), own))


def unrolled(task: Task, steps: int, momentum: float = 0.0) -> list[Tensor]:
    """Backpropagation through so many differentiable SGD steps; the model is put back, as its tutorials do."""
    model = task.model
    begin = torchopt.extract_state_dict(model, by="reference")
    optimizer = torchopt.MetaSGD(model, lr=task.rate, momentum=momentum)
    own = [d.detach().requires_grad_() for d in task.decay]
    for i in range(steps):
        optimizer.step(inner(model, model.parameters(), own, task.train[i % len(task.train)]))
    found = torch.autograd.grad(outer(model, task.val), own)
    torchopt.recover_state_dict(model, begin)
    return list(found)
