"""The bridge to Ax: its space, what it is told, and what is done where it has no answer. Ax itself is only asked in the slow tests."""

import sys
from importlib.util import find_spec

import pytest

from whet.errors import ConfigError, MissingDependency
from whet.search import ax as bridge
from whet.search.ax import Ax
from whet.space import Choice, Float, Int, Space
from whet.trial import Goal, Limit, Metric, Phase, Problem, Trial

SPACE = Space(
    {
        "x": Float(0, 1),
        "n": Int(1, 9),
        "c": Choice(["a", "b", "z"]),
        "m": Float(0, 1, when="c == 'a'"),
        "k": Choice([4]),
    },
    constraints=["x < 0.9"],
)


def test_without_ax_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(bridge, "_loaded", [])
    monkeypatch.setitem(sys.modules, "ax.api.client", None)
    with pytest.raises(MissingDependency, match=r'pip install "whet\[ax\]"'):
        Ax(Problem(space=SPACE), seed=0)


@pytest.fixture
def client(monkeypatch):
    """Ax's client, its place taken by one that remembers what it is told."""

    class Client:
        suggested = ({"p0": 0.95, "p1": 3, "p2": "0", "p3": 0.5}, {"p0": 0.25, "p1": 3, "p2": "1", "p3": 0.5})
        wrong: Exception | None = None
        made: list = []

        def __init__(self, random_seed):
            self.seed, self.trials, self.abandoned, self.asked = random_seed, [], [], 0
            self.made.append(self)

        def configure_experiment(self, parameters):
            pass

        def configure_optimization(self, objective, outcome_constraints):
            self.objective, self.limits = objective, outcome_constraints

        def configure_generation_strategy(self, **given):
            self.strategy = given

        def attach_trial(self, params):
            self.trials.append(params)
            return len(self.trials) - 1

        def mark_trial_abandoned(self, index):
            self.abandoned.append(index)

        def get_next_trials(self, max_trials):
            if self.wrong is not None:
                raise self.wrong
            found = self.suggested[min(self.asked, 1)]
            self.asked += 1
            return {self.attach_trial(found): found}

    class Loaded:
        client, exceptions = Client, (RuntimeError,)

    Client.made = []
    monkeypatch.setattr(bridge, "_loaded", [Loaded()])
    monkeypatch.setattr(bridge, "_tell", lambda client, rows: setattr(client, "rows", list(rows)))
    monkeypatch.setattr(bridge, "_quiet", lambda: __import__("contextlib").nullcontext())
    monkeypatch.setattr(Ax, "_parameters", lambda self: [])
    return Client


METRICS = (Metric(name="a"), Metric(name="b", goal=Goal.MAXIMIZE))
LIMITS = (Limit(name="size", max=3), Limit(name="never", min=1))


def told(*ends, **more):
    searcher = Ax(Problem(space=SPACE, **more), seed=1, num_startup=3)
    base = {"x": 0.5, "n": 2, "c": "b", "k": 4}
    searcher.tell([Trial(number=i, params=base, **end) for i, end in enumerate(ends)], [])
    return searcher


def test_before_the_model_come_the_middle_and_a_sobol_sequence(client):
    searcher = Ax(Problem(space=SPACE), seed=1)
    assert searcher.ask(1)[0].params == SPACE.decode([0.5] * 5)
    assert len({tuple(s.params.items()) for s in searcher.ask(4)}) == 4
    assert all(SPACE.contains(s.params) for s in searcher.ask(4))
    assert client.made == []


def test_ax_is_told_each_trial_for_what_it_is(client):
    searcher = told(
        {"phase": Phase.FINISHED, "values": (1.0, 2.0), "attrs": {"size": 1}},
        {"phase": Phase.FAILED},
        {"phase": Phase.CANCELED},
        {"phase": Phase.FINISHED, "values": (float("inf"), 4.0), "attrs": {"size": 5}},
        {"phase": Phase.FINISHED, "values": (float("nan"), 4.0)},
        {"phase": Phase.FINISHED, "values": (7.0, 3.0), "stopped": True, "attrs": {"size": float("inf"), "never": 1}},
        metrics=METRICS, limits=LIMITS,
    )  # fmt: skip
    searcher.tell([], [Trial(number=6, params={"x": 0.1, "n": 9, "c": "nowhere"})])
    found = searcher.ask(1)[0]
    assert found.params == {"x": 0.25, "n": 4, "c": "b", "k": 4}  # the first one breaks the constraint
    (made,) = client.made
    assert made.objective == "-m0, -m1"
    assert made.limits == ["l0 <= 3"]  # of "never" there is one number only
    assert [trial["p0"] for trial in made.trials] == pytest.approx([0.5] * 5 + [0.1, 0.95, 0.25])
    assert (made.trials[0]["p1"], made.trials[0]["p2"]) == (1, "1")
    assert all(trial.keys() == {"p0", "p1", "p2", "p3"} for trial in made.trials)  # drawn where it does not exist
    assert made.abandoned == [1, 3, 6]
    assert made.rows == [
        (0, "m0", 1.0), (0, "m1", -2.0), (0, "l0", 1.0),
        (2, "m0", 7.0), (2, "m1", -4.0), (2, "l0", 5.0),  # infinite counts as the worst
        (4, "m0", 7.0), (4, "m1", -3.0), (4, "l1", 1.0),
    ]  # fmt: skip


def test_where_ax_fails_the_sequence_goes_on_and_says_so(client):
    client.wrong = RuntimeError("no")
    searcher = told(*[{"phase": Phase.FINISHED, "values": (float(i),)} for i in range(3)])
    found = searcher.ask(1)[0]
    assert found.note == "Ax had no suggestion (RuntimeError): a point of a Sobol sequence"
    assert SPACE.contains(found.params)


def test_a_knob_outside_its_range_is_refused(client):
    for knobs, said in (({"num_startup": 1}, "num_startup"), ({"strategy": "slow"}, "give one of fast, quality")):
        with pytest.raises(ConfigError, match=said):
            Ax(Problem(space=SPACE), seed=0, **knobs)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ax") is None, reason="Ax is not installed: it pulls BoTorch and GPyTorch")
def test_ax_finds_the_best_and_heeds_limits():
    space = Space({"x": Float(0, 1), "lr": Float(1e-4, 1, log=True)})
    problem = Problem(space=space, limits=(Limit(name="size", max=0.5),))
    searcher, losses = Ax(problem, seed=3), []
    for number in range(16):
        found = searcher.ask(1)[0]
        assert found.note == ""  # it is Ax's
        p = found.params
        loss = (p["x"] - 0.7) ** 2 + space["lr"].encode(p["lr"]) ** 2
        losses.append(loss if p["x"] <= 0.5 else 9.0)
        searcher.tell(
            [Trial(number=number, params=p, phase=Phase.FINISHED, values=(loss,), attrs={"size": p["x"]})], []
        )
    assert min(losses) < 0.06  # 0.04 on the limit
