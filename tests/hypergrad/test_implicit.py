from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from whet.errors import HypergradError
from whet.hypergrad.base import Hypergradient
from whet.hypergrad.implicit import Implicit, implicit_through, natural_step
from whet.hypergrad.linear import Curvature, Meter, Step, ValGrad
from whet.hypergrad.onestep import OneStep
from whet.hypergrad.penalties import L1, L2
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.solve.base import Operator, Solution, Solver, Vector
from whet.hypergrad.solve.cg import CG
from whet.hypergrad.solve.dense import Dense
from whet.hypergrad.solve.neumann import Neumann
from whet.hypergrad.solve.nystrom import Nystrom
from whet.hypergrad.tensors import leaves, unflatten
from whet.hypergrad.updates.adam import Adam
from whet.hypergrad.updates.base import Update
from whet.hypergrad.updates.clipped import Clipped
from whet.hypergrad.updates.groups import Groups
from whet.hypergrad.updates.scheduled import Late
from whet.hypergrad.updates.sgd import SGD
from whet.testing import bilevel_problems as problems
from whet.testing.bilevel_problems import Case
from whet.testing.hypergrad_laws import ImplicitLaws, distance


class TestDense(ImplicitLaws):
    def make(self) -> Implicit:
        return Implicit(solve=Dense())


class TestDenseOnTheUpdate(ImplicitLaws):
    tunes_update = True

    def make(self) -> Implicit:
        return Implicit(solve=Dense(), system="update")


class TestCG(ImplicitLaws):
    accuracy = 1e-8

    def make(self) -> Implicit:
        return Implicit(solve=CG(tol=1e-12))


class TestNeumann(ImplicitLaws):
    exact = False

    def make(self) -> Implicit:
        return Implicit(solve=Neumann(terms=5))

    def ladder(self) -> Sequence[Hypergradient]:
        return [Implicit(solve=Neumann(terms=k, scale=0.3)) for k in (2, 20, 200)]


class TestNeumannOnTheUpdate(ImplicitLaws):
    """Clarke's sum."""

    exact = False
    tunes_update = True

    def make(self) -> Implicit:
        return Implicit(solve=Neumann(terms=4, scale=1.0), system="update")

    end = 1e-3

    def ladder(self) -> Sequence[Hypergradient]:
        return [Implicit(solve=Neumann(terms=k), system="update") for k in (2, 20, 150)]


class TestNystrom(ImplicitLaws):
    exact = False
    cases = (problems.quadratic, problems.logistic)  # whose diagonal part is a penalty

    def make(self) -> Implicit:
        return Implicit(solve=Nystrom(rank=3, rho=0.01))

    def ladder(self) -> Sequence[Hypergradient]:
        return [Implicit(solve=Nystrom(rank=1, rho=0.0)), Implicit(solve=Nystrom(rank=100, rho=0.0))]


# -- the unsolved inner problem -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [problems.quadratic, problems.ridge, problems.logistic])
@pytest.mark.parametrize("whole", [False, True])
def test_an_unsolved_inner_problem_is_said_with_what_it_would_change(make: Any, whole: bool) -> None:
    """On a quadratic what is said is exact to second order: so near the solution it is what F changes by."""
    case = make(1)
    batch = case.batches.train[0]
    solved = {n: t.detach() for n, t in case.solved().items()}
    for away, said in ((0.0, False), (1e-4, False), (1.0, True)):
        weights = {n: w + away * torch.ones_like(w) for n, w in solved.items()}
        at = Curvature(case.problem, weights, case.hyper, batch, whole=whole)
        val = ValGrad(case.problem, weights, case.hyper, case.batches.val)
        found = implicit_through(at, val, Dense(), case.hyper, meter=Meter())
        assert any("inner problem is not solved" in note for note in found.notes) == said
    direct = Implicit(solve=Dense())(case.problem, weights, case.hyper, case.batches)
    ours, wanted = (float(note.split(" by about ")[1].split(",")[0]) for note in (direct.notes[0], found.notes[0]))
    assert ours == pytest.approx(wanted, rel=0.05)  # to two digits, from a gradient in half precision


