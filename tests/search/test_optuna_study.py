import math
import random

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.search.optuna_study import from_optuna, to_optuna
from whet.search.random import Random
from whet.space import Choice, Float, Int, Space
from whet.testing.searcher_laws import play
from whet.testing.spaces import spaces
from whet.trial import Goal, Metric, Phase, Problem, Report, Trial


def same(a: Trial, b: Trial) -> bool:
    return repr(a) == repr(b)  # NaN equals itself here


@settings(max_examples=30, deadline=None)
@given(spaces(), st.integers(0, 1000))
def test_trials_come_back_as_they_went(space, seed):
    problem = Problem(space=space, metrics=(Metric(name="loss", goal=Goal.MAXIMIZE),))
    history = play(Random(problem, seed=seed), num_trials=15, seed=seed)
    trials = sorted([*history.finished, *history.pending], key=lambda t: t.number)
    back_problem, back = from_optuna(to_optuna(problem, trials))
    assert back_problem.metrics == problem.metrics
    for here, there in zip(back, trials, strict=True):
        assert same(here, there)


def test_everything_a_trial_has_survives():
    problem = Problem(
        space=Space({"x": Float(0, 1), "k": Choice([[1, 2], "b"])}),
        metrics=(Metric(name="a"), Metric(name="b", goal=Goal.MAXIMIZE)),
    )
    trial = Trial(
        number=0, params={"k": [1, 2], "x": 0.25}, phase=Phase.FINISHED, values=(1.0, -math.inf), stopped=False,
        reports=(Report(step=3, values=(0.5, math.nan)),), reason="done", note="a guess", attempt=2, parent=7,
        attrs={"who": "me", "n": [1]}, started=1.7e9, ended=1.7e9 + 12.5,
    )  # fmt: skip
    study = to_optuna(problem, [trial])
    assert study.trials[0].state is optuna.trial.TrialState.COMPLETE
    assert study.trials[0].user_attrs == {"who": "me", "n": [1]}
    assert study.metric_names == ["a", "b"]
    assert [d.name for d in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert same(from_optuna(study)[1][0], trial)


def test_optuna_reads_what_it_is_given():
    problem = Problem(space=Space({"lr": Float(1e-4, 1, log=True), "n": Int(2, 8, step=2), "c": Choice(["a", "b"])}))
    trials = play(Random(problem, seed=1), num_trials=30, seed=1, workers=1).finished
    study = to_optuna(problem, trials)
    best = min((t for t in trials if t.complete), key=lambda t: t.values)
    assert study.best_value == best.values[0]
    assert study.best_params == dict(best.params)
    assert study.trials[0].distributions["lr"] == optuna.distributions.FloatDistribution(1e-4, 1, log=True)
    assert study.trials[0].distributions["n"] == optuna.distributions.IntDistribution(2, 8, step=2)
    states = {t.number: t.state.name for t in study.trials}
    assert all(states[t.number] == "PRUNED" for t in trials if t.stopped)


def objective(trial):
    kind = trial.suggest_categorical("kind", ["linear", "rbf", "poly"])
    c = trial.suggest_float("C", 1e-3, 1e3, log=True)
    degree = trial.suggest_int("degree", 1, 9, step=2) if kind == "poly" else 1
    trial.set_user_attr("seen", kind)
    for step in range(3):
        trial.report(c + step, step)
    if c > 100:
        raise optuna.TrialPruned
    if c < 0.003:
        raise ValueError
    return c * degree


def test_a_native_study_comes_in_with_its_condition():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), direction="maximize")
    study.optimize(objective, n_trials=40, catch=(ValueError,))
    study.enqueue_trial({"kind": "rbf", "C": 1.0})
    problem, trials = from_optuna(study)
    assert problem.metric == Metric(name="value", goal=Goal.MAXIMIZE)
    space = problem.space
    assert repr(space["C"]) == repr(Float(1e-3, 1e3, log=True))
    assert repr(space["degree"]) == repr(Int(1, 9, step=2, when="params['kind'] in ['poly']"))
    assert all(space.contains(t.params) for t in trials)
    for there, here in zip(study.trials, trials, strict=True):
        name = there.state.name
        assert here.complete == (name == "COMPLETE")
        assert here.stopped == (name == "PRUNED")
        assert (here.phase is Phase.FAILED) == (name == "FAIL")
        assert (here.phase is Phase.PENDING) == (name == "WAITING")
        assert here.attrs == there.user_attrs
        assert [r.values[0] for r in here.reports] == list(there.intermediate_values.values())
    assert trials[-1].params == {"kind": "rbf", "C": 1.0}
    assert max(t.values[0] for t in trials if t.complete) == study.best_value
    assert trials[0].seconds == pytest.approx(study.trials[0].duration.total_seconds(), abs=1e-5)


def test_a_range_that_changed_is_widened():
    study = optuna.create_study()
    rng = random.Random(0)
    for low, high in ((0.0, 1.0), (-2.0, 0.5)):
        d = optuna.distributions.FloatDistribution(low, high)
        study.add_trial(optuna.create_trial(params={"x": rng.uniform(low, high)}, distributions={"x": d}, value=0.0))
    assert repr(from_optuna(study)[0].space["x"]) == "Float(-2, 1)"
