"""The implicit function theorem: dF/dλ = ∂F/∂λ − qᵀ ∂r/∂λ with qᵀ ∂r/∂w = ∂F/∂w, where r(w*, λ) = 0."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, final

from whet.hypergrad.base import HyperGrad, Hypergradient, finished
from whet.hypergrad.linear import Curvature, Meter, Step, ValGrad, add_into_
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.solve.base import Operator, Solution, Solver
from whet.hypergrad.solve.neumann import Neumann
from whet.hypergrad.tensors import Hyper, Weights
from whet.hypergrad.updates.base import State

__all__ = ["Implicit", "System", "implicit_through"]


class System(Enum):
    """Which equation holds at the solution."""

    LOSS = "loss"  # ∇f = 0: its Jacobian is the Hessian
    UPDATE = "update"  # the weight update u = w − Φ(w) vanishes: learning rates and momentum are in it


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Implicit(Hypergradient):
    """Solve qᵀ ∂r/∂w = ∂F/∂w, then dF/dλ = ∂F/∂λ − qᵀ ∂r/∂λ.

    With `system="loss"`, r = ∇f: exact at a minimum of f, for hyperparameters in the loss or its penalties. With `system="update"`,
    r = u, the weight update (Clarke's one-pass method with ``Neumann(terms=i - 1, scale=1)``): also for learning rates, momentum and
    weight decay. The optimizer's momentum is taken as a constant.

    Args:
        solve: The linear solver.
        system: "loss" or "update".

    Example:
        >>> import torch
        >>> from whet.hypergrad.solve.dense import Dense
        >>> problem = Bilevel(train_loss=lambda w, _, h: 0.5 * ((w["w"] - h["x"]) ** 2).sum(), val_loss=lambda w, _, h: (w["w"] ** 2).sum())
        >>> at = torch.tensor([3.0])
        >>> Implicit(solve=Dense())(problem, {"w": at}, {"x": at}, Batches(train=[None], val=None)).grads["x"]
        tensor([6.])

    Source: Lorraine et al., Optimizing Millions of Hyperparameters by Implicit Differentiation, AISTATS 2020; Pedregosa, ICML 2016;
    Clarke et al., Scalable One-Pass Optimisation of High-Dimensional Weight-Update Hyperparameters by Implicit Differentiation, ICLR 2022.
    """

    solve: Solver = field(default_factory=Neumann)
    system: System | str = System.LOSS

    def __post_init__(self) -> None:
        object.__setattr__(self, "system", System(self.system))

    def _compute(
        self, problem: Bilevel, weights: Weights, hyper: Hyper, batches: Batches, *, state: State, warm: Weights | None
    ) -> HyperGrad:
        meter = Meter()
        val = ValGrad(problem, weights, hyper, batches.val, meter=meter)

        def linearised(i: int) -> Curvature | Step:
            batch = batches.train[i % len(batches.train)]
            if self.system is System.LOSS:
                return Curvature(problem, weights, hyper, batch, meter=meter)
            return Step(problem, weights, hyper, batch, state, meter=meter)

        return implicit_through(linearised(0), val, self.solve, hyper, meter=meter, warm=warm,
                                another=linearised if len(batches.train) > 1 else None)  # fmt: skip


def implicit_through(at: Curvature | Step, val: ValGrad, solve: Solver, hyper: Hyper, *, meter: Meter, warm: Weights | None = None,
                     another: Any = None) -> HyperGrad:  # fmt: skip
    """Return the implicit hypergradient for a gradient or an update that was linearised already, which frees its graph.

    Args:
        at: Where: ∇f for the system "loss", one weight update for the system "update".
        val: F and its derivatives, at the same weights or at those after the update.
        solve: The linear solver.
        hyper: The hyperparameters' values.
        meter: Counts.
        warm: An earlier solution.
        another: Returns the i-th other `at`, on another batch, for stochastic solvers; None: there is none.
    """
    names = list(val.weights)
    if warm is not None and list(warm) != names:
        warm = None
    solution: Solution = solve(
        _operator(at, names, another, 1),
        list(val.weights.values()),
        warm=None if warm is None else [warm[n] for n in names],
    )
    q = dict(zip(names, solution.q, strict=True))
    if isinstance(at, Step):
        found = at.vjp(q, weights=False, retain=False)[2]  # −qᵀ∂u/∂λ = qᵀ∂Φ/∂λ
        what = "the training loss or the update"
    else:
        found = {path: -g for path, g in at.cross(q).items()}
        what = "the training loss"
    add_into_(found, val.hyper)
    notes = solution.notes
    return finished(
        hyper, found, what=what, loss=val.loss, meter=meter, residual=solution.residual, notes=notes, solution=q
    )


def _operator(at: Curvature | Step, names: list[str], another: Any, count: int) -> Operator:
    def apply(x: list[Any]) -> list[Any]:
        named = dict(zip(names, x, strict=True))
        if isinstance(at, Curvature):
            return list(at.hvp(named).values())
        products = at.vjp(named, hyper=False)[0]  # xᵀ∂Φ/∂w = x − xᵀ∂u/∂w
        return [x_i - p for x_i, p in zip(x, products.values(), strict=True)]

    fresh = None
    if another is not None:
        fresh = lambda: _operator(another(count), names, another, count + 1)  # noqa: E731
    step = at.problem.update.constant_lr if isinstance(at, Curvature) else 1.0
    return Operator(apply=apply, fresh=fresh, symmetric=isinstance(at, Curvature), step=step)
