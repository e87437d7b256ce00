"""What every weight update is: a pure, differentiable function of weights, gradients, state and hyperparameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Flag, auto
from typing import Any, final

import torch
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.operators import TensorLike
from whet.hypergrad.tensors import Hyper, Weights, apart, broadcasts, leaves

__all__ = ["Cotangents", "Part", "Setting", "State", "Times", "Update", "diagonal", "setting", "slot"]


@final
@dataclass(frozen=True, slots=True)
class Times:
    """A knob that is a hyperparameter times a constant: what a learning-rate schedule makes of a tuned learning rate."""

    name: str
    factor: float


Setting = float | str | Times
"""A knob of an update: a number, or the name of the hyperparameter that it is."""


class Part(Flag):
    """What is asked of a `vjp`; the cotangents of the gradients always are."""

    WEIGHTS = auto()
    SLOTS = auto()
    HYPER = auto()
    ALL = WEIGHTS | SLOTS | HYPER


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

    def own_buffers(self) -> dict[str, Tensor]:
        """Return copies of the buffers, for a loss to write to."""
        return {n: t.clone() for n, t in self.buffers.items()}

    def detached(self, *, copy: bool = False) -> State:
        """Return the state cut from any graph; with `copy`, in memory of its own."""
        own = [t.detach().clone() if copy else t.detach() for t in self.tensors()]
        buffers = {n: t.detach().clone() if copy else t.detach() for n, t in self.buffers.items()}
        return replace(self.with_tensors(own), buffers=buffers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cotangents:
    """What flows back through one update: to weights, gradients, slots and hyperparameters (those that it reaches).

    Args:
        weights, grads, slots, hyper: The cotangents; a part that was not asked for is empty.
        factors: By weight, what the tensor in `weights` is still to be multiplied by (missing: 1); empty unless asked for by `lean`.
    """

    weights: dict[str, Tensor]
    grads: dict[str, Tensor]
    slots: dict[str, dict[str, Tensor]]
    hyper: dict[tuple[str, ...], Tensor]
    factors: Mapping[str, float | Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Update(ABC):
    """w′, s′ = update(w, ∇f, s, λ): pure and differentiable in all of its tensors, equal to its `torch.optim` namesake.

    A field of a final class is a number or the name of a hyperparameter; hyperparameters may be scalars or, by weight, tensors that
    broadcast against the weight.

    Raises:
        HypergradError: a knob is a tensor or a `Hyperparameter`.
    """

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if "Setting" in str(f.type) and isinstance(value, Tensor | TensorLike):
                name, kind = type(self).__name__, "tensor" if isinstance(value, Tensor) else "Hyperparameter"
                raise HypergradError(
                    f"{name}({f.name}=...) is given a {kind}, and takes a number or the name of a hyperparameter",
                    f'give {name}({f.name}="{f.name}") and the value among the hyperparameters: {{"{f.name}": ...}}',
                )

    @abstractmethod
    def init(self, weights: Weights) -> State:
        """Return the state before the first step. Slots that a derivative must flow through exist from the start, as zeros."""

    @abstractmethod
    def __call__(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> tuple[dict[str, Tensor], State]:
        """Return the weights and the state after one step; nothing is changed in place."""

    def step_(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> State:
        """Do the same without a graph, writing into `weights` and `state`'s tensors where that is cheaper; return the state.

        `grads` are left as they are. The numbers are those of the pure form, up to rounding.
        """
        with torch.no_grad():
            new, state = self(weights, grads, state, hyper)
            for name, tensor in new.items():
                weights[name].copy_(tensor)
        return state

    def vjp(self, weights: Weights, grads: Weights, state: State, hyper: Hyper, cot_weights: Weights,
            cot_slots: Mapping[str, Weights] | None = None, *, parts: Part = Part.ALL, lean: bool = False) -> Cotangents:  # fmt: skip
        """Return the derivatives of ⟨cot_weights, w′⟩ + ⟨cot_slots, s′⟩. Here by autograd; a closed form is leaner.

        Args:
            weights, grads, state, hyper: Where.
            cot_weights, cot_slots: The covector; a slot or a weight that `cot_slots` lacks counts as zeros. May have no dimensions where
                it is the same for all elements and only Part.WEIGHTS is asked for.
            parts: What to compute besides the cotangents of the gradients.
            lean: The caller will change none of the tensors, so they may be those given, and will heed `Cotangents.factors`.
        """
        own_w = {n: t.detach().requires_grad_() for n, t in weights.items()}
        own_g = {n: t.detach().requires_grad_() for n, t in grads.items()}
        own_s = {s: {n: t.detach().requires_grad_(Part.SLOTS in parts) for n, t in g.items()} for s, g in state.slots.items()}  # fmt: skip
        flat_h = {path: t.detach().requires_grad_(Part.HYPER in parts) for path, t in leaves(hyper).items()}
        own_h = {k: {n: flat_h[(k, n)] for n in v} if isinstance(v, Mapping) else flat_h[(k,)] for k, v in hyper.items()}  # fmt: skip
        with torch.enable_grad():
            new, after = self(own_w, own_g, replace(state, slots=own_s), own_h)
        pairs = [(new[n], cot_weights[n]) for n in new]
        pairs += [(after.slots[s][n], c) for s, group in (cot_slots or {}).items() for n, c in group.items()]
        pairs = [(out, cot) for out, cot in pairs if out.requires_grad]
        inputs: dict[tuple[str, ...], Tensor] = {("grads", n): t for n, t in own_g.items()}
        if Part.WEIGHTS in parts:
            inputs |= {("weights", n): t for n, t in own_w.items()}
        if Part.SLOTS in parts:
            inputs |= {("slots", s, n): t for s, group in own_s.items() for n, t in group.items()}
        if Part.HYPER in parts:
            inputs |= {("hyper", *path): t for path, t in flat_h.items()}
        found = torch.autograd.grad(
            [out for out, _ in pairs],
            list(inputs.values()),
            [cot.expand_as(out) for out, cot in pairs],
            allow_unused=True,
        )
        fresh = found if lean else apart(found, [cot for _, cot in pairs])
        got = {
            path: torch.zeros_like(inputs[path]) if g is None and path[0] != "hyper" else g
            for path, g in zip(inputs, fresh, strict=True)
        }
        return Cotangents(
            weights={n: got["weights", n] for n in own_w} if Part.WEIGHTS in parts else {},
            grads={n: got["grads", n] for n in own_g},
            slots={s: {n: got["slots", s, n] for n in group} for s, group in own_s.items()} if Part.SLOTS in parts else {},
            hyper={path[1:]: g for path, g in got.items() if path[0] == "hyper" and g is not None},
        )  # fmt: skip

    def scaled(self, factor: float) -> Update:
        """Return the same update with its learning rate multiplied by `factor`."""
        lr: Setting = self.lr  # type: ignore[attr-defined]  # every final update that wraps no other has one
        return replace(self, lr=_times(lr, factor))  # type: ignore[call-arg]

    @property
    def elementwise(self) -> bool:
        """Whether each element of a weight moves by its own gradient and slots alone, so that it has a `diagonal`."""
        return True

    @property
    def reads_grads(self) -> bool:
        """Whether `vjp` looks at the gradients; where it does not, any tensors of their shapes may be given."""
        return True

    @property
    def constant_lr(self) -> float | None:
        """The learning rate where it is one number, the natural scale of a Neumann sum; else None."""
        lr = getattr(self, "lr", None)
        return float(lr) if isinstance(lr, int | float) else None

    @property
    def atoms(self) -> tuple[Update, ...]:
        """The updates that it is made of: those that wrap no other."""
        return (self,)

    @property
    def hyper_names(self) -> frozenset[str]:
        """The hyperparameters that it names."""
        return frozenset(v for f in fields(self) for v in _strings(getattr(self, f.name)))


def setting(
    value: Setting, name: str, hyper: Hyper, like: Tensor | None = None, *, cast: bool = True
) -> Tensor | float:
    """Return a knob's value for weight `name`: the number itself, or the hyperparameter's tensor.

    Args:
        value: The knob.
        name: The weight's name.
        hyper: The hyperparameters' values.
        like: The weight, which a tensor must broadcast to.
        cast: Whether a tensor becomes one of the type and device of `like`.

    Raises:
        HypergradError: there is no such hyperparameter, none for this weight, or its shape does not go with the weight's.
    """
    if isinstance(value, Times):
        return setting(value.name, name, hyper, like, cast=cast) * value.factor
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
    if found.dim() and found.numel() == 1:
        found = found.reshape(())  # lest a weight of no dimension grow one
    if like is None:
        return found
    if found.dim() and not broadcasts(found.shape, like.shape):  # or the weight would grow
        raise HypergradError(
            f"the hyperparameter {value!r} has shape {tuple(found.shape)} and the weight {name!r} {tuple(like.shape)}",
            "give a scalar, or a mapping with one tensor a weight",
        )
    return found.to(like) if cast else found


def diagonal(update: Update, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> Cotangents:
    """Return ∂w′/∂w (missing where it is 1 before its factor) and ∂w′/∂g of an elementwise update, to multiply covectors by.

    A tensor without dimensions where it is the same for all elements.
    """
    ones = {n: w.new_ones(()) for n, w in weights.items()}
    found = update.vjp(weights, grads, state, hyper, ones, parts=Part.WEIGHTS, lean=True)
    return replace(found, weights={n: t for n, t in found.weights.items() if t is not ones[n]})


def slot(state: State, kind: str, name: str) -> Tensor:
    """Return the tensor that an update keeps for weight `name`.

    Raises:
        HypergradError: there is none.
    """
    try:
        return state.slots[kind][name]
    except KeyError:
        raise HypergradError(
            f"the optimizer's state has no {kind!r} for weight {name!r}",
            "begin with update.init(weights), or with read_state(optimizer, model, update)",
        ) from None


def _times(value: Setting, factor: float) -> Setting:
    if isinstance(value, Times):
        return Times(value.name, value.factor * factor)
    return Times(value, factor) if isinstance(value, str) else value * factor


def _strings(value: Any) -> list[str]:
    if isinstance(value, Times):
        return [value.name]
    if isinstance(value, str):
        return [value]
    return [v for v in value if isinstance(v, str)] if isinstance(value, tuple) else []
