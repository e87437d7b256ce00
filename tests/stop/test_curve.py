import math
from dataclasses import replace

import numpy as np
import pytest

from whet.errors import ConfigError
from whet.fronts import nondominated
from whet.space import Space
from whet.stop import _forecast
from whet.stop._forecast import MOST_POINTS, NUM_COMPONENTS, Forecast, joins
from whet.stop.base import Verdict
from whet.stop.curve import Curve
from whet.trial import Goal, Metric, Phase, Problem, Report, Trial

STEPS = 50


def a_problem(goal=Goal.MINIMIZE):
    return Problem(space=Space(), metrics=(Metric(name="loss", goal=goal),))


def a_trial(number, *values, first=1, complete=False):
    reports = tuple(Report(step=s, values=(float(v),)) for s, v in enumerate(values, first))
    return Trial(
        number=number, params={}, reports=reports, phase=Phase.FINISHED if complete else Phase.RUNNING,
        values=reports[-1].values if complete else None,
    )  # fmt: skip


def a_curve(rng, family, noise=0.02):
    t = np.arange(1, STEPS + 1)
    match family:
        case "power":
            shape = t ** -rng.uniform(0.2, 1.5)
        case "exponential":
            shape = np.exp(-rng.uniform(2, 20) * t / STEPS)
        case _:
            half = STEPS * np.exp(rng.uniform(np.log(0.03), np.log(0.5)))
            shape = 1 / (1 + (t / half) ** rng.uniform(0.7, 2.5))
    return rng.uniform(0, 1) + rng.uniform(0.3, 2) * shape / shape[0] + noise * rng.normal(size=STEPS)


@pytest.mark.parametrize("noise", [0.005, 0.02, 0.1])
@pytest.mark.parametrize("share", [0.2, 0.5])
@pytest.mark.parametrize("family", ["power", "exponential", "log power"])
def test_coverage_is_near_nominal(family, share, noise):
    """Of 150 curves drawn from the family, the last value lies in the central intervals about as often as they say."""
    rng, num = np.random.default_rng(7), 150
    tails = []
    for _ in range(num):
        curve = a_curve(rng, family, noise)
        seen = list(enumerate(curve[: int(share * STEPS)], 1))
        tails.append(abs(Forecast(seen, STEPS).below(curve[-1]) - 0.5) * 2)
    inside = {level: sum(tail <= level for tail in tails) / num for level in (0.8, 0.95)}
    assert inside[0.8] >= 0.65, inside
    assert inside[0.95] >= 0.85, inside
    if noise > 0.01:  # less noise than the least that is reckoned with makes wide intervals
        assert inside[0.8] <= 0.92, inside


def test_overall_coverage():
    rng, tails = np.random.default_rng(8), []
    for i in range(450):
        curve = a_curve(rng, ("power", "exponential", "log power")[i % 3], (0.01, 0.03, 0.1)[i // 3 % 3])
        seen = int(rng.uniform(0.15, 0.6) * STEPS)
        tails.append(abs(Forecast(list(enumerate(curve[:seen], 1)), STEPS).below(curve[-1]) - 0.5) * 2)
    inside = [np.mean(np.array(tails) <= level) for level in (0.5, 0.8, 0.95)]
    assert inside == pytest.approx([0.5, 0.8, 0.95], abs=0.07)


def test_the_weights_are_the_evidence():
    """Against the Gaussian marginal likelihood and predictive, written out with whole matrices."""
    from scipy.stats import multivariate_normal

    rng = np.random.default_rng(3)
    points = list(enumerate(a_curve(rng, "power")[:12], 1))
    forecast = Forecast(points, STEPS)
    step, value = np.array(points).T
    z = (value - value[-3:].mean()) / np.ptp(value)
    shapes = _forecast._shapes(step / STEPS)
    log_evidence, mean, deviation = [], [], []
    for g in shapes:
        for noise in _forecast._NOISES:
            for fall in _forecast._FALLS:
                design, prior = np.stack([np.ones(12), -g]).T, np.diag([1.0, fall**2])
                cov = design @ prior @ design.T + noise**2 * np.eye(12)
                log_evidence.append(multivariate_normal.logpdf(z, cov=cov))
                gain = prior @ design.T @ np.linalg.inv(cov)
                at = np.array([1.0, -1.0])
                mean.append(at @ gain @ z)
                deviation.append(np.sqrt(at @ (prior - gain @ design @ prior) @ at + noise**2))
            if len(log_evidence) > 500:
                break
        if len(log_evidence) > 500:
            break
    count = len(log_evidence)
    assert np.allclose(forecast._mean[:count], mean, rtol=1e-4)
    assert np.allclose(forecast._deviation[:count], deviation, rtol=1e-3)
    relative = np.log(forecast._weight[:count]) - log_evidence
    assert np.allclose(relative, relative[0], atol=1e-5)  # of one family the prior is even


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.05, 0.2])
def test_the_winner_is_stopped_at_most_as_often_as_the_level_says(level):
    """In 60 sweeps of 12 curves each, looked at after every report."""
    rng, lost, saved, total = np.random.default_rng(4), 0, 0, 0
    stopper = Curve(a_problem(), level=level)
    for _ in range(60):
        curves = [a_curve(rng, ("power", "exponential", "log power")[i % 3]) for i in range(12)]
        winner = min(range(12), key=lambda i: curves[i][-1])
        peers = []
        for i, curve in enumerate(curves):
            stopped = None
            if peers:
                for n in range(4, STEPS, 3):
                    if stopper.decide(a_trial(i, *curve[:n]), peers).verdict is Verdict.STOP:
                        stopped = n
                        break
            total += STEPS
            saved += STEPS - (stopped or STEPS)
            if stopped is None:
                peers = [min([*peers, a_trial(i, *curve, complete=True)], key=lambda t: t.values[0])]
            elif i == winner:
                lost += 1
    assert lost <= level * 60, lost
    assert saved > 0.3 * total, (saved, total)


