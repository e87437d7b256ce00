"""Sweeps that end by themselves, and why: `terminate`, the target, the cap; and the reason after a restart."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import whet
from whet import Choice, Float, Space, TrialPruned
from whet.config import SweepConfig, Termination
from whet.errors import ConfigError, SweepClosed
from whet.store.base import Changes, Store, SweepState
from whet.study.ending import Ending
from whet.study.engine import Engine, Nothing
from whet.study.history import History
from whet.study.searching import News, Searching
from whet.study.study import Study
from whet.trial import Goal, Metric, Phase, Problem, Trial

X = Space({"x": Float(0, 1)})


def make(store: Store, **given: Any) -> Study:
    return whet.create_study(
        **{"storage": store, "seed": 3, "space": X, "method": "random", "stopper": "none", **given}
    )


def following(*values: float) -> Any:
    """Return an objective that gives these values by number, the last one for ever."""
    return lambda trial: values[min(trial.number, len(values) - 1)]


def again(study: Study) -> Study:
    """Return the study as another process finds it."""
    return whet.load_study(study_name=study.study_name, storage=study._store)


def over(number: int, *values: float, stopped: bool = False, phase: Phase = Phase.FINISHED, ended: float | None = None,
         **given: Any) -> Trial:  # fmt: skip
    end = float(number) if ended is None else ended
    return Trial(
        number=number,
        params={},
        phase=phase,
        values=values or None,
        stopped=stopped,
        started=end - 0.5,
        ended=end,
        **given,
    )


def why(trials: list[Trial], *, goals: tuple[Goal, ...] = (Goal.MINIMIZE,), now: float = 1e6, cap: int | None = None,
        **rules: Any) -> str:  # fmt: skip
    names = ["loss", "size"]
    problem = Problem(space=X, metrics=tuple(Metric(name=n, goal=g) for n, g in zip(names, goals, strict=False)))
    history = History(problem)
    history.apply(Changes(revision=1, version=0, state=SweepState.RUNNING, cap=cap, trials=tuple(trials), reports=()))
    return Ending(SweepConfig(problem=problem, terminate=Termination(**rules))).why(history, cap, now)


# -- no improvement -----------------------------------------------------------------------------------------------------


def test_no_improvement_ends_it_and_says_so(store: Store) -> None:
    study = make(store, terminate={"no_improvement": 3})
    study.optimize(following(5.0, 4.0, 4.5, 3.5, 3.5, 9.0, 3.6, 1.0))
    assert len(study.trials) == 7  # the best in trial 3, then three that are no better
    assert store.sweeps.get(study.id).state is SweepState.FINISHED
    assert study.end_reason == "the last 3 trials brought no improvement: the best is still value 3.5 of trial 3"
    assert again(study).end_reason == study.end_reason
    with pytest.raises(SweepClosed) as error:
        again(study).ask()
    assert error.value.problem.endswith(
        "hands out no trial: the sweep is finished: the last 3 trials brought no improvement: "
        "the best is still value 3.5 of trial 3"
    )


def test_it_goes_on_across_processes_where_it_stopped(store: Store) -> None:
    study = make(store, terminate={"no_improvement": 4})
    values = following(5.0, 4.0, 4.5)
    for expected in (1, 2, 3, 4, 5, 6, 6):
        again(study).optimize(values, n_trials=1)
        assert len(study.trials) == expected
    assert "last 4 trials" in again(study).end_reason


def test_a_gain_below_the_tolerance_is_none() -> None:
    values = [10.0, 9.96, 9.93, 9.91]
    trials = [over(i, v) for i, v in enumerate(values)]
    assert why(trials, no_improvement=3) == ""
    assert why(trials, no_improvement=3, tolerance=0.01) == (
        "the last 3 trials improved the best, loss 10 of trial 0, by less than 0.01 of itself, to 9.91"
    )
    assert why(trials, no_improvement=3, tolerance=0.005) == ""  # 0.09 of 10 in all, though never 0.05 at a time
    up = [over(i, -v) for i, v in enumerate(values)]
    assert why(up, goals=(Goal.MAXIMIZE,), no_improvement=3) == ""
    assert "loss -10 of trial 0" in why(up, goals=(Goal.MAXIMIZE,), no_improvement=3, tolerance=0.01)
    below = [over(0, -1.0), over(1, -1.05)]
    assert why(below, no_improvement=1, tolerance=0.01) == ""
    assert why(below, no_improvement=1, tolerance=0.1) != ""


def test_minus_infinity_is_not_improved_on_and_infinity_is() -> None:
    for worst, goal in ((-math.inf, Goal.MINIMIZE), (math.inf, Goal.MAXIMIZE)):
        trials = [over(0, worst), over(1, 1.0), over(2, 2.0)]
        assert "brought no improvement" in why(trials, goals=(goal,), no_improvement=2, tolerance=0.1)
    assert not why([over(0, math.inf), over(1, math.inf), over(2, math.inf)], no_improvement=2)


def test_stopped_trials_count_failed_ones_do_not() -> None:
    bad = [over(1, 9.0, stopped=True), over(2, phase=Phase.FAILED), over(3, phase=Phase.CANCELED)]
    assert why([over(0, 1.0), *bad], no_improvement=2) == ""
    assert why([over(0, 1.0), *bad, over(4, 9.0, stopped=True)], no_improvement=2) != ""
    stopped_and_good = [over(0, 1.0), over(1, 0.0, stopped=True)]
    assert why(stopped_and_good, no_improvement=1) != ""  # what was stopped is no result
    assert why([over(i, 1.0, stopped=True) for i in range(9)], no_improvement=2) == ""  # nothing to improve on yet
    assert why([over(i, math.inf) for i in range(9)], no_improvement=2) == ""


def test_the_order_is_that_of_the_ends() -> None:
    trials = [over(0, 5.0, ended=10), over(1, 1.0, ended=1), over(2, 4.0, ended=2)]
    assert why(trials, no_improvement=2) == (
        "the last 2 trials brought no improvement: the best is still loss 1 of trial 1"
    )
    assert why([over(0, 1.0, ended=10), over(1, 5.0, ended=1), over(2, 4.0, ended=2)], no_improvement=2) == ""


def test_an_end_that_becomes_known_late_takes_its_place() -> None:
    problem = Problem(space=X, metrics=(Metric(name="loss"),))
    ending = Ending(SweepConfig(problem=problem, terminate=Termination(no_improvement=2)))
    history = History(problem)

    def learn(revision: int, *trials: Trial) -> str:
        history.apply(
            Changes(revision=revision, version=0, state=SweepState.RUNNING, cap=None, trials=trials, reports=())
        )
        return ending.why(history, None, 0.0)

    assert learn(1, over(0, 5.0, ended=1), over(2, 4.0, ended=5), over(3, 3.0, ended=6)) == ""
    said = learn(2, over(1, 1.0, ended=2))  # 5, 1, 4, 3 by their ends
    assert said == "the last 2 trials brought no improvement: the best is still loss 1 of trial 1"


def by_definition(values: list[tuple[float, ...]], window: int, tolerance: float) -> bool:
    before, last = values[:-window], values[-window:]
    if not before or not last:
        return False
    better = [
        p for p in last if all(any(a < q - tolerance * abs(q) for a, q in zip(p, b, strict=True)) for b in before)
    ]
    return len(values) > window and not better


@pytest.mark.parametrize("num_metrics", [1, 2])
def test_it_is_the_definition_however_the_ends_come_in(num_metrics: int) -> None:
    rng, ends = random.Random(num_metrics), 0
    for _ in range(300):
        values = [
            tuple(rng.choice([-1, 1]) * rng.random() for _ in range(num_metrics)) for _ in range(rng.randrange(9))
        ]
        window, tolerance = rng.randrange(1, 4), rng.choice([0.0, 0.2])
        trials = [over(i, *v) for i, v in enumerate(values)]
        expected = by_definition(values, window, tolerance)
        shuffled = rng.sample(trials, len(trials))
        rules = {"no_improvement": window, "tolerance": tolerance, "goals": (Goal.MINIMIZE,) * num_metrics}
        assert bool(why(shuffled, **rules)) == expected
        ends += expected
    assert 50 < ends < 250


def test_several_metrics_improve_by_their_front(store: Store) -> None:
    study = make(store, directions=["minimize", "maximize"], terminate={"no_improvement": 3})
    points = [(1.0, 1.0), (2.0, 2.0), (0.5, 0.5), (2.0, 1.5), (1.0, 1.0), (3.0, 0.0), (0.0, 9.0)]
    study.optimize(lambda trial: points[trial.number])
    assert len(study.trials) == 6
    assert study.end_reason == "the last 3 trials brought no improvement: the front of 3 trials is as it was"


# -- clocks and budgets -------------------------------------------------------------------------------------------------


def test_wall_clock(store: Store) -> None:
    study = make(store, terminate={"wall_clock_s": 0.3})

    def objective(trial: Any) -> float:
        time.sleep(0.05)
        return 1.0

    begin = time.monotonic()
    study.optimize(objective)
    assert 0.25 < time.monotonic() - begin < 5
    assert 1 <= len(study.trials) <= 6
    assert again(study).end_reason == "0.3 seconds have passed since the first trial started"


def test_wall_clock_counts_from_the_first_trial_and_also_while_one_runs() -> None:
    running = Trial(number=1, params={}, started=50.0)
    assert why([], wall_clock_s=10) == ""
    assert why([running], wall_clock_s=10, now=59.0) == ""
    assert why([running], wall_clock_s=10, now=60.0) == "10 seconds have passed since the first trial started"
    assert why([over(0, 1.0, ended=45.0), running], wall_clock_s=10, now=55.0) != ""


def test_a_paused_sweep_is_not_ended_by_asking(store: Store) -> None:
    study = make(store, terminate={"wall_clock_s": 0.01})
    study.optimize(following(1.0), n_trials=1)
    if store.sweeps.get(study.id).state is SweepState.RUNNING:
        store.sweeps.move(study.id, SweepState.PAUSED)
        time.sleep(0.02)
        with pytest.raises(SweepClosed, match="the sweep is paused"):
            study.ask()


def test_budgets() -> None:
    trials = [over(0, 1.0, attrs={"gpu_h": 1.5}), over(1, phase=Phase.FAILED, attrs={"gpu_h": 1}), over(2, 3.0)]
    assert why(trials, cost={"gpu_h": 3}) == ""
    assert why(trials, cost={"gpu_h": 2.5}) == "the trials have used up the budget of gpu_h=2.5"
    assert why(trials, cost={"loss": 4}) == "the trials have used up the budget of loss=4"
    assert why(trials, cost={"seconds": 1.6}) == ""
    assert why(trials, cost={"seconds": 1.5}) == "the trials have used up the budget of 1.5 seconds"
    running = Trial(number=3, params={}, started=100.0)
    assert why([*trials, running], cost={"seconds": 2.5}, now=100.9) == ""
    assert why([*trials, running], cost={"seconds": 2.5}, now=101.0) != ""
    assert (
        why([over(0, 1.0, attrs={"gpu_h": "many"}), over(1, 1.0, attrs={"gpu_h": math.nan})], cost={"gpu_h": 1}) == ""
    )


def test_a_budget_of_an_attribute(store: Store) -> None:
    study = make(store, terminate={"cost": {"energy_kwh": 10}})

    def objective(trial: Any) -> float:
        trial.set_user_attr("energy_kwh", 3)
        return 1.0

    study.optimize(objective)
    assert len(study.trials) == 4
    assert again(study).end_reason == "the trials have used up the budget of energy_kwh=10"


# -- the other ends, in words -------------------------------------------------------------------------------------------


def test_target_and_cap_say_why(store: Store) -> None:
    id = whet.sweep(
        {"method": "random", "parameters": {"x": {"min": 0.0, "max": 1.0}}, "metric": {"name": "loss", "target": 2.0}},
        storage=store,
    )
    study = whet.load_study(study_name=id, storage=store)
    study.optimize(following(5.0, 3.0, 1.5))
    assert study.end_reason == "the target is reached: loss is 1.5 in trial 2"
    capped = make(store, run_cap=2)
    assert capped.end_reason == ""
    capped.optimize(following(1.0))
    assert again(capped).end_reason == "the run cap of 2 is used up"
    stopped = make(store)
    stopped.optimize(following(1.0), n_trials=1)
    store.sweeps.move(stopped.id, SweepState.FINISHED)
    assert stopped.end_reason == ""  # somebody ended it
    with pytest.raises(SweepClosed, match="hands out no trial: the sweep is finished: raise its cap"):
        stopped.ask()


def test_the_end_is_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    study = make(store, name="quick", terminate={"no_improvement": 1})
    logger = whet.logging.get_logger("whet")
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level("INFO", logger="whet"):
            study.optimize(following(1.0))
    finally:
        logger.removeHandler(caplog.handler)
    assert caplog.messages[-1].startswith("Study quick hands out no more trials: the sweep is finished: the last 1 ")


def test_trials_that_run_when_it_ends_come_to_their_end(store: Store) -> None:
    study = make(store, terminate={"no_improvement": 1})
    first, second, third = study.ask(), study.ask(), study.ask()
    study.tell(first, 1.0)
    study.tell(second, 2.0)
    assert store.sweeps.get(study.id).state is SweepState.FINISHED
    assert study.tell(third, 0.5).values == (0.5,)
    assert study.best_value == 0.5


def test_asking_does_not_cost_more_with_the_history() -> None:
    """Counted: what ended is taken in once."""
    problem = Problem(space=X, metrics=(Metric(name="loss"),))
    ending = Ending(SweepConfig(problem=problem, terminate=Termination(no_improvement=50, cost={"loss": 1e9})))
    history, taken = History(problem), []
    take = ending._take
    ending._take = lambda trial: taken.append(trial.number) or take(trial)  # type: ignore[method-assign, func-returns-value]
    for number in range(200):
        history.apply(
            Changes(
                revision=number, version=0, state=SweepState.RUNNING, cap=None, trials=(over(number, 1000.0 - number),),
                reports=(),
            )
        )  # fmt: skip
        assert ending.why(history, None, 0.0) == ""
    assert taken == list(range(200))


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({}, "create_study: terminate: the mapping is empty: give at least one key, or leave it out"),
        ({"no_improvement": 0}, "create_study: terminate.no_improvement: 0 is below 1: give 1 or more"),
        ({"patience": 3}, "create_study: terminate.patience: unknown key 'patience': "),
        (
            {"tolerance": 0.1},
            "create_study: terminate.tolerance: it says what counts as no improvement: add no_improvement",
        ),
        (3, "create_study: terminate: got the number 3, wanted a mapping"),
    ],
)
def test_what_makes_no_sense_is_refused(store: Store, rules: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        make(store, terminate=rules)
    assert str(error.value).startswith(message)


def test_an_edit_of_the_rules_is_followed(store: Store) -> None:
    from dataclasses import replace

    study = make(store, terminate={"no_improvement": 50})
    study.optimize(following(1.0), n_trials=5)
    engine = Engine(store, study.id)
    engine.edit(lambda config: replace(config, terminate=Termination(no_improvement=2)))
    study.optimize(following(1.0), n_trials=5)
    assert len(study.trials) == 5
    assert "last 2 trials" in study.end_reason


# -- stopping by several metrics, from end to end -------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["list", "mapping", "log"])
@pytest.mark.parametrize(
    "stopper", ["asha", {"name": "median", "startup_trials": 2}, {"name": "hyperband", "min_iter": 2}]
)
def test_stopping_by_several_metrics(store: Store, stopper: Any, way: str) -> None:
    study = make(store, directions=["minimize", "maximize"], metrics=["loss", "speed"], stopper=stopper)

    def objective(trial: Any) -> tuple[float, float]:
        loss, speed = float(trial.number), 1 / (trial.number + 1)  # it gets worse in both
        for step in range(6):
            match way:
                case "list":
                    trial.report([loss + 1 / (step + 1), speed], step)
                case "mapping":
                    trial.report({"speed": speed, "loss": loss + 1 / (step + 1)}, step)
                case _:
                    trial.log({"loss": loss + 1 / (step + 1), "speed": speed, "train_loss": 0.1}, step)
            if trial.should_prune():
                raise TrialPruned
        return loss, speed

    study.optimize(objective, n_trials=10)
    trials = study.trials
    assert trials[0].complete
    assert trials[0] in study.best_trials
    assert trials[9].stopped
    assert " stands on front " in trials[9].reason
    assert trials[9].reports[0].values == (10.0, 1 / 10)
    assert trials[9].values == trials[9].reports[-1].values


def test_without_a_stopper_several_metrics_never_stop(store: Store) -> None:
    trial = make(store, directions=["minimize", "minimize"]).ask()
    trial.report([math.nan, 1.0], 0)
    assert not trial.should_prune()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.0, "reported 1.0 to a study of 2 metrics: report one number each for: loss, size"),
        ([1.0], "reported [1.0] to a study of 2 metrics: report one number each for: loss, size"),
        ({"loss": 1.0}, "reported loss: report one number each for: loss, size"),
        (["a", "b"], "reported ['a', 'b'], in which there is no number: report one number each for: loss, size"),
    ],
)
def test_a_report_must_hold_every_metric(store: Store, value: Any, message: str) -> None:
    study = make(store, directions=["minimize", "minimize"], metrics=["loss", "size"])
    with pytest.raises(whet.errors.StudyError) as error:
        study.ask().report(value, 0)
    assert str(error.value) == message


def test_optunas_pruners_have_counterparts(store: Store) -> None:
    for pruner, stopper in [
        (whet.pruners.ThresholdPruner(upper=3), {"name": "threshold", "upper": 3, "warmup_steps": 0, "interval_steps": 1}),
        (whet.pruners.WilcoxonPruner(p_threshold=0.2), {"name": "wilcoxon", "p_threshold": 0.2, "startup_steps": 2}),
        (
            whet.pruners.PatientPruner(whet.pruners.MedianPruner(), 2),
            {
                "name": "patience", "patience_steps": 3, "min_delta": 0.0,
                "stopper": {"type": "median", "startup_trials": 5, "warmup_steps": 0, "interval_steps": 1},
            },
        ),
    ]:  # fmt: skip
        study = make(store, stopper=None, pruner=pruner)
        plugin = study._engine.config.stopper
        assert plugin is not None
        assert {"name": plugin.name, **plugin.knobs} == stopper
        assert study._engine.stopper is not None


# -- expected improvement -----------------------------------------------------------------------------------------------

_FIRST = [7.0, 3.0, 9.0, 5.0, 4.0, 8.0, 6.0, 2.0, 10.0, 1.0]  # the third of them is 3, the eighth 8


def little(values: list[float], gain: float | None, share: float = 0.01, *, goal: Goal = Goal.MINIMIZE, order: Any = None) -> str:  # fmt: skip
    problem = Problem(space=X, metrics=(Metric(name="loss", goal=goal),))
    trials = [over(i, v) for i, v in enumerate(values)]
    history = History(problem)
    for trial in order(trials) if order else trials:
        history.apply(Changes(revision=1, version=0, state=SweepState.RUNNING, cap=None, trials=(trial,), reports=()))
    rules = Termination(expected_improvement=share)
    return said(Ending(SweepConfig(problem=problem, terminate=rules)), history, lambda: gain)


def said(ending: Ending, history: History, gain: Callable[[], float | None]) -> str:
    """Return why it is over, the method's word included, as an engine asks for it."""
    if (why := ending.why(history, None, 1e6)) or not ending.asks_for_gain(history.best):
        return why
    return ending.little_to_gain(history.best, gain())


