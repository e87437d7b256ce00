"""What the benchmark of many agents calls wrong."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
from benchmarks.server_agents import SPACE, STEPS, compared, loss_of

from whet.store import open_store
from whet.store.base import Store
from whet.study.create import sweep as create
from whet.study.engine import Assignment, Engine
from whet.trial import Report


@pytest.fixture
def done() -> tuple[Store, str, list[dict[str, Any]]]:
    """A sweep of six trials by two agents, as it should be."""
    store = open_store("memory")
    id = create({"method": "sobol", "metric": {"name": "loss"}, "parameters": SPACE, "seed": 0}, storage=store)
    engine = Engine(store, id)
    parts: list[dict[str, Any]] = [{"errors": Counter(), "trials": []} for _ in range(2)]
    for i in range(6):
        trial = engine.ask()
        assert isinstance(trial, Assignment)
        loss = loss_of(trial.params)
        for step in range(STEPS):
            engine.report(trial.number, trial.attempt, Report(step=step, values=(loss,)))
        engine.tell(trial.number, trial.attempt, [loss])
        parts[i % 2]["trials"].append([trial.number, trial.attempt, dict(trial.params), loss, True])
    return store, id, parts


def test_what_is_right(done: tuple[Store, str, list[dict[str, Any]]]) -> None:
    assert compared(*done) == []


def test_what_is_wrong(done: tuple[Store, str, list[dict[str, Any]]]) -> None:
    store, id, parts = done

    def found(change: Any) -> str:
        changed = copy.deepcopy(parts)
        change(changed)
        return " ".join(compared(store, id, changed))

    assert "1 numbers were given twice" in found(lambda p: p[0]["trials"].append(p[1]["trials"][0]))
    assert "1 trials were handed out that no agent got" in found(lambda p: p[0]["trials"].pop())
    assert "1 trials have other params" in found(lambda p: p[0]["trials"][0][2].update(lr=0.5))
    assert "1 trials have another result" in found(lambda p: p[0]["trials"][0].__setitem__(3, -1.0))
    assert "2 × suggest: 503" in found(lambda p: p[0]["errors"].update({"suggest: 503": 2}))
    twin = Engine(store, id)
    twin.enqueue(parts[0]["trials"][0][2])
    assert "1 configurations came twice" in found(lambda p: None)
    assert "1 trials are not finished" in found(lambda p: None)
    assert "1 trials lack reports" in found(lambda p: None)
