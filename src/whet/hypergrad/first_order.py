"""F2SA: hypergradients from two runs and first derivatives alone, for models through which nothing can be differentiated twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.base import HyperGrad, Hypergradient, finished, kept_rng
from whet.hypergrad.counts import is_count
from whet.hypergrad.linear import Curvature, HyperGrads, Meter, ValGrad, add_into_
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.tape import tensors_in
from whet.hypergrad.tensors import Hyper, Weights, apart, detached, leaves, unflatten
from whet.hypergrad.updates.base import State

__all__ = ["FirstOrder"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FirstOrder(Hypergradient):
    """dF/dλ ≈ ∂F/∂λ(y) + σ(∂f/∂λ(y) − ∂f/∂λ(z)), where z minimises f and y minimises f + F/σ.

    Both start from the given weights, which should be near a minimum of f, and take `steps` updates of the problem's own, side by side,
    on the same batches and with the same random numbers: what differs between them is F alone. The bias is of the order of 1/σ
    once they have converged, which takes the slower the flatter f is; the rounding errors grow with σ, to about σ·1e-7 in single precision.
    When not: where a product with the Hessian can be had, `Implicit` is cheaper and far nearer the truth.

    In the result, `weights` and `state` are z's, and `solution` is σ(z − y), which tends to q of the implicit hypergradient: given back as
    `warm`, y starts from there. Costs three gradients a step and two at the end.

    Args:
        sigma: σ > 0.
        steps: Updates of each of the two, one batch of ``batches.train`` after the other, again from the first when all are used.

    Example:
        >>> from whet.hypergrad.updates.sgd import SGD
        >>> problem = Bilevel(train_loss=lambda w, _, h: 0.5 * ((w["w"] - h["x"]) ** 2).sum(), val_loss=lambda w, _, h: (w["w"] ** 2).sum(),
        ...                   update=SGD(lr=0.5))
        >>> at = torch.tensor([3.0], dtype=torch.float64)
        >>> FirstOrder(sigma=1e4, steps=50)(problem, {"w": at}, {"x": at}, Batches(train=[None], val=None)).grads["x"]
        tensor([5.9988], dtype=torch.float64)

    Source: Kwon et al., A Fully First-Order Method for Stochastic Bilevel Optimization, ICML 2023.
    """

    sigma: float = 100.0
    steps: int = 20

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise HypergradError(f"FirstOrder(sigma={self.sigma})", "give a number above 0")
        if not is_count(self.steps):
            raise HypergradError(f"FirstOrder(steps={self.steps})", "give a whole number, 1 or more")

    def _compute(
        self, problem: Bilevel, weights: Weights, hyper: Hyper, batches: Batches, *, state: State, warm: Weights | None
    ) -> HyperGrad:
        meter = Meter()
        hyper = unflatten({path: t.detach() for path, t in leaves(hyper).items()})
        z, y = detached(weights, copy=True), detached(weights, copy=True)
        if warm is not None and all(n in warm and warm[n].shape == t.shape for n, t in y.items()):
            for name, t in y.items():
                t.sub_(warm[name].detach(), alpha=1 / self.sigma)
        z_state, y_state = state.detached(copy=True), state.detached(copy=True)
        for i in range(self.steps):
            batch = batches.train[i % len(batches.train)]
            with kept_rng(weights):
                grads = Curvature(problem, y, hyper, batch, buffers=y_state.buffers, meter=meter, track=False).grads
                val = ValGrad(problem, y, hyper, batches.val, buffers=y_state.own_buffers(), meter=meter)
            grads = {n: torch.add(g, val.weights[n], alpha=1 / self.sigma) for n, g in grads.items()}
            y_state = problem.update.step_(y, grads, y_state, hyper)
            grads = Curvature(problem, z, hyper, batch, buffers=z_state.buffers, meter=meter, track=False).grads
            z_state = problem.update.step_(z, grads, z_state, hyper)
        batch = batches.train[self.steps % len(batches.train)]
        with kept_rng(weights):
            found = _by_hyper(
                lambda h: problem.inner(y, h, batch, y_state.own_buffers()), problem, hyper, batch, meter
            )[1]
        less = _by_hyper(lambda h: problem.inner(z, h, batch, z_state.own_buffers()), problem, hyper, batch, meter)[1]
        add_into_(found, less, -1)
        found = {path: t * self.sigma for path, t in found.items()}
        loss, direct = _by_hyper(
            lambda h: problem.val(z, h, batches.val, z_state.own_buffers()), problem, hyper, batches.val, meter
        )
        add_into_(found, direct)
        solution = {n: torch.sub(z[n], t, out=t).mul_(self.sigma) for n, t in y.items()}
        return finished(hyper, found, what="the training loss", loss=loss, meter=meter, steps=2 * self.steps,
                        solution=solution, weights=z, state=z_state)  # fmt: skip


def _by_hyper(
    loss_of: Callable[[Hyper], Tensor], problem: Bilevel, hyper: Hyper, batch: Any, meter: Meter
) -> tuple[Tensor, HyperGrads]:
    """Return the loss on a batch and its derivatives by the hyperparameters, at fixed weights."""
    own = {path: t.detach().requires_grad_() for path, t in leaves(hyper).items()}
    with torch.enable_grad():
        loss = loss_of(unflatten(own))
        got = (
            torch.autograd.grad(loss, list(own.values()), allow_unused=True)
            if loss.requires_grad
            else (None,) * len(own)
        )
    meter.grads += 1
    loss = loss.detach().clone()
    fresh = apart(got, [*own.values(), *tensors_in(batch)])
    found = {path: g for path, g in zip(own, fresh, strict=True) if g is not None}
    if problem.reduce:
        problem.reduce([loss, *found.values()])
    return loss, found
