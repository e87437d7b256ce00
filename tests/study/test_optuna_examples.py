"""Optuna's public examples, with the import changed to ``import whet as optuna``.

They follow the tutorials and the examples of Optuna's documentation (MIT licence), shortened where they train longer than a test should.
"""

from __future__ import annotations

import logging
import math
import warnings
from pathlib import Path
from typing import Any

import pytest

import whet as optuna


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'example.db'}"
    monkeypatch.setenv("WHET_STORE", url)
    return url


def test_quadratic() -> None:
    def objective(trial):  # type: ignore[no-untyped-def]
        x = trial.suggest_float("x", -10, 10)
        return (x - 2) ** 2

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=60)
    best_params = study.best_params
    found_x = best_params["x"]
    assert (found_x - 2) ** 2 < 1
    assert len(study.trials) == 60
    study.optimize(objective, n_trials=10)
    assert len(study.trials) == 70
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    for trial in study.trials:
        assert trial.state == optuna.trial.TrialState.COMPLETE
    assert study.best_trial.duration is not None
    assert study.best_trial.datetime_start is not None


def test_sklearn_simple() -> None:
    pytest.importorskip("sklearn")
    import sklearn.datasets
    import sklearn.ensemble
    import sklearn.model_selection
    import sklearn.svm

    iris = sklearn.datasets.load_iris()
    x, y = iris.data, iris.target

    def objective(trial):  # type: ignore[no-untyped-def]
        classifier_name = trial.suggest_categorical("classifier", ["SVC", "RandomForest"])
        if classifier_name == "SVC":
            svc_c = trial.suggest_float("svc_c", 1e-10, 1e10, log=True)
            classifier_obj = sklearn.svm.SVC(C=svc_c, gamma="auto")
        else:
            rf_max_depth = trial.suggest_int("rf_max_depth", 2, 32, log=True)
            classifier_obj = sklearn.ensemble.RandomForestClassifier(max_depth=rf_max_depth, n_estimators=10)
        return sklearn.model_selection.cross_val_score(classifier_obj, x, y, n_jobs=1, cv=3).mean()

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=15)
    assert study.best_value > 0.9
    assert {str(p.when) for p in study.problem.space.values()} == {
        "None", "classifier in ['RandomForest']", "classifier in ['SVC']",
    }  # fmt: skip


def test_pytorch_simple(capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    from torch import nn, optim
    from torch.nn import functional as F

    from whet.trial import TrialState  # the example: from optuna.trial import TrialState

    torch.manual_seed(0)
    torch.set_num_threads(1)
    data = torch.randn(256, 8)
    target = (data[:, 0] * data[:, 1] > 0).long()

    def define_model(trial):  # type: ignore[no-untyped-def]
        n_layers = trial.suggest_int("n_layers", 1, 3)
        layers = []
        in_features = 8
        for i in range(n_layers):
            out_features = trial.suggest_int(f"n_units_l{i}", 4, 32)
            layers.append(nn.Linear(in_features, out_features))
            layers.append(nn.ReLU())
            p = trial.suggest_float(f"dropout_l{i}", 0.2, 0.5)
            layers.append(nn.Dropout(p))
            in_features = out_features
        layers.append(nn.Linear(in_features, 2))
        layers.append(nn.LogSoftmax(dim=1))
        return nn.Sequential(*layers)

    def objective(trial):  # type: ignore[no-untyped-def]
        model = define_model(trial)
        optimizer_name = trial.suggest_categorical("optimizer", ["Adam", "RMSprop", "SGD"])
        lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
        optimizer = getattr(optim, optimizer_name)(model.parameters(), lr=lr)
        for epoch in range(6):
            model.train()
            optimizer.zero_grad()
            F.nll_loss(model(data), target).backward()
            optimizer.step()
            model.eval()
            with torch.no_grad():
                accuracy = (model(data).argmax(dim=1) == target).float().mean().item()
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.exceptions.TrialPruned()
        return accuracy

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=25, timeout=600)

    pruned_trials = study.get_trials(deepcopy=False, states=[TrialState.PRUNED])
    complete_trials = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    print("Study statistics: ")
    print("  Number of finished trials: ", len(study.trials))
    print("  Number of pruned trials: ", len(pruned_trials))
    print("  Number of complete trials: ", len(complete_trials))
    print("Best trial:")
    trial = study.best_trial
    print("  Value: ", trial.value)
    print("  Params: ")
    for key, value in trial.params.items():
        print(f"    {key}: {value}")
    assert len(pruned_trials) + len(complete_trials) == 25
    assert pruned_trials
    assert "n_layers" in capsys.readouterr().out
    assert all("median" in t.reason for t in pruned_trials)


