"""The implicit function theorem: dF/dλ = ∂F/∂λ − qᵀ ∂r/∂λ with qᵀ ∂r/∂w = ∂F/∂w, where r(w*, λ) = 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, final

import torch
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.base import HyperGrad, Hypergradient, finished
from whet.hypergrad.linear import Curvature, HyperGrads, Meter, Step, ValGrad, add_into_
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.solve.base import Operator, Solver, Vector
from whet.hypergrad.solve.neumann import Neumann
from whet.hypergrad.tensors import Hyper, Weights, inner, leaves, unflatten
from whet.hypergrad.updates.base import State, setting
from whet.hypergrad.updates.sgd import SGD

__all__ = ["Implicit", "System", "implicit_through", "natural_step", "refuse_ascent"]

_UNSOLVED = 0.1
"""How much of F a run to the minimum may still change before a note says that the inner problem is not solved."""


_ROUGH = torch.bfloat16
"""What ∇f is kept in through the solve, to judge by it whether the inner problem is solved: half the memory, and its range is float32's."""


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

    Both hold where r = 0, and "loss" at a minimum, not a maximum. For "loss" a note says when that is not so: by the same q, training on to the minimum would change F by about
    −qᵀ∇f, and the note comes where that is more than a tenth of F. A one-pass run is never there, so "update" does not look.

    Args:
        solve: The linear solver. One that takes fresh batches goes through ``batches.train``; the others take the first.
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
        if not callable(self.solve) or isinstance(self.solve, type):
            name = getattr(self.solve, "__name__", None)
            raise HypergradError(
                f"Implicit(solve={name or repr(self.solve)}) has no solver" + " but its class" * bool(name),
                f"give an instance: {name or 'CG'}()",
            )
        if self.system not in {*System, *(s.value for s in System)}:
            raise HypergradError(f"Implicit(system={self.system!r})", 'take "loss" or "update"')
        object.__setattr__(self, "system", System(self.system))

    def _compute(
        self, problem: Bilevel, weights: Weights, hyper: Hyper, batches: Batches, *, state: State, warm: Weights | None
    ) -> HyperGrad:
        meter = Meter()
        if self.system is System.LOSS:
            refuse_ascent(problem, 'Implicit(system="loss")')

        def linearised(i: int) -> Curvature | Step:
            batch = batches.train[i % len(batches.train)]
            if self.system is System.UPDATE:
                return Step(problem, weights, hyper, batch, state, meter=meter)
            found = Curvature(problem, weights, hyper, batch, buffers=state.own_buffers(), meter=meter, whole=False)
            for name in found.grads:
                found.grads[name] = found.grads[name].to(_ROUGH)
            return found

        at = linearised(0)
        val = ValGrad(problem, weights, hyper, batches.val, buffers=state.own_buffers(), meter=meter)
        return implicit_through(at, val, self.solve, hyper, meter=meter, warm=warm,
                                another=linearised if len(batches.train) > 1 else None)  # fmt: skip


def implicit_through(at: Curvature | Step, val: ValGrad, solve: Solver, hyper: Hyper, *, meter: Meter, warm: Weights | None = None,
                     another: Callable[[int], Curvature | Step] | None = None) -> HyperGrad:  # fmt: skip
    """Return the implicit hypergradient for a gradient or an update that was linearised already, which frees its graph.

    Args:
        at: Where: ∇f for the system "loss", one weight update for the system "update".
        val: F and its derivatives, at the same weights or at those after the update. Its `weights` are used up.
        solve: The linear solver.
        hyper: The hyperparameters' values.
        meter: Counts.
        warm: An earlier solution, for the same weights.
        another: Returns the i-th other `at`, on another batch, for stochastic solvers; None: there is none.
    """
    hyper = unflatten({path: t.detach() for path, t in leaves(hyper).items()})
    names = list(val.weights)
    v = list(val.weights.values())
    val.weights = {}
    start = None
    if warm is not None and all(n in warm and warm[n].shape == t.shape for n, t in zip(names, v, strict=True)):
        start = [warm[n].detach() for n in names]
    solution = solve(_operator(at, names, hyper, another, 1), v, warm=start)
    del v  # frees it
    q = dict(zip(names, solution.q, strict=True))
    notes = solution.notes
    if isinstance(at, Step):
        found = at.vjp(q, weights=False, slots=False, retain=False)[2]  # −qᵀ∂u/∂λ = qᵀ∂Φ/∂λ
        what = "the training loss or the update"
    else:
        found, pull = _through_loss(at, q, hyper)
        change, loss = torch.stack([-pull, val.loss.to(pull)]).tolist()
        if abs(change) > _UNSOLVED * abs(loss):
            notes += (
                f"the inner problem is not solved: training on to its minimum would change the validation loss of {loss:.3g} by "
                f"about {change:.2g}, and the implicit hypergradient is that of the minimum",
            )
        what = "the training loss"
    add_into_(found, val.hyper)
    return finished(
        hyper, found, what=what, loss=val.loss, meter=meter, residual=solution.residual, notes=notes, solution=q
    )


