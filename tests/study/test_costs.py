"""Costs from the sweep file to the suggestions: what runs log is kept, the budget reaches the method, replays find the same."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

import whet
from whet.config import SweepConfig, parse
from whet.errors import ConfigError
from whet.store.base import Store
from whet.study.searching import searcher_of

PLAIN = {"method": {"name": "gp", "cost": "kwh", "num_startup": 4}, "metric": "loss", "seed": 3,
         "parameters": {"x": {"min": 0.0, "max": 1.0}, "y": {"min": 0.0, "max": 1.0}}}  # fmt: skip


def configured(**more: Any) -> SweepConfig:
    return parse({**PLAIN, **more})


def objective(trial: Any) -> float:
    x, y = trial.params["x"], trial.params["y"]
    trial.log({"kwh": math.exp(3 * y)}, 0)
    return float((x - 0.3) ** 2 + (y - 0.4) ** 2)


def test_the_budget_of_the_sweep_is_the_methods() -> None:
    made: Any = searcher_of(configured(terminate={"cost": {"kwh": 50}}))
    assert made._costs._budget == 50
    other: Any = searcher_of(configured(terminate={"cost": {"seconds": 50}}))
    assert other._costs._budget is None
    own = {**PLAIN["method"], "budget": 7}  # type: ignore[dict-item]
    given: Any = searcher_of(configured(method=own, terminate={"cost": {"kwh": 50}}))
    assert given._costs._budget == 7
    auto: Any = searcher_of(configured(method={"name": "bayes", "cost": "kwh"}, terminate={"cost": {"kwh": 50}}))
    assert auto._gp._costs._budget == 50


def test_a_study_with_costs_runs_replays_and_cools(store: Store) -> None:
    id = whet.sweep({**PLAIN, "terminate": {"cost": {"kwh": 60}}}, storage=store)
    study = whet.load_study(study_name=id, storage=store)
    study.optimize(objective, n_trials=40)
    assert study.end_reason == "the trials have used up the budget of kwh=60"
    assert [t.attrs["kwh"] for t in study.trials] == [math.exp(3 * t.params["y"]) for t in study.trials]
    found = study.replay()
    assert found.num_suggested == found.num_reproduced == len(study.trials)
    unaware = whet.create_study(storage=store, method={"name": "gp", "num_startup": 4}, seed=3, stopper="none",
                                space={"x": {"min": 0.0, "max": 1.0}, "y": {"min": 0.0, "max": 1.0}})  # fmt: skip
    unaware.optimize(objective, n_trials=len(study.trials))
    apart = [a.params != b.params for a, b in zip(study.trials, unaware.trials, strict=True)]
    assert not any(apart[:4])  # the first trials
    assert any(apart[4:])


def test_an_edited_budget_is_the_methods_at_once(store: Store) -> None:
    id = whet.sweep({**PLAIN, "terminate": {"cost": {"kwh": 50}}}, storage=store)
    study = whet.load_study(study_name=id, storage=store)
    study.optimize(objective, n_trials=5)
    engine: Any = study._engine
    assert engine.searching.searcher._costs._budget == 50
    engine.edit(lambda config: replace(config, terminate=replace(config.terminate, cost={"kwh": 500})))
    study.optimize(objective, n_trials=6)
    assert engine.searching.searcher._costs._budget == 500
    found = study.replay()  # by searchers that are made anew
    assert (found.num_suggested, found.num_reproduced) == (11, 11)


def test_other_methods_say_that_they_have_no_such_knob(store: Store) -> None:
    with pytest.raises(Exception, match="knob of tpe") as error:
        whet.sweep({**PLAIN, "method": {"name": "tpe", "cost": "kwh"}}, storage=store)
    assert "cost" in str(error.value)
    with pytest.raises(ConfigError, match="budget=5 of no cost"):
        whet.sweep({**PLAIN, "method": {"name": "gp", "budget": 5}}, storage=store)
