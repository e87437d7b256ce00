"""Population-based training: the laws, who goes on from whom, and what it is good for."""

import math
import random
from collections import Counter
from dataclasses import replace

import pytest

from whet.errors import ConfigError, StudyError
from whet.search.pb2 import PB2, _Model
from whet.search.pbt import PBT
from whet.search.perturb import perturbed
from whet.space import Choice, Float, Int, Space
from whet.testing.searcher_laws import SearcherLaws
from whet.trial import Goal, Metric, Phase, Problem, Trial

LR = Space({"lr": Float(1e-4, 1.0, log=True)})


class TestPBT(SearcherLaws):
    num_trials = 40

    def make(self, problem, seed):
        return PBT(problem, seed=seed, population=4, truncation=0.3)


@pytest.mark.slow
class TestPB2(SearcherLaws):
    num_trials = 40

    def make(self, problem, seed):
        return PB2(problem, seed=seed, population=4, truncation=0.3)


def over(number, suggestion, loss, **more):
    return Trial(
        number=number, params=suggestion.params, parent=suggestion.parent, phase=Phase.FINISHED, values=(float(loss),), **more
    )  # fmt: skip


def told(searcher, losses):
    """Run trials one after another with these losses; return them."""
    trials = []
    for number, loss in enumerate(losses):
        trials.append(over(number, searcher.ask(1)[0], loss))
        searcher.tell(trials[-1:], [])
    return trials


def test_the_worst_fifth_goes_on_from_the_best_fifth():
    searcher = PBT(Problem(space=LR), seed=3, population=10)
    losses = [5, 3, 9, 1, 7, 2, 8, 0, 6, 4]
    trials = told(searcher, losses + [0] * 10)
    assert [t.parent for t in trials[:10]] == [None] * 10
    second = trials[10:]
    best, worst = {7, 3}, {2, 6}
    plain = [t for t in second if t.params == trials[t.parent].params]
    assert [t.parent for t in plain] == [n for n in range(10) if n not in worst]  # they go on as they are
    explored = [t for t in second if t not in plain]
    assert len(explored) == 2
    assert {t.parent for t in explored} <= best
    for trial in explored:
        ratio = trial.params["lr"] / trials[trial.parent].params["lr"]
        assert min(abs(ratio - 0.8), abs(ratio - 1.2)) < 1e-9 or ratio != 1


def test_both_of_the_best_are_drawn_and_a_quarter_is_resampled():
    parents, ratios = Counter(), []
    for seed in range(300):
        searcher = PBT(Problem(space=LR), seed=seed, population=10)
        trials = told(searcher, range(10))
        trials += [over(10 + i, s, 0) for i, s in enumerate(searcher.ask(10))]
        for trial in trials[18:]:
            parents[trial.parent] += 1
            ratios.append(trial.params["lr"] / trials[trial.parent].params["lr"])
    assert set(parents) == {0, 1}
    assert min(parents.values()) > 250  # of 600
    moved = [r for r in ratios if min(abs(r - 0.8), abs(r - 1.2)) < 1e-9]
    assert 0.7 < len(moved) / len(ratios) < 0.8


def test_a_failed_or_stopped_member_is_replaced():
    searcher = PBT(Problem(space=LR), seed=1, population=4, truncation=0.25)
    trials = [over(n, s, n) for n, s in enumerate(searcher.ask(4))]
    trials[0] = replace(trials[0], phase=Phase.FAILED, values=None)
    trials[1] = replace(trials[1], stopped=True)
    searcher.tell(trials, [])
    assert Counter(s.parent for s in searcher.ask(4)) == {2: 3, 3: 1}  # of two, none is among the worst quarter


