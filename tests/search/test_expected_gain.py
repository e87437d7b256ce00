"""What a method expects of the next trial: in units of the metric, by the finished trials alone."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from whet.plugins import build
from whet.search.normal import normalised, normalised_unit
from whet.search.starting import Starting
from whet.space import Float, Int, Space
from whet.trial import Earlier, Goal, Limit, Metric, Past, Phase, Problem, Trial

SPACE = Space({"x": Float(0, 1), "y": Float(0, 1)})


def loss_of(params: Any) -> float:
    return (params["x"] - 0.3) ** 2 + 0.5 * (params["y"] - 0.6) ** 2


def trials(count: int, *, seed: int = 0, scale: float = 1.0, shift: float = 0.0, sign: float = 1.0, **attrs: Any) -> list[Trial]:  # fmt: skip
    rng = random.Random(seed)
    drawn = [SPACE.sample(rng) for _ in range(count)]
    return [
        Trial(number=i, params=p, phase=Phase.FINISHED, values=(sign * (scale * loss_of(p) + shift),), attrs=attrs)
        for i, p in enumerate(drawn)
    ]


def gain(finished: list[Trial], method: str = "gp", *, pending: Any = (), goal: Goal = Goal.MINIMIZE, **given: Any) -> float | None:  # fmt: skip
    limits, earlier = given.pop("limits", ()), given.pop("earlier", ())
    problem = Problem(space=SPACE, metrics=(Metric(name="loss", goal=goal),), limits=limits, earlier=earlier)
    searcher = build("searcher", method, problem, knobs_given=given, seed=3)
    searcher.tell(finished, pending)
    found: float | None = searcher.expected_gain()
    return found


@pytest.mark.parametrize("skew", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("count", [4, 25])
def test_a_unit_is_the_slope_of_the_way_back(skew: float, count: int) -> None:
    """Between two losses that are next to each other the way back is nearly straight."""
    rng = np.random.default_rng(count)
    losses = np.exp(skew * rng.normal(size=count))
    losses[1] = losses[0] * (1 - 1e-5)
    y = normalised(losses)
    slope = (losses[1] - losses[0]) / (y[1] - y[0])
    assert normalised_unit(losses, 0) == pytest.approx(slope, rel=1e-4)
    assert normalised_unit(losses * 1e200, 0) == pytest.approx(slope * 1e200, rel=1e-4)


def test_where_all_losses_are_alike_a_unit_is_worth_nothing() -> None:
    assert normalised_unit(np.full(7, 3.0), 2) == 0.0
    assert normalised_unit(np.full(3, math.nan), 0) == 0.0


def test_it_is_the_greatest_expected_improvement_of_the_posterior() -> None:
    """Beside a fine grid of points, with the closed form of the improvement, and Monte Carlo through the transform."""
    finished = trials(15)
    gp: Any = build("searcher", "gp", Problem(space=SPACE), knobs_given={}, seed=3)
    gp.tell(finished, [])
    process, best = gp._process([])
    at = np.linspace(0, 1, 80)
    grid = gp._evidence.features_of([{"x": float(x), "y": float(y)} for x in at for y in at])
    mean, deviation = process(grid)
    u = (best - mean) / deviation
    improvement = deviation * (u * norm.cdf(u) + norm.pdf(u))
    losses = gp._evidence.losses(gp._evidence.model())[:, 0]
    wanted = float(improvement.max()) * normalised_unit(losses, int(losses.argmin()))
    found = gp.expected_gain()
    assert found == pytest.approx(wanted, rel=0.05)
    assert 0.98 * wanted < found


@pytest.mark.parametrize("method", ["gp", "bayes"])
def test_it_has_the_units_of_the_metric_and_no_origin(method: str) -> None:
    plain = gain(trials(15), method)
    assert plain is not None
    assert gain(trials(15, scale=1000.0), method) == pytest.approx(1000 * plain, rel=1e-3)
    assert gain(trials(15, shift=50.0), method) == pytest.approx(plain, rel=1e-3)
    assert gain(trials(15, sign=-1.0), method, goal=Goal.MAXIMIZE) == plain


def test_it_falls_as_the_search_comes_to_its_end() -> None:
    gp: Any = build("searcher", "gp", Problem(space=SPACE), knobs_given={}, seed=1)
    gains = []
    for number in range(30):
        params = gp.ask(1)[0].params
        gp.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(loss_of(params),))], [])
        gains.append(gp.expected_gain())
    assert gains[:4] == [None] * 4  # no model yet
    known = [g for g in gains if g is not None]
    assert known[0] > 1e-3
    assert max(known[-5:]) < 1e-4


def test_only_the_finished_trials_count_and_asking_changes_nothing() -> None:
    finished = trials(14)
    plain = gain(finished)
    assert gain(finished, pending=[Trial(number=14, params={"x": 0.3, "y": 0.6})]) == plain
    assert gain(finished[::-1]) == plain
    assert gain(finished, prior={"x": 0.9}) == plain
    gp: Any = build("searcher", "gp", Problem(space=SPACE), knobs_given={}, seed=3)
    gp.tell(finished[:9], [])
    gp.expected_gain()
    gp.tell(finished[9:], [])
    before = gp.ask(2)
    assert gp.expected_gain() == gp.expected_gain() == plain
    assert gp.ask(2) == before


def test_costs_do_not_lessen_it() -> None:
    finished = [
        Trial(number=t.number, params=t.params, phase=t.phase, values=t.values, attrs={"kwh": math.exp(4 * t.number)})
        for t in trials(14)
    ]
    assert gain(finished, cost="kwh") == gain(finished)


def test_what_breaks_the_limits_is_no_gain() -> None:
    tight = (Limit(name="size", max=1.0),)
    assert gain(trials(14, size=2.0), limits=tight) is None  # anything that keeps them would be
    kept = trials(14, size=0.5)
    plain = gain(kept)
    assert plain is not None
    assert gain(kept, limits=tight) == pytest.approx(plain, rel=0.3)


def test_an_improvement_counts_by_the_chance_that_the_limits_are_kept() -> None:
    """Beside the product of both on a fine grid, where the best lies on the wrong side of the bound."""
    sized = [replace(t, attrs={"size": 2.0 - 2.0 * t.params["x"] * t.params["y"]}) for t in trials(14)]  # type: ignore[operator]
    gp: Any = build("searcher", "gp", Problem(space=SPACE, limits=(Limit(name="size", max=1.5),)), knobs_given={}, seed=3)  # fmt: skip
    gp.tell(sized, [])
    process, best = gp._process([])
    at = np.linspace(0, 1, 80)
    grid = gp._evidence.features_of([{"x": float(x), "y": float(y)} for x in at for y in at])
    mean, deviation = process(grid)
    u = (best - mean) / deviation
    chance = np.exp(gp._chances.given([])(grid))
    improvement = deviation * (u * norm.cdf(u) + norm.pdf(u))
    losses = gp._evidence.losses(gp._evidence.model())[:, 0]
    kept = gp._evidence.kept(gp._evidence.model())
    unit = normalised_unit(losses, int(np.where(kept, losses, np.inf).argmin()))
    assert 0 < kept.sum() < 14
    assert gp.expected_gain() == pytest.approx(float((improvement * chance).max()) * unit, rel=0.05)
    assert gp.expected_gain() < 0.8 * float(improvement.max()) * unit


def test_what_has_been_tried_is_not_the_next_trial() -> None:
    small = Space({"n": Int(1, 12)})
    gp: Any = build("searcher", "gp", Problem(space=small), knobs_given={"num_startup": 3}, seed=0)
    gp.tell([Trial(number=n - 1, params={"n": n}, phase=Phase.FINISHED, values=((n - 7.0) ** 2,)) for n in range(1, 13) if n != 12], [])  # fmt: skip
    assert gp.expected_gain() < 0.05  # all but n = 12 has been tried, and 36 lies behind it


def test_who_has_no_model_does_not_know() -> None:
    for method in ("random", "tpe", "cmaes", "sobol"):
        made = build("searcher", method, Problem(space=SPACE), knobs_given={}, seed=0)
        made.tell(trials(12), [])
        assert not made.foresees
        assert made.expected_gain() is None
    several = Problem(space=SPACE, metrics=(Metric(name="a"), Metric(name="b")))
    assert not build("searcher", "bayes", several, knobs_given={}, seed=0).foresees
    wide = Problem(space=Space({f"x{i}": Float(0, 1) for i in range(41)}))
    assert not build("searcher", "bayes", wide, knobs_given={}, seed=0).foresees
    for method in ("gp", "bayes"):
        assert build("searcher", method, Problem(space=SPACE), knobs_given={}, seed=0).foresees
    earlier = (Earlier(name="old", trials=(Past(number=0, params={"x": 0.2, "y": 0.5}, loss=0.0),)),)
    begun = Starting(build("searcher", "gp", Problem(space=SPACE, earlier=earlier), knobs_given={}, seed=0))
    begun.tell(trials(12), [])
    assert begun.foresees
    assert begun.expected_gain() is not None
