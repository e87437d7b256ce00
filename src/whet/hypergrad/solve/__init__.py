"""Linear solvers: Aᵀq = v for a matrix that is only known by its products. One solver a file."""

from whet.hypergrad.solve.base import Operator, Solution, Solver
from whet.hypergrad.solve.cg import CG
from whet.hypergrad.solve.dense import Dense
from whet.hypergrad.solve.neumann import Neumann
from whet.hypergrad.solve.nystrom import Nystrom

__all__ = ["CG", "Dense", "Neumann", "Nystrom", "Operator", "Solution", "Solver"]
