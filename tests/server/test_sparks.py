"""The lines of the sweeps' list: of what they are, that they are a history's, and that one list costs so much and no more."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import whet
from whet.analysis.history import best_so_far, hypervolume_so_far
from whet.config import parse
from whet.server import sparks
from whet.server.sparks import POINTS, Sparks, covered, meaning
from whet.space import Space
from whet.store import Store, open_store
from whet.study.catching_up import history_of
from whet.study.create import create_sweep
from whet.study.engine import Engine
from whet.trial import Goal, Metric, Phase, Problem, Trial

SPACE = {"x": {"min": 0.0, "max": 1.0}}
NUMBERS = st.one_of(st.integers(-4, 4).map(float), st.floats(-1e6, 1e6), st.just(float("inf")))


def swept(store: Store, name: str, num: int, **more: Any) -> whet.Study:
    """A sweep whose trials say how long they took, every other one too long."""
    study = whet.create_study(
        name=name, storage=store, method="random", seed=1, space=SPACE, **{"metrics": ["loss"], **more}
    )
    add(study, num)
    return study


def add(study: whet.Study, num: int) -> None:
    for _ in range(num):
        trial = study.ask()
        trial.set_user_attr("latency_ms", 10.0 + 20.0 * (trial.number % 2))
        x = trial.params["x"]
        study.tell(trial, [x, 1.0 - x * x, x][: len(study.problem.metrics)])


def trials(store: Store, id: str) -> list[Trial]:
    return history_of(store, id).in_order()


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=200))
def test_the_volume_is_that_of_the_history(losses: list[tuple[float, float]]) -> None:
    problem = Problem(space=Space({}), metrics=(Metric(name="a"), Metric(name="b", goal=Goal.MINIMIZE)))
    done = [Trial(number=2 * i, params={}, phase=Phase.FINISHED, values=pair) for i, pair in enumerate(losses)]
    line = covered([trial.number for trial in done], np.array(losses))
    exact = dict(hypervolume_so_far(problem, done))
    assert len(line) <= POINTS
    assert all(volume == pytest.approx(exact[number], rel=1e-9) for number, volume in line)
    assert [volume for _, volume in line] == sorted(volume for _, volume in line)
    if np.isfinite(losses).all(axis=1).any():
        assert line[-1][1] == pytest.approx(list(exact.values())[-1], rel=1e-9)
    else:
        assert line == []


def test_with_limits_only_those_count_that_keep_them() -> None:
    with closing(open_store("memory")) as store:
        study = swept(store, "limited", 40, limits={"latency_ms": {"min": 20}})
        sweep = store.sweeps.get(study.id)
        line = Sparks(store).of([sweep])[study.id]
        assert line == [(m.number, m.value) for m in best_so_far(study.problem, trials(store, study.id)) if m.improved]
        assert all(number % 2 == 1 for number, _ in line)
        assert meaning(sweep, ["loss"]) == "best loss, of trials within the limits"
        assert line[-1][1] == sweep.best_value


def test_several_metrics_have_the_volume_of_their_front_and_more_than_two_the_first() -> None:
    with closing(open_store("memory")) as store:
        two = swept(store, "two", 30, metrics=["a", "b"], directions=["minimize", "maximize"])
        three = swept(store, "three", 30, metrics=["a", "b", "c"], directions=["minimize"] * 3)
        both = swept(
            store, "both", 30, metrics=["a", "b"], directions=["minimize"] * 2, limits={"latency_ms": {"max": 20}}
        )
        sweeps = [store.sweeps.get(one.id) for one in (two, three, both)]
        lines = Sparks(store).of(sweeps)
        for study in (two, both):
            exact = dict(hypervolume_so_far(study.problem, trials(store, study.id)))
            assert lines[study.id] == [
                (number, pytest.approx(exact[number], rel=1e-9)) for number, _ in lines[study.id]
            ]
            assert lines[study.id][-1][1] == pytest.approx(max(exact.values()), rel=1e-9)
        assert lines[three.id] == store.sweeps.gains([three.id])[three.id]
        assert [meaning(one, ["a", "b", "c"][: len(one.goals)]) for one in sweeps] == [
            "what the front of a and b covers (hypervolume)",
            "best a",
            "what the front of a and b covers (hypervolume), of trials within the limits",
        ]


def test_one_list_reads_so_many_trials_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparks, "PAGE", 10)
    monkeypatch.setattr(sparks, "LEAST", 10)
    monkeypatch.setattr(sparks, "TRIALS", 30)
    with closing(open_store("memory")) as store:
        ids = [swept(store, name, 25, limits={"latency_ms": {"max": 20}}).id for name in ("a", "b")]
        read: list[int] = []
        changes = type(store.trials).changes

        def counted(self: Any, sweep: str, since: int = -1, **more: Any) -> Any:
            read.append(since)
            return changes(self, sweep, since, **more)

        monkeypatch.setattr(type(store.trials), "changes", counted)
        kept = Sparks(store)

        def lines() -> list[bool]:
            found = kept.of([store.sweeps.get(id) for id in ids])
            return [bool(found[id]) for id in ids]

        assert (lines(), len(read)) == ([True, False], 3)
        assert (lines(), len(read)) == ([True, True], 6)
        assert (lines(), len(read)) == ([True, True], 6)  # nothing is new
        again = whet.load_study(study_name="a", storage=store)
        read.clear()
        add(again, 2)
        seen = len(read)
        assert lines() == [True, True]
        assert len(read) - seen == 1  # what changed, and no more
        sweep = store.sweeps.get(ids[0])
        assert kept.of([sweep])[ids[0]][-1][1] == sweep.best_value


def test_other_limits_are_another_line() -> None:
    with closing(open_store("memory")) as store:
        study = swept(store, "limited", 20, limits={"latency_ms": {"max": 20}})
        kept = Sparks(store)
        sweep = store.sweeps.get(study.id)
        before = kept.of([sweep])[study.id]
        config = {**sweep.config, "limits": {"latency_ms": {"min": 20}}}
        store.sweeps.edit(study.id, version=sweep.version, config=config)
        after = kept.of([store.sweeps.get(study.id)])[study.id]
        assert {number % 2 for number, _ in before} == {0}
        assert {number % 2 for number, _ in after} == {1}


def test_a_sweep_that_is_gone_or_of_a_later_whet_takes_nothing_from_the_others() -> None:
    with closing(open_store("memory")) as store:
        limits = {"latency_ms": {"max": 20}}
        gone, odd, fine = (
            store.sweeps.get(swept(store, name, 3, limits=limits).id) for name in ("gone", "odd", "fine")
        )
        store.sweeps.delete(gone.id)
        store.sweeps.edit(odd.id, version=odd.version, config={**odd.config, "later": 1})
        lines = Sparks(store).of([gone, store.sweeps.get(odd.id), fine])
        assert (lines[gone.id], lines[odd.id], bool(lines[fine.id])) == ([], [], True)


def test_trials_of_many_sweeps_are_not_all_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparks, "_MOST_COUNTED", 70)
    with closing(open_store("memory")) as store:
        limits = {"latency_ms": {"max": 20}}
        sweeps = [store.sweeps.get(swept(store, name, 25, limits=limits).id) for name in ("a", "b", "c")]
        kept = Sparks(store)
        lines = kept.of(sweeps)
        assert all(lines.values())
        assert sum(len(one.found) for one in kept._counted.values()) <= 30
        for sweep in sweeps:
            add(whet.load_study(study_name=sweep.name, storage=store), 2)
        after = kept.of([store.sweeps.get(sweep.id) for sweep in sweeps])
        assert after == Sparks(store).of([store.sweeps.get(sweep.id) for sweep in sweeps])


def test_sweeps_that_change_all_the_time_leave_the_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparks, "TRIALS", 2)
    monkeypatch.setattr(sparks, "LEAST", 1)
    with closing(open_store("memory")) as store:
        limits = {"latency_ms": {"max": 20}}
        busy = [swept(store, name, 3, limits=limits) for name in ("a", "b")]
        quiet = swept(store, "quiet", 3, limits=limits)
        kept = Sparks(store)
        for _ in range(3):
            lines = kept.of([store.sweeps.get(study.id) for study in (*busy, quiet)])
            for study in busy:
                add(study, 1)
        assert lines[quiet.id]


def test_a_sweep_that_is_gone_is_not_held() -> None:
    with closing(open_store("memory")) as store:
        gone = store.sweeps.get(swept(store, "gone", 3, limits={"latency_ms": {"max": 20}}).id)
        store.sweeps.delete(gone.id)
        kept = Sparks(store)
        assert kept.of([gone]) == {gone.id: []}
        assert not kept._counted


@pytest.mark.parametrize("limits", [{}, {"latency_ms": {"max": 20}}])
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_sweep_without_a_metric_has_no_line(kind: str, limits: dict[str, Any], tmp_path: Path) -> None:
    config = {
        "program": "train.py",
        "method": "random",
        "metrics": [],
        "limits": limits,
        "parameters": {"x": {"min": 0.0, "max": 1.0}},
    }
    with closing(open_store("memory" if kind == "memory" else str(tmp_path / "whet.db"))) as store:
        id = create_sweep(store, parse(config))
        engine = Engine(store, id)
        trial = engine.ask()
        engine.tell(trial.number, trial.attempt, [])
        assert Sparks(store).of([store.sweeps.get(id)]) == {id: []}
