"""What a model keeps besides its weights: whatever a loss does to it, it is as before the call."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from whet.hypergrad.base import Hypergradient
from whet.hypergrad.drmad import DrMAD
from whet.hypergrad.first_order import FirstOrder
from whet.hypergrad.forward import Forward
from whet.hypergrad.implicit import Implicit
from whet.hypergrad.onestep import OneStep
from whet.hypergrad.penalties import L2
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.reversible import Reversible
from whet.hypergrad.unrolled import Unrolled
from whet.hypergrad.updates.adapt import adapt, read_state
from whet.hypergrad.updates.base import State, Update
from whet.hypergrad.updates.sgd import SGD

METHODS = [FirstOrder(steps=3), Unrolled(), DrMAD(), Forward(), Reversible(), OneStep(), Implicit(), Implicit(system="update")]  # fmt: skip


def problem(model: nn.Module, update: Update | None = None) -> Bilevel:
    return Bilevel(
        train_loss=lambda model, x, hyper: (model(x) ** 2).mean(),
        val_loss=lambda model, x, hyper: ((model(x) - 1) ** 2).mean(),
        model=model,
        update=SGD(lr=0.1) if update is None else update,
        penalty=L2(strength="decay"),
    )


def batches() -> Batches:
    torch.manual_seed(1)
    return Batches(train=[torch.randn(8, 3) for _ in range(3)], val=torch.randn(8, 3))


def normalised() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_the_state_of_an_optimizer_lacks_buffers_and_the_models_stand_in(method: Hypergradient) -> None:
    model = normalised()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    update = adapt(optimizer, model)
    made, hyper = problem(model, update), {"decay": torch.tensor(0.1)}
    before = {n: t.clone() for n, t in model.named_buffers()}
    state = read_state(optimizer, model, update)
    assert not state.buffers
    found = method(made, made.weights(), hyper, batches(), state=state)
    assert all(torch.equal(t, before[n]) for n, t in model.named_buffers())
    fresh = method(made, made.weights(), hyper, batches())
    torch.testing.assert_close((found.loss, found.grads), (fresh.loss, fresh.grads))
    if found.state is not None and fresh.state is not None:
        torch.testing.assert_close(dict(found.state.buffers), dict(fresh.state.buffers))


def test_a_step_from_a_state_without_buffers_has_the_models() -> None:
    model = normalised()
    made, x, hyper = problem(model), torch.ones(4, 3), {"decay": torch.tensor(0.1)}
    before = {n: t.clone() for n, t in model.named_buffers()}
    after = made.step(made.weights(), hyper, x, State())[1]
    assert after.buffers.keys() == before.keys()
    assert int(after.buffers["1.num_batches_tracked"]) == 1
    assert all(torch.equal(t, before[n]) for n, t in model.named_buffers())


class Filling(nn.Module):
    """Keeps in its buffers what depends on its weights: in one that was None, and in one that it makes."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 1)
        self.cache: Any
        self.register_buffer("cache", None)

    def forward(self, x: Tensor) -> Tensor:
        self.cache = self.linear.weight * 2
        self.register_buffer("late", self.linear.weight * 3)
        return self.linear(x)


class Dropping(nn.Module):
    """Sets a buffer to None."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: Any
        self.register_buffer("cache", torch.ones(1))
        self.linear = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        self.cache = None
        return self.linear(x)


@pytest.mark.parametrize("method", [OneStep(), Unrolled(), FirstOrder(steps=2), Forward()], ids=repr)
@pytest.mark.parametrize("kind", [Filling, Dropping])
def test_buffers_that_come_and_go_are_as_before(method: Hypergradient, kind: type[nn.Module]) -> None:
    model = kind()
    before = {n: dict(m._buffers) for n, m in model.named_modules()}
    parameters = list(model.parameters())
    made = problem(model)
    method(made, made.weights(), {"decay": torch.tensor(0.1)}, batches())
    assert {n: list(m._buffers) for n, m in model.named_modules()} == {n: list(b) for n, b in before.items()}
    assert all(m._buffers[key] is t for n, m in model.named_modules() for key, t in before[n].items())
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
