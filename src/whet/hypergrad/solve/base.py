"""What every linear solver is: Aᵀq = v, where A is only known by its products."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from whet.hypergrad.tensors import inner

__all__ = ["Operator", "Solution", "Solver", "Vector", "greatest"]

Vector = list[Tensor]
"""One tensor a weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A linear map on lists of tensors of fixed shapes.

    Args:
        apply: x ↦ Aᵀx; returns fresh tensors, which the caller may change, and leaves x as it is.
        rest: x ↦ x − Aᵀx where that is what comes first, as for a weight update Φ with A = I − ∂Φ/∂w; else None.
        fresh: Returns the same map on another training batch, for stochastic solvers; None: there is no other.
        symmetric: Whether A = Aᵀ, as a Hessian is; then conjugate gradients and Nyström apply.
        step: The learning rate of SGD if there is one number, a natural scale for Neumann's sum; else None.
        diagonal: Returns d where A is known to be diag(d) plus something else, as it is with an L2 penalty; None: nothing is known.
    """

    apply: Callable[[Vector], Vector]
    rest: Callable[[Vector], Vector] | None = None
    fresh: Callable[[], Operator] | None = None
    symmetric: bool = True
    step: float | None = None
    diagonal: Callable[[], Vector] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What a solver found.

    Args:
        q: The solution.
        residual: ‖Aᵀq − v‖/‖v‖, or what the solver's docstring says of it; None where even that would cost a product more.
        converged: Whether the solver reached its tolerance, or True where it has none.
        notes: What the user should know, in words.
    """

    q: Vector
    residual: float | None
    converged: bool = True
    notes: tuple[str, ...] = ()


class Solver(ABC):
    """Solves Aᵀq = v. Every final class is a frozen dataclass of its own knobs."""

    @abstractmethod
    def __call__(self, operator: Operator, v: Vector, *, warm: Vector | None = None) -> Solution:
        """Return q.

        Args:
            operator: Aᵀ.
            v: The right-hand side. The solver may write into its memory: give a copy of what is still needed.
            warm: Where to start, left as it is; solvers that start from nowhere don't look at it.
        """


def greatest(operator: Operator, start: Vector, steps: int) -> float:
    """Return the eigenvalue of the greatest size by power iteration from `start`: from below, at one product a step.

    Its sign is that of the Rayleigh quotient, its size the last growth, which is nearer.
    """
    size = inner(start, start).sqrt()
    x = [t / size.to(t) for t in start]
    value = torch.zeros(())
    for _ in range(steps):
        y = operator.apply(x)
        size = inner(y, y).sqrt()
        value = torch.copysign(size, inner(x, y))
        for t in y:
            t.div_(size.to(t))
        x = y
    return float(value)
