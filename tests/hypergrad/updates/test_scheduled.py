from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from whet.hypergrad.updates.adam import Adam
from whet.hypergrad.updates.adamw import AdamW
from whet.hypergrad.updates.base import Times, Update
from whet.hypergrad.updates.clipped import Clipped
from whet.hypergrad.updates.groups import Groups
from whet.hypergrad.updates.scheduled import Late, Scheduled
from whet.hypergrad.updates.sgd import SGD


def warm_up(t: int) -> float:
    return min(1.0, (t + 1) / 5) * 0.9**t


def run(update: Update, hyper: dict[str, Any], inplace: bool, steps: int = 25) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    weights = {"w": torch.randn(11, generator=generator, dtype=torch.float64)}
    state = update.init(weights)
    for _ in range(steps):
        grads = {"w": torch.randn(11, generator=generator, dtype=torch.float64)}
        if inplace:
            state = update.step_(weights, grads, state, hyper)
        else:
            weights, state = update(weights, grads, state, hyper)
    assert state.step == steps
    return weights["w"]


def torch_run(optimizer: Callable[[Any], torch.optim.Optimizer], schedule: Callable[[Any], Any], steps: int = 25) -> torch.Tensor:  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    param = nn.Parameter(torch.randn(11, generator=generator, dtype=torch.float64))
    opt = optimizer([param])
    scheduler = schedule(opt)
    for _ in range(steps):
        param.grad = torch.randn(11, generator=generator, dtype=torch.float64)
        opt.step()
        scheduler.step()
    return param.detach()


@pytest.mark.parametrize("inplace", [False, True])
def test_equal_to_lambda_lr(inplace: bool) -> None:
    expected = torch_run(lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), lambda o: torch.optim.lr_scheduler.LambdaLR(o, warm_up))  # fmt: skip
    assert torch.equal(run(Scheduled(update=SGD(lr=0.1, momentum=0.9), factor=warm_up), {}, inplace), expected)
    tuned = Scheduled(update=SGD(lr="lr", momentum=0.9), factor=warm_up)
    lr = torch.tensor(0.1, dtype=torch.float64)
    torch.testing.assert_close(run(tuned, {"lr": lr}, inplace), expected, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(run(tuned, {"lr": {"w": lr.expand(11)}}, inplace), expected, rtol=1e-13, atol=1e-13)


def test_equal_to_cosine_annealing() -> None:
    def cosine(t: int) -> float:
        import math

        return 0.5 * (1 + math.cos(math.pi * t / 25))

    expected = torch_run(lambda p: torch.optim.AdamW(p, lr=0.1), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 25))  # fmt: skip
    torch.testing.assert_close(
        run(Scheduled(update=AdamW(lr=0.1), factor=cosine), {}, True), expected, rtol=1e-12, atol=1e-12
    )


def test_wrappers_in_any_order_scale_the_learning_rate_alone() -> None:
    factor = lambda t: 0.5  # noqa: E731
    plain = run(SGD(lr=0.05, weight_decay=0.1), {}, False)
    for update in (
        Scheduled(update=SGD(lr=0.1, weight_decay=0.1), factor=factor),
        Scheduled(update=Scheduled(update=SGD(lr=0.2, weight_decay=0.1), factor=factor), factor=factor),
        Scheduled(update=Clipped(update=SGD(lr=0.1, weight_decay=0.1), max_norm=1e9), factor=factor),
        Clipped(update=Scheduled(update=SGD(lr=0.1, weight_decay=0.1), factor=factor), max_norm=1e9),
        Scheduled(
            update=Groups(groups=((("w",), Late(update=SGD(lr=0.1, weight_decay=0.1), start=0)),)), factor=factor
        ),
    ):
        assert torch.equal(run(update, {}, False), plain)
        assert torch.equal(run(update, {}, True), plain)
    both = {
        "x": torch.tensor(0.1, dtype=torch.float64)
    }  # one hyperparameter for two knobs: only one of them is scheduled
    torch.testing.assert_close(run(Scheduled(update=SGD(lr="x", weight_decay="x"), factor=factor), both, False), plain)


def test_the_learning_rates_derivative_has_the_factor() -> None:
    weights, grads = {"w": torch.ones(3)}, {"w": torch.full((3,), 2.0)}
    update = Scheduled(update=SGD(lr="lr"), factor=lambda t: 0.25)
    found = update.vjp(weights, grads, update.init(weights), {"lr": torch.tensor(0.1)}, {"w": torch.ones(3)})
    assert float(found.hyper["lr",]) == pytest.approx(-0.25 * 6)
    assert Adam(lr="lr").scaled(0.5).scaled(0.5) == Adam(lr=Times("lr", 0.25))


def test_late_weights_count_their_own_steps() -> None:
    weights, grads = {"w": torch.ones(3)}, {"w": torch.full((3,), 2.0)}
    own, late = Adam(lr=0.1), Late(update=Adam(lr=0.1), start=7)
    expected, state = own(weights, grads, own.init(weights), {})
    found, after = late(weights, grads, late.init(weights), {})
    assert torch.equal(found["w"], expected["w"])
    assert after.step == 8
    again, _ = late(found, grads, after, {})
    assert torch.equal(again["w"], own(expected, grads, state, {})[0]["w"])
