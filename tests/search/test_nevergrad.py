"""The bridge to Nevergrad: what it tells, what it refuses, how often it begins anew."""

import sys
from importlib.util import find_spec

import pytest

from whet.errors import ConfigError, MissingDependency, UnknownName
from whet.search.nevergrad import Nevergrad
from whet.space import Choice, Float, Int, Space
from whet.trial import Goal, Limit, Metric, Phase, Problem, Trial

SPACE = Space({"x": Float(1e-4, 1.0, log=True), "n": Int(0, 6), "c": Choice(["a", "b", "z"]), "only": Choice([3])})

PLANE = Space({"x": Float(0, 1), "y": Float(0, 1)})


def test_without_nevergrad_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "nevergrad", None)
    with pytest.raises(MissingDependency, match=r'pip install "whet\[nevergrad\]"'):
        Nevergrad(Problem(space=SPACE), seed=0)


ng = pytest.importorskip("nevergrad", reason="nevergrad is not installed")


def made(space=SPACE, *, optimizer="TwoPointsDE", **more):
    problem = Problem(space=space, **{k: more.pop(k) for k in ("metrics", "limits") if k in more})
    return Nevergrad(problem, seed=2, optimizer=optimizer, **more)


def done(number, params, loss, **more):
    return Trial(number=number, params=params, phase=Phase.FINISHED, values=(loss,), **more)


@pytest.fixture
def asked(monkeypatch):
    """How often any optimizer was asked, in a list of one."""
    count = [0]
    before = ng.optimizers.base.Optimizer.ask

    def ask(self):
        count[0] += 1
        return before(self)

    monkeypatch.setattr(ng.optimizers.base.Optimizer, "ask", ask)
    return count


def test_what_is_wrong_says_what_is_right():
    with pytest.raises(UnknownName, match="did you mean 'TwoPointsDE'"):
        made(optimizer="TwoPointDE")
    with pytest.raises(ConfigError, match="Cobyla must be told of each trial before"):
        made(optimizer="Cobyla")
    for knob, value in (("budget", 0), ("num_workers", 1), ("budget", "many")):
        with pytest.raises(ConfigError, match=knob):
            made(**{knob: value})


def test_a_sequential_sweep_is_nevergrads_own():
    """What the optimizer proposes without the bridge, on the same parametrization."""
    import numpy as np

    space = Space({"x": Float(-1, 3), "n": Int(0, 6)})
    mine = made(space, optimizer="OnePlusOne", budget=40)
    theirs = None
    for number in range(40):
        if theirs is None:
            theirs = ng.optimizers.OnePlusOne(mine._parametrization(), budget=40, num_workers=2)
            state = mine._led.optimizer.parametrization.random_state.get_state()
            theirs.parametrization.random_state = np.random.RandomState()
            theirs.parametrization.random_state.set_state(state)
        candidate = theirs.ask()
        params = mine.ask(1)[0].params
        assert params["x"] == pytest.approx(-1 + 4 * candidate.value["p0"])
        assert params["n"] == candidate.value["p1"]
        loss = (params["x"] - 1) ** 2 + params["n"]
        theirs.tell(candidate, loss)
        mine.tell([done(number, params, loss)], [])
    assert loss < 1.5


def test_ngopt_gets_better_on_numbers_with_the_numpy_that_is_installed():
    """Its metamodel calls float on an array, which newer ones refuse."""
    space = Space({"x": Float(0, 1), "y": Float(0, 1)})
    searcher = made(space, optimizer="NGOpt")
    losses = []
    for number in range(40):
        p = searcher.ask(1)[0].params
        losses.append((p["x"] - 0.3) ** 2 + (p["y"] - 0.8) ** 2)
        searcher.tell([done(number, p, losses[-1])], [])
    assert searcher._led.optimizer.optim.name == "MetaModel"
    assert min(losses[20:]) < 1e-3


def test_only_active_parameters_within_the_constraints_are_suggested():
    space = Space(
        {"x": Float(0, 1), "c": Choice(["a", "b"]), "m": Float(0, 1, when="c == 'a'")}, constraints=["x < 0.3"]
    )
    searcher = made(space, optimizer="RandomSearch")
    seen = set()
    for number in range(40):
        params = searcher.ask(1)[0].params
        assert space.clean(params) == dict(params)
        seen.add("m" in params)
        searcher.tell([done(number, params, params["x"])], [])
    assert seen == {True, False}


def test_a_sequential_sweep_asks_once_a_trial(asked):
    searcher = made()
    for number in range(20):
        params = searcher.ask(1)[0].params
        assert searcher.ask(1)[0].params == params
        searcher.tell([done(number, params, params["x"])], [])
    assert asked[0] == 20