def test_little_to_gain_ends_it_in_words() -> None:
    values = _FIRST + [1.5] * 10
    wanted = "the next trial is expected to improve loss 1 by 0.04, less than 1 % of the spread 5"
    assert little(values, 0.04) == wanted
    assert little(values, 0.05) == ""  # the share is not undercut
    assert little(values, 0.04, share=0.008) == ""
    assert little(values, None) == ""  # the method does not know
    assert little(values, 0.04, order=lambda trials: trials[::-1]) == wanted
    up = little([-v for v in values], 0.04, goal=Goal.MAXIMIZE)
    assert up == "the next trial is expected to improve loss -1 by 0.04, less than 1 % of the spread 5"
    shifted = little([v + 1000 for v in values], 0.04)
    assert shifted == "the next trial is expected to improve loss 1001 by 0.04, less than 1 % of the spread 5"


def test_the_methods_word_alone_is_not_enough() -> None:
    assert little(_FIRST + [1.5] * 9, 1e-9) == ""  # of so few trials
    late = _FIRST + [1.5] * 9 + [0.9]
    assert little(late, 1e-9) == ""  # the last ten have gained 0.1, two in a hundred of the spread
    assert little(late, 1e-9, share=0.03) != ""
    assert little(late + [1.5] * 9, 1e-9) == ""
    assert little(late + [1.5] * 10, 1e-9) != ""


