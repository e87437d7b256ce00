from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from whet.errors import HypergradError
from whet.hypergrad.implicit import Implicit
from whet.hypergrad.onestep import OneStep, _ignores
from whet.hypergrad.penalties import L2
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.solve.neumann import Neumann
from whet.hypergrad.tensors import leaves
from whet.hypergrad.updates.sgd import SGD
from whet.testing import bilevel_problems as problems
from whet.testing.bilevel_problems import Case
from whet.testing.hypergrad_laws import ImplicitLaws, distance

CASES = [problems.quadratic, problems.ridge, problems.logistic, problems.network]


class TestOneStep(ImplicitLaws):
    exact = False

    def make(self) -> OneStep:
        return OneStep(scale=0.1)


def by_hand(case: Case, scale: float) -> dict[tuple[str, ...], Tensor]:
    """∂F/∂λ − α ∂/∂λ ⟨∂F/∂w, ∇f⟩, the penalties in the loss."""
    own = {p: t.detach().requires_grad_() for p, t in leaves(case.hyper).items()}
    hyper = problems.unflatten(own)
    w = {n: t.detach().requires_grad_() for n, t in case.start.items()}
    value = case.outer(w, hyper)
    v = torch.autograd.grad(value, list(w.values()), retain_graph=True)
    g = torch.autograd.grad(case.problem.inner(w, hyper, case.batches.train[0]), list(w.values()), create_graph=True)
    total = value - scale * sum((a * b).sum() for a, b in zip(v, g, strict=True))
    return dict(zip(own, torch.autograd.grad(total, list(own.values()), materialize_grads=True), strict=True))


@pytest.mark.parametrize("make", CASES)
def test_is_the_formula(make: Any) -> None:
    case = make(3)
    found = OneStep(scale=0.3)(case.problem, case.start, case.hyper, case.batches)
    assert distance(found, by_hand(case, 0.3)) < 1e-12
    torch.testing.assert_close(found.loss, case.outer(case.start).detach())


@pytest.mark.parametrize("make", CASES)
def test_is_neumanns_sum_of_one_term(make: Any) -> None:
    case = make(4)
    sum_ = Implicit(solve=Neumann(terms=0, scale=0.2))(case.problem, case.start, case.hyper, case.batches)
    assert distance(OneStep(scale=0.2)(case.problem, case.start, case.hyper, case.batches), leaves(sum_.grads)) < 1e-12


@pytest.mark.parametrize(
    ("lr", "scale"), [(0.25, 0.25), ("lr", 0.125), ("rates", 1.0)], ids=["number", "hyperparameter", "one a weight"]
)
def test_scale_is_the_learning_rate_if_that_is_one_number(lr: float | str, scale: float) -> None:
    case = problems.ridge(5)
    problem = problems.replace(case.problem, update=SGD(lr=lr))
    hyper = {**case.hyper, "lr": torch.tensor(0.125, dtype=torch.float64), "rates": {"w": torch.ones(5, dtype=torch.float64)}}  # fmt: skip

    def loss(w: Any, batch: Any, h: Any) -> Tensor:
        return case.problem.train_loss(w, batch, h) * (1 + 0 * (h["lr"] + h["rates"]["w"].sum()))

    found = OneStep()(problems.replace(problem, train_loss=loss), case.start, hyper, case.batches)
    wanted = OneStep(scale=scale)(case.problem, case.start, case.hyper, case.batches)
    torch.testing.assert_close(found.grads["l2"], wanted.grads["l2"])


def test_a_closed_form_penalty_needs_nothing_of_the_training_loss() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    called = []

    def loss(m: Any, batch: Any, _: Any) -> Tensor:
        called.append(1)
        return functional.cross_entropy(m(batch[0]), batch[1])

    def aware(m: Any, batch: Any, hyper: Any) -> Tensor:
        return loss(m, batch, hyper)

    batch = (torch.randn(4, 6), torch.tensor([0, 1, 2, 0]))
    results = []
    for train in (loss, aware):
        problem = Bilevel(
            train_loss=train, val_loss=loss, model=model, penalty=L2(strength="decay"), update=SGD(lr=0.1)
        )
        weights = problem.weights()
        hyper = {"decay": {n: torch.full_like(w, 0.1) for n, w in weights.items()}}
        called.clear()
        found = OneStep()(problem, weights, hyper, Batches(train=[batch], val=batch), count_flops=True)
        results.append((found, len(called)))
    (lean, calls), (full, both) = results
    assert (calls, both) == (1, 2)
    assert (lean.spent.grads, lean.spent.hvps) == (1, 0)
    assert lean.spent.gflop == pytest.approx(full.spent.gflop / 2)
    assert distance(lean, leaves(full.grads)) < 1e-6


def test_a_hyperparameter_in_a_penalty_and_in_the_loss_has_both_derivatives() -> None:
    case = problems.ridge(6)
    problem = problems.replace(case.problem, penalty=L2(strength="l2"))
    case = problems.replace(case, problem=problem)
    found = OneStep(scale=0.5)(case.problem, case.start, case.hyper, case.batches)
    assert distance(found, by_hand(case, 0.5)) < 1e-12


def test_one_that_is_in_neither_is_refused_though_the_loss_is_not_called() -> None:
    case = problems.quadratic(0)
    problem = Bilevel(
        train_loss=lambda w, b, h: w["a"].sum(), val_loss=lambda w, b, h: w["a"].sum(), penalty=L2(strength="decay")
    )
    with pytest.raises(HypergradError, match="'pull' does not reach the training loss"):
        OneStep()(problem, case.start, {"decay": case.hyper["decay"], "pull": case.hyper["pull"]}, case.batches)


def nested(w: Any, b: Any, h: Any) -> Any:
    def inside() -> Any:
        return h["x"]

    return inside()


def sly(w: Any, b: Any, h: Any) -> Any:
    return locals()["h"]["x"]


def renamed(w: Any, b: Any, h: Any) -> Any:
    other = h
    return other["x"]


def unpacked(w: Any, *rest: Any) -> Any:
    return rest[1]["x"]


class Callable_:
    def __call__(self, w: Any, b: Any, h: Any) -> Any:
        return w


@pytest.mark.parametrize("loss", [nested, sly, renamed, unpacked, lambda w, b, h: h, lambda w, b, h: (b, h), Callable_(),
                                  Callable_().__call__, functools.partial(lambda a, w, b, h: w, 1)])  # fmt: skip
def test_doubt_is_resolved_by_evaluating_the_loss(loss: Any) -> None:
    assert not _ignores(loss, 2)


@pytest.mark.parametrize("loss", [lambda w, b, h: w, lambda w, b, _: functional.mse_loss(w(b[0]), b[1]),
                                  lambda w, b, h, *more: (w, b)])  # fmt: skip
def test_a_loss_that_surely_does_not_look_is_known(loss: Any) -> None:
    assert _ignores(loss, 2)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_knobs_out_of_range_are_refused(scale: float) -> None:
    with pytest.raises(HypergradError):
        OneStep(scale=scale)
