import math
import random

import pytest

from whet.errors import ConfigError, UnknownName
from whet.space import Space
from whet.stop.base import Verdict
from whet.stop.patience import Patience
from whet.trial import Goal, Metric, Phase, Problem, Report, Trial

ONE = Problem(space=Space(), metrics=(Metric(name="loss"),))
TWO = Problem(space=Space(), metrics=(Metric(name="loss"), Metric(name="size", goal=Goal.MAXIMIZE)))


def a_trial(number, *values, steps=None, complete=False):
    told = [v if isinstance(v, tuple) else (float(v),) for v in values]
    steps = steps or range(len(values))
    return Trial(
        number=number, params={}, reports=tuple(Report(step=s, values=v) for s, v in zip(steps, told, strict=True)),
        phase=Phase.FINISHED if complete else Phase.RUNNING, values=told[-1] if complete else None,
    )  # fmt: skip


def test_it_waits_and_then_stops():
    decide = Patience(ONE, patience_steps=3).decide
    assert decide(a_trial(0, 5, 4, 4.5, 4.5), []).reason == (
        "loss has improved at step 1, and patience lasts until step 4"
    )
    stopped = decide(a_trial(0, 5, 4, 4.5, 4.5, 4), [])
    assert stopped.verdict is Verdict.STOP
    assert stopped.reason == "loss has not improved since step 1, 3 steps ago (the best: 4)"
    assert decide(a_trial(0, 5, 4, 4.5, 4.5, 3.9), []).verdict is Verdict.CONTINUE
    assert decide(a_trial(0, 5, 4, 9, steps=[0, 100, 104]), []).verdict is Verdict.STOP  # steps, not reports


def test_a_gain_must_exceed_min_delta():
    creeping = [10 - 0.1 * i for i in range(9)]
    assert Patience(ONE, patience_steps=3).decide(a_trial(0, *creeping), []).verdict is Verdict.CONTINUE
    decide = Patience(ONE, patience_steps=3, min_delta=0.5).decide
    assert decide(a_trial(0, *creeping[:4]), []).verdict is Verdict.STOP  # 0.3 in three steps
    assert Patience(ONE, patience_steps=6, min_delta=0.5).decide(a_trial(0, *creeping), []).verdict is Verdict.CONTINUE


def test_nan_improves_nothing():
    decide = Patience(ONE, patience_steps=2).decide
    assert decide(a_trial(0, math.nan, math.nan), []).verdict is Verdict.CONTINUE
    stopped = decide(a_trial(0, math.nan, math.nan, math.nan), [])
    assert stopped.reason == "loss has not improved since step 0, 2 steps ago (the best: no number yet)"
    assert decide(a_trial(0, math.nan, math.nan, 5), []).verdict is Verdict.CONTINUE


def test_one_of_several_metrics_is_enough():
    decide = Patience(TWO, patience_steps=2).decide
    still = [(1.0, 1.0), (1.0, 1.0), (2.0, 1.0)]
    assert decide(a_trial(0, *still), []).reason.startswith("loss or size has not improved since step 0")
    assert decide(a_trial(0, *still[:2], (2.0, 1.5)), []).verdict is Verdict.CONTINUE


def test_a_wrapped_stopper_decides_only_once_patience_is_over():
    better = [a_trial(n, *[0] * 9, complete=True) for n in range(1, 4)]
    patient = Patience(ONE, patience_steps=2, stopper={"type": "asha", "eta": 2})
    assert patient.decide(a_trial(0, 9, 8, 7, 6), better).verdict is Verdict.CONTINUE  # bad, but it gets better
    stopped = patient.decide(a_trial(0, 9, 8, 8, 8), better)
    assert stopped.verdict is Verdict.STOP
    assert stopped.reason == (
        "loss has not improved since step 1, 2 steps ago (the best: 8), "
        "and loss 8 at step 3 is not among the best 2 of 4 that reached it"
    )
    assert patient.decide(a_trial(0, -1, -1, -1, -1), better).verdict is Verdict.CONTINUE  # still, but good
    bracketed = Patience(ONE, stopper={"type": "hyperband", "max_iter": 9, "s": 2, "brackets": 3})
    assert {bracketed.bracket(n) for n in range(30)} == {0, 1, 2}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("goal", Goal)
def test_decides_as_optuna_does_on_values_that_differ(goal):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng, stops = random.Random(goal.value), 0
    problem = Problem(space=Space(), metrics=(Metric(name="loss", goal=goal),))
    for _ in range(40):
        patience = rng.randrange(0, 5)
        pruner = optuna.pruners.PatientPruner(optuna.pruners.MedianPruner(1), patience)
        study, peers = optuna.create_study(direction=goal.value, pruner=pruner), []
        stopper = Patience(problem, patience_steps=patience + 1, stopper={"type": "median", "startup_trials": 1})
        for number in range(5):
            theirs, values = study.ask(), []
            for step in range(10):
                values.append(goal.loss(rng.random() - 0.03 * step))
                theirs.report(values[-1], step)
                decision = stopper.decide(a_trial(number, *values), peers)
                assert (decision.verdict is Verdict.STOP) == theirs.should_prune(), decision
                stops += decision.verdict is Verdict.STOP
            study.tell(theirs, values[-1])
            peers.append(a_trial(number, *values, complete=True))
    assert stops > 50


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"patience_steps": 0}, "patience has patience_steps=0, not a whole number of at least 1"),
        ({"min_delta": -1}, "patience has min_delta=-1, not a number at least 0"),
        ({"stopper": 3}, "patience has stopper=3, which names none: give a name such as asha, or a mapping"),
        ({"stopper": {"eta": 3}}, "which names none"),
        ({"stopper": {"type": "asha", "eta": 1}}, "asha has eta=1"),
    ],
)
def test_a_bad_knob_says_what_it_wants(knobs, message):
    with pytest.raises(ConfigError) as caught:
        Patience(ONE, **knobs)
    assert message in str(caught.value)


def test_an_unknown_stopper_or_knob_is_named():
    with pytest.raises(UnknownName, match="asha"):
        Patience(ONE, stopper="ascha")
    with pytest.raises(UnknownName, match="eta"):
        Patience(ONE, stopper={"type": "asha", "etha": 3})
