"""Sweeps of commands and functions that end by themselves, and that stop trials by several metrics."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

import whet
from whet.errors import StudyError
from whet.store.base import SweepState
from whet.study.engine import Assignment, Engine
from whet.study.judging import judge
from whet.trial import Phase, Report
from whet.tune.agent import work
from whet.tune.loop import EventKind

if TYPE_CHECKING:
    from tests.tune.conftest import Place

TWO = {"metric": None, "metrics": [{"name": "loss"}, {"name": "size"}]}


def test_a_sweep_of_a_command_says_why_it_ends(place: Place) -> None:
    place.script("print('loss: 1.0')")
    place.create(run_cap=50, terminate={"no_improvement": 2})
    ending = place.drive()
    why = "the last 2 trials brought no improvement: the best is still loss 1 of trial 0"
    assert (ending.reason, ending.final) == (f"the sweep is finished: {why}", True)
    assert len(place.trials()) == 3
    assert place.store.sweeps.get(place.sweep).state is SweepState.FINISHED
    again = place.drive()  # whoever comes later is told the same
    assert (again.reason, again.num_finished) == (ending.reason, 0)


def test_an_agent_of_a_function_says_why_it_ends(place: Place) -> None:
    place.create(run_cap=50, terminate={"cost": {"loss": 3}}, program=None)

    def train() -> None:
        whet.init(settings={"capture": False, "system_interval_s": 0})
        whet.log({"loss": 1.0})

    ending = work(place.store, place.sweep, train)
    assert ending.reason == "the sweep is finished: the trials have used up the budget of loss=3"
    assert ending.num_finished == 3


def test_a_command_is_stopped_by_several_metrics(place: Place) -> None:
    """It prints them one by one, and what is half there is not judged."""
    place.script(
        """
        import sys, time
        x = float(sys.argv[1].partition("=")[2])
        for epoch in range(3 if x < 3 else 400):
            print("epoch", epoch)
            print(f"loss: {x}", flush=True)
            time.sleep(0.05)
            print(f"size: {x}", flush=True)
            time.sleep(0.05)
        """
    )
    place.create(
        method="grid", parameters={"x": {"values": [1, 2, 3]}}, run_cap=None, **TWO,
        early_terminate={"type": "median", "startup_trials": 2},
    )  # fmt: skip
    place.drive()
    trials = place.trials()
    assert [t.stopped for t in trials] == [False, False, True]
    assert (
        "loss 3, size 3, its best so far, stands on front 3, and is behind 2 of 2 complete trials" in trials[2].reason
    )
    assert f"trial 2 stopped early: {trials[2].reason}" in place.texts(EventKind.STOPPED)


def test_a_report_that_lacks_a_metric_waits_for_the_rest(place: Place) -> None:
    place.create(**TWO, early_terminate={"type": "threshold", "upper": {"loss": 5}})
    engine = Engine(place.store, place.sweep)
    answer = engine.ask()
    assert isinstance(answer, Assignment)

    def said(step: int, *values: float) -> tuple[int, str]:
        engine.report(answer.number, answer.attempt, Report(step=step, values=values))
        engine.sync()
        num_judged, decision = judge(engine, answer.number, 0)
        return num_judged, "" if decision is None else decision.reason

    assert said(0, 1.0, math.nan) == (0, "")
    assert said(0, 1.0, 2.0) == (1, "")
    assert said(1, math.nan, 2.0) == (1, "")
    assert said(2, 1.0, 2.0) == (
        2,
        "loss is NaN or not reported at step 1, and a value that is no number is out of bounds",
    )
    engine.tell(answer.number, answer.attempt, None, phase=Phase.FAILED)


def test_a_stopper_of_one_metric_is_refused_when_the_sweep_is_made(place: Place) -> None:
    with pytest.raises(StudyError, match="this needs one metric, not 2"):
        place.create(**TWO, early_terminate={"type": "wilcoxon"})
