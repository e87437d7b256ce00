"""fANOVA and the response curves, against functions whose shares and marginals are known in closed form, and against Optuna's."""

import math
import random

import pytest

from whet.analysis.fanova import fanova
from whet.analysis.response import contour, response
from whet.analysis.surface import surface
from whet.errors import StudyError, UnknownName
from whet.space import Choice, Float, Int, Space
from whet.trial import Goal, Metric, Phase, Problem, Trial


def sampled(space, objective, count, seed=0):
    rng = random.Random(seed)
    draws = [space.sample(rng) for _ in range(count)]
    return [Trial(number=n, params=p, phase=Phase.FINISHED, values=(float(objective(p)),)) for n, p in enumerate(draws)]


CUBE = Problem(space=Space({f"x{i}": Float(0, 1) for i in range(4)}))
BRANCHED = Problem(
    space=Space(
        {
            "opt": Choice(["sgd", "adam", "rms"]),
            "momentum": Float(0, 1, when="opt == 'sgd'"),
            "lr": Float(1e-5, 1, log=True),
            "seed": Choice([0]),
        }
    )
)


def test_an_additive_function_has_the_shares_of_its_terms():
    """Var(a·x) = a²/12 for uniform x: the shares are 9, 4, 1 and 0 of 14."""
    found = fanova(CUBE, sampled(CUBE.space, lambda p: 3 * p["x0"] + 2 * p["x1"] + p["x2"], 600))
    truth = {"x0": 9 / 14, "x1": 4 / 14, "x2": 1 / 14, "x3": 0.0}
    assert list(found.main) == list(truth)
    assert found.main == pytest.approx(truth, abs=0.035)
    assert sum(found.pairs.values()) < 0.02
    assert found.explained is not None
    assert found.explained > 0.95
    assert found.num_trials == 600


def test_a_pure_interaction_is_the_pairs():
    """f = (x0 - ½)(x1 - ½) + x2/10: both main effects are 0, the pair has (1/12)², x2 has (1/10)²/12."""
    found = fanova(CUBE, sampled(CUBE.space, lambda p: (p["x0"] - 0.5) * (p["x1"] - 0.5) + 0.1 * p["x2"], 1_000))
    total = 1 / 144 + 0.01 / 12
    assert next(iter(found.pairs)) in {("x0", "x1"), ("x1", "x0")}
    assert next(iter(found.pairs.values())) == pytest.approx(1 / 144 / total, abs=0.1)
    assert found.main["x2"] == pytest.approx(0.01 / 12 / total, abs=0.05)
    assert max(found.main["x0"], found.main["x1"]) < 0.02
    assert found.rest < 0.1


def test_a_conditional_parameter_is_judged_where_it_is_active():
    """Within sgd (a third) 2·momentum, mean 1; adam 1, rms 1.5: P(sgd)·4/12 for momentum, ¼·2/9 for the choice."""

    def objective(p):
        return {"sgd": 2 * p.get("momentum", 0), "adam": 1.0, "rms": 1.5}[p["opt"]]

    found = fanova(BRANCHED, sampled(BRANCHED.space, objective, 1_000))
    momentum, opt = 1 / 3 * 4 / 12, 0.25 * 2 / 9
    truth = {"momentum": momentum / (momentum + opt), "opt": opt / (momentum + opt), "lr": 0.0, "seed": 0.0}
    assert found.main == pytest.approx(truth, abs=0.06)
    assert max(found.pairs.values()) < 0.02  # that momentum acts in one branch only is no interaction


