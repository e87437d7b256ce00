"""Neumann's sum, q = α Σ_{k≤K} (I − αA)ᵏ v, with its scale checked against the greatest curvature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from whet.hypergrad.solve.base import Operator, Solution, Solver, Vector
from whet.hypergrad.tensors import norm

__all__ = ["Neumann"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Neumann(Solver):
    """q = α Σ_{k=0..K} (I − αA)ᵏ v.

    Args:
        terms: K >= 0, products with A; 0 is one step (T1–T2).
        scale: α.
    """

    terms: int = 5
    scale: float = 1.0

    def __call__(self, operator: Operator, v: Vector, *, warm: Vector | None = None) -> Solution:
        x, q = [t.clone() for t in v], [t.clone() for t in v]
        for _ in range(self.terms):
            for xi, qi, p in zip(x, q, operator.apply(x), strict=True):
                xi.sub_(p, alpha=self.scale)
                qi.add_(xi)
        return Solution(q=[t.mul_(self.scale) for t in q], residual=norm(x) / norm(v))
