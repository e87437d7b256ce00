"""Tensors of odd types, shapes and memory: what is given is neither written to nor returned, and what does not fit is refused in words."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from whet.errors import HypergradError
from whet.hypergrad.base import Hypergradient
from whet.hypergrad.drmad import DrMAD
from whet.hypergrad.first_order import FirstOrder
from whet.hypergrad.forward import Forward
from whet.hypergrad.implicit import Implicit
from whet.hypergrad.onestep import OneStep
from whet.hypergrad.penalties import L2
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.reversible import Reversible
from whet.hypergrad.solve import CG, Dense, Neumann, Nystrom
from whet.hypergrad.unrolled import Unrolled
from whet.hypergrad.updates.adam import Adam
from whet.hypergrad.updates.base import Update
from whet.hypergrad.updates.groups import Groups
from whet.hypergrad.updates.sgd import SGD

SOLVERS = [CG(), Neumann(), Dense(), Nystrom(rank=3)]


def squares(model: nn.Module, x: Tensor, hyper: Any) -> Tensor:
    return (model(x) ** 2).mean()


def off_one(model: nn.Module, x: Tensor, hyper: Any) -> Tensor:
    return ((model(x) - 1) ** 2).mean()


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(5, 1)


@pytest.mark.parametrize("per_layer", [False, True])
@pytest.mark.parametrize("method", [FirstOrder(steps=2), Unrolled(), DrMAD(), Forward(), OneStep(), Reversible(), Implicit(system="update"),
                                    *(Implicit(solve=s) for s in SOLVERS)], ids=repr)  # fmt: skip
def test_penalties_with_strengths_in_double_precision(method: Hypergradient, per_layer: bool) -> None:
    made = Bilevel(train_loss=squares, val_loss=off_one, model=linear(), penalty=L2(strength="decay"), update=SGD(lr=0.1, momentum=0.5))  # fmt: skip
    batches = Batches(train=[torch.randn(4, 5) for _ in range(2)], val=torch.randn(4, 5))

    def grads(dtype: torch.dtype) -> Any:
        one = torch.tensor(0.1, dtype=dtype)
        decay = {"weight": torch.full((1, 5), 0.1, dtype=dtype), "bias": one} if per_layer else one
        return method(made, made.weights(), {"decay": decay}, batches).grads

    torch.testing.assert_close(grads(torch.float64), grads(torch.float32), check_dtype=False, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("update", [SGD(lr="lr"), SGD(lr=0.1, weight_decay="lr"), Adam(lr="lr")], ids=repr)
@pytest.mark.parametrize("method", [Unrolled(), Forward(), DrMAD(), FirstOrder(steps=2), Implicit(system="update")], ids=repr)  # fmt: skip
def test_a_knob_of_a_group_that_would_make_its_weights_grow(method: Hypergradient, update: Update) -> None:
    made = Bilevel(
        train_loss=lambda w, _, h: (w["w"] ** 2).sum() + (w["b"] ** 2).sum(),
        val_loss=lambda w, _, h: w["w"].sum() * w["b"].sum(),
        update=Groups(groups=((("w", "b"), update),)),
    )
    weights, batches = {"w": torch.ones(3), "b": torch.ones(1)}, Batches(train=[None] * 2, val=None)
    with pytest.raises(HypergradError, match=r"'lr' has shape \(3,\) and the weight 'b' \(1,\): give a scalar, or a mapping"):  # fmt: skip
        method(made, weights, {"lr": torch.full((3,), 0.1)}, batches)


@pytest.mark.parametrize("update", [SGD(lr=0.1), SGD(lr="lr", momentum=0.5), Adam(lr="lr")], ids=repr)
def test_forward_mode_takes_tensors_whose_elements_share_memory(update: Update) -> None:
    """That of the gradient of a sum does, and so does every expanded hyperparameter."""
    made = Bilevel(
        train_loss=lambda w, _, h: w["a"].sum() * h["s"] + (w["b"] ** 2 * h["v"]).sum(),
        val_loss=lambda w, _, h: (w["a"] ** 2).sum() + (w["b"] ** 2).sum(),
        update=update,
    )
    weights = {"a": torch.ones(3), "b": torch.ones(1).expand(3)}
    hyper = {"s": torch.tensor(0.1), "v": torch.ones(1).expand(3), "lr": torch.full((1,), 0.1).expand(3)}
    if update.hyper_names == frozenset():
        del hyper["lr"]
    batches = Batches(train=[None] * 3, val=None)
    found = Forward()(made, weights, hyper, batches)
    wanted = Unrolled()(made, {n: w.contiguous() for n, w in weights.items()}, {n: t.contiguous() for n, t in hyper.items()}, batches)  # fmt: skip
    torch.testing.assert_close(found.grads, wanted.grads)


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("penalty", [(), L2(strength="decay")], ids=["plain", "L2"])
def test_weights_may_lie_in_any_order(solver: Any, penalty: Any) -> None:
    torch.manual_seed(0)
    image = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    weights = {"turned": torch.randn(3, 4).t(), "kernel": torch.randn(2, 3, 2, 2).to(memory_format=torch.channels_last)}
    made = Bilevel(
        train_loss=lambda w, x, h: ((x @ w["turned"]) ** 2).mean() + h["decay"] * (w["turned"] ** 2).sum()
        + (torch.conv2d(image, w["kernel"]) ** 2).mean(),
        val_loss=lambda w, x, h: sum(((t - 1) ** 2).sum() for t in w.values()),
        penalty=penalty,
    )  # fmt: skip
    hyper, batches = {"decay": torch.tensor(0.1)}, Batches(train=[torch.randn(6, 4)], val=None)
    found = Implicit(solve=solver)(made, weights, hyper, batches)
    wanted = Implicit(solve=solver)(made, {n: w.contiguous() for n, w in weights.items()}, hyper, batches)
    torch.testing.assert_close(found.grads, wanted.grads)
    torch.testing.assert_close(found.solution, wanted.solution)


@pytest.mark.parametrize("method", [Forward(), Unrolled(), DrMAD(), FirstOrder(steps=2)], ids=repr)
def test_a_weight_in_no_group_is_returned_in_memory_of_its_own(method: Hypergradient) -> None:
    model = linear()
    made = Bilevel(
        train_loss=lambda model, x, h: squares(model, x, h) * h["s"], val_loss=off_one, model=model,
        update=Groups(groups=((("weight",), SGD(lr=0.1)),)),
    )  # fmt: skip
    found = method(made, made.weights(), {"s": torch.tensor(0.1)}, Batches(train=[torch.randn(4, 5)] * 2, val=torch.randn(4, 5)))  # fmt: skip
    assert found.weights is not None
    assert torch.equal(found.weights["bias"], model.bias)
    assert found.weights["bias"].data_ptr() != model.bias.data_ptr()


def test_derivatives_share_no_memory() -> None:
    made = Bilevel(
        train_loss=lambda w, _, h: ((w["w"] - h["x"]) ** 2).sum(),
        val_loss=lambda w, _, h: (w["w"] ** 2).sum() + (h["y"] + h["z"]).sum(),
        update=SGD(lr=0.1),
    )
    hyper = {n: torch.ones(3) for n in "xyz"}
    found = FirstOrder(steps=2)(made, {"w": torch.ones(3)}, hyper, Batches(train=[None], val=None))
    found.grads["y"].mul_(2)
    assert torch.equal(found.grads["y"], torch.full((3,), 2.0))
    assert torch.equal(found.grads["z"], torch.ones(3))


class Product(torch.autograd.Function):
    """x·y, whose backward pass hands y itself on."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(y)
        return torch.dot(x, y)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.saved_tensors[0], None


