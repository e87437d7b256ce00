"""The other algorithms: each is what it says, and each gets somewhere on a small problem."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.drmad import DrMAD as DrMADMethod
from whet.hypergrad.forward import Forward
from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.implicit import Implicit
from whet.hypergrad.optimizers.diff_through_opt import DiffThroughOpt
from whet.hypergrad.optimizers.drmad import DrMAD
from whet.hypergrad.optimizers.hoag import HOAG
from whet.hypergrad.optimizers.hypergradient_descent import HypergradientDescent
from whet.hypergrad.optimizers.neumann import Neumann
from whet.hypergrad.optimizers.one_pass import OnePass
from whet.hypergrad.optimizers.rtho import RTHO
from whet.hypergrad.optimizers.t1t2 import T1T2
from whet.hypergrad.optimizers.unrolled import Unrolled
from whet.hypergrad.penalties import L2
from whet.hypergrad.problem import Batches
from whet.hypergrad.solve.neumann import Neumann as NeumannSolver
from whet.hypergrad.tensors import detached, leaves
from whet.hypergrad.unrolled import Unrolled as UnrolledMethod


def log10(value: float, **more: Any) -> Hyperparameter:
    return Hyperparameter(value, transform="log10", **more)


def still(raws: list[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.SGD(raws, lr=0.0)


MAKE = {
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, weight_decay=1e-3),
    "adam": lambda p: torch.optim.Adam(p, lr=0.02),
}


def ran(task: Any, kind: Any, make: Any, steps: int, **more: Any) -> tuple[Any, Any]:
    """Return the last result of some steps, and the optimizer."""
    model = task.model(touchy=more.pop("touchy", False))
    opt = kind(model, make(model.parameters()), train_loss=task.loss, val_loss=task.loss, outer=still,
               hyper={"lr": log10(0.05), "weight_decay": log10(0.02)}, **more)  # fmt: skip
    torch.manual_seed(4)
    for batch, val in zip(task.batches(steps), task.batches(steps, seed=1), strict=True):
        result = opt.step(batch, val)
    return result, opt


def differs(found: Any, wanted: Any) -> float:
    pairs = [(a, leaves(wanted.grads)[path]) for path, a in leaves(found.grads).items()]
    return max(float((a - b).norm() / b.norm()) for a, b in pairs)


@pytest.mark.parametrize("kind", [OnePass, T1T2, DiffThroughOpt, HypergradientDescent])
def test_fused_steps_with_nesterovs_momentum_leave_the_gradients_to_be_read(task: Any, kind: Any) -> None:
    """PyTorch's multi-tensor step adds the momentum to the gradients in place."""
    results = []
    for foreach in (False, True):
        model = task.model()
        sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.8, nesterov=True, foreach=foreach)
        opt = kind(
            model, sgd, train_loss=task.loss, val_loss=task.loss, outer=still, hyper={"lr": log10(0.05)}, every=5
        )
        for batch, val in zip(task.batches(10), task.batches(10, seed=1), strict=True):
            result = opt.step(batch, val)
        results.append(result.hypergrad)
    assert differs(*results) < 1e-12


# -- equalities ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize(
    ("kind", "method", "knobs"),
    [
        (DiffThroughOpt, UnrolledMethod(), {"lookback": 6}),
        (RTHO, Forward(), {}),
        (Unrolled, UnrolledMethod(), {}),
        (DrMAD, DrMADMethod(), {}),
    ],
)
def test_it_is_the_method_over_the_same_steps(task: Any, kind: Any, method: Any, knobs: Any, make: Any) -> None:
    """A run of six steps from the start: the same hypergradient, and the same weights and buffers at the end."""
    result, opt = ran(task, kind, make, 6, every=6, **knobs)
    fresh = task.model()
    _, twin = ran(task, kind, make, 1, every=math.inf, **knobs)  # for its problem, at the start
    twin.model.load_state_dict(fresh.state_dict())
    twin._inner.optimizer.state.clear()
    problem = twin.problem
    weights = detached(dict(fresh.named_parameters()))
    batches = Batches(train=task.batches(6), val=task.batches(6, seed=1)[5])
    wanted = method(problem, weights, opt.hyper.tensors(), batches)
    assert differs(result.hypergrad, wanted) < 1e-9
    for name, weight in opt.model.named_parameters():
        torch.testing.assert_close(weight.detach(), wanted.weights[name], rtol=1e-9, atol=1e-11)


