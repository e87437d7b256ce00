"""What every weight update is: a pure, differentiable function of weights, gradients, state and hyperparameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.tensors import Hyper, Weights, leaves

__all__ = ["Cotangents", "Setting", "State", "Update", "setting"]

Setting = float | str
"""A knob of an update: a number, or the name of the hyperparameter that it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a training run carries from step to step besides its weights.

    Args:
        step: How many updates were made.
        slots: The optimizer's tensors: slot (``"momentum_buffer"``) to weight to tensor. A weight that has none yet is missing.
        buffers: The model's buffers (BatchNorm's running statistics), which no gradient goes through.
    """

    step: int = 0
    slots: Mapping[str, Weights] = field(default_factory=dict)
    buffers: Mapping[str, Tensor] = field(default_factory=dict)

    def tensors(self) -> list[Tensor]:
        """Return the tensors of all slots, in order."""
        return [tensor for slot in self.slots.values() for tensor in slot.values()]

    def with_tensors(self, tensors: Sequence[Tensor]) -> State:
        """Return the same state with other tensors in its slots, in the order of `tensors`."""
        rest = iter(tensors)
        return replace(self, slots={slot: {name: next(rest) for name in group} for slot, group in self.slots.items()})

    def detached(self, *, copy: bool = False) -> State:
        """Return the state cut from any graph; with `copy`, in memory of its own."""
        own = [t.detach().clone() if copy else t.detach() for t in self.tensors()]
        buffers = {n: t.detach().clone() if copy else t.detach() for n, t in self.buffers.items()}
        return replace(self.with_tensors(own), buffers=buffers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cotangents:
    """What flows back through one update: to weights, gradients, slots and hyperparameters (those that it reaches)."""

    weights: dict[str, Tensor]
    grads: dict[str, Tensor]
    slots: dict[str, dict[str, Tensor]]
    hyper: dict[tuple[str, ...], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Update(ABC):
    """w′, s′ = update(w, ∇f, s, λ): pure and differentiable in all of its tensors, equal to its `torch.optim` namesake.

    A field of a final class is a number or the name of a hyperparameter; hyperparameters may be scalars or, by weight, tensors that
    broadcast against the weight.
    """

    @abstractmethod
    def init(self, weights: Weights) -> State:
        """Return the state before the first step. Slots that a derivative must flow through exist from the start, as zeros."""

    @abstractmethod
    def __call__(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> tuple[dict[str, Tensor], State]:
        """Return the weights and the state after one step; nothing is changed in place."""

    def step_(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> State:
        """Do the same without a graph, writing into `weights` (and into `state`'s tensors where that is cheaper); return the state."""
        with torch.no_grad():
            new, state = self(weights, grads, state, hyper)
            for name, tensor in new.items():
                weights[name].copy_(tensor)
        return state

    def vjp(self, weights: Weights, grads: Weights, state: State, hyper: Hyper, cot_weights: Weights,
            cot_slots: Mapping[str, Weights] | None = None) -> Cotangents:  # fmt: skip
        """Return the derivatives of ⟨cot_weights, w′⟩ + ⟨cot_slots, s′⟩. Here by autograd; a closed form is leaner."""
        own_w = {n: t.detach().requires_grad_() for n, t in weights.items()}
        own_g = {n: t.detach().requires_grad_() for n, t in grads.items()}
        own_s = {s: {n: t.detach().requires_grad_() for n, t in g.items()} for s, g in state.slots.items()}
        own_h = {
            k: {n: t.detach().requires_grad_() for n, t in v.items()} if isinstance(v, Mapping) else v.detach().requires_grad_()
            for k, v in hyper.items()
        }  # fmt: skip
        with torch.enable_grad():
            new, after = self(own_w, own_g, replace(state, slots=own_s), own_h)
        outs, cots = list(new.values()), [cot_weights[n] for n in new]
        for slot, group in (cot_slots or {}).items():
            outs += [after.slots[slot][n] for n in group]
            cots += list(group.values())
        kept = [(o, c) for o, c in zip(outs, cots, strict=True) if o.requires_grad]
        flat_h = leaves(own_h)
        slots = [(s, n) for s, g in own_s.items() for n in g]
        inputs = [*own_w.values(), *own_g.values(), *(own_s[s][n] for s, n in slots), *flat_h.values()]
        found = torch.autograd.grad([o for o, _ in kept], inputs, [c for _, c in kept], allow_unused=True)
        rest = iter(found)
        to_w = {n: _or_zeros(next(rest), t) for n, t in own_w.items()}
        to_g = {n: _or_zeros(next(rest), t) for n, t in own_g.items()}
        to_s: dict[str, dict[str, Tensor]] = {s: {} for s in own_s}
        for s, n in slots:
            to_s[s][n] = _or_zeros(next(rest), own_s[s][n])
        to_h = {path: g for path in flat_h if (g := next(rest)) is not None}
        return Cotangents(weights=to_w, grads=to_g, slots=to_s, hyper=to_h)

    @property
    def constant_lr(self) -> float | None:
        """The learning rate where it is one number, the natural scale of a Neumann sum; else None."""
        lr = getattr(self, "lr", None)
        return float(lr) if isinstance(lr, int | float) else None

    @property
    def hyper_names(self) -> frozenset[str]:
        """The hyperparameters that it names."""
        return frozenset(v for f in fields(self) for v in _strings(getattr(self, f.name)))


def setting(value: Setting, name: str, hyper: Hyper) -> Tensor | float:
    """Return a knob's value for weight `name`: the number itself, or the hyperparameter's tensor.

    Raises:
        HypergradError: there is no such hyperparameter, or none for this weight.
    """
    if not isinstance(value, str):
        return value
    found = hyper.get(value)
    if isinstance(found, Mapping):
        found = found.get(name)
    if found is None:
        known = ", ".join(hyper) or "none"
        raise HypergradError(
            f"the update names the hyperparameter {value!r} for weight {name!r}, and there is none",
            f"give it a value; there are: {known}",
        )
    return found


def _or_zeros(grad: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if grad is None else grad


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [v for v in value if isinstance(v, str)] if isinstance(value, tuple) else []