def test_it_says_what_it_expects():
    t = np.arange(1, STEPS + 1)
    best = a_trial(4, *(0.2 + t**-1.0), complete=True)
    hopeless, hopeful = 0.8 + t**-1.0, 0.1 + t**-1.0
    stopper = Curve(a_problem())
    stopped = stopper.decide(a_trial(0, *hopeless[:20]), [best])
    assert stopped.verdict is Verdict.STOP
    assert stopped.reason.startswith("loss is expected to be 0.8")
    assert " after 50 steps and beats 0.22, the best, of trial 4, with probability " in stopped.reason
    assert stopped.reason.endswith(" < 0.05")
    assert stopper.decide(a_trial(0, *hopeful[:20]), [best]).verdict is Verdict.CONTINUE
    flat = stopper.decide(a_trial(0, *[2.3] * 10), [best])  # it learns nothing at all
    assert flat.verdict is Verdict.STOP


def test_when_it_does_not_predict():
    best = a_trial(1, *np.linspace(2, 1, 20), complete=True)
    stopper = Curve(a_problem(), warmup_steps=3, startup_trials=2)
    reasons = [
        stopper.decide(a_trial(0, 9, 9), [best]).reason,
        stopper.decide(a_trial(0, 9, 9, math.nan, 9), [best]).reason,
        stopper.decide(a_trial(0, 9, 9, 9, 9), [best]).reason,
        stopper.decide(a_trial(0, *[9] * 20), [best, best]).reason,
        Curve(a_problem()).decide(a_trial(0, *[9] * 4), [a_trial(1, *[math.inf] * 9, complete=True)]).reason,
    ]
    assert reasons == [
        "step 2 is within the warm-up of 3 steps",
        "3 of the 4 reports to start with are there",
        "1 of the 2 trials to start with are complete",
        "step 20 completes the horizon of 20 steps",
        "the best complete trial, 1, has no finite loss to beat",
    ]
    nan = Curve(a_problem()).decide(a_trial(0, *[math.nan] * 4), [best])
    assert nan.verdict is Verdict.STOP
    beyond = Curve(a_problem(), max_steps=100).decide(a_trial(0, *[9] * 20), [best])
    assert "after 100 steps" in beyond.reason


def test_the_first_step_may_be_zero():
    curve = np.arange(1, 21) ** -1.0
    best = a_trial(1, *(0.1 * curve), complete=True)
    decisions = [Curve(a_problem(), max_steps=40).decide(a_trial(0, *curve, first=f), [best]) for f in (0, 1)]
    assert decisions[0] == decisions[1]


