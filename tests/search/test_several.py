"""Searchers for several metrics: their sums against simulation, and how far they get."""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import pytest

from whet.errors import ConfigError
from whet.fronts import boxes, hypervolume
from whet.plugins import build
from whet.search.ehvi import EHVI, _floors, _standard, log_expected_gain
from whet.search.history import thinned
from whet.search.nsga2 import NSGA2
from whet.space import Choice, Float, Space
from whet.trial import Limit, Metric, Phase, Problem, Report, Trial

PLANE = Space({f"x{i}": Float(0, 1) for i in range(6)})


def problem(space=PLANE, count=2):
    return Problem(space=space, metrics=tuple(Metric(name=f"m{i}") for i in range(count)))


def zdt1(params):
    x = np.array(list(params.values()))
    g = 1 + 9 * x[1:].mean()
    return float(x[0]), float(g * (1 - np.sqrt(x[0] / g)))


def reached(name, count, seed, objective=zdt1, space=PLANE, far=(1.1, 7.0)):
    searcher = build("searcher", name, problem(space, len(far)), seed=seed, knobs_given={})
    losses = []
    for number in range(count):
        params = searcher.ask(1)[0].params
        losses.append(objective(params))
        searcher.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=losses[-1])], [])
    return hypervolume(np.array(losses), np.array(far))


@pytest.mark.parametrize("M", [1, 2, 3, 4])
def test_expected_gain_is_the_mean_of_the_gain(M) -> None:
    rng = np.random.default_rng(M)
    front, far = rng.random((6, M)), np.full(M, 1.2)
    mean, deviation = rng.random((4, M)) * 1.5, 0.05 + 0.4 * rng.random((4, M))
    lower, upper = boxes(front, far)
    found = np.exp(log_expected_gain(mean, deviation, lower, upper))
    for n in range(4):
        y = mean[n] + deviation[n] * rng.standard_normal((100_000, M))
        gain = np.zeros(len(y))
        for low, high in zip(lower, upper, strict=True):
            gain += np.prod(np.maximum(high - np.maximum(low, y), 0.0), axis=1)
        assert found[n] == pytest.approx(gain.mean(), abs=5 * gain.std() / np.sqrt(len(y)) + 1e-9)


def test_expected_gain_without_doubt_is_the_gain_and_far_away_it_still_has_a_slope() -> None:
    front, far = np.array([[0.2, 0.6], [0.6, 0.2]]), np.array([1.0, 1.0])
    lower, upper = boxes(front, far)
    mean = np.array([[0.4, 0.4], [0.1, 0.1]])
    found = np.exp(log_expected_gain(mean, np.full((2, 2), 1e-9), lower, upper))
    wanted = [hypervolume(np.vstack([front, y]), far) - hypervolume(front, far) for y in mean]
    assert found == pytest.approx(np.array(wanted), rel=1e-6)
    hopeless = np.array([[3.0, 3.0], [3.1, 3.0], [3.1, 3.1]])
    log = log_expected_gain(hopeless, np.full((3, 2), 0.01), lower, upper)
    assert np.isfinite(log).all()
    assert log[0] > log[1] > log[2]
    assert log[0] < -10_000  # exp of it is 0


def test_below_a_bound_that_trials_share_nothing_is_promised() -> None:
    losses = np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0], [1.0, 0.5], [2.0, 0.2]])
    floors = _floors(losses)
    assert floors.tolist() == [0.0, -np.inf]  # 0.2 is one trial's
    lower, upper = boxes(losses, np.array([2.5, 3.5]))
    mean, deviation = np.array([[-0.5, 1.2], [-0.5, 0.1]]), np.full((2, 2), 1e-6)
    assert np.exp(log_expected_gain(mean, deviation, lower, upper))[0] > 0.5
    held = np.exp(log_expected_gain(mean, deviation, np.maximum(lower, floors), upper))
    assert held[0] < 1e-5
    assert held[1] == pytest.approx(hypervolume(np.vstack([losses, [0.0, 0.1]]), np.array([2.5, 3.5])) - hypervolume(losses, np.array([2.5, 3.5])), rel=1e-4)  # fmt: skip