def test_neumann_is_the_implicit_method_at_the_weights_before_the_step(task: Any) -> None:
    model = task.model()
    opt = Neumann(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=task.loss, val_loss=task.loss, outer=still, every=3,
                  hyper={"decay": log10(0.02)}, penalty=L2(strength="decay"), terms=7, scale=0.3)  # fmt: skip
    batches, vals = task.batches(3), task.batches(3, seed=1)
    for i in range(2):
        opt.step(batches[i], vals[i])
    before = detached(dict(model.named_parameters()), copy=True)
    found = opt.step(batches[2], vals[2]).hypergrad
    wanted = Implicit(solve=NeumannSolver(terms=7, scale=0.3))(
        opt.problem, before, opt.hyper.tensors(), Batches(train=[batches[2]], val=vals[2])
    )
    assert found is not None
    assert differs(found, wanted) < 1e-9
    assert found.spent.grads == 2  # the weight step's own among them


def test_truncated_runs_go_on_where_they_were(task: Any) -> None:
    """Unrolled without restart and DiffThroughOpt look back over the same steps."""
    ends = []
    for kind, knobs in ((DiffThroughOpt, {}), (Unrolled, {"restart": False})):
        result, opt = ran(task, kind, MAKE["momentum"], 12, every=4, lookback=3, **knobs)
        ends.append((result.hypergrad, opt.model.state_dict()))
    assert differs(ends[0][0], ends[1][0]) < 1e-9
    for name, tensor in ends[0][1].items():
        torch.testing.assert_close(tensor, ends[1][1][name])


def test_runs_begin_anew(task: Any) -> None:
    """Maclaurin: each run starts from the first weights and an optimizer without a memory; the model is left at the end of one."""
    ends = []
    for steps in (5, 10):
        model = task.model()
        opt = Unrolled(model, torch.optim.Adam(model.parameters(), lr=0.01), train_loss=task.loss, val_loss=task.loss, outer=still,
                       hyper={"lr": log10(0.05)}, every=5)  # fmt: skip
        for i in range(steps):
            result = opt.step(task.batches(5)[i % 5], task.batches(1, seed=1)[0])
            assert (result.train_loss is None) == (i % 5 != 4)
        ends.append((model.state_dict(), float(result.hypergrad.grads["lr"])))  # type: ignore[union-attr, arg-type]
    assert ends[0][1] == pytest.approx(ends[1][1], rel=1e-12)
    assert all(torch.equal(ends[0][0][n], ends[1][0][n]) for n in ends[0][0])
    assert not torch.equal(ends[0][0]["0.weight"], task.model()[0].weight)


@pytest.mark.parametrize("form", ["additive", "multiplicative", "gradient"])
def test_hypergradient_descent_is_baydins_rule(task: Any, form: str) -> None:
    """For SGD: η += β g_t·g_{t−1} (on log10 η, or as a share of η), before the step."""
    model, beta = task.model(), 0.01
    h = log10(0.05) if form != "gradient" else Hyperparameter(0.05)
    outer = (
        {"outer": lambda raws: torch.optim.SGD(raws, lr=beta)} if form == "gradient" else {"beta": beta, "form": form}
    )
    opt = HypergradientDescent(
        model, torch.optim.SGD(model.parameters(), lr=9.0), train_loss=task.loss, hyper={"lr": h}, **outer
    )  # type: ignore[arg-type]
    twin, rate, last = task.model(), 0.05, None
    for batch in task.batches(8):
        opt.step(batch)
        g = torch.cat([t.reshape(-1) for t in torch.autograd.grad(task.loss(twin, batch), list(twin.parameters()))])
        if last is not None:
            product = float(g @ last)
            if form == "additive":
                rate = 10 ** (math.log10(rate) + beta * product)
            elif form == "multiplicative":
                rate *= 1 + beta * product / float(g.norm() * last.norm())
            else:
                rate += beta * product
        last = g
        with torch.no_grad():
            torch.nn.utils.vector_to_parameters(
                torch.nn.utils.parameters_to_vector(twin.parameters()) - rate * g, twin.parameters()
            )
        assert h.item() == pytest.approx(rate, rel=1e-9)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert rate != 0.05


def test_hypergradient_descent_of_adam_is_the_derivative_of_the_next_loss(task: Any) -> None:
    """h = d f_t(w_t)/dη through the last step, by central differences."""

    def second_loss(rate: float) -> float:
        model = task.model()
        adam = torch.optim.Adam(model.parameters(), lr=0.02)
        batches = task.batches(4)
        for i, batch in enumerate(batches):
            if i == 2:
                adam.param_groups[0]["lr"] = rate
            if i == 3:
                return float(task.loss(model, batch).detach())
            adam.zero_grad()
            task.loss(model, batch).backward()
            adam.step()
        raise AssertionError

    model = task.model()
    opt = HypergradientDescent(
        model,
        torch.optim.Adam(model.parameters()),
        train_loss=task.loss,
        hyper={"lr": Hyperparameter(0.02)},
        outer=still,
    )
    for batch in task.batches(4):
        result = opt.step(batch)
    slope = (second_loss(0.02 + 1e-6) - second_loss(0.02 - 1e-6)) / 2e-6
    assert float(result.hypergrad.grads["lr"]) == pytest.approx(slope, rel=1e-6)  # type: ignore[union-attr, arg-type]


