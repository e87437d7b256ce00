"""What Adam and AdamW share: running means of the gradient and of its square."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from whet.hypergrad.tensors import Hyper, Weights
from whet.hypergrad.updates.algebra import (
    Coefficient,
    combine,
    decayed_square,
    give,
    is_scalar,
    is_zero,
    knob,
    madd,
    named,
    safe_sqrt,
)
from whet.hypergrad.updates.base import Cotangents, Part, Setting, State, Update, setting, slot
from whet.hypergrad.updates.inplace import (
    add_ratio_,
    add_square_,
    chunks,
    div_,
    each,
    knobs,
    lerp_,
    madds,
    mul_,
    plus_,
    zero,
)

__all__ = ["Moments"]

_M, _V, _MAX = "exp_avg", "exp_avg_sq", "max_exp_avg_sq"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments(Update):
    """w ← w − η/(1 − β₁ᵗ) · m/(√v/√(1 − β₂ᵗ) + ε) with running means m of g and v of g²."""

    lr: Setting = 1e-3
    beta1: Setting = 0.9
    beta2: Setting = 0.999
    eps: Setting = 1e-8
    weight_decay: Setting = 0.0
    amsgrad: bool = False
    maximize: bool = False

    @property
    def decoupled(self) -> bool:
        """Whether weight decay shrinks the weights themselves and stays out of the gradient."""
        raise NotImplementedError

    def init(self, weights: Weights) -> State:
        return State(slots={kind: {n: torch.zeros_like(w) for n, w in weights.items()} for kind in self._kinds})

    def __call__(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> tuple[dict[str, Tensor], State]:
        new: dict[str, Tensor] = {}
        slots: dict[str, dict[str, Tensor]] = {kind: {} for kind in self._kinds}
        t = float(state.step + 1)
        for name, weight in weights.items():
            lr, beta1, beta2, eps, decay = (setting(s, name, hyper, weight) for s in self._settings)
            grad = -grads[name] if self.maximize else grads[name]
            if not is_zero(decay):
                if self.decoupled:
                    weight = weight * (1 - lr * decay)
                else:
                    grad = madd(grad, weight, decay)
            m = torch.lerp(slot(state, _M, name), grad, 1 - beta1)
            v = decayed_square(slot(state, _V, name), grad, beta2)
            slots[_M][name], slots[_V][name] = m, v
            if self.amsgrad:
                v = slots[_MAX][name] = torch.maximum(slot(state, _MAX, name), v)
            denominator = safe_sqrt(v) / (1 - beta2**t) ** 0.5 + eps
            size = lr / (1 - beta1**t)
            if isinstance(size, Tensor):
                new[name] = torch.addcdiv(weight, m * size, denominator, value=-1)
            else:
                new[name] = torch.addcdiv(weight, m, denominator, value=-size)
        return new, replace(state, step=state.step + 1, slots=slots)

    def step_(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> State:
        t = float(state.step + 1)
        with torch.no_grad():
            for names in chunks(weights):
                lr, beta1, beta2, eps, decay = (knobs(s, names, hyper, weights) for s in self._settings)
                moved, ds = [weights[n] for n in names], [grads[n] for n in names]
                m, v = ([slot(state, kind, n) for n in names] for kind in (_M, _V))
                if self.maximize:
                    ds = list(torch._foreach_neg(ds))
                if not zero(decay):
                    if self.decoupled:
                        mul_(moved, each(lambda lr, decay: 1 - lr * decay, lr, decay))
                    else:
                        ds = madds(ds, moved, decay)
                lerp_(m, ds, each(lambda b: 1 - b, beta1))
                mul_(v, beta2)
                add_square_(v, ds, each(lambda b: 1 - b, beta2))
                if self.amsgrad:
                    top = [slot(state, _MAX, n) for n in names]
                    torch._foreach_maximum_(top, v)
                    v = top
                denominators = list(torch._foreach_sqrt(v))
                div_(denominators, each(lambda b: (1 - b**t) ** 0.5, beta2))
                plus_(denominators, eps)
                add_ratio_(moved, m, denominators, each(lambda lr, b: -(lr / (1 - b**t)), lr, beta1))
        return replace(state, step=state.step + 1)

    def vjp(self, weights: Weights, grads: Weights, state: State, hyper: Hyper, cot_weights: Weights,
            cot_slots: Mapping[str, Weights] | None = None, *, parts: Part = Part.ALL, lean: bool = False) -> Cotangents:  # fmt: skip
        factors: dict[str, Coefficient] = {}
        found = Cotangents(weights={}, grads={}, slots={}, hyper={}, factors=factors)
        if Part.SLOTS in parts:
            found.slots.update({kind: {} for kind in self._kinds})
        with torch.no_grad():
            for name, weight in weights.items():
                a = cot_weights[name]
                cots = {kind: c[name] for kind, c in (cot_slots or {}).items() if name in c}
                at = self._at(name, weight, grads[name], state, hyper)
                back = at.back(a, cots)
                to_d = back.to_d
                found.grads[name] = -to_d if self.maximize else to_d
                if Part.SLOTS in parts:
                    for kind, cot in zip(self._kinds, at.to_slots(back), strict=False):
                        found.slots[kind][name] = cot
                if Part.HYPER in parts:
                    for value, cotangent in self._to_knobs(at, back, a):
                        give(found.hyper, value, name, hyper, *cotangent)
                if Part.WEIGHTS not in parts:
                    continue
                if is_zero(at.decay):
                    found.weights[name] = a if lean else a.clone()
                elif not self.decoupled:
                    found.weights[name] = combine(a, to_d, at.decay)
                elif lean and is_scalar(at.lr) and is_scalar(at.decay):  # the caller multiplies while it adds
                    found.weights[name], factors[name] = a, 1 - at.lr * at.decay
                else:
                    found.weights[name] = combine(a, a, -1.0, at.lr, at.decay)
        return found

    @property
    def _settings(self) -> tuple[Setting, ...]:
        return self.lr, self.beta1, self.beta2, self.eps, self.weight_decay

    @property
    def _kinds(self) -> tuple[str, ...]:
        return (_M, _V, _MAX) if self.amsgrad else (_M, _V)

    def _at(self, name: str, weight: Tensor, grad: Tensor, state: State, hyper: Hyper) -> _Here:
        lr, beta1, beta2, eps, decay = (knob(s, name, hyper, weight) for s in self._settings)
        t = float(state.step + 1)
        d = -grad if self.maximize else grad
        if not (self.decoupled or is_zero(decay)):
            d = combine(d, weight, decay)
        m0, v0 = slot(state, _M, name), slot(state, _V, name)
        top0 = slot(state, _MAX, name) if self.amsgrad else None
        m, v = torch.lerp(m0, d, 1 - beta1), decayed_square(v0, d, beta2)
        root = v.sqrt() if top0 is None else torch.maximum(top0, v).sqrt_()
        correct1, correct2 = 1 - beta1**t, (1 - beta2**t) ** 0.5
        inverse = (root / correct2).add_(eps).reciprocal_()
        return _Here(weight=weight, d=d, m0=m0, v0=v0, top0=top0, m=m, v=v, root=root, inverse=inverse, t=t, correct1=correct1,
                     correct2=correct2, lr=lr, beta1=beta1, beta2=beta2, decay=decay)  # fmt: skip

    def _to_knobs(self, at: _Here, back: _Back, a: Tensor) -> Iterator[tuple[Setting, tuple[Tensor | None, ...]]]:
        """Yield the cotangents of the named knobs, each as one tensor or as two whose product it is."""
        decays = not is_zero(at.decay)
        if named(self.lr):
            yield self.lr, (back.pm * (-1.0 / at.correct1),)
            if self.decoupled and decays:
                yield self.lr, (a * -at.decay, at.weight)
        if named(self.weight_decay):
            yield self.weight_decay, (a * -at.lr if self.decoupled else back.to_d, at.weight)
        if named(self.eps):
            yield self.eps, (back.to_denominator,)
        if named(self.beta1):
            yield self.beta1, (back.to_m, at.m0 - at.d)
            yield self.beta1, (back.pm * (-at.lr * at.t * at.beta1 ** (at.t - 1) / at.correct1**2),)
        if named(self.beta2):
            yield self.beta2, (back.to_v, at.v0 - at.d * at.d)
            yield self.beta2, (back.to_denominator * (at.t * at.beta2 ** (at.t - 1) / (2 * at.correct2**3)), at.root)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Here:
    """One weight's step, w′ = w − η/`correct1` · m·`inverse` with 1/`inverse` = `root`/`correct2` + ε and `root` = √max(top₀, v)."""

    weight: Tensor
    d: Tensor
    m0: Tensor
    v0: Tensor
    top0: Tensor | None
    m: Tensor
    v: Tensor
    root: Tensor
    inverse: Tensor
    t: float
    correct1: Coefficient
    correct2: Coefficient
    lr: Coefficient
    beta1: Coefficient
    beta2: Coefficient
    decay: Coefficient

    def back(self, a: Tensor, cots: Mapping[str, Tensor]) -> _Back:
        """Return the cotangents inside the step, for `a` of w′ and `cots` of the slots."""
        size = self.lr / self.correct1
        p = a * self.inverse
        pm = p * self.m
        to_m = combine(cots.get(_M), p, -1.0, size)
        to_denominator = p.copy_(self.inverse).mul_(pm).mul_(size)
        to_v = to_denominator / (self.root * (2 * self.correct2))
        to_v.masked_fill_(self.root == 0, 0.0)  # as `safe_sqrt`
        to_top = None
        if self.top0 is not None:
            if _MAX in cots:
                to_v.add_(cots[_MAX])
            to_top = torch.where(self.top0 == self.v, 0.5, (self.top0 > self.v).to(to_v)).mul_(
                to_v
            )  # half to each of two equals
            to_v.sub_(to_top)
        if _V in cots:
            to_v.add_(cots[_V])
        to_d = torch.addcmul(to_m * (1 - self.beta1), to_v * (2 * (1 - self.beta2)), self.d)
        return _Back(pm=pm, to_m=to_m, to_v=to_v, to_top=to_top, to_d=to_d, to_denominator=to_denominator)

    def to_slots(self, back: _Back) -> Iterator[Tensor]:
        """Yield the cotangents of the slots before the step."""
        yield back.to_m * self.beta1
        yield back.to_v * self.beta2
        if back.to_top is not None:
            yield back.to_top


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Back:
    """Cotangents inside a step; `pm` is minus the one of the step size."""

    pm: Tensor
    to_m: Tensor
    to_v: Tensor
    to_top: Tensor | None
    to_d: Tensor
    to_denominator: Tensor
