"""Studies over a store: ask and tell, optimize, queue, resume, ends."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import whet
from whet import Choice, Float, Int, Space, TrialPruned, TrialState
from whet.errors import (
    CapReached,
    ConfigError,
    Conflict,
    NotFound,
    SpaceError,
    StoreError,
    StudyError,
    SweepClosed,
    UnknownName,
)
from whet.store.base import Store, SweepState
from whet.study.live import LiveTrial
from whet.study.study import Study
from whet.trial import Phase, Trial

XY = Space({"x": Float(-5, 5), "opt": Choice(["sgd", "adam"]), "momentum": Float(0, 0.99, when="opt == 'sgd'")})


def make(store: Store, **given: Any) -> Study:
    return whet.create_study(**{"storage": store, "seed": 3, "space": XY, **given})


def loss(trial: LiveTrial) -> float:
    return float((trial.params["x"] - 1) ** 2 + trial.params.get("momentum", 0.5))


def params(study: Study) -> list[dict[str, Any]]:
    return [dict(t.params) for t in study.trials]


# -- ask and tell -------------------------------------------------------------------------------------------------------


def test_ask_and_tell(store: Store) -> None:
    study = make(store)
    with pytest.raises(
        StudyError, match=r"^no trial is complete, so there is no best one: run a trial to its end first$"
    ):
        study.best_trial  # noqa: B018
    first, second = study.ask(), study.ask()
    second.set_user_attr("note", {"kept": [1, 2]})
    assert (first.number, second.number) == (0, 1)
    assert XY.contains(first.params)
    assert study.trials[0].state is TrialState.RUNNING
    told = study.tell(second, 2.0)
    assert (told.values, told.state, told.user_attrs) == ((2.0,), TrialState.COMPLETE, {"note": {"kept": [1, 2]}})
    study.tell(first.number, 1.0)
    assert (study.best_trial.number, study.best_value, study.best_params) == (0, 1.0, first.params)
    with pytest.raises(Conflict, match=r"^trial 0 is finished, not running: ask for another one$"):
        study.tell(0, 5.0)
    assert study.tell(0, 5.0, skip_if_finished=True).value == 1.0
    with pytest.raises(NotFound, match=r"has no trial 7: it has 2, counted from 0$"):
        study.tell(7, 1.0)


@pytest.mark.parametrize(
    ("values", "state", "message"),
    [
        (None, None, "trial 0 is told neither a value nor a state: give values=…, or state=TrialState.FAIL"),
        (
            None,
            TrialState.COMPLETE,
            "trial 0 is told neither a value nor a state: give values=…, or state=TrialState.FAIL",
        ),
        (1.0, TrialState.FAIL, "trial 0 is told a value and state=FAIL: give one of them; report() keeps values"),
        (None, TrialState.RUNNING, "state=RUNNING is not over: give COMPLETE, PRUNED or FAIL"),
        ([1.0, 2.0], None, "trial 0 gave 2 values for 1 metric: give one each for: value"),
        ("good", None, "the objective returned 'good': return a number, or one number a metric"),
    ],
)
def test_tell_refuses(store: Store, values: Any, state: TrialState | None, message: str) -> None:
    study = make(store)
    trial = study.ask()
    with pytest.raises(StudyError) as error:
        study.tell(trial, values, state)
    assert str(error.value) == message
    assert study.trials[0].state is TrialState.RUNNING  # and may still be told
    assert study.tell(trial, math.inf).value == math.inf


def test_tell_states(store: Store) -> None:
    study = make(store)
    nan, failed, pruned, silent = (study.ask() for _ in range(4))
    assert study.tell(nan, math.nan).reason == "its result value is NaN"
    assert study.tell(failed, state=TrialState.FAIL).state is TrialState.FAIL
    pruned.report(0.5, 3)
    assert study.tell(pruned, state=TrialState.PRUNED).values == (0.5,)
    assert study.tell(silent, state=TrialState.PRUNED).values is None
    assert [t.state.name for t in study.trials] == ["FAIL", "FAIL", "PRUNED", "PRUNED"]
    assert study.trials[2].intermediate_values == {3: 0.5}


# -- optimize -----------------------------------------------------------------------------------------------------------


def test_optimize_counts_stops_and_calls_back(store: Store) -> None:
    study = make(store)
    seen: list[tuple[int, TrialState]] = []

    def callback(study: Study, trial: Trial) -> None:
        seen.append((trial.number, trial.state))
        if trial.number == 6:
            study.stop()

    study.optimize(loss, n_trials=5, callbacks=[callback])
    assert seen == [(n, TrialState.COMPLETE) for n in range(5)]
    study.optimize(loss, n_trials=100, callbacks=[callback])
    assert len(study.trials) == 7
    study.optimize(loss, n_trials=0)
    study.optimize(loss, timeout=0)
    assert len(study.trials) == 7
    study.optimize(loss, n_trials=2)  # a stop is over with its call
    assert len(study.trials) == 9


def test_timeout_starts_no_more(store: Store) -> None:
    study, now = make(store), threading.Event()
    study.optimize(lambda trial: float(now.wait(0.06)), timeout=0.05)
    assert len(study.trials) == 1


def test_threads(store: Store) -> None:
    study = make(store, method="random")
    meet = threading.Barrier(4)

    def objective(trial: LiveTrial) -> float:
        if trial.number < 4:
            meet.wait(20)  # four at a time, really
        return loss(trial)

    study.optimize(objective, n_trials=21, n_jobs=4)
    assert [t.number for t in study.trials] == list(range(21))
    assert all(t.complete for t in study.trials)
    assert len({str(t.params) for t in study.trials}) == 21


def test_an_exception_in_a_thread_ends_the_call(store: Store) -> None:
    study = make(store)

    def objective(trial: LiveTrial) -> float:
        if trial.number == 3:
            raise ValueError("broken")
        return 1.0

    with pytest.raises(ValueError, match="broken"):
        study.optimize(objective, n_trials=200, n_jobs=2)
    assert study.trials[3].reason == "ValueError: broken"
    assert len(study.trials) < 200
    assert all(t.phase.is_over for t in study.trials)


def test_exceptions_fail_the_trial_and_propagate_unless_caught(store: Store) -> None:
    study = make(store)
    called: list[int] = []

    def objective(trial: LiveTrial) -> float:
        trial.set_user_attr("tried", True)
        raise [ValueError, KeyError, OSError][trial.number]("no luck")

    study.optimize(
        objective, n_trials=2, catch=(ValueError, KeyError), callbacks=[lambda s, t: called.append(t.number)]
    )
    with pytest.raises(OSError, match="no luck"):
        study.optimize(objective, n_trials=2, catch=[ValueError], callbacks=[lambda s, t: called.append(t.number)])
    assert [t.reason for t in study.trials] == ["ValueError: no luck", "KeyError: 'no luck'", "OSError: no luck"]
    assert [t.state for t in study.trials] == [TrialState.FAIL] * 3
    assert study.trials[0].user_attrs == {"tried": True}
    assert called == [0, 1]


def test_results_that_are_none(store: Store) -> None:
    study = make(store)
    results: list[Any] = [None, math.nan, "text", [1.0, 2.0], [], [3.0], -math.inf, [math.nan]]
    study.optimize(lambda trial: results[trial.number], n_trials=8)
    assert [(t.reason, t.values) for t in study.trials] == [
        ("the objective returned None: return a number", None),
        ("its result value is NaN", None),
        ("the objective returned 'text': return a number, or one number a metric", None),
        ("trial 3 gave 2 values for 1 metric: give one each for: value", None),
        ("trial 4 gave 0 values for 1 metric: give one each for: value", None),
        ("", (3.0,)),
        ("", (-math.inf,)),
        ("its result value is NaN", None),
    ]
    assert study.best_trial.number == 6


def test_a_keyboard_interrupt_queues_the_trial_again_however_often(store: Store) -> None:
    study = make(store)
    tries: list[tuple[int, int, dict[str, Any]]] = []

    def objective(trial: LiveTrial) -> float:
        tries.append((trial.number, trial.attempt, trial.params))
        if len(tries) <= 5:
            raise KeyboardInterrupt
        return 1.0

    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            study.optimize(objective, n_trials=1)
        assert study.trials[0].state is TrialState.WAITING
    study.optimize(objective, n_trials=1)
    assert tries == [(0, attempt, tries[0][2]) for attempt in range(6)]
    assert study.trials[0].complete


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """What Ctrl-C does, whatever runs these tests made of it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("verb", "is_first", "state"), [("add", False, "WAITING"), ("tell", True, "COMPLETE"), ("tell", False, "COMPLETE")]
)
def test_ctrl_c_between_two_steps_leaves_no_trial_behind(
    store: Store, monkeypatch: pytest.MonkeyPatch, ctrl_c: Callable[[], None], verb: str, is_first: bool, state: str
) -> None:
    study, real = make(store), getattr(store.trials, verb)

    def interrupted(*given: Any, **more: Any) -> Any:
        monkeypatch.undo()
        if is_first:
            ctrl_c()
        answer = real(*given, **more)
        if not is_first:
            ctrl_c()
        return answer

    monkeypatch.setattr(store.trials, verb, interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.optimize(loss, n_trials=1)
    assert [t.state.name for t in study.trials] == [state]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    study.optimize(loss, n_trials=1)
    assert all(t.complete for t in study.trials)


def test_an_objective_may_deal_with_ctrl_c_itself(store: Store, ctrl_c: Callable[[], None]) -> None:
    study = make(store)

    def objective(trial: LiveTrial) -> float:
        with contextlib.suppress(KeyboardInterrupt):
            ctrl_c()
            return 1.0
        return 2.0

    study.optimize(objective, n_trials=2)
    assert [t.value for t in study.trials] == [2.0, 2.0]


def test_a_searcher_that_was_interrupted_is_made_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, study = (make(store, method="tpe") for _ in range(2))
    whole.optimize(loss, n_trials=16)
    study.optimize(loss, n_trials=14)
    with monkeypatch.context() as patched:
        patched.setattr(
            type(study._engine.searching.searcher), "tell", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt())
        )
        with pytest.raises(KeyboardInterrupt):
            study.ask()
    study.optimize(loss, n_trials=2)
    assert params(study) == params(whole)


