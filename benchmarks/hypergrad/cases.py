"""What `cost` measures: one row a method, one case a tool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from benchmarks.hypergrad import methods, peers
from benchmarks.hypergrad.peers import plain
from benchmarks.hypergrad.problems import MODELS, Task, image_task
from whet.hypergrad.checkpointer import Checkpointer
from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.optimizers.one_pass import OnePass

__all__ = ["BUDGETS_MB", "LOOP", "Case", "PLAIN", "RUN", "Setting", "cases", "find"]

PLAIN, RUN = "plain SGD step", "plain run of 10 steps"
LOOP = "10 steps, one of them a one-pass i=5"
BUDGETS_MB = (200, 300, 600)

Call = Callable[[], Any]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where everything is measured: a model of `MODELS`, its data, and the device."""

    model: str
    data: Path | None = None
    device: str = "cpu"

    def task(self, *, scalar: bool = False, decay: float = 1e-4) -> Task:
        """Return a task of its own, with weights that nobody else moves."""
        return image_task(self.model, data=self.data, scalar=scalar, decay=decay, device=self.device)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One method by one tool.

    Args:
        row: The method and its settings, as the table shows it.
        tool: "Whet", a peer, or "plain".
        build: Makes the call that is measured; tasks, optimizers and models are made in it, not in the call.
        method: The name under which `truth` judged it.
        base: What it is compared with: `PLAIN` or `RUN`.
        heavy: Seconds long, so that it is measured fewer times.
    """

    row: str
    tool: str
    build: Callable[[Setting], Call] = field(repr=False)
    method: str = ""
    base: str = PLAIN
    heavy: bool = False

    @property
    def key(self) -> str:
        """Its name in the results."""
        return f"{self.row}/{self.tool}"


def cases(model: str) -> Iterator[Case]:
    """Yield the cases of a model, Whet's beside those of its peers; peers that are not installed are missing."""
    yield Case(row=PLAIN, tool="plain", build=lambda s: partial(plain.sgd_step, s.task()))
    yield Case(row=RUN, tool="plain", build=_plain_run, base=RUN)
    yield Case(row=LOOP, tool="Whet", build=_whet_loop, method="one_pass", base=RUN)
    yield Case(row=LOOP, tool="plain", build=_plain_loop, method="one_pass", base=RUN)
    if MODELS[model].loops_only:
        return
    yield from _all("T1–T2", "one_step")
    yield from _all("Neumann K=5", "neumann", terms=5)
    # Decay enough that curvature is positive: an untrained network's is not, and Whet's CG would stop there while others go on.
    yield from _all("CG K=5", "cg", decay=10.0, steps=5)
    yield Case(row="one-pass i=5 with its weight step", tool="Whet", build=_whet_one_pass, method="one_pass")
    yield Case(row="one-pass i=5 with its weight step", tool="plain", method="one_pass",
               build=lambda s: partial(plain.one_pass, s.task(), 5))  # fmt: skip
    yield from _all("unrolled T=5", "unrolled", steps=5)
    yield from _all("unrolled T=20", "unrolled", steps=20)
    yield _whet("unrolled T=20, every state kept, no graph", "unrolled", steps=20, checkpoints=Checkpointer(every=1))
    yield _whet("Reversible T=20, momentum .9", "reversible", steps=20, momentum=0.9)
    yield _whet("Forward T=5, one decay for all", "forward", scalar=True, steps=5)
    yield _whet("DrMAD T=20", "drmad", steps=20)
    long = MODELS[model].long
    yield _whet(f"DrMAD T={long}", "drmad", heavy=True, steps=long)
    if not MODELS[model].unroll_long:
        return
    for budget in BUDGETS_MB:
        within = Checkpointer(budget_mb=budget)
        yield _whet(f"unrolled T={long}, {budget} MB", "unrolled", heavy=True, steps=long, checkpoints=within)
    yield from _all(f"unrolled T={long}", "unrolled", heavy=True, steps=long)


def find(model: str, key: str) -> Case:
    """Return the case of this name."""
    return next(case for case in cases(model) if case.key == key)


def _all(row: str, method: str, *, heavy: bool = False, decay: float = 1e-4, **knobs: Any) -> Iterator[Case]:
    yield _whet(row, method, heavy=heavy, decay=decay, **knobs)
    for peer in peers.PEERS:
        call = getattr(peers.load(peer), method, None)
        if call is not None:
            build = partial(_build, call, decay=decay, **knobs)
            yield Case(row=row, tool=peer, method=method, heavy=heavy, build=build)


def _whet(row: str, method: str, *, heavy: bool = False, **knobs: Any) -> Case:
    return Case(
        row=row, tool="Whet", method=method, heavy=heavy, build=partial(_build, getattr(methods, method), **knobs)
    )


def _build(
    call: Callable[..., Any], setting: Setting, *, scalar: bool = False, decay: float = 1e-4, **knobs: Any
) -> Call:
    return partial(call, setting.task(scalar=scalar, decay=decay), **knobs)


_LR, _MOMENTUM, _DECAY = 0.01, 0.5, 1e-4


def _plain_run(setting: Setting) -> Call:
    return plain.sgd_steps(setting.task(), 10, _LR, _MOMENTUM, _DECAY)


def _plain_loop(setting: Setting) -> Call:
    return plain.one_pass_loop(setting.task(), 10, 5, _LR, _MOMENTUM, _DECAY)


def _cross_entropy(model: Any, batch: Any) -> Tensor:
    return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])


def _whet_loop(setting: Setting) -> Call:
    task = setting.task()
    optimizer = torch.optim.SGD(task.model.parameters(), lr=_LR, momentum=_MOMENTUM, weight_decay=_DECAY)
    tuner = OnePass(
        task.model, optimizer, train_loss=_cross_entropy, val_loss=_cross_entropy, every=10, lookback=5,
        hyper={
            "lr": Hyperparameter(_LR, transform="log10"),
            "momentum": Hyperparameter(_MOMENTUM, transform="unit"),
            "weight_decay": Hyperparameter(_DECAY, transform="log10"),
        },
    )  # fmt: skip

    def run() -> None:
        for i in range(10):
            tuner.step(task.train[i % len(task.train)], task.val)

    return run


def _whet_one_pass(setting: Setting) -> Call:
    task = setting.task()
    tuner = OnePass(
        task.model, torch.optim.SGD(task.model.parameters(), lr=task.rate), train_loss=_cross_entropy, val_loss=_cross_entropy,
        hyper={"weight_decay": Hyperparameter(1e-4, per="weight", low=0.0)}, every=1, lookback=5,
        outer=lambda raws: torch.optim.SGD(raws, lr=0.0),
    )  # fmt: skip
    return partial(tuner.step, task.train[0], task.val)