# -- they get somewhere -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "steps", "outer_lr", "knobs"),
    [
        (Neumann, 60, 2.0, {"terms": 40, "scale": 0.4, "every": 3}),
        (DiffThroughOpt, 120, 4.0, {"every": 20, "lookback": 20}),
        (RTHO, 60, 2.0, {"every": 3}),
        (Unrolled, 180, 4.0, {"every": 30}),
        (DrMAD, 180, 4.0, {"every": 30, "pieces": 10}),
    ],
)
def test_it_finds_the_best_decay_of_a_grid(ridge: Any, kind: Any, steps: int, outer_lr: float, knobs: Any) -> None:
    model = ridge.model()
    opt = kind(model, torch.optim.SGD(model.parameters(), lr=0.4), train_loss=ridge.loss, val_loss=ridge.loss, penalty=L2(strength="decay"),
               hyper={"decay": log10(0.1)}, outer=lambda raws: torch.optim.SGD(raws, lr=outer_lr), **knobs)  # fmt: skip
    for _ in range(steps):
        opt.step(ridge.train, ridge.val)
    assert math.log10(opt.hyper["decay"].item()) == pytest.approx(ridge.log10, abs=0.05)
    assert float(ridge.loss(model, ridge.val)) == pytest.approx(ridge.lowest, rel=1e-3)


def test_t1t2_goes_the_right_way(ridge: Any) -> None:
    """One step is too short a look for the very best, but it leads there."""
    model = ridge.model()
    opt = T1T2(model, torch.optim.SGD(model.parameters(), lr=0.4), train_loss=ridge.loss, val_loss=ridge.loss, every=3,
               hyper={"decay": log10(1e-3)}, penalty=L2(strength="decay"), outer=lambda raws: torch.optim.Adam(raws, lr=0.1))  # fmt: skip
    for _ in range(120):
        opt.step(ridge.train, ridge.val)
    start, end = (float(ridge.best_val(torch.tensor(d))) for d in (1e-3, opt.hyper["decay"].item()))
    assert end - ridge.lowest < 0.2 * (start - ridge.lowest)


@pytest.mark.parametrize(
    ("schedule", "optimizer"),
    [
        ("exponential", "lbfgs"),
        *(
            pytest.param(*pair, marks=pytest.mark.slow)
            for pair in (("quadratic", "lbfgs"), ("cubic", "lbfgs"), ("exact", "lbfgs"), ("exponential", "sgd"))
        ),
    ],
)
def test_hoag_finds_the_best_decay_in_few_outer_steps(ridge: Any, schedule: str, optimizer: str) -> None:
    model = ridge.model()
    inner = torch.optim.SGD(model.parameters(), lr=0.4, momentum=0.8) if optimizer == "sgd" else None
    opt = HOAG(model, inner, train_loss=ridge.loss, val_loss=ridge.loss, hyper={"decay": Hyperparameter(0.01, transform="exp")},
               penalty=L2(strength="decay"), schedule=schedule)  # fmt: skip
    for _ in range(25):
        result = opt.step(ridge.train, ridge.val)
    assert math.log10(opt.hyper["decay"].item()) == pytest.approx(ridge.log10, abs=0.05)
    assert float(result.hypergrad.loss) == pytest.approx(ridge.lowest, rel=1e-3)  # type: ignore[union-attr]


def test_hoag_solves_the_inner_problem_as_far_as_it_says(ridge: Any) -> None:
    model = ridge.model()
    opt = HOAG(
        model,
        train_loss=ridge.loss,
        val_loss=ridge.loss,
        hyper={"decay": Hyperparameter(0.1, transform="exp")},
        penalty=L2(strength="decay"),
        tolerance=1e-2,
    )
    first = None
    for k in range(1, 6):
        epsilon, decay = opt.epsilon, opt.hyper["decay"].item()
        assert epsilon == pytest.approx(1e-2 * 0.9**k)
        opt.step(ridge.train, ridge.val)
        model.zero_grad()
        (ridge.loss(model, ridge.train) + 0.5 * decay * (model.weight**2).sum()).backward()
        size = float(model.weight.grad.norm())
        if first is None:
            x, y = ridge.train
            first = float((x.T @ y / len(x)).norm())  # at w = 0
        assert size <= epsilon * first * (1 + 1e-9)
        model.zero_grad()