def test_a_report_that_comes_too_late_ends_its_trial_alone(store: Store) -> None:
    study = make(store)
    told: list[int] = []

    def objective(trial: LiveTrial) -> float:
        if trial.attempt == 0:
            store.trials.requeue(study.id, trial.number, 0, "its worker was lost")
            trial.report(1.0, 0)
        return float(trial.attempt)

    study.optimize(objective, n_trials=2, callbacks=[lambda study, trial: told.append(trial.number)])
    assert [(t.number, t.attempt, t.values) for t in study.trials] == [(0, 1, (1.0,))]
    assert told == [0]  # once, by who ended it


def test_a_result_that_comes_too_late_is_left(store: Store) -> None:
    study = make(store)

    def objective(trial: LiveTrial) -> float:
        if trial.attempt == 0:  # as another process would that takes this one for lost
            store.trials.requeue(study.id, trial.number, 0, "its worker was lost")
        return float(trial.attempt)

    study.optimize(objective, n_trials=2)
    assert [(t.number, t.attempt, t.values) for t in study.trials] == [(0, 1, (1.0,))]


def test_bad_arguments_of_optimize(store: Store) -> None:
    study = make(store)
    with pytest.raises(StudyError, match=r"^n_trials=-1: give 0 or more, or None$"):
        study.optimize(loss, n_trials=-1)
    with pytest.raises(StudyError, match=r"^n_jobs=0: give 1 or more, or -1 for one a core$"):
        study.optimize(loss, n_jobs=0)
    with pytest.raises(
        StudyError, match=r"^'train.py' can't be called: give a function of the trial, or a whet.Training$"
    ):
        study.optimize("train.py")  # type: ignore[arg-type]
    assert study.trials == []


