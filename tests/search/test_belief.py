"""A user's belief about good values: a density, startup trials from it, a help when right and soon forgotten when wrong."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import approx_fprime

import whet
from whet.config import dump, parse
from whet.errors import ConfigError
from whet.plugins import build
from whet.search.belief import Belief
from whet.search.gp import GP
from whet.search.parzen import Layout, Mixture
from whet.search.tpe import TPE
from whet.space import Choice, Float, Int, Space
from whet.testing.searcher_laws import SearcherLaws
from whet.trial import Metric, Phase, Problem, Trial

MIXED = Space(
    {
        "kind": Choice(["a", "b", "c"], weights=[1, 1, 2]),
        "lr": Float(1e-5, 1.0, log=True),
        "n": Int(1, 20, when="kind == 'a'"),
        "size": Choice(["s", "m", "l"], ordered=True),
    }
)
SAID = {"kind": {"value": "b", "confidence": "high"}, "lr": 0.01, "n": {"value": 20, "confidence": "low"}}


def any_prior(problem, seed):
    """A belief in some legal values, whatever the space."""
    space = problem.space
    return {name: p.decode(random.Random(f"{seed}/{name}").random()) for name, p in space.items()}


@pytest.mark.slow
class TestGP(SearcherLaws):
    num_trials = 12

    def make(self, problem, seed):
        return GP(problem, seed=seed, prior=any_prior(problem, seed))


class TestTPE(SearcherLaws):
    def make(self, problem, seed):
        return TPE(problem, seed=seed, num_startup=4, prior=any_prior(problem, seed))


@pytest.mark.slow
class TestSeveral(SearcherLaws):
    num_trials = 12
    num_metrics = 2

    def make(self, problem, seed):
        return build(
            "searcher", "auto", problem, knobs_given={"prior": any_prior(problem, seed), "num_startup": 4}, seed=seed
        )


def density(belief, layout, unit):
    """Return the density at a point of the unit cube."""
    rows = np.array([layout.row(MIXED.decode(unit))])
    D, C = layout.D, layout.C
    x, m, h = rows[:, :D], rows[:, D : 2 * D], rows[:, 2 * D : 2 * D + C]
    return math.exp(belief.on(layout).log_density(x, m, h)[0])


def test_the_density_is_one_for_each_parameter() -> None:
    layout = Layout(MIXED)
    belief = Belief("gp", MIXED, SAID)
    base = [0.4, 0.5, 0.5, 0.5]  # b: there is no n

    def of_lr(u):
        return density(belief, layout, [base[0], u, *base[2:]])

    of_b = 0.1 + 0.9 / 0.25
    assert quad(of_lr, 0, 1)[0] == pytest.approx(of_b, rel=1e-6)
    options = [density(belief, layout, [u, *base[1:]]) / density(belief, layout, base) * of_b for u in (0.4, 0.8)]
    assert options == pytest.approx([of_b, 0.1])
    lr = MIXED["lr"].encode(0.01)
    assert of_lr(lr) > 2 * of_lr(lr + 0.3) > 0
    assert density(belief, layout, [0.4, 0.5, 0.5, 0.1]) == density(belief, layout, base)  # nothing is believed of size


def test_the_slope_is_that_of_differences() -> None:
    layout = Layout(MIXED)
    compiled = Belief("gp", MIXED, SAID).on(layout)
    x, m, h = np.array([0.55, 0.8, 0.3]), np.array([1.0, 1.0, 1.0]), np.zeros((1, layout.C))
    wanted = approx_fprime(x, lambda at: compiled.log_density(at[None], m[None], h)[0], 1e-7)
    np.testing.assert_allclose(compiled.slope(x, m), wanted, atol=1e-5)
    np.testing.assert_array_equal(compiled.slope(x, np.array([0.0, 1.0, 1.0]))[:1], [0.0])


@pytest.mark.parametrize("num_results", [0, 10, 40])
def test_draws_follow_the_mixture_of_kernels_and_belief(num_results: int) -> None:
    space = Space({"x": Float(0, 1), "c": Choice(["a", "b"])})
    layout = Layout(space)
    belief = Belief("tpe", space, {"x": 0.8, "c": "b"})
    kernels = Mixture(layout, np.array([[0.0] * layout.width, layout.row({"x": 0.2, "c": "a"})]), [1.0, 3.0], 0.1)
    mixed = belief.mixed_into(kernels, layout, num_results)
    drawn = mixed.draw(np.random.default_rng(0).random((40_000, layout.num_draws)))
    share = belief.weight(num_results) / (1 + belief.weight(num_results))
    own = kernels.draw(np.random.default_rng(1).random((40_000, layout.num_draws))).unit_NP
    told = belief.on(layout).draw(np.random.default_rng(2).random((40_000, 2))).unit_NP
    for column in range(2):
        expected = (1 - share) * own[:, column].mean() + share * told[:, column].mean()
        assert drawn.unit_NP[:, column].mean() == pytest.approx(expected, abs=0.01)
    # of the belief alone: three in four from a normal around the value
    assert ((told[:, 0] > 0.65) & (told[:, 0] < 0.95)).mean() == pytest.approx(0.75 * 0.758 + 0.25 * 0.3, abs=0.01)
    assert (told[:, 1] > 0.5).mean() == pytest.approx(0.75 + 0.25 / 2, abs=0.01)


def test_the_first_trial_is_the_believed_one_the_second_the_middle() -> None:
    for method in ("gp", "tpe", "auto"):
        problem = Problem(space=Space({"lr": Float(1e-5, 1.0, log=True), "depth": Int(1, 9)}))
        searcher = build("searcher", method, problem, knobs_given={"prior": {"lr": 0.01}}, seed=3)
        first, second = searcher.ask(2)
        assert first.params == pytest.approx({"lr": 0.01, "depth": 5})
        assert second.params == pytest.approx({"lr": 10**-2.5, "depth": 5})


def trials_to(method, target, seed, prior, num_trials=40):
    """Return the number of trials after which Branin is below its minimum plus `target`."""
    space = Space({"x": Float(-5, 10), "y": Float(0, 15)})
    searcher = build("searcher", method, Problem(space=space), knobs_given={"prior": prior}, seed=seed)
    for number in range(num_trials):
        params = searcher.ask(1)[0].params
        x, y = params["x"], params["y"]
        bowl = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
        value = bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10
        if value < 0.397887 + target:
            return number + 1
        searcher.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(value,))], [])
    return num_trials + 10


@pytest.mark.parametrize(("method", "target"), [pytest.param("gp", 0.1, marks=pytest.mark.slow), ("tpe", 0.5)])
def test_a_right_belief_saves_trials_and_a_wrong_one_does_no_harm_that_lasts(method: str, target: float) -> None:
    seeds = range(6)
    without = sum(trials_to(method, target, seed, None) for seed in seeds)
    right = sum(trials_to(method, target, seed, {"x": 3.4, "y": 2.0}) for seed in seeds)
    wrong = [trials_to(method, target, seed, {"x": -4.5, "y": 1.0}, 60) for seed in seeds]
    assert right * 1.5 < without
    assert max(wrong) <= 60


def test_a_belief_is_written_as_a_knob() -> None:
    config = parse({"method": {"name": "bayes", "prior": SAID}, "parameters": {"kind": ["a", "b", "c"], "lr": {"min": 0.0, "max": 1.0},
                    "n": {"min": 1, "max": 20}}})  # fmt: skip
    assert config.method.knobs["prior"] == SAID
    assert parse(dump(config)) == config
    study = whet.create_study(
        space=config.problem.space, method={"name": "bayes", "prior": SAID}, storage="memory", seed=0
    )
    assert study.ask().params == {"kind": "b", "lr": 0.01, "n": 20}


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        ({"lrr": 0.1}, "no parameter of the space: did you mean 'lr'"),
        ({"lr": 7}, "lr=7 is outside"),
        ({"lr": {"value": 0.1, "confidence": "total"}}, "give one of low, medium, high"),
        ({"lr": {"value": 0.1, "confidence": ["low"]}}, "give one of low, medium, high"),
        ({"kind": "z"}, "not among 3 options"),
        ([0.1], "give good values by name"),
    ],
)
def test_a_belief_that_says_nothing_is_refused(prior: object, said: str) -> None:
    for method in ("gp", "tpe", "auto"):
        with pytest.raises(ConfigError, match=said):
            build("searcher", method, Problem(space=MIXED), knobs_given={"prior": prior}, seed=0)
    with pytest.raises(ConfigError, match="declare the space"):
        whet.create_study(method={"name": "tpe", "prior": {"lr": 0.1}}, storage="memory")


def test_several_metrics_take_a_belief() -> None:
    metrics = (Metric(name="a"), Metric(name="b"))
    searcher = build("searcher", "auto", Problem(space=MIXED, metrics=metrics), knobs_given={"prior": SAID}, seed=0)
    assert searcher.ask(1)[0].params["lr"] == pytest.approx(0.01)
