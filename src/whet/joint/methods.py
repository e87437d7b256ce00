"""The hypergradient algorithms under their names as methods of a sweep. What each does, and its knobs, is said where it is: `algorithm`."""

from __future__ import annotations

from types import MappingProxyType
from typing import final

from whet.joint.method import Gradient, Reach

__all__ = [
    "HOAG",
    "RTHO",
    "T1T2",
    "DiffThroughOpt",
    "DrMAD",
    "HypergradientDescent",
    "Neumann",
    "OnePass",
    "Unrolled",
]

_HOME = "whet.hypergrad.optimizers"


@final
class T1T2(Gradient):
    """One-step hypergradients: as cheap as it gets, for penalties and what else is in the training loss (Luketina et al., 2016)."""

    name = "t1t2"
    algorithm = f"{_HOME}.t1t2:T1T2"
    spares_rates = True  # one step ahead, a small one always looks best


@final
class Neumann(Gradient):
    """Implicit hypergradients by a Neumann sum: millions of hyperparameters of the training loss (Lorraine et al., 2020)."""

    name = "neumann"
    algorithm = f"{_HOME}.neumann:Neumann"
    reach = Reach.LOSS


@final
class HOAG(Gradient):
    """Implicit hypergradients of a solved inner problem, with an outer step of its own, for full batches (Pedregosa, 2016)."""

    name = "hoag"
    algorithm = f"{_HOME}.hoag:HOAG"
    reach = Reach.LOSS
    without = frozenset({"every", "outer_lr"})
    solves = True


@final
class DrMAD(Gradient):
    """Reverse mode along straight lines through stretches of training (Fu et al., 2016)."""

    name = "drmad"
    algorithm = f"{_HOME}.drmad:DrMAD"
    defaults = MappingProxyType(
        {"restart": False}
    )  # else the model would be one of `every` steps, whatever a trial has


@final
class OnePass(Gradient):
    """Tunes loss and update, learning rate and momentum too, while training goes on (Clarke et al., 2022)."""

    name = "one_pass"
    algorithm = f"{_HOME}.one_pass:OnePass"


@final
class DiffThroughOpt(Gradient):
    """Exact backpropagation through the last few updates, while training goes on."""

    name = "diff_through_opt"
    algorithm = f"{_HOME}.diff_through_opt:DiffThroughOpt"


@final
class HypergradientDescent(Gradient):
    """Moves the learning rate by the product of two gradients in a row (Baydin et al., 2018)."""

    name = "hypergradient_descent"
    algorithm = f"{_HOME}.hypergradient_descent:HypergradientDescent"
    reach = Reach.KNOBS


@final
class RTHO(Gradient):
    """Forward mode, in real time: few hyperparameters, no horizon (Franceschi et al., 2017)."""

    name = "rtho"
    algorithm = f"{_HOME}.rtho:RTHO"


@final
class Unrolled(Gradient):
    """Backpropagation through a stretch of training."""

    name = "unrolled"
    algorithm = f"{_HOME}.unrolled:Unrolled"
    defaults = MappingProxyType({"restart": False})
