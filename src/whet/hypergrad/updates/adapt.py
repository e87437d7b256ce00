"""Take a user's `torch.optim` optimizer over: its groups as a differentiable update, its state by the names of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from whet.errors import HypergradError
from whet.hypergrad.problem import plain
from whet.hypergrad.updates.adagrad import Adagrad
from whet.hypergrad.updates.adam import Adam
from whet.hypergrad.updates.adamw import AdamW
from whet.hypergrad.updates.base import State, Update
from whet.hypergrad.updates.groups import Groups
from whet.hypergrad.updates.rmsprop import RMSprop
from whet.hypergrad.updates.scheduled import Late
from whet.hypergrad.updates.sgd import SGD

__all__ = ["adapt", "read_state", "write_state"]

_BUFFER = "momentum_buffer"
_TUNABLE = ("lr", "momentum", "weight_decay", "beta1", "beta2", "eps", "alpha", "lr_decay")


def adapt(optimizer: torch.optim.Optimizer, model: nn.Module, *, tune: Mapping[str, Any] | Iterable[str] = ()) -> Update:  # fmt: skip
    """Return what `optimizer` does to the trainable weights of `model`, as an update with the present knobs of its groups.

    Learning-rate schedulers change those knobs, so call it again after each of their steps: it looks at no weight and costs little.
    Weights that the optimizer does not have stay as they are. One difference: a weight without a gradient counts as one with the
    gradient 0, where `torch.optim` passes it over.

    Args:
        optimizer: `torch.optim.SGD`, `Adam`, `AdamW`, `RMSprop` or `Adagrad`.
        model: Whose weights it moves; wrapped or not.
        tune: Which knobs are hyperparameters, in all groups: a mapping from knob to the hyperparameter's name, or just the knobs, where
            the names are the same. Knobs: lr, momentum, weight_decay, beta1, beta2, eps, alpha, lr_decay; betas means beta1 and beta2
            (give their names as a pair).

    Raises:
        HypergradError: an optimizer, an option or a parameter that can't be differentiated; a knob that it has not got.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> adapt(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), model, tune=["lr"])
        SGD(lr='lr', momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False)
    """
    known = _update_of(optimizer)
    named = _names(tune)
    fields = known.__dataclass_fields__
    if wrong := [knob for knob in named if knob not in fields or knob not in _TUNABLE]:
        raise HypergradError(
            f"{type(optimizer).__name__} has no knob {wrong[0]!r} that can be tuned",
            f"it has {', '.join(knob for knob in _TUNABLE if knob in fields)}",
        )
    _check(optimizer, model)
    weights = _weights(optimizer, model)
    top = max((weight.step for weight in weights), default=0)
    groups: dict[tuple[int, int], list[str]] = {}
    for weight in weights:
        groups.setdefault((weight.group, top - weight.step), []).append(weight.name)
    made: list[tuple[tuple[str, ...], Update]] = []
    for (index, behind), names in groups.items():
        update = known(**(_knobs(optimizer.param_groups[index], fields) | named))
        counts = (
            behind and update.init({"": torch.empty(0)}).slots
        )  # an update that keeps nothing is the same at any step
        made.append((tuple(names), Late(update=update, start=behind) if counts else update))
    all_of_them = {n for n, p in plain(model).named_parameters() if p.requires_grad}
    return made[0][1] if len(made) == 1 and set(made[0][0]) == all_of_them else Groups(groups=tuple(made))


def read_state(optimizer: torch.optim.Optimizer, model: nn.Module, update: Update) -> State:
    """Return the optimizer's state by the names of the weights: its own tensors, and new ones where it has made none yet.

    Args:
        optimizer, model: As for `adapt`.
        update: What `adapt` returned for them, or that in a `Clipped` or `Scheduled`.
    """
    weights = {w.name: w for w in _weights(optimizer, model)}
    params = {name: w.param.detach() for name, w in weights.items()}
    nothing = torch.empty(0)  # which slots there are, at no cost
    shapes = update.init(dict.fromkeys(params, nothing))
    slots: dict[str, dict[str, Tensor | None]] = {
        kind: {name: weights[name].state.get(kind) for name in group} for kind, group in shapes.slots.items()
    }
    if any(tensor is None for group in slots.values() for tensor in group.values()):
        fresh = update.init(params).slots
        slots = {k: {n: fresh[k][n] if t is None else t for n, t in group.items()} for k, group in slots.items()}
    return State(step=max((w.step for w in weights.values()), default=0), slots=slots)


def write_state(optimizer: torch.optim.Optimizer, model: nn.Module, state: State) -> None:
    """Make `state` the optimizer's own, so that its `step()` and its `state_dict()` go on from there. The tensors are not copied.

    Args:
        optimizer, model: As for `adapt`.
        state: What `read_state` returned, after further steps.

    Raises:
        HypergradError: the state has a tensor for a weight that the optimizer does not move, or of another shape.
    """
    weights = {w.name: w for w in _weights(optimizer, model)}
    for kind, group in state.slots.items():
        for name, tensor in group.items():
            if name not in weights or weights[name].param.shape != tensor.shape:
                raise HypergradError(
                    f"the state has a {kind!r} of shape {tuple(tensor.shape)} for weight {name!r}, and the optimizer moves no such weight",
                    "write the state back into the optimizer, and with the model, that it was read from",
                )
    top = max((w.step for w in weights.values()), default=0)
    for name, weight in weights.items():
        step = state.step - (top - weight.step)
        kept = {kind: group[name] for kind, group in state.slots.items() if name in group}
        if step <= 0 and not isinstance(optimizer, torch.optim.Adagrad):
            optimizer.state.pop(weight.param, None)  # it makes its state at a weight's first step
            continue
        if not kept:
            continue
        own = optimizer.state[weight.param]
        own.update(kept)
        if not isinstance(optimizer, torch.optim.SGD):
            group = optimizer.param_groups[weight.group]
            if isinstance(own.get("step"), Tensor):
                own["step"].fill_(step)
                continue
            wide = torch.get_default_dtype() == torch.float64 and not group.get("fused")
            on_device = group.get("capturable") or group.get("fused")
            own["step"] = torch.tensor(
                float(step),
                dtype=torch.float64 if wide else torch.float32,
                device=weight.param.device if on_device else "cpu",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weight:
    """A trainable weight that the optimizer moves, and how many steps it has made."""

    name: str
    param: Tensor
    group: int
    state: Mapping[str, Any]
    step: int


def _weights(optimizer: torch.optim.Optimizer, model: nn.Module) -> list[_Weight]:
    names = {id(p): n for n, p in plain(model).named_parameters()}
    found: list[tuple[str, Tensor, int, Mapping[str, Any]]] = []
    for index, group in enumerate(optimizer.param_groups):
        for param in group["params"]:
            if not param.requires_grad:
                continue
            if id(param) not in names:
                raise HypergradError(
                    f"the optimizer moves a parameter of shape {tuple(param.shape)} that the model has not got",
                    "make it a parameter of the model, or make the optimizer anew from model.parameters() if the model's were replaced",
                )
            found.append((names[id(param)], param, index, optimizer.state.get(param, {})))
    if not found:
        raise HypergradError(
            "the optimizer moves no trainable weight of the model",
            "make it from model.parameters(), some of them with requires_grad",
        )
    steps = _steps(optimizer, [state for *_, state in found])
    return [
        _Weight(name=name, param=param, group=index, state=state, step=step)
        for (name, param, index, state), step in zip(found, steps, strict=True)
    ]


def _steps(optimizer: torch.optim.Optimizer, states: list[Mapping[str, Any]]) -> Iterator[int]:
    """Yield how many steps each weight has made; SGD does not count, but a first step differs from later ones."""
    if isinstance(optimizer, torch.optim.SGD):
        yield from (0 if state.get(_BUFFER) is None else 1 for state in states)
        return
    steps = [state.get("step", 0) for state in states]
    away = [step for step in steps if isinstance(step, Tensor) and step.device.type != "cpu"]
    values = iter(torch.stack(away).tolist() if away else ())  # one wait for the device, not one a weight
    yield from (int(next(values) if isinstance(s, Tensor) and s.device.type != "cpu" else s) for s in steps)


def _update_of(optimizer: torch.optim.Optimizer) -> type[Update]:
    known: dict[type, type[Update]] = {
        torch.optim.SGD: SGD,
        torch.optim.Adam: Adam,
        torch.optim.AdamW: AdamW,
        torch.optim.RMSprop: RMSprop,
        torch.optim.Adagrad: Adagrad,
    }
    found = known.get(type(optimizer))
    if found is None:
        raise HypergradError(
            f"Whet knows no derivative of a step of {type(optimizer).__module__}.{type(optimizer).__qualname__}",
            "use SGD, Adam, AdamW, RMSprop or Adagrad of torch.optim, or write its step as a subclass of "
            "whet.hypergrad.updates.base.Update; hyperparameters in the training loss can be tuned with any optimizer",
        )
    return AdamW if found is Adam and optimizer.defaults.get("decoupled_weight_decay") else found


def _check(optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    if getattr(optimizer, "_optimizer_step_pre_hooks", None):
        raise HypergradError(
            "the optimizer has hooks that run before its step, which Whet can't differentiate",
            "remove them; to clip gradients, use whet.hypergrad.updates.clipped.Clipped, or clip_norm of a hyper-optimizer",
        )
    for group in optimizer.param_groups:
        if group.get("differentiable"):
            raise HypergradError(
                "the optimizer was made with differentiable=True", "leave it out: Whet differentiates the step itself"
            )
        if any(param.is_complex() for param in group["params"]):
            raise HypergradError("the optimizer moves a complex parameter", "use pairs of real numbers")
    for name, module in plain(model).named_modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse:
            raise HypergradError(
                f"the embedding {name!r} has sparse gradients, which can't be differentiated again",
                "make it with sparse=False",
            )


def _knobs(group: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """Return the present knobs of a group, those that our update has."""
    values = dict(group)
    if "betas" in values:
        values["beta1"], values["beta2"] = values["betas"]
    found = {name: values[name] for name in fields if name in values}
    return {name: _plain_number(value) for name, value in found.items()}


def _plain_number(value: Any) -> Any:
    if isinstance(value, Tensor):
        return float(value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _names(tune: Mapping[str, Any] | Iterable[str]) -> dict[str, str]:
    """Return the hyperparameters' names by knob."""
    if isinstance(tune, str):
        tune = (tune,)
    pairs = tune if isinstance(tune, Mapping) else {knob: knob for knob in tune}
    named = {knob: name for knob, name in pairs.items() if knob != "betas"}
    if "betas" in pairs:
        both = ("beta1", "beta2") if pairs["betas"] == "betas" else pairs["betas"]
        if isinstance(both, str) or len(both) != 2:
            raise HypergradError(
                f"betas are two hyperparameters, and tune names {both!r}",
                'give a pair: tune={"betas": ("beta1", "beta2")}',
            )
        named["beta1"], named["beta2"] = both
    return named
