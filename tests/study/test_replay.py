"""Replays: every suggestion of a real sweep comes out again, whoever worked on it and however its trials ended."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import replace as changed
from pathlib import Path

import pytest

import whet
from whet.errors import TrialPruned
from whet.store.base import Store
from whet.store.open import open_store
from whet.study.create import create_study, load_study
from whet.study.replay import replay
from whet.trial import Phase

SPACE = {
    "opt": {"values": ["sgd", "adam"]},
    "lr": {"min": 1e-5, "max": 1.0, "log": True},
    "momentum": {"min": 0.0, "max": 0.99, "when": "opt == 'sgd'"},
    "width": {"min": 8, "max": 256},
}


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store("memory" if request.param == "memory" else f"sqlite:///{tmp_path}/whet.db")


def rough(trial):
    """Fails now and then, is pruned now and then, takes a random time: so threads finish in another order than they began."""
    dice = random.Random(trial.number)
    for step in range(3):
        trial.report(abs(trial.params["lr"] - 0.01) + step, step)
        time.sleep(dice.random() * 0.003)
    if dice.random() < 0.15:
        raise RuntimeError("broken")
    if dice.random() < 0.2:
        raise TrialPruned
    return abs(trial.params["lr"] - 0.01) + trial.params.get("momentum", 0.5)


def replayed(store, study):
    return replay(store, store.sweeps.get(study.id))


@pytest.mark.parametrize(
    ("store", "method"),
    [
        pytest.param(
            kind, method, marks=[pytest.mark.slow] if (kind, method) in (("sqlite", "gp"), ("sqlite", "bayes")) else []
        )
        for kind in ("memory", "sqlite")
        for method in ("random", "sobol", "tpe", "gp", "bayes", "grid")
    ],
    indirect=["store"],
)
def test_threads_failures_and_stopped_trials(store, method):
    space = SPACE if method != "grid" else {"a": {"values": list(range(6))}, "b": {"values": [1, 2, 3, 4]}}
    study = create_study(storage=store, space=space, method=method, seed=3)
    objective = rough if method != "grid" else lambda trial: trial.params["a"] * trial.params["b"]
    study.optimize(objective, n_trials=24, n_jobs=4, catch=(RuntimeError,))
    found = replayed(store, study)
    assert (found.num_suggested, found.num_reproduced, found.differences) == (24, 24, ())


def test_enqueued_and_added_trials_are_told_apart(store):
    study = create_study(storage=store, space=SPACE, method="tpe", seed=1)
    study.enqueue_trial({"opt": "adam", "lr": 0.1, "width": 8})
    study.optimize(rough, n_trials=10, catch=(RuntimeError,))
    study.enqueue_trial({"lr": 0.5})
    study.add_trials(study.trials[:3])
    study.optimize(rough, n_trials=12, catch=(RuntimeError,))
    found = replayed(store, study)
    assert (found.num_suggested, found.num_reproduced, found.num_given) == (20, 20, 5)


def test_lost_and_interrupted_trials(store):
    study = create_study(storage=store, space=SPACE, method="tpe", seed=1)
    study.optimize(rough, n_trials=12, catch=(RuntimeError,))
    trials = [study.ask() for _ in range(4)]
    store.trials.requeue(study.id, trials[1].number, 0, "its worker was lost", lost=True)
    store.trials.requeue(study.id, trials[2].number, 0, "it was interrupted")
    study.tell(trials[3], 0.3)
    study.tell(trials[0], 0.1)
    study.optimize(rough, n_trials=10, catch=(RuntimeError,))
    found = replayed(store, study)
    assert (found.num_suggested, found.num_reproduced) == (24, 24)


def test_a_learned_space_is_known_as_it_was(store):
    def branching(trial):
        if trial.suggest_categorical("model", ["linear", "forest"]) == "forest":
            depth = trial.suggest_int("depth", 1, 9) if trial.number > 8 else 3
            return 1 / trial.suggest_int("trees", 10, 100) + depth
        return trial.suggest_float("alpha", 0.01, 1.0)

    study = create_study(storage=store, method="tpe", seed=1)
    study.optimize(branching, n_trials=30, n_jobs=2)
    study.set_user_attr("note", "an edit that changes no search")
    study.optimize(branching, n_trials=10)
    assert store.sweeps.former(study.id)
    found = replayed(store, study)
    assert (found.num_suggested, found.num_reproduced, found.differences) == (40, 40, ())


def test_asked_with_distributions(store):
    study = create_study(storage=store, method="tpe", seed=1)
    for i in range(20):
        first = study.ask({"x": whet.Float(0, 1)})
        second = study.ask({"x": whet.Float(0, 1)})
        study.tell(second, second.params["x"])
        if i % 3:
            study.tell(first, first.params["x"])
    found = replayed(store, study)
    assert (found.num_suggested, found.num_reproduced) == (40, 40)


def test_two_processes_views_of_one_sweep(store):
    study = create_study(storage=store, space=SPACE, method="tpe", seed=5)
    if not store.url.startswith("sqlite"):
        pytest.skip("two stores see one database")
    others = [load_study(study_name=study.study_name, storage=store.url) for _ in range(2)]
    threads = [
        threading.Thread(target=s.optimize, args=(rough, 12), kwargs={"catch": (RuntimeError,)})
        for s in (study, *others)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = replayed(store, study)
    assert (found.num_suggested, found.num_reproduced) == (36, 36)


def test_an_edited_sweep_is_replayed_by_what_it_was(store):
    study = create_study(storage=store, space=SPACE, method="tpe", seed=1)
    study.optimize(rough, n_trials=12, catch=(RuntimeError,))
    study._engine.edit(lambda config: changed(config, seed=2))
    study.optimize(rough, n_trials=8, catch=(RuntimeError,))
    study._engine.edit(lambda config: changed(config, method=changed(config.method, name="random", knobs={})))
    study.optimize(rough, n_trials=4, catch=(RuntimeError,))
    found = replayed(store, study)
    assert (found.num_suggested, found.num_reproduced) == (24, 24)


def test_the_first_difference_is_named_and_explained(store):
    study = create_study(storage=store, space=SPACE, method="random", seed=1)
    study.optimize(rough, n_trials=3, catch=(RuntimeError,))
    trial = study.ask()
    store.trials.annotate(study.id, trial.number, params={**trial.params, "width": 9})  # what was suggested stays known
    study.tell(trial, 1.0)
    assert replayed(store, study).differences == ()
    forged = dict(study.ask().params)
    forged["lr"] = forged["lr"] * (1 + 1e-12)
    revision = store.trials.changes(study.id).revision
    store.trials.add(study.id, 5, whet.trial.Suggestion(params=forged), owner="me", seen=revision, version=0)
    store.trials.add(
        study.id, 6, whet.trial.Suggestion(params={"opt": "adam"}, note="mine"), owner="me", seen=revision + 1
    )
    found = replayed(store, study)
    assert (found.num_suggested, found.num_reproduced) == (7, 5)
    first, second = found.differences
    assert (first.number, second.number) == (5, 6)
    assert "another version" in first.reason
    assert "reasons otherwise" in second.reason
    assert set(second.names) >= {"lr", "width"}


def test_the_same_sweep_with_other_results_differs(store):
    """So a replay can fail: TPE's later suggestions depend on what came before."""
    study = create_study(storage=store, space=SPACE, method="tpe", seed=1)
    study.optimize(lambda t: t.params["lr"], n_trials=30)
    twin = create_study(storage=store, space=SPACE, method="tpe", seed=1)
    for trial in study.trials:
        revision = store.trials.changes(twin.id).revision
        store.trials.add(
            twin.id,
            trial.number,
            whet.trial.Suggestion(params=trial.params, note=trial.note),
            owner="me",
            seen=revision,
            version=0,
        )
        store.trials.tell(twin.id, trial.number, 0, phase=Phase.FINISHED, values=(-trial.params["lr"],))
    assert replayed(store, study).differences == ()
    found = replayed(store, twin)
    assert 0 < found.num_reproduced < found.num_suggested


def test_a_sweep_from_before_versions_were_kept_says_so(store):
    study = create_study(storage=store, space=SPACE, method="random", seed=1)
    sweep = store.sweeps.get(study.id)
    store.trials.add(
        study.id, 0, whet.trial.Suggestion(params={"opt": "adam", "lr": 1.0, "width": 8}), owner="me", seen=0
    )
    store.sweeps.edit(study.id, version=sweep.version, config={**sweep.config, "seed": 4})
    (only,) = replayed(store, study).differences
    assert only.reason.startswith("the sweep was edited")