def test_terrible_losses_are_clipped_but_no_end_of_the_front_is() -> None:
    front = np.array([[0.0, 9.0], [0.0, 8.0], [0.0, 7.0], [0.01, 6.0], [5.0, 0.0]])  # half of the first metric is 0
    y = _standard(np.vstack([front, [[np.nan, np.nan], [1e9, 1e9]]]))
    assert y[4, 0] > y[3, 0] + 1.0
    assert y[6, 0] == pytest.approx(y[:, 0].max())
    assert y[5, 0] == y[6, 0]  # a failed trial counts as the worst
    assert y[6, 0] - y[4, 0] < 3.0 * (y[4, 0] - y[0, 0])
    assert y.mean(axis=0) == pytest.approx(np.zeros(2), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "count", "share"),
    [pytest.param("ehvi", 50, 0.985, marks=pytest.mark.slow), ("motpe", 100, 0.84), ("nsga2", 150, 0.80)],
)
def test_gets_further_than_chance(name, count, share) -> None:
    whole = 1.1 * 7 - 1 / 3
    mine = np.mean([reached(name, count, seed) for seed in range(3)])
    chance = np.mean([reached("random", count, seed) for seed in range(3)])
    assert mine > share * whole
    assert whole - mine < 0.7 * (whole - chance)


@pytest.mark.parametrize("name", [pytest.param("ehvi", marks=pytest.mark.slow), "motpe", "nsga2"])
def test_a_front_over_choices_is_found_whole(name) -> None:
    space = Space(
        {"net": Choice(["a", "b", "c"]), "w": Float(0, 1), "d": Float(0, 1, when="net != 'a'")},
        constraints=["w <= 0.9"],
    )

    def loss(params):
        base = {"a": 0.0, "b": 0.5, "c": 1.0}[params["net"]]
        off = (params["w"] - 0.3) ** 2 + (params["d"] - 0.7) ** 2 if "d" in params else (params["w"] - 0.6) ** 2
        return base + off, 1.0 - base + off

    far = (1.5, 1.5)
    whole = hypervolume(np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]), np.array(far))
    assert reached(name, 120 if name == "nsga2" else 60, 1, loss, space, far) > 0.93 * whole


def test_parents_of_nsga2_are_the_front_with_room_around_them_first() -> None:
    space = Space({"x": Float(0, 1)})
    searcher = NSGA2(problem(space), seed=0, population=4)
    for number, x in enumerate([0.5, 0.51, 0.0, 0.52, 1.0, 0.8]):
        searcher.tell([Trial(number=number, params={"x": x}, phase=Phase.FINISHED, values=(x, 1 - x))], [])
    beaten = Trial(number=6, params={"x": 0.25}, phase=Phase.FINISHED, values=(0.9, 0.9))
    searcher.tell([beaten], [])
    assert [unit[0] for unit in searcher._ranked()] == [0.0, 1.0, 0.5, 0.8]


