"""What every linear solver is: Aᵀq = v, where A is only known by its products."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Operator", "Solution", "Solver"]

Vector = list[Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A linear map on lists of tensors of fixed shapes.

    Args:
        apply: x ↦ Aᵀx; returns fresh tensors, which the caller may change, and leaves x as it is.
        fresh: Returns the same map on another training batch, for stochastic solvers; None: there is no other.
        symmetric: Whether A = Aᵀ, as a Hessian is; then conjugate gradients and Nyström apply.
        step: The inner learning rate if there is one number, a natural scale for Neumann's sum; else None.
    """

    apply: Callable[[Vector], Vector]
    fresh: Callable[[], Operator] | None = None
    symmetric: bool = True
    step: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What a solver found.

    Args:
        q: The solution.
        residual: ‖Aᵀq − v‖/‖v‖, or None where knowing it would cost a product more than asked for.
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
        """Return q. `v` is left as it is.

        Args:
            operator: Aᵀ.
            v: The right-hand side.
            warm: Where to start; solvers that start from nowhere leave it out.
        """