def test_that_a_branch_is_better_is_credited_to_the_choice():
    found = fanova(BRANCHED, sampled(BRANCHED.space, lambda p: float(p["opt"] == "sgd"), 200))
    assert found.main["opt"] > 0.97
    assert found.main["momentum"] == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_agrees_with_optuna():
    optuna = pytest.importorskip("optuna")
    pytest.importorskip("sklearn")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = Space(
        {"lr": Float(1e-5, 1, log=True), "opt": Choice(["sgd", "adam", "rms"]), "width": Int(1, 200), "x": Float(0, 1)}
    )

    def objective(p):
        return (math.log10(p["lr"]) + 3) ** 2 + 2 * (p["opt"] == "rms") + 0.01 * p["width"]

    trials, study = sampled(space, objective, 400), optuna.create_study()
    known = {
        "lr": optuna.distributions.FloatDistribution(1e-5, 1, log=True),
        "opt": optuna.distributions.CategoricalDistribution(["sgd", "adam", "rms"]),
        "width": optuna.distributions.IntDistribution(1, 200),
        "x": optuna.distributions.FloatDistribution(0, 1),
    }
    for t in trials:
        study.add_trial(optuna.trial.create_trial(params=dict(t.params), distributions=known, value=t.values[0]))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    theirs = optuna.importance.get_param_importances(study, evaluator=evaluator)
    ours = fanova(Problem(space=space), trials).main
    total = sum(ours.values())
    assert [n for n in ours if ours[n] > 0.01] == [n for n in theirs if theirs[n] > 0.01]
    assert {name: share / total for name, share in ours.items()} == pytest.approx(theirs, abs=0.06)


def test_the_order_of_trials_and_the_goal_change_nothing():
    trials = sampled(CUBE.space, lambda p: p["x0"] ** 2, 60)
    up = Problem(space=CUBE.space, metrics=(Metric(name="accuracy", goal=Goal.MAXIMIZE),))
    assert fanova(CUBE, trials) == fanova(CUBE, reversed(trials))
    assert fanova(up, trials).main == fanova(CUBE, trials).main


def test_a_large_offset_costs_no_digits():
    trials = sampled(CUBE.space, lambda p: 1e9 + p["x0"], 200)
    assert fanova(CUBE, trials).main["x0"] > 0.95


def test_noise_is_not_explained():
    noise = random.Random(1)
    found = fanova(CUBE, sampled(CUBE.space, lambda p: noise.gauss(0, 1), 200))
    assert found.explained is not None
    assert found.explained < 0.1


def test_results_that_say_nothing():
    constant = fanova(CUBE, sampled(CUBE.space, lambda p: 2.0, 30))
    assert set(constant.main.values()) == {0.0}
    assert (constant.pairs, constant.explained) == ({}, None)
    with pytest.raises(StudyError, match="a forest needs 8 different complete trials, and there are 7"):
        fanova(CUBE, sampled(CUBE.space, lambda p: p["x0"], 7))
    same = [Trial(number=n, params={"x0": 0.5}, phase=Phase.FINISHED, values=(float(n),)) for n in range(20)]
    with pytest.raises(StudyError, match="there is 1"):
        fanova(CUBE, same)


@pytest.mark.parametrize("bad", [math.inf, -math.inf])
def test_infinite_results_count_as_the_outermost_finite_one(bad):
    trials = sampled(CUBE.space, lambda p: p["x0"], 100)
    edge = (max if bad > 0 else min)(t.values[0] for t in trials)
    broken = [Trial(number=100, params=trials[0].params, phase=Phase.FINISHED, values=(bad,))]
    clipped = [Trial(number=100, params=trials[0].params, phase=Phase.FINISHED, values=(edge,))]
    assert fanova(CUBE, trials + broken) == fanova(CUBE, trials + clipped)


def test_trials_that_do_not_fit_the_space_and_choices_of_many_options():
    space = Space({"token": Choice([f"t{i}" for i in range(5_000)]), "x": Float(0, 1), "flag": Choice([True, 1, "1"])})
    trials = sampled(space, lambda p: p["x"] + (p["flag"] is True), 150)
    trials.append(Trial(number=150, params={"x": "wide", "gone": 3}, phase=Phase.FINISHED, values=(0.5,)))
    found = fanova(Problem(space=space), trials)
    assert list(found.main)[:2] == ["flag", "x"]