def refuse_ascent(problem: Bilevel, method: str) -> None:
    """Refuse an update that goes up the training loss.

    Raises:
        HypergradError: it does; `method` says what is made for one that goes down it.
    """
    if any(getattr(atom, "maximize", False) for atom in problem.update.atoms):
        raise HypergradError(
            f"the update goes up the training loss (maximize=True), and {method} is made for weights that go down it",
            "minimise −f instead: negate the training loss and leave maximize out",
        )


def natural_step(problem: Bilevel, hyper: Hyper) -> float | None:
    """Return the learning rate of the problem's update where it is one number > 0, a hyperparameter's value or fixed; else None."""
    step = problem.update.constant_lr
    lr: Any = getattr(problem.update, "lr", None)
    found = hyper.get(getattr(lr, "name", lr))
    if step is None and isinstance(found, Tensor) and found.numel() == 1:
        step = float(setting(lr, "", hyper))
    return step if step is not None and step > 0 else None


def _operator(
    at: Curvature | Step, names: list[str], hyper: Hyper, another: Callable[[int], Curvature | Step] | None, count: int
) -> Operator:
    fresh = None
    if another is not None:
        fresh = lambda: _operator(another(count), names, hyper, another, count + 1)  # noqa: E731
    if isinstance(at, Step):

        def rest(x: Vector) -> Vector:  # xᵀ∂Φ/∂w = x − xᵀ∂u/∂w
            return list(at.vjp(dict(zip(names, x, strict=True)), slots=False, hyper=False)[0].values())

        def apply(x: Vector) -> Vector:
            return [torch.sub(t, p, out=p) for t, p in zip(x, rest(x), strict=True)]

        return Operator(apply=apply, rest=rest, fresh=fresh, symmetric=False, step=1.0)

    def diagonal() -> Vector:
        ones = {n: torch.ones_like(at.weights[n], requires_grad=False) for n in names}
        found = {n: torch.zeros_like(t) for n, t in ones.items()}
        for penalty in at.problem.penalties:
            penalty.add_hvp_(found, ones, hyper)
        return list(found.values())

    return Operator(
        apply=lambda x: list(at.hvp(dict(zip(names, x, strict=True))).values()),
        fresh=fresh,
        # The learning rates of others are no scales of a Hessian: Adam's is the size of a step, whatever the gradient's is.
        step=natural_step(at.problem, hyper) if all(isinstance(u, SGD) for u in at.problem.update.atoms) else None,
        diagonal=diagonal if at.problem.penalties else None,
    )


def _through_loss(at: Curvature, q: Weights, hyper: Hyper) -> tuple[HyperGrads, Tensor]:
    """Return −qᵀ∂²f/∂w∂λ and qᵀ∇f; penalties have their part in the latter through the former, at no pass over the weights."""
    found = at.vjp(q, weights=False, retain=False, penalties=False)[1]
    names = [n for n in q if n in at.grads]  # none where the caller has used them up
    pull = inner([q[n] for n in names], [at.grads[n].to(q[n].dtype) for n in names])
    at.grads = {}
    for penalty in at.problem.penalties:
        cross = penalty.cross(at.values, hyper, q)
        if at.whole or not names:
            pass
        elif isinstance(penalty.strength, str):
            flat = leaves(hyper)
            pull = pull + inner(list(cross.values()), [flat[path].to(c) for path, c in cross.items()]).to(pull)
        else:
            kept = [n for n in names if penalty.only is None or penalty.only(n)]
            pull = pull + penalty.strength * inner([penalty.slope(at.values[n]) for n in kept], [q[n] for n in kept])
        add_into_(found, cross)
    for tensor in found.values():
        tensor.neg_()
    return found, pull
