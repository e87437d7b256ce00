"""Whet's methods, in the form in which the peers are driven: Task in, dF/dd out."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from benchmarks.hypergrad.problems import Task
from whet.hypergrad.base import Hypergradient
from whet.hypergrad.checkpointer import Checkpointer
from whet.hypergrad.drmad import DrMAD
from whet.hypergrad.first_order import FirstOrder
from whet.hypergrad.forward import Forward
from whet.hypergrad.implicit import Implicit
from whet.hypergrad.onestep import OneStep
from whet.hypergrad.reversible import Reversible
from whet.hypergrad.solve.cg import CG
from whet.hypergrad.solve.dense import Dense
from whet.hypergrad.solve.neumann import Neumann
from whet.hypergrad.solve.nystrom import Nystrom
from whet.hypergrad.tensors import leaves
from whet.hypergrad.unrolled import Unrolled

__all__ = [
    "cg", "dense", "drmad", "first_order", "forward", "neumann", "nystrom", "one_pass", "one_step", "reversible", "unrolled",
]  # fmt: skip


def _run(task: Task, method: Hypergradient, steps: int = 1, **update: Any) -> list[Tensor]:
    problem = task.bilevel(**update)
    return list(leaves(method(problem, problem.weights(), task.hyper, task.batches(steps)).grads).values())


def one_step(task: Task) -> list[Tensor]:
    """T1–T2, scaled by the inner learning rate."""
    return _run(task, OneStep(scale=task.rate))


def neumann(task: Task, terms: int) -> list[Tensor]:
    """K terms of Neumann's series, α = the inner learning rate."""
    return _run(task, Implicit(solve=Neumann(terms=terms, scale=task.rate)))


def cg(task: Task, steps: int) -> list[Tensor]:
    """So many steps of conjugate gradients from zero."""
    return _run(task, Implicit(solve=CG(tol=0.0, max_steps=steps)))


def dense(task: Task) -> list[Tensor]:
    """The oracle."""
    return _run(task, Implicit(solve=Dense()))


def nystrom(task: Task, rank: int) -> list[Tensor]:
    """A low-rank inverse; the decay, a known diagonal, needs none."""
    return _run(task, Implicit(solve=Nystrom(rank=rank, rho=0.0)))


def one_pass(task: Task, terms: int) -> list[Tensor]:
    """Clarke's i terms, on the update."""
    return _run(task, Implicit(solve=Neumann(terms=terms - 1, scale=1.0), system="update"))


def unrolled(task: Task, steps: int, checkpoints: Checkpointer | None = None, momentum: float = 0.0) -> list[Tensor]:
    """The exact derivative of a run."""
    method = Unrolled() if checkpoints is None else Unrolled(checkpoints=checkpoints)
    return _run(task, method, steps, momentum=momentum)


def forward(task: Task, steps: int) -> list[Tensor]:
    """The same in forward mode."""
    return _run(task, Forward(), steps)


def drmad(task: Task, steps: int, momentum: float = 0.0) -> list[Tensor]:
    """The adjoint along a straight path."""
    return _run(task, DrMAD(), steps, momentum=momentum)


def reversible(task: Task, steps: int, momentum: float = 0.9) -> list[Tensor]:
    """The exact derivative of a run that is run backwards."""
    return _run(task, Reversible(), steps, momentum=momentum)


def first_order(task: Task) -> list[Tensor]:
    """F2SA."""
    return _run(task, FirstOrder())
