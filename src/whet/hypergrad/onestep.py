"""T1–T2: the effect of a hyperparameter through one weight step alone. The cheapest hypergradient there is."""

from __future__ import annotations

import dis
from dataclasses import dataclass
from types import FunctionType
from typing import Any, final

from whet.errors import HypergradError
from whet.hypergrad.base import HyperGrad, Hypergradient, finished
from whet.hypergrad.implicit import natural_step, refuse_ascent
from whet.hypergrad.linear import Curvature, HyperGrads, Meter, ValGrad, add_into_
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.tensors import Hyper, Weights, leaves, unflatten
from whet.hypergrad.updates.base import State

__all__ = ["OneStep"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class OneStep(Hypergradient):
    """dF/dλ ≈ ∂F/∂λ − α ∂F/∂w ∂²f/∂w∂λ: the implicit hypergradient with α in place of the inverse Hessian.

    It has the sign of a change that one gradient step of size α makes, and far too small a size where the training loss is flat. When
    not: hyperparameters of the update (take `Implicit(system="update")`), or whenever the size matters.

    Costs a gradient of each loss and one backward pass through the training gradient. Where the training loss is a function that never
    looks at its third argument, hyperparameters can only be in penalties, whose derivatives have a closed form: then it is not even
    evaluated, and the whole costs one gradient of the validation loss.

    Args:
        scale: α > 0; None: the learning rate of the problem's update if that is one number, and else 1.

    Example:
        >>> import torch
        >>> from whet.hypergrad.penalties import L2
        >>> problem = Bilevel(train_loss=lambda w, _, h: w["w"].sum(), val_loss=lambda w, _, h: w["w"].sum(), penalty=L2(strength="decay"))
        >>> decay, w = {"decay": torch.tensor(0.1)}, {"w": torch.tensor([3.0])}
        >>> OneStep(scale=0.5)(problem, w, decay, Batches(train=[None], val=None)).grads["decay"]
        tensor(-1.5000)

    Source: Luketina et al., Scalable Gradient-Based Tuning of Continuous Regularization Hyperparameters, ICML 2016.
    """

    scale: float | None = None

    def __post_init__(self) -> None:
        if self.scale is not None and not self.scale > 0:
            raise HypergradError(f"OneStep(scale={self.scale})", "give a number above 0, or none")

    def _compute(
        self, problem: Bilevel, weights: Weights, hyper: Hyper, batches: Batches, *, state: State, warm: Weights | None
    ) -> HyperGrad:
        refuse_ascent(problem, "OneStep()")
        meter = Meter()
        hyper = unflatten({path: t.detach() for path, t in leaves(hyper).items()})
        val = ValGrad(problem, weights, hyper, batches.val, buffers=state.own_buffers(), meter=meter)
        scale = self.scale or natural_step(problem, hyper) or 1.0
        for t in val.weights.values():
            t.mul_(-scale)
        found: HyperGrads = {}
        if _ignores(problem.train_loss, 2):
            for penalty in problem.penalties:
                add_into_(found, penalty.cross(weights, hyper, val.weights))
        else:
            at = Curvature(
                problem, weights, hyper, batches.train[0], buffers=state.own_buffers(), meter=meter, whole=False
            )
            at.grads = {}
            found = at.cross(val.weights)
        add_into_(found, val.hyper)
        return finished(hyper, found, what="the training loss", loss=val.loss, meter=meter)


def _ignores(function: Any, position: int) -> bool:
    """Return whether `function` surely never looks at that argument: it is no name in the compiled code of a plain function."""
    code = function.__code__ if isinstance(function, FunctionType) else None
    if code is None or code.co_argcount <= position or {"locals", "vars", "eval", "exec", "dir"} & set(code.co_names):
        return False
    name = code.co_varnames[position]
    # Newer Pythons load two names by one instruction, so `argval` may be a pair.
    used = (i.argval if isinstance(i.argval, tuple) else (i.argval,) for i in dis.get_instructions(code))
    return name not in code.co_cellvars and not any(name in names for names in used)
