"""What hyper-optimizers are given: what makes no sense is refused in words, when they are made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from whet.errors import HypergradError
from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.optimizers.diff_through_opt import DiffThroughOpt
from whet.hypergrad.optimizers.drmad import DrMAD
from whet.hypergrad.optimizers.hoag import HOAG
from whet.hypergrad.optimizers.hypergradient_descent import HypergradientDescent
from whet.hypergrad.optimizers.neumann import Neumann
from whet.hypergrad.optimizers.one_pass import OnePass
from whet.hypergrad.optimizers.rtho import RTHO
from whet.hypergrad.optimizers.unrolled import Unrolled
from whet.hypergrad.penalties import L2


def log10(value: float, **more: Any) -> Hyperparameter:
    return Hyperparameter(value, transform="log10", **more)


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        (OnePass, {"every": "10"}, "every='10': give an integer >= 1, or math.inf"),
        (OnePass, {"every": 2.5}, "every=2.5"),
        (OnePass, {"every": math.nan}, "every=nan"),
        (OnePass, {"every": True}, "every=True"),
        (OnePass, {"clip_norm": -1.0}, "clip_norm=-1.0: give a number > 0"),
        (OnePass, {"clip_norm": "1"}, "clip_norm='1'"),
        (OnePass, {"max_grad_norm": 0.0}, "max_grad_norm=0.0"),
        (OnePass, {"max_skipped": 0}, "max_skipped=0"),
        (OnePass, {"outer": 0.1}, "outer=0.1: give an optimizer, or a function that makes one"),
        (OnePass, {"lookback": 2.5}, "lookback=2.5: give an integer >= 1"),
        (OnePass, {"lookback": "5"}, "lookback='5'"),
        (DiffThroughOpt, {"lookback": 2.5}, "lookback=2.5: give an integer >= 1"),
        (DiffThroughOpt, {"lookback": "5"}, "lookback='5'"),
        (Unrolled, {"lookback": 0}, "lookback=0"),
        (DrMAD, {"skip": 0}, "skip=0"),
        (DrMAD, {"pieces": 1.5}, "pieces=1.5"),
        (RTHO, {"limit": "many"}, "limit='many'"),
        (HypergradientDescent, {"form": "foo"}, "form='foo': give one of 'additive', 'multiplicative', 'gradient'"),
        (HypergradientDescent, {"beta": "1"}, "beta='1'"),
        (Neumann, {"terms": 2.5}, "terms=2.5: give an integer >= 0"),
        (HOAG, {"schedule": "foo"}, "schedule='foo': give one of 'exponential', 'quadratic', 'cubic', 'exact'"),
        (HOAG, {"tolerance": math.nan}, "tolerance=nan"),
        (HOAG, {"max_inner": 0}, "max_inner=0"),
        (HOAG, {"max_products": 1.5}, "max_products=1.5"),
        (HOAG, {"box": (1.0, -1.0)}, "box=.*in this order"),
        (HOAG, {"every": 5}, "HOAG was given every="),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(task: Any, kind: Any, change: Mapping[str, Any], says: str) -> None:
    model = task.model()
    given: dict[str, Any] = {"hyper": {"lr": log10(0.1)}}
    if kind in (Neumann, HOAG):
        given = {"hyper": {"decay": log10(0.1)}, "penalty": L2(strength="decay")}
    with pytest.raises(HypergradError, match=says) as caught:
        kind(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=task.loss, val_loss=task.loss, **given, **change)  # fmt: skip
    assert caught.value.fix


def test_integers_may_be_floats(task: Any) -> None:
    model = task.model()
    opt = DiffThroughOpt(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=task.loss, val_loss=task.loss,
                         hyper={"lr": log10(0.1)}, every=4.0, lookback=2.0)  # type: ignore[arg-type] # fmt: skip
    assert (opt.every, opt.lookback) == (4, 2)
    assert isinstance(opt.lookback, int)


def test_one_knob_may_be_named_without_a_list(task: Any) -> None:
    model = task.model()
    sgd = torch.optim.SGD(model.parameters(), lr=9.0)
    opt = OnePass(model, sgd, train_loss=task.loss, val_loss=task.loss, hyper={"lr": log10(0.1)}, tune="lr")
    opt.step(task.batches(1)[0])
    assert sgd.param_groups[0]["lr"] == pytest.approx(0.1)


@pytest.mark.parametrize("per", ["all", "weight"])
def test_groups_that_differ_in_a_tuned_knob_are_refused(task: Any, per: str) -> None:
    def made(knob: str, **groups: Any) -> OnePass:
        model = task.model()
        parts = [{"params": model[0].parameters()}, {"params": model[2].parameters(), **groups}]
        optimizer = torch.optim.Adam(parts, lr=0.1)
        return OnePass(model, optimizer, train_loss=task.loss, val_loss=task.loss, hyper={knob: log10(0.1, per=per)})

    with pytest.raises(HypergradError, match=r"groups differ in lr \(0.1, 0.01\), and 'lr' is one for all") as caught:
        made("lr", lr=0.01)
    assert "same lr" in caught.value.fix
    assert "tune=()" in caught.value.fix
    with pytest.raises(HypergradError, match="differ in beta1"):
        made("beta1", betas=(0.5, 0.999))
    assert made("lr", weight_decay=0.1).hyper["lr"].tune  # what is not tuned may differ


def test_an_optimizer_whose_step_needs_a_closure_is_refused(task: Any) -> None:
    model = task.model()
    with pytest.raises(HypergradError, match="step of LBFGS computes the loss several times") as caught:
        Neumann(model, torch.optim.LBFGS(model.parameters()), train_loss=task.loss, val_loss=task.loss,
                hyper={"decay": log10(0.1)}, penalty=L2(strength="decay"))  # fmt: skip
    assert "HOAG" in caught.value.fix
