"""The oracle: build the matrix and solve. For tests and problems of a few hundred weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch

from whet.errors import HypergradError
from whet.hypergrad.solve.base import Operator, Solution, Solver, Vector

__all__ = ["Dense"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Dense(Solver):
    """Form A column by column and factor it: exact, at one product a weight. A singular one has the solution of least norm, and a note.

    Args:
        limit: The greatest number of weights that it accepts, lest the matrix fill the memory.

    Example:
        >>> double = Operator(apply=lambda x: [2 * t for t in x])
        >>> Dense()(double, [torch.tensor([3.0])]).q
        [tensor([1.5000])]
    """

    limit: int = 5000

    def __call__(self, operator: Operator, v: Vector, *, warm: Vector | None = None) -> Solution:
        sizes = [t.numel() for t in v]
        n = sum(sizes)
        if n > self.limit:
            raise HypergradError(
                f"Dense() was given {n:,} weights and its limit is {self.limit:,}", "use CG() or Neumann()", n=n
            )
        right = torch.cat([t.reshape(-1) for t in v])
        matrix = right.new_empty(n, n)
        for i in range(n):
            unit = torch.zeros_like(right)
            unit[i] = 1
            parts = [p.view_as(t) for p, t in zip(unit.split(sizes), v, strict=True)]
            matrix[:, i] = torch.cat([p.reshape(-1) for p in operator.apply(parts)])  # column i is Aᵀe_i
        q, info = torch.linalg.solve_ex(matrix, right)
        notes: tuple[str, ...] = ()
        if int(info):
            q = torch.linalg.pinv(matrix) @ right
            notes = ("the matrix is singular: of its solutions, the one of least norm is taken",)
        residual = float((matrix @ q - right).norm() / right.norm().clamp_min(torch.finfo(right.dtype).tiny))
        return Solution(
            q=[p.view_as(t) for p, t in zip(q.split(sizes), v, strict=True)],
            residual=residual,
            converged=not notes,
            notes=notes,
        )
