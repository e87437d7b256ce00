import sys

import optuna
import pytest

from whet.errors import ConfigError, MissingDependency, UnknownName
from whet.search.optuna import Optuna
from whet.space import Choice, Float, Space
from whet.trial import Goal, Metric, Phase, Problem, Trial

PROBLEM = Problem(space=Space({"x": Float(0, 1), "c": Choice([[1], {"a": 2}], weights=[1, 0])}))


def test_unknown_names_say_what_is_known():
    with pytest.raises(UnknownName, match="did you mean 'NSGAIISampler'"):
        Optuna(PROBLEM, seed=0, sampler="NSGASampler")
    with pytest.raises(UnknownName, match="did you mean 'n_startup_trials'"):
        Optuna(PROBLEM, seed=0, n_startup_trial=3)
    with pytest.raises(ConfigError, match="NSGAIISampler refuses"):
        Optuna(PROBLEM, seed=0, sampler="NSGAIISampler", population_size=0)


def test_without_optuna_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependency, match=r'pip install "whet\[optuna\]"'):
        Optuna(PROBLEM, seed=0)


def test_optunas_verbosity_is_left_as_it_was(capfd):
    before = optuna.logging.get_verbosity()
    searcher = Optuna(PROBLEM, seed=0)
    for number in range(5):
        suggestion = searcher.ask(1)[0]
        assert suggestion.params["c"] == [1]
        searcher.tell([Trial(number=number, params=suggestion.params, phase=Phase.FINISHED, values=(1.0,))], [])
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


def test_a_sequential_sweep_is_optunas_own():
    """The bridge to a sampler with a memory gives what the sampler gives without the bridge."""
    space = Space({"x": Float(-1, 2), "y": Float(0, 5)})
    mine = Optuna(Problem(space=space), seed=4, sampler="NSGAIISampler", population_size=5)
    study = optuna.create_study(sampler=optuna.samplers.NSGAIISampler(seed=4, population_size=5))
    for number in range(40):
        trial = study.ask()
        theirs = {"x": trial.suggest_float("x", -1, 2), "y": trial.suggest_float("y", 0, 5)}
        ours = mine.ask(1)[0].params
        assert ours == theirs
        value = (ours["x"] - 1) ** 2 + ours["y"]
        study.tell(trial, value)
        mine.tell([Trial(number=number, params=ours, phase=Phase.FINISHED, values=(value,))], [])


def test_several_metrics_reach_the_front():
    metrics = (Metric(name="a"), Metric(name="b", goal=Goal.MAXIMIZE))
    problem = Problem(space=Space({"x": Float(-1, 3), "y": Float(0, 1)}), metrics=metrics)
    searcher = Optuna(problem, seed=0, sampler="NSGAIISampler", population_size=8)
    last = []
    for number in range(120):
        p = searcher.ask(1)[0].params
        last.append(p["y"])
        values = (p["x"] ** 2 + p["y"], -((p["x"] - 2) ** 2) - p["y"])
        searcher.tell([Trial(number=number, params=p, phase=Phase.FINISHED, values=values)], [])
    assert sum(last[-30:]) < 0.6 * sum(last[:30])  # y only hurts
