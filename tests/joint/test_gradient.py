"""Hypergradient methods in a study: the same training, whose continuous parameters move inside each trial."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.joint.curve import SPACE, TRAIN, VAL, loss, network, problem, training
from torch.utils.data import DataLoader, TensorDataset

import whet
from whet import plugins
from whet.errors import ConfigError, HypergradError, StudyError, UnknownName
from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.penalties import L2
from whet.hypergrad.problem import Bilevel
from whet.hypergrad.updates.sgd import SGD
from whet.joint.training import Training
from whet.space import Choice, Float, Int, Space
from whet.store.base import Store
from whet.study.study import Study
from whet.trial import Phase

pytestmark = pytest.mark.filterwarnings("ignore::whet.hypergrad.optimizers.base.HypergradWarning")

PARAMS = {"lr": 0.01, "momentum": 0.5, "decay": 1e-3, "width": 4}
REACHED = {
    "t1t2": ["momentum", "decay"],
    "neumann": ["decay"],
    "hoag": ["decay"],
    "drmad": ["lr", "momentum", "decay"],
    "one_pass": ["lr", "momentum", "decay"],
    "diff_through_opt": ["lr", "momentum", "decay"],
    "hypergradient_descent": ["lr"],
    "rtho": ["lr", "momentum", "decay"],
    "unrolled": ["lr", "momentum", "decay"],
}


def study(method: Any, store: Store | str = "memory", **given: Any) -> Study:
    return whet.create_study(
        **{"space": SPACE, "storage": store, "seed": 7, "stopper": "none", "method": method, **given}
    )


@pytest.mark.parametrize("name", REACHED)
def test_every_algorithm_optimizes_the_same_training_over_the_same_space(name: str) -> None:
    knobs = {"every": 20} if name in ("unrolled", "drmad") else {}
    found = study({"name": name, **knobs})
    found.optimize(training(), n_trials=2)
    for trial in found.trials:
        assert trial.complete
        tuned: Any = trial.user_attrs["tuned"]
        assert list(tuned) == REACHED[name]
        assert all(tuned[n] != trial.params[n] for n in tuned)
        assert SPACE.contains({**trial.params, **tuned})
        assert trial.note == f"{name} goes on from here with what it can move of lr, momentum, decay"


@pytest.mark.parametrize("name", REACHED)
def test_without_a_hyper_step_it_is_the_training_of_a_search(name: str) -> None:
    if name == "hoag":
        pytest.skip("every step of it is one")
    plain = training().fit(PARAMS, seed=2)
    found = training().fit(PARAMS, seed=2, method={"name": name, "every": math.inf}, space=SPACE)
    assert found.value == pytest.approx(plain.value, rel=1e-12)
    assert found.tuned == pytest.approx({n: PARAMS[n] for n in REACHED[name]})


def test_t1t2_leaves_the_learning_rate_alone_unless_told() -> None:
    found = training().fit(PARAMS, method={"name": "t1t2", "tune": ["lr"]}, space=SPACE)
    assert list(found.tuned) == ["lr"]


@pytest.mark.parametrize("name", ["unrolled", "drmad"])
def test_runs_of_a_trial_are_one_training(name: str) -> None:
    """With hyperparameters that hardly move, the model is that of all of its steps, not of one run's."""
    method = {"name": name, "every": 15, "outer_lr": 1e-12}
    found = training().fit(PARAMS, seed=2, method=method, space=SPACE)
    assert found.value == pytest.approx(training().fit(PARAMS, seed=2).value, rel=1e-9)
    assert not found.notes


def test_a_hyper_step_that_is_never_due_is_said() -> None:
    found = training(steps=40).fit(PARAMS, method={"name": "unrolled", "every": 100}, space=SPACE)
    assert found.notes == ("nothing was tuned: a hyper-step is due every 100 steps, and there were 40",)


