"""The default search takes the right method and says which."""

from __future__ import annotations

from dataclasses import replace

import pytest

from whet.errors import ConfigError
from whet.search.auto import Auto
from whet.search.bohb import BOHB
from whet.search.ehvi import EHVI
from whet.search.gp import GP
from whet.search.motpe import MOTPE
from whet.search.tpe import TPE
from whet.space import Float, Space
from whet.testing.searcher_laws import SearcherLaws
from whet.trial import Metric, Phase, Problem, Report, Trial

PLANE = Space({"x": Float(0, 1), "y": Float(0, 1)})


@pytest.mark.slow  # its parts keep the laws, each for itself
class TestAuto(SearcherLaws):
    num_trials = 16

    def make(self, problem, seed):
        return Auto(problem, seed=seed, num_startup=4, switch_at=12)


@pytest.mark.slow
class TestAutoOfTwo(TestAuto):
    num_metrics = 2


def finished(count):
    return [
        Trial(number=i, params={"x": i % 7 / 7, "y": i % 5 / 5}, phase=Phase.FINISHED, values=(float(i % 11),))
        for i in range(count)
    ]


@pytest.mark.parametrize(("count", "method"), [(0, GP), (30, GP), (24, TPE), (31, TPE)])
def test_it_suggests_what_the_method_of_the_hour_would(count, method) -> None:
    problem = Problem(space=PLANE)
    auto, other = Auto(problem, seed=3, switch_at=31), method(problem, seed=3)
    for searcher in (auto, other):
        searcher.tell(finished(count), [])
    (found,), (wanted,) = auto.ask(1), other.ask(1)
    assert found.params == wanted.params
    assert found.note.startswith(f"{method.__name__.lower()}: ")


def test_a_batch_has_every_eighth_trial_from_tpe() -> None:
    auto = Auto(Problem(space=PLANE), seed=3)
    auto.tell(finished(24), [])
    batch = auto.ask(9)
    assert [s.note.split(":")[0] for s in batch] == ["tpe", *["gp"] * 7, "tpe"]
    assert len({tuple(s.params.values()) for s in batch}) == 9
    assert auto.ask(9) == batch


def test_many_parameters_are_tpes() -> None:
    auto = Auto(Problem(space=Space({f"x{i}": Float(0, 1) for i in range(50)})), seed=0)
    assert auto.ask(1)[0].note == "tpe: 50 parameters are many for a Gaussian process"


def test_bad_knobs() -> None:
    for knobs in ({"switch_at": 0}, {"num_startup": 1}, {"num_startup": 0}, {"prior": 3}, {"prior": {"nowhere": 1}}):
        with pytest.raises(ConfigError, match=f"^bayes has .*{next(iter(knobs))}"):
            Auto(Problem(space=PLANE), seed=0, **knobs)


def several(count, space=PLANE):
    return Problem(space=space, metrics=tuple(Metric(name=f"m{i}") for i in range(count)))


@pytest.mark.parametrize(("told", "method"), [(11, EHVI), (13, EHVI), (16, MOTPE), (20, MOTPE)])
def test_several_metrics_have_methods_of_their_own(told, method) -> None:
    auto, other = Auto(several(2), seed=3, switch_at=20), method(several(2), seed=3)
    trials = [replace(t, values=(*t.values, float(t.number * 7 % 5))) for t in finished(told)]
    for searcher in (auto, other):
        searcher.tell(trials, [])
    (found,), (wanted,) = auto.ask(1), other.ask(1)
    assert found.params == wanted.params
    assert found.note.startswith(f"{method.__name__.lower()}: ")


def test_where_trials_are_stopped_every_second_one_is_bohbs() -> None:
    auto, bohb = Auto(several(2), seed=3), BOHB(several(2), seed=3, num_results=10)
    trials = [replace(t, values=(*t.values, float(t.number * 7 % 5))) for t in finished(20)]
    reports = (Report(step=1, values=(1.0, 2.0)),)
    trials.append(Trial(number=20, params={"x": 0.5, "y": 0.5}, phase=Phase.FINISHED, reports=reports, stopped=True,
                        values=reports[-1].values))  # fmt: skip
    for searcher in (auto, bohb):
        searcher.tell(trials, [])
    batch = auto.ask(4)
    assert [s.note.split(":")[0] for s in batch] == ["ehvi", "bohb", "ehvi", "bohb"]
    bohb.pending = [Trial(number=21, params=batch[0].params)]
    assert batch[1].params == bohb.ask(1)[0].params


def test_many_metrics_are_motpes() -> None:
    assert Auto(several(5), seed=0).ask(1)[0].note == "motpe: 5 metrics are many for expected hypervolume"
