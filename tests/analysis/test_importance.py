import math
import random

import pytest

from whet.analysis.importance import importance
from whet.errors import StudyError, UnknownName
from whet.space import Choice, Float, Int, Space
from whet.trial import Goal, Metric, Phase, Problem, Trial


def sampled(space, objective, count, seed=0):
    rng = random.Random(seed)
    draws = [space.sample(rng) for _ in range(count)]
    return [Trial(number=n, params=p, phase=Phase.FINISHED, values=(float(objective(p)),)) for n, p in enumerate(draws)]


CUBE = Space({"x2": Float(0, 1), "x1": Float(0, 1), "x0": Float(0, 1)})
MIXED = Space(
    {
        "lr": Float(1e-5, 1, log=True),
        "opt": Choice(["sgd", "adam", "rms"]),
        "momentum": Float(0, 1, when="opt == 'sgd'"),
        "width": Int(1, 1000, log=True),
        "depth": Int(1, 5),
        "seed": Choice([0]),
    }
)


def mixed(p):
    return (math.log10(p["lr"]) + 3) ** 2 + 2 * (p["opt"] == "rms") + 2 * p.get("momentum", 0.5)


def test_a_linear_function_ranks_its_parameters_by_weight():
    trials = sampled(CUBE, lambda p: 10 * p["x0"] + 4 * p["x1"], 400)
    shares = importance(Problem(space=CUBE), trials)
    assert list(shares) == ["x0", "x1", "x2"]
    assert shares["x0"] > 0.6
    assert shares["x1"] > 0.1
    assert shares["x2"] < 0.03
    assert math.fsum(shares.values()) == pytest.approx(1)


def test_it_is_local_to_the_best():
    """Far from the optimum only x0 matters, near it (where its terms are clipped away) only x1."""
    trials = sampled(CUBE, lambda p: 100 * max(p["x0"] - 0.5, 0) + p["x1"], 1_000)
    assert next(iter(importance(Problem(space=CUBE), trials, quantile=0.6))) == "x0"
    assert next(iter(importance(Problem(space=CUBE), trials, quantile=0.05))) == "x1"


def test_the_goal_and_the_order_of_trials():
    trials = sampled(CUBE, lambda p: p["x0"] ** 2 + 0.1 * p["x2"], 60)
    flipped = [Trial(number=t.number, params=t.params, phase=t.phase, values=(-t.values[0],)) for t in reversed(trials)]
    up = Problem(space=CUBE, metrics=(Metric(name="accuracy", goal=Goal.MAXIMIZE),))
    assert importance(up, flipped) == importance(Problem(space=CUBE), trials)


@pytest.mark.parametrize(("space", "objective"), [(CUBE, lambda p: 10 * p["x0"] + 4 * p["x1"]), (MIXED, mixed)])
def test_agrees_with_optuna(space, objective):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    known = {
        "lr": optuna.distributions.FloatDistribution(1e-5, 1, log=True),
        "opt": optuna.distributions.CategoricalDistribution(["sgd", "adam", "rms"]),
        "width": optuna.distributions.IntDistribution(1, 1000, log=True),
        "depth": optuna.distributions.IntDistribution(1, 5),
        "seed": optuna.distributions.CategoricalDistribution([0]),
    }
    trials, study = sampled(space, objective, 500), optuna.create_study()
    for t in trials:
        kinds = {name: known.get(name, optuna.distributions.FloatDistribution(0, 1)) for name in t.params}
        study.add_trial(optuna.trial.create_trial(params=dict(t.params), distributions=kinds, value=t.values[0]))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    theirs = optuna.importance.get_param_importances(study, evaluator=evaluator)
    ours = importance(Problem(space=space), trials)
    real = [name for name, share in theirs.items() if share > 0.03]
    assert [name for name in ours if name in real] == real
    assert sum(ours[name] for name in real) > 0.9
    assert ours == pytest.approx(theirs, abs=0.12)  # Optuna smooths choices more


def test_a_conditional_parameter_counts_where_it_is_active():
    """The branch decides everything: what it brings along gets nothing, though it is only ever active among the best."""
    space = Space({"branch": Choice(["good", "bad"]), "inner": Float(0, 1, when="branch == 'good'")})
    shares = importance(Problem(space=space), sampled(space, lambda p: p["branch"] == "bad", 200))
    assert shares == pytest.approx({"branch": 1, "inner": 0}, abs=1e-6)
    shares = importance(Problem(space=space), sampled(space, lambda p: p.get("inner", 0.5), 200))
    assert next(iter(shares)) == "inner"


def test_nothing_to_tell_is_shared_equally():
    space = Space({**CUBE, "fixed": Choice(["a"])})
    shares = importance(Problem(space=space), sampled(space, lambda p: 7.0, 20))
    assert shares == pytest.approx({"x0": 1 / 3, "x1": 1 / 3, "x2": 1 / 3, "fixed": 0})
    assert importance(Problem(space=space), sampled(space, lambda p: p["x0"], 100))["fixed"] == 0


@pytest.mark.parametrize("count", range(4, 12))
def test_few_trials_infinities_and_strays_are_no_trouble(count):
    trials = sampled(MIXED, mixed, count, seed=count)
    stray = trials[0].params | {"opt": "gone", "lr": 50.0}
    trials[0] = Trial(number=0, params=stray, phase=Phase.FINISHED, values=(math.inf,))
    trials.append(Trial(number=99, params={}, phase=Phase.FAILED))
    shares = importance(Problem(space=MIXED), trials)
    assert set(shares) == set(MIXED)
    assert all(share >= 0 for share in shares.values())
    assert math.fsum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_what_it_refuses():
    problem = Problem(space=CUBE)
    same = sampled(CUBE, lambda p: 1, 1) * 9
    with pytest.raises(StudyError) as caught:
        importance(problem, [*same, Trial(number=3, params={"x0": 0.1}), *sampled(CUBE, lambda p: math.nan, 9)])
    assert str(caught.value) == "importance needs 4 different complete trials, and there are 1: run more trials"
    several = Problem(space=CUBE, metrics=(Metric(name="loss"), Metric(name="size")))
    trials = [Trial(number=t.number, params=t.params, phase=t.phase, values=(t.params["x0"], t.params["x1"]))
              for t in sampled(CUBE, lambda p: 0, 200)]  # fmt: skip
    assert next(iter(importance(several, trials, metric="size"))) == "x1"
    with pytest.raises(StudyError, match="one metric, not 2"):
        importance(several, trials)
    with pytest.raises(UnknownName, match="did you mean 'size'"):
        importance(several, trials, metric="sise")
    with pytest.raises(StudyError, match=r"quantile=1.5 is not between 0 and 1"):
        importance(problem, trials, quantile=1.5)