def test_a_generation_begins_when_half_of_the_one_before_is_over():
    searcher = PBT(Problem(space=LR), seed=1, population=4)
    suggestions = searcher.ask(4)
    pending = [Trial(number=n, params=s.params) for n, s in enumerate(suggestions)]
    searcher.tell([], pending)
    assert searcher.ask(1) == []
    searcher.tell([over(0, suggestions[0], 1)], pending[1:])
    assert searcher.ask(1) == []
    searcher.tell([over(1, suggestions[1], 2)], pending[2:])
    assert [s.parent for s in searcher.ask(4)] == [0, 1]  # and then it waits again


def test_a_population_that_fails_altogether_is_founded_anew():
    searcher = PBT(Problem(space=LR), seed=1, population=3)
    dead = [Trial(number=n, params=s.params, phase=Phase.FAILED) for n, s in enumerate(searcher.ask(3))]
    searcher.tell(dead, [])
    (again,) = searcher.ask(1)
    assert again.parent is None


def played(searcher, count, fails):
    """Run trials one after another, those that `fails` says (by number and generation) without a result; return their generations."""
    depth = {}
    for number in range(count):
        asked = searcher.ask(1)
        if not asked:
            break
        depth[number] = 0 if asked[0].parent is None else depth[asked[0].parent] + 1
        trial = over(number, asked[0], number)
        if fails(number, depth[number]):
            trial = replace(trial, phase=Phase.FAILED, values=None)
        searcher.tell([trial], [])
    return depth


def test_founders_that_fail_do_not_make_the_population_larger():
    searcher = PBT(Problem(space=LR), seed=1, population=4, generations=10)
    sizes = Counter(played(searcher, 80, lambda number, _: number < 20).values())
    assert sizes == {0: 21, **dict.fromkeys(range(1, 10), 4)}


def test_a_generation_that_fails_late_is_reached_again():
    searcher, failed = PBT(Problem(space=LR), seed=1, population=3, generations=6), []

    def fails(number, level):
        if level == 2 and len(failed) < 5:
            failed.append(number)
        return number in failed

    sizes = Counter(played(searcher, 100, fails).values())
    assert sizes == {0: 6, 1: 6, 2: 6, 3: 3, 4: 3, 5: 3}


def test_founders_end_where_all_fail():
    searcher = PBT(Problem(space=LR), seed=1, population=3, generations=4)
    assert played(searcher, 100, lambda *_: True) == dict.fromkeys(range(12), 0)
    assert len(played(PBT(Problem(space=LR), seed=1, population=3), 100, lambda *_: True)) == 100


def test_it_ends_after_its_generations():
    searcher = PBT(Problem(space=LR), seed=1, population=3, generations=4)
    trials = told(searcher, range(12))
    assert searcher.ask(1) == []
    depth = {}
    for trial in trials:
        depth[trial.number] = 0 if trial.parent is None else depth[trial.parent] + 1
    assert Counter(depth.values()) == {0: 3, 1: 3, 2: 3, 3: 3}


@pytest.mark.parametrize(
    "knobs", [{"population": 1}, {"truncation": 0.6}, {"factor": 1}, {"resample": 2}, {"quorum": -1}]
)
def test_knobs_outside_their_range(knobs):
    with pytest.raises(ConfigError, match="pbt has"):
        PBT(Problem(space=LR), seed=1, **knobs)


def test_one_metric():
    metrics = (Metric(name="a"), Metric(name="b"))
    with pytest.raises(StudyError):
        PBT(Problem(space=LR, metrics=metrics), seed=1)


def test_how_values_move():
    space = Space(
        {
            "rate": Float(0.001, 1.0, log=True),
            "count": Int(1, 100),
            "few": Int(1, 3),
            "shift": Float(-1.0, 1.0),
            "size": Choice([16, 32, 64, 128], ordered=True),
            "kind": Choice(["a", "b", "c"]),
        }
    )
    old = {"rate": 0.9, "count": 50, "few": 2, "shift": 0.0, "size": 64, "kind": "b"}
    found = [perturbed(space, old, random.Random(i), resample=0.0) for i in range(60)]
    assert {round(p["rate"], 9) for p in found} == {0.72, 1.0}  # not above its range
    assert {p["count"] for p in found} == {40, 60}
    assert {p["few"] for p in found} == {1, 3}
    assert {round(p["shift"], 9) for p in found} == {-0.2, 0.2}
    assert {p["size"] for p in found} == {32, 128}
    assert {p["kind"] for p in found} == {"b"}
    drawn = [perturbed(space, old, random.Random(i), resample=1.0) for i in range(60)]
    assert {p["kind"] for p in drawn} == {"a", "b", "c"}


