import math
import random
import warnings

import pytest
from scipy.stats import wilcoxon

from whet.errors import ConfigError
from whet.space import Space
from whet.stop.base import Verdict
from whet.stop.wilcoxon import Wilcoxon
from whet.trial import Goal, Metric, Phase, Problem, Report, Trial


def a_problem(goal=Goal.MINIMIZE):
    return Problem(space=Space(), metrics=(Metric(name="error", goal=goal),))


def a_trial(number, *values, steps=None, result=None):
    steps = steps or range(len(values))
    return Trial(
        number=number, params={}, phase=Phase.RUNNING if result is None else Phase.FINISHED,
        values=None if result is None else (float(result),),
        reports=tuple(Report(step=s, values=(float(v),)) for s, v in zip(steps, values, strict=True)),
    )  # fmt: skip


BEST = a_trial(1, 1.0, 0.8, 1.2, 0.9, result=0.975)


def test_p_is_that_of_the_signed_rank_test():
    decision = Wilcoxon(a_problem()).decide(a_trial(0, 1.5, 1.4, 1.3, 1.2), [BEST])
    assert decision.verdict is Verdict.STOP
    assert decision.reason == (
        "error is worse than that of trial 1, the best, on 4 common steps: p = 0.0625 < 0.1"
    )  # four of four: 1 / 2⁴
    mixed = [1.5, 0.7, 1.3, 1.2]
    differences = [a - b.values[0] for a, b in zip(mixed, BEST.reports, strict=True)]
    p = wilcoxon(differences, alternative="greater", zero_method="zsplit").pvalue
    said = Wilcoxon(a_problem()).decide(a_trial(0, *mixed), [BEST])
    assert said.reason.endswith(
        f"not significantly worse than that of trial 1, the best, on 4 common steps: p = {p:.4g}"
    )


def test_only_the_best_and_only_common_steps_count():
    other = a_trial(2, 9, 9, 9, 9, result=9)
    stopper = Wilcoxon(a_problem())
    assert stopper.decide(a_trial(0, 2, 2, 2, 2), [other, BEST]).verdict is Verdict.STOP
    assert stopper.decide(a_trial(0, 2, 2, 2, 2), [other]).verdict is Verdict.CONTINUE
    assert stopper.decide(a_trial(0, 2, 2, 2, 2), []).reason == (
        "no trial is complete yet, so there is no best one to compare with"
    )
    assert stopper.decide(a_trial(0, 2, 2, 2, steps=[3, 7, 8]), [BEST]).reason == (
        "1 of the 2 steps to start with are shared with trial 1"
    )
    late = Wilcoxon(a_problem(), startup_steps=5)
    assert late.decide(a_trial(0, 2, 2, 2, 2), [BEST]).verdict is Verdict.CONTINUE


def test_a_better_mean_goes_on_whatever_the_test_says():
    best = a_trial(1, *[1.0] * 6, 10.0, result=1.0)  # its mean, 2.3, is worse than its result
    decision = Wilcoxon(a_problem()).decide(a_trial(0, *[1.1] * 6), [best])
    assert decision.verdict is Verdict.CONTINUE
    assert "but its mean 1.1 is no worse than 2.286" in decision.reason


def test_nan_and_infinity():
    stopper = Wilcoxon(a_problem())
    nan = stopper.decide(a_trial(0, 1.0, math.nan, 1.0), [BEST])
    assert nan.reason == "error is NaN at step 1, and a trial without a number never goes on"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert stopper.decide(a_trial(0, *[math.inf] * 4), [BEST]).verdict is Verdict.STOP
        assert stopper.decide(a_trial(0, *[-math.inf] * 4), [BEST]).verdict is Verdict.CONTINUE
        hollow = a_trial(1, math.nan, 0.8, math.inf, 0.9, result=0.9)
        assert stopper.decide(a_trial(0, 9, 9, math.inf, 9), [hollow]).verdict is Verdict.CONTINUE


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("goal", Goal)
def test_decides_as_optuna_does(goal):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng, stops, checks = random.Random(goal.value), 0, 0
    for _ in range(20):
        p, startup = rng.choice([0.05, 0.1, 0.3]), rng.randrange(0, 5)
        pruner = optuna.pruners.WilcoxonPruner(p_threshold=p, n_startup_steps=startup)
        stopper = Wilcoxon(a_problem(goal), p_threshold=p, startup_steps=startup)
        study, peers = optuna.create_study(direction=goal.value, pruner=pruner), []
        tied = rng.choice([0, 0, 0, 0.2])  # of ties SciPy enumerates the signs, which takes long
        difficulty = [rng.random() for _ in range(10)]
        for number in range(6):
            theirs, level, values = study.ask(), rng.random(), []
            order = rng.sample(range(10), 10)
            for i, fold in enumerate(order):
                values.append(goal.loss(difficulty[fold] + level + rng.random() * (rng.random() > tied)))
                theirs.report(values[-1], fold)
                steps, told = zip(*sorted(zip(order[: i + 1], values, strict=True)), strict=True)
                decision = stopper.decide(a_trial(number, *told, steps=steps), peers)
                assert (decision.verdict is Verdict.STOP) == theirs.should_prune(), decision
                stops += decision.verdict is Verdict.STOP
                checks += 1
            result = sum(values) / 10
            study.tell(theirs, result)
            by_fold = [v for _, v in sorted(zip(order, values, strict=True))]
            peers.insert(0, a_trial(number, *by_fold, result=result))
    assert checks == 1200
    assert stops > 80


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"p_threshold": 1.5}, "wilcoxon has p_threshold=1.5, not a number from 0 to 1"),
        ({"startup_steps": -1}, "wilcoxon has startup_steps=-1, not a whole number of at least 0"),
    ],
)
def test_a_bad_knob_says_what_it_wants(knobs, message):
    with pytest.raises(ConfigError) as caught:
        Wilcoxon(a_problem(), **knobs)
    assert message in str(caught.value)
