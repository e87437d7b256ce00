"""What every hyper-optimizer does: plain steps are plain, work on hypergradients leaves no trace, what is saved is all there is."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import nn

from whet.errors import HypergradError
from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.optimizers.base import HypergradWarning, HyperOptimizer
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
from whet.hypergrad.updates.sgd import SGD

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
}


def still(raws: list[torch.Tensor]) -> torch.optim.Optimizer:
    """An outer optimizer that moves nothing."""
    return torch.optim.SGD(raws, lr=0.0)


def log10(value: float, **more: Any) -> Hyperparameter:
    return Hyperparameter(value, transform="log10", **more)


def plain_loop(task: Any, make: Callable[[Any], torch.optim.Optimizer], lr: float, steps: int, *, norm: float | None = None) -> Any:  # fmt: skip
    model = task.model(touchy=True)
    optimizer = make(model.parameters())
    optimizer.param_groups[0]["lr"] = lr
    torch.manual_seed(7)
    for batch in task.batches(steps):
        optimizer.zero_grad()
        task.loss(model, batch).backward()
        if norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), norm)
        optimizer.step()
    return model.state_dict(), torch.get_rng_state()


def our_loop(task: Any, opt: HyperOptimizer, steps: int) -> Any:
    torch.manual_seed(7)
    for batch, val in zip(task.batches(steps), task.batches(steps, seed=1), strict=True):
        opt.step(batch, val)
    return opt.model.state_dict(), torch.get_rng_state()


# -- plain training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "make"),
    [*((OnePass, make) for make in OPTIMIZERS.values()), *((kind, OPTIMIZERS["momentum"]) for kind in (DiffThroughOpt, HypergradientDescent, RTHO, Unrolled))],
)  # fmt: skip
def test_without_hyper_steps_it_is_a_plain_loop_to_the_last_bit(task: Any, make: Any, kind: Any) -> None:
    model = task.model(touchy=True)
    h = log10(0.05)
    opt = kind(
        model, make(model.parameters()), train_loss=task.loss, val_loss=task.loss, hyper={"lr": h}, every=math.inf
    )
    mine, random = our_loop(task, opt, 15)
    theirs, wanted = plain_loop(task, make, float(h), 15)
    assert torch.equal(random, wanted)
    assert all(torch.equal(mine[n], theirs[n]) for n in theirs)


@pytest.mark.parametrize(
    ("kind", "make"),
    [*((OnePass, make) for make in OPTIMIZERS.values()),
     *((kind, OPTIMIZERS["adam"]) for kind in (DiffThroughOpt, HypergradientDescent)), (RTHO, OPTIMIZERS["momentum"])],
)  # fmt: skip
def test_hypergradients_leave_no_trace_in_training(task: Any, make: Any, kind: Any) -> None:
    """With an outer optimizer that moves nothing, weights, BatchNorm's statistics and random state are a plain loop's."""
    model = task.model(touchy=True)
    h = log10(0.05)
    opt = kind(
        model, make(model.parameters()), train_loss=task.loss, val_loss=task.loss, hyper={"lr": h}, every=5, outer=still
    )
    mine, random = our_loop(task, opt, 10)
    assert opt.num_hyper_steps == 2
    theirs, wanted = plain_loop(task, make, float(h), 10)
    assert torch.equal(random, wanted)
    for name, tensor in theirs.items():
        torch.testing.assert_close(mine[name], tensor, rtol=1e-9, atol=1e-11)


def test_the_losses_methods_leave_no_trace_either(task: Any) -> None:
    model, make = task.model(touchy=True), OPTIMIZERS["momentum"]
    opt = Neumann(model, make(model.parameters()), train_loss=task.loss, val_loss=task.loss, hyper={"decay": 1e-12}, every=5,
                  outer=still, penalty=L2(strength="decay"), tune=(), scale=0.1)  # fmt: skip
    mine, random = our_loop(task, opt, 15)
    theirs, wanted = plain_loop(task, make, 0.1, 15)
    assert opt.num_hyper_steps == 3
    assert torch.equal(random, wanted)
    for name, tensor in theirs.items():
        torch.testing.assert_close(mine[name], tensor, rtol=1e-7, atol=1e-9)


def test_learning_rates_one_a_weight_that_are_all_the_same_are_one(task: Any) -> None:
    results = []
    for per in ("all", "weight", "layer"):
        model = task.model()
        opt = OnePass(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), train_loss=task.loss, val_loss=task.loss,
                      hyper={"lr": log10(0.05, per=per)}, every=5, outer=still)  # fmt: skip
        state, _ = our_loop(task, opt, 12)
        results.append(state)
        assert opt._inner.state_dict()  # the state goes with it
    for name, tensor in results[0].items():
        torch.testing.assert_close(results[1][name], tensor)
        torch.testing.assert_close(results[2][name], tensor)


def test_an_update_of_whets_own_may_stand_for_the_optimizer(task: Any) -> None:
    model = task.model(touchy=True)
    opt = OnePass(model, SGD(lr="rate", momentum=0.9), train_loss=task.loss, val_loss=task.loss, hyper={"rate": log10(0.1)},
                  every=5, outer=still)  # fmt: skip
    mine, _ = our_loop(task, opt, 12)
    theirs, _ = plain_loop(task, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), 0.1, 12)
    for name, tensor in theirs.items():
        torch.testing.assert_close(mine[name], tensor)


@pytest.mark.parametrize("every", [math.inf, 4])
def test_gradients_are_clipped_as_torch_does_it(task: Any, every: float) -> None:
    model, make = task.model(touchy=True), OPTIMIZERS["momentum"]
    h = log10(0.1)
    opt = OnePass(model, make(model.parameters()), train_loss=task.loss, val_loss=task.loss, hyper={"lr": h}, every=every,
                  outer=still, max_grad_norm=0.2)  # fmt: skip
    mine, _ = our_loop(task, opt, 12)
    theirs, _ = plain_loop(task, make, float(h), 12, norm=0.2)
    for name, tensor in theirs.items():
        torch.testing.assert_close(
            mine[name], tensor, rtol=0 if every == math.inf else 1e-9, atol=0 if every == math.inf else 1e-12
        )


def test_penalties_are_part_of_the_training_loss(task: Any) -> None:
    def with_penalty(model: Any, batch: Any, hyper: Any) -> Any:
        return task.loss(model, batch) + 0.5 * hyper["decay"] * sum((p**2).sum() for p in model.parameters())

    ends = []
    for loss, penalty in ((task.loss, L2(strength="decay")), (with_penalty, ())):
        model = task.model()
        opt = OnePass(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=loss, val_loss=task.loss,
                      hyper={"decay": log10(1e-2)}, every=3, penalty=penalty)  # fmt: skip
        ends.append(our_loop(task, opt, 12)[0])
        assert opt.hyper["decay"].item() != pytest.approx(1e-2, rel=1e-3)
    for name, tensor in ends[0].items():
        torch.testing.assert_close(tensor, ends[1][name])


def test_frozen_tied_and_grouped_weights(task: Any) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(6, 6).double()
            self.b = nn.Linear(6, 6).double()
            self.b.weight = self.a.weight
            self.out = nn.Linear(6, 3).double()
            self.a.bias.requires_grad_(False)

        def forward(self, x: Any) -> Any:
            return self.out(torch.tanh(self.b(torch.tanh(self.a(x)))))

    def run(every: float) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = Odd()
        groups = [
            {"params": list(model.out.parameters()), "weight_decay": 0.1},
            {"params": [model.a.weight, model.b.bias, model.a.bias]},
        ]
        opt = OnePass(model, torch.optim.SGD(groups, lr=0.1, momentum=0.5), train_loss=task.loss, val_loss=task.loss,
                      hyper={"lr": log10(0.1)}, every=every, outer=still)  # fmt: skip
        start = model.a.bias.clone()
        our_loop(task, opt, 8)
        assert torch.equal(model.a.bias, start)
        return dict(model.state_dict())

    plain, tracked = run(math.inf), run(2)
    for name, tensor in plain.items():
        torch.testing.assert_close(tracked[name], tensor)


def test_weights_that_the_optimizer_does_not_hold_stay(task: Any) -> None:
    model = task.model()
    start = model[0].weight.clone()
    opt = OnePass(model, torch.optim.SGD(model[2].parameters(), lr=0.1), train_loss=task.loss, val_loss=task.loss,
                  hyper={"lr": log10(0.1)}, every=2)  # fmt: skip
    our_loop(task, opt, 6)
    assert torch.equal(model[0].weight, start)
    assert opt.hyper["lr"].item() != pytest.approx(0.1, rel=1e-3)


@pytest.mark.slow
def test_a_compiled_model_trains(task: Any) -> None:
    model = task.model()
    compiled = torch.compile(model, backend="eager")
    ends = []
    for which in (compiled, task.model()):
        opt = OnePass(which, torch.optim.SGD(which.parameters(), lr=0.1), train_loss=task.loss, val_loss=task.loss,
                      hyper={"lr": log10(0.1)}, every=3)  # fmt: skip
        our_loop(task, opt, 6)
        ends.append((opt.hyper["lr"].item(), which[0].weight if which is not compiled else model[0].weight))
    assert ends[0][0] == pytest.approx(ends[1][0])
    torch.testing.assert_close(ends[0][1], ends[1][1])


# -- hyperparameters --------------------------------------------------------------------------------------------------------


def test_knobs_are_found_by_name_or_as_said(task: Any) -> None:
    model = task.model()
    sgd = torch.optim.SGD(model.parameters(), lr=9.0, momentum=0.9)
    opt = OnePass(model, sgd, train_loss=task.loss, val_loss=task.loss, tune={"lr": "rate", "momentum": "slow"},
                  hyper={"rate": log10(0.25), "slow": Hyperparameter(0.5, transform="unit")})  # fmt: skip
    opt.step(task.batches(1)[0])
    assert sgd.param_groups[0]["lr"] == pytest.approx(0.25)
    assert sgd.param_groups[0]["momentum"] == pytest.approx(0.5)


def test_betas_are_knobs(task: Any) -> None:
    model = task.model()
    adam = torch.optim.Adam(model.parameters())
    opt = OnePass(model, adam, train_loss=task.loss, val_loss=task.loss, every=1,
                  hyper={"beta1": Hyperparameter(0.8, transform="unit")})  # fmt: skip
    our_loop(task, opt, 3)
    first, second = adam.param_groups[0]["betas"]
    assert second == 0.999
    assert first == pytest.approx(0.8, abs=0.1)
    assert first != 0.8


def test_constants_are_used_and_not_moved(task: Any) -> None:
    model = task.model()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    hyper = Hyperparameters(
        lr=log10(0.2), momentum=Hyperparameter(0.7, tune=False), decay=Hyperparameter(0.3, tune=False)
    )
    opt = OnePass(
        model, sgd, train_loss=task.loss, val_loss=task.loss, every=2, hyper=hyper, penalty=L2(strength="decay")
    )
    our_loop(task, opt, 4)
    assert sgd.param_groups[0]["momentum"] == pytest.approx(0.7)
    assert opt.problem.penalties[0].strength == pytest.approx(0.3)
    assert hyper["lr"].item() != pytest.approx(0.2, rel=1e-3)


def test_a_learning_rate_keeps_to_sane_limits_unless_it_has_its_own(task: Any) -> None:
    def far(raws: list[torch.Tensor]) -> torch.optim.Optimizer:
        return torch.optim.SGD([{"params": raws, "lr": 1e9}])

    for h, ends in (
        (log10(0.1), (1e-10, 1.0)),
        (log10(0.1, low=0.01, high=3.0), (0.01, 3.0)),
        (log10(4.0), (1e-10, 4.0)),
    ):
        model = task.model()
        opt = OnePass(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=task.loss, val_loss=task.loss, every=1,
                      hyper={"lr": h}, outer=far)  # fmt: skip
        opt.step(task.batches(1)[0], task.batches(1)[0])
        assert any(h.item() == pytest.approx(end, rel=1e-5) for end in ends)


def test_a_value_that_is_set_from_outside_is_used(task: Any) -> None:
    model = task.model()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    h = log10(0.1)
    opt = OnePass(model, sgd, train_loss=task.loss, val_loss=task.loss, hyper={"lr": h})
    h.set(0.02)
    opt.step(task.batches(1)[0])
    assert sgd.param_groups[0]["lr"] == pytest.approx(0.02)


def test_validation_batches_are_asked_for_only_when_needed(task: Any) -> None:
    model = task.model()
    opt = OnePass(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=task.loss, val_loss=task.loss, hyper={"lr": log10(0.1)}, every=3)  # fmt: skip
    asked = []
    results = [opt.step(b, lambda: asked.append(1) or task.batches(1)[0]) for b in task.batches(7)]
    assert len(asked) == 2
    assert [r.hypergrad is not None for r in results] == [False, False, True, False, False, True, False]
    assert [r.step for r in results] == list(range(1, 8))
    assert results[2].hypergrad.solution is None


# -- what does not go well --------------------------------------------------------------------------------------------------


def test_what_is_not_finite_is_left_out_counted_said_and_in_the_end_an_error(task: Any) -> None:
    model = task.model()
    h = log10(0.1)
    opt = OnePass(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=task.loss, val_loss=task.loss, hyper={"lr": h},
                  every=1, max_skipped=3)  # fmt: skip
    good, bad = task.batches(1)[0], (task.batches(1)[0][0] * math.nan, task.batches(1)[0][1])
    with pytest.warns(HypergradWarning, match="not finite"):
        result = opt.step(good, bad)
    assert result.notes == ("the hypergradient was not finite and was left out (1 so far)",)
    assert opt.num_skipped == 1
    assert h.item() == pytest.approx(0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        opt.step(good, bad)
        opt.step(good, good)
        opt.step(good, bad)
        opt.step(good, bad)
    with pytest.raises(HypergradError, match="3 hypergradients in a row") as caught:
        opt.step(good, bad)
    assert "learning rate" in caught.value.fix


def test_the_hypergradient_is_clipped(task: Any) -> None:
    moved = []
    for clip in (None, 1e-3):
        model = task.model()
        opt = OnePass(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=task.loss, val_loss=task.loss, every=1,
                      hyper={"lr": Hyperparameter(0.1)}, outer=lambda raws: torch.optim.SGD(raws, lr=1.0), clip_norm=clip)  # fmt: skip
        opt.step(task.batches(1)[0], task.batches(1)[0])
        moved.append(abs(opt.hyper["lr"].item() - 0.1))
    assert moved[1] == pytest.approx(1e-3, rel=1e-3)
    assert moved[0] > 1e-2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"train_loss": lambda model: 0}, r"train_loss takes the arguments \(model\)"),
        ({"train_loss": 3}, "can't be called"),
        ({"val_loss": lambda a, b, c, d: 0}, "val_loss takes"),
        ({"hyper": {}}, "no hyperparameter to tune"),
        ({"hyper": {"lr": Hyperparameter(0.1, tune=False)}}, "no hyperparameter to tune"),
        ({"every": 0}, "every=0"),
        ({"every": 2.5}, "every=2.5"),
        ({"lookback": 0}, "lookback=0"),
        ({"tune": {"speed": "lr"}}, "SGD has no knob 'speed'"),
        ({"tune": {"lr": "rate"}}, "no such hyperparameter"),
        ({"outer": torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)}, "holds none of the hyperparameters"),
        ({"optimizer": None}, "the optimizer is NoneType"),
        ({"optimizer": torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)}, "none of the model's trainable weights"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_refused_in_words(task: Any, change: Mapping[str, Any], says: str) -> None:
    model = task.model()
    given = {"optimizer": torch.optim.SGD(model.parameters(), lr=0.1), "train_loss": task.loss, "val_loss": task.loss,
             "hyper": {"lr": log10(0.1)}, **change}  # fmt: skip
    with pytest.raises(HypergradError, match=says) as caught:
        OnePass(model, given.pop("optimizer"), **given)
    assert caught.value.fix


def test_optimizers_that_can_not_be_differentiated_are_refused_at_once_where_it_matters(task: Any) -> None:
    model = task.model()
    odd = torch.optim.Rprop(model.parameters())
    with pytest.raises(HypergradError, match="Rprop"):
        OnePass(model, odd, train_loss=task.loss, val_loss=task.loss, hyper={"lr": log10(0.1)})
    opt = Neumann(model, odd, train_loss=task.loss, val_loss=task.loss, hyper={"decay": log10(0.1)}, penalty=L2(strength="decay"), every=2, scale=0.1)  # fmt: skip
    our_loop(task, opt, 4)
    assert opt.num_hyper_steps == 2


def test_a_knob_whose_shape_goes_with_no_weight_is_refused_at_once(task: Any) -> None:
    model = task.model()
    hyper = {"lr": Hyperparameter(torch.full((17,), 0.1))}
    with pytest.raises(HypergradError, match=r"'lr' has shape \(17,\) and the weight .*: give a scalar, or a mapping"):
        OnePass(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=task.loss, val_loss=task.loss, hyper=hyper)  # fmt: skip


def test_what_is_in_the_update_is_no_matter_for_methods_of_the_loss(task: Any) -> None:
    model = task.model()
    with pytest.raises(HypergradError, match="lr is in the weight update") as caught:
        Neumann(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=task.loss, val_loss=task.loss, hyper={"lr": log10(0.1)})  # fmt: skip
    assert "OnePass" in caught.value.fix


def test_losses_that_are_none(task: Any) -> None:
    model = task.model()
    for loss, says in (
        (lambda m, b: m(b[0]), "shape"),
        (lambda m, b: torch.tensor(1.0), "does not depend on the weights"),
    ):
        opt = OnePass(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=loss, val_loss=task.loss, hyper={"lr": log10(0.1)})  # fmt: skip
        with pytest.raises(HypergradError, match=says):
            opt.step(task.batches(1)[0])
    opt = OnePass(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=task.loss, val_loss=task.loss, hyper={"lr": log10(0.1)}, every=1)  # fmt: skip
    with pytest.raises(HypergradError, match="no validation batch"):
        opt.step(task.batches(1)[0])


def test_a_hyperparameter_that_reaches_nothing_is_named(task: Any) -> None:
    model = task.model()
    opt = OnePass(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=task.loss, val_loss=task.loss, hyper={"lost": 1.0}, every=1)  # fmt: skip
    with pytest.raises(HypergradError, match="'lost' does not reach"):
        opt.step(task.batches(1)[0], task.batches(1)[0])


# -- what is saved ------------------------------------------------------------------------------------------------------------

ALGORITHMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "one_pass": (OnePass, {"every": 4}),
    "hdlr": (OnePass, {"every": 4, "per": "weight"}),
    "t1t2": (T1T2, {"every": 3}),
    "neumann": (Neumann, {"every": 3, "loss": True, "scale": 0.1}),
    "diff_through_opt": (DiffThroughOpt, {"every": 7, "lookback": 4}),
    "hypergradient_descent": (HypergradientDescent, {}),
    "rtho": (RTHO, {"every": 3}),
    "unrolled": (Unrolled, {"every": 4}),
    "unrolled_on": (Unrolled, {"every": 4, "restart": False, "lookback": 2}),
    "hoag": (HOAG, {"loss": True, "max_inner": 20}),
    "drmad": (DrMAD, {"every": 4}),
}


def made(task: Any, kind: Any, knobs: dict[str, Any], optimizer: str) -> HyperOptimizer:
    model = task.model(touchy=kind is not HOAG)
    knobs = dict(knobs)
    per = knobs.pop("per", "all")
    more: dict[str, Any] = {"hyper": {"lr": log10(0.02, per=per)}}
    if knobs.pop("loss", False):
        more = {"hyper": {"decay": log10(0.05)}, "penalty": L2(strength="decay")}
    return kind(
        model, OPTIMIZERS[optimizer](model.parameters()), train_loss=task.loss, val_loss=task.loss, **more, **knobs
    )


@pytest.mark.filterwarnings("ignore::whet.hypergrad.optimizers.base.HypergradWarning")
@pytest.mark.parametrize(
    ("name", "optimizer"),
    [*(pytest.param(name, "momentum", marks=() if name in ("t1t2", "one_pass") else pytest.mark.slow) for name in ALGORITHMS), *((name, "adam") for name in ("one_pass", "diff_through_opt", "hypergradient_descent"))],
)  # fmt: skip
def test_a_saved_state_goes_on_to_the_same_bits(task: Any, name: str, optimizer: str) -> None:
    kind, knobs = ALGORITHMS[name]
    before, after = (3, 2) if kind is HOAG else (13, 9)
    batches, vals = task.batches(before + after), task.batches(before + after, seed=1)
    opt = made(task, kind, knobs, optimizer)
    torch.manual_seed(3)
    for i in range(before):
        opt.step(batches[i], vals[i])
    file = io.BytesIO()
    torch.save({"model": opt.model.state_dict(), "opt": opt.state_dict(), "random": torch.get_rng_state()}, file)
    for i in range(before, before + after):
        opt.step(batches[i], vals[i])
    again = made(task, kind, knobs, optimizer)
    saved = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    again.model.load_state_dict(saved["model"])
    again.load_state_dict(saved["opt"])
    torch.set_rng_state(saved["random"])
    for i in range(before, before + after):
        again.step(batches[i], vals[i])
    assert opt.num_hyper_steps > 0
    assert (again.num_steps, again.num_hyper_steps) == (opt.num_steps, opt.num_hyper_steps)
    for mine, theirs in zip(again.hyper.parameters(), opt.hyper.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    for key, tensor in opt.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[key], tensor)


def test_a_state_of_another_algorithm_is_refused(task: Any) -> None:
    state = made(task, OnePass, {}, "sgd").state_dict()
    with pytest.raises(HypergradError, match="state of OnePass, not of T1T2"):
        made(task, T1T2, {}, "sgd").load_state_dict(state)
