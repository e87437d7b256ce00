"""Methods that only search: a training with constant hyperparameters, in a study."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.joint.curve import SPACE, TRAIN, VAL, loss, network, problem, training
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import whet
from whet.errors import HypergradError, StudyError
from whet.hypergrad.penalties import L1, L2
from whet.hypergrad.problem import Bilevel
from whet.hypergrad.updates.sgd import SGD
from whet.joint.training import Training
from whet.space import Choice, Float, Int, Space
from whet.store.base import Store
from whet.study.study import Study
from whet.trial import Phase

PARAMS = {"lr": 0.05, "momentum": 0.9, "decay": 1e-3, "width": 4}


def study(store: Store | str = "memory", **given: Any) -> Study:
    return whet.create_study(
        **{"space": SPACE, "storage": store, "seed": 7, "method": "random", "stopper": "none", **given}
    )


def by_hand(seed: int, steps: int = 40) -> tuple[nn.Module, float]:
    """The same training as anybody would write it."""
    torch.manual_seed(seed)
    model = network(4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    for step in range(steps):
        optimizer.zero_grad()
        loss(model, TRAIN[step % len(TRAIN)], None).backward()
        optimizer.step()
    with torch.no_grad():
        return model, sum(float(loss(model, batch, None)) for batch in VAL) / len(VAL)


def test_it_trains_as_a_loop_of_ones_own() -> None:
    found = training().fit(PARAMS, seed=3)
    model, value = by_hand(3)
    for ours, theirs in zip(found.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    assert found.value == pytest.approx(value, rel=1e-12)
    assert (found.steps, found.tuned, found.params) == (40, {}, PARAMS)


@pytest.mark.parametrize("method", ["random", "sobol", "tpe", "grid", {"name": "tpe", "num_startup": 2}])
def test_any_method_optimizes_it(store: Store, method: Any) -> None:
    found = study(store, method=method)
    found.optimize(training(steps=10), n_trials=4)
    assert [t.phase for t in found.trials] == [Phase.FINISHED] * 4
    assert all(t.attrs == {} and t.note == "" for t in found.trials)
    assert len({t.value for t in found.trials}) == 4


def test_the_same_seed_trains_the_same_and_leaves_torchs_randomness_alone() -> None:
    def dropping(config: Any) -> Bilevel:
        model = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.5), nn.Linear(8, 1)).double()
        return Bilevel(model=model, train_loss=loss, val_loss=loss, update=SGD(lr="lr"))

    data = TensorDataset(*(torch.cat(part) for part in zip(*TRAIN, strict=True)))
    made = Training(dropping, train=DataLoader(data, 8, shuffle=True), val=VAL, steps=30)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = study(seed=1)
    first.optimize(made, n_trials=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    second, third = study(seed=1), study(seed=2)
    for other in (second, third):
        other.optimize(made, n_trials=3)
    values = [[t.value for t in s.trials] for s in (first, second, third)]
    assert values[0] == values[1]
    assert not set(values[0]) & set(values[2])
    assert made.replay(first).value == first.best_value
    assert made.replay(first, first.trials[1]).value == first.trials[1].value


def test_a_trial_has_curves_and_reports_by_weight_steps(store: Store) -> None:
    found = study(store, metrics=["mse"])
    found.optimize(training(evaluate_every=16), n_trials=1)
    (run,) = store.runs.select()
    curves = store.runs.metrics(run.id)
    assert set(curves) == {"mse", "train_loss"}
    assert curves["mse"].steps == curves["train_loss"].steps == [16, 32, 40]
    (trial,) = found.trials
    assert trial.intermediate_values == dict(zip(curves["mse"].steps, curves["mse"].values, strict=True))
    assert trial.value == curves["mse"].values[-1]


def test_it_is_evaluated_20_times_by_default() -> None:
    steps: list[int] = []
    training(steps=100).fit(PARAMS, log=lambda metrics, step: steps.append(step) if "val_loss" in metrics else None)
    assert steps == list(range(5, 101, 5))
    assert training(steps=3).every == 1


def test_train_loss_is_the_mean_since_the_last_evaluation() -> None:
    logged: dict[int, float] = {}
    one, two = training(steps=8, evaluate_every=1), training(steps=8, evaluate_every=4)
    for made in (one, two):
        made.fit(
            PARAMS,
            log=lambda metrics, step: (
                logged.setdefault(step, metrics["train_loss"]) if "train_loss" in metrics else None
            ),
        )
    single = [logged[step] for step in range(1, 9)]
    logged.clear()
    two.fit(
        PARAMS,
        log=lambda metrics, step: logged.update({step: metrics["train_loss"]}) if "train_loss" in metrics else None,
    )
    assert logged == {4: pytest.approx(sum(single[:4]) / 4), 8: pytest.approx(sum(single[4:]) / 4)}


@pytest.mark.parametrize(
    "stopper", [{"name": "asha", "min_steps": 10, "eta": 2}, {"name": "median", "startup_trials": 2}]
)
def test_stoppers_end_it_and_the_last_step_is_never_stopped(stopper: dict[str, Any]) -> None:
    found = study(stopper=stopper)
    found.optimize(training(evaluate_every=10), n_trials=12)
    stopped = [t for t in found.trials if t.stopped]
    assert stopped
    assert all(t.reason and t.reports[-1].step < 40 for t in stopped)
    assert all(t.complete == (t.reports[-1].step == 40) for t in found.trials)


def test_numbers_reach_losses_penalty_and_update_by_name() -> None:
    seen: dict[str, Any] = {}

    def noted(model: Any, batch: Any, hyper: Any) -> Any:
        seen.update(hyper)
        return loss(model, batch, hyper) * hyper["scale"]

    def made(config: Any) -> Bilevel:
        assert config["kind"] == "sgd"
        penalty = (L2(strength="decay"), L1(strength=0.1))
        return Bilevel(model=network(2), train_loss=noted, val_loss=loss, update=SGD(lr="lr"), penalty=penalty)

    space = {
        "lr": Choice([0.1]), "scale": Int(2, 2), "decay": Float(0.5, 0.5), "kind": Choice(["sgd"]), "flag": Choice([True]),
    }  # fmt: skip
    found = study(space=Space(space))
    found.optimize(Training(made, train=TRAIN, val=VAL, steps=2), n_trials=1)
    assert {name: float(value) for name, value in seen.items()} == {"lr": 0.1, "scale": 2.0, "decay": 0.5}
    assert seen["scale"].dtype == torch.float64
    assert seen["scale"].dim() == 0


def test_a_model_given_as_it_is_starts_every_trial_with_its_weights() -> None:
    model = network(4)
    start = [p.clone() for p in model.parameters()]
    made = training(problem=replace(problem(PARAMS), model=model), steps=5)
    first, again = made.fit(PARAMS), made.fit(PARAMS, seed=9)
    assert first.value == again.value
    assert all(torch.equal(p, was) for p, was in zip(model.parameters(), start, strict=True))


def test_data_may_depend_on_the_configuration() -> None:
    sizes: list[int] = []

    def stream(config: Any) -> Any:
        x, y = (torch.cat(part) for part in zip(*TRAIN, strict=True))
        while True:
            for rows in torch.randperm(len(x)).split(config["width"]):
                sizes.append(len(rows))
                yield x[rows], y[rows]

    training(train=stream, steps=3).fit({**PARAMS, "width": 5})
    assert sizes == [5, 5, 5]


def test_a_loader_with_a_generator_of_its_own_and_numpys_numbers_are_seeded() -> None:
    data = TensorDataset(*(torch.cat(part) for part in zip(*TRAIN, strict=True)))
    loader = DataLoader(data, 8, shuffle=True, generator=torch.Generator().manual_seed(5))

    def noisy(config: Any) -> Bilevel:
        def train_loss(model: Any, batch: Any, hyper: Any) -> Any:
            return loss(model, (batch[0] + 0.1 * np.random.randn() + 0.1 * random.random(), batch[1]), hyper)

        return replace(problem(config), train_loss=train_loss)

    made = Training(noisy, train=loader, val=VAL, steps=20)
    before = np.random.get_state()[1].tolist(), random.getstate()
    assert made.fit(PARAMS, seed=3).value == made.fit(PARAMS, seed=3).value != made.fit(PARAMS, seed=4).value
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before


def test_validation_batches_that_a_function_yields_once_are_kept() -> None:
    made = [training(val=val, steps=10, evaluate_every=5) for val in (VAL, lambda config: (batch for batch in VAL))]
    assert made[0].fit(PARAMS, method="one_pass", space=SPACE).value == made[1].fit(PARAMS, method="one_pass", space=SPACE).value  # fmt: skip


def test_the_metric_weighs_batches_by_size_and_sees_the_model_in_eval_mode() -> None:
    model = nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.9), nn.Linear(4, 1)).double()
    given = Bilevel(model=model, train_loss=loss, val_loss=loss, update=SGD(lr=0.0))
    x, y = (torch.cat(part) for part in zip(*VAL, strict=True))
    uneven = [{"x": (x[:7], y[:7])}, {"x": (x[7:], y[7:])}]
    nested = replace(given, val_loss=lambda model, batch, hyper: loss(model, batch["x"], hyper))
    values = [
        Training(given, train=TRAIN, val=VAL, steps=1).fit({}).value,
        Training(nested, train=TRAIN, val=uneven, steps=1).fit({}).value,
        Training(given, train=TRAIN, val=VAL, steps=1, metric=lambda m: float(loss(m, (x, y), None))).fit({}).value,
    ]
    assert values == pytest.approx([values[0]] * 3, rel=1e-12)


def test_a_training_that_diverges_fails_its_trial_alone() -> None:
    found = study(space={"lr": {"values": [1e9, 0.01]}}, method="grid")
    made = Training(
        lambda config: replace(problem({"width": 3}), update=SGD(lr="lr"), penalty=()), train=TRAIN, val=VAL, steps=200
    )
    found.optimize(made)
    assert [t.phase for t in found.trials] == [Phase.FAILED, Phase.FINISHED]
    assert found.trials[0].reason == "its result value is NaN"
    assert found.trials[0].reports[-1].step < 200  # no use in going on
    assert math.isnan(made.fit({"lr": 1e9}).value)


def test_a_metric_to_maximize() -> None:
    found = study(direction="maximize")
    found.optimize(training(metric=lambda model: -float(loss(model, VAL[0], None))), n_trials=3)
    assert found.best_value == max(t.value for t in found.trials if t.value is not None)


# -- bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"problem": 3}, r"^problem=3: give a Bilevel, or a function of the configuration that makes one$"),
        ({"steps": 0}, r"^steps=0 is no number of weight steps: give an integer >= 1$"),
        ({"steps": 1.5}, r"^steps=1.5 is no number of weight steps"),
        ({"evaluate_every": True}, r"^evaluate_every=True is no number of weight steps"),
        ({"train": 3}, r"^train=3 gives no batches: give a DataLoader, a list of batches, or a function$"),
        ({"val": iter(VAL)}, r"^val can be iterated once only: give a list or a DataLoader"),
        ({"train": iter(TRAIN)}, r"^train goes on from trial to trial, .*: give a list, a DataLoader, or a function"),
        ({"metric": "loss"}, r"^metric='loss' can't be called: give a function$"),
    ],
)
def test_a_training_that_can_be_none(given: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        training(**given)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"problem": lambda config: None}, StudyError, "the problem of a configuration is None: return a Bilevel from the function"),
        ({"problem": replace(problem(PARAMS), model=None)}, StudyError, "the problem has no model"),
        ({"problem": replace(problem(PARAMS), reduce=print)}, HypergradError, "a Training runs in one process, .*: wrap the model"),
        ({"train": []}, HypergradError, "the training data gives no batch"),
        ({"val": []}, HypergradError, "the validation data has no batch"),
        ({"problem": lambda c: replace(problem(c), train_loss=lambda m, b, h: torch.tensor(1.0))}, HypergradError,
         "the training loss does not depend on the weights"),
        ({"problem": lambda c: replace(problem(c), update=SGD(lr="rate"))}, HypergradError, "'rate'"),
    ],
)  # fmt: skip
def test_a_trial_that_cant_be_trained_says_why(given: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        study().optimize(training(**given), n_trials=1)


def test_studies_that_cant_be_optimized() -> None:
    with pytest.raises(StudyError, match=r"the study has no declared space: give create_study\(space=…\)"):
        whet.create_study(storage="memory").optimize(training(), n_trials=1)
    with pytest.raises(StudyError, match="this needs one metric, not 2"):
        study(directions=["minimize", "minimize"]).optimize(training(), n_trials=1)
    found = study()
    found.optimize(training(steps=1), n_trials=1)
    with pytest.raises(StudyError, match=r"is no running trial: use fit\(trial.params\), or replay\(study, trial\)"):
        training()(found.best_trial)  # type: ignore[arg-type]
