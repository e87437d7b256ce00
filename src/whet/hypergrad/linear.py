"""Linearised training: the Hessian of the training loss at a point, and one weight update, as things that vectors go through.

Each keeps the graph of one gradient and sends as many vectors through it as asked, so a product costs no forward pass of its own.
"""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from whet.errors import HypergradError
from whet.hypergrad.problem import Bilevel
from whet.hypergrad.tape import tensors_in
from whet.hypergrad.tensors import Hyper, Weights, apart, leaves, unflatten
from whet.hypergrad.updates.base import Cotangents, Part, State, diagonal

__all__ = [
    "Curvature",
    "HyperGrads",
    "Meter",
    "Step",
    "ValGrad",
    "add_direct_",
    "add_into_",
    "second_derivatives",
]

HyperGrads = dict[tuple[str, ...], Tensor]
"""Derivatives by the path of the hyperparameter (see `tensors.leaves`); one that is not reached is missing."""


@dataclass(slots=True, kw_only=True)
class Meter:
    """Counts what is spent: gradients of a loss, and vectors sent through a gradient's graph (Hessian-vector products)."""

    grads: int = 0
    hvps: int = 0


@final
class Curvature:
    """∇f at (w, λ) on one batch, and the products qᵀ∂²f/∂w² and qᵀ∂²f/∂w∂λ.

    Args:
        problem: Its `train_loss` and `penalty` are f.
        weights, hyper: The point; not changed, and must not be changed while this lives.
        batch: A training batch.
        buffers: The model's buffers; written to. None: copies of the model's.
        meter: Counts.
        track: Whether products will be asked for; without, only the gradient.
        again: Whether `regrad` will be asked for, too.
        whole: Whether `grads` has penalties and averages over processes in it; without, it is the bare loss's, and costs no copy.
    """

    def __init__(self, problem: Bilevel, weights: Weights, hyper: Hyper, batch: Any, *, buffers: Mapping[str, Tensor] | None = None,
                 meter: Meter | None = None, track: bool = True, again: bool = False, whole: bool = True) -> None:  # fmt: skip
        self.problem = problem
        self.values: Weights = {n: t.detach() for n, t in weights.items()}
        """Where the closed forms of `penalty` read the weights; tensors with the same numbers may take their place."""
        self.meter = meter or Meter()
        self.weights = {n: t.detach().requires_grad_() for n, t in weights.items()}
        self._hyper = {path: t.detach().requires_grad_(track) for path, t in leaves(hyper).items()}
        self.hyper = unflatten(self._hyper)
        with torch.enable_grad():
            loss = problem.train(self.weights, self.hyper, batch, buffers)
            some = _gradients(loss, list(self.weights.values()), "the training loss", create_graph=track)
            found = tuple(_own(g, w) for g, w in zip(some, self.weights.values(), strict=True))
        self.meter.grads += 1
        self.loss = loss.detach()
        self._loss = loss if again else None
        self.whole = whole
        self._ends = {n: _end(g) for n, g in zip(self.weights, found, strict=True) if track and g.requires_grad}
        self.grads: dict[str, Tensor] = (
            self._whole(found) if whole else {n: g.detach() for n, g in zip(self.weights, found, strict=True)}
        )
        """∇f with its penalties, without a graph; may be emptied once it is used, which frees its memory."""

    def vjp(
        self, q: Weights, *, weights: bool = True, hyper: bool = True, retain: bool = True, penalties: bool = True
    ) -> tuple[dict[str, Tensor], HyperGrads]:
        """Return (qᵀ∂²f/∂w², qᵀ∂²f/∂w∂λ), the parts asked for; both come from one pass. `retain=False` frees the graph.

        `penalties=False` leaves the penalties out of both.
        """
        outs = [(end, q[n]) for n, end in self._ends.items()]
        inputs = [*(self.weights.values() if weights else ()), *(self._hyper.values() if hyper else ())]
        found: tuple[Tensor | None, ...] = (None,) * len(inputs)
        if outs and inputs:
            with second_derivatives():
                found = torch.autograd.grad(
                    [end for end, _ in outs], inputs, [c for _, c in outs], retain_graph=retain, allow_unused=True
                )
            self.meter.hvps += weights
        rest = iter(apart(found, q.values()))
        products = {n: _own(next(rest), w) for n, w in self.weights.items()} if weights else {}
        cross = {path: g for path in self._hyper if (g := next(rest)) is not None} if hyper else {}
        if self.problem.reduce:
            self.problem.reduce([*products.values(), *cross.values()])
        plain_h = unflatten({k: t.detach() for k, t in self._hyper.items()})
        for penalty in self.problem.penalties if penalties else ():
            if weights:
                penalty.add_hvp_(products, q, plain_h)
            if hyper:
                add_into_(cross, penalty.cross(self.values, plain_h, q))
        return products, cross

    def hvp(self, q: Weights, *, retain: bool = True) -> dict[str, Tensor]:
        """Return Hq; fresh tensors, which the caller may change."""
        return self.vjp(q, hyper=False, retain=retain)[0]

    def cross(self, q: Weights, *, retain: bool = False) -> HyperGrads:
        """Return qᵀ∂²f/∂w∂λ."""
        return self.vjp(q, weights=False, retain=retain)[1]

    def regrad(self) -> dict[str, Tensor]:
        """Return `grads` anew, by a backward pass through the loss that was kept (`again`)."""
        assert self._loss is not None
        self.meter.grads += 1
        found = torch.autograd.grad(self._loss, list(self.weights.values()), retain_graph=True, materialize_grads=True)
        return self._whole(found) if self.whole else dict(zip(self.weights, found, strict=True))

    def _whole(self, found: tuple[Tensor, ...]) -> dict[str, Tensor]:
        grads = {n: g.detach() for n, g in zip(self.weights, found, strict=True)}
        if self.problem.penalties or self.problem.reduce:
            grads = {n: g.clone() for n, g in grads.items()}  # the graph may hold the gradients themselves
            self.complete_(grads)
        return grads

    def complete_(self, grads: Mapping[str, Tensor]) -> None:
        """Make ∇f of the bare loss's gradient, in place: average it over processes, and add the penalties."""
        if self.problem.reduce:
            self.problem.reduce(list(grads.values()))
        hyper = unflatten({path: t.detach() for path, t in self._hyper.items()})
        for penalty in self.problem.penalties:
            penalty.add_grad_(grads, self.values, hyper)