def test_what_becomes_active_is_drawn_and_constraints_are_kept():
    space = Space(
        {"kind": Choice(["a", "b"]), "x": Float(0, 1, when="kind == 'b'"), "y": Float(0.1, 1.0)},
        constraints=["y <= 0.5"],
    )
    found = [perturbed(space, {"kind": "a", "y": 0.45}, random.Random(i)) for i in range(200)]
    assert all(space.contains(p) for p in found)
    assert len({p["x"] for p in found if p["kind"] == "b"}) > 5


# -- PB2 ----------------------------------------------------------------------------------------------------------------


def test_the_model_is_a_gaussian_process_over_time():
    """Mean and deviation by the textbook's formula, the matrices written out."""
    import numpy as np

    rng = np.random.default_rng(0)
    x, t, y = rng.random((6, 2)), np.array([1.0, 1, 2, 2, 3, 3]), rng.normal(size=6)
    model = _Model(x, t, y, 0.4, 0.1, 0.05)
    at, now = rng.random((3, 2)), 4.0

    def k(a, s, b, u):
        return math.exp(-sum((a - b) ** 2) / (2 * 0.4**2)) * 0.9 ** (abs(s - u) / 2)

    gram = np.array([[k(x[i], t[i], x[j], t[j]) for j in range(6)] for i in range(6)]) + 0.05 * np.eye(6)
    cross = np.array([[k(at[i], now, x[j], t[j]) for j in range(6)] for i in range(3)])
    scale = (y @ np.linalg.solve(gram, y) + 1) / 7
    mean, deviation = model(at, now)
    assert np.allclose(mean, cross @ np.linalg.solve(gram, y), atol=1e-6)
    variance = 1 - np.einsum("ij,ji->i", cross, np.linalg.solve(gram, cross.T))
    assert np.allclose(deviation**2, scale * variance, atol=1e-6)
    _, less = model.believing(at[:1], now)(at[:1], now)
    assert less[0] < deviation[0]


def test_pb2_explores_where_gains_were_great():
    """Of stretches whose gain is greatest at lr = 0.03 the model finds that out; perturbing would stay near the parent's."""
    space = Space({"lr": Float(1e-4, 1.0, log=True)})
    problem = Problem(space=space, metrics=(Metric(name="score", goal=Goal.MAXIMIZE),))
    chosen = []
    for seed in range(5):
        searcher, scores, trials = PB2(problem, seed=seed, population=4), {}, []
        for number in range(60):
            suggestion = searcher.ask(1)[0]
            gain = math.exp(-((math.log10(suggestion.params["lr"]) + 1.5) ** 2))
            scores[number] = scores.get(suggestion.parent, 0.0) + gain
            trials.append(over(number, suggestion, scores[number]))
            searcher.tell(trials[-1:], [])
        explored = [t for t in trials[30:] if t.params != trials[t.parent].params]
        chosen += [abs(math.log10(t.params["lr"]) + 1.5) for t in explored]
    assert sorted(chosen)[len(chosen) // 2] < 0.4


def test_pb2_takes_gains_of_any_size():
    for scale in (1e308, 5e-324, 1.0):
        searcher = PB2(Problem(space=LR), seed=1, population=4)
        trials = told(searcher, [0.9 * scale * math.cos(n) for n in range(40)])
        assert all(LR.contains(t.params) for t in trials)
