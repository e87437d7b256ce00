"""Baydin's hypergradient descent: the learning rate follows the product of two gradients in a row. No validation data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any, Unpack, final

import torch
from torch import Tensor, nn

from whet.errors import HypergradError
from whet.hypergrad.base import HyperGrad, finished
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.linear import Meter
from whet.hypergrad.optimizers.arguments import choice, number
from whet.hypergrad.optimizers.base import Common, HyperOptimizer
from whet.hypergrad.optimizers.inner import Groups
from whet.hypergrad.optimizers.loaders import to_device
from whet.hypergrad.tensors import Weights, detached, leaves, norm
from whet.hypergrad.updates.base import Part, State, Update

__all__ = ["Form", "HypergradientDescent"]


class Form(Enum):
    """How the learning rate moves along h = ∇f_t · ∂w_t/∂η."""

    ADDITIVE = "additive"  # raw ← raw − β h, whatever raw's transform is
    MULTIPLICATIVE = "multiplicative"  # η ← η (1 − β h/(‖∇f_t‖ ‖∂w_t/∂η‖))
    GRADIENT = "gradient"  # h goes through the transform to raw's gradient, and `outer` moves raw


@final
class HypergradientDescent(HyperOptimizer):
    """At every step, before the weights move: h = ∇f_t · ∂Φ_{t−1}/∂η, for SGD −∇f_t · ∇f_{t−1}; then η moves against h.

    For learning rates, and other knobs of the update, of any optimizer that Whet can differentiate. It looks at the training loss
    alone, one step ahead: cheap (a pass over the weights, no product with a Hessian), with a short horizon. When not: anything that
    the training loss always wants less of, such as weight decay.

    Args:
        model, optimizer, train_loss, hyper: As for `HyperOptimizer`. Every hyperparameter that is tuned is a knob of the optimizer.
        val_loss: Accepted, and not looked at.
        every: Weight steps for one hyper-step.
        beta: β > 0.
        form: "additive" on raw (so on log10 η with that transform), "multiplicative" as the paper's alternative, or "gradient" for the
            true gradient by raw and an `outer` of your own (which implies it).
        common: As for `HyperOptimizer`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x, model = torch.randn(64, 3), nn.Linear(3, 1)
        >>> from whet.hypergrad.hyperparameter import Hyperparameter
        >>> opt = HypergradientDescent(model, torch.optim.SGD(model.parameters()), beta=0.02,
        ...                            train_loss=lambda model, x: ((model(x) - x.sum(1, keepdim=True)) ** 2).mean(),
        ...                            hyper={"lr": Hyperparameter(1e-3, transform="log10")})
        >>> for _ in range(50):
        ...     result = opt.step(x)
        >>> opt.hyper.summary()["lr"] > 1e-2
        True

    Source: Baydin et al., Online Learning Rate Adaptation with Hypergradient Descent, ICLR 2018.
    """

    needs_val = False

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer | Update, *, train_loss: Any, val_loss: Any = None,
        hyper: Hyperparameters | Mapping[str, Any], every: float = 1, beta: float = 1e-3, form: Form | str = "additive",
        **common: Unpack[Common],
    ) -> None:  # fmt: skip
        self.beta, self.form = number("beta", beta), choice("form", form, Form)
        if common.get("outer") is not None:
            self.form = Form.GRADIENT
        elif self.form is not Form.GRADIENT:
            common["outer"] = lambda raws: torch.optim.SGD(raws, lr=beta if self.form is Form.ADDITIVE else 1.0)
        super().__init__(model, optimizer, train_loss=train_loss, val_loss=val_loss or train_loss, hyper=hyper, every=every, **common)  # fmt: skip
        if outside := [n for n in self._values if n not in self._inner.update().hyper_names]:
            raise HypergradError(f"the hyperparameter {outside[0]!r} is no knob of the optimizer",
                                 "tune by hypergradient descent what is in the update, and the rest by OnePass, say")  # fmt: skip
        if self.form is Form.MULTIPLICATIVE and (len(self._raws) > 1 or self._raws[0].dim()):
            raise HypergradError(
                "the multiplicative form is for one number", 'give one learning rate, or form="additive"'
            )
        self._last: dict[str, Any] | None = None
        """What the last weight step was made from, if this one may be a hyper-step."""
        self._cosine = 0.0

    def _weight_step(self, batch: Any) -> Tensor:
        loss = self._gradient(batch)
        self._keep()
        self._inner.step(self._values)
        return loss

    def _hyper_step(self, train_batch: Any, val_batch: Any) -> tuple[Tensor, HyperGrad | None]:
        loss = self._gradient(train_batch)
        found = None
        if self._last is not None:  # as it is at the first step
            found = self._move_hyper(self._product(loss, **self._last))
            self._refresh()
        self._keep()
        self._inner.step(self._values)
        return loss, found

    def _product(
        self, loss: Tensor, weights: Weights, grads: Weights, step: int, slots: Any, groups: Groups
    ) -> HyperGrad:
        """Return h: the covector ∇f_t sent back through the last step, to the knobs alone."""
        update, now = self._inner.update(groups), self._grads()
        through = update.vjp(weights, grads, State(step=step, slots=slots), self._values, now, parts=Part.HYPER)
        if self.form is Form.MULTIPLICATIVE:
            (h,), (lr,) = through.hyper.values(), leaves(self._values).values()
            moved = norm([self._memory[n] - w for n, w in weights.items()])  # η ‖∂w_t/∂η‖, since w_t is linear in η
            size = norm(list(now.values())) * moved
            self._cosine = float(h * lr) / size if size else 0.0
        return finished(self._values, dict(through.hyper), what="the update", loss=loss, meter=Meter(grads=1))

    def _keep(self) -> None:
        self._last = None
        if self.every != math.inf and (self.num_steps + 2) % self.every == 0:
            state = self._inner.slots(self._inner.update()).detached(copy=True)
            self._last = {
                "weights": detached(self._memory, copy=True), "grads": detached(self._grads(), copy=self._spoils_grads),
                "step": state.step, "slots": {k: dict(g) for k, g in state.slots.items()}, "groups": self._inner.groups(),
            }  # fmt: skip

    def _grads(self) -> dict[str, Tensor]:
        return {n: torch.zeros_like(w) if w.grad is None else w.grad for n, w in self._inner.weights.items()}

    def _fill(self, found: HyperGrad) -> None:
        if self.form is Form.GRADIENT:
            super()._fill(found)
        elif self.form is Form.ADDITIVE:
            for name, grad in found.grads.items():
                for key, raw in self.hyper[name].raw.items():
                    raw.grad = (grad[key] if isinstance(grad, Mapping) else grad).reshape(raw.shape).clone()
        else:
            (h,) = (self.hyper[name] for name in found.grads)
            (raw,) = h.raw.values()
            with torch.no_grad():
                raw.grad = raw - h.transform.inverse(h.transform.forward(raw) * (1 - self.beta * self._cosine))

    def _own_state(self) -> dict[str, Any]:
        return {"last": self._last}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._last = to_device(state["last"], next(iter(self._memory.values())).device)