def test_without_a_spread_or_a_finite_best_it_goes_on() -> None:
    assert little([1.0] * 30, 0.0) == ""
    assert little([-math.inf, *_FIRST, *[1.5] * 10], 1e-9) == ""
    assert "of the spread 4" in little([math.inf, *[5.0] * 9, 1.0, *[2.0] * 14], 1e-9)  # where the middle half is alike


def test_the_model_is_asked_only_where_it_matters() -> None:
    problem = Problem(space=X, metrics=(Metric(name="loss"),))
    history = History(problem)
    asked: list[int] = []

    def gain() -> float:
        asked.append(len(history.trials))
        return 9.0

    ending = Ending(SweepConfig(problem=problem, terminate=Termination(expected_improvement=0.01)))
    for number, value in enumerate([*_FIRST, *[1.5] * 12]):
        fresh = (over(number, value),)
        history.apply(Changes(revision=number, version=0, state=SweepState.RUNNING, cap=None, trials=fresh, reports=()))
        said(ending, history, gain)
    assert asked == [20, 21, 22]
    said(Ending(SweepConfig(problem=problem, terminate=Termination(no_improvement=99))), history, gain)
    assert len(asked) == 3


def _bowl(trial: Any) -> float:
    return float((trial.params["x"] - 0.3) ** 2)


