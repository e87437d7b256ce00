import math
import random

import pytest

from whet.errors import ConfigError, UnknownName
from whet.space import Space
from whet.stop.base import Verdict
from whet.stop.threshold import Threshold
from whet.trial import Goal, Metric, Problem, Report, Trial

ONE = Problem(space=Space(), metrics=(Metric(name="loss"),))
TWO = Problem(space=Space(), metrics=(Metric(name="loss"), Metric(name="size", goal=Goal.MAXIMIZE)))


def a_trial(*values, steps=None):
    steps = steps or range(len(values))
    told = [v if isinstance(v, tuple) else (v,) for v in values]
    return Trial(number=0, params={}, reports=tuple(Report(step=s, values=v) for s, v in zip(steps, told, strict=True)))


def test_bounds_are_the_metrics_own():
    stopper = Threshold(ONE, lower=0, upper=5)
    assert stopper.decide(a_trial(5.0), []).reason == "loss 5 at step 0 is within its bounds"
    assert stopper.decide(a_trial(1.0, 5.1), []).reason == "loss 5.1 at step 1 is above the upper bound of 5"
    assert stopper.decide(a_trial(-0.25), []).reason == "loss -0.25 at step 0 is below the lower bound of 0"
    nan = stopper.decide(a_trial(math.nan), [])
    assert nan.verdict is Verdict.STOP
    assert nan.reason == "loss is NaN at step 0, and a value that is no number is out of bounds"
    assert stopper.decide(a_trial(9.0, 1.0), []).verdict is Verdict.CONTINUE  # the last value counts


def test_each_metric_has_its_own():
    stopper = Threshold(TWO, lower={"size": 2}, upper={"loss": 1})
    assert stopper.decide(a_trial((0.5, 3.0)), []).verdict is Verdict.CONTINUE
    assert stopper.decide(a_trial((0.5, 1.0)), []).reason == "size 1 at step 0 is below the lower bound of 2"
    assert stopper.decide(a_trial((1.5, 3.0)), []).reason == "loss 1.5 at step 0 is above the upper bound of 1"
    assert stopper.decide(a_trial((0.5, math.nan)), []).reason.startswith("size is NaN or not reported at step 0")


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_decides_as_optuna_does(goal):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng, stops = random.Random(goal), 0
    problem = Problem(space=Space(), metrics=(Metric(name="loss", goal=Goal(goal)),))
    for _ in range(60):
        low, high = sorted((rng.uniform(-1, 1), rng.uniform(-1, 1)))
        knobs = [rng.choice([{"lower": low}, {"upper": high}, {"lower": low, "upper": high}])]
        warmup, interval = rng.randrange(0, 5), rng.randrange(1, 5)
        pruner = optuna.pruners.ThresholdPruner(**knobs[0], n_warmup_steps=warmup, interval_steps=interval)
        stopper = Threshold(problem, **knobs[0], warmup_steps=warmup, interval_steps=interval)
        theirs = optuna.create_study(direction=goal, pruner=pruner).ask()
        steps, values = sorted(rng.sample(range(20), 10)), []
        for i, step in enumerate(steps):
            values.append(rng.choice([rng.uniform(-1.2, 1.2), rng.uniform(-1.2, 1.2), low, math.nan, math.inf]))
            theirs.report(values[-1], step)
            decision = stopper.decide(a_trial(*values, steps=steps[: i + 1]), [])
            assert (decision.verdict is Verdict.STOP) == theirs.should_prune(), decision
            stops += decision.verdict is Verdict.STOP
    assert 100 < stops < 400


@pytest.mark.parametrize(
    ("problem", "knobs", "message"),
    [
        (ONE, {}, "threshold has neither lower nor upper: give at least one of them, such as upper: 5"),
        (ONE, {"lower": 2, "upper": 1}, "threshold has lower=2 above upper=1 for loss, so every trial would stop"),
        (ONE, {"upper": math.nan}, "threshold has upper=nan for loss, not a finite number: give upper a finite number"),
        (ONE, {"upper": "5"}, "threshold has upper='5' for loss, not a finite number"),
        (TWO, {"upper": 5}, "threshold has upper=5 for 2 metrics: say for which: upper: {loss: 5}"),
        (ONE, {"upper": 5, "warmup_steps": -1}, "threshold has warmup_steps=-1, not a whole number of at least 0"),
    ],
)
def test_a_bad_knob_says_what_it_wants(problem, knobs, message):
    with pytest.raises(ConfigError) as caught:
        Threshold(problem, **knobs)
    assert message in str(caught.value)


def test_a_bound_for_an_unknown_metric_names_the_known():
    with pytest.raises(UnknownName, match="size"):
        Threshold(TWO, upper={"sise": 3})
