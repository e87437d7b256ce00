"""What users give to a hyper-optimizer, brought into one form: losses of two or three arguments, knobs by name, wrapped models."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from numbers import Real
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from whet.errors import HypergradError
from whet.hypergrad.counts import is_count
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.penalties import Penalty
from whet.hypergrad.problem import Loss, Reduce

__all__ = [
    "choice",
    "fixed",
    "get_knob",
    "guards",
    "knobs",
    "mean_over_processes",
    "mover",
    "needs_no_closure",
    "number",
    "set_knob",
    "three_arguments",
    "whole",
]

_MANY = 10_000  # values from which the default outer optimizer's fused step pays

_E = TypeVar("_E", bound=Enum)

_PAIRS = {"beta1", "beta2"}
"""Knobs that `torch.optim` keeps in one pair, ``betas``."""

_SAFE: dict[str, tuple[float | None, float | None]] = {
    "lr": (1e-10, 1.0),
    "weight_decay": (0.0, None),
    **dict.fromkeys(("momentum", "beta1", "beta2", "alpha"), (0.0, 0.9999)),
}
"""Limits of knobs whose hyperparameters have none."""


def whole(name: str, value: Any, least: int, *, also: str = "") -> int:
    """Return an argument that is an integer >= `least`.

    Args:
        name, value, least: What it is called, what it is, and the least that it may be.
        also: What else it might have been, for the error.

    Raises:
        HypergradError: it is something else.
    """
    count = int(value) if isinstance(value, float) and value.is_integer() else value
    if is_count(count, least):
        return int(count)
    raise HypergradError(f"{name}={value!r}", f"give an integer >= {least}{also}")


def number(name: str, value: Any, above: float = 0.0) -> float:
    """Return an argument that is a number > `above`.

    Raises:
        HypergradError: it is something else.
    """
    if isinstance(value, Real) and not isinstance(value, bool) and float(value) > above:
        return float(value)
    raise HypergradError(f"{name}={value!r}", f"give a number > {above:g}")


def choice(name: str, value: Any, kind: type[_E]) -> _E:
    """Return the member of `kind` that an argument is, or is the value of.

    Raises:
        HypergradError: there is none.
    """
    try:
        return kind(value)
    except ValueError:
        raise HypergradError(f"{name}={value!r}", f"give one of {', '.join(repr(k.value) for k in kind)}") from None


def mover(outer: Any, raws: list[Tensor]) -> torch.optim.Optimizer:
    """Return the optimizer of the raw values: `outer` itself, what it makes, or where it is None Adam.

    Raises:
        HypergradError: it is something else, or holds none of `raws`.
    """
    if outer is None:
        many = sum(raw.numel() for raw in raws) >= _MANY and all(raw.device.type in ("cpu", "cuda") for raw in raws)
        return torch.optim.Adam(raws, lr=0.05, betas=(0.9, 0.999), fused=many or None)
    if not isinstance(outer, torch.optim.Optimizer):
        if callable(outer):
            made: torch.optim.Optimizer = outer(raws)
            return made
        fix = "give an optimizer, or a function that makes one: outer=lambda raws: Adam(raws, lr=0.05)"
        raise HypergradError(f"outer={outer!r}", fix)
    held = {id(p) for group in outer.param_groups for p in group["params"]}
    if not held & {id(r) for r in raws}:
        raise HypergradError("the outer optimizer holds none of the hyperparameters",
                             "make it from hyper.parameters() after hyper.bind(model), or give outer=lambda raws: Adam(raws, lr=0.05)")  # fmt: skip
    return outer


def needs_no_closure(optimizer: Any, what: str) -> None:
    """Refuse an optimizer that can't step by the gradients alone.

    Raises:
        HypergradError: its `step` must be given a closure.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        return
    wanted = inspect.signature(type(optimizer).step).parameters.get("closure")
    if wanted is not None and wanted.default is wanted.empty:
        raise HypergradError(
            f"a step of {type(optimizer).__name__} computes the loss several times, by a closure, and {what} has one gradient for it",
            "use SGD, Adam or another that steps by the gradient; or HOAG, which solves its inner problems by LBFGS",
        )


def three_arguments(loss: Any, what: str) -> Loss:
    """Return ``loss(model, batch, hyper)``; a loss of two arguments is given no `hyper`.

    Args:
        loss: What the user wrote.
        what: Its name, for the error.

    Raises:
        HypergradError: it is no function of two or three arguments.
    """
    wanted = f"give {what} as a function of (model, batch, hyper), or of (model, batch) if no hyperparameter is in it"
    if not callable(loss):
        raise HypergradError(f"{what} is {loss!r}, which can't be called", wanted)
    given: Loss = loss
    try:
        found = inspect.signature(loss).parameters.values()
    except (TypeError, ValueError):  # a builtin may have none: let it be called
        return given
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    places = [p for p in found if p.kind in kinds]
    needed = sum(p.default is p.empty for p in places)
    most = 3 if any(p.kind is p.VAR_POSITIONAL for p in found) else len(places)
    if [p.name for p in found if p.kind is p.KEYWORD_ONLY and p.default is p.empty] or needed > 3 or most < 2:
        raise HypergradError(f"{what} takes the arguments ({', '.join(p.name for p in found)})", wanted)
    if most >= 3:
        return given
    return lambda model, batch, hyper: loss(model, batch)


