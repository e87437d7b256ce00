"""Every method goes on, legally and within bounds of time and memory, whatever it is told."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import replace

import pytest

from whet.plugins import build, find, names
from whet.space import Choice, Float, Int, Space
from whet.trial import Goal, Metric, Phase, Problem, Trial

SPACE = Space({"x": Float(0, 1), "n": Int(1, 9), "c": Choice(["a", "b"])})
METHODS = [name for name in names("searcher") if find("searcher", name).__module__.startswith("whet.search.")]
DEAR = ("gp", "bayes", "auto", "ehvi", "nevergrad", "ax")
OWN = [
    name for name in METHODS if name not in ("optuna", "nevergrad", "ax")
]  # bridges are as fast as what they lead to
EXTREME = [math.inf, -math.inf, 1.0, 1e308, -1e308, 1e-320, math.nan]


def made(method, space, num_metrics, goal=Goal.MINIMIZE):
    """Return the searcher, or skip where it does not take so many metrics."""
    problem = Problem(space=space, metrics=tuple(Metric(name=f"m{i}", goal=goal) for i in range(num_metrics)))
    try:
        return build("searcher", method, problem, knobs_given={}, seed=1)
    except Exception as error:
        if "metric" in str(error) or "install" in str(error):
            pytest.skip(str(error))
        raise


def play(searcher, outcome, num_trials=16):
    """Return the configurations that were suggested, each legal."""
    found = []
    for number in range(num_trials):
        asked = searcher.ask(1)
        if not asked:
            break
        params = dict(asked[0].params)
        assert searcher.problem.space.clean(params) == params
        found.append(params)
        searcher.tell([outcome(Trial(number=number, params=params))], [])
    return found


def valued(value, num_metrics=1):
    """Return an outcome: `value` of the trial's number, in every metric."""
    return lambda trial: replace(trial, phase=Phase.FINISHED, values=(value(trial.number),) * num_metrics)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("num_metrics", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", [pytest.param(m, marks=pytest.mark.slow) if m in DEAR else m for m in METHODS])
def test_results_that_say_nothing_do_not_stop_the_search(method, num_metrics) -> None:
    outcomes = [
        lambda trial: replace(trial, phase=Phase.FAILED, reason="crashed"),
        lambda trial: replace(trial, phase=Phase.CANCELED, reason="by hand"),
        valued(lambda _: math.nan, num_metrics),
        valued(lambda _: 1.0, num_metrics),
        valued(lambda _: math.inf, num_metrics),
        valued(lambda _: -math.inf, num_metrics),
        valued(lambda number: EXTREME[number % len(EXTREME)], num_metrics),
    ]
    for outcome in outcomes:
        for goal in Goal:
            found = play(made(method, SPACE, num_metrics, goal), outcome)
            assert len(found) == 16
            assert len({repr(params) for params in found}) >= 4  # it still looks around; pb2 has so many members


@pytest.mark.parametrize("num_metrics", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_a_space_of_one_point_has_that_point(method, num_metrics) -> None:
    space = Space({"x": Float(1, 1), "n": Int(3, 3), "c": Choice(["a"])})
    found = play(made(method, space, num_metrics), valued(lambda _: 1.0, num_metrics))
    assert found
    assert all(params == {"x": 1.0, "n": 3, "c": "a"} for params in found)


@pytest.mark.parametrize("num_metrics", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", OWN)
def test_a_million_options_cost_no_memory(method, num_metrics) -> None:
    space = Space({"option": MILLION, "x": Float(0, 1)})
    searcher = made(method, space, num_metrics)
    play(searcher, lambda trial: replace(trial, phase=Phase.FINISHED, values=(trial.params["x"],) * num_metrics), 16)
    tracemalloc.start()
    searcher = made(method, space, num_metrics)
    play(searcher, lambda trial: replace(trial, phase=Phase.FINISHED, values=(trial.params["x"],) * num_metrics), 16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6


MILLION = Choice([f"option {i}" for i in range(10**6)])


@pytest.mark.parametrize("method", ["tpe", "gp"])
def test_of_very_many_options_good_ones_are_found_where_their_order_means_something(method) -> None:
    searcher = made(method, Space({"option": Choice(list(range(100_000)))}), 1)
    found = play(
        searcher,
        lambda t: replace(t, phase=Phase.FINISHED, values=(abs(t.params["option"] - 70_000) / 1e5,)),
        40,
    )
    assert min(abs(params["option"] - 70_000) for params in found) < 1000