def test_whatever_the_method_a_trial_sees_the_same_batches() -> None:
    data = TensorDataset(*(torch.cat(part) for part in zip(*TRAIN, strict=True)))
    seen: dict[str, list[float]] = {}

    def noting(config: Any) -> Bilevel:
        def train_loss(model: Any, batch: Any, hyper: Any) -> Any:
            seen.setdefault(name, []).append(float(batch[0].sum()))
            return loss(model, batch, hyper)

        return replace(problem(config), train_loss=train_loss)

    train, val = DataLoader(data, 8, shuffle=True), DataLoader(data, 16, shuffle=True)
    for name in ("random", "one_pass"):
        made = Training(noting, train=train, val=val, steps=50, evaluate_every=7 if name == "random" else 50)
        made.fit(PARAMS, method={"name": name, **({"every": 5} if name == "one_pass" else {})}, space=SPACE, seed=1)
    assert len(seen["random"]) == 50
    assert list(dict.fromkeys(seen["one_pass"])) == list(dict.fromkeys(seen["random"]))


def test_trajectories_are_curves_of_the_run(store: Store) -> None:
    found = study({"name": "one_pass", "every": 5}, store)
    found.optimize(training(evaluate_every=20), n_trials=1)
    (run,), (trial,) = store.runs.select(), found.trials
    curves = store.runs.metrics(run.id)
    assert set(curves) == {"hyper/lr", "hyper/momentum", "hyper/decay", "train_loss", "value"}
    assert curves["hyper/lr"].steps == [0, 5, 10, 15, 20, 25, 30, 35, 40]
    tuned: Any = trial.user_attrs["tuned"]
    for name in ("lr", "momentum", "decay"):
        values = curves[f"hyper/{name}"].values
        assert values[0] == pytest.approx(trial.params[name])
        assert values[-1] == tuned[name]
        assert len(set(values)) == 9


def test_a_long_trajectory_is_thinned_out() -> None:
    steps: list[int] = []
    made = training(steps=400, evaluate_every=400)
    made.fit(
        PARAMS,
        method={"name": "hypergradient_descent"},
        space=SPACE,
        log=lambda metrics, step: steps.append(step) if "hyper/lr" in metrics else None,
    )
    assert steps == [0, *range(2, 401, 2)]


def test_a_bad_start_is_mended() -> None:
    start = {**PARAMS, "lr": 1e-3, "momentum": 0.0}
    made = training(steps=400)
    plain = made.fit(start)
    tuned = made.fit(start, method="one_pass", space=SPACE)
    assert tuned.tuned["lr"] > 5e-3
    assert tuned.value < 0.7 * plain.value


def test_tune_says_what_moves_and_the_rest_stays() -> None:
    found = study({"name": "one_pass", "tune": ["momentum"]})
    found.optimize(training(), n_trials=1)
    (trial,) = found.trials
    assert list(trial.user_attrs["tuned"]) == ["momentum"]  # type: ignore[call-overload]
    assert trial.note == "one_pass goes on from here with momentum"


def test_hypergradient_descent_moves_other_knobs_when_told_to() -> None:
    found = training().fit(PARAMS, method={"name": "hypergradient_descent", "tune": ["lr", "momentum"]}, space=SPACE)
    assert set(found.tuned) == {"lr", "momentum"}


def test_what_is_in_the_loss_moves_and_discrete_numbers_are_constants_there() -> None:
    seen: list[Any] = []

    def smoothed(model: Any, batch: Any, hyper: Any) -> Any:
        seen.append(hyper["power"])
        return (
            loss(model, batch, hyper) + hyper["l1"] * sum(p.abs().sum() for p in model.parameters()) ** hyper["power"]
        )

    def made(config: Any) -> Bilevel:
        return Bilevel(model=network(4), train_loss=smoothed, val_loss=loss, update=SGD(lr=0.05))

    space = Space({"l1": Float(1e-5, 1e-1, log=True), "power": Int(1, 2), "unused": Float(0, 1)})
    given = Training(made, train=TRAIN, val=VAL, steps=20)
    found = given.fit({"l1": 1e-3, "power": 2, "unused": 0.5}, method="neumann", space=space)
    assert list(found.tuned) == ["l1"]
    assert all(float(power) == 2 and not power.requires_grad for power in seen)


def test_outer_lr_is_the_step_of_the_hyperparameters() -> None:
    far = [
        abs(
            math.log10(
                training().fit(PARAMS, method={"name": "one_pass", "outer_lr": rate}, space=SPACE).tuned["lr"]
                / PARAMS["lr"]
            )
        )
        for rate in (0.01, 0.2)
    ]
    assert far[1] > 5 * far[0] > 0


