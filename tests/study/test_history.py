"""What an engine knows: the same however it was told, and at a cost that does not grow with it."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest

import whet
from whet import Choice, Float, Int, Space, create_trial
from whet.analysis.best import best_trial
from whet.errors import SpaceError
from whet.store.base import Store
from whet.study.assignment import Assignment
from whet.study.engine import Engine
from whet.study.fill import fill
from whet.trial import Phase, Report

SPACE = Space({"x": Float(0, 1), "k": Int(1, 9)})


@pytest.mark.parametrize("seed", range(4))
def test_step_by_step_is_all_at_once(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    study = whet.create_study(
        storage=store, method="random", space=SPACE, seed=seed, direction=rng.choice(["minimize", "maximize"])
    )
    engine, other = study._engine, Engine(store, study.id)
    running: list[Assignment] = []
    for _ in range(120):
        act = rng.randrange(8)
        one = rng.choice(running) if running else None
        if act <= 1 or one is None:
            answer = engine.ask()
            assert isinstance(answer, Assignment)
            running.append(answer)
        elif act <= 4:
            step = rng.choice([0, 1, 2, 5])
            store.trials.report(study.id, one.number, one.attempt, [Report(step=step, values=(rng.random(),))])
        else:
            running.remove(one)
            if act == 5:
                engine.requeue(one.number, one.attempt, "its worker was lost")
            elif act == 6:
                phase = rng.choice([Phase.FINISHED, Phase.PAUSED, Phase.FAILED, Phase.CANCELED])
                engine.tell(one.number, one.attempt, None, phase=phase, stopped=phase is Phase.FINISHED, reason="r")
            else:
                engine.tell(one.number, one.attempt, [rng.choice([1.0, 2.0, 3.0, float("nan")])], attrs={"a": act})
        if rng.random() < 0.2:
            engine.sync()
    engine.sync()
    other.sync()
    assert engine.in_order() == other.in_order()
    assert [t.number for t in engine.in_order()] == list(range(len(engine.trials)))
    assert engine.pending() == [t for t in other.in_order() if not t.phase.is_over]
    ended = sorted(t.number for t in engine.history.ended_since(0))
    assert ended == [t.number for t in other.in_order() if t.phase.is_over]  # each once
    assert engine.best == other.best == best_trial(engine.problem, other.in_order())
    assert any(t.reports and t.complete for t in engine.in_order())


def calls_of_a_step(num_trials: int, **given: Any) -> int:
    study = whet.create_study(storage="memory", method="random", seed=0, stopper="none", **given)
    study.add_trials([create_trial(params={"x": 0.5, "k": 1 + i % 9}, value=float(i)) for i in range(num_trials)])

    def objective(trial: Any) -> float:
        trial.report(0.5, 1)
        assert not trial.should_prune()
        return float(trial.suggest_float("x", 0, 1) + trial.suggest_int("k", 1, 9))

    study.optimize(objective, n_trials=3)
    study._engine._looked_for_lost = float("inf")  # that is by the clock
    calls = 0

    def count(frame: Any, event: str, arg: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        study.optimize(objective, n_trials=20, callbacks=[lambda study, trial: None])
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("given", [{}, {"space": SPACE}, {"space": SPACE, "run_cap": 9000}])
def test_a_step_costs_the_same_after_many_trials(given: dict[str, Any]) -> None:
    few, many = calls_of_a_step(50, **given), calls_of_a_step(4000, **given)
    assert many < few * 1.1


def test_filling_in() -> None:
    space = Space(
        {
            "a": Choice(["p", "q"]),
            "b": Int(0, 9, when="a == 'p'"),
            "c": Float(0, 1, when="b > 4"),
            "d": Float(0, 1),
        },
        constraints=["b >= 2"],
    )
    for seed in range(30):
        rng = random.Random(seed)
        assert space.contains(fill(space, {}, rng))
        filled = fill(space, {"c": 0.25}, rng)
        assert space.contains(filled)
        assert (filled["a"], filled["c"]) == ("p", 0.25)
        assert filled["b"] > 4  # type: ignore[operator]
        assert fill(space, {"a": "q"}, rng).keys() == {"a", "d"}
    assert fill(space, {"d": 1}, random.Random(1)) == fill(space, {"d": 1}, random.Random(1))
    with pytest.raises(SpaceError, match=r"^no configuration has b=1 \(1,000 draws of the rest broke"):
        fill(space, {"b": 1}, random.Random(0))