def test_workers_make_it_repeat_some_trials_and_not_all(asked):
    """Four trials are always under way, and end out of turn."""
    searcher, pending = made(PLANE, optimizer="RandomSearch"), []
    for number in range(24):
        pending.append(Trial(number=number, params=searcher.ask(1)[0].params))
        over = [pending.pop(number * 7 % 4)] if len(pending) > 4 else []
        searcher.tell([done(t.number, t.params, t.params["x"]) for t in over], tuple(pending))
    assert 24 < asked[0] < 24 * 10  # 24 * 12 would be all of them each time
    late = searcher.ask(1)
    other = made(PLANE, optimizer="RandomSearch")
    other.tell(searcher._finished, tuple(pending))
    assert other.ask(1) == late


def test_one_trial_that_takes_very_long_does_not_make_all_others_be_repeated(asked):
    searcher = made(PLANE, optimizer="RandomSearch")
    straggler = Trial(number=0, params=searcher.ask(1)[0].params)
    late: list[Trial] = []
    for number in range(1, 40):
        searcher.tell([], (straggler, *late))
        new = Trial(number=number, params=searcher.ask(1)[0].params)
        searcher.tell([done(t.number, t.params, t.params["x"]) for t in late], (straggler, new))
        late = [new]
    assert asked[0] < 40 * 10  # 40 * 20 would be all of them each time


def test_a_package_that_an_optimizer_lacks_is_named():
    if find_spec("fcmaes") is not None:
        pytest.skip("fcmaes is installed")
    searcher = made(Space({"x": Float(0, 1), "y": Float(0, 1)}), optimizer="FCMA")
    with pytest.raises(MissingDependency, match=r"FCMA needs a package more .*fcmaes"):
        searcher.ask(1)


def test_what_is_told_of_trials_that_ended_otherwise(monkeypatch):
    told = []
    before = ng.optimizers.base.Optimizer.tell

    def tell(self, candidate, loss, *more):
        told.append(loss)
        return before(self, candidate, loss, *more)

    monkeypatch.setattr(ng.optimizers.base.Optimizer, "tell", tell)
    searcher = made(metrics=(Metric(name="m", goal=Goal.MAXIMIZE),), limits=(Limit(name="size", max=2),))
    ends = [
        {"phase": Phase.FAILED},  # nothing is known yet that it could be worse than
        {"phase": Phase.FINISHED, "values": (5.0,), "attrs": {"size": 1}},
        {"phase": Phase.FINISHED, "values": (1.0,), "attrs": {"size": 1}},
        {"phase": Phase.CANCELED},
        {"phase": Phase.FAILED},
        {"phase": Phase.FINISHED, "values": (float("nan"),)},
        {"phase": Phase.FINISHED, "values": (3.0,), "stopped": True, "attrs": {"size": 2}},
        {"phase": Phase.FINISHED, "values": (9.0,), "attrs": {"size": 6}},  # twice its limit beyond it
        {"phase": Phase.FINISHED, "values": (float("-inf"),), "attrs": {"size": 1}},
    ]
    for number, end in enumerate(ends):
        searcher.tell([Trial(number=number, params=searcher.ask(1)[0].params, **end)], [])
    searcher.ask(1)
    assert told == [-5.0, -1.0, -1.0, -1.0, -3.0, -1.0 + 2 * 8, 1e20]


def test_enqueued_trials_are_told_as_the_users():
    searcher = made(Space({"x": Float(0, 1), "y": Float(0, 1)}), optimizer="OnePlusOne")
    searcher.tell([done(i, {"x": 0.9, "y": 0.1 + i / 100}, 1.0 + i) for i in range(3)], [])
    searcher.ask(1)
    optimizer = searcher._led.optimizer
    assert optimizer.num_tell_not_asked == 3
    best = optimizer.provide_recommendation().value
    assert (best["p0"], best["p1"]) == (pytest.approx(0.9), pytest.approx(0.1))


def test_several_metrics_reach_the_front():
    metrics = (Metric(name="a"), Metric(name="b", goal=Goal.MAXIMIZE))
    searcher = made(Space({"x": Float(-1, 3), "y": Float(0, 1)}), optimizer="DE", metrics=metrics)
    last = []
    for number in range(150):
        p = searcher.ask(1)[0].params
        last.append(p["y"])
        values = (p["x"] ** 2 + p["y"], -((p["x"] - 2) ** 2) - p["y"])
        searcher.tell([Trial(number=number, params=p, phase=Phase.FINISHED, values=values)], [])
    assert sum(last[-30:]) < 0.6 * sum(last[:30])  # y only hurts