def test_the_change_that_is_said_is_the_change_that_comes() -> None:
    case = problems.ridge(3)
    solved = {n: t.detach() for n, t in case.solved().items()}
    weights = {"w": solved["w"] + 0.05}
    at = Curvature(case.problem, weights, case.hyper, case.batches.train[0], whole=False)
    val = ValGrad(case.problem, weights, case.hyper, case.batches.val)
    from whet.hypergrad import implicit

    q = Dense()(implicit._operator(at, ["w"], case.hyper, None, 1), list(val.weights.values())).q[0]
    pull = implicit._through_loss(at, {"w": q}, case.hyper)[1]
    change = float((case.outer(solved) - case.outer(weights)).detach())
    assert float(-pull) == pytest.approx(change, rel=0.1)


def test_penalties_of_all_kinds_count_in_what_is_said() -> None:
    """The inner product with the whole gradient, whatever the strengths' shapes are, is what autograd says."""
    case = problems.quadratic(2)
    penalties = (L2(strength="decay"), L1(strength="l1", only=lambda n: n == "a"), L2(strength=0.3, only=lambda n: n == "m"), L2(strength="rows"))  # fmt: skip
    hyper = {**case.hyper, "l1": torch.tensor(0.2, dtype=torch.float64),
             "rows": {"a": torch.tensor(0.1, dtype=torch.float64), "m": torch.rand(2, 1, dtype=torch.float64)}}  # fmt: skip
    problem = replace(case.problem, penalty=penalties)
    q = {
        n: torch.randn(t.shape, generator=torch.Generator().manual_seed(0), dtype=t.dtype)
        for n, t in case.start.items()
    }
    grads = torch.func.grad(lambda w: problem.inner(w, hyper, case.batches.train[0]))(case.start)
    from whet.hypergrad import implicit

    for whole in (False, True):
        at = Curvature(problem, case.start, hyper, case.batches.train[0], whole=whole)
        found, pull = implicit._through_loss(at, q, hyper)
        assert float(pull) == pytest.approx(sum(float((grads[n] * q[n]).sum()) for n in q))
        own = {p: t.detach().requires_grad_() for p, t in leaves(hyper).items()}
        g = torch.func.grad(lambda w: problem.inner(w, unflatten(own), case.batches.train[0]))(case.start)  # noqa: B023
        wanted = torch.autograd.grad(sum((g[n] * q[n]).sum() for n in q), list(own.values()), materialize_grads=True)
        for path, value in zip(own, wanted, strict=True):
            torch.testing.assert_close(found.get(path, torch.zeros_like(value)), -value)


# -- wrong combinations -------------------------------------------------------------------------------------------------


def test_a_learning_rate_is_not_in_the_loss() -> None:
    case = problems.with_update_knobs(problems.ridge(0))
    with pytest.raises(HypergradError, match=r"'lr' does not reach the training loss.*system=.update."):
        Implicit(solve=Dense())(case.problem, case.start, case.hyper, case.batches)


def test_cg_on_the_update_is_refused_with_what_to_take() -> None:
    case = problems.with_update_knobs(problems.ridge(0))
    with pytest.raises(HypergradError, match=r"Neumann\(\)"):
        Implicit(solve=CG(), system="update")(case.problem, case.start, case.hyper, case.batches)


def test_an_unknown_system_is_refused() -> None:
    with pytest.raises(ValueError, match="loss"):
        Implicit(system="weights")


# -- solvers in it ------------------------------------------------------------------------------------------------------


def test_a_warm_start_is_the_solution_of_the_last_call() -> None:
    case = problems.quadratic(0, condition=300)
    weights = {n: t.detach() for n, t in case.solved().items()}
    method = Implicit(solve=CG(tol=1e-8))
    cold = method(case.problem, weights, case.hyper, case.batches)
    warm = method(case.problem, weights, case.hyper, case.batches, warm=cold.solution)
    assert cold.spent.hvps > 3
    assert warm.spent.hvps == 1
    assert distance(warm, leaves(cold.grads)) < 1e-7
    turned = dict(reversed(list((cold.solution or {}).items())))
    assert list(turned) != list(weights)
    assert method(case.problem, weights, case.hyper, case.batches, warm=turned).spent.hvps == 1
    other = {n: t[:1] for n, t in (cold.solution or {}).items()}  # of another model: not used
    assert method(case.problem, weights, case.hyper, case.batches, warm=other).spent.hvps == cold.spent.hvps


def test_residual_and_convergence_come_back() -> None:
    case = problems.quadratic(0, condition=1000)
    weights = {n: t.detach() for n, t in case.solved().items()}
    found = Implicit(solve=CG(max_steps=2))(case.problem, weights, case.hyper, case.batches)
    assert found.residual is not None
    assert found.residual > 1e-3
    assert "did not reach" in found.notes[0]
    assert found.spent.hvps == 2
    exact = Implicit(solve=CG(tol=1e-10))(case.problem, weights, case.hyper, case.batches)
    assert exact.residual is not None
    assert exact.residual <= 1e-10
    assert exact.notes == ()