def test_samplers_and_pruners() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial):  # type: ignore[no-untyped-def]
        for step in range(3):
            trial.report(trial.number, step)
            if trial.should_prune():
                raise optuna.TrialPruned()
        return trial.suggest_float("x", 0, 1) + trial.suggest_int("k", 1, 3)

    for sampler in (
        optuna.samplers.TPESampler(seed=10),
        optuna.samplers.TPESampler(n_startup_trials=5, multivariate=True, seed=10),
        optuna.samplers.RandomSampler(seed=10),
        optuna.samplers.RandomSampler(10),
        optuna.samplers.QMCSampler(seed=10),
        optuna.samplers.CmaEsSampler(seed=10),
        optuna.samplers.NSGAIISampler(seed=10),
        optuna.samplers.GridSampler({"x": [0.0, 0.5, 1.0], "k": [1, 2]}),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(
                direction="minimize",
                sampler=sampler,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
            )
            study.optimize(objective, n_trials=8)
        assert len(study.trials) == (6 if study._engine.config.method.name == "grid" else 8)
    for pruner in (
        optuna.pruners.MedianPruner(),
        optuna.pruners.PercentilePruner(25.0, n_startup_trials=5),
        optuna.pruners.SuccessiveHalvingPruner(),
        optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9, reduction_factor=3),
        optuna.pruners.NopPruner(),
    ):
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1), pruner=pruner)
        study.optimize(objective, n_trials=8)
        pruned = study.get_trials(states=[optuna.trial.TrialState.PRUNED])
        assert bool(pruned) == (pruner.plugin is not None)


def test_multi_objective() -> None:
    def objective(trial):  # type: ignore[no-untyped-def]
        x = trial.suggest_float("x", 0, 5)
        y = trial.suggest_float("y", 0, 3)
        v0 = 4 * x**2 + 4 * y**2
        v1 = (x - 5) ** 2 + (y - 5) ** 2
        return v0, v1

    study = optuna.create_study(directions=["minimize", "minimize"])
    study.optimize(objective, n_trials=20)
    trial_with_least_v0 = min(study.best_trials, key=lambda t: t.values[0])
    assert trial_with_least_v0.values[0] == min(t.values[0] for t in study.trials)
    assert study.directions == [optuna.study.StudyDirection.MINIMIZE] * 2
    assert {"values_0", "values_1"} <= set(study.trials_dataframe().columns)
    study.set_metric_names(["flops", "accuracy"])
    assert study.metric_names == ["flops", "accuracy"]


def test_ask_and_tell() -> None:
    study = optuna.create_study(direction="maximize")
    n_trials = 10
    for _ in range(n_trials):
        trial = study.ask()
        c = trial.suggest_float("C", 1e-7, 10.0, log=True)
        solver = trial.suggest_categorical("solver", ("lbfgs", "saga"))
        study.tell(trial, math.log(c) + len(solver))
    distributions = {
        "C": optuna.distributions.FloatDistribution(1e-7, 10.0, log=True),
        "solver": optuna.distributions.CategoricalDistribution(("lbfgs", "saga")),
    }
    trial = study.ask(distributions)
    study.tell(trial.number, trial.params["C"])
    batch = [study.ask() for _ in range(3)]
    for trial in batch:
        study.tell(trial.number, trial.suggest_float("C", 1e-7, 10.0, log=True))
    trial = study.ask()
    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    assert len(study.trials) == 15
    assert all("C" in t.params for t in study.trials[:14])


