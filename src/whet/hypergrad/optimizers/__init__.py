"""The named algorithms with one stateful surface: `step` inside a training loop of your own, or `fit`."""

from whet.hypergrad.optimizers.base import HypergradWarning, HyperOptimizer, StepResult
from whet.hypergrad.optimizers.diff_through_opt import DiffThroughOpt
from whet.hypergrad.optimizers.drmad import DrMAD
from whet.hypergrad.optimizers.fit import FitResult
from whet.hypergrad.optimizers.hoag import HOAG
from whet.hypergrad.optimizers.hypergradient_descent import HypergradientDescent
from whet.hypergrad.optimizers.neumann import Neumann
from whet.hypergrad.optimizers.one_pass import OnePass
from whet.hypergrad.optimizers.rtho import RTHO
from whet.hypergrad.optimizers.t1t2 import T1T2
from whet.hypergrad.optimizers.unrolled import Unrolled

__all__ = [
    "HOAG",
    "RTHO",
    "T1T2",
    "DiffThroughOpt",
    "DrMAD",
    "FitResult",
    "HyperOptimizer",
    "HypergradWarning",
    "HypergradientDescent",
    "Neumann",
    "OnePass",
    "StepResult",
    "Unrolled",
]