def test_a_scale_beyond_two_over_l_is_corrected_and_said() -> None:
    case = problems.quadratic(0)
    weights = {n: t.detach() for n, t in case.solved().items()}
    found = Implicit(solve=Neumann(terms=100, scale=50.0))(case.problem, weights, case.hyper, case.batches)
    assert "beyond 2/L" in found.notes[0]
    assert distance(found, case.differentiated(case.solved)) < 1e-3


def test_stochastic_neumann_takes_the_training_batches_in_turn() -> None:
    case = problems.ridge(0, steps=3)
    seen: list[int] = []

    def train(w: Any, batch: Any, hyper: Any) -> Tensor:
        seen.append(next(i for i, b in enumerate(case.batches.train) if b is batch))
        return case.problem.train_loss(w, batch, hyper)

    problem = replace(case.problem, train_loss=train)
    found = Implicit(solve=Neumann(terms=4, scale=0.1, stochastic=True))(problem, case.start, case.hyper, case.batches)
    assert seen == [0, 1, 2, 0]
    assert found.spent.hvps == 4
    assert found.spent.grads == 5
    seen.clear()
    Implicit(solve=Neumann(terms=4, scale=0.1))(problem, case.start, case.hyper, case.batches)
    assert seen == [0]


@pytest.mark.parametrize(
    ("update", "step"),
    [(SGD(lr=0.3), 0.3), (SGD(lr="one"), 0.25), (SGD(lr="many"), None), (SGD(lr="each"), None), (SGD(lr="zero"), None)],
)
def test_the_natural_scale_is_the_learning_rate_if_it_is_one_number(update: SGD, step: float | None) -> None:
    problem = replace(problems.ridge(0).problem, update=update)
    hyper = {
        "one": torch.tensor(0.25),
        "many": {"w": torch.tensor(0.1)},
        "each": torch.ones(5),
        "zero": torch.zeros(()),
    }
    assert natural_step(problem, hyper) == step


ADAM = Adam(lr=1e-3)


@pytest.mark.parametrize(
    ("update", "step"),
    [
        (SGD(lr=0.3), 0.3),
        (Clipped(update=SGD(lr=0.3), max_norm=1.0), 0.3),
        (ADAM, None),
        (Adam(lr="one"), None),
        (Late(update=ADAM, start=1), None),
        (Groups(groups=((("w",), ADAM),)), None),
    ],
    ids=lambda u: type(u).__name__,
)
def test_what_is_no_learning_rate_of_sgd_is_no_scale_of_the_hessian(update: Update, step: float | None) -> None:
    case = problems.ridge(0)
    seen: list[float | None] = []

    class Looking(Solver):
        def __call__(self, operator: Operator, v: Vector, *, warm: Vector | None = None) -> Solution:
            seen.append(operator.step)
            return Dense()(operator, v)

    problem, hyper = replace(case.problem, update=update), {**case.hyper, "one": torch.tensor(0.25)}
    with contextlib.suppress(HypergradError):  # "one" reaches nothing
        Implicit(solve=Looking())(problem, case.start, hyper, case.batches)
    assert seen == [step]


def test_neumanns_scale_beside_adam_is_found_from_the_curvature() -> None:
    case = problems.quadratic(0)
    weights = {n: t.detach() for n, t in case.solved().items()}
    for update, products, near in ((Adam(), 58, True), (SGD(), 50, False)):
        found = Implicit(solve=Neumann(terms=50))(replace(case.problem, update=update), weights, case.hyper, case.batches)  # fmt: skip
        assert found.spent.hvps == products
        assert (distance(found, case.differentiated(case.solved)) < 0.2) == near
        assert any("hardly begun" in note for note in found.notes) != near


@pytest.mark.parametrize("update", [SGD(maximize=True), Clipped(update=Adam(maximize=True), max_norm=1.0),
                                    Groups(groups=((("w",), SGD(maximize=True)),))], ids=lambda u: type(u).__name__)  # fmt: skip
@pytest.mark.parametrize("method", [OneStep(), Implicit()], ids=lambda m: type(m).__name__)
def test_updates_that_go_up_are_refused(update: Update, method: Hypergradient) -> None:
    case = problems.ridge(0)
    with pytest.raises(HypergradError, match=r"goes up the training loss \(maximize=True\).*: minimise −f instead"):
        method(replace(case.problem, update=update), case.start, case.hyper, case.batches)