def test_hoag_takes_back_a_step_that_does_harm(ridge: Any) -> None:
    model = ridge.model()
    h = Hyperparameter(0.3, transform="exp")
    opt = HOAG(model, train_loss=ridge.loss, val_loss=ridge.loss, hyper={"decay": h}, penalty=L2(strength="decay"))
    opt.step(ridge.train, ridge.val)
    weights, curvature = model.weight.detach().clone(), opt._lipschitz
    assert curvature is not None
    assert h.item() != pytest.approx(0.3)
    worse = ridge.val[0], ridge.val[1] * 3
    with pytest.warns(UserWarning, match="taken back"):
        result = opt.step(ridge.train, worse)
    assert "taken back" in result.notes[-1]
    assert h.item() == pytest.approx(0.3)
    assert torch.equal(model.weight, weights)
    assert opt._lipschitz == 2 * curvature
    assert opt.epsilon == pytest.approx(0.5 * 1e-3 * 0.9**3)


def test_hoag_keeps_to_its_box(ridge: Any) -> None:
    model = ridge.model()
    opt = HOAG(
        model,
        train_loss=ridge.loss,
        val_loss=ridge.loss,
        hyper={"decay": Hyperparameter(0.1, transform="exp")},
        penalty=L2(strength="decay"),
        box=(-2.5, -2.0),
    )
    for _ in range(5):
        opt.step(ridge.train, ridge.val)
    assert math.log(opt.hyper["decay"].item()) == pytest.approx(-2.0)


def test_hoag_says_when_the_inner_problem_was_not_solved(ridge: Any) -> None:
    for optimizer in (None, "sgd"):
        model = ridge.model()
        inner = optimizer and torch.optim.SGD(model.parameters(), lr=1e-3)
        opt = HOAG(
            model,
            inner,
            train_loss=ridge.loss,
            val_loss=ridge.loss,
            hyper={"decay": Hyperparameter(0.1, transform="exp")},
            penalty=L2(strength="decay"),
            max_inner=3,
        )
        with pytest.warns(UserWarning, match="inner problem was solved to"):
            result = opt.step(ridge.train, ridge.val)
        assert "max_inner=3" in result.notes[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "steps", "knobs", "lr"),
    [
        (DiffThroughOpt, 600, {}, 1e-4),
        (T1T2, 600, {"every": 10}, 1e-4),
        (HypergradientDescent, 600, {"form": "multiplicative", "beta": 0.05}, 1e-4),
        (Unrolled, 600, {"every": 10, "restart": False}, 1e-4),
    ],
)
def test_it_rescues_a_bad_learning_rate(digits: Any, kind: Any, steps: int, knobs: Any, lr: float) -> None:
    model = digits.model()
    opt = kind(
        model,
        torch.optim.SGD(model.parameters(), lr=lr, momentum=0.5),
        train_loss=digits.loss,
        val_loss=digits.loss,
        hyper={"lr": log10(lr)},
        **knobs,
    )
    for batch, val in zip(digits.drawn(digits.train, steps, 1), digits.drawn(digits.val, steps, 2), strict=True):
        opt.step(batch, val)
    assert digits.score(model, digits.test) < 0.6  # a plain run stays at 2.3


# -- bad input --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        (DiffThroughOpt, {"lookback": 11}, "lookback=11"),
        (DiffThroughOpt, {"lookback": 0}, "lookback=0"),
        (RTHO, {"hyper": {"lr": log10(0.1, per="weight")}, "limit": 50}, "83 numbers to tune"),
        (HypergradientDescent, {"beta": 0}, "beta=0"),
        (HypergradientDescent, {"hyper": {"lr": log10(0.1), "mix": 0.5}}, "'mix' is no knob"),
        (HypergradientDescent, {"hyper": {"lr": log10(0.1, per="layer")}, "form": "multiplicative"}, "one number"),
        (HOAG, {"outer": still}, "HOAG was given outer"),
        (HOAG, {"tolerance": 0}, "tolerance=0"),
    ],
)
def test_knobs_that_make_no_sense(task: Any, kind: Any, change: Any, says: str) -> None:
    model = task.model()
    given = {"train_loss": task.loss, "val_loss": task.loss, "hyper": {"lr": log10(0.1)}, **change}
    with pytest.raises(HypergradError, match=says) as caught:
        kind(model, torch.optim.SGD(model.parameters(), lr=0.1), **given)
    assert caught.value.fix
