import math
import random

import pytest

from whet.errors import ConfigError
from whet.space import Float, Space
from whet.stop._rungs import ladder, ladder_down
from whet.stop.asha import ASHA
from whet.stop.base import Verdict
from whet.trial import Goal, Metric, Problem, Report, Trial


def a_problem(goal=Goal.MINIMIZE):
    return Problem(space=Space({"x": Float(0, 1)}), metrics=(Metric(name="val_loss", goal=goal),))


def a_trial(number, *values, first=1, steps=None):
    steps = steps or range(first, first + len(values))
    return Trial(
        number=number,
        params={},
        reports=tuple(Report(step=s, values=(float(v),)) for s, v in zip(steps, values, strict=True)),
    )


def test_ladders():
    assert ladder(1, 3, 81) == [1, 3, 9, 27, 81]
    assert ladder(3, 3, 80) == [3, 9, 27]
    assert ladder(1, 2.5, 15) == [1, 2, 6, 15]
    assert ladder(5, 2, 4) == []
    assert ladder_down(27, 3, 2) == [3, 9]
    assert ladder_down(5, 2, 2) == [1, 2]
    assert ladder_down(9, 3, 7) == [1, 3]
    assert ladder_down(2, 3, 1) == []


def test_the_top_third_goes_on():
    peers = [a_trial(n, 9, 9, n) for n in range(1, 9)]  # eight of them on the rung 3, at 1 … 8
    decide = ASHA(a_problem(), min_steps=3).decide
    stopped = decide(a_trial(0, 0, 0, 3.52131), peers)
    assert stopped.verdict is Verdict.STOP
    assert stopped.reason == "val_loss 3.521 at step 3 is not among the best 3 of 9 that reached it"
    assert (
        decide(a_trial(0, 9, 9, 2.5), peers).reason == "val_loss 2.5 at step 3 is among the best 3 of 9 that reached it"
    )
    assert decide(a_trial(0, 9, 9, 3), peers).verdict is Verdict.CONTINUE  # a tie for the third place
    assert decide(a_trial(0, 9, 99), peers).verdict is Verdict.CONTINUE  # before the rung


def test_the_first_goes_on_unless_it_is_nan():
    decide = ASHA(a_problem()).decide
    assert decide(a_trial(0, 1e9), []).reason == "val_loss 1e+09 is the first to reach step 1"
    assert decide(a_trial(0, 1e9), [a_trial(1)]).verdict is Verdict.CONTINUE
    for peers in ([], [a_trial(1, math.nan)]):
        decision = decide(a_trial(0, math.nan), peers)
        assert decision.verdict is Verdict.STOP
        assert decision.reason == "val_loss is NaN at step 1, and a trial without a number never goes on"
    assert decide(a_trial(0, 1e9), [a_trial(1, math.nan), a_trial(2, math.nan)]).verdict is Verdict.CONTINUE


def test_steps_count_from_one_whether_the_first_is_zero_or_one():
    stopper = ASHA(a_problem(), min_steps=3)
    for mine in (0, 1):
        for theirs in (0, 1):
            peers = [a_trial(1, 0, 0, 0, first=theirs), a_trial(2, 0, 0, first=theirs)]  # the second is before the rung
            assert stopper.decide(a_trial(0, 5, 5, first=mine), peers).verdict is Verdict.CONTINUE
            decision = stopper.decide(a_trial(0, 5, 5, 5, first=mine), peers)
            assert decision.verdict is Verdict.STOP
            assert decision.reason == f"val_loss 5 at step {2 + mine} is not among the best 1 of 2 that reached it"


def test_a_sparse_trial_reaches_a_rung_with_its_first_report_after_it():
    stopper = ASHA(a_problem(), min_steps=100)
    peers = [a_trial(1, 1, 2, steps=[90, 110]), a_trial(2, 0, steps=[99])]
    assert stopper.decide(a_trial(0, 1.5, steps=[100]), peers).verdict is Verdict.CONTINUE  # against the 2 at step 110
    assert stopper.decide(a_trial(0, 1.5, 2.5, steps=[50, 120]), peers).verdict is Verdict.STOP


def test_a_trial_that_was_overtaken_ends_between_rungs_unless_it_has_improved():
    stopper = ASHA(a_problem(), min_steps=1, eta=2)
    better = [a_trial(n, 1, 1, 1, 1) for n in (1, 2, 3)]
    assert stopper.decide(a_trial(0, 5, 5, 5, 5), []).verdict is Verdict.CONTINUE
    assert stopper.decide(a_trial(0, 5, 5, 5, 5, 4, 4), better).verdict is Verdict.STOP  # nobody asked at step 4
    overtaken = stopper.decide(a_trial(0, 5, 9, 9), [a_trial(n, 9, 1) for n in (1, 2, 3)])
    assert overtaken.reason == "val_loss 9 at step 2 is not among the best 2 of 4 that reached it"
    improved = stopper.decide(a_trial(0, 9, 9, 0.5), [a_trial(n, 9, 1) for n in (1, 2, 3)])
    assert improved.verdict is Verdict.CONTINUE
    assert (
        improved.reason == "val_loss 0.5 at step 3, its best since step 2, is among the best 2 of 4 that reached step 2"
    )


def test_nothing_stops_at_max_steps():
    stopper, best = ASHA(a_problem(), max_steps=9), [a_trial(n, *[0] * 9) for n in range(1, 9)]
    assert stopper.decide(a_trial(0, *[5] * 8), best).verdict is Verdict.STOP
    assert stopper.decide(a_trial(0, *[5] * 9), best).verdict is Verdict.CONTINUE


@pytest.mark.parametrize("goal", Goal)
@pytest.mark.parametrize("eta", [2, 3, 4])
def test_decides_as_optuna_does_where_trials_follow_one_another(goal, eta):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng, stops = random.Random(f"{goal}{eta}"), 0
    for min_steps in (1, 2, 5):
        stopper = ASHA(a_problem(goal), min_steps=min_steps, eta=eta)
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=min_steps, reduction_factor=eta)
        study, peers = optuna.create_study(direction=goal.value, pruner=pruner), []
        for number in range(30):
            theirs, values, level = study.ask(), [], rng.random()
            for step in range(1, 21):
                values.append(rng.choice([rng.randrange(3), level + rng.random()]))
                theirs.report(values[-1], step)
                ours = stopper.decide(a_trial(number, *values), peers)
                assert (ours.verdict is Verdict.STOP) == theirs.should_prune(), ours
                if ours.verdict is Verdict.STOP:
                    stops += 1
                    break
            study.tell(theirs, state=optuna.trial.TrialState.PRUNED)
            peers.insert(rng.randrange(len(peers) + 1), a_trial(number, *values))
    assert stops > 30


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"eta": 1.5}, "asha has eta=1.5, not a number at least 2: give eta a number at least 2"),
        ({"min_steps": 0}, "asha has min_steps=0, not a whole number of at least 1: give min_steps a whole number of at least 1"),
        ({"min_steps": True}, "min_steps=True"),
        ({"min_steps": math.nan}, "min_steps=nan"),
        ({"min_steps": 9, "max_steps": 9}, "asha has max_steps=9 and min_steps=9, so no rung lies between them: "
                                           "give max_steps > min_steps, or leave the stopper out"),
    ],
)  # fmt: skip
def test_a_bad_knob_says_what_it_wants(knobs, message):
    with pytest.raises(ConfigError) as caught:
        ASHA(a_problem(), **knobs)
    assert message in str(caught.value)
