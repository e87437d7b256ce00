"""CMA-ES, differential and regularised evolution: how far they get, and what makes each of them what it is."""

from __future__ import annotations

import random
from importlib.util import find_spec

import numpy as np
import pytest

from whet.errors import ConfigError, StudyError
from whet.plugins import build
from whet.search.cmaes import CMAES
from whet.search.de import DE
from whet.search.evolution import Evolution
from whet.space import Choice, Float, Int, Space
from whet.trial import Metric, Phase, Problem, Trial

VALLEY = Space({f"x{i}": Float(-2, 2) for i in range(5)})
MIXED = Space(
    {
        "opt": Choice(["a", "b", "c", "d"]),
        "x": Float(-3, 3),
        "n": Int(0, 30),
        "y": Float(0, 1, when="opt == 'c'"),
    },
    constraints=["n >= 2"],
)  # fmt: skip


def valley(params):
    x = np.array(list(params.values()))
    return float((10 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def mixed(params):
    off = {"a": 1.0, "b": 0.7, "c": 0.0, "d": 1.5}[params["opt"]]
    return off + (params["x"] - 1) ** 2 + abs(params["n"] - 17) / 10 + (params.get("y", 0.5) - 0.5) ** 2


def over(number, params, loss):
    return Trial(number=number, params=params, phase=Phase.FINISHED, values=(loss,))


def reached(name, space, objective, count, seed, **knobs):
    searcher = build("searcher", name, Problem(space=space), seed=seed, knobs_given=knobs)
    losses = []
    for number in range(count):
        params = searcher.ask(1)[0].params
        losses.append(objective(params))
        searcher.tell([over(number, params, losses[-1])], [])
    return min(losses)


@pytest.mark.parametrize(("name", "share"), [("cmaes", 0.1), ("de", 0.35), ("evolution", 0.35)])
def test_gets_down_a_curved_valley(name, share) -> None:
    mine = np.median([reached(name, VALLEY, valley, 250, seed) for seed in range(5)])
    chance = np.median([reached("random", VALLEY, valley, 250, seed) for seed in range(5)])
    assert mine < share * chance


@pytest.mark.parametrize("name", ["cmaes", "de", "evolution"])
def test_finds_the_right_options_and_numbers(name) -> None:
    mine = np.median([reached(name, MIXED, mixed, 250, seed) for seed in range(5)])
    chance = np.median([reached("random", MIXED, mixed, 250, seed) for seed in range(5)])
    assert mine < 0.05
    assert mine < 0.7 * chance


@pytest.mark.skipif(find_spec("optuna") is None, reason="optuna is not installed")
def test_cma_es_is_as_good_as_optunas() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def theirs(seed):
        study = optuna.create_study(sampler=optuna.samplers.CmaEsSampler(seed=seed))
        study.optimize(lambda t: valley({n: t.suggest_float(n, -2, 2) for n in VALLEY}), n_trials=250)
        return study.best_value

    mine = [reached("cmaes", VALLEY, valley, 250, seed) for seed in range(7)]
    assert np.median(mine) < 2.0 * np.median([theirs(seed) for seed in range(7)])


def test_cma_es_changes_with_full_generations_only() -> None:
    told = [over(n, VALLEY.sample(random.Random(n)), float(n % 5)) for n in range(17)]
    problem, pending = Problem(space=VALLEY), Trial(number=40, params=VALLEY.sample(random.Random(99)))

    def at(count, number=30):
        searcher = CMAES(problem, seed=0, population=8)
        fill = [Trial(number=100 + i, params=pending.params) for i in range(number - count)]
        searcher.tell(told[:count], fill)
        return searcher.ask(1)

    assert at(8) == at(9) == at(15)
    assert at(8) != at(16)
    assert at(16) == at(17)


def test_cma_es_told_late_is_as_told_in_time() -> None:
    rng = random.Random(1)
    told = [over(n, params := VALLEY.sample(rng), valley(params)) for n in range(400)]
    whole, late = CMAES(Problem(space=VALLEY), seed=0), CMAES(Problem(space=VALLEY), seed=0)
    whole.tell(told, [])
    missing = [told[5], told[200], told[390]]
    for start in range(0, 400, 50):
        late.tell([t for t in told[start : start + 50] if t not in missing], [])
        late.ask(1)
    for trial in missing:
        late.tell([trial], [])
        late.ask(1)
    assert late.ask(3) == whole.ask(3)


def test_cma_es_begins_elsewhere_when_it_has_converged() -> None:
    searcher = CMAES(Problem(space=Space({"x": Float(0, 1)})), seed=0)
    for number in range(600):
        x = searcher.ask(1)[0].params["x"]
        searcher.tell([over(number, {"x": x}, abs(x - 0.3))], [])
    assert searcher._stages[-1].restarts >= 1
    assert searcher._stages[-1].size > searcher._stages[0].size
    assert len(searcher._stages) <= 40


def test_evolution_lets_the_old_die() -> None:
    space = Space({"x": Float(0, 1), "y": Float(0, 1)})
    best_but_old = [over(0, {"x": 0.111, "y": 0.111}, -100.0)]
    young = [over(n, {"x": 0.777, "y": 0.777}, 1.0) for n in range(1, 21)]
    searcher = Evolution(Problem(space=space), seed=0, population=20, sample=20, width=1e-3)
    searcher.tell([*best_but_old, *young], [])
    for suggestion in searcher.ask(20):
        assert 0.777 in [round(v, 12) for v in suggestion.params.values()]  # one of the two has changed
        assert 0.111 not in suggestion.params.values()


def test_de_replaces_a_place_by_what_is_better_only() -> None:
    space = Space({"x": Float(0, 1)})
    searcher = DE(Problem(space=space), seed=0, population=4)
    searcher.tell([over(n, {"x": n / 10}, float(n)) for n in range(4)], [])
    searcher.tell([over(4, {"x": 0.9}, 7.0), over(5, {"x": 0.8}, 0.5)], [])
    assert [searcher._members[i][0][1] for i in range(4)] == [0.0, 0.5, 2.0, 3.0]


@pytest.mark.parametrize("name", ["cmaes", "de", "evolution"])
def test_all_trials_failed_and_one_metric(name) -> None:
    problem = Problem(space=MIXED)
    searcher = build("searcher", name, problem, seed=0, knobs_given={})
    for number in range(60):
        params = searcher.ask(1)[0].params
        assert MIXED.contains(params)
        searcher.tell([Trial(number=number, params=params, phase=Phase.FAILED)], [])
    two = Problem(space=MIXED, metrics=(Metric(name="a"), Metric(name="b")))
    with pytest.raises(StudyError, match="one metric, not 2"):
        build("searcher", name, two, seed=0, knobs_given={})


@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("cmaes", {"population": 3}),
        ("cmaes", {"sigma": 0}),
        ("de", {"population": 3}),
        ("de", {"scale": 3}),
        ("evolution", {"population": 1}),
        ("evolution", {"width": 0}),
    ],
)
def test_bad_knobs(name, knobs) -> None:
    with pytest.raises(ConfigError, match=next(iter(knobs))):
        build("searcher", name, Problem(space=VALLEY), seed=0, knobs_given=knobs)
