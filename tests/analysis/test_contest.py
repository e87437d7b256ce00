"""Sweeps against each other."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.analysis.contest import compare_sweeps
from whet.errors import StudyError
from whet.space import Float, Space
from whet.trial import Goal, Metric, Phase, Problem, Trial

SPACE = Space({"x": Float(0, 1)})


def problem(goal: Goal = Goal.MINIMIZE, *names: str) -> Problem:
    return Problem(space=SPACE, metrics=tuple(Metric(name=n, goal=goal) for n in names or ("loss",)))


def trials(*values: float | None) -> list[Trial]:
    """None: it failed."""
    return [
        Trial(number=i, params={"x": 0.5}, phase=Phase.FAILED if v is None else Phase.FINISHED, values=None if v is None else (v,))
        for i, v in enumerate(values)
    ]  # fmt: skip


def test_maximizing_turns_it_round() -> None:
    up = problem(Goal.MAXIMIZE)
    found = compare_sweeps({"a": (up, trials(0.1, None, 0.4, 0.3)), "b": (up, trials(0.5, 0.9))})
    assert (found.goal, found.target) == ("maximize", 0.4)
    a, b = found.sweeps
    assert (a.curve, a.best, a.best_number, a.num_needed, a.num_failed) == (((1, 0.1), (3, 0.4)), 0.4, 2, 3, 1)
    assert (b.best, b.num_needed) == (0.9, 1)


def test_sweeps_without_results() -> None:
    found = compare_sweeps({"a": (problem(), trials(None)), "b": (problem(), trials(2.0)), "c": (problem(), [])})
    assert [(one.best, one.num_needed) for one in found.sweeps] == [(None, None), (2.0, 1), (None, None)]
    assert compare_sweeps({"c": (problem(), [])}).target is None


def test_what_can_not_be_compared() -> None:
    with pytest.raises(StudyError, match="no sweep"):
        compare_sweeps({})
    with pytest.raises(StudyError, match="has no metric 'acc'"):
        compare_sweeps({"a": (problem(), []), "b": (problem(), [])}, metric="acc")
    with pytest.raises(StudyError, match="not in 'b'"):
        compare_sweeps({"a": (problem(), []), "b": (problem(Goal.MAXIMIZE), [])})
    two = Problem(space=SPACE, metrics=(Metric(name="loss"), Metric(name="acc", goal=Goal.MAXIMIZE)))
    done = [Trial(number=0, params={}, phase=Phase.FINISHED, values=(3.0, 0.5))]
    found = compare_sweeps({"a": (two, done), "b": (problem(), trials(2.0))}, metric="loss")
    assert [one.best for one in found.sweeps] == [3.0, 2.0]


@given(st.lists(st.lists(st.floats(-9, 9) | st.none() | st.just(math.inf), max_size=9), min_size=1, max_size=4))
def test_the_target_is_what_all_have_reached(results: list[list[float | None]]) -> None:
    found = compare_sweeps({str(i): (problem(), trials(*values)) for i, values in enumerate(results)})
    for one, values in zip(found.sweeps, results, strict=True):
        kept = [v for v in values if v is not None]
        finite = [v for v in kept if v < math.inf]
        assert one.best == (min(finite) if finite else None)
        bests = [value for _, value in one.curve]
        assert bests == sorted(set(bests), reverse=True)
        if one.num_needed is not None:
            assert found.target is not None
            assert min(v for v in values[: one.num_needed] if v is not None) <= found.target
            assert all(v is None or v > found.target for v in values[: one.num_needed - 1])


def test_teams_have_a_median_and_quartiles_while_all_of_them_run() -> None:
    given = {
        "a": (problem(), trials(None, 4.0, 2.0, 2.0, 1.0)),
        "b": (problem(), trials(8.0, 6.0, 6.0, 5.0)),
        "c": (problem(), trials(3.0)),
        "d": (problem(), trials(None, None)),
    }
    found = compare_sweeps(given, teams={"a": "t", "b": "t", "c": "alone", "d": "none"})
    (team,) = found.teams
    assert (team.name, team.sweeps) == ("t", ("a", "b"))
    assert [(m.num_trials, m.low, m.median, m.high) for m in team.curve] == [
        (2, 4.5, 5.0, 5.5), (3, 3.0, 4.0, 5.0), (4, 2.75, 3.5, 4.25),
    ]  # fmt: skip
    assert compare_sweeps(given, teams={"a": "t", "d": "t"}).teams[0].curve == ()
    assert found.sweeps[0].best_params == {"x": 0.5}


def test_a_team_of_equal_sweeps_has_no_spread() -> None:
    up = problem(Goal.MAXIMIZE)
    (team,) = compare_sweeps(
        {name: (up, trials(1.0, math.inf)) for name in "abc"}, teams=dict.fromkeys("abc", "t")
    ).teams
    assert [(m.low, m.median, m.high) for m in team.curve] == [(1.0, 1.0, 1.0), (math.inf, math.inf, math.inf)]
