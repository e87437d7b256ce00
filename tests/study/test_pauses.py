"""Trials that pause and go on, from end to end."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

import whet
from whet.store.base import Store, SweepState
from whet.study.engine import Engine, Nothing
from whet.trial import Phase

PAUSING = {"name": "asha", "pause": True, "max_steps": 9}
X = {"x": {"min": 0.0, "max": 1.0}}


def make(store: Store, **more: Any) -> whet.Study:
    return whet.create_study(storage=store, seed=1, method="random", stopper=PAUSING, space=X, **more)


class Training:
    """An objective of nine steps that notes each step it runs."""

    def __init__(self, *, saves: bool = True) -> None:
        self.saves = saves
        self.ran: Counter[tuple[int, int]] = Counter()
        self.resumed: list[tuple[int, int]] = []
        self.lock = threading.Lock()

    def __call__(self, trial: whet.Trial) -> float:
        found = trial.load_checkpoint()
        start = 0 if found is None else int((found / "step").read_text()) + 1
        if trial.is_resumed:
            self.resumed.append((trial.number, start))
        loss = 0.0
        for step in range(start, 9):
            with self.lock:
                self.ran[trial.number, step] += 1
            loss = (trial.params["x"] - 0.3) ** 2 + 1 / (step + 1)
            if self.saves:
                with trial.save_checkpoint(step) as folder:
                    (folder / "step").write_text(str(step))
            trial.report(loss, step)
            if trial.should_prune():
                raise whet.TrialPruned
        return loss


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_no_step_runs_twice(store: Store, n_jobs: int, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("WHET_DIR", str(tmp_path))
    study, training = make(store), Training()
    study.optimize(training, n_trials=18, n_jobs=n_jobs)
    assert len(study.trials) == 18
    assert set(training.ran.values()) == {1}
    assert training.resumed
    for trial in study.trials:
        assert [r.step for r in trial.reports] == sorted(s for n, s in training.ran if n == trial.number)
    done = [t for t in study.trials if t.complete]
    assert done
    assert all(len(t.reports) == 9 for t in done)
    assert {t.phase for t in study.trials} == {Phase.FINISHED, Phase.PAUSED}  # the call is over, the study is not
    study.optimize(training, n_trials=9, n_jobs=n_jobs)
    assert len(study.trials) == 27
    assert set(training.ran.values()) == {1}


def test_without_checkpoints_a_trial_begins_anew_and_is_not_judged_twice(store: Store) -> None:
    study, training = make(store), Training(saves=False)
    study.optimize(training, n_trials=9)
    assert training.resumed
    assert {start for _, start in training.resumed} == {0}
    assert max(training.ran.values()) > 1
    assert study.best_trial.complete
    for trial in study.trials:
        assert [r.step for r in trial.reports] == list(range(len(trial.reports)))


def test_a_sweep_ends_and_what_waits_is_stopped_with_a_reason(store: Store, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("WHET_DIR", str(tmp_path))
    study = make(store, run_cap=5)  # too few for a third of them to reach the top
    study.optimize(Training())
    assert Counter((t.phase, t.stopped) for t in study.trials) == {
        (Phase.FINISHED, True): 4,
        (Phase.FINISHED, False): 1,
    }
    engine = Engine(store, study.id)
    engine.sync()
    assert engine.state is SweepState.FINISHED
    for trial in study.trials:
        if trial.stopped:
            assert trial.values == trial.reports[-1].values
            assert trial.reason.endswith("; it never went on: the run cap of 5 is used up")


def test_a_target_ends_what_is_paused(store: Store) -> None:
    study = make(store, terminate={"no_improvement": 1})
    for _ in range(2):
        trial = study.ask()
        trial.report(1.0, 0)
        assert trial.should_prune()
        assert trial.is_paused
        assert study.tell(trial, state=whet.TrialState.PRUNED).phase is Phase.PAUSED
    for value in (1.0, 2.0):
        study.tell(study.ask(), value)
    assert study.end_reason
    assert Counter(t.phase for t in study.trials) == {Phase.FINISHED: 4}
    assert study.trials[0].reason.endswith(study.end_reason)


def test_a_worker_waits_for_what_may_be_promoted(store: Store) -> None:
    study = make(store, run_cap=3)
    trials = [study.ask() for _ in range(3)]
    for trial, value in zip(trials[:2], [1.0, 2.0], strict=True):
        trial.report(value, 0)
        assert trial.should_prune()
        study.tell(trial, state=whet.TrialState.PRUNED)
    engine = Engine(store, study.id)
    answer = engine.ask()
    assert isinstance(answer, Nothing)
    assert not answer.final
    trials[2].report(3.0, 0)
    assert trials[2].should_prune()
    study.tell(trials[2], state=whet.TrialState.PRUNED)
    again = study.ask()
    assert (again.number, again.attempt, again.is_resumed) == (0, 1, True)


def test_another_process_cannot_end_a_paused_trial_by_its_old_attempt(store: Store) -> None:
    study = make(store)
    trial = study.ask()
    trial.report(1.0, 0)
    assert trial.should_prune()
    study.tell(trial, state=whet.TrialState.PRUNED)
    with pytest.raises(whet.errors.Conflict):
        store.trials.tell(study.id, 0, 0, phase=Phase.FINISHED, values=(1.0,))
    store.trials.tell(study.id, 0, 0, phase=Phase.FINISHED, values=(1.0,), stopped=True, reason="enough")
    assert study.trials[0].stopped


def test_what_is_reported_again_up_to_the_pause_does_not_pause_it_again(store: Store) -> None:
    study = make(store)
    for value in (1.0, 2.0, 3.0):
        trial = study.ask()
        trial.report(value, 0)
        assert trial.should_prune()
        study.tell(trial, state=whet.TrialState.PRUNED)
    again = study.ask()
    assert (again.number, again.is_resumed) == (0, True)
    again.report(9.0, 0)  # it starts anew, and is unlucky this time
    assert not again.should_prune()
    again.report(9.0, 1)
    assert not again.should_prune()
    again.report(9.0, 2)
    assert again.should_prune()
    assert study.tell(again, state=whet.TrialState.PRUNED).reports[0].values == (9.0,)


def test_a_method_that_waits_for_its_generation_goes_on_when_the_paused_are_over(
    store: Store, tmp_path: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("WHET_DIR", str(tmp_path))
    study = whet.create_study(storage=store, seed=1, method={"name": "pbt", "population": 6}, stopper=PAUSING, space=X)
    study.optimize(Training(), n_trials=30)
    assert len(study.trials) == 30


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_a_call_that_uses_up_the_cap_ends_the_sweep(store: Store, n_jobs: int, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("WHET_DIR", str(tmp_path))
    study = make(store, run_cap=6)
    study.optimize(Training(), n_trials=6, n_jobs=n_jobs)
    assert {t.phase for t in study.trials} == {Phase.FINISHED}
    assert any(t.complete for t in study.trials)
    assert any(t.reason.endswith("it never went on: the run cap of 6 is used up") for t in study.trials)
    engine = Engine(store, study.id)
    engine.sync()
    assert engine.state is SweepState.FINISHED


def test_ask_that_ends_the_last_paused_one_ends_the_sweep(store: Store) -> None:
    study = make(store, run_cap=2)
    for value in (1.0, 2.0):
        trial = study.ask()
        trial.report(value, 0)
        assert trial.should_prune()
        study.tell(trial, state=whet.TrialState.PRUNED)
    again = study.ask()  # the best goes on, as nothing else will
    study.tell(again, 1.0)
    with pytest.raises(whet.errors.SweepClosed):
        study.ask()
    assert {t.phase for t in study.trials} == {Phase.FINISHED}
    engine = Engine(store, study.id)
    engine.sync()
    assert engine.state is SweepState.FINISHED


@pytest.mark.parametrize("cap", [None, 2])
def test_an_untold_trial_does_not_keep_a_call_whose_trials_are_done(store: Store, cap: int | None) -> None:
    study = make(store, run_cap=cap)
    study.ask()
    done = threading.Event()

    def work() -> None:
        study.optimize(Training(saves=False), n_trials=1)
        done.set()

    threading.Thread(target=work, daemon=True).start()
    assert done.wait(20)
    assert [t.phase for t in study.trials] == [Phase.RUNNING, Phase.PAUSED]