@pytest.mark.parametrize("method", ["gp", "bayes"])
def test_a_study_ends_where_little_is_to_be_gained(store: Store, method: str) -> None:
    study = make(store, method=method, terminate={"expected_improvement": 0.001})
    study.optimize(_bowl, n_trials=60)
    assert 20 <= len(study.trials) < 40
    assert store.sweeps.get(study.id).state is SweepState.FINISHED
    assert study.end_reason.startswith("the next trial is expected to improve value ")
    assert "less than 0.1 % of the spread" in study.end_reason
    assert again(study).end_reason == study.end_reason  # another process derives the same
    assert study.best_value < 1e-6
    with pytest.raises(SweepClosed):
        again(study).ask()
    replayed = study.replay()
    assert replayed.num_reproduced == replayed.num_suggested == len(study.trials)


def test_whoever_tells_or_looks_makes_no_search(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is left to who asks for a trial; and to who leaves, if nobody else may ask."""
    searches: list[int] = []

    def expected_gain(self: Searching, news: News) -> float:
        if self._gain is None or self._gain[0] != news.num_ended:
            searches.append(news.num_ended)
            self._gain = news.num_ended, 0.0
        return 0.0

    monkeypatch.setattr(Searching, "expected_gain", expected_gain)
    study = make(store, method="gp", terminate={"expected_improvement": 0.001})
    engine = study._engine
    engine.extend(Trial(number=i, params={"x": i / 25}, phase=Phase.FINISHED, values=(1.0 + i % 7,)) for i in range(25))
    for number in (25, 26):
        store.trials.enqueue(study.id, {"x": 0.3})
        store.trials.claim(study.id, number, owner=engine.owner)
    engine.tell(25, 0, [1.5])
    engine.tell(26, 0, [1.5])  # nothing runs any more
    assert engine.why_over() == ""
    assert (searches, store.sweeps.get(study.id).state) == ([], SweepState.RUNNING)
    assert isinstance(engine.ask(), Nothing)
    assert (searches, store.sweeps.get(study.id).state) == ([27], SweepState.FINISHED)
    assert engine.why_over().startswith("the next trial is expected to improve")  # known by now
    assert searches == [27]


def test_who_runs_a_number_of_trials_finds_out_when_it_leaves(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Searching, "expected_gain", lambda self, news: 0.0)
    for num_jobs in (1, 2):
        study = make(store, terminate={"no_improvement": 99})
        study._engine.edit(lambda config: replace(config, terminate=Termination(expected_improvement=0.001)))
        study.optimize(lambda trial: 1.0 + trial.number % 2, n_trials=20, n_jobs=num_jobs)  # whichever ends first
        assert len(study.trials) == 20
        assert store.sweeps.get(study.id).state is SweepState.FINISHED


def test_it_ends_at_the_same_trial_however_often_processes_change(store: Store) -> None:
    whole = make(store, method="gp", terminate={"expected_improvement": 0.001})
    whole.optimize(_bowl, n_trials=60)
    pieces = make(store, method="gp", terminate={"expected_improvement": 0.001})
    for _ in range(60):
        again(pieces).optimize(_bowl, n_trials=3)
        if store.sweeps.get(pieces.id).state is SweepState.FINISHED:
            break
    assert [t.params for t in pieces.trials] == [t.params for t in whole.trials]
    assert pieces.end_reason == whole.end_reason


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"method": "tpe"}, r"method tpe has no model that tells it of 1 metric\(s\) and 1 parameter"),
        ({"method": "random"}, "method random has no model"),
        ({"directions": ["minimize"] * 2, "metrics": ["a", "b"]}, r"has no model that tells it of 2 metric"),
        ({"method": "bayes", "space": Space({f"x{i}": Float(0, 1) for i in range(41)})}, r"and 41 parameter"),
    ],
)
def test_methods_without_such_a_model_are_refused(store: Store, given: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what) as error:
        make(store, terminate={"expected_improvement": 0.001}, **given)
    assert "take gp, or bayes with one metric" in str(error.value)


@pytest.mark.parametrize("share", [0, 1, -0.1, "little", True])
def test_a_share_is_between_0_and_1(store: Store, share: object) -> None:
    with pytest.raises(ConfigError, match="expected_improvement"):
        make(store, method="gp", terminate={"expected_improvement": share})


def test_a_sweep_keeps_its_share() -> None:
    from whet.config import parse, to_mapping

    config = parse({"method": "gp", "metric": "loss", "parameters": {"x": {"min": 0.0, "max": 1.0}},
                    "terminate": {"expected_improvement": 0.002}})  # fmt: skip
    assert config.terminate == Termination(expected_improvement=0.002)
    assert parse(to_mapping(config)) == config
    with pytest.raises(ConfigError, match=r"terminate\.expected_improvement goes by a metric"):
        parse({"method": "random", "program": "a.py", "parameters": {"x": [1, 2]}, "terminate": {"expected_improvement": 0.1}})  # fmt: skip


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_who_optimizes_leaves_once(store: Store, monkeypatch: pytest.MonkeyPatch, n_jobs: int) -> None:
    study = make(store, method="grid", space=Space({"x": Choice([1, 2, 3])}))
    left: list[bool] = []
    leave = Engine.leave

    def count(engine: Engine, *, exhausted: bool = False) -> None:
        left.append(exhausted)
        leave(engine, exhausted=exhausted)

    monkeypatch.setattr(Engine, "leave", count)
    study.optimize(following(1.0), n_trials=2, n_jobs=n_jobs)
    assert left == [False]
    study.optimize(following(1.0), n_jobs=n_jobs)
    assert left == [False, True]
    assert store.sweeps.get(study.id).state is SweepState.FINISHED