def knobs(
    optimizer: torch.optim.Optimizer,
    hyper: Hyperparameters,
    penalties: Sequence[Penalty],
    tune: Mapping[str, str] | Iterable[str] | None,
) -> dict[str, str]:
    """Return which knob of the optimizer is which hyperparameter.

    Args:
        optimizer: Its `defaults` are the knobs; ``betas`` may be called ``beta1`` and ``beta2``.
        hyper: The hyperparameters; those that are constants are written into the optimizer's groups at once.
        penalties: Their strengths are no knobs, whatever they are called.
        tune: Knob to hyperparameter, or knobs of the same name, or one of them; None: every hyperparameter that is named like a knob.

    Raises:
        HypergradError: the optimizer has no such knob, there is no such hyperparameter, or groups differ in the knob.
    """
    names = list(hyper)
    constants = set(hyper.constants())
    have = set(optimizer.defaults) | (_PAIRS if "betas" in optimizer.defaults else set())
    if tune is None:
        taken = {p.strength for p in penalties}
        found = {name: name for name in names if name in have and name not in taken}
    else:
        tune = (tune,) if isinstance(tune, str) else tune
        found = dict(tune) if isinstance(tune, Mapping) else {name: name for name in tune}
        if isinstance(pair := found.get("betas"), tuple | list) and len(pair) == 2:
            del found["betas"]
            found["beta1"], found["beta2"] = pair
    for knob, name in found.items():
        if knob not in have:
            raise HypergradError(
                f"{type(optimizer).__name__} has no knob {knob!r}", f"it has {', '.join(sorted(have))}"
            )
        if name not in names:
            raise HypergradError(f"{knob!r} is to be {name!r}, and there is no such hyperparameter",
                                 f"there are {', '.join(names)}")  # fmt: skip
        values = [get_knob(group, knob) for group in optimizer.param_groups]
        if len(some := dict.fromkeys(float(v) if isinstance(v, Tensor) else v for v in values)) > 1:
            raise HypergradError(
                f"the optimizer's parameter groups differ in {knob} ({', '.join(map(str, some))}), and {name!r} is one for all",
                f"give all groups the same {knob}; or keep them and give tune=() or the knobs that are to be tuned",
            )
        if name in constants:
            for group in optimizer.param_groups:
                set_knob(group, knob, hyper[name].item())
    return {knob: name for knob, name in found.items() if name not in constants}


def get_knob(group: Mapping[str, Any], knob: str) -> Any:
    """Return what a group of a `torch.optim` optimizer has for a knob: a number, or a tensor of one."""
    return group["betas"][knob == "beta2"] if knob in _PAIRS and knob not in group else group[knob]


def set_knob(group: dict[str, Any], knob: str, value: float) -> None:
    """Write a number into a group of a `torch.optim` optimizer, in place where it holds a tensor."""
    if knob in _PAIRS and knob not in group:
        first, second = group["betas"]
        group["betas"] = (value, second) if knob == "beta1" else (first, value)
    elif isinstance(group.get(knob), Tensor):  # as compiled optimizers have them
        group[knob].fill_(value)
    else:
        # At 0, SGD would leave its buffer as it is, and stale for the day when momentum returns.
        group[knob] = 1e-38 if knob == "momentum" and value == 0 else value


def guards(
    tuned: Mapping[str, str], hyper: Hyperparameters
) -> list[tuple[list[Tensor], tuple[float | None, float | None]]]:
    """Return raw tensors with limits, for knobs whose hyperparameters have none of their own.

    Args:
        tuned: Knob to hyperparameter.
        hyper: The hyperparameters. Where one starts beyond a limit, that is the limit.
    """
    found = []
    for knob, name in tuned.items():
        h = hyper[name]
        least, greatest = h.transform.domain
        low, high = _SAFE.get(knob, (None, None))
        start_low, _, start_high = h.spread()
        if h.low is not None or low is None or low <= least:
            low = None
        if h.high is not None or high is None or high >= greatest:
            high = None
        ends = [
            None if end is None else float(h.transform.inverse(torch.tensor(end, dtype=torch.float64)))
            for end in (None if low is None else min(low, start_low), None if high is None else max(high, start_high))
        ]
        if ends != [None, None]:
            found.append((list(h.raw.values()), (ends[0], ends[1])))
    return found


def fixed(penalty: Penalty | tuple[Penalty, ...], hyper: Hyperparameters) -> tuple[Penalty, ...]:
    """Return penalties whose strengths are no constants among the hyperparameters, but the numbers that those are."""
    some = penalty if isinstance(penalty, tuple) else (penalty,)
    constants = hyper.constants()
    return tuple(replace(p, strength=hyper[p.strength].item()) if p.strength in constants else p for p in some)


def mean_over_processes(model: nn.Module) -> Reduce | None:
    """Return what averages tensors over the processes of a `DistributedDataParallel` model, in place; None for any other model."""
    while hasattr(model, "_orig_mod"):
        model = model._orig_mod
    if not isinstance(model, nn.parallel.DistributedDataParallel):
        return None
    group = model.process_group

    def reduce(tensors: Sequence[Tensor]) -> None:
        # One message a dtype: the gradients themselves go through small ones, too, and latency is what costs.
        for dtype in dict.fromkeys(t.dtype for t in tensors):
            some = [t for t in tensors if t.dtype == dtype]
            flat = torch.cat([t.reshape(-1) for t in some])
            torch.distributed.all_reduce(flat, group=group)
            flat.div_(torch.distributed.get_world_size(group))
            for tensor, part in zip(some, flat.split([t.numel() for t in some]), strict=True):
                tensor.copy_(part.view_as(tensor))

    return reduce
