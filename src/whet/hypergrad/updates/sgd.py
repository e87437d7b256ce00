"""Stochastic gradient descent with momentum, Nesterov's momentum and weight decay, as `torch.optim.SGD` does it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from whet.hypergrad.tensors import Hyper, Weights
from whet.hypergrad.updates.algebra import Coefficient, combine, dot, give, is_scalar, is_zero, knob, madd, named
from whet.hypergrad.updates.base import Cotangents, Part, Setting, State, Update, setting, slot
from whet.hypergrad.updates.inplace import chunks, knobs, madd_, madds, mul_, zero

__all__ = ["SGD"]

_BUFFER = "momentum_buffer"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SGD(Update):
    """m ← μm + (1 − τ)(g + ξw), w ← w − ηm (Nesterov: w − η(g + ξw + μm)); the first m is g + ξw itself, as in PyTorch.

    Args:
        lr: η >= 0.
        momentum: μ in [0, 1). The number 0 keeps no buffer.
        dampening: τ.
        weight_decay: ξ >= 0, the coefficient of ½ξ‖w‖².
        nesterov: Look ahead by one momentum step.
        maximize: Go up the gradient, not down.

    Example:
        >>> update, w, g = SGD(lr="lr"), {"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}
        >>> update(w, g, update.init(w), {"lr": torch.tensor(0.25)})[0]
        {'w': tensor([0.5000])}

    Source: Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013; PyTorch's form.
    """

    lr: Setting = 1e-3
    momentum: Setting = 0.0
    dampening: float = 0.0
    weight_decay: Setting = 0.0
    nesterov: bool = False
    maximize: bool = False

    def init(self, weights: Weights) -> State:
        return State(
            slots={} if self.momentum == 0 else {_BUFFER: {n: torch.zeros_like(w) for n, w in weights.items()}}
        )

    def __call__(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> tuple[dict[str, Tensor], State]:
        new, buffers = {}, {}
        for name, weight in weights.items():
            lr, momentum, decay = (setting(s, name, hyper, weight) for s in self._settings)
            direction = -grads[name] if self.maximize else grads[name]
            if not is_zero(decay):
                direction = madd(direction, weight, decay)
            if self.momentum != 0:
                buffer = torch.add(slot(state, _BUFFER, name) * momentum, direction, alpha=self._fresh(state))
                buffers[name] = buffer
                direction = madd(direction, buffer, momentum) if self.nesterov else buffer
            new[name] = madd(weight, direction, -lr)
        slots: Mapping[str, Weights] = {_BUFFER: buffers} if buffers else {}
        return new, replace(state, step=state.step + 1, slots=slots)

    def step_(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> State:
        with torch.no_grad():
            for names in chunks(weights):
                lr, momentum, decay = (knobs(s, names, hyper, weights) for s in self._settings)
                moved, ds = [weights[n] for n in names], [grads[n] for n in names]
                if self.maximize:
                    ds = list(torch._foreach_neg(ds))
                if not zero(decay):
                    ds = madds(ds, moved, decay)
                if self.momentum != 0:
                    buffers = [slot(state, _BUFFER, n) for n in names]
                    mul_(buffers, momentum)
                    madd_(buffers, ds, self._fresh(state))
                    ds = madds(ds, buffers, momentum) if self.nesterov else buffers
                madd_(moved, ds, lr, -1.0)
        return replace(state, step=state.step + 1)

    def vjp(self, weights: Weights, grads: Weights, state: State, hyper: Hyper, cot_weights: Weights,
            cot_slots: Mapping[str, Weights] | None = None, *, parts: Part = Part.ALL, lean: bool = False) -> Cotangents:  # fmt: skip
        factors: dict[str, Coefficient] = {}
        found = Cotangents(weights={}, grads={}, slots={}, hyper={}, factors=factors)
        cot_buffers = (cot_slots or {}).get(_BUFFER, {})
        keeps = self.momentum != 0
        if keeps and Part.SLOTS in parts:
            found.slots[_BUFFER] = {}
        with torch.no_grad():
            for name, weight in weights.items():
                lr, momentum, decay = (knob(s, name, hyper, weight) for s in self._settings)
                fresh = self._fresh(state) if keeps else 1.0
                at = _Here(
                    weight=weight, grad=grads[name], buffer=slot(state, _BUFFER, name) if keeps else None,
                    lr=lr, momentum=momentum, decay=decay, fresh=fresh, sign=-1.0 if self.maximize else 1.0,
                    ahead=fresh * momentum + 1.0 if self.nesterov and keeps else fresh,
                    past=momentum if self.nesterov else 1.0,
                )  # fmt: skip
                a, b = cot_weights[name], cot_buffers.get(name) if keeps else None
                cot_d = combine(b if b is None or fresh == 1 else b * fresh, a, -1.0, lr, at.ahead)
                found.grads[name] = -cot_d if self.maximize else cot_d
                if keeps and Part.SLOTS in parts:
                    found.slots[_BUFFER][name] = at.to_buffer(a, b, cot_d)
                if Part.HYPER in parts:
                    for value, x, y in at.to_knobs(self, a, b, cot_d):
                        give(found.hyper, value, name, hyper, x, y)
                if Part.WEIGHTS not in parts:
                    continue
                if is_zero(decay):
                    found.weights[name] = a if lean else a.clone()
                elif lean and b is None and at.flat:  # (1 − ηκξ)a: the caller multiplies while it adds
                    found.weights[name], factors[name] = a, 1.0 - lr * at.ahead * decay
                else:
                    found.weights[name] = combine(a, cot_d, decay)
        return found

    @property
    def reads_grads(self) -> bool:
        return named(self.lr) or named(self.momentum)

    @property
    def _settings(self) -> tuple[Setting, Setting, Setting]:
        return self.lr, self.momentum, self.weight_decay

    def _fresh(self, state: State) -> float:
        # In PyTorch the first buffer is the gradient itself: no dampening, and the zeros before it do not count.
        return 1.0 if state.step == 0 else 1.0 - self.dampening


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Here:
    """One weight's step with d = ±g + ξw: m′ = μm + cd, u = κd + ρμm, w′ = w − ηu, where κ is `ahead`, ρ `past` and c `fresh`."""

    weight: Tensor
    grad: Tensor
    buffer: Tensor | None
    lr: Coefficient
    momentum: Coefficient
    decay: Coefficient
    fresh: float
    sign: float
    ahead: Coefficient
    past: Coefficient

    @property
    def flat(self) -> bool:
        """Whether no knob is one a weight."""
        return is_scalar(self.lr) and is_scalar(self.momentum) and is_scalar(self.decay)

    def to_buffer(self, a: Tensor, b: Tensor | None, cot_d: Tensor) -> Tensor:
        """Return μ times the cotangent of m′, which is b − ηρa."""
        if self.fresh == 1 and not isinstance(self.past, Tensor) and self.past == 1:
            return cot_d * self.momentum
        return combine(None if b is None else b * self.momentum, a, -1.0, self.lr, self.past, self.momentum)

    def to_knobs(self, update: SGD, a: Tensor, b: Tensor | None, cot_d: Tensor) -> Iterator[tuple[Setting, Tensor, Tensor | None]]:  # fmt: skip
        """Yield the cotangents of the named knobs, each as one tensor or as two whose product it is."""
        nesterov = update.nesterov and self.buffer is not None
        rest = named(update.lr) or named(update.momentum)
        if self.flat:  # a few inner products are all that is needed
            a_w = dot(a, self.weight) if named(update.weight_decay) or (rest and not is_zero(self.decay)) else 0.0
            if named(update.weight_decay):
                yield update.weight_decay, -self.lr * self.ahead * a_w if b is None else dot(cot_d, self.weight), None
            if not rest:
                return
            a_d = self.sign * dot(a, self.grad) + self.decay * a_w
            a_m = 0.0 if self.buffer is None else dot(a, self.buffer)
            yield update.lr, -(self.ahead * a_d + self.past * self.momentum * a_m), None
            if self.buffer is not None:
                to_momentum = -self.lr * self.past * a_m + (0.0 if b is None else dot(b, self.buffer))
                if nesterov:
                    to_momentum = to_momentum - self.lr * (self.momentum * a_m + self.fresh * a_d)
                yield update.momentum, to_momentum, None
            return
        yield update.weight_decay, cot_d, self.weight
        if not rest:
            return
        d = self.grad if self.sign == 1 else -self.grad
        d = d if is_zero(self.decay) else combine(d, self.weight, self.decay)
        if self.buffer is None:
            yield update.lr, -a, d
            return
        after = combine(d if self.fresh == 1 else d * self.fresh, self.buffer, self.momentum)
        yield update.lr, -a, combine(d, after, self.momentum) if nesterov else after
        if named(update.momentum):
            yield update.momentum, combine(b, a, -1.0, self.lr, self.past), self.buffer
            if nesterov:
                yield update.momentum, combine(None, a, -1.0, self.lr), after
