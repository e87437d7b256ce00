"""Hypergradient algorithms as methods of a sweep: what they propose, and what they refuse."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import whet
from whet import plugins
from whet.errors import ConfigError, UnknownName
from whet.joint.method import Gradient
from whet.joint.methods import T1T2, OnePass
from whet.search.tpe import TPE
from whet.space import Choice, Float, Int, Space
from whet.testing.searcher_laws import SearcherLaws
from whet.trial import Phase, Problem, Trial

NAMES = [
    "diff_through_opt", "drmad", "hoag", "hypergradient_descent", "neumann", "one_pass", "rtho", "t1t2", "unrolled",
]  # fmt: skip
SPACE = Space(
    {
        "lr": Float(1e-4, 1.0, log=True),
        "width": Int(8, 64),
        "kind": Choice(["sgd", "adam"]),
        "momentum": Float(0, 0.99, when="kind == 'sgd'"),
        "grid": Float(0, 1, step=0.25),
        "fixed": Float(2, 2),
    }
)
PROBLEM = Problem(space=SPACE)


class TestOnePass(SearcherLaws):
    def make(self, problem: Problem, seed: int) -> Gradient:
        return OnePass(problem, seed=seed)


class TestOnePassOfTPE(SearcherLaws):
    def make(self, problem: Problem, seed: int) -> Gradient:
        return T1T2(problem, seed=seed, search={"name": "tpe", "num_startup": 4})


def test_every_algorithm_is_a_method_under_its_name() -> None:
    for name in NAMES:
        cls = plugins.find("searcher", name)
        assert issubclass(cls, Gradient)
        assert cls.name == name


def test_a_method_without_knobs_of_its_own_needs_no_torch() -> None:
    code = (
        "import sys, whet\n"
        "whet.create_study(space={'lr': {'min': 0.1, 'max': 1.0}}, storage='memory', method={'name': 'one_pass', 'tune': 'lr'})\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_proposes_what_its_search_does() -> None:
    told = [
        Trial(number=i, params=SPACE.sample(OnePass(PROBLEM, seed=0).rng(i)), phase=Phase.FINISHED, values=(float(i),))
        for i in range(12)
    ]
    mine, alone = (
        OnePass(PROBLEM, seed=5, search={"name": "tpe", "num_startup": 3}),
        TPE(PROBLEM, seed=5, num_startup=3),
    )
    for searcher in (mine, alone):
        searcher.tell(told, [])
    assert [s.params for s in mine.ask(3)] == [s.params for s in alone.ask(3)]


def test_the_note_names_what_a_gradient_may_move() -> None:
    notes = {str(s.params["kind"]): s.note for s in OnePass(PROBLEM, seed=1).ask(20)}
    assert notes == {
        "sgd": "one_pass goes on from here with what it can move of lr, momentum",
        "adam": "one_pass goes on from here with what it can move of lr",
    }
    assert T1T2(PROBLEM, seed=1, tune="lr").ask(1)[0].note == "t1t2 goes on from here with lr"
    assert T1T2(Problem(space=Space({"a": Choice([1, 2])})), seed=1).ask(1)[0].note == ""


@pytest.mark.parametrize(
    ("knobs", "kind", "message"),
    [
        ({"tune": ["width"]}, ConfigError, r"one_pass is to tune 'width', and Int\(8, 64\) is not continuous: continuous ones: lr, momentum"),
        ({"tune": "grid"}, ConfigError, "is not continuous"),
        ({"tune": "fixed"}, ConfigError, "is not continuous"),
        ({"tune": "wd"}, ConfigError, "one_pass is to tune 'wd', and there is no such parameter: continuous ones: lr, momentum"),
        ({"outer_lr": 0}, ConfigError, "one_pass has outer_lr=0, not a number at least 1e-12"),
        ({"search": "rnadom"}, UnknownName, "unknown method 'rnadom': did you mean 'random'"),
        ({"search": {"num_startup": 3}}, ConfigError, "which names no method: give a method's name"),
        ({"search": 3}, ConfigError, "search=3, which names no method"),
        ({"search": "neumann"}, ConfigError, "search='neumann', which is a hypergradient method itself"),
        ({"search": {"name": "tpe", "gama": 0.2}}, UnknownName, "unknown knob of tpe 'gama': did you mean 'gamma'"),
    ],
)  # fmt: skip
def test_bad_knobs(knobs: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        whet.create_study(space=SPACE, method={"name": "one_pass", **knobs}, storage="memory")
