import json
import math
import random
from dataclasses import asdict

import pytest

from whet.analysis.compare import compare_runs, goal_by_name
from whet.analysis.correlation import correlation
from whet.analysis.parallel import AxisKind, parallel_coordinates
from whet.errors import UnknownName
from whet.space import Choice, Float, Int, Normal, Space
from whet.trial import Goal, Metric, Phase, Problem, Trial

SPACE = Space(
    {
        "z": Float(0, 1),
        "lr": Float(1e-4, 1, log=True),
        "opt": Choice(["sgd", "adam", "rms"]),
        "momentum": Float(0, 1, when="opt == 'sgd'"),
        "size": Choice(["s", "m", "l"], ordered=True),
        "flag": Choice([False, True]),
        "noise": Float(-math.inf, math.inf, shape=Normal()),
        "layers": Int(2, 2),
    }
)


def trials_of(objective, count=60):
    rng = random.Random(0)
    draws = [SPACE.sample(rng) for _ in range(count)]
    return [Trial(number=n, params=p, phase=Phase.FINISHED, values=objective(p)) for n, p in enumerate(draws)]


def test_parallel_coordinates_put_the_important_axis_first_and_the_metrics_last():
    trials = trials_of(lambda p: (abs(math.log10(p["lr"]) + 2), p["noise"]))
    problem = Problem(space=SPACE, metrics=(Metric(name="loss"), Metric(name="cost")))
    plot = parallel_coordinates(problem, [*reversed(trials), Trial(number=99, params={})])
    names = [axis.name for axis in plot.axes]
    assert names[0] == "lr"
    assert names[-2:] == ["loss", "cost"]
    assert sorted(names[:-2]) == sorted(SPACE)
    assert [axis.is_metric for axis in plot.axes] == [False] * len(SPACE) + [True, True]
    assert [line.number for line in plot.lines] == list(range(60))
    axes = {axis.name: axis for axis in plot.axes}
    assert axes["lr"].kind is AxisKind.LOG
    assert axes["lr"].position(1e-2) == pytest.approx(0.5)
    assert [axes["size"].position(v) for v in ("s", "m", "l", "xl")] == [0, 0.5, 1, None]
    assert [axes["flag"].position(v) for v in (False, True, 1)] == [0, 1, None]
    assert axes["layers"].position(2) == 0.5
    assert axes["noise"].position(max(t.params["noise"] for t in trials)) == 1  # unbounded: what was observed
    assert axes["loss"].position(math.inf) is None
    for line, trial in zip(plot.lines, trials, strict=True):
        at = dict(zip(names, line.positions, strict=True))
        assert (at["momentum"] is None) == ("momentum" not in trial.params)
        assert all(p is None or 0 <= p <= 1 for p in line.positions)
        assert dict(zip(names, line.values, strict=True))["lr"] == trial.params["lr"]


def test_parallel_coordinates_of_some_parameters():
    trials = trials_of(lambda p: (abs(math.log10(p["lr"]) + 2),))
    problem = Problem(space=SPACE, metrics=(Metric(name="loss"),))

    def names(**chosen):
        return [axis.name for axis in parallel_coordinates(problem, trials, **chosen).axes]

    every = names()
    assert names(most=2) == [*every[:2], "loss"]
    assert names(params=["flag", "lr", "flag"], most=1) == ["flag", "lr", "loss"]
    with pytest.raises(UnknownName, match="size"):
        names(params=["sise"])
    lines = parallel_coordinates(problem, trials, params=["lr"]).lines
    assert [line.values for line in lines] == [(t.params["lr"], *t.values) for t in trials]


def test_parallel_coordinates_of_few_trials_keep_the_order_of_the_space():
    problem = Problem(space=SPACE)
    assert [axis.name for axis in parallel_coordinates(problem, []).axes] == [*SPACE, "value"]
    assert len(parallel_coordinates(problem, trials_of(lambda p: (1.0,), 2)).lines) == 2