@pytest.mark.parametrize("form", [lambda t: t, lambda t: (t,), lambda t: {"x": t}], ids=["tensor", "tuple", "dict"])
@pytest.mark.parametrize("method", [OneStep(), Implicit(), FirstOrder(steps=2), Unrolled()], ids=repr)
def test_a_batch_that_is_the_gradient_itself_is_left_as_it_is(method: Hypergradient, form: Any) -> None:
    def val_loss(w: Any, x: Any, hyper: Any) -> Tensor:
        x = x if isinstance(x, Tensor) else x["x"] if isinstance(x, dict) else x[0]
        return Product.apply(w["w"], x) + Product.apply(hyper["direct"], x)

    made = Bilevel(
        train_loss=lambda w, _, h: (w["w"] ** 2).sum() * h["s"], val_loss=val_loss, penalty=L2(strength="decay"),
        reduce=lambda tensors: [t.mul_(3) for t in tensors] and None,
    )  # fmt: skip
    x = torch.arange(3.0)
    hyper = {"s": torch.tensor(0.5), "direct": torch.ones(3), "decay": torch.tensor(0.1)}
    found = method(made, {"w": torch.ones(3)}, hyper, Batches(train=[None], val=form(x)))
    assert torch.equal(x, torch.arange(3.0))
    assert all(t.data_ptr() != x.data_ptr() for t in found.grads.values() if isinstance(t, Tensor))