# -- stoppers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stopper", "words"),
    [
        ({"name": "median", "startup_trials": 3}, "is worse than the median"),
        ({"name": "asha", "min_steps": 2, "eta": 2}, "is not among the best"),
        ({"name": "hyperband", "min_iter": 2, "eta": 2}, "is not among the best"),
    ],
)
def test_stoppers_stop_the_bad_and_say_why(store: Store, stopper: dict[str, Any], words: str) -> None:
    study = make(store, method="random", stopper=stopper)

    def objective(trial: LiveTrial) -> float:
        for step in range(8):
            trial.report(trial.number + 1 / (step + 1), step)
            if trial.should_prune():
                raise TrialPruned
        return float(trial.number)

    study.optimize(objective, n_trials=12)
    trials = study.trials
    assert trials[0].complete  # the best of all is never stopped
    assert trials[11].stopped
    assert trials[11].phase is Phase.FINISHED
    assert words in trials[11].reason
    assert trials[11].values == (trials[11].reports[-1].values[0],)
    assert study.best_trial.number == 0
    assert all(len(t.reports) == 8 for t in trials if t.complete)


def test_reports(store: Store) -> None:
    study = make(store)
    trial = study.ask()
    trial.report(1.0, 0)
    with pytest.warns(UserWarning, match="trial 0 has reported step 0 already: ignored"):
        trial.report(9.0, 0)
    for value, step, message in [
        ("x", 1, "reported 'x', which is not a number: report a float"),
        (1.0, -1, "reported at step -1: steps are integers and count from 0"),
        (1.0, "two", "reported at step 'two': steps are integers and count from 0"),
    ]:
        with pytest.raises(StudyError) as error:
            trial.report(value, step)  # type: ignore[arg-type]
        assert str(error.value) == message
    trial.report(2.0, 5)
    assert study.tell(trial, 0.0).intermediate_values == {0: 1.0, 5: 2.0}
    with pytest.raises(StoreError, match="can't be kept"):
        study.ask().set_user_attr("model", object())