def work(name, num_trials) -> tuple[int, int]:
    """Return the calls and the bytes that it takes to be told of one trial more, after `num_trials`, and to suggest the next."""
    rng = np.random.default_rng(0)
    searcher = build("searcher", name, problem(count=3), seed=0, knobs_given={})
    trials = [
        Trial(number=n, params={f"x{i}": float(v) for i, v in enumerate(rng.random(6))}, phase=Phase.FINISHED, values=tuple(rng.random(3)))
        for n in range(num_trials + 2)
    ]  # fmt: skip
    searcher.tell(trials[:-2], ())
    searcher.ask(1)
    calls = 0

    def count(frame, event, argument) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        searcher.tell(trials[-2:-1], ())
        searcher.ask(1)
    finally:
        sys.setprofile(before)
    tracemalloc.start()
    searcher.tell(trials[-1:], ())
    searcher.ask(1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return calls, peak


@pytest.mark.parametrize("name", ["motpe", "nsga2"])
def test_ten_thousand_trials_do_not_make_a_suggestion_dear(name) -> None:
    (few_calls, few_bytes), (many_calls, many_bytes) = work(name, 1000), work(name, 10_000)
    assert many_calls < 1.5 * few_calls
    assert many_bytes < 2 * few_bytes


@pytest.mark.parametrize("name", [pytest.param("ehvi", marks=pytest.mark.slow), "motpe", "nsga2"])
def test_constant_and_hopeless_objectives_are_survived(name) -> None:
    for values in ((1.0, 1.0), (float("nan"), 1.0), (float("inf"), float("-inf")), (1e308, -1e308)):
        assert reached(name, 20, 0, lambda _, values=values: values, far=(2.0, 2.0)) >= 0


@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("ehvi", {"num_startup": 1}),
        ("ehvi", {"max_points": 3}),
        ("motpe", {"gamma": 0}),
        ("motpe", {"num_kernels": 1}),
        ("nsga2", {"population": 1}),
        ("nsga2", {"crossover": 2}),
    ],
)
def test_bad_knobs(name, knobs) -> None:
    with pytest.raises(ConfigError, match=next(iter(knobs))):
        build("searcher", name, problem(), seed=0, knobs_given=knobs)


def test_what_is_fitted_to_is_sorted_out_at_milestones_only(monkeypatch) -> None:
    rng, searcher = np.random.default_rng(0), EHVI(problem(), seed=0)
    evidence = searcher._evidence
    numbers = [n for n in range(420) if n != 5]
    calls = []
    sort = evidence.ranked
    monkeypatch.setattr(evidence, "ranked", lambda found: calls.append(len(found)) or sort(found))
    for n in [*numbers, 5]:
        values = tuple(rng.random(2))
        evidence.learn([Trial(number=n, params=dict.fromkeys(PLANE, 0.5), phase=Phase.FINISHED, values=values)])
        before = evidence.fitted()
    first = sorted([*numbers, 5])[: max(calls)]
    assert before == sorted(thinned(sort(first), 160))  # the late one counts
    assert len(calls) <= 14
    evidence.fitted()
    assert len(calls) <= 14


def early(number, x, losses, last, *, whole=27, **more):
    """A trial that reported `losses(x, step)` up to step `last`, at which it was stopped unless that is the whole of it."""
    reports = tuple(Report(step=s, values=losses(x, s)) for s in range(1, last + 1))
    values = reports[-1].values if reports else None
    params = x if isinstance(x, dict) else {"x": x}
    return Trial(number=number, params=params, phase=Phase.FINISHED, reports=reports, stopped=last < whole,
                 values=values, **more)  # fmt: skip


def bowls(x, step):
    return tuple((x - best) ** 2 + 3.0 / step - 3.0 / 27 for best in (0.2, 0.4))


LINE = Space({"x": Float(0, 1)})


def test_trials_that_were_stopped_tell_where_they_would_have_ended() -> None:
    ehvi = EHVI(problem(LINE), seed=0, num_startup=2)
    # What is best was stopped at once, when all trials are bad: only those that went on tell how much better it gets.
    stopped = [early(number, x, bowls, 1) for number, x in enumerate((0.1, 0.22, 0.28, 0.34, 0.45))]
    complete = [early(5 + number, x, bowls, 27) for number, x in enumerate((0.55, 0.65, 0.75, 0.85, 0.95))]
    ehvi.tell([*stopped, *complete], [])
    models, results, kept, far = ehvi._processes([])
    assert len(results) == len(kept) == 5  # no loss on the way counts as one
    expected = [model.mean(ehvi._at_the_end(ehvi._evidence.features([2, 9])))[0] for model in models]
    assert (np.array(expected) < results.min(axis=0)).all()
    assert (far > results.max(axis=0)).all()
    suggested = [s.params["x"] for s in ehvi.ask(2)]
    assert all(0.15 < x < 0.45 for x in suggested), suggested


