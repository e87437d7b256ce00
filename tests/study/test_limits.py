"""Limits in studies: who counts as the best, where a limited value comes from, and what is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import whet
from whet import Float, Space, TrialPruned
from whet.analysis.best import best_trial, why_none
from whet.analysis.history import best_so_far, hypervolume_so_far
from whet.analysis.pareto import pareto_front
from whet.errors import StudyError
from whet.store.base import Store
from whet.study.study import Study
from whet.trial import Limit, Metric, Phase, Problem, Trial, create_trial

X = Space({"x": Float(0, 1)})
SLOW = {"latency_ms": {"max": 20}}


def make(store: Store, **given: Any) -> Study:
    return whet.create_study(
        **{"storage": store, "seed": 3, "space": X, "method": "random", "stopper": "none", "limits": SLOW, **given}
    )


def told(*pairs: tuple[float, object]) -> Any:
    """Return an objective that gives these values, and reports these latencies (None: it does not), by number."""

    def objective(trial: Any) -> float:
        value, latency = pairs[trial.number]
        if latency is not None:
            trial.set_user_attr("latency_ms", latency)
        return value

    return objective


def test_only_what_keeps_the_limits_is_the_best(store: Store) -> None:
    study = make(store)
    study.optimize(told((5.0, 10), (1.0, 30), (4.0, 20), (3.0, None), (2.0, "fast")), n_trials=5)
    assert (study.best_trial.number, study.best_value) == (2, 4.0)
    sweep = store.sweeps.get(study.id)
    assert (sweep.best_value, store.runs.get(sweep.best_run or "").number) == (4.0, 2)
    assert [run.number for run in store.runs.select() if run.best] == [2]
    assert [t.reason for t in study.trials] == [
        "",
        "it does not keep the limits: latency_ms 30 above 20",
        "",
        "it does not keep the limits: latency_ms was not reported",
        "it does not keep the limits: latency_ms was not reported",
    ]
    assert whet.load_study(study_name=study.study_name, storage=store).best_trial == study.best_trial


def test_where_none_keeps_them_the_nearest_is_named(store: Store) -> None:
    study = make(store)
    with pytest.raises(StudyError, match="no trial is complete"):
        study.best_trial  # noqa: B018
    study.optimize(told((5.0, 90), (1.0, 23.1), (0.5, None)), n_trials=3)
    with pytest.raises(
        StudyError, match=r"no trial keeps the limits yet: the nearest is trial 1, latency_ms 23\.1 above 20"
    ):
        study.best_trial  # noqa: B018
    assert study.best_trials == []
    assert "no trial keeps the limits yet" in study._repr_html_()


def test_the_nearest_is_told_in_the_spread_of_each_value() -> None:
    problem = Problem(space=X, limits=(Limit(name="bytes", max=1e6), Limit(name="accuracy", min=0.9)))
    trials = [
        Trial(number=0, params={}, phase=Phase.FINISHED, values=(0.0,), attrs={"bytes": 1.1e6, "accuracy": 0.95}),
        Trial(number=1, params={}, phase=Phase.FINISHED, values=(0.0,), attrs={"bytes": 9e5, "accuracy": 0.7}),
        Trial(number=2, params={}, phase=Phase.FINISHED, values=(0.0,), attrs={"bytes": 5e6, "accuracy": 0.8}),
    ]
    assert why_none(problem, trials).endswith("the nearest is trial 0, bytes 1.1e+06 above 1e+06")
    assert "bytes 5e+06 above 1e+06, accuracy 0.8 below 0.9" in why_none(problem, trials[2:])


def test_a_logged_value_counts_the_last_one_of_it(store: Store) -> None:
    study = make(store)

    def objective(trial: Any) -> float:
        for step, latency in enumerate([50, 15 + 10 * trial.number]):
            trial.log({"latency_ms": latency, "loss": 1.0}, step)
        return float(trial.number)

    study.optimize(objective, n_trials=2)
    assert [t.attrs for t in study.trials] == [{"latency_ms": 15.0}, {"latency_ms": 25.0}]
    assert study.best_trial.number == 0


def test_what_a_run_logs_counts_too(store: Store) -> None:
    id = whet.sweep(
        {"method": "random", "metric": {"name": "loss"}, "parameters": {"x": {"min": 0.0, "max": 1.0}}, "seed": 1,
         "run_cap": 4, "limits": {"latency_ms": {"max": 20}}, "terminate": {"cost": {"kwh": 100}}},
        storage=store,
    )  # fmt: skip
    from whet.tune.agent import work

    def train() -> None:
        run = whet.init()
        number = int(run.name.rpartition("-")[2])
        run.log({"latency_ms": 99, "kwh": 1})
        run.log({"loss": -float(number), "latency_ms": 19 if number in (0, 1) else 21, "kwh": 2})
        if number == 1:
            run.summary["latency_ms"] = 40  # the user's word wins

    work(store, id, train)
    study = whet.load_study(study_name=id, storage=store)
    assert [t.attrs for t in study.trials] == [{"latency_ms": v, "kwh": 2.0} for v in (19.0, 40.0, 21.0, 21.0)]
    assert study.best_trial.number == 0


def test_a_budget_finds_what_runs_log_in_the_same_way(store: Store) -> None:
    study = make(store, limits=None, terminate={"cost": {"kwh": 3}})

    def objective(trial: Any) -> float:
        trial.log({"kwh": 1.5}, 0)
        return 0.0

    study.optimize(objective, n_trials=10)
    assert len(study.trials) == 2
    assert study.end_reason == "the trials have used up the budget of kwh=3"


def test_a_limit_on_a_metric_and_on_the_seconds(store: Store) -> None:
    study = make(
        store,
        directions=["minimize", "minimize"],
        metrics=["loss", "size"],
        limits={"size": {"max": 3}, "seconds": {"max": 60}},
    )
    study.optimize(lambda trial: (float(trial.number), float(5 - trial.number)), n_trials=5)
    assert [t.number for t in study.best_trials] == [2, 3, 4]


def test_targets_and_improvements_are_those_within_the_limits(store: Store) -> None:
    id = whet.sweep(
        {"method": "random", "metric": {"name": "loss", "target": 1.0}, "parameters": {"x": {"min": 0.0, "max": 1.0}},
         "limits": SLOW, "terminate": {"no_improvement": 3}},
        storage=store,
    )  # fmt: skip
    study = whet.load_study(study_name=id, storage=store)
    study.optimize(told((9.0, 10), (0.5, 30), (0.4, 31), (0.3, 32), (0.2, 33)), n_trials=5)
    assert len(study.trials) == 4
    assert study.end_reason == "the last 3 trials brought no improvement: the best is still loss 9 of trial 0"


def test_limits_on_a_metric_keep_to_it_when_it_is_renamed(store: Store) -> None:
    study = make(store, limits={"value": {"min": 2}, "latency_ms": {"max": 20}}, terminate={"cost": {"value": 99}})
    study.optimize(told((1.0, 10), (3.0, 10), (2.0, 30)), n_trials=3)
    other = whet.load_study(study_name=study.study_name, storage=store)
    assert other.best_trial.number == 1
    study.set_metric_names(["loss"])
    for one in (study, other, whet.load_study(study_name=study.study_name, storage=store)):
        assert one.best_trial.number == 1
        assert [limit.name for limit in one.problem.limits] == ["loss", "latency_ms"]
    assert study._engine.config.terminate is not None
    assert dict(study._engine.config.terminate.cost) == {"loss": 99}


def test_another_trial_is_the_best_where_limits_were_edited(store: Store) -> None:
    study = make(store)
    study.optimize(told((1.0, 30), (3.0, 10), (2.0, 15)), n_trials=3)
    other = whet.load_study(study_name=study.study_name, storage=store)
    best = [study.best_trial.number]
    for bound in (12, 40):
        limits = (Limit(name="latency_ms", max=bound),)
        study._engine.edit(lambda c, limits=limits: replace(c, problem=replace(c.problem, limits=limits)))
        best.append(study.best_trial.number)
        assert other.best_trial.number == best[-1]
    assert best == [2, 1, 0]


@pytest.mark.parametrize(("names", "message"), [(["a", "a"], "two metrics"), (["size", "b"], "two limits"), (["a"], "2 direction")])  # fmt: skip
def test_names_that_make_two_of_one_are_refused(store: Store, names: list[str], message: str) -> None:
    study = make(store, directions=["minimize"] * 2, limits={"value_0": {"max": 1}, "size": {"max": 3}})
    with pytest.raises(StudyError, match=message):
        study.set_metric_names(names)
    assert whet.load_study(study_name=study.study_name, storage=store).metric_names == ["value_0", "value_1"]


def test_bounds_of_a_stopper_and_a_cost_go_with_their_metrics(store: Store) -> None:
    study = make(
        store, limits=None, directions=["minimize"] * 2, metrics=["loss", "size"],
        stopper={"type": "patience", "stopper": {"type": "threshold", "upper": {"size": 7, "loss": 3}}},
    )  # fmt: skip
    study.set_metric_names(["size", "loss"])  # exchanged
    stopper = study._engine.config.stopper
    assert stopper is not None
    assert stopper.knobs["stopper"] == {"type": "threshold", "upper": {"loss": 7, "size": 3}}
    costly = make(store, limits=None, metrics=["kwh"], method={"name": "gp", "cost": "kwh"})
    costly.set_metric_names(["energy"])
    assert whet.load_study(study_name=costly.study_name, storage=store).method.knobs["cost"] == "energy"


def test_trials_from_elsewhere_are_held_to_the_limits(store: Store) -> None:
    study = make(store)
    study.add_trials(
        [
            create_trial(value=v, params={"x": 0.5}, user_attrs={"latency_ms": latency})
            for v, latency in [(1.0, 30), (2.0, 10)]
        ]
    )
    assert study.best_trial.number == 1
    assert store.sweeps.get(study.id).best_value == 2.0


def test_a_trial_that_was_stopped_keeps_its_own_reason(store: Store) -> None:
    study = make(store)

    def objective(trial: Any) -> float:
        trial.set_user_attr("latency_ms", 99)
        raise TrialPruned("hopeless")

    study.optimize(objective, n_trials=1)
    assert (study.trials[0].stopped, study.trials[0].reason) == (True, "hopeless")


def test_replays_see_the_limits(store: Store) -> None:
    study = make(
        store, method={"name": "tpe", "num_startup": 4}, limits={"latency_ms": {"max": 20}, "size": {"min": 2}}
    )

    def objective(trial: Any) -> float:
        x = trial.params["x"]
        trial.set_user_attr("latency_ms", 40 * x)
        if trial.number % 5:
            trial.set_user_attr("size", 10 * x)
        return -float(x)

    study.optimize(objective, n_trials=30)
    found = study.replay()
    assert (found.num_suggested, found.num_reproduced) == (30, 30)
    assert 0.3 < study.best_params["x"] <= 0.5


# -- analysis ------------------------------------------------------------------------------------------------------------

PROBLEM = Problem(space=X, metrics=(Metric(name="a"), Metric(name="b")), limits=(Limit(name="size", max=10),))


def done(number: int, *values: float, size: float = 1.0) -> Trial:
    return Trial(number=number, params={"x": 0.5}, phase=Phase.FINISHED, values=values, attrs={"size": size})


def test_analyses_of_the_best_go_by_what_keeps_the_limits() -> None:
    one = Problem(space=X, limits=PROBLEM.limits)
    trials = [done(0, 3.0), done(1, 1.0, size=11), done(2, 2.0)]
    assert best_trial(one, trials).number == 2
    assert [(m.number, m.best) for m in best_so_far(one, trials)] == [(0, 3.0), (2, 2.0)]
    several = [done(0, 3.0, 3.0), done(1, 0.0, 0.0, size=11), done(2, 2.0, 4.0)]
    assert [t.number for t in pareto_front(PROBLEM, several)] == [2, 0]
    assert hypervolume_so_far(PROBLEM, several, reference=[5, 5]) == [(0, 4.0), (2, 5.0)]


def test_figures_show_what_lies_beyond_the_limits() -> None:
    from whet.figures.history import History
    from whet.figures.sheet import Sheet

    one = Problem(space=X, metrics=(Metric(name="loss"),), limits=PROBLEM.limits)
    made = History(Sheet("s", one, [done(0, 3.0), done(1, 1.0, size=11), done(2, 2.0)]))
    assert made.data()["beyond_limits"] == [{"number": 1, "value": 1.0}]
    assert [m["best"] for m in made.data()["complete"]] == [3.0, 2.0]
    lines = "\n".join(made.lines(80, colours=False))
    assert "best loss 2" in lines
    assert "○ beyond the limits" in lines
    with pytest.raises(StudyError, match="the nearest is trial 1, size 11 above 10"):
        History(Sheet("s", one, [done(1, 1.0, size=11)]))