def test_what_a_trial_logs_are_curves_of_its_run(store: Store) -> None:
    study = make(store, method={"name": "random"})
    assert (study.method.name, study.seed) == ("random", 3)

    def objective(trial: LiveTrial) -> float:
        trial.log({"train_loss": 4.0, "hyper/lr": 0.1}, step=1)
        assert store.runs.metrics(trial.run_id) == {}  # not a transaction a call
        trial.report(3.0, 2)
        assert store.runs.metrics(trial.run_id)["train_loss"].values == [4.0]
        trial.log({"hyper/lr": math.nan}, step=3)
        if trial.number == 1:
            raise TrialPruned
        return 2.0

    study.optimize(objective, n_trials=2)
    asked = study.ask()
    asked.log({"train_loss": 1.0}, step=7)
    study.tell(asked, 0.0)
    runs = sorted(store.runs.select(), key=lambda run: run.number or 0)
    for run in runs[:2]:
        curves = store.runs.metrics(run.id)
        assert curves["hyper/lr"].steps == [1, 3]
        assert curves["hyper/lr"].values == [0.1, pytest.approx(math.nan, nan_ok=True)]
        assert run.stats["train_loss"].last == 4.0
    assert store.runs.metrics(runs[2].id)["train_loss"].steps == [7]


def test_curves_that_come_too_late_are_left(store: Store) -> None:
    study = make(store)
    trial = study.ask()
    trial.log({"train_loss": 1.0}, step=0)
    store.trials.requeue(study.id, 0, 0, "its worker was lost")
    with pytest.raises(Conflict):
        trial.flush()
    with pytest.raises(Conflict):
        study.tell(trial, 1.0)
    assert study.ask().number == 0


# -- the queue, and trials from elsewhere -------------------------------------------------------------------------------


def test_enqueue(store: Store) -> None:
    study = make(store)
    study.optimize(loss, n_trials=1)
    study.enqueue_trial({"x": 1, "opt": "adam"}, user_attrs={"from": "paper"})
    study.enqueue_trial({"momentum": 0.5})
    study.enqueue_trial({"x": 1.0, "opt": "adam"}, skip_if_exists=True)
    assert [t.state.name for t in study.trials] == ["COMPLETE", "WAITING", "WAITING"]
    study.optimize(loss, n_trials=3)
    trials = study.trials
    assert (trials[1].params, trials[1].user_attrs) == ({"x": 1.0, "opt": "adam"}, {"from": "paper"})
    assert trials[2].params["opt"] == "sgd"  # without it there is no momentum
    assert trials[2].params["momentum"] == 0.5
    assert all(XY.contains(t.params) and t.complete for t in trials)
    with pytest.raises(SpaceError, match=r"^lr=1 is no parameter of this space: known: momentum, opt, x$"):
        study.enqueue_trial({"lr": 1})
    with pytest.raises(SpaceError, match=r"^x=9 is outside Float\(-5, 5\): give a value in \[-5, 5\]$"):
        study.enqueue_trial({"x": 9})
    with pytest.raises(SpaceError, match=r"^no configuration has opt='adam', momentum=0.5 \(1,000 draws"):
        study.enqueue_trial({"opt": "adam", "momentum": 0.5})
    assert len(study.trials) == 4


