"""A stored sweep is changed to what can be, from Python as over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from whet.config import parse
from whet.errors import Conflict, StudyError, WhetError
from whet.store import open_store
from whet.store.check import check
from whet.study.create import check_edit, create_sweep, edit_sweep
from whet.study.engine import Assignment, Engine
from whet.trial import Goal, Phase, Suggestion

PLAIN: dict[str, Any] = {
    "method": "random",
    "metric": {"name": "loss", "goal": "minimize"},
    "parameters": {"x": {"min": 0.0, "max": 1.0}},
}


def test_what_cannot_be_is_refused_and_changes_nothing() -> None:
    store = open_store("memory")
    id = create_sweep(store, parse(PLAIN))
    wider = parse({**PLAIN, "parameters": {"x": {"min": 0.0, "max": 9.0}}})
    other = parse({**PLAIN, "metric": {"name": "acc", "goal": "minimize"}})
    assert edit_sweep(store, id, version=0, config=other).version == 1  # nothing has been measured yet
    edit_sweep(store, id, version=1, config=parse(PLAIN), cap=5)
    store.trials.add(id, 0, Suggestion(params={"x": 0.5}), owner="me", seen=0)
    before = store.sweeps.get(id)
    with pytest.raises(StudyError, match="has trials, whose results are of other metrics"):
        edit_sweep(store, id, version=2, config=other)
    with pytest.raises(WhetError, match="unknown"):
        edit_sweep(store, id, version=2, config=parse({**PLAIN, "method": {"name": "random", "knobs": {"zeal": 3}}}))
    broken = {"type": "hyperband", "min_iter": -3}
    with pytest.raises(WhetError, match="min_iter"):
        edit_sweep(store, id, version=2, config=parse({**PLAIN, "early_terminate": broken}))
    with pytest.raises(WhetError, match="no configuration fulfils"):
        edit_sweep(store, id, version=2, config=parse({**PLAIN, "constraints": ["x > 2"]}))
    with pytest.raises(Conflict, match="changed meanwhile"):
        edit_sweep(store, id, version=1, config=wider)
    assert store.sweeps.get(id) == before
    assert edit_sweep(store, id, version=2, config=wider).config["parameters"] != before.config["parameters"]


def test_other_metrics_are_what_a_sweep_goes_by() -> None:
    store = open_store("memory")
    id = create_sweep(store, parse(PLAIN))
    edit_sweep(store, id, version=0, config=parse({**PLAIN, "metric": {"name": "acc", "goal": "maximize"}}))
    assert store.sweeps.get(id).goals == (Goal.MAXIMIZE,)
    engine = Engine(store, id)
    for value in (0.1, 0.9, 0.5):
        trial = engine.ask()
        assert isinstance(trial, Assignment)
        engine.tell(trial.number, trial.attempt, [value])
    engine.sync()
    assert engine.best is not None
    assert store.sweeps.get(id).best_value == 0.9 == (engine.best.values or ())[0]
    assert check(store) == []

    id = create_sweep(store, parse({**PLAIN, "name": "two"}))
    two = [{"name": "a", "goal": "minimize"}, {"name": "b", "goal": "maximize"}]
    plain = {key: value for key, value in PLAIN.items() if key != "metric"}
    edit_sweep(store, id, version=0, config=parse({**plain, "metrics": two}))
    engine = Engine(store, id)
    trial = engine.ask()
    assert isinstance(trial, Assignment)
    assert engine.tell(trial.number, trial.attempt, [1.0, 2.0]) is Phase.FINISHED


def test_a_stopper_that_cannot_be_built_here_is_said_at_every_look() -> None:
    """It may be a plug-in that others have in another version: trials must not run unstopped because of it."""
    store = open_store("memory")
    config = {**PLAIN, "early_terminate": {"type": "hyperband", "min_iter": 3}}
    broken = {"type": "hyperband", "min_iter": -3}
    id = create_sweep(store, parse(config))
    engine = Engine(store, id)
    stopper = engine.stopper
    store.sweeps.edit(id, version=0, config={**store.sweeps.get(id).config, "early_terminate": broken})
    for _ in range(2):
        with pytest.raises(WhetError, match="min_iter"):
            engine.sync()
        assert (engine.version, engine.stopper) == (0, stopper)
    store.sweeps.edit(id, version=1, config={**store.sweeps.get(id).config, "early_terminate": {"type": "median"}})
    engine.sync()
    assert engine.version == 2
    assert engine.stopper not in (None, stopper)


def test_parameters_that_no_finished_trial_has_are_refused() -> None:
    store = open_store("memory")
    id = create_sweep(store, parse(PLAIN))
    more = parse({**PLAIN, "parameters": {**PLAIN["parameters"], "y": {"min": 0.0, "max": 1.0}}})
    engine = Engine(store, id)
    trial = engine.ask()
    assert isinstance(trial, Assignment)
    check_edit(store, store.sweeps.get(id), more)  # nothing has been measured yet
    engine.tell(trial.number, trial.attempt, [0.3])
    with pytest.raises(StudyError, match=r"no finished trial of sweep .* has a value of y"):
        edit_sweep(store, id, version=0, config=more)
    assert store.sweeps.get(id).version == 0
    where = {"y": {"min": 0.0, "max": 1.0, "when": "x > 2"}}
    config = parse({**PLAIN, "parameters": {"x": {"min": 0.0, "max": 9.0}, **where}})
    assert edit_sweep(store, id, version=0, config=config).version == 1  # the trial has its place where there is no y