def test_a_decision_costs_the_same_however_long_the_curve():
    rng = np.random.default_rng(0)
    sizes = []
    for length in (MOST_POINTS, 1000, 50_000):
        points = list(enumerate(rng.random(length), 1))
        sizes.append(Forecast(points, 100_000).num_evaluations)
    assert sizes == [320 * MOST_POINTS] * 3
    assert NUM_COMPONENTS < 6000


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"level": 0.6}, "curve has level=0.6, not a number from 1e-06 to 0.5"),
        ({"max_steps": 1}, "curve has max_steps=1, not a whole number of at least 2"),
        ({"min_reports": 2}, "curve has min_reports=2, not a whole number of at least 3"),
        ({"startup_trials": 0}, "curve has startup_trials=0, not a whole number of at least 1"),
    ],
)
def test_a_bad_knob_says_what_it_wants(knobs, message):
    with pytest.raises(ConfigError) as caught:
        Curve(a_problem(), **knobs)
    assert message in str(caught.value)


class Normal:
    """A forecast in one piece, whose probabilities are known."""

    def __init__(self, mean, deviation):
        self.mean, self.deviation = mean, deviation

    def below(self, value):
        return 0.5 * math.erfc((self.mean - value) / self.deviation / math.sqrt(2))


@pytest.mark.parametrize("num_metrics", [2, 3, 4])
def test_the_chance_to_join_a_front_is_the_share_of_draws_that_nothing_dominates(num_metrics):
    rng = np.random.default_rng(num_metrics)
    for _ in range(5):
        front = rng.normal(size=(12, num_metrics))
        front = front[nondominated(front)]
        mean, deviation = rng.normal(size=num_metrics), rng.uniform(0.2, 1, num_metrics)
        draws = mean + deviation * rng.normal(size=(40_000, num_metrics))
        free = ~(front[None, :, :] <= draws[:, None, :]).all(axis=2).any(axis=1)
        assert joins([Normal(*one) for one in zip(mean, deviation, strict=True)], front) == pytest.approx(
            free.mean(), abs=0.01
        )


def test_of_a_great_front_the_chance_is_not_too_small():
    angle = np.linspace(0, np.pi / 2, 500)
    front = 1 - np.stack([np.cos(angle), np.sin(angle)], axis=1)
    on_it = [Normal(1 - math.sqrt(0.5), 0.05), Normal(1 - math.sqrt(0.5), 0.05)]
    assert 0.45 < joins(on_it, front) < 0.65  # of a straight front it would be 0.5
    assert joins([Normal(0.8, 0.01), Normal(0.8, 0.01)], front) < 1e-6


TWO = Problem(space=Space(), metrics=(Metric(name="loss"), Metric(name="accuracy", goal=Goal.MAXIMIZE)))


def of_two(number, losses, accuracies, **how):
    trial = a_trial(number, *losses, **how)
    reports = tuple(replace(r, values=(r.values[0], float(a))) for r, a in zip(trial.reports, accuracies, strict=True))
    return replace(trial, reports=reports, values=reports[-1].values if trial.values else None)


def test_with_several_metrics_what_will_not_be_on_the_front_stops():
    t = np.arange(1, STEPS + 1)
    peers = [
        of_two(1, 0.2 + t**-1.0, [0.5] * STEPS, complete=True),
        of_two(2, 0.6 + t**-1.0, [0.9] * STEPS, complete=True),
    ]
    stopper = Curve(TWO)
    behind = stopper.decide(of_two(3, (0.9 + t**-1.0)[:20], [0.8] * 20), peers)
    assert behind.verdict is Verdict.STOP
    assert behind.reason.startswith("loss is expected to be 0.9")
    assert ", accuracy is expected to be 0.8 ± " in behind.reason
    assert " after 50 steps and is on the front, now of 2, with probability " in behind.reason
    assert behind.reason.endswith(" < 0.05")
    # The best in one metric, and what lies between the two, join; so does one that is worse than the second in loss, and better than it in accuracy.
    for loss, accuracy in ((0.0, 0.1), (0.4, 0.7), (0.9, 0.95)):
        assert stopper.decide(of_two(3, (loss + t**-1.0)[:20], [accuracy] * 20), peers).verdict is Verdict.CONTINUE
    nan = stopper.decide(of_two(3, [0.1] * 4, [math.nan] * 4), peers)
    assert nan.verdict is Verdict.STOP
    assert "loss and accuracy: no finite number in all of 4 reports" in nan.reason


def test_huge_metrics_do_not_overflow():
    t = np.arange(1, STEPS + 1)
    peers = [of_two(n, 1e308 * (1 - 0.1 * n) / t, [(-1) ** n * 1e308] * STEPS, complete=True) for n in range(3)]
    decision = Curve(TWO).decide(of_two(9, (-1e308 / t)[:9], [1e308] * 9), peers)
    assert math.isfinite(float(decision.reason.split()[-1])), decision