def test_enqueued_trials_keep_the_constraints(store: Store) -> None:
    space = Space({"a": Int(0, 10), "b": Int(0, 10)}, constraints=["a + b == 10"])
    study = make(store, space=space, method="random")
    study.enqueue_trial({"a": 3})
    assert study.ask().params == {"a": 3, "b": 7}
    with pytest.raises(SpaceError, match=r"breaks the constraint 'a \+ b == 10'"):
        study.enqueue_trial({"a": 3, "b": 3})


def test_trials_from_elsewhere(store: Store) -> None:
    study, other = make(store, name="one"), make(store, name="two")
    study.optimize(loss, n_trials=12)
    other.add_trials(study.trials)
    other.add_trial(whet.create_trial(params={"x": 1.0, "opt": "adam"}, value=-1.0))
    assert params(other)[:12] == params(study)
    assert other.best_trial.number == 12
    for trial, message in [
        (whet.create_trial(params={"x": 1.0}, value=1.0), "opt is missing: give a value that fits Choice(['sgd', 'adam'])"),
        (whet.create_trial(params={"x": 1.0, "opt": "adam"}, values=[1, 2]), "trial 0 gave 2 values for 1 metric: give one each for: value"),
    ]:  # fmt: skip
        with pytest.raises((SpaceError, StudyError)) as error:
            other.add_trial(trial)
        assert str(error.value) == message
    with pytest.raises(StudyError, match=r"^a complete trial has no value: give value=…$"):
        whet.create_trial(params={})
    with pytest.raises(StudyError, match=r"^state=RUNNING is not over"):
        whet.create_trial(state=TrialState.RUNNING)


# -- ends ---------------------------------------------------------------------------------------------------------------


def test_the_cap_binds_and_finishes(store: Store) -> None:
    study = make(store, run_cap=3)
    study.optimize(loss)
    assert len(study.trials) == 3
    assert store.sweeps.get(study.id).state is SweepState.FINISHED
    with pytest.raises(SweepClosed) as error:
        study.ask()
    assert error.value.problem.endswith("hands out no trial: the sweep is finished: the run cap of 3 is used up")
    with pytest.raises((CapReached, SweepClosed)):
        study.enqueue_trial({})


def test_a_grid_finishes_by_itself(store: Store) -> None:
    space = Space({"a": Choice([1, 2, 3]), "b": Choice(["x", "y"], weights=[1, 1])})
    study = make(store, space=space, method="grid")
    study.optimize(lambda trial: trial.params["a"], n_jobs=2)
    assert sorted((t.params["a"], t.params["b"]) for t in study.trials) == [(a, b) for a in (1, 2, 3) for b in "xy"]  # type: ignore[misc]
    assert store.sweeps.get(study.id).state is SweepState.FINISHED


@pytest.mark.parametrize(("goal", "target"), [("minimize", 2.0), ("maximize", 7.0)])
def test_a_target_finishes(store: Store, goal: str, target: float) -> None:
    id = whet.sweep(
        {
            "method": "random", "parameters": {"x": {"min": 0.0, "max": 1.0}},
            "metric": {"name": "score", "goal": goal, "target": target},
        },
        storage=store,
    )  # fmt: skip
    study = whet.load_study(study_name=id, storage=store)
    study.optimize(lambda trial: 5 - trial.number if goal == "minimize" else 5 + trial.number)
    assert [t.value for t in study.trials][-1] == target
    assert store.sweeps.get(id).state is SweepState.FINISHED


def test_paused_and_canceled(store: Store) -> None:
    study = make(store)
    store.sweeps.move(study.id, SweepState.PAUSED)
    with pytest.raises(SweepClosed, match="hands out no trial: the sweep is paused"):
        study.ask()
    study.optimize(loss, timeout=0.05)  # waits for it to go on, but not longer than that
    store.sweeps.move(study.id, SweepState.RUNNING)
    trial = study.ask()
    store.sweeps.move(study.id, SweepState.CANCELED)
    study.optimize(loss)
    study.tell(trial, 1.0)
    assert [t.value for t in study.trials] == [1.0]


