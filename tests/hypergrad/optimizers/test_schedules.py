"""Learning-rate schedules beside a hyper-optimizer: what is not tuned follows them, and what is tuned is not for them to write."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import nn

from whet.errors import HypergradError
from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.optimizers.diff_through_opt import DiffThroughOpt
from whet.hypergrad.optimizers.hypergradient_descent import HypergradientDescent
from whet.hypergrad.optimizers.one_pass import OnePass

pytestmark = pytest.mark.filterwarnings(
    "ignore:Detected call of `lr_scheduler.step"
)  # not by an optimizer where a knob is a tensor


def still(raws: list[torch.Tensor]) -> torch.optim.Optimizer:
    return torch.optim.SGD(raws, lr=0.0)


def scheduled(optimizer: torch.optim.Optimizer) -> Any:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 / (1 + k))


def momentum(**more: Any) -> Hyperparameter:
    return Hyperparameter(0.5, transform="unit", **more)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)


@pytest.mark.parametrize("per", ["all", "weight"])
def test_what_is_not_tuned_follows_its_schedule(task: Any, per: str) -> None:
    """One momentum a weight: the learning rate, one number, still falls as a plain loop's does."""
    mine, theirs = task.model(), task.model()
    a, b = sgd(mine), sgd(theirs)
    first, second = scheduled(a), scheduled(b)
    opt = OnePass(mine, a, train_loss=task.loss, val_loss=task.loss, hyper={"momentum": momentum(per=per)}, outer=still, every=3)  # fmt: skip
    for batch in task.batches(8):
        opt.step(batch, task.batches(1, seed=1)[0])
        first.step()
        b.zero_grad()
        task.loss(theirs, batch).backward()
        b.step()
        second.step()
    for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_momentum_may_begin_later(task: Any) -> None:
    model = task.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    opt = OnePass(model, optimizer, train_loss=task.loss, val_loss=task.loss, outer=still,
                  hyper={"lr": Hyperparameter(0.1, per="weight")})  # fmt: skip
    opt.step(task.batches(1)[0])
    optimizer.param_groups[0]["momentum"] = 0.9
    opt.step(task.batches(1)[0])
    assert "momentum_buffer" in opt._inner.state_dict()["slots"]


@pytest.mark.parametrize("per", ["all", "weight"])
def test_a_schedule_of_what_is_tuned_is_an_error(task: Any, per: str) -> None:
    model = task.model()
    optimizer = sgd(model)
    schedule = scheduled(optimizer)
    hyper = {"lr": Hyperparameter(0.1, transform="log10", per=per)}
    opt = OnePass(model, optimizer, train_loss=task.loss, val_loss=task.loss, hyper=hyper, every=2)
    batches = task.batches(5)
    for batch in batches[:3]:
        opt.step(batch, batch)
    opt.hyper["lr"].set(0.05)  # a value that the user sets is no schedule
    opt.step(batches[3], batches[3])
    schedule.step()
    with pytest.raises(HypergradError, match="lr is tuned, and something else") as caught:
        opt.step(batches[4])
    assert "tune=()" in caught.value.fix


def test_a_saved_state_may_be_loaded_in_the_middle(task: Any) -> None:
    """The optimizer's groups then change, and nobody is to blame."""
    model = task.model()
    opt = OnePass(model, sgd(model), train_loss=task.loss, val_loss=task.loss, every=1,
                  hyper={"lr": Hyperparameter(0.1, transform="log10")})  # fmt: skip
    batch = task.batches(1)[0]
    opt.step(batch, batch)
    saved = io.BytesIO()
    torch.save(opt.state_dict(), saved)
    opt.step(batch, batch)
    opt.load_state_dict(torch.load(io.BytesIO(saved.getvalue()), weights_only=True))
    opt.step(batch, batch)


@pytest.mark.parametrize(("kind", "per"), [(DiffThroughOpt, "all"), (DiffThroughOpt, "weight"), (HypergradientDescent, "all")])  # fmt: skip
def test_a_saved_state_goes_on_with_its_schedule(task: Any, kind: Any, per: str) -> None:
    """The steps that are differentiated were made with the learning rates of their time."""
    batches, val = task.batches(10), task.batches(1, seed=1)[0]

    def made() -> tuple[Any, Any]:
        model = task.model()
        optimizer = sgd(model)
        schedule = scheduled(optimizer)
        more = {"beta": 1e-3} if kind is HypergradientDescent else {"every": 10, "outer": still}
        opt = kind(model, optimizer, train_loss=task.loss, val_loss=task.loss, hyper={"momentum": momentum(per=per)}, **more)  # fmt: skip
        return opt, schedule

    def go(opt: Any, schedule: Any, some: Any) -> Any:
        for batch in some:
            result = opt.step(batch, val)
            schedule.step()
        return result.hypergrad.grads["momentum"]

    opt, schedule = made()
    for batch in batches[:8]:
        opt.step(batch, val)
        schedule.step()
    saved = io.BytesIO()
    torch.save([opt.model.state_dict(), opt.state_dict(), schedule.state_dict()], saved)
    wanted = go(opt, schedule, batches[8:])
    again, its = made()
    for part, state in zip((again.model, again, its), torch.load(io.BytesIO(saved.getvalue()), weights_only=True), strict=True):  # fmt: skip
        part.load_state_dict(state)
    torch.testing.assert_close(go(again, its, batches[8:]), wanted, rtol=0, atol=0)


def test_hypergradient_descent_differentiates_the_step_that_was_made(task: Any) -> None:
    found = []
    for rate in (0.1, 0.001):
        model = task.model()
        optimizer = sgd(model)
        opt = HypergradientDescent(model, optimizer, train_loss=task.loss, hyper={"momentum": momentum()}, outer=still)
        for batch in task.batches(2):
            opt.step(batch)
        optimizer.param_groups[0]["lr"] = rate  # for the next step, not for the last
        result = opt.step(task.batches(3)[2])
        found.append(float(result.hypergrad.grads["momentum"]))  # type: ignore[union-attr, arg-type]
    assert found[0] == found[1] != 0
