"""Failed trials are run again, once, as new ones."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

import whet
from whet.errors import Conflict, NotFound, SpaceError, StoreUnavailable, StudyError, SweepClosed
from whet.store import Store
from whet.store.base import SweepState
from whet.study.replay import replay
from whet.study.retry import RETRY_OF, Retried, retry
from whet.trial import Phase, Suggestion

SPACE = {"x": {"min": 0.0, "max": 1.0}, "kind": ["a", "b"]}


def a_study(store: Store, **more: Any) -> Any:
    given = {"space": SPACE, "method": "tpe", "seed": 3, "stopper": "none", "run_cap": 12, **more}
    return whet.create_study(storage=store, **given)


def run(study: Any, *, broken: tuple[int, ...] = ()) -> None:
    """Run until nothing is left; the trials with a number of `broken` fail."""

    def objective(trial: Any) -> float:
        if trial.number in broken:
            raise RuntimeError("out of memory")
        return float(trial.params["x"])

    study.optimize(objective, catch=(RuntimeError,))


def test_failed_trials_are_queued_again_and_the_sweep_goes_on(store: Store) -> None:
    study = a_study(store)
    run(study, broken=(2, 5))
    assert store.sweeps.get(study.id).state is SweepState.FINISHED
    done = retry(store, study.id)
    assert (done.queued, done.waiting, done.skipped) == ({2: 12, 5: 13}, {}, {})
    assert (done.state, done.cap) == (SweepState.RUNNING, 14)
    again = retry(store, study.id)
    assert (again.queued, again.waiting, again.cap) == ({}, {2: 12, 5: 13}, 14)
    run(study, broken=(13,))
    trials = study.trials
    assert [trials[n].params == trials[new].params for n, new in done.queued.items()] == [True, True]
    assert [trials[n].phase for n in (2, 5, 12, 13)] == [Phase.FAILED, Phase.FAILED, Phase.FINISHED, Phase.FAILED]
    assert trials[12].attrs[RETRY_OF] == 2
    assert store.sweeps.get(study.id).state is SweepState.FINISHED
    assert retry(store, study.id).queued == {13: 14}  # only what has failed since


def test_a_replay_holds_after_it(store: Store) -> None:
    """Suggestions that were made knowing that a trial had failed stay explained, which a trial that became pending again would not allow."""
    study = a_study(store, run_cap=25)
    run(study, broken=(3, 11, 12))
    retry(store, study.id)
    store.sweeps.edit(study.id, version=store.sweeps.get(study.id).version, cap=36)
    run(study)
    found = replay(store, store.sweeps.get(study.id))
    assert (found.differences, found.num_given) == ((), 3)
    assert len(study.trials) == 36


def test_trials_by_number(store: Store) -> None:
    study = a_study(store, run_cap=None)
    study.optimize(lambda trial: 1.0, n_trials=2)
    assert retry(store, study.id, [1]).queued == {1: 2}  # a result may be doubted
    assert retry(store, study.id, [1, 1, 0]).queued == {0: 3}
    assert store.sweeps.get(study.id).cap is None
    with pytest.raises(StudyError, match="trial 2 is pending, not over"):
        retry(store, study.id, [2])
    with pytest.raises(NotFound, match="has no trial 9"):
        retry(store, study.id, [9])
    study.optimize(lambda trial: 1.0, n_trials=2)
    assert retry(store, study.id, [1]).queued == {1: 4}  # its first retry is over
    assert retry(store, study.id).queued == {}


def test_what_can_not_be_run_again(store: Store) -> None:
    study = a_study(store, run_cap=None)
    study.optimize(lambda trial: 1.0, n_trials=1)
    number = store.trials.add(study.id, 1, Suggestion(params={"x": 0.5, "kind": "a"}, parent=0), owner="me", seen=0)
    assert number
    store.trials.tell(study.id, 1, 0, phase=Phase.FAILED, reason="no disk")
    done = retry(store, study.id)
    assert (done.queued, list(done.skipped)) == ({}, [1])
    with pytest.raises(StudyError, match="goes on from another trial"):
        retry(store, study.id, [1])
    for state, word in ((SweepState.PAUSED, "paused"), (SweepState.CANCELED, "canceled")):
        store.sweeps.move(study.id, state)
        with pytest.raises(SweepClosed, match=f"is {word}"):
            retry(store, study.id, [0])
    assert len(study.trials) == 2


def test_a_sweep_that_would_be_over_at_once_says_so(store: Store) -> None:
    study = a_study(store, run_cap=20, terminate={"no_improvement": 3})
    run(study, broken=(1,))
    assert store.sweeps.get(study.id).state is SweepState.FINISHED
    before = study.trials
    with pytest.raises(SweepClosed, match="would be again at once: the last 3 trials brought no improvement"):
        retry(store, study.id)
    sweep = store.sweeps.get(study.id)
    assert (sweep.state, sweep.cap, len(study.trials)) == (SweepState.FINISHED, 20, len(before))


def test_params_that_are_not_legal_any_more_queue_nothing(store: Store) -> None:
    study = a_study(store, run_cap=3)
    run(study, broken=(0, 1, 2))
    smaller = {
        **store.sweeps.get(study.id).config,
        "parameters": {"x": {"min": 2.0, "max": 3.0}, "kind": {"values": ["a", "b"]}},
    }
    store.sweeps.edit(study.id, version=0, config=smaller)
    with pytest.raises(SpaceError):
        retry(store, study.id)
    sweep = store.sweeps.get(study.id)
    assert (sweep.state, sweep.cap, len(study.trials)) == (SweepState.FINISHED, 3, 3)


def test_an_agent_that_finishes_the_sweep_meanwhile_does_no_harm(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    study = a_study(store, method="grid", space={"kind": ["a", "b"]}, run_cap=None)

    def fails(trial: Any) -> float:
        raise RuntimeError

    study.optimize(fails, catch=(RuntimeError,))
    enqueue, moved = store.trials.enqueue, []

    def hastily(*args: Any, **more: Any) -> int:
        found = enqueue(*args, **more)
        if not moved:
            moved.append(store.sweeps.move(study.id, SweepState.FINISHED))
        return found

    monkeypatch.setattr(store.trials, "enqueue", hastily)
    done = retry(store, study.id)
    assert (done.queued, done.state) == ({0: 2, 1: 3}, SweepState.RUNNING)
    assert moved


def test_a_sweep_is_not_finished_over_what_was_queued_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finishes it has seen that nothing is left to do; that must still be so when it is done."""
    for extra in (True, False):  # with a new trial; with a new cap
        study = a_study(store, run_cap=2)
        study.tell(study.ask(), 1.0)
        last = study.ask()
        move, once = store.sweeps.move, []

        def late(
            id: str, to: SweepState, move: Any = move, once: list[int] = once, extra: bool = extra, **more: Any
        ) -> Any:
            if not once:
                once.append(1)
                if extra:
                    store.trials.enqueue(id, {"x": 0.5, "kind": "a"}, extra=True)
                else:
                    store.sweeps.edit(id, version=store.sweeps.get(id).version, cap=3)
            return move(id, to, **more)

        monkeypatch.setattr(store.sweeps, "move", late)
        study.tell(last, 2.0)
        assert once
        assert store.sweeps.get(study.id).state is SweepState.RUNNING
        monkeypatch.undo()
        run(study)
        assert store.sweeps.get(study.id).state is SweepState.FINISHED
        assert len(study.trials) == 3


