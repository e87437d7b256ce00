import copy
import math
import pickle
from dataclasses import FrozenInstanceError, asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.errors import StudyError
from whet.space import Float, Space
from whet.trial import Goal, Metric, Phase, Problem, Report, Suggestion, Trial, TrialState


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_a_smaller_loss_is_better_and_the_loss_of_a_loss_is_the_value(a, b):
    assert (Goal.MINIMIZE.loss(a) < Goal.MINIMIZE.loss(b)) == (a < b)
    assert (Goal.MAXIMIZE.loss(a) < Goal.MAXIMIZE.loss(b)) == (a > b)
    assert all(goal.loss(goal.loss(a)) == a for goal in Goal)


def test_a_problem_has_one_metric_or_says_that_it_has_not():
    assert Problem(space=Space()).metric == Metric(name="value", goal=Goal.MINIMIZE)
    both = Problem(space=Space(), metrics=(Metric(name="loss"), Metric(name="accuracy", goal=Goal.MAXIMIZE)))
    assert both.losses((1.0, 0.75)) == (1.0, -0.75)
    with pytest.raises(StudyError) as caught:
        _ = both.metric
    assert str(caught.value) == "this needs one metric, not 2: use a multi-objective method, or one metric"
    with pytest.raises(ValueError, match="shorter"):
        both.losses((1.0,))


@pytest.mark.parametrize("phase", Phase)
def test_only_what_finished_by_itself_with_numbers_is_complete(phase):
    def trial(values, stopped=False):
        return Trial(number=0, params={}, phase=phase, values=values, stopped=stopped)

    finished = phase is Phase.FINISHED
    assert trial((1.0, math.inf)).complete is finished
    assert not trial((1.0, math.nan)).complete
    assert not trial(None).complete
    assert not trial((1.0,), stopped=True).complete
    assert phase.is_over == (phase in (Phase.FINISHED, Phase.FAILED, Phase.CANCELED))


def test_values_are_frozen_copied_and_sent():
    reports = (Report(step=0, values=(0.5,)), Report(step=3, values=(0.25,)))
    trial = Trial(number=3, params={"lr": 0.1}, reports=reports)
    with pytest.raises(FrozenInstanceError):
        trial.number = 4  # type: ignore[misc]
    for value in (trial, Suggestion(params={"lr": 0.1}), Metric(name="loss")):
        assert copy.deepcopy(value) == value
        assert pickle.loads(pickle.dumps(value)) == value
        assert not hasattr(value, "__dict__")
    assert asdict(trial)["reports"][1] == {"step": 3, "values": (0.25,)}
    assert Trial(number=0, params={}).attrs == {}


def test_seconds_need_both_ends():
    assert Trial(number=0, params={}, started=10.0, ended=12.5).seconds == 2.5
    assert Trial(number=0, params={}, started=10.0).seconds is None


def test_optunas_names_for_a_trial():
    optuna = pytest.importorskip("optuna")
    assert {s.name: s.value for s in TrialState} == {s.name: s.value for s in optuna.trial.TrialState}
    assert all(s.is_finished() == optuna.trial.TrialState[s.name].is_finished() for s in TrialState)
    states = {
        phase: Trial(number=0, params={}, phase=phase).state
        for phase in (Phase.PENDING, Phase.RUNNING, Phase.PAUSED, Phase.FINISHED, Phase.FAILED, Phase.CANCELED)
    }
    assert [s.name for s in states.values()] == ["WAITING", "RUNNING", "RUNNING", "COMPLETE", "FAIL", "FAIL"]
    trial = Trial(
        number=1, params={"x": 1.0}, phase=Phase.FINISHED, values=(0.5,), stopped=True, attrs={"note": 1},
        reports=(Report(step=2, values=(0.5,)),), started=0.0, ended=90.0,
    )  # fmt: skip
    assert trial.state is TrialState.PRUNED
    assert trial.value == 0.5
    assert trial.intermediate_values == {2: 0.5}
    assert trial.user_attrs == {"note": 1}
    assert trial.duration is not None
    assert trial.duration.total_seconds() == 90
    assert trial.datetime_complete - trial.datetime_start == trial.duration
    assert Trial(number=2, params={}).value is None
    with pytest.raises(StudyError, match=r"trial 3 has 2 values: use trial\.values"):
        _ = Trial(number=3, params={}, values=(1.0, 2.0)).value


def test_a_problem_keeps_its_space():
    space = Space({"lr": Float(1e-4, 1e-1, log=True)})
    assert Problem(space=space).space["lr"] is space["lr"]
