"""HOAG: hypergradients from inner problems and linear systems that are solved ever more exactly, with a step that adapts."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, Unpack, final

import torch
from torch import Tensor, nn

from whet.errors import HypergradError
from whet.hypergrad.base import HyperGrad, kept_rng
from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.implicit import implicit_through
from whet.hypergrad.linear import Curvature, Meter, ValGrad
from whet.hypergrad.optimizers.arguments import choice, needs_no_closure, number, whole
from whet.hypergrad.optimizers.base import Common, HyperOptimizer
from whet.hypergrad.optimizers.loaders import to_device
from whet.hypergrad.problem import plain
from whet.hypergrad.solve.cg import CG
from whet.hypergrad.tensors import detached, norm
from whet.hypergrad.updates.base import Update

__all__ = ["HOAG", "Schedule"]

_C = 0.25
_BOX = 6.0


class Schedule(Enum):
    """How the tolerance falls from step to step, k = 1, 2, …"""

    EXPONENTIAL = "exponential"  # ε₀·0.9ᵏ
    QUADRATIC = "quadratic"  # ε₀/k²
    CUBIC = "cubic"  # ε₀/k³
    EXACT = "exact"  # as good as rounding allows


@final
class HOAG(HyperOptimizer):
    """Solve min f to ‖∇f‖ < ε_k ‖∇f₀‖ and Hq = ∂F/∂w to ε_k, both from where the last ones ended; then λ ← P(λ − g/L), on raw values.

    L begins as ‖g‖/√n. A step that lowers F as it should makes L ×0.95; one that raises F by a fifth is taken back, with L ×2 and ε ÷2.
    Σ ε_k is finite in all schedules, which the proof of convergence needs. For smooth training losses with a minimum, on full batches,
    and hyperparameters of the loss or its penalties; give them a logarithmic transform. When not: networks on mini-batches.

    Args:
        model, train_loss, val_loss, hyper: As for `HyperOptimizer`.
        optimizer: What solves the inner problem: an `LBFGS` (its settings are used; the default), or any other, step by step.
        schedule: "exponential", "quadratic", "cubic" or "exact".
        tolerance: ε₀ > 0.
        box: The least and the greatest raw value; None: -6 and 6, or the start if that is beyond, where a hyperparameter has no `low` or
            `high` of its own.
        max_inner: Gradients of f in one inner problem.
        max_products: Products with the Hessian in one linear system.
        common: As for `HyperOptimizer`; there is no `outer`, since HOAG has a step of its own, and no `every`: each step solves anew.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x, y, model = torch.randn(40, 20), torch.randn(40, 1), nn.Linear(20, 1)  # there is nothing to learn: decay helps
        >>> from whet.hypergrad.hyperparameter import Hyperparameter
        >>> from whet.hypergrad.penalties import L2
        >>> loss = lambda model, batch: ((model(batch[0]) - batch[1]) ** 2).mean()
        >>> opt = HOAG(model, train_loss=loss, val_loss=loss, hyper={"decay": Hyperparameter(1e-2, transform="exp")}, penalty=L2(strength="decay"))
        >>> for _ in range(20):
        ...     result = opt.step((x[:20], y[:20]), (x[20:], y[20:]))
        >>> opt.hyper.summary()["decay"] > 1
        True

    Source: Pedregosa, Hyperparameter Optimization with Approximate Gradient, ICML 2016, and its author's code.
    """

    _uses_update = False

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer | Update | None = None, *, train_loss: Any, val_loss: Any,
        hyper: Hyperparameters | Mapping[str, Any], schedule: Schedule | str = "exponential", tolerance: float = 1e-3,
        box: tuple[float, float] | None = None, max_inner: int = 1000, max_products: int = 1000, **common: Unpack[Common],
    ) -> None:  # fmt: skip
        if common.get("outer") is not None:
            raise HypergradError(
                "HOAG was given outer=, and moves hyperparameters by a step of its own", "leave outer= out"
            )
        if "every" in common:
            raise HypergradError(
                "HOAG was given every=, and each of its steps is a hyper-step: it trains to the minimum first",
                "leave every= out; max_inner= bounds that training",
            )
        if box is not None and not (isinstance(box, tuple | list) and len(box) == 2 and box[0] < box[1]):
            raise HypergradError(f"box={box!r}", "give the least and the greatest raw value, in this order, or None")
        if not isinstance(optimizer, torch.optim.LBFGS):
            needs_no_closure(optimizer, "HOAG")
        common["outer"] = lambda raws: torch.optim.SGD(raws, lr=1.0)
        if optimizer is None:
            free = [p for p in plain(model).parameters() if p.requires_grad]
            optimizer = torch.optim.LBFGS(free, line_search_fn="strong_wolfe") if free else optimizer
        self.schedule, self.box = choice("schedule", schedule, Schedule), box
        self.tolerance = number("tolerance", tolerance)
        self.max_inner, self.max_products = whole("max_inner", max_inner, 1), whole("max_products", max_products, 1)
        self._lbfgs = dict(optimizer.defaults) if isinstance(optimizer, torch.optim.LBFGS) else None
        super().__init__(model, optimizer, train_loss=train_loss, val_loss=val_loss, hyper=hyper, every=1, **common)
        self._boxes = [(list(h.raw.values()), self._box_of(h)) for h in self.hyper.values() if h.tune]
        self._shrunk = 1.0  # by steps that were taken back
        self._first_norm: float | None = None  # ‖∇f₀‖
        self._lipschitz: float | None = None  # L
        self._old: dict[str, Any] | None = None  # the last step that was not taken back
        self._warm: dict[str, Tensor] | None = None

    @property
    def epsilon(self) -> float:
        """The tolerance of the next step."""
        k = self.num_steps + 1
        floor = math.sqrt(
            torch.finfo(next(iter(self._memory.values())).dtype).eps
        )  # the loss says no more of the gradient
        falls = {
            Schedule.EXPONENTIAL: 0.9**k,
            Schedule.QUADRATIC: 1 / k**2,
            Schedule.CUBIC: 1 / k**3,
            Schedule.EXACT: 0.0,
        }
        return max(self.tolerance * falls[self.schedule] * self._shrunk, floor)

    def _hyper_step(self, train_batch: Any, val_batch: Any) -> tuple[Tensor, HyperGrad]:
        val_batch, epsilon, meter = self._taken(val_batch), self.epsilon, Meter()
        note = self._solve(train_batch, epsilon, meter)
        problem = self.problem
        at = Curvature(problem, self._memory, self._values, train_batch, meter=meter)
        solve = CG(tol=epsilon, max_steps=self.max_products)
        with kept_rng(self._memory):
            val = ValGrad(problem, self._memory, self._values, val_batch, meter=meter)
            found = implicit_through(at, val, solve, self._values, meter=meter, warm=self._warm)
        self._inner.zero_grad()
        if self._taken_back(float(found.loss), epsilon):
            lost = not math.isfinite(found.loss)
            note += f"; F = {float(found.loss):.4g} is {'no number' if lost else 'a fifth more than before'}: the step was taken back"
            found = replace(found, notes=_joined(found.notes, note), solution=None)
            if lost:
                return at.loss, self._move_hyper(found)  # which moves nothing, and counts it
            self._tell(found.notes)
            return at.loss, found
        self._warm = found.solution
        return at.loss, self._move_hyper(replace(found, notes=_joined(found.notes, note)))

    def _taken_back(self, loss: float, epsilon: float) -> bool:
        """Adapt L by what the last step did to F; return whether it was undone."""
        old = self._old
        if old is not None and self._lipschitz is not None:
            moved = norm([raw.detach() - was for raw, was in zip(self._raws, old["raws"], strict=True)])
            if not loss <= old["loss"] + 0.2 * abs(old["loss"]):
                self._lipschitz *= 2
                self._shrunk /= 2
                self._restore(old)
                return True
            gain = self._lipschitz * moved**2 - old["epsilon"] * (_C + 1) * moved - _C * epsilon
            if loss <= old["loss"] - gain:
                self._lipschitz *= 0.95
        if math.isfinite(loss):
            self._old = {
                "loss": loss, "epsilon": epsilon, "raws": [raw.detach().clone() for raw in self._raws],
                "weights": detached(self._memory, copy=True), "buffers": detached(dict(self._plain.named_buffers()), copy=True),
                "inner": {k: copy.deepcopy(v) for k, v in self._inner.state_dict().items() if k != "param_groups"},
            }  # fmt: skip
        return False

    def _restore(self, old: Mapping[str, Any]) -> None:
        self._warm = None
        with torch.no_grad():
            for raw, was in zip(self._raws, old["raws"], strict=True):
                raw.copy_(was)
            for name, weight in self._memory.items():
                weight.copy_(old["weights"][name])
        self._inner.put_buffers(old["buffers"])
        self._inner.load_state_dict({**self._inner.state_dict(), **copy.deepcopy(old["inner"])})

    def _box_of(self, h: Hyperparameter) -> tuple[float | None, float | None]:
        if self.box is not None:
            return self.box
        raws = [raw.detach() for raw in h.raw.values() if raw.numel()]
        low = min((float(raw.min()) for raw in raws), default=0.0)
        high = max((float(raw.max()) for raw in raws), default=0.0)
        return (None if h.low is not None else min(-_BOX, low)), (None if h.high is not None else max(_BOX, high))

    def _outer_step(self) -> None:
        grads = [torch.zeros_like(raw) if raw.grad is None else raw.grad for raw in self._raws]
        if self._lipschitz is None:
            self._lipschitz = norm(grads) / math.sqrt(sum(g.numel() for g in grads)) or 1.0
        for raw, grad in zip(self._raws, grads, strict=True):
            raw.detach().sub_(grad, alpha=1 / self._lipschitz)
        for raws, (low, high) in self._boxes:
            for raw in raws:
                raw.detach().clamp_(-math.inf if low is None else low, high)
        self.hyper.clip_()

    # -- the inner problem ------------------------------------------------------------------------------------------------

    def _solve(self, batch: Any, epsilon: float, meter: Meter) -> str:
        """Train until ‖∇f‖ is small enough; return what is to be said if that did not happen."""
        sizes: list[float] = []

        def solved(grads: Mapping[str, Tensor]) -> bool:
            meter.grads += 1
            sizes.append(norm(list(grads.values())))  # infinite if one of them is no number
            if self._first_norm is None and math.isfinite(sizes[-1]):
                self._first_norm = sizes[-1]
            return sizes[-1] <= epsilon * (self._first_norm or 0.0)

        done = self._by_lbfgs(batch, solved) if self._lbfgs is not None else self._by_steps(batch, solved, sizes)
        if done:
            return ""
        wanted = epsilon * (self._first_norm or 0.0)
        return f"the inner problem was solved to ‖∇f‖ = {sizes[-1]:.2g}, not {wanted:.2g}, after {len(sizes)} gradients (max_inner={self.max_inner})"

    def _by_steps(self, batch: Any, solved: Callable[[Mapping[str, Tensor]], bool], sizes: list[float]) -> bool:
        for _ in range(self.max_inner):
            self._gradient(batch)
            if solved({n: w.grad for n, w in self._inner.weights.items() if w.grad is not None}):
                return True
            if not math.isfinite(sizes[-1]):
                return False  # steps would only spread it
            self._inner.step(self._values)
        return False

    def _by_lbfgs(self, batch: Any, solved: Callable[[Mapping[str, Tensor]], bool]) -> bool:
        problem = self.problem

        def closure() -> Tensor:
            buffers = dict(self._plain.named_buffers())
            at = Curvature(problem, self._memory, self._values, batch, buffers=buffers, track=False)
            self._inner.put_buffers(buffers)
            if solved(at.grads):
                raise _Solved  # the weights are those that the gradient was computed at
            loss = at.loss + sum(p.loss(self._memory, self._values) for p in problem.penalties)
            if problem.reduce:
                problem.reduce([loss])
            for name, weight in self._inner.weights.items():
                weight.grad = at.grads[name]
            return loss

        assert self._lbfgs is not None
        kept = {k: self._lbfgs[k] for k in ("lr", "history_size", "line_search_fn")}
        # New for each inner problem: its memory of the last one's curvature would mislead it. No stopping rule but ours.
        solver = torch.optim.LBFGS(list(self._inner.weights.values()), **kept, max_iter=self.max_inner, max_eval=self.max_inner,
                                   tolerance_grad=0.0, tolerance_change=1e-30)  # fmt: skip
        try:
            solver.step(closure)
        except _Solved:
            return True
        return False

    def _own_state(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in _KEPT}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        device = next(iter(self._memory.values())).device
        for key in _KEPT:
            setattr(self, key, to_device(state[key], device))


_KEPT = ("_shrunk", "_first_norm", "_lipschitz", "_old", "_warm")


class _Solved(Exception):
    """The gradient is small enough."""


def _joined(notes: tuple[str, ...], note: str) -> tuple[str, ...]:
    note = note.removeprefix("; ")
    return (*notes, note) if note else notes
