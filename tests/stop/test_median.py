import math
import random
from dataclasses import replace

import pytest

from whet.errors import ConfigError
from whet.space import Float, Space
from whet.stop.base import Verdict
from whet.stop.median import Median
from whet.trial import Goal, Metric, Phase, Problem, Report, Trial


def a_problem(goal=Goal.MINIMIZE):
    return Problem(space=Space({"x": Float(0, 1)}), metrics=(Metric(name="val_loss", goal=goal),))


def a_trial(number, *values, steps=None, complete=False):
    reports = tuple(
        Report(step=s, values=(float(v),)) for s, v in zip(steps or range(len(values)), values, strict=True)
    )
    return Trial(
        number=number, params={}, reports=reports, phase=Phase.FINISHED if complete else Phase.RUNNING,
        values=reports[-1].values if complete else None,
    )  # fmt: skip


PEERS = [a_trial(n, *values, complete=True) for n, values in enumerate([(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)])]


def test_best_so_far_meets_the_median_at_the_step():
    stopper = Median(a_problem())
    worse = stopper.decide(a_trial(9, 3.5, 3.25), PEERS)
    assert worse.verdict is Verdict.STOP
    assert worse.reason == "val_loss 3.25, its best so far, is worse than the median 3 of 5 complete trials at step 1"
    assert stopper.decide(a_trial(9, 3, 99), PEERS).verdict is Verdict.CONTINUE  # its best is as good as the median
    assert stopper.decide(a_trial(9, math.nan, 2), PEERS).verdict is Verdict.CONTINUE
    never = stopper.decide(a_trial(9, math.nan, math.nan), PEERS)
    assert never.verdict is Verdict.STOP
    assert "NaN" in never.reason


def test_nan_among_the_peers_is_worse_than_any_number():
    peers = [*(a_trial(n, math.nan, 1, complete=True) for n in (7, 8)), *PEERS[:3]]  # at step 0: NaN, NaN, 1, 2, 3
    assert Median(a_problem()).decide(a_trial(9, 3.0), peers).verdict is Verdict.CONTINUE
    assert Median(a_problem()).decide(a_trial(9, 3.1), peers).verdict is Verdict.STOP
    mirrored = [a_trial(p.number, *(-r.values[0] for r in p.reports), complete=True) for p in peers]
    assert Median(a_problem(Goal.MAXIMIZE)).decide(a_trial(9, -3.0), mirrored).verdict is Verdict.CONTINUE
    assert Median(a_problem(Goal.MAXIMIZE)).decide(a_trial(9, -3.1), mirrored).verdict is Verdict.STOP


def test_only_complete_peers_count_and_only_from_startup_on():
    running = [a_trial(n, 0.0) for n in range(20, 40)]
    bad = a_trial(9, 99.0)
    early = Median(a_problem()).decide(bad, [*PEERS[:4], *running])
    assert early.verdict is Verdict.CONTINUE
    assert early.reason == "4 of the 5 trials to start with are complete"
    assert Median(a_problem()).decide(bad, [*PEERS, *running]).verdict is Verdict.STOP
    assert Median(a_problem(), startup_trials=0).decide(bad, running).verdict is Verdict.CONTINUE


@pytest.mark.parametrize("percentile", [0, 10, 25, 50, 75, 100])
@pytest.mark.parametrize("goal", Goal)
def test_decides_as_optuna_does(goal, percentile):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng = random.Random(f"{goal}{percentile}")
    stops = checks = 0
    for _ in range(12):
        knobs = [rng.randrange(0, 6), rng.randrange(0, 4), rng.randrange(1, 5)]
        pruner = optuna.pruners.PercentilePruner(percentile, *knobs)
        stopper = Median(
            a_problem(goal),
            percentile=percentile,
            startup_trials=knobs[0],
            warmup_steps=knobs[1],
            interval_steps=knobs[2],
        )
        study = optuna.create_study(direction=goal.value, pruner=pruner)
        peers = []
        for number in range(12):
            theirs, steps, values = study.ask(), sorted(rng.sample(range(12), 8)), []
            pruned = False
            for i, step in enumerate(steps):
                values.append(rng.choice([rng.randrange(4), rng.random() * 4]))
                theirs.report(values[-1], step)
                ours = stopper.decide(a_trial(number, *values, steps=steps[: i + 1]), peers)
                assert (ours.verdict is Verdict.STOP) == theirs.should_prune(), ours
                checks += 1
                if ours.verdict is Verdict.STOP and rng.random() < 0.5:
                    pruned = True
                    break
            stops += pruned
            study.tell(theirs, None if pruned else values[-1], optuna.trial.TrialState.PRUNED if pruned else None)
            over = a_trial(number, *values, steps=steps[: len(values)], complete=True)
            peers.insert(0, replace(over, stopped=pruned))
    assert checks > 500
    assert stops or percentile == 100


@pytest.mark.parametrize(
    ("knob", "message"),
    [
        ({"startup_trials": -1}, "median has startup_trials=-1, not a whole number of at least 0: "
                                 "give startup_trials a whole number of at least 0"),
        ({"warmup_steps": 1.5}, "warmup_steps=1.5"),
        ({"interval_steps": 0}, "interval_steps=0"),
        ({"percentile": 101}, "median has percentile=101, not a number from 0 to 100: give percentile a number from 0 to 100"),
        ({"percentile": "50"}, "percentile='50'"),
    ],
)  # fmt: skip
def test_a_bad_knob_says_what_it_wants(knob, message):
    with pytest.raises(ConfigError) as caught:
        Median(a_problem(), **knob)
    assert message in str(caught.value)
