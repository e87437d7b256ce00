"""Hypergradients: d(validation loss)/d(hyperparameters), within one training run. Needs torch and nothing else.

Here are the problem, the hyperparameters, and the methods as values. The named algorithms for a training loop (`OnePass`, `T1T2`,
`HOAG` …) are in `whet.hypergrad.optimizers`, linear solvers in `whet.hypergrad.solve`, weight updates in `whet.hypergrad.updates`,
differentiable regularisers in `whet.hypergrad.relax`.
"""

from whet.hypergrad.base import HyperGrad, Hypergradient, Spent
from whet.hypergrad.checkpointer import Checkpointer
from whet.hypergrad.drmad import DrMAD
from whet.hypergrad.first_order import FirstOrder
from whet.hypergrad.forward import Forward
from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.implicit import Implicit
from whet.hypergrad.onestep import OneStep
from whet.hypergrad.penalties import L1, L2, Penalty
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.reversible import Reversible
from whet.hypergrad.unrolled import Unrolled
from whet.hypergrad.updates.base import State

__all__ = [
    "L1",
    "L2",
    "Batches",
    "Bilevel",
    "Checkpointer",
    "DrMAD",
    "FirstOrder",
    "Forward",
    "HyperGrad",
    "Hypergradient",
    "Hyperparameter",
    "Hyperparameters",
    "Implicit",
    "OneStep",
    "Penalty",
    "Reversible",
    "Spent",
    "State",
    "Unrolled",
]
