"""Sweeps that learn from earlier ones, end to end: what is taken, when, and what is refused."""

from __future__ import annotations

import math

import pytest

from whet.config import dump, parse, to_mapping
from whet.errors import NotFound, StudyError
from whet.space import Choice, Float, Int, Space
from whet.store.open import open_store
from whet.study.create import create_study, delete_study, load_study, sweep
from whet.study.earlier import taken
from whet.trial import Goal, Limit, Metric, Past, Phase, Problem, Report, Trial

SPACE = Space({"lr": Float(1e-5, 1.0, log=True), "layers": Int(1, 8), "opt": Choice(["sgd", "adam"])})


def loss(trial):
    p = trial.params
    return (math.log10(p["lr"]) + 3) ** 2 + (p["layers"] - 5) ** 2 / 10 + (p["opt"] == "sgd")


@pytest.fixture
def store(tmp_path):
    return open_store(f"sqlite:///{tmp_path / 'whet.db'}")


def old_study(store, *, name="old", n=25, space=SPACE, objective=loss):
    study = create_study(name=name, space=space, storage=store, method="random", seed=1)
    study.optimize(objective, n_trials=n)
    return study


@pytest.mark.parametrize(
    "method", ["bayes", "gp", "tpe", "random", "cmaes", "de", "evolution", "sobol", "grid", "bohb", "pbt"]
)
def test_every_method_begins_with_the_best_and_replays(store, method):
    old = old_study(store)
    new = create_study(
        name="new", space=SPACE, storage=store, method=method, seed=2, start_from=["old"], stopper="none"
    )
    new.optimize(loss, n_trials=12)
    trials = new.trials
    assert trials[0].params == old.best_trial.params
    assert trials[0].note == f"trial {old.best_trial.number} of old was among its best"
    done = new.replay()
    assert done.num_reproduced == done.num_suggested == 12


def test_what_is_taken_stays_when_the_earlier_sweep_changes_or_goes(store):
    old = old_study(store)
    new = create_study(name="new", space=SPACE, storage=store, seed=2, start_from=[old])
    before = new.problem.earlier
    assert [len(one.trials) for one in before] == [25]
    old.optimize(loss, n_trials=5)
    delete_study(study_name="old", storage=store)
    again = load_study(study_name="new", storage=store)
    assert again.problem.earlier == before
    again.optimize(loss, n_trials=8)
    done = again.replay()
    assert done.num_reproduced == done.num_suggested == 8


def test_a_file_names_them_and_is_written_as_it_is_read(store):
    old_study(store, name="mnist-lr")
    text = """
start_from: mnist-lr
method: random
metric: {name: acc, goal: maximize}
parameters:
  lr: {min: 0.001, max: 0.1, log: true}
  width: [16, 32]
"""
    id = sweep(parse(text), storage=store)
    stored = parse(dict(store.sweeps.get(id).config))
    assert stored.start_from == ("mnist-lr",)
    (earlier,) = stored.problem.earlier
    assert earlier.name == "mnist-lr"
    assert len(earlier.trials) == 25
    assert parse(to_mapping(stored)) == stored
    assert parse(dump(stored)) == stored
    losses = [past.loss for past in earlier.trials]
    assert losses == sorted(losses)
    # What a configuration written by Whet holds is not taken anew.
    delete_study(study_name="mnist-lr", storage=store)
    assert parse(dict(store.sweeps.get(sweep(stored, storage=store)).config)).problem.earlier == (earlier,)


def test_a_study_of_another_store_can_be_learnt_from(store):
    old = old_study("memory")
    new = create_study(space=SPACE, storage=store, seed=1, start_from=old, method="random")
    assert new.ask().params == old.best_trial.params


def test_a_study_that_learns_its_space_learns_from_others_as_well(store):
    old = old_study(store)
    new = create_study(storage=store, seed=1, start_from=["old"], method="tpe", stopper="none")
    new.optimize(lambda t: (math.log10(t.suggest_float("lr", 1e-5, 1.0, log=True)) + 3) ** 2, n_trials=6)
    assert new.trials[2].params == {"lr": old.best_trial.params["lr"]}
    done = new.replay()
    assert done.num_reproduced == done.num_suggested


def test_what_is_taken_is_bounded_and_ranked():
    def trial(number, value, **given):
        return Trial(number=number, params={"x": number}, **{"phase": Phase.FINISHED, "values": (value,), **given})

    problem = Problem(space=Space({"x": Int(0, 999)}), metrics=(Metric(name="acc", goal=Goal.MAXIMIZE),))
    trials = [trial(n, float(n % 500)) for n in range(500)]
    found = taken("old", problem, trials).trials
    assert [past.number for past in found[:50]] == list(range(499, 449, -1))
    assert len(found) == 100
    assert [past.number for past in found[50:]] == list(range(449, 0, -9))
    odd = [
        trial(0, 1.0, phase=Phase.FAILED, values=None),
        trial(1, 9.0, phase=Phase.CANCELED, values=None),
        trial(2, math.nan),
        trial(3, 0.5, stopped=True, values=None, reports=(Report(step=1, values=(7.0,)),)),
        trial(4, 0.1),
        trial(5, 0.1, phase=Phase.RUNNING, values=None),
        trial(6, -math.inf),
    ]
    assert taken("old", problem, odd).trials == (
        Past(number=4, params={"x": 4}, loss=-0.1),
        Past(number=3, params={"x": 3}, loss=-7.0),
        Past(number=0, params={"x": 0}, loss=None),
        Past(number=2, params={"x": 2}, loss=None),
        Past(number=6, params={"x": 6}, loss=None),
    )


def test_what_broke_a_limit_comes_after_what_kept_it():
    def trial(number, value, latency):
        attrs = {"latency": latency}
        return Trial(number=number, params={"x": number}, phase=Phase.FINISHED, values=(value,), attrs=attrs)

    problem = Problem(space=Space({"x": Int(0, 9)}), limits=(Limit(name="latency", max=20),))
    found = taken("old", problem, [trial(0, 0.1, 30), trial(1, 0.3, 10), trial(2, 0.2, 20)])
    assert [past.number for past in found.trials] == [2, 1, 0]


def test_what_is_refused_says_why(store):
    old_study(store)
    old_study(store, name="empty", n=0)
    old_study(store, name="other", space=Space({"depth": Int(1, 3), "eta": Float(0, 1)}), objective=lambda t: 1.0, n=3)
    two = create_study(name="two", space=SPACE, directions=["minimize", "maximize"], storage=store, seed=1)

    def made(name, **given):
        create_study(**{"space": SPACE, "storage": store, "seed": 1, "start_from": [name], **given})

    with pytest.raises(NotFound, match="olds"):
        made("olds")
    with pytest.raises(StudyError, match="empty has no results yet"):
        made("empty")
    with pytest.raises(StudyError, match=r"other has no parameter of this sweep; it has depth, eta.*lr, layers, opt"):
        made("other")
    with pytest.raises(StudyError, match="two has 2 metrics"):
        made(two)
    with pytest.raises(StudyError, match="start_from needs one metric, not 2"):
        made("old", directions=["minimize", "maximize"])
    with pytest.raises(StudyError, match="old is to minimize value, this sweep to maximize it"):
        made("old", direction="maximize")
    with pytest.raises(StudyError, match="no result of old lies in the ranges"):
        made("old", space={"lr": {"min": 2.0, "max": 3.0}})
    made("old", direction="maximize", metrics=["accuracy"])  # another metric: each goal is its own sweep's
