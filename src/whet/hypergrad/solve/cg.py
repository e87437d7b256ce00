"""Conjugate gradients on the Hessian: exact in as many products as it has distinct eigenvalues, near it much sooner."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch

from whet.errors import HypergradError
from whet.hypergrad.counts import is_count
from whet.hypergrad.solve.base import Operator, Solution, Solver, Vector
from whet.hypergrad.tensors import inner

__all__ = ["CG"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CG(Solver):
    """Minimise ½qᵀAq − vᵀq along A-orthogonal directions until ‖Aq − v‖ <= tol·‖v‖.

    A direction along which the curvature is negative, or nothing but rounding, ends it: the iterate so far is the result, or a step
    along v where there is none yet, and a note says so. A warm start that is worse than 0 is left out, one that is good enough is
    the result. It costs one product, which tells.

    The residual is that of the recurrence, which costs nothing; in single precision it may be below the true one once that nears 1e-6.

    Args:
        tol: Relative to ‖v‖, so that the scale of the loss does not matter.
        max_steps: Products, besides the one for a warm start. A note says when they did not do.

    Source: Hestenes and Stiefel, Methods of Conjugate Gradients for Solving Linear Systems, 1952; Pedregosa, Hyperparameter
    Optimization with Approximate Gradient, ICML 2016.
    """

    tol: float = 1e-6
    max_steps: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.tol < 1:
            raise HypergradError(f"CG(tol={self.tol})", "give a number in [0, 1)")
        if not is_count(self.max_steps):
            raise HypergradError(f"CG(max_steps={self.max_steps})", "give a whole number, 1 or more")

    def __call__(self, operator: Operator, v: Vector, *, warm: Vector | None = None) -> Solution:
        if not operator.symmetric:
            raise HypergradError(
                "CG() solves symmetric systems, and the Jacobian of a weight update is not",
                'take Neumann(), Dense(), or system="loss"',
            )
        wanted = float(inner(v, v))
        if not math.isfinite(wanted):
            return Solution(q=v, residual=None, converged=False, notes=("∂F/∂w is not a finite number",))
        q: Vector = []  # 0, in no memory
        r = v
        if warm is not None and any(bool(t.any()) for t in warm):
            rest = _minus(v, operator.apply(warm), 1.0)
            if float(inner(rest, rest)) < wanted:  # not for NaN either
                q, r = [t.clone() for t in warm], rest
        goal = (self.tol**2) * wanted
        p, rr = r, float(inner(r, r))
        pp, steepest = rr, 0.0
        rounding = max(torch.finfo(t.dtype).eps for t in v)
        notes: list[str] = []
        for step in range(self.max_steps):
            if rr <= goal:
                break
            product = operator.apply(p)
            curvature = float(inner(p, product))
            if not math.isfinite(curvature):
                notes.append("products with the Hessian are not finite numbers")
                q = q or product
                break
            steepest = max(steepest, curvature / pp)
            if curvature <= rounding * steepest * pp:
                sign = "negative" if curvature < 0 else "no"
                notes.append(
                    f"CG met {sign} curvature at step {step + 1} and stopped there, at a residual of {math.sqrt(rr / wanted):.2g}: "
                    "the weights are at no strict minimum of the training loss"
                )
                if not q:  # down the gradient of F, as far as the inner learning rate or the curvature's size says
                    length = operator.step or (abs(pp / curvature) if curvature else 1.0)
                    q = [t * length for t in p]
                break
            alpha = rr / curvature
            if q:
                torch._foreach_add_(q, p, alpha=alpha)
            else:
                q = [t * alpha for t in p]
            r = _minus(r, product, alpha)
            before, rr = rr, float(inner(r, r))
            beta = rr / before
            pp = rr + beta * beta * pp  # r is orthogonal to the direction before
            for t, new in zip(p, r, strict=True):
                torch.add(new, t, alpha=beta, out=t)
        residual = math.sqrt(rr / wanted) if wanted else 0.0
        converged = rr <= goal
        if not converged and not notes:
            notes.append(
                f"CG did not reach a residual of {self.tol:.1g} in {self.max_steps} steps: it is {residual:.2g}"
            )
        return Solution(
            q=q or [torch.zeros_like(t) for t in v], residual=residual, converged=converged, notes=tuple(notes)
        )


def _minus(a: Vector, product: Vector, scale: float) -> Vector:
    """Return a − scale·product, in the product's memory."""
    return [torch.sub(x, p, alpha=scale, out=p) for x, p in zip(a, product, strict=True)]