@final
class Step:
    """One update Φ of weights and optimizer state, and the product of covectors with its Jacobians A = ∂Φ/∂(w, s), B = ∂Φ/∂λ.

    Args:
        problem: Its `update` is applied to ∇f.
        weights, hyper, batch, meter, track: As for `Curvature`.
        state: Before the step.
    """

    def __init__(self, problem: Bilevel, weights: Weights, hyper: Hyper, batch: Any, state: State, *,
                 meter: Meter | None = None, track: bool = True) -> None:  # fmt: skip
        self.problem = problem
        self.before = state
        buffers = state.own_buffers()
        self.curvature = Curvature(problem, weights, hyper, batch, buffers=buffers, meter=meter, track=track)
        self.weights, self.hyper = dict(weights), hyper
        self._buffers = buffers
        self._diagonal: Cotangents | None = None

    @property
    def buffers(self) -> dict[str, Tensor]:
        """The model's buffers after the step."""
        return self._buffers

    def after(self) -> tuple[dict[str, Tensor], State]:
        """Return the weights and the state after the step, without a graph."""
        with torch.no_grad():
            new, state = self.problem.update(self.weights, self.curvature.grads, self.before, self.hyper)
        return new, replace(state, buffers=self._buffers)

    def vjp(self, cot_weights: Weights, cot_slots: Mapping[str, Weights] | None = None, *, weights: bool = True, slots: bool = True,
            hyper: bool = True, retain: bool = True) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]], HyperGrads]:  # fmt: skip
        """Return (aᵀ∂Φ/∂w, aᵀ∂Φ/∂s, aᵀ∂Φ/∂λ) for the covector a = (cot_weights, cot_slots), the parts asked for."""
        through = self._through(cot_weights, cot_slots, weights, slots, hyper, retain)
        products, cross = self.curvature.vjp(through.grads, weights=weights, hyper=hyper, retain=retain)
        add_direct_(products, through)
        if hyper:
            add_into_(cross, through.hyper)
        return products, through.slots, cross

    def _through(self, a: Weights, slots_a: Mapping[str, Weights] | None, weights: bool, slots: bool, hyper: bool, retain: bool) -> Cotangents:  # fmt: skip
        """Return the cotangents through the update alone; many covectors for the weights share one diagonal Jacobian."""
        update, at = self.problem.update, (self.weights, self.curvature.grads, self.before, self.hyper)
        if slots or hyper or slots_a or not retain or not update.elementwise:
            self._diagonal = self._diagonal if retain else None
            wanted = {Part.WEIGHTS: weights, Part.SLOTS: slots, Part.HYPER: hyper}
            parts = functools.reduce(operator.or_, (part for part, yes in wanted.items() if yes), Part(0))
            return update.vjp(*at, a, slots_a, parts=parts, lean=True)
        if self._diagonal is None:
            self._diagonal = diagonal(update, *at)
        kept = self._diagonal
        return replace(
            kept,
            grads={n: a[n] * t for n, t in kept.grads.items()},
            weights={n: a[n] * kept.weights[n] if n in kept.weights else a[n] for n in kept.grads},
        )