def test_trials_are_reproducible_and_replayed() -> None:
    first, second = study({"name": "one_pass", "search": "tpe"}), study({"name": "one_pass", "search": "tpe"})
    for s in (first, second):
        s.optimize(training(), n_trials=3)
    assert [(t.value, t.user_attrs) for t in first.trials] == [(t.value, t.user_attrs) for t in second.trials]
    again = training().replay(first)
    assert again.value == first.best_value
    assert again.tuned == first.best_trial.user_attrs["tuned"]
    with torch.no_grad():
        assert sum(float(loss(again.model, batch, None)) for batch in VAL) / len(VAL) == pytest.approx(
            again.value, rel=1e-12
        )


def test_stoppers_end_it_and_what_was_tuned_until_then_is_kept() -> None:
    found = study({"name": "one_pass", "tune": "decay"}, stopper={"name": "asha", "min_steps": 10, "eta": 2})
    found.optimize(training(evaluate_every=10), n_trials=12)
    stopped = [t for t in found.trials if t.stopped]
    assert stopped
    assert all(t.reports[-1].step < 40 and "decay" in t.user_attrs["tuned"] for t in stopped)  # type: ignore[operator]


def test_where_nothing_that_moves_exists_it_trains_as_it_is() -> None:
    def made(config: Any) -> Bilevel:
        update = SGD(lr=0.05, momentum="momentum") if config["kind"] == "sgd" else SGD(lr=0.05)
        return replace(problem({"width": 3}), update=update, penalty=())

    space = {"kind": Choice(["sgd", "bare"]), "momentum": Float(0, 0.9, when="kind == 'sgd'")}
    found = study({"name": "one_pass", "search": "sobol"}, space=Space(space))
    found.optimize(Training(made, train=TRAIN, val=VAL, steps=20), n_trials=6)
    assert {(t.params["kind"], "tuned" in t.user_attrs) for t in found.trials} == {("sgd", True), ("bare", False)}
    assert all(t.complete for t in found.trials)


@pytest.mark.parametrize("method", ["random", "neumann"])
def test_hyperparameters_of_ones_own_start_from_the_configuration(method: str) -> None:
    made = training(hyper=lambda config: {"decay": Hyperparameter(config["decay"], transform="log10", per="weight")})
    found = study(method)
    found.optimize(made, n_trials=1)
    (trial,) = found.trials
    if method == "random":
        assert trial.attrs == {}
        assert trial.value == pytest.approx(training().replay(found, trial).value, rel=1e-9)
    else:
        tuned: Any = trial.user_attrs["tuned"]
        assert set(tuned) == {"decay/mean", "decay/min", "decay/max"}
        assert tuned["decay/min"] < tuned["decay/max"]


def test_a_trial_that_diverges_fails_alone() -> None:
    space = Space({"lr": Float(1e-4, 1e9, log=True)})
    made = Training(
        lambda config: replace(problem({"width": 3}), update=SGD(lr="lr"), penalty=()), train=TRAIN, val=VAL, steps=200
    )
    found = study("one_pass", space=space)
    for lr in (1e9, 1e-2):
        found.enqueue_trial({"lr": lr})
    found.optimize(made, n_trials=2)
    assert [t.phase for t in found.trials] == [Phase.FAILED, Phase.FINISHED]
    assert found.trials[0].reason == "its result value is NaN"


def test_the_steps_that_hoag_takes_within_one_count() -> None:
    calls: list[int] = []

    def noting(config: Any) -> Bilevel:
        def train_loss(model: Any, batch: Any, hyper: Any) -> Any:
            calls.append(1)
            return loss(model, batch, hyper)

        return replace(problem(config), train_loss=train_loss)

    steps: list[int] = []
    made = training(problem=noting, steps=100, evaluate_every=25)
    found = made.fit(PARAMS, method={"name": "hoag", "max_inner": 10}, space=SPACE,
                     log=lambda metrics, step: steps.append(step) if "val_loss" in metrics else None)  # fmt: skip
    assert found.steps == 100
    assert 90 <= len(calls) <= 125
    assert len(steps) == 4
    assert steps[-1] == 100


