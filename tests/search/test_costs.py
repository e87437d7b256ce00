"""Costs are weighed: the model's numbers, what they lead to, and that nothing changes where they are all alike."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from whet.errors import ConfigError
from whet.plugins import build
from whet.search.base import Searcher
from whet.search.climb import climbed
from whet.search.costs import Costs, Expense
from whet.search.evidence import Evidence
from whet.search.gaussian import Process
from whet.search.merit import Merit
from whet.space import Choice, Float, Int, Space
from whet.testing.searcher_laws import LIMITS, SearcherLaws
from whet.trial import Metric, Phase, Problem, Trial

SPACE = Space(
    {
        "kind": Choice(["a", "b"]),
        "x": Float(0, 1),
        "n": Int(1, 8, when="kind == 'a'"),
        "y": Float(-1, 1),
    }
)
SQUARE = Space({"x": Float(0, 1), "y": Float(0, 1)})


def loss_of(params: Any) -> float:
    return (params["x"] - 0.7) ** 2 + 0.3 * params.get("y", 0.0) ** 2 + 0.01 * params.get("n", 3)


def trials(count: int, space: Space = SPACE, *, seed: int = 0, cost: Any = None, **given: Any) -> list[Trial]:
    rng = random.Random(seed)
    made = []
    for number in range(count):
        params = space.sample(rng)
        attrs = {} if cost is None else {"kwh": cost(params)}
        made.append(
            Trial(number=number, params=params, phase=Phase.FINISHED, values=(loss_of(params),), attrs=attrs, **given)
        )
    return made


def told(searcher: Any, finished: list[Trial], pending: list[Trial] | None = None) -> Any:
    searcher.tell(finished, pending or [])
    return searcher


def make(method: str, space: Space = SPACE, seed: int = 4, limits: Any = (), **knobs: Any) -> Any:
    return build("searcher", method, Problem(space=space, limits=limits), knobs_given=knobs, seed=seed)


def costs_of(finished: list[Trial], name: str = "kwh", budget: float | None = None, space: Space = SPACE) -> tuple[Costs, Evidence]:  # fmt: skip
    problem = Problem(space=space)
    evidence = Evidence(problem, 300)
    costs = Costs("gp", problem, evidence, name, budget)
    evidence.learn(finished)
    costs.learn(finished)
    return costs, evidence


class Weighing(SearcherLaws):
    """The cost is a value that most trials report, some of them as no number, zero or infinity."""

    num_trials = 14
    method = "gp"
    knobs: dict[str, Any] = {}

    def make(self, problem: Problem, seed: int) -> Searcher:
        found = build("searcher", self.method, problem, knobs_given=self.knobs, seed=seed)
        assert isinstance(found, Searcher)
        return found


@pytest.mark.slow
class TestGP(Weighing):
    knobs = {"num_startup": 4, "num_candidates": 20, "cost": "latency"}


@pytest.mark.slow
class TestGPWithABudgetAndLimits(Weighing):
    limits = LIMITS
    knobs = {"num_startup": 4, "num_candidates": 20, "cost": "size", "budget": 60}


@pytest.mark.slow
class TestAuto(Weighing):
    method, knobs = "bayes", {"num_startup": 4, "cost": "latency"}


# -- the model ----------------------------------------------------------------------------------------------------------


def test_the_expected_cost_is_that_of_a_log_normal() -> None:
    finished = trials(12, cost=lambda p: math.exp(3 * p["x"]))
    costs, evidence = costs_of(finished)
    expense = costs.expense()
    assert expense is not None
    assert costs.weight == 1.0
    z = evidence.features_of([{"kind": "b", "x": 0.95, "y": -0.9}])
    mean, deviation = expense._process(z)
    drawn = np.random.default_rng(0).normal(mean[0], deviation[0], 400_000) * expense._deviation + expense._mean
    free = 0.01 * sum(t.attrs["kwh"] for t in finished)  # type: ignore[misc]
    assert float(expense(z)[0]) == pytest.approx(-math.log(np.exp(drawn).mean() + free), abs=0.001)
    apart = math.log(np.exp(drawn).mean() + free) - math.log(math.exp(float(np.median(drawn))) + free)
    assert apart > 0.002  # the mean of a log-normal is above its median


def test_at_trials_the_cost_is_what_they_took() -> None:
    finished = trials(20, cost=lambda p: math.exp(3 * p["x"]))
    costs, evidence = costs_of(finished)
    expense = costs.expense()
    assert expense is not None
    got = expense(evidence.features([t.number for t in finished]))
    free = 0.01 * sum(t.attrs["kwh"] for t in finished)  # type: ignore[misc]
    wanted = [math.log(t.attrs["kwh"] + free) for t in finished]  # type: ignore[operator]
    np.testing.assert_allclose(-got, wanted, atol=0.15)


def test_the_slope_is_that_of_differences() -> None:
    rng = np.random.default_rng(2)
    z, y = rng.random((15, 3)), rng.normal(size=15)
    expense = Expense(Process(z, y, np.array([2.0, 1.0, 0.5]), 0.01), mean=1.3, deviation=1.7, weight=0.6, free=1.0)
    for point in rng.random((8, 3)):
        value, got = expense.slope(point)
        assert value == pytest.approx(float(expense(point[None])[0]), rel=1e-9)
        wanted = approx_fprime(point, lambda p: float(expense(p[None])[0]), 1e-6)
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=1e-5)


def test_the_slope_of_all_that_counts_together_is_that_of_differences() -> None:
    """Improvement, limits, cost and belief in one, by the numbers of a point in a space with conditions."""
    limited = make("gp", limits=LIMITS, cost="kwh", budget=1e3, prior={"x": 0.4}, num_startup=4)
    finished = [
        Trial(number=t.number, params=t.params, phase=t.phase, values=t.values,
              attrs={**t.attrs, "latency": 0.1 * t.number, "size": 2 + t.number % 2})
        for t in trials(12, cost=lambda p: math.exp(3 * p["x"]))
    ]  # fmt: skip
    told(limited, finished)
    layout, features = limited._evidence.tools()
    process, best = limited._process([])
    expense = limited._costs.expense()
    assert expense is not None
    merit = Merit(
        features, process, best, chance=limited._chances.given([]), expense=expense,
        belief=(limited._belief.on(layout), 0.5),
    )  # fmt: skip
    row = layout.row({"kind": "a", "x": 0.3, "n": 4, "y": 0.2})
    D, C = layout.D, layout.C
    x, m, h = row[:D], np.array(row[D : 2 * D]), np.array(row[2 * D : 2 * D + C])
    value, got = merit.slope(np.array(x), m, h)
    assert value == pytest.approx(float(merit.score(np.array([x]), m[None], h[None])[0]), rel=1e-9)
    wanted = approx_fprime(np.array(x), lambda at: float(merit.score(at[None], m[None], h[None])[0]), 1e-6)
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4)


def test_failed_and_stopped_trials_cost_what_they_took_and_canceled_ones_only_count_for_the_budget() -> None:
    kept = trials(6, cost=lambda p: 2.0)
    ends = [
        Trial(number=6, params=kept[0].params, phase=Phase.FAILED, attrs={"kwh": 40.0}),
        Trial(number=7, params=kept[1].params, phase=Phase.FINISHED, stopped=True, attrs={"kwh": 1.0}),
        Trial(number=8, params=kept[2].params, phase=Phase.CANCELED, attrs={"kwh": 7.0}),
    ]
    costs, evidence = costs_of([*kept, *ends], budget=100.0)
    assert costs.weight == pytest.approx(1.0 - (6 * 2.0 + 40.0 + 1.0 + 7.0) / 100.0)
    z, log_M = costs._data(evidence.model())
    assert sorted(np.exp(log_M).round(9)) == [1.0, *[2.0] * 6, 40.0]
    assert len(z) == 8


def test_seconds_are_measured_and_what_is_no_positive_number_is_unknown() -> None:
    timed = trials(5, started=100.0, ended=103.0)
    costs, _ = costs_of(timed, name="seconds", budget=30.0)
    assert costs.weight == pytest.approx(0.5)
    for bad in (0.0, -3.0, math.nan, math.inf, "dear", None, True):
        costs, evidence = costs_of(trials(4, cost=lambda p, bad=bad: bad))
        assert len(costs._data(evidence.model())[0]) == 0
        assert costs.expense() is None
    assert costs_of(trials(9, cost=lambda p: 1e308), budget=1e300)[0].weight == 0.0  # the sum overflows


def test_its_weight_falls_with_what_is_left_of_the_budget() -> None:
    weights = [costs_of(trials(n, cost=lambda p: 1.0), budget=10.0)[0].weight for n in (0, 4, 9, 10, 20)]
    assert weights == pytest.approx([1.0, 0.6, 0.1, 0.0, 0.0])
    for seed in range(20):  # to the last bit
        some = trials(50, seed=seed, cost=lambda p: p["x"])
        assert costs_of(some, budget=100.0)[0].weight == costs_of(some[::-1], budget=100.0)[0].weight
    spent = costs_of(trials(20, cost=lambda p: 1.0 + p["x"]), budget=10.0)[0]
    assert spent.expense() is None


# -- what it leads to ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["gp", "bayes"])
@pytest.mark.parametrize("cost", [3.7, 1e-12, 1e200])
def test_where_all_trials_cost_the_same_nothing_changes(method: str, cost: float) -> None:
    def asked(finished: list[Trial], **knobs: Any) -> list[Any]:
        return [suggestion.params for suggestion in told(make(method, **knobs), finished).ask(2)]

    for count in (3, 14, 23):
        finished = trials(count, cost=lambda p: cost)
        plain = asked(finished)
        assert asked(finished, cost="kwh", budget=1e9 * cost) == plain
        assert asked(finished, cost="kwh") == plain
        for more in ({"limits": LIMITS}, {"prior": {"x": 0.3}}):
            assert asked(finished, cost="kwh", **more) == asked(finished, **more)


def _played(price: Any, count: int = 22, seed: int = 0, **knobs: Any) -> list[Trial]:
    gp = make("gp", SQUARE, seed=seed, **knobs)
    done: list[Trial] = []
    for number in range(count):
        params = gp.ask(1)[0].params
        value = math.sin(6 * params["x"]) + (params["y"] - 0.5) ** 2
        done.append(Trial(number=number, params=params, phase=Phase.FINISHED, values=(value,), attrs={"kwh": price(params)}))  # fmt: skip
        gp.tell(done[-1:], [])
    return done


@pytest.mark.slow
def test_dear_places_are_tried_less() -> None:
    def dear(p: Any) -> float:
        return math.exp(8 * p["y"])

    spent = {}  # after the first trials, which are the same
    for name, knobs in {"plain": {}, "weighed": {"cost": "kwh"}, "spent": {"cost": "kwh", "budget": 1e-9}}.items():
        spent[name] = sum(sum(t.attrs["kwh"] for t in _played(dear, seed=seed, **knobs)[5:]) for seed in range(3))  # type: ignore[misc, arg-type]
    assert spent["weighed"] < 0.9 * spent["plain"]
    assert spent["spent"] == spent["plain"]  # nothing is left of the budget: only improvements count


def test_the_budget_changes_how_much_they_count() -> None:
    finished = trials(15, cost=lambda p: math.exp(4 * p["x"]))
    merits = []
    for budget in (None, 1e3, 4e2):
        expense = costs_of(finished, budget=budget)[0].expense()
        assert expense is not None
        merits.append(float(expense(costs_of(finished)[1].features_of([finished[0].params]))[0]))
    assert merits[0] < merits[1] < merits[2] < 0 or merits[0] > merits[1] > merits[2] > 0


def test_a_cost_that_nobody_reports_is_said_and_changes_nothing() -> None:
    finished = trials(12)
    plain, weighed = told(make("gp"), finished).ask(1), told(make("gp", cost="kwh"), finished).ask(1)
    assert weighed[0].params == plain[0].params
    assert weighed[0].note == "none of 12 trials has reported kwh as a number above 0, so costs are not weighed"
    assert told(make("gp", cost="kwh"), trials(2)).ask(1)[0].note == ""  # too early to tell
    auto = told(make("bayes", cost="kwh"), finished).ask(1)[0].note
    assert auto.startswith("gp: ")
    assert auto.endswith("; none of 12 trials has reported kwh as a number above 0, so costs are not weighed")


# -- knobs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("knobs", "text"),
    [
        ({"cost": 3}, "has cost=3, not the name of a value"),
        ({"cost": ""}, "has cost='', not the name of a value"),
        ({"cost": "kwh", "budget": 0}, "has budget=0: give budget a number above 0"),
        ({"cost": "kwh", "budget": -1}, "has budget=-1, not a number at least 0"),
        ({"cost": "kwh", "budget": "much"}, "has budget='much', not a number at least 0"),
        ({"budget": 5}, "has budget=5 of no cost: add cost, such as cost: seconds"),
    ],
)
@pytest.mark.parametrize("method", ["gp", "bayes"])
def test_bad_knobs_are_named(method: str, knobs: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=f"{method} {text}"):
        make(method, **knobs)


def test_bayes_says_where_it_does_not_weigh_costs() -> None:
    wide = Space({f"x{i}": Float(0, 1) for i in range(41)})
    note = "tpe: 41 parameters are many for a Gaussian process"
    assert make("bayes", wide, cost="kwh").ask(1)[0].note == f"{note}; nothing is known of costs here"
    assert make("bayes", wide).ask(1)[0].note == note
    for count, knobs in [(16, {}), (17, {"switch_at": 17})]:  # every eighth trial, and after many results
        finished = trials(count, cost=lambda p: math.exp(4 * p["x"]))
        plain = told(make("bayes", **knobs), finished).ask(1)[0].note
        assert plain.startswith("tpe: ")
        assert told(make("bayes", cost="kwh", **knobs), finished).ask(1)[0].note == f"{plain}; nothing is known of costs here"  # fmt: skip
    assert "nothing is known" not in told(make("bayes", cost="kwh"), trials(15)).ask(1)[0].note
    several = Problem(space=SPACE, metrics=(Metric(name="a"), Metric(name="b")))
    with pytest.raises(ConfigError, match="weighs improvements of one metric only, and there are 2"):
        build("searcher", "bayes", several, knobs_given={"cost": "seconds"}, seed=0)


def test_a_climb_with_costs_ends_where_no_step_is_better() -> None:
    gp = told(make("gp", SQUARE, cost="kwh"), trials(12, SQUARE, cost=lambda p: math.exp(3 * p["y"])))
    layout, features = gp._evidence.tools()
    process, best = gp._process([])
    merit = Merit(features, process, best, expense=gp._costs.expense())
    good = layout.places(gp._evidence.rows(gp._evidence.ordered()[:3]))
    unit = climbed(layout, merit.score, np.random.default_rng(0), good, 400, 3, merit.slope)[0]
    m, h = np.ones(2), np.zeros(0)
    value, slope = merit.slope(np.array(unit), m, h)
    inside = [0.001 < u < 0.999 for u in unit]
    assert np.abs(slope[inside]).max(initial=0.0) < 0.05
    draws = np.random.default_rng(1).random((4000, 2))
    assert merit.score(draws, np.ones((4000, 2)), np.zeros((4000, 0))).max() <= value + 1e-3