@final
class ValGrad:
    """F and its derivatives at (w, λ) on one batch: `loss`, `weights` (∂F/∂w), `hyper` (∂F/∂λ, where F depends on λ itself)."""

    def __init__(self, problem: Bilevel, weights: Weights, hyper: Hyper, batch: Any, *,
                 buffers: Mapping[str, Tensor] | None = None, meter: Meter | None = None) -> None:  # fmt: skip
        own = {n: t.detach().requires_grad_() for n, t in weights.items()}
        flat = {path: t.detach().requires_grad_() for path, t in leaves(hyper).items()}
        with torch.enable_grad():
            loss = problem.val(own, unflatten(flat), batch, buffers)
            found = _gradients(loss, [*own.values(), *flat.values()], "the validation loss", among=len(own))
        if meter:
            meter.grads += 1
        rest = iter(apart(found, [*own.values(), *flat.values(), *tensors_in(batch)]))
        self.loss = loss.detach()
        self.weights: dict[str, Tensor] = {n: _own(next(rest), w) for n, w in own.items()}
        self.hyper: HyperGrads = {path: g for path in flat if (g := next(rest)) is not None}
        if problem.reduce:
            problem.reduce([self.loss, *self.weights.values(), *self.hyper.values()])


def add_direct_(products: Mapping[str, Tensor], through: Cotangents) -> None:
    """Add to products with the Hessian, in place, what reaches the weights directly, not through the gradient (`lean` or not)."""
    for name, product in products.items():
        factor = through.factors.get(name, 1.0)
        if isinstance(factor, Tensor):
            product.addcmul_(through.weights[name], factor)
        else:
            product.add_(through.weights[name], alpha=factor)


def add_into_(total: HyperGrads, more: Mapping[tuple[str, ...], Tensor], scale: float = 1.0) -> None:
    """Add scale·more to `total`, in place where a path is there already."""
    for path, tensor in more.items():
        if path in total:
            total[path] = torch.add(total[path], tensor, alpha=scale)
        else:
            total[path] = tensor * scale if scale != 1.0 else tensor


@contextlib.contextmanager
def second_derivatives() -> Iterator[None]:
    """Say in words, within it, which operation of the training loss has no second derivative.

    Raises:
        HypergradError: one has none.
    """
    try:
        yield
    except RuntimeError as error:  # NotImplementedError is one
        if "not implemented" not in str(error) and "double backward" not in str(error):
            raise
        raise HypergradError(
            f"the training loss has no second derivative: {str(error).splitlines()[0].rstrip('.')}",
            "write that operation out of others, or take FirstOrder(), which needs none",
        ) from error


def _gradients(
    loss: Tensor, inputs: list[Tensor], what: str, *, among: int | None = None, create_graph: bool = False
) -> tuple[Tensor | None, ...]:
    """Return the derivatives of a loss, of which the first `among` (all by default) must not all be missing."""
    if loss.requires_grad:
        found: tuple[Tensor | None, ...] = torch.autograd.grad(
            loss, inputs, create_graph=create_graph, allow_unused=True
        )
        if any(g is not None for g in found[:among]):
            return found
    raise HypergradError(f"{what} does not depend on the weights", "compute it from the model that is passed in")


def _end(grad: Tensor) -> Any:
    # An edge of the graph does not keep the tensor's memory alive. Older versions take tensors only.
    return get_gradient_edge(grad) if torch.__version__ >= (2, 7) else grad


def _own(grad: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like, requires_grad=False) if grad is None else grad
