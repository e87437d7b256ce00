from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.hypergrad.lively import lively, reverse
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.base import kept_rng
from whet.hypergrad.forward import Forward, forward_step, hypergradient_of
from whet.hypergrad.linear import Meter, ValGrad
from whet.hypergrad.tensors import Hyper, leaves
from whet.hypergrad.updates.adam import Adam
from whet.hypergrad.updates.adamw import AdamW
from whet.hypergrad.updates.rmsprop import RMSprop
from whet.hypergrad.updates.sgd import SGD
from whet.testing import bilevel_problems as problems
from whet.testing.hypergrad_laws import UnrolledLaws, distance


class TestForward(UnrolledLaws):
    def make(self) -> Forward:
        return Forward(chunk=64)


class Crooked(torch.autograd.Function):
    """The identity, with a backward pass that is linear and the gradient of nothing, so that its Jacobian is not symmetric."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * (1 + 0.3 * ctx.saved_tensors[0].flip(-1))


class Doubled(torch.autograd.Function):
    """An honest gradient that vmap can't see into: Python looks at a value of it."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        assert float(grad.detach().abs().sum()) >= 0
        return 2 * grad


@pytest.mark.parametrize("odd", [None, Crooked.apply, Doubled.apply], ids=["plain", "no gradient", "no vmap"])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_equals_reverse_unrolling(odd: Any, chunk: int) -> None:
    problem, hyper, batches = lively(odd=odd)
    weights = problem.weights()
    found = Forward(chunk=chunk)(problem, weights, hyper, batches)
    assert distance(found, reverse(problem, weights, hyper, batches)) < 1e-10


def test_costs_one_product_a_step_and_hyperparameter() -> None:
    case = problems.with_update_knobs(problems.quadratic(steps=3))
    count = sum(t.numel() for t in leaves(case.hyper).values())
    spent = Forward()(case.problem, case.start, case.hyper, case.batches).spent
    assert (spent.grads, spent.hvps, spent.steps) == (4, 3 * count, 3)


def test_zero_tangents_go_through_no_graph() -> None:
    case = problems.quadratic(steps=3)
    problem = replace(case.problem, update=SGD(lr="lr"), penalty=(), train_loss=lambda w, b, h: (w["a"] ** 4).sum())
    found = Forward()(problem, case.start, {"lr": torch.tensor(0.1), "mix": case.hyper["mix"]}, case.batches)
    assert found.spent.hvps == 2 * 2


@pytest.mark.parametrize("update", [
    Adam(lr="lr", beta1="momentum", beta2=0.9, weight_decay="wd"), AdamW(lr="lr", beta1="momentum", beta2=0.99, weight_decay="wd"),
    RMSprop(lr="lr", momentum="momentum", weight_decay="wd", centered=True), SGD(lr="lr", momentum="momentum", weight_decay="wd"),
], ids=lambda u: type(u).__name__)  # fmt: skip
def test_equals_reverse_unrolling_for_every_update(update: Any) -> None:
    problem, hyper, batches = lively(update)
    weights = problem.weights()
    assert distance(Forward()(problem, weights, hyper, batches), reverse(problem, weights, hyper, batches)) < 1e-10


def test_steps_one_by_one_are_the_method() -> None:
    problem, hyper, batches = lively()
    weights, state, tangents, meter = problem.weights(), None, None, Meter()
    whole = Forward()(problem, weights, hyper, batches)
    state = problem.start(weights)
    with kept_rng(weights):
        for batch in batches.train:
            weights, state, tangents = forward_step(problem, weights, hyper, batch, state, tangents, meter=meter)
        assert tangents is not None
        assert all(z.shape == (len(leaves_of(hyper)), *weights[n].shape) for n, z in tangents.weights.items())
        buffers = {n: t.clone() for n, t in state.buffers.items()}
        found = hypergradient_of(tangents, ValGrad(problem, weights, hyper, batches.val, buffers=buffers))
    assert all(torch.equal(found[path], g) for path, g in leaves(whole.grads).items())
    assert whole.state is not None
    assert state.step == whole.state.step == len(batches.train)
    assert (meter.grads, meter.hvps) == (whole.spent.grads - 1, whole.spent.hvps)


def leaves_of(hyper: Hyper) -> Tensor:
    return torch.cat([t.reshape(-1) for t in leaves(hyper).values()])


def test_tangents_of_other_hyperparameters_are_refused() -> None:
    problem, hyper, batches = lively()
    weights = problem.weights()
    after, state, tangents = forward_step(problem, weights, hyper, batches.train[0], problem.start(weights))
    with pytest.raises(HypergradError, match="other hyperparameters"):
        forward_step(problem, after, {**hyper, "lr": torch.tensor(0.1)}, batches.train[1], state, tangents)


def test_too_many_hyperparameters_are_refused_with_advice() -> None:
    case = problems.quadratic()
    with pytest.raises(HypergradError, match=r"17 scalar hyperparameters and its limit is 16.*implicit"):
        Forward(limit=16)(case.problem, case.start, case.hyper, case.batches)
    with pytest.raises(HypergradError, match="at least 1"):
        Forward(chunk=0)


def test_hyperparameters_of_another_precision_keep_it() -> None:
    problem, hyper, batches = lively()
    single = {**hyper, "lr": problems.cast(hyper["lr"], torch.float32), "decay": hyper["decay"].float()}
    weights = problem.weights()
    found = leaves(Forward()(problem, weights, single, batches).grads)
    assert {p: t.dtype for p, t in found.items()} == {p: t.dtype for p, t in leaves(single).items()}
    assert distance(found, reverse(problem, weights, hyper, batches)) < 1e-6


def test_gradients_are_averaged_over_processes_but_penalties_are_not() -> None:
    problem, hyper, batches = lively()
    weights = problem.weights()

    def with_an_idle_process(tensors: Any) -> None:
        for t in tensors:
            t.mul_(0.5)

    halved = replace(
        problem,
        train_loss=lambda *a: 0.5 * problem.train_loss(*a),
        val_loss=lambda *a: 0.5 * problem.val_loss(*a),
    )
    found = Forward()(replace(problem, reduce=with_an_idle_process), weights, hyper, batches)
    assert distance(found, leaves(Forward()(halved, weights, hyper, batches).grads)) < 1e-12


@pytest.mark.parametrize(
    "loss", [lambda w, b, h: torch.ones(()), lambda w, b, h: h["l2"] ** 2], ids=["constant", "of hyper alone"]
)
def test_a_loss_without_weights_is_refused(loss: Any) -> None:
    case = problems.ridge()
    with pytest.raises(HypergradError, match="does not depend on the weights"):
        Forward()(replace(case.problem, train_loss=loss), case.start, case.hyper, case.batches)
