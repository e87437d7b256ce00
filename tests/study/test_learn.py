"""Define-by-run: the space that a study learns, conditions included."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import whet
from whet import Choice, Float, Int, Space
from whet.errors import SpaceError
from whet.store.base import Store
from whet.study.learn import Learned
from whet.study.live import LiveTrial
from whet.study.study import Study
from whet.trial import Phase, Trial


def study_of(store: Store, objective: Callable[[LiveTrial], float], n: int = 40, **given: Any) -> Study:
    study = whet.create_study(**{"storage": store, "seed": 5, "method": "random", **given})
    study.optimize(objective, n_trials=n)
    return study


def fits(study: Study) -> None:
    """Every trial is legal in the learned space, so the search has seen them all."""
    assert [t.number for t in study.trials if not study.problem.space.contains(t.params)] == []


def test_a_choice_decides(store: Store) -> None:
    def objective(trial: LiveTrial) -> float:
        if trial.suggest_categorical("opt", ["sgd", "adam", "rmsprop"]) != "adam":
            trial.suggest_float("momentum", 0, 0.99)
        return trial.suggest_float("lr", 1e-5, 1e-1, log=True)

    study = study_of(store, objective)
    assert study.problem.space == Space(
        {
            "opt": Choice(["sgd", "adam", "rmsprop"]),
            "momentum": Float(0, 0.99, when="opt in ['rmsprop', 'sgd']"),
            "lr": Float(1e-5, 1e-1, log=True),
        }
    )
    fits(study)


def test_a_number_of_layers_decides(store: Store) -> None:
    def objective(trial: LiveTrial) -> float:
        layers = trial.suggest_int("n_layers", 1, 4)
        return float(sum(trial.suggest_int(f"n_units_l{i}", 4, 128, log=True) for i in range(layers)))

    study = study_of(store, objective)
    assert {name: str(p.when) for name, p in study.problem.space.items() if p.when} == {
        "n_units_l1": "n_layers >= 2",
        "n_units_l2": "n_layers >= 3",
        "n_units_l3": "n_layers >= 4",
    }
    fits(study)


def test_conditions_nest_and_go_down_and_quote(store: Store) -> None:
    def objective(trial: LiveTrial) -> float:
        if trial.suggest_categorical("a b", [True, None, 1, "x", 0.5, [1, 2]]) in (None, 0.5, [1, 2]):
            few = trial.suggest_int("lambda", 0, 9, step=3)
            if few <= 3:
                trial.suggest_float("deep.er", 0, 1)
        return 0.0

    study = study_of(store, objective, 60)
    space = study.problem.space
    assert str(space["lambda"].when) == "params['a b'] in [0.5, None, [1, 2]]"
    assert str(space["deep.er"].when) == "params['lambda'] <= 3"
    fits(study)


def test_what_cannot_be_explained_is_drawn_on_its_own_not_hidden(store: Store) -> None:
    def objective(trial: LiveTrial) -> float:
        x = trial.suggest_float("x", 0, 1)
        return trial.suggest_float("y", 0, 1) if x > 0.5 else x

    study = study_of(store, objective)
    assert list(study.problem.space) == ["x"]
    both = [t for t in study.trials if "y" in t.params]
    assert len(both) == sum(t.params["x"] > 0.5 for t in study.trials) > 5  # type: ignore[operator]
    assert len({t.params["y"] for t in both}) == len(both)


def test_bounds_may_move(store: Store) -> None:
    def objective(trial: LiveTrial) -> float:
        high = trial.suggest_int("high", 1, 8)
        trial.suggest_float("step", 0, high, step=0.5)
        trial.suggest_float("shifted", high / 10, high / 10 + 1, step=0.25)  # on no common grid
        trial.suggest_int("even", 2 * high, 20, step=2)
        trial.suggest_int("odd", high, high + 4, step=2)
        return float(trial.suggest_int("low", -high, high) + trial.suggest_float("share", 0, high))

    study = study_of(store, objective, 80)
    assert study.problem.space == Space(
        {
            "high": Int(1, 8),
            "step": Float(0, 8, step=0.5),
            "shifted": Float(0.1, 1.8),
            "even": Int(2, 20, step=2),
            "odd": Int(1, 12),
            "low": Int(-8, 8),
            "share": Float(0, 8),
        }
    )
    fits(study)
    assert all(abs(t.params["low"]) <= t.params["high"] for t in study.trials)  # type: ignore[arg-type, operator]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (lambda t: t.suggest_categorical("p", ["a", "c"]), "p was Choice(['a', 'b']) in earlier trials and is Choice(['a', 'c']) now"),
        (lambda t: t.suggest_categorical("p", ["b", "a"]), "p was Choice(['a', 'b']) in earlier trials and is Choice(['b', 'a']) now"),
        (lambda t: t.suggest_float("p", 0, 1), "p was Choice(['a', 'b']) in earlier trials and is Float(0, 1) now"),
        (lambda t: t.suggest_float("q", 1, 2, log=True), "q was Float(0, 1) in earlier trials and is Float(1, 2, log) now"),
        (lambda t: t.suggest_int("q", 1, 2), "q was Float(0, 1) in earlier trials and is Int(1, 2) now"),
    ],
)  # fmt: skip
def test_what_changes_its_kind_fails_where_it_is_asked(
    store: Store, second: Callable[[LiveTrial], Any], message: str
) -> None:
    def first(trial: LiveTrial) -> float:
        trial.suggest_categorical("p", ["a", "b"])
        return trial.suggest_float("q", 0, 1)

    study = study_of(store, first, 2)
    with pytest.raises(SpaceError) as error:
        study.optimize(second, n_trials=1)
    assert str(error.value) == message + ": give a changed parameter a new name"
    assert study.trials[-1].reason == f"SpaceError: {error.value}"


def test_names_and_options_that_cannot_be_kept() -> None:
    trial = whet.create_study(storage="memory").ask()
    with pytest.raises(SpaceError, match=r"^'a..b' is no name for a parameter: give one without dots at its ends$"):
        trial.suggest_float("a..b", 0, 1)
    with pytest.raises(SpaceError, match=r"^f has the option <class 'int'>, which can't be kept: give numbers or text"):
        trial.suggest_categorical("f", [int, str])
    with pytest.raises(SpaceError, match=r"^x was Float\(0, 1\) before in this trial and is Float\(0, 2\) now"):
        trial.suggest_float("x", 0, 1), trial.suggest_float("x", 0, 2)


def test_tuples_stay_tuples(store: Store) -> None:
    study = study_of(
        store, lambda t: float(t.suggest_categorical("hidden", [(8,), (8, 8)]) == (8, 8)), 12, method="tpe"
    )
    assert study._engine.version == 1  # learned once, though the store holds lists
    assert {t.value for t in study.trials} == {0.0, 1.0}


def test_pruned_and_failed_trials_do_not_make_conditions(store: Store) -> None:
    def objective(trial: LiveTrial) -> float:
        x = trial.suggest_float("x", 0, 1)
        if trial.number % 3 == 0:
            raise whet.TrialPruned
        if trial.number % 3 == 1:
            raise ValueError
        return trial.suggest_float("y", 0, 1) + x

    study = whet.create_study(storage=store, seed=1, method="random")
    study.optimize(objective, n_trials=12, catch=(ValueError,))
    assert study.problem.space == Space({"x": Float(0, 1), "y": Float(0, 1)})


def test_the_search_works_in_the_learned_space(store: Store) -> None:
    def objective(trial: LiveTrial) -> float:
        kind = trial.suggest_categorical("kind", ["flat", "bowl"])
        if kind == "flat":
            return 30.0 + trial.suggest_float("f", 0, 1)
        return (trial.suggest_float("x", -10, 10) - 3) ** 2 + (trial.suggest_float("y", -10, 10) + 4) ** 2

    tuned = study_of(store, objective, 80, method="tpe")
    drawn = study_of(store, objective, 80)
    fits(tuned)
    assert tuned.best_value < drawn.best_value / 2
    late = [t for t in tuned.trials[40:] if t.params["kind"] == "bowl"]
    assert len(late) > 25  # it knows which branch is the good one
    # What a trial gets is what the searcher suggested, not what is drawn where it suggested nothing.
    trial = tuned.ask()
    suggested = dict(trial._assignment.params)
    objective(trial)
    assert trial.params == suggested


def test_resumed_define_by_run_goes_on_the_same(store: Store) -> None:
    def objective(trial: LiveTrial) -> float:
        if trial.suggest_int("n", 1, 3) > 1:
            trial.suggest_float("extra", 0, 1)
        return trial.suggest_float("x", -1, 1) ** 2

    whole = study_of(store, objective, 30, method="tpe")
    study_of(store, objective, 11, method="tpe", name="parts")
    parts = study_of(store, objective, 19, method="tpe", name="parts", load_if_exists=True)
    assert [t.params for t in parts.trials] == [t.params for t in whole.trials]


def test_queued_in_parts(store: Store) -> None:
    study = whet.create_study(storage=store, seed=1)
    study.enqueue_trial({"x": 0.25}, user_attrs={"mine": True})
    study.enqueue_trial({"x": 7.0})

    def objective(trial: LiveTrial) -> float:
        return trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1)

    with pytest.warns(
        UserWarning, match=r"trial 1 was queued with a value that is not used: x=7 is outside Float\(0, 1\)"
    ):
        study.optimize(objective, n_trials=2)
    first, second = study.trials
    assert (first.params["x"], first.user_attrs) == (0.25, {"mine": True})
    assert 0 <= second.params["x"] <= 1  # type: ignore[operator]
    assert list(first.params) == ["x", "y"]


def test_narrower_bounds_are_no_mistake(store: Store) -> None:
    def objective(trial: LiveTrial) -> float:
        return trial.suggest_float("x", 0, 1 if trial.number % 2 else 100)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study_of(store, objective, 20)


def test_ask_with_distributions_keeps_them_for_whoever_tells(store: Store) -> None:
    study = whet.create_study(storage=store, name="s")
    number = study.ask({"x": Float(0, 1), "k": Int(1, 3)}).number
    again = whet.load_study(study_name="s", storage=store)
    assert again.tell(number, 1.0).params.keys() == {"x", "k"}
    study.ask({"x": Float(0, 1), "k": Int(1, 3)})
    assert study.tell(1, 1.0).params.keys() == {"x", "k"}
    assert list(study.problem.space) == ["x", "k"]


def test_learning_one_by_one_is_learning_all_at_once() -> None:
    rng = random.Random(2)
    asked: dict[str, Any] = {"n": Int(1, 5), "c": Choice(["a", "b"]), "m": Float(0, 1), "z": Float(0, 1)}
    trials = []
    for number in range(50):
        params: dict[str, object] = {"n": rng.randint(1, 5), "c": rng.choice("ab"), "z": rng.random()}
        if params["c"] == "a" and params["n"] != 3:
            params["m"] = rng.random()
        if params["n"] == 2:
            params["w"] = rng.random()
        trials.append(Trial(number=number, params=params, phase=Phase.FINISHED, values=(0.0,)))
    asked["w"] = Float(0, 1)
    gradual, at_once = Learned(Space()), Learned(Space())
    for trial in trials:
        last = gradual.learn(asked, [trial])
    assert last == at_once.learn(asked, trials)
    assert last is gradual.learn(asked, [])
    assert {name: str(p.when) for name, p in last.items() if p.when} == {"w": "n in [2]"}  # m depends on two: left out
    assert list(last) == ["n", "c", "z", "w"]