def slide(x, step):
    return x + 1 / step, 1 - x + 1 / step


@pytest.mark.parametrize("bad", [None, {"phase": Phase.FAILED}, {"phase": Phase.FINISHED, "stopped": True}])
def test_where_nothing_runs_to_its_end_what_is_reported_has_to_do(bad) -> None:
    ehvi = EHVI(problem(LINE), seed=0, num_startup=2)
    ehvi.tell([early(number, x, slide, 3) for number, x in enumerate((0.3, 0.5, 0.6, 0.7))], [])
    if bad:  # it is no result, either
        ehvi.tell([Trial(number=4, params={"x": 0.1}, **bad)], [])
    _, front, kept, _ = ehvi._processes([])
    assert len(front) == len(kept) == 4
    assert 0 <= ehvi.ask(1)[0].params["x"] <= 1


def test_one_result_is_no_reason_to_look_only_for_what_dominates_it() -> None:
    # All points of the line are on the front; only one ran to its end.
    ehvi = EHVI(problem(LINE), seed=0, num_startup=2)
    trials = [early(number, (2 * number + 1) / 28, slide, 3) for number in range(14)]
    ehvi.tell([*trials, early(14, 0.1, slide, 27)], [])
    found = [s.params["x"] for s in ehvi.ask(6)]
    assert max(found) - min(found) > 0.5, found


@pytest.mark.parametrize("limits", [(), (Limit(name="size", max=60),)])
@pytest.mark.parametrize("begin", [10, 22, 24])  # the first that is stopped
def test_what_was_stopped_changes_no_fit_of_before_however_it_was_told(begin, limits) -> None:
    space = Space({"x": Float(0, 1), "c": Choice(["a", "b", "c"])})
    here = Problem(space=space, metrics=problem().metrics, limits=limits)

    def losses(params, step):
        return params["x"] + 1 / step, (1 - params["x"]) ** 2 + (params["c"] == "a") + 2 / step

    rng, trials = np.random.default_rng(begin), []
    for number in range(30):
        params = {"x": float(rng.random()), "c": "abc"[rng.integers(3)]}
        last = int(rng.choice([1, 3, 9, 27, 40])) if number > begin else 1 if number == begin else 27
        trials.append(early(number, params, losses, last, attrs={"size": float(rng.integers(100))}))
    one_by_one = EHVI(here, seed=0, max_points=40)
    one_by_one.tell(trials[:20], [])
    for count in range(20, 30):
        one_by_one.tell(trials[count : count + 1], [])
        at_once = EHVI(here, seed=0, max_points=40)
        at_once.tell(trials[: count + 1], [])
        assert one_by_one.ask(1) == at_once.ask(1)
        for (one, one_noise), (other, other_noise) in zip(one_by_one._fit(), at_once._fit(), strict=True):
            assert (one == other).all()
            assert one_noise == other_noise


def test_the_front_of_the_results_is_not_crowded_out() -> None:
    ehvi = EHVI(problem(LINE), seed=0, max_points=30)
    rng = np.random.default_rng(0)

    def growing(x, step):  # the longer a trial, the worse one metric: what was stopped at once is ahead of all results
        return 1 / step + x, (1 - x) * step

    trials = [early(n, float(rng.random()), growing, 27 if n % 10 == 0 else 1) for n in range(100)]
    ehvi.tell(trials, [])
    _, front, _, _ = ehvi._processes([])
    assert len(front) == 10


def test_a_report_before_the_first_step_stops_no_search() -> None:
    trials = [Trial(number=n, params={"x": n / 9}, phase=Phase.FINISHED, stopped=n % 2 == 0, values=(n * 1.0, 1.0),
                    reports=(Report(step=-7, values=(n * 1.0, 1.0)),)) for n in range(10)]  # fmt: skip
    for name in ("bayes", "bohb", "ehvi"):
        searcher = build("searcher", name, problem(LINE), seed=0, knobs_given={})
        searcher.tell(trials, [])
        assert len(searcher.ask(2)) == 2
