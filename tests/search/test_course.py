"""What trials had come to on their way, as rows of a model."""

from __future__ import annotations

import math

import pytest

from whet.search.course import Course, reach, resource
from whet.space import Float, Space
from whet.trial import Goal, Metric, Phase, Problem, Report, Trial

TWO = Problem(space=Space({"x": Float(0, 1)}), metrics=(Metric(name="loss"), Metric(name="hits", goal=Goal.MAXIMIZE)))


def trial(number, steps, *, stopped=False, phase=Phase.FINISHED, missing=()):
    """A trial whose loss at step s is 100·number + s, and whose hits are s."""
    reports = tuple(Report(step=s, values=(math.nan if s in missing else 100.0 * number + s, float(s))) for s in steps)
    values = reports[-1].values if reports and phase is Phase.FINISHED else None
    return Trial(number=number, params={"x": 0.5}, phase=phase, reports=reports, values=values, stopped=stopped)


def course(*trials):
    found = Course(TWO)
    found.learn(trials)
    return found


def test_how_far_a_trial_came() -> None:
    assert reach(trial(0, range(1, 4))) == math.inf
    assert reach(trial(0, range(1, 4), stopped=True)) == 3
    assert reach(trial(0, range(3), stopped=True)) == 3  # steps from 0 are counted from 1
    assert reach(trial(0, (), stopped=True)) == 0
    assert reach(trial(0, range(3), phase=Phase.FAILED)) == 0
    assert reach(trial(0, (-9,), stopped=True)) == 1
    of_hundreds = trial(0, (100, 200)).reports
    assert [resource(of_hundreds, report) for report in of_hundreds] == [100, 200]


def test_without_stopped_trials_there_is_nothing_to_say() -> None:
    assert not course(trial(0, range(1, 28)), trial(1, range(3), phase=Phase.FAILED), trial(2, (), stopped=True))


def rows(found, results, others, most=99):
    return [(row.number, row.share, row.losses) for row in found.rows(results, others, most)]


def test_rows_are_ends_and_what_was_before_them() -> None:
    found = course(trial(0, range(1, 28)), trial(1, range(1, 6), stopped=True), trial(2, (1,), stopped=True))
    assert found
    assert [(n, round(3 * share, 9), losses) for n, share, losses in rows(found, [0], [2, 1])] == [
        (0, 3.0, None),  # its result
        (2, 0.0, (201.0, -1.0)),
        (1, round(math.log(5, 3), 9), (105.0, -5.0)),
        (0, 2.0, (9.0, -9.0)),
        (0, 1.0, (3.0, -3.0)),
        (0, 0.0, (1.0, -1.0)),
        (1, 1.0, (103.0, -3.0)),
        (1, 0.0, (101.0, -1.0)),
    ]
    assert [row[0] for row in rows(found, [0], [2, 1], 4)] == [
        0,
        2,
        1,
        0,
    ]  # a half of them the first, and a choice of the others


def test_reports_far_apart_are_taken_once() -> None:
    found = course(trial(0, (100, 200, 300)), trial(1, (100, 200), stopped=True))
    log = [math.log(resource) / math.log(300) for resource in (100, 200)]
    assert rows(found, [0], [1]) == [
        (0, 1.0, None), (1, log[1], (300.0, -200.0)), (0, log[0], (100.0, -100.0)), (1, log[0], (200.0, -100.0)),
    ]  # fmt: skip


def test_a_trial_without_a_number_says_nothing() -> None:
    found = course(trial(0, (1, 2, 3, 4), stopped=True, missing=(3,)), trial(1, (1, 2), stopped=True, missing=(2,)))
    assert found.stopped(0)
    assert not found.stopped(1)  # it ended without a number, which is a bad result
    assert [(n, losses) for n, _, losses in rows(found, [], [0, 1])] == [(0, (4.0, -4.0)), (1, None), (0, (1.0, -1.0))]


def test_nobody_knows_how_long_a_trial_is_while_none_is_complete() -> None:
    found = course(trial(0, range(1, 10), stopped=True), trial(1, range(1, 4), stopped=True))
    shares = [share for _, share, _ in rows(found, [], [0, 1])]
    assert shares == pytest.approx([2 / 3, 1 / 3, 1 / 3, 0, 0])  # as if it were 27
    found.learn([trial(2, (1,))])
    assert [share for _, share, _ in rows(found, [2], [0, 1])][:3] == [1, 1, 1]