def test_several_metrics_want_a_name():
    both = Problem(space=CUBE.space, metrics=(Metric(name="loss"), Metric(name="size")))
    trials = [
        Trial(number=t.number, params=t.params, phase=t.phase, values=(t.params["x0"], t.params["x1"]))
        for t in sampled(CUBE.space, lambda p: 0.0, 60)
    ]
    assert next(iter(fanova(both, trials, metric="size").main)) == "x1"
    with pytest.raises(StudyError):
        fanova(both, trials)
    with pytest.raises(UnknownName):
        fanova(both, trials, metric="sise")


# -- response -------------------------------------------------------------------------------------------------------------


def test_the_response_is_the_marginal():
    """E over x1, x2 of 3·x0 + 2·x1 + x2 is 3·x0 + 1.5."""
    fitted = surface(CUBE, sampled(CUBE.space, lambda p: 3 * p["x0"] + 2 * p["x1"] + p["x2"], 600))
    found = response(fitted, "x0")
    inner = [(x, y) for x, y in zip(found.values, found.mean, strict=True) if 0.1 < x < 0.9]
    assert all(abs(y - (3 * x + 1.5)) < 0.25 for x, y in inner)
    assert len(found.values) == len(found.mean) == len(found.spread) > 20
    assert all(s > 0 for s in found.spread)


def test_what_was_seldom_tried_is_less_sure():
    trials = sampled(CUBE.space, lambda p: math.sin(6 * p["x0"]) + p["x1"], 400)
    crowded = [t for t in trials if t.params["x0"] < 0.5 or t.number % 20 == 0]
    found = response(surface(CUBE, crowded), "x0")
    left = [s for x, s in zip(found.values, found.spread, strict=True) if x < 0.45]
    right = [s for x, s in zip(found.values, found.spread, strict=True) if x > 0.55]
    assert sum(right) / len(right) > 1.5 * sum(left) / len(left)


def test_the_response_of_a_choice_and_of_a_condition():
    def objective(p):
        return {"sgd": 2 * p.get("momentum", 0), "adam": 1.0, "rms": 1.5}[p["opt"]]

    fitted = surface(BRANCHED, sampled(BRANCHED.space, objective, 600))
    options = response(fitted, "opt")
    assert options.values == ("sgd", "adam", "rms")
    assert options.mean == pytest.approx((1.0, 1.0, 1.5), abs=0.08)
    along = response(fitted, "momentum")
    assert all(abs(y - 2 * x) < 0.25 for x, y in zip(along.values, along.mean, strict=True))


def test_the_contour_is_the_marginal_of_two():
    fitted = surface(CUBE, sampled(CUBE.space, lambda p: 4 * (p["x0"] - 0.5) * (p["x1"] - 0.5), 1_000))
    found = contour(fitted, "x0", "x1")
    truth = [[4 * (a - 0.5) * (b - 0.5) for b in found.second_values] for a in found.first_values]
    errors = [abs(a - b) for row, true in zip(found.mean, truth, strict=True) for a, b in zip(row, true, strict=True)]
    assert sum(errors) / len(errors) < 0.1


def test_what_has_no_response_says_why():
    fitted = surface(BRANCHED, sampled(BRANCHED.space, lambda p: p["lr"], 50))
    with pytest.raises(UnknownName, match="momentun"):
        response(fitted, "momentun")
    with pytest.raises(StudyError, match="seed has had but one value"):
        response(fitted, "seed")
    with pytest.raises(StudyError, match="named twice"):
        contour(fitted, "lr", "lr")
    constant = surface(BRANCHED, sampled(BRANCHED.space, lambda p: 1.0, 50))
    with pytest.raises(StudyError, match="all results of value are equal"):
        response(constant, "lr")
    apart = Problem(
        space=Space({"m": Choice(["a", "b"]), "x": Float(0, 1, when="m == 'a'"), "y": Float(0, 1, when="m == 'b'")})
    )
    fitted = surface(apart, sampled(apart.space, lambda p: p.get("x", 0) + p.get("y", 0), 60))
    with pytest.raises(StudyError, match="x and y are never active together"):
        contour(fitted, "x", "y")