def test_correlation_is_spearmans():
    stats = pytest.importorskip("scipy.stats")
    trials = trials_of(lambda p: (round(p["lr"] * 8) / 8 + p["z"], -p["z"]))
    problem = Problem(space=SPACE, metrics=(Metric(name="loss"), Metric(name="gain")))
    table = correlation(problem, [*trials, Trial(number=99, params={}, phase=Phase.FAILED)])
    assert table.names == ("z", "lr", "opt=sgd", "opt=adam", "opt=rms", "momentum", "size", "flag=True", "noise", "layers",
                           "loss", "gain")  # fmt: skip
    assert table.of("z", "gain") == pytest.approx(-1)
    assert table.of("lr", "lr") == pytest.approx(1)
    assert table.of("layers", "loss") is None  # it never varies
    assert table.of("momentum", "opt=sgd") is None  # nor does this where both exist
    losses = [t.values[0] for t in trials]
    codes = {
        "lr": [t.params["lr"] for t in trials],
        "opt=adam": [t.params["opt"] == "adam" for t in trials],
        "size": ["sml".index(t.params["size"]) for t in trials],
    }
    for name, column in codes.items():
        assert table.of(name, "loss") == pytest.approx(stats.spearmanr(column, losses).statistic)
    sgd = [t for t in trials if "momentum" in t.params]
    expected = stats.spearmanr([t.params["momentum"] for t in sgd], [t.values[0] for t in sgd]).statistic
    assert table.of("momentum", "loss") == pytest.approx(expected)
    json.dumps(asdict(table), allow_nan=False)


def test_correlation_of_too_few_trials_is_unknown():
    table = correlation(Problem(space=SPACE), trials_of(lambda p: (p["z"],), 2))
    assert {rho for row in table.rho for rho in row} == {None}


def test_compare_runs_says_where_they_differ():
    same = {"lr": 0.1, "x": math.nan, "empty": {}}
    table = compare_runs(
        {
            "a": same | {"model": {"width": 8, "depth": 2}, "on": True},
            "b": same | {"model": {"width": 16, "depth": 2.0}, "on": 1, "tag": None},
        },
        {"a": {"loss": 0.5}, "b": {"loss": 0.5, "top": {"k": 1}}},
    )
    assert table.runs == ("a", "b")
    assert [row.key for row in table.config] == ["lr", "x", "empty", "model.width", "model.depth", "on", "tag"]
    assert [(row.key, row.values) for row in table.differing] == [
        ("model.width", (8, 16)),
        ("on", (True, 1)),
        ("tag", (None, None)),  # one has it, the other has not
    ]
    assert [(row.key, row.values, row.differs) for row in table.summary] == [
        ("loss", (0.5, 0.5), False),
        ("top.k", (None, 1), True),
    ]
    assert compare_runs({"a": {}}, {"c": {"loss": 1}}).runs == ("a", "c")
    assert compare_runs({}, {}).config == ()


def test_the_best_of_a_row_is_a_number_among_several():
    reached = {
        "a": {"loss": 0.5, "acc": 0.9, "same": 1.0, "alone": 3, "far": math.inf, "flag": True},
        "b": {"loss": 0.4, "acc": math.nan, "same": 1, "far": math.inf, "flag": False},
        "c": {"loss": 0.4, "acc": 0.95, "same": 1.0, "far": math.nan, "flag": 0},
    }
    goals = dict.fromkeys(reached["a"], Goal.MINIMIZE) | {"acc": Goal.MAXIMIZE}
    best = {row.key: row.best for row in compare_runs({}, reached, goals).summary}
    assert best == {"loss": (1, 2), "acc": (2,), "same": (), "alone": (), "far": (), "flag": ()}
    assert all(row.best == () for row in compare_runs({}, reached).summary)


def test_a_name_may_tell_which_way_is_better():
    for name in ("val_loss", "eval/WER", "trainLoss", "rmse.test"):
        assert goal_by_name(name) is Goal.MINIMIZE
    for name in ("val/accuracy", "top.f1", "AUC", "evalAcc", "auroc", "psnr"):
        assert goal_by_name(name) is Goal.MAXIMIZE
    for name in ("epoch", "lr", "glossy", "accident", "loss_vs_acc", ""):
        assert goal_by_name(name) is None