# -- resuming -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["random", "sobol", "tpe", {"name": "optuna", "sampler": "TPESampler"}])
def test_going_on_by_name_is_as_if_never_interrupted(store: Store, method: Any) -> None:
    whole = make(store, name="whole", method=method)
    whole.optimize(loss, n_trials=24)
    for total in (5, 13, 24):
        study = make(store, name="parts", method=method, load_if_exists=True)
        study.optimize(loss, n_trials=total - len(study.trials))
    assert params(study) == params(whole)
    assert [t.value for t in study.trials] == [t.value for t in whole.trials]
    with pytest.raises(
        Conflict, match=r"^project 'default' has a sweep 'parts' already: give another name, or load_if_exists=True$"
    ):
        make(store, name="parts")
    assert len(whet.load_study(study_name="parts", storage=store).trials) == 24
    assert whet.get_all_study_names(store) == ["parts", "whole"]
    whet.delete_study(study_name="parts", storage=store)
    with pytest.raises(NotFound, match="no sweep 'parts'"):
        whet.load_study(study_name="parts", storage=store)


def test_a_name_is_not_the_beginning_of_an_id(store: Store) -> None:
    study = make(store)
    short = study.id[:3]
    with pytest.raises(NotFound, match=f"no sweep '{short}': did you mean|no sweep '{short}': known"):
        whet.load_study(study_name=short, storage=store)
    with pytest.raises(NotFound):
        whet.delete_study(study_name=short, storage=store)
    other = make(store, name=short, load_if_exists=True)
    assert other.id != study.id
    assert whet.load_study(study_name=study.id, storage=store).id == study.id


def test_seeds(store: Store) -> None:
    def first(seed: int | None) -> Any:
        study = make(store, seed=seed)
        study.ask()  # in the middle of all ranges, whatever the seed
        return study.ask().params

    assert first(1) == first(1)
    assert first(1) != first(2)
    assert first(None) != first(None)


# -- several metrics ----------------------------------------------------------------------------------------------------