def test_one_that_breaks_off_raises_the_cap_no_more_than_it_queues(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = a_study(store)
    run(study, broken=(1, 2, 3))
    enqueue, num = store.trials.enqueue, 0

    def flaky(*args: Any, **more: Any) -> int:
        nonlocal num
        num += 1
        if num in (1, 3):
            raise StoreUnavailable("away", "try again")
        return enqueue(*args, **more)

    monkeypatch.setattr(store.trials, "enqueue", flaky)
    for cap in (12, 13):
        with pytest.raises(StoreUnavailable):
            retry(store, study.id)
        assert store.sweeps.get(study.id).cap == cap
    done = retry(store, study.id)
    assert (done.queued, done.waiting, done.cap) == ({2: 13, 3: 14}, {1: 12}, 15)
    run(study)
    assert len(study.trials) == 15


def test_one_that_waits_in_a_finished_sweep_is_run_all_the_same(store: Store) -> None:
    study = a_study(store)
    run(study, broken=(2,))
    retry(store, study.id)
    store.sweeps.move(study.id, SweepState.FINISHED)
    done = retry(store, study.id)
    assert (done.queued, done.waiting, done.state, done.cap) == ({}, {2: 12}, SweepState.RUNNING, 13)
    run(study)
    assert store.sweeps.get(study.id).state is SweepState.FINISHED
    assert study.trials[12].phase is Phase.FINISHED
    assert retry(store, study.id).state is SweepState.FINISHED


def test_somebody_edits_the_sweep_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    study = a_study(store, run_cap=2)
    run(study, broken=(0,))
    enqueue = store.trials.enqueue

    def late(*args: Any, **more: Any) -> int:
        store.sweeps.edit(study.id, version=0, cap=7)
        return enqueue(*args, **more)

    monkeypatch.setattr(store.trials, "enqueue", late)
    assert retry(store, study.id).cap == 8
    with pytest.raises(Conflict, match="at version 2, not 1"):  # it was a change, too
        store.sweeps.edit(study.id, version=1, cap=9)


def test_of_several_at_once_each_trial_is_queued_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    study = a_study(store)
    run(study, broken=(1, 2, 3))
    changes, both = store.trials.changes, threading.Barrier(2)

    def slowly(*args: Any, **more: Any) -> Any:
        found = changes(*args, **more)
        with contextlib.suppress(threading.BrokenBarrierError):  # in its turn the first one waits in vain
            both.wait(0.2)
        return found

    monkeypatch.setattr(store.trials, "changes", slowly)
    done: list[Retried] = []
    threads = [threading.Thread(target=lambda: done.append(retry(store, study.id))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new for one in done for new in one.queued.values()) == [12, 13, 14]
    assert {one.cap for one in done} == {15}
