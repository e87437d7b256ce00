from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from whet.errors import HypergradError
from whet.hypergrad.base import Hypergradient
from whet.hypergrad.first_order import FirstOrder
from whet.hypergrad.penalties import L2
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.tensors import leaves
from whet.hypergrad.updates.sgd import SGD
from whet.testing import bilevel_problems as problems
from whet.testing.hypergrad_laws import ImplicitLaws, distance


class TestFirstOrder(ImplicitLaws):
    exact = False
    end = 2e-3
    cases = (problems.quadratic, problems.logistic)

    def make(self) -> FirstOrder:
        return FirstOrder(sigma=100.0, steps=4)

    def ladder(self) -> Sequence[Hypergradient]:
        return [FirstOrder(sigma=10.0, steps=100), FirstOrder(sigma=1e4, steps=100)]


def test_the_bias_is_of_the_order_of_one_over_sigma() -> None:
    case = problems.quadratic(0)
    weights = {n: t.detach() for n, t in case.solved().items()}
    truth = case.differentiated(case.solved)
    batches = replace(case.batches, train=case.batches.train[:1])
    errors = [
        distance(FirstOrder(sigma=s, steps=300)(case.problem, weights, case.hyper, batches), truth)
        for s in (1e2, 1e3, 1e4)
    ]
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(10, rel=0.2)


def test_says_where_it_ended_and_can_go_on_from_there() -> None:
    case = problems.ridge(1)
    batches = replace(case.batches, train=case.batches.train[:1])
    found = FirstOrder(sigma=1e3, steps=300)(case.problem, case.start, case.hyper, batches)
    solved = case.solved()
    assert found.weights is not None
    assert found.state is not None
    assert found.state.step == 300
    torch.testing.assert_close(found.weights["w"], solved["w"].detach(), rtol=1e-8, atol=1e-8)
    x = batches.train[0][0]
    hessian = x.T @ x / len(x) + case.hyper["l2"] * torch.eye(5, dtype=torch.float64)
    v = torch.func.grad(lambda w: case.outer({"w": w}))(solved["w"].detach())
    q = torch.linalg.solve(hessian, v)
    assert found.solution is not None
    assert float((found.solution["w"] - q).norm() / q.norm()) < 1e-2
    # one step from there is as good as many from nowhere
    truth = case.differentiated(case.solved)
    again = FirstOrder(sigma=1e3, steps=1)(case.problem, found.weights, case.hyper, batches, warm=found.solution)
    cold = FirstOrder(sigma=1e3, steps=1)(case.problem, found.weights, case.hyper, batches)
    assert distance(again, truth) < 0.01
    assert distance(cold, truth) > 0.3


def test_nothing_is_differentiated_twice() -> None:
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            return grad

    case = problems.ridge(2)
    problem = replace(case.problem, train_loss=lambda w, b, h: case.problem.train_loss({"w": Once.apply(w["w"])}, b, h))
    method = FirstOrder(steps=3)
    found = method(problem, case.start, case.hyper, case.batches)
    assert distance(found, leaves(method(case.problem, case.start, case.hyper, case.batches).grads)) < 1e-12
    assert found.spent.hvps == 0
    assert found.spent.steps == 6
    assert found.spent.grads == 12


def test_the_two_runs_see_the_same_dropout() -> None:
    """Else the difference of the two, times sigma, would be noise."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(5, 1)).double()
    x, y = torch.randn(20, 5).double(), torch.randn(20, 1).double()

    def loss(m: Any, batch: Any, hyper: Any) -> Tensor:
        return functional.mse_loss(m(batch[0]), batch[1])

    problem = Bilevel(train_loss=lambda m, b, h: h["gain"] * loss(m, b, h), val_loss=loss, model=model, update=SGD(lr=0.1), penalty=L2(strength=0.1))  # fmt: skip
    hyper = {"gain": torch.tensor(1.0, dtype=torch.float64)}
    data = Batches(train=[(x, y)], val=(x, y))
    sizes = []
    for sigma in (1e2, 1e4, 1e6):
        torch.manual_seed(1)
        sizes.append(float(FirstOrder(sigma=sigma, steps=5)(problem, problem.weights(), hyper, data).grads["gain"]))
    assert sizes[1] == pytest.approx(sizes[2], rel=0.01)
    assert abs(sizes[0]) < 10


@pytest.mark.parametrize("knobs", [{"sigma": 0.0}, {"sigma": float("nan")}, {"steps": 0}])
def test_knobs_out_of_range_are_refused(knobs: Any) -> None:
    with pytest.raises(HypergradError):
        FirstOrder(**knobs)
