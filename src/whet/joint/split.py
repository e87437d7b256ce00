"""Which parameters of a configuration a gradient moves; all others are constants of the problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.problem import Bilevel
from whet.joint.constants import updates_in, with_constants
from whet.joint.data import kept_random
from whet.joint.method import Reach, Settings, is_continuous
from whet.space import Space

__all__ = ["numbers", "split"]


def numbers(params: Mapping[str, Any]) -> dict[str, float]:
    """Return the parameters of a configuration that are numbers, by which losses, penalties and updates may go."""
    return {n: float(v) for n, v in params.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def split(
    problem: Bilevel, params: Mapping[str, Any], *, space: Space, settings: Settings, reach: Reach, batch: Any,
    own: Mapping[str, Any], spares_rates: bool = False,
) -> tuple[Bilevel, Hyperparameters]:  # fmt: skip
    """Return `problem` with constants for what stays as it is, and the hyperparameters that the gradient moves.

    There are none where those that it could move don't exist in this configuration.

    Args:
        problem: At this configuration.
        params: The configuration.
        space: Whose continuous parameters may be moved, within their bounds.
        settings: The method's.
        reach: Where the algorithm's derivatives reach.
        batch: A training batch, to see what the training loss depends on.
        own: Hyperparameters besides those of the space, or in the place of some of them.
        spares_rates: Whether learning rates stay as they are unless the settings name them.

    Raises:
        HypergradError: there is nothing that the algorithm can move, or something that it is told to and can't.
    """
    values = {name: value for name, value in numbers(params).items() if name not in own}
    candidates = [name for name in values if name in space and is_continuous(space[name])]
    in_loss = _in_loss(problem, values, candidates, batch, own)
    in_update = problem.update.hyper_names
    reached = {Reach.LOSS: in_loss, Reach.UPDATE: in_loss | in_update, Reach.KNOBS: in_update}[reach]
    rates = {getattr(update, "lr", None) for update in updates_in(problem.update)}
    usual = reached & rates if reach is Reach.KNOBS else reached - rates if spares_rates else reached
    tuned = [name for name in candidates if name in usual]
    if settings.tune is not None:
        wanted = [name for name in settings.tune if name in params]
        if missed := [name for name in wanted if name not in reached and name not in own]:
            raise HypergradError(_why_not(settings.name, missed[0], reach, in_update), _advice(reach), name=missed[0])
        tuned = [name for name in wanted if name not in own]
    meant = settings.tune or [name for name in space if is_continuous(space[name])]
    if not tuned and not own and all(name in params for name in meant):  # else it is tuned where it exists
        raise HypergradError(_nothing(settings.name, candidates, reach, in_update), _advice(reach))
    hyper = Hyperparameters({**Hyperparameters.from_space(space, params, tuned), **own})
    assert problem.model is not None
    if hyper:
        hyper.bind(problem.model)
    return with_constants(problem, {n: v for n, v in values.items() if n not in hyper}), hyper


def _in_loss(
    problem: Bilevel, values: Mapping[str, float], names: list[str], batch: Any, own: Mapping[str, Any]
) -> frozenset[str]:
    """Return which of `names` the training loss of a batch, penalties included, has a derivative by."""
    weights = problem.weights()
    like = next(iter(weights.values()))
    leaves = {n: torch.tensor(values[n], dtype=like.dtype, device=like.device, requires_grad=True) for n in names}
    others = Hyperparameters(own)
    if own:
        assert problem.model is not None
        others.bind(problem.model)
    fixed = with_constants(problem, {n: v for n, v in values.items() if n not in leaves})
    with kept_random(), torch.enable_grad():
        loss = fixed.train(weights, {**others.constants(), **others.tensors(), **leaves}, batch)
    strengths = {p.strength for p in problem.penalties if isinstance(p.strength, str)}
    if not leaves or not loss.requires_grad:
        return frozenset(strengths)
    found: list[Tensor | None] = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return frozenset(strengths | {n for n, grad in zip(leaves, found, strict=True) if grad is not None})


def _nothing(method: str, candidates: list[str], reach: Reach, in_update: frozenset[str]) -> str:
    inside = [name for name in candidates if name in in_update and reach is Reach.LOSS]
    where = f"; {' and '.join(inside)} {'are' if len(inside) > 1 else 'is'} in the update" if inside else ""
    return f"{method} can move none of the parameters ({', '.join(candidates) or 'none is continuous'}{where})"


def _why_not(method: str, name: str, reach: Reach, in_update: frozenset[str]) -> str:
    if reach is Reach.LOSS and name in in_update:
        return f"{method} is to tune {name!r}, which is in the update: it differentiates the training loss alone"
    return f"{method} is to tune {name!r}, which does not reach {reach.value}"


def _advice(reach: Reach) -> str:
    return {
        Reach.LOSS: "use hyper[name] in the training loss, or penalty=L2(strength=name); one_pass, diff_through_opt and unrolled tune the update",
        Reach.UPDATE: 'use hyper[name] in the training loss, penalty=L2(strength=name), or the name in the update: SGD(lr="lr")',
        Reach.KNOBS: 'name it as the learning rate: update=SGD(lr="lr")',
    }[reach]
