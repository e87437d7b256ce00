"""Nyström's approximation: a few columns of the Hessian stand for all of it, and the inverse of that has a closed form."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.counts import is_count
from whet.hypergrad.solve.base import Operator, Solution, Solver, Vector
from whet.hypergrad.tensors import inner

__all__ = ["Nystrom"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Nystrom(Solver):
    """q = (Cᵀ M⁺ C + P)⁻¹ v with `rank` random rows C of the Hessian, M the square of them where they cross, and P = ρI.

    That is q = v/ρ − Cᵀ(M + CCᵀ/ρ)⁻¹Cv/ρ², computed in an orthonormal basis of the rows and float64, since the difference cancels digits.
    A low rank can't represent a multiple of the identity. So what is known to be diagonal, an L2 penalty that is given as such, is taken out
    of the Hessian and into P, and ρ = 0 will do then. A penalty written into the loss is not known: its strength must be in ρ.

    Costs `rank` products and as many vectors of memory, and no residual is computed (it would take a product more).

    Args:
        rank: Rows, at least 1.
        rho: ρ >= 0, added to the Hessian.
        seed: Which rows.

    Source: Hataya and Yamada, Nyström Method for Accurate and Scalable Implicit Differentiation, AISTATS 2023.
    """

    rank: int = 10
    rho: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if not is_count(self.rank):
            raise HypergradError(f"Nystrom(rank={self.rank})", "give a whole number, 1 or more")
        if not 0 <= self.rho < math.inf:
            raise HypergradError(f"Nystrom(rho={self.rho})", "give a number of 0 or more")

    def __call__(self, operator: Operator, v: Vector, *, warm: Vector | None = None) -> Solution:
        if not operator.symmetric:
            raise HypergradError(
                "Nystrom() solves symmetric systems, and the Jacobian of a weight update is not",
                'take Neumann(), Dense(), or system="loss"',
            )
        if not math.isfinite(float(inner(v, v))):
            return Solution(q=v, residual=None, converged=False, notes=("∂F/∂w is not a finite number",))
        known = operator.diagonal() if operator.diagonal is not None else None
        if known is not None:
            known = [t.contiguous() for t in known]
        root = [_filled(t, self.rho) if known is None else known[i] + self.rho for i, t in enumerate(v)]
        if any(bool((t <= 0).any()) for t in root):
            raise HypergradError(
                f"Nystrom(rho={self.rho}) has nothing to invert where the sampled rows do not reach",
                "give a rho above 0, or an L2 penalty above 0 on every weight",
            )
        root = [t.sqrt_() for t in root]
        # In u = √P q the system is (√P⁻¹ H √P⁻¹ + I) u = √P⁻¹ v, so that what is sampled is to be compared with 1 everywhere.
        sizes = [t.numel() for t in v]
        chosen = sorted(random.Random(self.seed).sample(range(sum(sizes)), min(self.rank, sum(sizes))))
        rows = torch.stack([self._row(operator, known, root, sizes, i) for i in chosen])
        right = _flat([t / s for t, s in zip(v, root, strict=True)])
        square = rows[:, chosen].double()
        if not bool(torch.isfinite(square).all()):
            return Solution(q=[t * math.nan for t in v], residual=None, converged=False,
                            notes=("products with the Hessian are not finite numbers",))  # fmt: skip
        basis, corner = torch.linalg.qr(rows.T)
        values, vectors = torch.linalg.eigh((square + square.T) / 2)
        kept = values > len(chosen) * torch.finfo(rows.dtype).eps * values.abs().max()
        notes: tuple[str, ...] = ()
        if bool((values < -1e-3 * values.abs().max()).any()):
            notes = (
                "the sampled rows show negative curvature, which Nystrom() leaves out: the weights are at no minimum",
            )
        half = corner.double() @ vectors[:, kept] * values[kept].rsqrt()
        tops, turns = torch.linalg.eigh(half @ half.T)
        turn = turns.to(rows.dtype)
        # (QWΛWᵀQᵀ + I)⁻¹ = I − QW Λ/(Λ + 1) WᵀQᵀ
        inside = turn.T @ (basis.T @ right)
        right -= basis @ (turn @ (inside * (tops.clamp_min(0) / (tops.clamp_min(0) + 1)).to(inside.dtype)))
        q = [p.view_as(t).div_(s) for p, t, s in zip(right.split(sizes), v, root, strict=True)]
        return Solution(q=q, residual=None, notes=notes)

    def _row(self, operator: Operator, known: Vector | None, root: Vector, sizes: list[int], index: int) -> Tensor:
        unit = [_filled(t, 0.0) for t in root]
        which = 0
        while index >= sizes[which]:
            index -= sizes[which]
            which += 1
        unit[which].view(-1)[index] = 1 / root[which].view(-1)[index]
        row = operator.apply(unit)
        if known is not None:
            row[which] = row[which].contiguous()
            row[which].view(-1)[index] -= known[which].view(-1)[index] * unit[which].view(-1)[index]
        return _flat([t.div_(s) for t, s in zip(row, root, strict=True)])


def _filled(like: Tensor, value: float) -> Tensor:
    """Return a tensor of one value whose elements lie in the order that they are counted in, however those of `like` do."""
    return torch.full_like(like, value, memory_format=torch.contiguous_format)


def _flat(parts: Vector) -> Tensor:
    return torch.cat([t.reshape(-1) for t in parts])
