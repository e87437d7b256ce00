"""The published yardstick: how far each method is from the truth on digits, at a well- and an ill-conditioned solution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from whet.hypergrad.base import Hypergradient
from whet.hypergrad.implicit import Implicit
from whet.hypergrad.onestep import OneStep
from whet.hypergrad.problem import Bilevel
from whet.hypergrad.solve.base import Operator, greatest
from whet.hypergrad.solve.cg import CG
from whet.hypergrad.solve.dense import Dense
from whet.hypergrad.solve.neumann import Neumann
from whet.hypergrad.solve.nystrom import Nystrom
from whet.hypergrad.tensors import leaves
from whet.hypergrad.updates.sgd import SGD
from whet.testing.bilevel_problems import Case, digits
from whet.testing.hypergrad_laws import distance

pytest.importorskip("sklearn", reason="scikit-learn, whose digits these are, is not installed")


@dataclass
class At:
    case: Case
    weights: dict[str, Tensor]
    hessian: Tensor
    top: float
    truth: Mapping[tuple[str, ...], Tensor]

    def error(self, method: Hypergradient, problem: Bilevel | None = None) -> float:
        return distance(
            method(problem or self.case.problem, self.weights, self.case.hyper, self.case.batches), self.truth
        )


@pytest.fixture(scope="module")
def solutions() -> dict[str, At]:
    found = {}
    for name, decay in (("E1", 0.1), ("E2", 1e-3)):
        case = digits(decay)
        weights = {n: t.detach() for n, t in case.solved().items()}
        assert case.hessian is not None
        hessian = case.hessian(weights["w"].reshape(-1), case.hyper)
        v = torch.func.grad(case.outer)(weights)["w"]
        q = torch.linalg.solve(hessian, v.reshape(-1)).view(65, 10)
        truth = {("decay", "w"): -weights["w"] * q}  # −q ∂²f/∂w∂d with f = … + ½ Σ d w²
        found[name] = At(case, weights, hessian, float(torch.linalg.eigvalsh(hessian)[-1]), truth)
    return found


def test_the_solutions_are_those_of_the_yardstick(solutions: dict[str, At]) -> None:
    for name, condition in (("E1", 13.5), ("E2", 425)):
        at = solutions[name]
        grads = torch.func.grad(lambda w, at=at: at.case.problem.inner(w, at.case.hyper, at.case.batches.train[0]))(at.weights)  # fmt: skip
        assert float(grads["w"].norm()) < 1e-13
        values = torch.linalg.eigvalsh(at.hessian)
        assert float(values[-1] / values[0]) == pytest.approx(condition, rel=0.01)
    assert solutions["E1"].top == pytest.approx(1.3546, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "error"),
    [("E1", (".88", ".48", ".089 .088", "6e-5", ".545", ".099")), ("E2", (".99", ".97", ".895", ".63", ".97", ".90"))],
)
def test_approximate_methods_are_as_far_off_as_published(solutions: dict[str, At], name: str, error: tuple[str, ...]) -> None:  # fmt: skip
    at = solutions[name]
    scale = 1 / at.top
    update = replace(at.case.problem, update=SGD(lr=scale))
    got = [
        at.error(OneStep(scale=scale)),
        *(at.error(Implicit(solve=Neumann(terms=k, scale=scale))) for k in (5, 20, 100)),
        *(at.error(Implicit(solve=Neumann(terms=i - 1, scale=1.0), system="update"), update) for i in (5, 20)),
    ]
    for value, wanted in zip(got, error, strict=True):
        assert value == pytest.approx(float(wanted.split()[0]), rel=0.012), (value, wanted)


def test_conjugate_gradients_are_as_near_as_published(solutions: dict[str, At]) -> None:
    errors = {name: [at.error(Implicit(solve=CG(tol=0.0, max_steps=k))) for k in (5, 20, 100)] for name, at in solutions.items()}  # fmt: skip
    assert errors["E1"][0] == pytest.approx(0.011, rel=0.03)
    assert errors["E1"][1] == pytest.approx(6e-11, rel=0.1)
    assert errors["E1"][2] < 4e-15
    assert errors["E2"][0] == pytest.approx(0.67, rel=0.01)
    assert errors["E2"][1] == pytest.approx(0.012, rel=0.05)
    assert errors["E2"][2] < 2e-13


@pytest.mark.parametrize("name", ["E1", "E2"])
def test_exact_methods_agree_with_the_dense_solve_and_with_central_differences(solutions: dict[str, At], name: str) -> None:  # fmt: skip
    at = solutions[name]
    rng = torch.Generator().manual_seed(0)
    decay = at.case.hyper["decay"]
    assert isinstance(decay, dict)
    slopes = []
    for _ in range(2):
        way = {("decay", "w"): torch.randn(65, 10, generator=rng, dtype=torch.float64) * decay["w"]}
        slopes.append((way, at.case.central(at.case.solved, way, size=1e-4)))
    for solver in (CG(tol=1e-11, max_steps=300), Dense(), Nystrom(rank=650, rho=0.0)):
        found = Implicit(solve=solver)(at.case.problem, at.weights, at.case.hyper, at.case.batches)
        assert distance(found, at.truth) < 1e-10
        assert found.notes == ()
        for way, slope in slopes:
            g = leaves(found.grads)["decay", "w"]
            size = float((g * way["decay", "w"]).norm())
            assert abs(float((g * way["decay", "w"]).sum()) - slope) < 1e-6 * size


def test_one_pass_with_a_plain_gradient_step_is_neumanns_sum(solutions: dict[str, At]) -> None:
    """u = lr·∇f: the two sums are one, α = lr."""
    at = solutions["E1"]
    for lr in (0.1, 0.5):
        update = replace(at.case.problem, update=SGD(lr=lr))
        for terms in (1, 5):
            one_pass = Implicit(solve=Neumann(terms=terms, scale=1.0), system="update")
            a = one_pass(update, at.weights, at.case.hyper, at.case.batches)
            b = Implicit(solve=Neumann(terms=terms, scale=lr))(
                at.case.problem, at.weights, at.case.hyper, at.case.batches
            )
            assert distance(a, leaves(b.grads)) < 1e-13


@pytest.mark.parametrize("steps", [1, 5])
def test_one_pass_at_the_solution_is_the_truncated_run(solutions: dict[str, At], steps: int) -> None:
    at = solutions["E2"]
    update = replace(at.case.problem, update=SGD(lr=1.0, weight_decay="wd"), penalty=())
    hyper = {"wd": at.case.hyper["decay"]}
    case = replace(at.case, problem=update, start=at.weights, hyper=hyper, batches=replace(at.case.batches, train=at.case.batches.train * steps))  # fmt: skip
    run = case.differentiated(case.ran)
    method = Implicit(solve=Neumann(terms=steps - 1, scale=1.0), system="update")
    assert distance(method(update, at.weights, hyper, case.batches), run) < 1e-10


def test_power_iteration_finds_the_curvature_that_scales_the_sum(solutions: dict[str, At]) -> None:
    at = solutions["E1"]
    operator = Operator(apply=lambda x: [(at.hessian @ x[0].reshape(-1)).view(65, 10)])
    v = torch.func.grad(at.case.outer)(at.weights)["w"]
    assert 0.9 * at.top < greatest(operator, [v], 8) <= at.top
