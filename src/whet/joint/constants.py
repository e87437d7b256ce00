"""A problem in which some hyperparameters are constants: closed over by the losses, numbers in update and penalties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from whet.hypergrad.problem import Bilevel, Loss
from whet.hypergrad.updates.base import Times, Update

__all__ = ["updates_in", "with_constants"]


def with_constants(problem: Bilevel, values: Mapping[str, float]) -> Bilevel:
    """Return `problem` with the hyperparameters in `values` as constants: whoever uses it need not know of them.

    Args:
        problem: Its update, penalties and losses may name hyperparameters.
        values: Numbers by name; the losses get them as scalar tensors like the model's weights.

    Example:
        >>> from whet.hypergrad.updates.sgd import SGD
        >>> loss = lambda weights, batch, hyper: hyper["scale"] * weights["w"] ** 2
        >>> problem = with_constants(Bilevel(train_loss=loss, val_loss=loss, update=SGD(lr="lr")), {"lr": 0.1, "scale": 2.0})
        >>> problem.update.lr, problem.train({"w": torch.tensor(3.0)}, {}, None)
        (0.1, tensor(18.))
    """
    if not values:
        return problem
    like = (
        None if problem.model is None else next((p for p in problem.model.parameters() if p.is_floating_point()), None)
    )
    dtype, device = (None, None) if like is None else (like.dtype, like.device)
    tensors = {
        name: torch.tensor(value, dtype=dtype or torch.get_default_dtype(), device=device)
        for name, value in values.items()
    }
    return replace(
        problem,
        train_loss=_closed(problem.train_loss, tensors),
        val_loss=_closed(problem.val_loss, tensors),
        update=_rebuilt(problem.update, {n: v for n, v in values.items() if n in problem.update.hyper_names}),
        penalty=tuple(replace(p, strength=_knob(p.strength, values)) for p in problem.penalties),
    )


def _closed(loss: Loss, tensors: Mapping[str, Tensor]) -> Loss:
    return lambda model, batch, hyper: loss(model, batch, {**tensors, **hyper})


def updates_in(value: Any) -> Iterator[Update]:
    """Yield an update and all that are in it, however it is wrapped or grouped."""
    if isinstance(value, Update) and is_dataclass(value):
        yield value
        value = [getattr(value, f.name) for f in fields(value)]
    if isinstance(value, (tuple, list, Mapping)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from updates_in(part)


def _rebuilt(value: Any, values: Mapping[str, float]) -> Any:
    """Return an update, or what holds some, with numbers in the place of the hyperparameters' names."""
    if isinstance(value, Update) and is_dataclass(value):
        knobs = {f.name: getattr(value, f.name) for f in fields(value) if f.init}
        return replace(value, **{name: _knob(knob, values) for name, knob in knobs.items()})
    if type(value) in (tuple, list):
        return type(value)(_rebuilt(part, values) for part in value)
    if isinstance(value, Mapping):
        return {key: _rebuilt(part, values) for key, part in value.items()}
    return value


def _knob(value: Any, values: Mapping[str, float]) -> Any:
    if isinstance(value, str):
        return values.get(value, value)
    if isinstance(value, Times):
        return values[value.name] * value.factor if value.name in values else value
    if type(value) is tuple and all(isinstance(part, str | int | float | Times) for part in value):  # betas
        return tuple(_knob(part, values) for part in value)
    return _rebuilt(value, values)
