import math
import random
from dataclasses import replace

import pytest

from whet.errors import ConfigError
from whet.space import Float, Space
from whet.stop._rungs import ladder, ladder_down
from whet.stop.asha import ASHA
from whet.stop.base import Verdict
from whet.trial import Goal, Metric, Phase, Problem, Report, Trial


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


def paused(number, *values):
    return replace(a_trial(number, *values), phase=Phase.PAUSED)


def pausing(**knobs):
    return ASHA(a_problem(), pause=True, **knobs)


def test_a_trial_pauses_where_it_is_not_among_the_best_of_its_rung():
    decide = pausing().decide
    assert decide(a_trial(0, 5), []).verdict is Verdict.PAUSE  # nobody is among the best third of one
    assert decide(a_trial(0, 5), []).reason == (
        "val_loss 5 at step 1 waits: it is the first that reached it, and one in 3 goes on"
    )
    two = [paused(1, 6), paused(2, 7)]
    assert decide(a_trial(0, 5), two).verdict is Verdict.CONTINUE  # it would be promoted at once
    assert decide(a_trial(0, 6.5), two).verdict is Verdict.PAUSE
    assert decide(a_trial(0, math.nan), two).verdict is Verdict.STOP
    assert decide(a_trial(0, 9, 9), two).verdict is Verdict.CONTINUE  # between rungs, however bad
    assert decide(a_trial(0, 9, 9, 9), two).verdict is Verdict.PAUSE
    assert pausing(max_steps=3).decide(a_trial(0, 9, 9, 9), two).verdict is Verdict.CONTINUE


def test_the_best_third_of_a_rung_is_promoted_the_highest_rung_first():
    stopper = pausing()
    low = [paused(n, n) for n in range(1, 7)]
    assert stopper.promote(low[:2]) is None
    assert stopper.promote(low).parent == 1
    on = [a_trial(1, 1, 1), *low[1:]]  # the best one runs: it still counts on its rung
    assert stopper.promote(on).parent == 2
    assert stopper.promote([on[0], a_trial(2, 2), *low[2:]]) is None  # two of six have gone on
    high = [paused(n, 0, 0, 10 - n) for n in (7, 8, 9)]
    assert stopper.promote([*low, *high]).parent == 9
    nans = [paused(n, 0, 0, math.nan) for n in (7, 8, 9)]
    assert stopper.promote([*low, *nans]) is None  # they are the best three of nine below
    assert ASHA(a_problem()).promote(low) is None


def test_at_the_end_the_best_of_a_small_rung_goes_on():
    stopper = pausing()
    two = [paused(1, 2), paused(2, 1)]
    assert stopper.promote(two) is None
    assert stopper.promote(two, closing=True).parent == 2
    assert stopper.promote([two[0], a_trial(2, 1, 1)], closing=True) is None


def published(losses, *, eta, num_workers):
    """Algorithm 2 of the paper with jobs that all take as long as their steps: who gets how far. `losses[trial](rung)`."""
    import heapq

    rungs = {0: {}, 1: {}, 2: {}, 3: {}}
    promoted = {k: set() for k in rungs}
    most, fresh, clock, running = 3, 0, 0.0, []

    def get_job():
        nonlocal fresh
        for k in range(most - 1, -1, -1):
            top = sorted(rungs[k], key=lambda t: (rungs[k][t], t))[: len(rungs[k]) // eta]
            for trial in top:
                if trial not in promoted[k]:
                    promoted[k].add(trial)
                    return trial, k + 1
        if fresh < len(losses):
            fresh += 1
            return fresh - 1, 0
        return None

    while True:
        while len(running) < num_workers and (job := get_job()) is not None:
            trial, k = job
            steps = eta**k - (eta ** (k - 1) if k else 0)
            heapq.heappush(running, (clock + steps, trial, k))
        if not running:
            return {t: max(k for k in rungs if t in rungs[k]) for t in range(len(losses))}
        clock, trial, k = heapq.heappop(running)
        rungs[k][trial] = losses[trial](k)


def played(losses, *, eta):
    """The same with one worker, by the stopper."""
    stopper = ASHA(a_problem(), eta=eta, pause=True, max_steps=eta**3)
    trials, fresh = {}, 0
    while True:
        found = stopper.promote(list(trials.values()))
        if found is not None:
            trial = replace(trials[found.parent], phase=Phase.RUNNING)
        elif fresh < len(losses):
            trial = Trial(number=fresh, params={})
            fresh += 1
        else:
            return {n: round(math.log(len(t.reports), eta)) for n, t in trials.items()}
        while trial.phase is Phase.RUNNING:
            step = len(trial.reports) + 1
            k = math.floor(math.log(step, eta) + 1e-9)
            trial = replace(
                trial, reports=(*trial.reports, Report(step=step, values=(float(losses[trial.number](k)),)))
            )
            verdict = stopper.decide(trial, [t for t in trials.values() if t.number != trial.number]).verdict
            if verdict is Verdict.PAUSE:
                trial = replace(trial, phase=Phase.PAUSED)
            elif step == eta**3:
                trial = replace(trial, phase=Phase.FINISHED, values=trial.reports[-1].values)
        trials[trial.number] = trial


@pytest.mark.parametrize("seed", range(8))
def test_trials_get_as_far_as_by_the_published_algorithm(seed):
    """With one worker, whose jobs follow one another, the order in which jobs are handed out is the paper's, too."""
    rng = random.Random(seed)
    table = [[rng.random() for _ in range(4)] for _ in range(60)]
    losses = [lambda k, row=row: row[k] for row in table]
    assert played(losses, eta=3) == published(losses, eta=3, num_workers=1)
