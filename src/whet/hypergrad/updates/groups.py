"""Several parameter groups: each weight has its group's update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from whet.errors import HypergradError, nearest
from whet.hypergrad.tensors import Hyper, Weights
from whet.hypergrad.updates.base import Cotangents, Part, State, Update

__all__ = ["Groups"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Groups(Update):
    """Each weight moves by the update of its group; a weight in no group stays as it is.

    Args:
        groups: Pairs of weights' names and their update.

    Raises:
        HypergradError: a weight is in two groups; in `init`: a group names a weight that there is not.

    Example:
        >>> from whet.hypergrad.updates.sgd import SGD
        >>> update = Groups(groups=((("body",), SGD(lr=0.25)), (("head",), SGD(lr=0.5))))
        >>> w, g = {"body": torch.ones(1), "head": torch.ones(1)}, {"body": torch.ones(1), "head": torch.ones(1)}
        >>> update(w, g, update.init(w), {})[0]
        {'body': tensor([0.7500]), 'head': tensor([0.5000])}
    """

    groups: tuple[tuple[tuple[str, ...], Update], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple((tuple(names), update) for names, update in self.groups))
        seen: set[str] = set()
        for names, _ in self.groups:
            for name in names:
                if name in seen:
                    raise HypergradError(f"the weight {name!r} is in two groups", "name it in one")
                seen.add(name)

    def init(self, weights: Weights) -> State:
        slots: dict[str, dict[str, Tensor]] = {}
        for names, update in self.groups:
            for name in names:
                if name not in weights:
                    close = ", ".join(nearest(name, weights)[:10])
                    raise HypergradError(f"a group names the weight {name!r}, and there is none", f"there are: {close}")
            _merge(slots, update.init(_part(weights, names)))
        return State(slots=slots)

    def __call__(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> tuple[dict[str, Tensor], State]:
        new, slots = dict(weights), dict[str, dict[str, Tensor]]()
        for names, update in self.groups:
            moved, after = update(_part(weights, names), _part(grads, names), _state(state, names), hyper)
            new.update(moved)
            _merge(slots, after)
        return new, replace(state, step=state.step + 1, slots=slots)

    def step_(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> State:
        slots: dict[str, dict[str, Tensor]] = {}
        for names, update in self.groups:
            _merge(slots, update.step_(_part(weights, names), _part(grads, names), _state(state, names), hyper))
        return replace(state, step=state.step + 1, slots=slots)

    def vjp(self, weights: Weights, grads: Weights, state: State, hyper: Hyper, cot_weights: Weights,
            cot_slots: Mapping[str, Weights] | None = None, *, parts: Part = Part.ALL, lean: bool = False) -> Cotangents:  # fmt: skip
        factors: dict[str, float | Tensor] = {}
        found = Cotangents(weights={}, grads={}, slots={}, hyper={}, factors=factors)
        for names, update in self.groups:
            cots = {kind: mine for kind, cot in (cot_slots or {}).items() if (mine := _part(cot, names))}
            own = update.vjp(_part(weights, names), _part(grads, names), _state(state, names), hyper, _part(cot_weights, names), cots,
                             parts=parts, lean=lean)  # fmt: skip
            found.weights.update(own.weights)
            found.grads.update(own.grads)
            factors.update(own.factors)
            for kind, group in own.slots.items():
                found.slots.setdefault(kind, {}).update(group)
            for path, cot in own.hyper.items():
                found.hyper[path] = found.hyper[path] + cot if path in found.hyper else cot
        for name, weight in weights.items():
            if name not in found.grads:  # it stays as it is
                found.grads[name] = weight.new_zeros(()).expand_as(weight) if lean else torch.zeros_like(weight)
                if Part.WEIGHTS in parts:
                    found.weights[name] = cot_weights[name] if lean else cot_weights[name].clone()
        return found

    def scaled(self, factor: float) -> Groups:
        return Groups(groups=tuple((names, update.scaled(factor)) for names, update in self.groups))

    @property
    def reads_grads(self) -> bool:
        return any(update.reads_grads for _, update in self.groups)

    @property
    def elementwise(self) -> bool:
        return all(update.elementwise for _, update in self.groups)

    @property
    def constant_lr(self) -> float | None:
        rates = {update.constant_lr for _, update in self.groups}
        return rates.pop() if len(rates) == 1 else None

    @property
    def atoms(self) -> tuple[Update, ...]:
        return tuple(atom for _, update in self.groups for atom in update.atoms)

    @property
    def hyper_names(self) -> frozenset[str]:
        return frozenset().union(*(update.hyper_names for _, update in self.groups))


def _part(weights: Weights, names: tuple[str, ...]) -> dict[str, Tensor]:
    return {n: weights[n] for n in names if n in weights}


def _state(state: State, names: tuple[str, ...]) -> State:
    slots = {kind: own for kind, group in state.slots.items() if (own := _part(group, names))}
    return State(step=state.step, slots=slots)


def _merge(slots: dict[str, dict[str, Tensor]], state: State) -> None:
    for kind, group in state.slots.items():
        slots.setdefault(kind, {}).update(group)