def test_user_defined_queue_attributes_and_callbacks() -> None:
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial({"bagging_freq": 1, "min_child_samples": 20})
    study.enqueue_trial({"bagging_freq": 0}, user_attrs={"memo": "default"})
    study.set_user_attr("contributors", ["Akiba", "Sano"])
    assert study.user_attrs == {"contributors": ["Akiba", "Sano"]}

    class StopWhenTrialKeepBeingPrunedCallback:
        def __init__(self, threshold: int) -> None:
            self.threshold = threshold
            self._consequtive_pruned_count = 0

        def __call__(self, study: optuna.study.Study, trial: optuna.trial.FrozenTrial) -> None:
            if trial.state == optuna.trial.TrialState.PRUNED:
                self._consequtive_pruned_count += 1
            else:
                self._consequtive_pruned_count = 0
            if self._consequtive_pruned_count >= self.threshold:
                study.stop()

    def objective(trial: optuna.trial.Trial) -> float:
        if trial.number > 4:
            raise optuna.TrialPruned
        trial.set_user_attr("accuracy", 0.5)
        return trial.suggest_int("bagging_freq", 0, 7) + trial.suggest_int("min_child_samples", 5, 100)

    study.optimize(objective, n_trials=60, callbacks=[StopWhenTrialKeepBeingPrunedCallback(2)])
    assert len(study.trials) == 7
    assert study.trials[0].params == {"bagging_freq": 1, "min_child_samples": 20}
    assert study.trials[1].user_attrs == {"memo": "default", "accuracy": 0.5}
    study.optimize(
        lambda t: 1.0, callbacks=[optuna.study.MaxTrialsCallback(10, states=(optuna.trial.TrialState.COMPLETE,))]
    )
    assert len([t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]) == 10


def test_reuse_best_trial_and_added_trials() -> None:
    def objective(trial):  # type: ignore[no-untyped-def]
        x = trial.suggest_float("x", -10, 10)
        if trial.should_prune():
            raise optuna.TrialPruned
        return x**2

    study = optuna.create_study()
    study.add_trial(
        optuna.trial.create_trial(
            params={"x": 2.0}, distributions={"x": optuna.distributions.FloatDistribution(-10, 10)}, value=4.0
        )
    )
    assert study.best_value == 4.0
    study.optimize(objective, n_trials=12)
    assert objective(study.best_trial) == study.best_value
    assert objective(optuna.trial.FixedTrial({"x": 3.0})) == 9.0
    other_study = optuna.create_study()
    for trial in study.trials:
        other_study.add_trial(trial)
    assert len(other_study.trials) == len(study.trials)
    other_study.add_trials(study.trials)
    assert optuna.importance.get_param_importances(study) == {"x": 1.0}


def test_resume_from_a_database(storage: str) -> None:
    def objective(trial):  # type: ignore[no-untyped-def]
        return (trial.suggest_float("x", -10, 10) - 2) ** 2

    study_name = "example-study"
    study = optuna.create_study(study_name=study_name, storage=storage)
    study.optimize(objective, n_trials=3)
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        optuna.create_study(study_name=study_name, storage=storage)
    study = optuna.create_study(study_name=study_name, storage=storage, load_if_exists=True)
    study.optimize(objective, n_trials=3)
    study = optuna.load_study(study_name=study_name, storage=storage)
    df = study.trials_dataframe(attrs=("number", "value", "params", "state"))
    assert list(df.columns) == ["number", "value", "params_x", "state"]
    assert len(df) == 6
    optuna.delete_study(study_name=study_name, storage=storage)


def test_a_line_for_each_trial(capsys: pytest.CaptureFixture[str]) -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)

    def objective(trial: Any) -> float:
        x = trial.suggest_int("x", 3, 3)
        return math.nan if trial.number else x

    optuna.create_study().optimize(objective, n_trials=2)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("[I ")
    assert first.endswith("Trial 0 finished with value: 3.0 and parameters: {'x': 3}. Best is trial 0 with value: 3.0.")
    assert second.startswith("[W ")
    assert second.endswith("Trial 1 failed with parameters: {'x': 3}. its result value is NaN")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study().optimize(lambda trial: 1.0, n_trials=2)
    assert capsys.readouterr().err == ""
    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
    optuna.create_study().optimize(objective, n_trials=2)
    assert capsys.readouterr().err == ""
    assert logging.getLogger("whet").propagate
    optuna.logging.enable_default_handler()
    optuna.logging.disable_propagation()
    assert optuna.logging.get_verbosity() == optuna.logging.WARNING


def test_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    optuna.create_study().optimize(lambda trial: trial.number, n_trials=3, show_progress_bar=True, gc_after_trial=True)
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "best 0 (trial 0)" in shown
