"""The hyper-optimizer of a method, made for a problem; and made once for nothing, to see that its knobs are legal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from whet.errors import ConfigError
from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.penalties import L2
from whet.hypergrad.problem import Bilevel
from whet.hypergrad.updates.sgd import SGD
from whet.joint.data import kept_random
from whet.joint.method import Gradient, Reach, Settings

__all__ = ["made", "rehearse"]


def made(method: type[Gradient], settings: Settings, problem: Bilevel, hyper: Hyperparameters) -> Any:
    """Return the method's hyper-optimizer.

    Args:
        method: Which method.
        settings: Its knobs.
        problem: With a model, and all but `hyper` constant.
        hyper: What is to be tuned.
    """
    # A hypergradient that is not finite is left out, however often: diverging is a result of the search, not its end.
    given: dict[str, Any] = {"max_skipped": sys.maxsize, **method.defaults, **settings.own}
    if settings.outer_lr is not None:
        given["outer"] = lambda raws: torch.optim.Adam(raws, lr=settings.outer_lr)
    return method.load()(
        problem.model, problem.update, train_loss=problem.train_loss, val_loss=problem.val_loss, hyper=hyper,
        penalty=problem.penalty, eval_mode=problem.eval_mode, **given,
    )  # fmt: skip


def rehearse(method: type[Gradient], knobs: Mapping[str, Any]) -> None:
    """Make the method's hyper-optimizer for a problem of two weights.

    Raises:
        ConfigError: it refuses its knobs.
    """
    with kept_random():
        model = nn.Linear(1, 1)
    in_loss = method.reach is Reach.LOSS
    problem = Bilevel(
        model=model, train_loss=_loss, val_loss=_loss, update=SGD(lr=0.1 if in_loss else "a"), penalty=L2(strength="a") if in_loss else ()
    )  # fmt: skip
    try:
        made(
            method,
            Settings(name=method.name, own=knobs),
            problem,
            Hyperparameters(a=Hyperparameter(0.1, transform="log10")),
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{method.name} refuses its knobs {dict(knobs)} ({error})", "correct them") from error


def _loss(model: Any, batch: Any, hyper: Any) -> Any:
    return model(batch).mean()