def test_several_metrics(store: Store) -> None:
    study = make(store, directions=["minimize", "maximize"], metrics=["loss", "accuracy"], method="random")
    points = [(1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (0.5, 0.1), (9.0, math.nan)]
    study.optimize(lambda trial: points[trial.number], n_trials=5)
    assert sorted(t.number for t in study.best_trials) == [0, 1, 3]
    assert study.trials[4].reason == "its result accuracy is NaN"
    assert study.metric_names == ["loss", "accuracy"]
    with pytest.raises(StudyError, match="this needs one metric, not 2"):
        study.best_trial  # noqa: B018
    with pytest.raises(StudyError, match=r"^trial 0 has 2 values: use trial\.values$"):
        study.trials[0].value  # noqa: B018
    trial = study.ask()
    with pytest.raises(
        StudyError, match=r"^reported 1\.0 to a study of 2 metrics: report one number each for: loss, accuracy$"
    ):
        trial.report(1.0, 0)
    with pytest.raises(StudyError, match=r"^trial 5 gave 1 value for 2 metrics: give one each for: loss, accuracy$"):
        study.tell(trial, 1.0)


def test_several_metrics_by_default(store: Store) -> None:
    study = make(store, directions=["minimize", "minimize"])
    study.optimize(lambda trial: (trial.params["x"] ** 2, (trial.params["x"] - 2) ** 2), n_trials=14)
    assert study.best_trials
    assert study.trials[13].note == "ehvi: a Gaussian process for each metric makes the most of few results (13 so far)"


@pytest.mark.parametrize(("asked", "taken"), [("tpe", "motpe"), ("gp", "ehvi"), ("bayes", "bayes"), ("nsga2", "nsga2")])
def test_several_metrics_by_a_method_of_one(store: Store, asked: str, taken: str) -> None:
    study = make(
        store,
        directions=["minimize", "minimize"],
        method={"name": asked, **({"num_startup": 3} if asked in ("tpe", "gp") else {})},
    )
    study.optimize(lambda trial: (trial.params["x"] ** 2, (trial.params["x"] - 2) ** 2), n_trials=6)
    assert study.method.name == taken
    assert len(study.trials) == 6


# -- what a study can't be made of --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"method": "bayess"}, UnknownName, "unknown method 'bayess': did you mean 'bayes'? known: bayes, "),
        ({"method": {"name": "tpe", "gama": 0.1}}, UnknownName, "unknown knob of tpe 'gama': did you mean 'gamma'? known: gamma, "),
        ({"method": {"name": "tpe", "gamma": 2.0}}, ConfigError, "tpe has gamma=2.0, not a number from 1e-06 to 1: give gamma a number from 1e-06 to 1"),
        ({"method": {"gamma": 2.0}}, StudyError, "method={'gamma': 2.0} has no name: give {\"name\": …, knob: value} for the method"),
        ({"method": 3}, StudyError, "3 is no method: give a name such as \"tpe\""),
        ({"stopper": "asah"}, UnknownName, "unknown stopper 'asah': did you mean 'asha'? known: asha, "),
        ({"stopper": {"type": "median", "warmup": 1}}, UnknownName, "unknown knob of median 'warmup': "),
        ({"space": {}}, SpaceError, "the space is empty: give at least one parameter, or leave space= out"),
        ({"space": Space()}, SpaceError, "the space is empty: give at least one parameter, or leave space= out"),
        ({"space": {"lr": {"min": 1.0, "max": 0.1}}}, ConfigError, "space: parameters.lr.min: 1.0 is not below max 0.1: swap them"),
        ({"direction": "up"}, StudyError, "direction='up': give \"minimize\" or \"maximize\""),
        ({"directions": []}, StudyError, "directions is empty: give at least one, such as [\"minimize\"]"),
        ({"direction": "minimize", "directions": ["minimize"]}, StudyError, "both direction and directions are given: give one"),
        ({"metrics": [{"name": "a"}]}, StudyError, "a metric's name got {'name': 'a'}, wanted text: give metrics=[\"val_loss\"]"),
        ({"metrics": ["a", "b"]}, StudyError, "2 metric names for 1 direction(s): give one each"),
        ({"name": "a", "study_name": "b"}, StudyError, "name='a' and study_name='b' differ: give one of them"),
    ],
)  # fmt: skip
def test_bad_input(given: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        whet.create_study(**{"storage": "memory", "space": XY, **given})
    assert str(error.value).startswith(message)


def test_plain_forms_of_a_space() -> None:
    study = whet.create_study(
        storage="memory", space={"x": {"min": 0.0, "max": 1.0}, "y": Int(1, 3, when="x > 0.5"), "z": [1, 2]}
    )
    assert study.problem.space == Space({"x": Float(0, 1), "y": Int(1, 3, when="x > 0.5"), "z": Choice([1, 2])})


def test_suggesting_from_a_declared_space(store: Store) -> None:
    study = make(store)
    study.enqueue_trial({"x": 1.0, "opt": "adam"})
    trial = study.ask()
    assert trial.suggest_float("x", -5, 5) == 1.0
    with pytest.raises(SpaceError, match=r"^x=1 is outside Float\(2, 5\)"):
        trial.suggest_float("x", 2, 5)
    with pytest.raises(
        SpaceError, match=r"^momentum is asked for where it does not exist: its condition is opt == 'sgd'"
    ):
        trial.suggest_float("momentum", 0, 0.99)
    with pytest.raises(
        SpaceError, match=r"^lr is not in the declared space: declare it \(there are x, opt, momentum\)"
    ):
        trial.suggest_float("lr", 0, 1)


# -- the rest -----------------------------------------------------------------------------------------------------------


def test_dataframe(store: Store) -> None:
    study = make(store)
    study.optimize(loss, n_trials=4)
    study.ask()
    frame = study.trials_dataframe()
    assert list(frame.columns[:2]) == ["number", "value"]
    assert {"params_x", "params_opt", "state", "duration"} <= set(frame.columns)
    assert list(frame.state) == ["COMPLETE"] * 4 + ["RUNNING"]
    assert frame.value[:4].tolist() == [t.value for t in study.trials[:4]]
    assert study.trials_dataframe(attrs=("number", "params"), multi_index=True).columns.nlevels == 2
    assert make(store).trials_dataframe().empty


def test_attributes_of_a_study_are_shared_and_leave_the_search_alone(store: Store) -> None:
    study = make(store, name="kept")
    study.optimize(loss, n_trials=12)
    searcher = study._engine.searching.searcher
    study.set_user_attr("dataset", {"name": "digits"})
    study.set_user_attr("tries", 2)
    again = whet.load_study(study_name="kept", storage=store)
    assert again.user_attrs == {"dataset": {"name": "digits"}, "tries": 2}
    study.optimize(loss, n_trials=1)
    assert study._engine.searching.searcher is searcher
    study.set_metric_names(["loss"])
    assert again.metric_names == ["value"]
    assert again.user_attrs
    assert again.metric_names == ["loss"]
    assert study.best_value == min(t.value for t in study.trials if t.value is not None)
