"""Where a method looks at a trial's number alone, nobody reads the other trials to ask for the next one; what is to be heeded is heeded all the same."""

from __future__ import annotations

from typing import Any

import pytest

from whet.config import parse
from whet.store.base import Changes, Store
from whet.study.assignment import Assignment, Nothing
from whet.study.create import create_study, edit_sweep, load_study
from whet.study.replay import replay


def objective(trial: Any) -> float:
    loss = float(trial.suggest_float("x", -1.0, 1.0) ** 2)
    if trial.suggest_categorical("opt", ["sgd", "adam"]) == "sgd":
        loss += trial.suggest_float("momentum", 0.0, 0.9)
    return loss


class Reader:
    """Counts the trials that come out of the store."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, changes = 0, store.trials.changes

        def counted(*args: Any, **given: Any) -> Changes:
            found = changes(*args, **given)
            self.count += len(found.trials)
            return found

        monkeypatch.setattr(store.trials, "changes", counted)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"method": "random"}, 5),
        ({"method": "sobol"}, 5),
        ({"method": "random", "run_cap": 60}, 5),
        ({"method": "tpe"}, 30 + 5),
        ({"method": "random", "terminate": {"no_improvement": 50}}, 30 + 5),
    ],
)
def test_trials_of_others_are_read_where_they_matter(
    store: Store, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], read: int
) -> None:
    mine = create_study(storage=store, seed=1, **given)
    mine.optimize(objective, n_trials=10)
    load_study(study_name=mine.study_name, storage=store).optimize(objective, n_trials=30)
    reader = Reader(store, monkeypatch)
    mine.optimize(objective, n_trials=5, callbacks=[lambda study, trial: None])
    assert reader.count == read
    assert len(mine.trials) == 45
    found = replay(store, store.sweeps.get(mine.id))
    assert (found.num_suggested, found.num_reproduced, found.differences) == (45, 45, ())


@pytest.mark.parametrize("method", ["random", "sobol", "tpe"])
def test_a_space_is_learned_by_several(store: Store, method: str) -> None:
    """Also what only some trials show, whoever runs them."""
    first = create_study(storage=store, seed=1, method=method)
    second = load_study(study_name=first.study_name, storage=store)
    for _ in range(12):
        first.optimize(objective, n_trials=1)
        second.optimize(objective, n_trials=1)
    space = load_study(study_name=first.study_name, storage=store).problem.space
    assert list(space) == ["x", "opt", "momentum"]
    assert str(space["momentum"].when) == "opt in ['sgd']"
    second.optimize(lambda trial: objective(trial) + trial.suggest_int("k", 1, 3), n_trials=1)
    second.optimize(lambda trial: objective(trial) + trial.suggest_float("x", -1.0, 1.0), n_trials=1)
    first.optimize(lambda trial: float(trial.suggest_float("x", -2.0, 1.0)), n_trials=1)
    assert load_study(study_name=first.study_name, storage=store).problem.space["x"].low == -2.0  # type: ignore[attr-defined]


def test_what_waits_comes_first(store: Store) -> None:
    mine = create_study(storage=store, seed=1, method="random")
    mine.optimize(objective, n_trials=5)
    other = load_study(study_name=mine.study_name, storage=store)
    other.enqueue_trial({"x": 0.5, "opt": "adam"})
    trial = mine.ask()
    assert trial.number == 5
    assert trial.suggest_float("x", -1.0, 1.0) == 0.5


def test_an_edited_sweep_is_searched_as_it_is_now(store: Store) -> None:
    mine = create_study(storage=store, seed=1, method="random", space={"x": {"min": 0.0, "max": 1.0}})
    mine.optimize(lambda trial: float(trial.params["x"]), n_trials=3)
    wider = parse({**store.sweeps.get(mine.id).config, "parameters": {"x": {"min": 5.0, "max": 6.0}}})
    edit_sweep(store, mine.id, version=0, config=wider)
    assert mine.ask().params["x"] >= 5.0
    edit_sweep(store, mine.id, version=1, cap=4)
    answer = mine._engine.ask()
    assert answer == Nothing("the run cap of 4 is used up", final=True)
    edit_sweep(store, mine.id, version=2, cap=5)
    assert isinstance(mine._engine.ask(), Assignment)


def test_the_last_trial_ends_the_sweep(store: Store) -> None:
    mine = create_study(storage=store, seed=1, method="random", run_cap=12)
    other = load_study(study_name=mine.study_name, storage=store)
    mine.optimize(objective, n_trials=6)
    other.optimize(objective)
    assert len(mine.trials) == 12
    assert store.sweeps.get(mine.id).state.value == "finished"
    assert isinstance(mine._engine.ask(), Nothing)


def test_what_is_shown_is_of_now(store: Store) -> None:
    """The best in a line of the log is the best of all, though nobody here has read the others."""
    shown: list[tuple[int, float] | None] = []
    mine = create_study(storage=store, seed=1, method="random", space={"x": {"min": 0.0, "max": 1.0}})
    mine.optimize(lambda trial: 5.0, n_trials=1)
    other = load_study(study_name=mine.study_name, storage=store)
    other.optimize(lambda trial: -1.0, n_trials=1)
    mine.optimize(
        lambda trial: 2.0,
        n_trials=1,
        callbacks=[lambda study, trial: shown.append((trial.number, trial.value))],
    )
    assert shown == [(2, 2.0)]
    assert mine._engine.lead() == (1, -1.0)
    assert mine.best_value == -1.0