@pytest.mark.parametrize("name", ["unrolled", "drmad"])
def test_runs_are_looked_at_where_they_end_and_a_short_last_one_is_left_out(name: str) -> None:
    steps: list[int] = []
    made = training(steps=50, evaluate_every=5)
    method = {"name": name, "every": 20, "restart": True}
    found = made.fit(PARAMS, method=method, space=SPACE,
                     log=lambda metrics, step: steps.append(step) if "val_loss" in metrics else None)  # fmt: skip
    assert steps == [20, 40, 50]
    even = training(steps=40, evaluate_every=5).fit(PARAMS, method=method, space=SPACE)
    assert (found.value, found.tuned) == (even.value, even.tuned)
    short = training(steps=10).fit(PARAMS, method=method, space=SPACE)
    assert short.value == pytest.approx(training(steps=10).fit(PARAMS).value, rel=1e-12)


def test_threads_train_side_by_side() -> None:
    found = study({"name": "one_pass", "search": "tpe"})
    found.optimize(training(steps=20), n_trials=4, n_jobs=2)
    assert all(t.complete and t.user_attrs["tuned"] for t in found.trials)


# -- bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("knobs", "kind", "message"),
    [
        ({"evry": 3}, UnknownName, r"unknown knob of one_pass 'evry': did you mean 'every'\? known: every, "),
        ({"lookback": 0}, ConfigError, "one_pass refuses its knobs {'lookback': 0} .*lookback=0: give an integer >= 1"),
        (
            {"every": 0.5},
            ConfigError,
            "one_pass refuses its knobs {'every': 0.5} .*every=0.5: give an integer >= 1",
        ),
        ({"every": "often"}, ConfigError, "one_pass refuses its knobs {'every': 'often'}"),
        (
            {"name": "hoag", "outer_lr": 0.1},
            ConfigError,
            "hoag has outer_lr=0.1, and a step size of its own: leave it out",
        ),
        ({"name": "hoag", "every": 3}, UnknownName, "unknown knob of hoag 'every'"),
        ({"name": "hoag", "schedule": "fast"}, ConfigError, "hoag refuses its knobs {'schedule': 'fast'}"),
        ({"name": "neumann", "terms": -1}, ConfigError, "neumann refuses its knobs {'terms': -1}"),
    ],
)
def test_bad_knobs_are_refused_when_the_study_is_made(
    knobs: dict[str, Any], kind: type[Exception], message: str
) -> None:
    state = torch.get_rng_state()
    with pytest.raises(kind, match=message):
        study({"name": "one_pass", **knobs})
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", REACHED)
def test_good_knobs_are_taken(name: str) -> None:
    cls: Any = plugins.find("searcher", name)
    knobs = {"tolerance": 1e-2} if name == "hoag" else {"every": 20, "clip_norm": 1.0}
    found = study({"name": name, **knobs})
    assert found.method.knobs == knobs
    assert cls.load().__name__.lower() == name.replace("_", "")


@pytest.mark.parametrize(
    ("method", "space", "message"),
    [
        ("neumann", {"lr": Float(0.01, 0.1), "momentum": Float(0.1, 0.9), "width": Int(2, 3)},
         r"neumann can move none of the parameters \(lr, momentum; lr and momentum are in the update\): use hyper\[name\] in the"),
        ("one_pass", {"width": Int(2, 3)}, r"one_pass can move none of the parameters \(none is continuous\): use hyper\[name\]"),
        ("hypergradient_descent", {"momentum": Float(0.1, 0.9), "width": Int(2, 3)}, r"\(momentum\): name it as the learning rate"),
        ({"name": "neumann", "tune": "lr"}, SPACE, "neumann is to tune 'lr', which is in the update: it differentiates the training loss alone"),
        ({"name": "one_pass", "tune": ["unused"]}, {**SPACE, "unused": Float(0, 1)},
         "one_pass is to tune 'unused', which does not reach the training loss or the update"),
    ],
)  # fmt: skip
def test_nothing_to_move_is_said(method: Any, space: Any, message: str) -> None:
    def made(config: Any) -> Bilevel:
        lr, momentum = ("lr" if "lr" in config else 0.1), ("momentum" if "momentum" in config else 0.0)
        penalty = L2(strength="decay") if "decay" in config else ()
        return replace(problem(config), update=SGD(lr=lr, momentum=momentum), penalty=penalty)

    with pytest.raises(HypergradError, match=message):
        study(method, space=Space(dict(space))).optimize(training(problem=made), n_trials=1)


def test_fit_needs_the_space() -> None:
    with pytest.raises(StudyError, match="one_pass needs the space: give space=…"):
        training().fit(PARAMS, method="one_pass")
