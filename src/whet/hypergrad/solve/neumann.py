"""Neumann's sum, q = α Σ_{k≤K} (I − αA)ᵏ v, with its scale checked against the greatest curvature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch

from whet.errors import HypergradError
from whet.hypergrad.counts import is_count
from whet.hypergrad.solve.base import Operator, Solution, Solver, Vector, greatest
from whet.hypergrad.tensors import inner

__all__ = ["Neumann"]

_ROUNDS = 3
"""How often the scale is corrected: power iteration finds the curvature from below, so once may not do."""

_UNSOLVED = 0.9
"""The residual above which a note says that q is little more than a multiple of v."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Neumann(Solver):
    """q = α Σ_{k=0..K} (I − αA)ᵏ v, at K products. For symmetric A the error falls as (1 − αμ)^(K+1), μ the least eigenvalue.

    The sum converges for 0 < α < 2/L only, L being the greatest eigenvalue, and K gradient steps of that learning rate are what
    it stands for. The terms tell without a further product whether it does: once they grow they go on growing. If they overshoot,
    L is found by power iteration from the last term, the sum is made again with 1/L, and a note says so. If they do not, the curvature
    is negative somewhere, which a note says too. A sum too short for its terms to grow is not harmed by its scale either.

    The residual is that of the sum without its last term, ‖(I − αA)ᴷv‖/‖v‖, which bounds that of the whole where it converges: the
    exact one would cost a product more. None for K = 0 and for fresh batches. Above 0.9, a note says so, but for the system of the update.

    Args:
        terms: K >= 0, products with A; 0 is one step (T1–T2).
        scale: α > 0. "auto" takes the learning rate of SGD if there is one number (1 for the system of the update), and else
            1/L by `power_steps` products more.
        stochastic: Take a fresh training batch for each factor, in turn, which makes the estimate one over all of them (stocBiO).
        power_steps: Products of a power iteration, when one is needed.

    Source: Lorraine et al., Optimizing Millions of Hyperparameters by Implicit Differentiation, AISTATS 2020; Ji et al., Bilevel
    Optimization: Convergence Analysis and Enhanced Design, ICML 2021 (fresh batches).
    """

    terms: int = 5
    scale: float | str = "auto"
    stochastic: bool = False
    power_steps: int = 8

    def __post_init__(self) -> None:
        if not is_count(self.terms, least=0):
            raise HypergradError(f"Neumann(terms={self.terms})", "give a whole number, 0 or more")
        if self.scale != "auto" and not (isinstance(self.scale, int | float) and 0 < self.scale < math.inf):
            raise HypergradError(f"Neumann(scale={self.scale!r})", 'give a number above 0, or "auto"')
        if not is_count(self.power_steps):
            raise HypergradError(f"Neumann(power_steps={self.power_steps})", "give a whole number, 1 or more")

    def __call__(self, operator: Operator, v: Vector, *, warm: Vector | None = None) -> Solution:
        scale = self.scale if self.scale != "auto" else operator.step
        if scale is None:
            top = abs(greatest(operator, v, self.power_steps))
            scale = 1.0 / top if 0 < top < math.inf else 1.0
        alpha = float(scale)
        if self.terms == 0:
            return Solution(q=v if alpha == 1.0 else [t.mul_(alpha) for t in v], residual=None)
        notes: list[str] = []
        if self.stochastic and operator.fresh is None:
            notes.append("there is one training batch, so every factor of the stochastic Neumann sum has the same")
        rounding = (64 + self.terms) * max(torch.finfo(t.dtype).eps for t in v)
        for left in reversed(range(_ROUNDS)):
            q, last, (start, before, end, overlap) = self._summed(operator, v, alpha)
            if self.stochastic:
                before = start  # other batches, other terms: only a sum that has run away is told from noise
            converged = end <= max(before, rounding**2 * start) and math.isfinite(end)  # rounding comes and goes
            if converged or not math.isfinite(start):
                break
            if overlap >= 0:
                notes.append(
                    f"Neumann's sum does not converge: its terms grow, though not for the scale of {alpha:.3g}; the training loss "
                    "has negative curvature at these weights (are they trained?)"
                )
                break
            top = abs(greatest(operator, last if math.isfinite(end) else v, self.power_steps))
            if not math.isfinite(top):
                notes.append("products with the Hessian are not finite numbers")
                break
            if not left or alpha * top <= 1:
                notes.append(f"Neumann's sum does not converge with the scale {alpha:.3g}")
                break
            notes.append(
                f"Neumann's scale {alpha:.3g} is beyond 2/L for the greatest curvature L = {top:.3g}, so the sum diverged; "
                f"it was made again with 1/L = {1 / top:.3g}"
            )
            alpha = 1.0 / top
        if alpha != 1.0:
            for t in q:
                t.mul_(alpha)
        bound = math.sqrt(end / start) if start else 0.0
        # A one-pass sum over updates is short by design; that over a Hessian is meant to be its inverse.
        if bound > _UNSOLVED and converged and not self.stochastic and operator.rest is None:
            notes.append(
                f"Neumann's sum of {self.terms} products with the scale {alpha:.3g} has hardly begun to solve the system, whose residual "
                f"is up to {bound:.3g}: give more terms, a scale nearer to 2/L for the greatest curvature L, or take CG()"
            )
        return Solution(q=q, residual=None if self.stochastic else bound, converged=converged, notes=tuple(notes))

    def _summed(self, operator: Operator, v: Vector, alpha: float) -> tuple[Vector, Vector, list[float]]:
        """Return q = Σ (I − αA)ᵏ v, its last term, the squared norms of the first term and the last two, and ⟨q without it, last term⟩.

        By Horner's rule, q ← v + (I − αA) q: v − αAq is the next term, in the product's own memory, so v is kept and nothing copied.
        The inner product tells overshooting from negative curvature: an eigenvector for which the factor 1 − αλ is m has the part
        mᴷ(1 − mᴷ)/(1 − m) in it, which is negative for m < −1 and positive for m > 1.
        """
        q, last, numbers = v, v, [inner(v, v)]
        whole = alpha == 1.0 and operator.rest is not None
        # Made before all that comes and goes, so that no holes are left in memory.
        room = [] if whole else [torch.empty_like(t) for t in v]
        for k in range(self.terms):
            if k and self.stochastic and operator.fresh is not None:
                operator = operator.fresh()
            ends = k == self.terms - 1
            if whole and operator.rest is not None:
                last = []  # frees it
                new = operator.rest(q)
                _add_(new, v)
                if k >= self.terms - 2:  # the term is not at hand, it is what q grew by
                    overlap = inner(q, new) - inner(q, q)
                    last = [torch.sub(n, o, out=o if q is not v else None) for n, o in zip(new, q, strict=True)]
                    numbers.append(inner(last, last))
                q = new
            else:
                last = []
                last = operator.apply(q)
                _flip_(last, v, alpha)
                if k >= self.terms - 2:
                    numbers.append(inner(last, last))
                if ends:
                    overlap = inner(q, last)
                if q is v:
                    q = [torch.add(o, t, out=r) for o, t, r in zip(q, last, room, strict=True)]
                else:
                    _add_(q, last)
        found: list[float] = torch.stack([*numbers, overlap]).tolist()  # the one time that a GPU is waited for
        return q, last, [found[0], *found[-3:]]


def _add_(a: Vector, b: Vector) -> None:
    torch._foreach_add_(a, b)


def _flip_(product: Vector, v: Vector, alpha: float) -> None:
    """Write v − α·product over `product`."""
    if product[0].is_cuda:
        torch._foreach_mul_(product, -alpha)
        torch._foreach_add_(product, v)
        return
    for p, t in zip(product, v, strict=True):  # one pass instead of two
        torch.sub(t, p, alpha=alpha, out=p)