def test_buffers_are_those_of_the_state_that_is_given() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))

    def loss(m: Any, batch: Any, hyper: Any) -> Tensor:
        return functional.mse_loss(m(batch[0]), batch[1])

    problem = Bilevel(train_loss=loss, val_loss=loss, model=model, penalty=L2(strength="decay"))
    weights, data = problem.weights(), (torch.randn(8, 3), torch.randn(8, 1))
    state = problem.start(weights)
    state.buffers["1.running_mean"].add_(3.0)
    batches = Batches(train=[data], val=data)
    here, there = (Implicit()(problem, weights, {"decay": torch.tensor(0.1)}, batches, state=s) for s in (None, state))
    assert float(here.loss) != float(there.loss)


def test_the_two_systems_agree_at_the_solution() -> None:
    for make in (problems.quadratic, problems.logistic):
        case: Case = make(5)
        weights = {n: t.detach() for n, t in case.solved().items()}
        loss = Implicit(solve=Dense())(case.problem, weights, case.hyper, case.batches)
        update = Implicit(solve=Dense(), system="update")(case.problem, weights, case.hyper, case.batches)
        assert distance(update, leaves(loss.grads)) < 1e-9


def test_momentum_is_a_constant_of_the_update() -> None:
    """v ← v − vjp(u, w; v) with the buffer held, as the paper has it."""
    case = problems.with_update_knobs(problems.ridge(1))
    state = case.problem.start(case.start)
    state.slots["momentum_buffer"]["w"].fill_(0.7)
    own = {p: t.detach().requires_grad_() for p, t in leaves(case.hyper).items()}
    w = case.start["w"].clone().requires_grad_()
    at = Step(case.problem, case.start, case.hyper, case.batches.train[0], state)
    val = ValGrad(case.problem, case.start, case.hyper, case.batches.val)
    v = val.weights["w"].clone()
    found = implicit_through(at, val, Neumann(terms=3, scale=1.0), case.hyper, meter=Meter())

    def u() -> Tensor:
        g = torch.autograd.grad(case.problem.inner({"w": w}, unflatten(own), case.batches.train[0]), w, create_graph=True)[0]  # fmt: skip
        m = own[("momentum",)] * state.slots["momentum_buffer"]["w"] + g + own[("wd",)] * w
        return own[("lr",)] * m

    p = v
    for _ in range(3):
        v = v - torch.autograd.grad(u(), w, v)[0]
        p = p + v
    wanted = torch.autograd.grad(u(), list(own.values()), -p)
    assert distance(found, dict(zip(own, wanted, strict=True))) < 1e-12


# -- cost ---------------------------------------------------------------------------------------------------------------


def mlp() -> tuple[Any, Any, Batches]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    data = (torch.rand(64, 784), torch.randint(10, (64,)))

    def loss(m: Any, batch: Any, hyper: Any) -> Tensor:
        return functional.cross_entropy(m(batch[0]), batch[1])

    return model, loss, Batches(train=[data], val=data)


def test_neumann_costs_its_products_and_two_gradients() -> None:
    model, loss, batches = mlp()
    problem = Bilevel(train_loss=loss, val_loss=loss, model=model, penalty=L2(strength="decay"))
    weights = problem.weights()
    hyper = {"decay": {n: torch.full_like(t, 1e-3) for n, t in weights.items()}}
    found = Implicit(solve=Neumann(terms=5, scale=0.01))(problem, weights, hyper, batches, count_flops=True)
    assert (found.spent.grads, found.spent.hvps) == (2, 5)
    assert found.spent.gflop == pytest.approx(6.32, abs=0.005)  # 10.3 plain steps


def test_one_pass_costs_a_weight_step_too() -> None:
    model, loss, batches = mlp()
    update = SGD(lr=0.1, momentum=0.9, weight_decay="decay")
    problem = Bilevel(train_loss=loss, val_loss=loss, model=model, update=update)
    weights = problem.weights()
    hyper = {"decay": {n: torch.full_like(t, 1e-3) for n, t in weights.items()}}
    method = Implicit(solve=Neumann(terms=4, scale=1.0), system="update")
    found = method(problem, weights, hyper, batches, count_flops=True)
    assert (found.spent.grads, found.spent.hvps) == (2, 4)
    assert found.spent.gflop == pytest.approx(5.30, abs=0.005)
