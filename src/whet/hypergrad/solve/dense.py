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
    """Form A column by column and factor it: exact, at one product a weight.

    Args:
        limit: The greatest number of weights that it accepts, lest the matrix fill the memory.
    """

    limit: int = 5000

    def __call__(self, operator: Operator, v: Vector, *, warm: Vector | None = None) -> Solution:
        sizes = [t.numel() for t in v]
        n = sum(sizes)
        if n > self.limit:
            raise HypergradError(
                f"Dense() was given {n:,} weights and its limit is {self.limit:,}", "use CG() or Neumann()", n=n
            )
        flat_v = torch.cat([t.reshape(-1) for t in v])
        rows = []
        for i in range(n):
            unit = torch.zeros_like(flat_v)
            unit[i] = 1
            parts = [p.view_as(t) for p, t in zip(unit.split(sizes), v, strict=True)]
            rows.append(torch.cat([p.reshape(-1) for p in operator.apply(parts)]))
        matrix = torch.stack(rows, dim=1)  # column i is Aᵀe_i
        flat_q = torch.linalg.solve(matrix, flat_v)
        residual = float((matrix @ flat_q - flat_v).norm() / flat_v.norm().clamp_min(torch.finfo(flat_v.dtype).tiny))
        return Solution(q=[p.view_as(t) for p, t in zip(flat_q.split(sizes), v, strict=True)], residual=residual)
