"""OnePass: the sum it promises, its kin, its cost, and that it gets somewhere."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.implicit import Implicit
from whet.hypergrad.optimizers.one_pass import OnePass
from whet.hypergrad.optimizers.t1t2 import T1T2
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.solve.neumann import Neumann
from whet.hypergrad.tensors import detached, leaves


def log10(value: float, **more: Any) -> Hyperparameter:
    return Hyperparameter(value, transform="log10", **more)


def knobs() -> dict[str, Hyperparameter]:
    return {
        "lr": log10(0.1),
        "momentum": Hyperparameter(0.6, transform="unit"),
        "weight_decay": log10(1e-2),
        "smooth": Hyperparameter(0.1),
    }


def smoothed(model: Any, batch: Any, hyper: Any) -> Tensor:
    """Cross-entropy with label smoothing as a hyperparameter of the loss."""
    logs = torch.log_softmax(model(batch[0]), 1)
    wanted = torch.nn.functional.one_hot(batch[1], 3) * (1 - hyper["smooth"]) + hyper["smooth"] / 3
    return -(wanted * logs).sum(1).mean()


def written_out(
    opt: OnePass, before: dict[str, Tensor], momentum: dict[str, Tensor], batch: Any, val: Any, terms: int
) -> dict[str, float]:
    """−Σ_{j<i} v (I − ∂u/∂w)ʲ ∂u/∂λ with dense Jacobians, from the definition of the update."""
    shapes = {n: w.shape for n, w in before.items()}
    sizes = [w.numel() for w in before.values()]
    values = {n: t.detach() for n, t in opt.hyper.tensors().items()}
    problem = opt.problem

    def split(flat: Tensor) -> dict[str, Tensor]:
        return {n: p.reshape(s) for (n, s), p in zip(shapes.items(), flat.split(sizes), strict=True)}

    def flat(tensors: dict[str, Tensor]) -> Tensor:
        return torch.cat([t.reshape(-1) for t in tensors.values()])

    def u(w: Tensor, h: dict[str, Tensor]) -> Tensor:
        parts = split(w)
        g = flat(torch.func.grad(lambda p: problem.train(p, h, batch))(parts))
        return h["lr"] * (h["momentum"] * flat(momentum) + g + h["weight_decay"] * w)

    at = flat(before)
    du_dw = torch.func.jacrev(u)(at, values)
    du_dh = torch.func.jacrev(u, argnums=1)(at, values)
    v = flat(torch.func.grad(lambda p: problem.val(p, values, val))(detached(dict(opt.model.named_parameters()))))
    total = sum(v @ torch.linalg.matrix_power(torch.eye(len(at), dtype=at.dtype) - du_dw, j) for j in range(terms))
    return {n: float(-total @ d) for n, d in du_dh.items()}


@pytest.mark.parametrize("lookback", [1, 2, 5])
def test_it_is_the_sum_that_it_says(task: Any, lookback: int) -> None:
    model = task.model()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.6)
    opt = OnePass(model, sgd, train_loss=smoothed, val_loss=task.loss, hyper=knobs(), every=4, lookback=lookback,
                  outer=lambda raws: torch.optim.SGD(raws, lr=0.0))  # fmt: skip
    batches, vals = task.batches(4), task.batches(4, seed=1)
    for i in range(3):
        opt.step(batches[i], vals[i])
    before = detached(dict(model.named_parameters()), copy=True)
    momentum = {n: sgd.state[p]["momentum_buffer"].clone() for n, p in model.named_parameters()}
    result = opt.step(batches[3], vals[3])
    wanted = written_out(opt, before, momentum, batches[3], vals[3], lookback)
    assert result.hypergrad is not None
    found = {n: float(t) for n, t in result.hypergrad.grads.items()}  # type: ignore[arg-type]
    assert found == pytest.approx(wanted, rel=1e-9)
    assert result.hypergrad.spent.hvps == lookback - 1
    assert result.hypergrad.spent.grads == 2


def test_at_a_minimum_it_is_the_implicit_method_and_truncated_unrolling(ridge: Any) -> None:
    """There the update vanishes, so it does not matter whether F is looked at before or after it."""
    x, y = ridge.train
    w = torch.linalg.solve(x.T @ x / len(x) + 0.3 * torch.eye(20, dtype=torch.float64), x.T @ y / len(x))
    grads = []
    for terms in (3, 5):
        model = ridge.model()
        with torch.no_grad():
            model.weight.copy_(w.T)
        opt = OnePass(model, torch.optim.SGD(model.parameters(), lr=0.4), train_loss=ridge.loss, val_loss=ridge.loss, every=1,
                      hyper={"weight_decay": log10(0.3)}, lookback=terms, outer=lambda raws: torch.optim.SGD(raws, lr=0.0))  # fmt: skip
        problem, values = opt.problem, opt.hyper.tensors()
        found = opt.step(ridge.train, ridge.val).hypergrad
        assert found is not None
        weights = {"weight": w.T.clone()}
        implicit = Implicit(solve=Neumann(terms=terms - 1, scale=1.0), system="update")
        peer = implicit(problem, weights, values, Batches(train=[ridge.train], val=ridge.val))
        assert float(found.grads["weight_decay"]) == pytest.approx(float(peer.grads["weight_decay"]), rel=1e-10)  # type: ignore[arg-type]
        own = values["weight_decay"].clone().requires_grad_()  # type: ignore[union-attr]
        moved, state = weights, problem.start(weights)
        for _ in range(terms):
            moved, state = problem.step(moved, {"weight_decay": own}, ridge.train, state)
        unrolled = torch.autograd.grad(problem.val(moved, {}, ridge.val), own)[0]
        assert float(found.grads["weight_decay"]) == pytest.approx(float(unrolled), rel=1e-10)  # type: ignore[arg-type]
        grads.append(float(unrolled))
    assert grads[0] != pytest.approx(grads[1], rel=1e-3)


def test_one_term_is_t1t2(task: Any) -> None:
    grads = []
    for kind, more in ((OnePass, {"lookback": 1}), (T1T2, {})):
        model = task.model()
        opt = kind(
            model,
            torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.6),
            train_loss=smoothed,
            val_loss=task.loss,
            hyper=knobs(),
            every=3,
            **more,
        )
        for batch, val in zip(task.batches(6), task.batches(6, seed=1), strict=True):
            result = opt.step(batch, val)
        grads.append(leaves(result.hypergrad.grads))
    assert grads[0] == grads[1]


def test_one_learning_rate_a_weight_adds_up_to_one_for_all(task: Any) -> None:
    totals = []
    for per in ("all", "layer", "weight"):
        model = task.model()
        opt = OnePass(
            model,
            torch.optim.SGD(model.parameters(), lr=0.1),
            train_loss=task.loss,
            val_loss=task.loss,
            every=1,
            hyper={"lr": log10(0.1, per=per)},
        )
        found = opt.step(task.batches(1)[0], task.batches(1, seed=1)[0]).hypergrad
        assert found is not None
        totals.append(sum(float(t.sum()) for t in leaves(found.grads).values()))
        if per == "weight":
            assert opt.hyper["lr"].raw["0.weight"].shape == (8, 6)
            rates = opt.hyper["lr"].value()["0.weight"]
            assert rates.std() > 1e-3  # each went its own way
    assert totals == pytest.approx([totals[0]] * 3, rel=1e-9)


class _NoModules:
    parents = frozenset({"Global"})

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def gflop(call: Any) -> float:
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _NoModules()  # hooks on modules break the derivative of a gradient
    with counter:
        call()
    return counter.get_total_flops() / 1e9


def test_what_a_step_costs_on_the_large_network() -> None:
    """784-1024-1024-10, batch 64: a hyper-step with its weight step 5.30 GFLOP, so 1.77 plain steps on average over ten."""
    model = nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    batch = torch.randn(64, 784), torch.randint(0, 10, (64,))

    def loss(m: Any, b: Any) -> Tensor:
        return nn.functional.cross_entropy(m(b[0]), b[1])

    opt = OnePass(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), train_loss=loss, val_loss=loss, every=2,
                  hyper={"lr": log10(0.1), "momentum": Hyperparameter(0.9, transform="unit"), "weight_decay": log10(1e-4)})  # fmt: skip
    plain = gflop(lambda: opt.step(batch, batch))
    hyper = gflop(lambda: opt.step(batch, batch))
    assert opt.num_hyper_steps == 1
    assert plain == pytest.approx(0.612, abs=1e-3)
    assert hyper == pytest.approx(5.30, abs=0.01)
    assert (9 * plain + hyper) / (10 * plain) <= 1.77


def test_it_finds_the_best_decay_of_a_grid(ridge: Any) -> None:
    """As long as the sum is no shorter than the problem's memory."""
    model = ridge.model()
    opt = OnePass(model, torch.optim.SGD(model.parameters(), lr=0.4), train_loss=ridge.loss, val_loss=ridge.loss, every=3,
                  hyper={"weight_decay": log10(0.1)}, lookback=40, outer=lambda raws: torch.optim.SGD(raws, lr=2.0))  # fmt: skip
    for _ in range(60):
        opt.step(ridge.train, ridge.val)
    assert math.log10(opt.hyper["weight_decay"].item()) == pytest.approx(ridge.log10, abs=0.05)
    assert float(ridge.loss(model, ridge.val)) == pytest.approx(ridge.lowest, rel=1e-3)


@pytest.mark.slow
def test_it_rescues_a_bad_learning_rate(digits: Any) -> None:
    """From 1e-4, where 600 plain steps get nowhere."""
    losses = []
    for every in (math.inf, 10):
        model = digits.model()
        opt = OnePass(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5), train_loss=digits.loss, val_loss=digits.loss, every=every,
                      hyper={"lr": log10(1e-4), "momentum": Hyperparameter(0.5, transform="unit"), "weight_decay": log10(1e-4)})  # fmt: skip
        for batch, val in zip(digits.drawn(digits.train, 600, 1), digits.drawn(digits.val, 600, 2), strict=True):
            opt.step(batch, val)
        losses.append(digits.score(model, digits.test))
    assert losses[0] > 2.2
    assert losses[1] < 0.35
    assert 3e-3 < opt.hyper["lr"].item() < 1


def test_the_problem_it_differentiates_is_there_to_be_used(task: Any) -> None:
    model = task.model()
    opt = OnePass(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        train_loss=task.loss,
        val_loss=task.loss,
        hyper={"lr": log10(0.1)},
    )
    assert isinstance(opt.problem, Bilevel)
    assert opt.problem.update.hyper_names == {"lr"}
