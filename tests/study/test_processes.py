"""Several processes on one study: numbers, caps, lost workers, signs of life."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import whet
from whet.store.base import Store, SweepState
from whet.store.open import open_store
from whet.study.heart import Heart
from whet.study.live import LiveTrial
from whet.trial import Phase, TrialState


def start(code: str, url: str) -> subprocess.Popen[str]:
    head = "import sys, time, whet\nwhet.logging.set_verbosity(whet.logging.ERROR)\nurl = sys.argv[1]\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + textwrap.dedent(code), url], stdout=subprocess.PIPE, text=True
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


HANGS = """
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.report(x, 0)
        open(sys.argv[1].removeprefix("sqlite:///") + f".{trial.number}.{trial.attempt}", "w").close()
        time.sleep(600)
    whet.load_study(study_name="s", storage=url).optimize(objective)
"""


def test_two_processes_share_numbers_and_cap(url: str) -> None:
    whet.create_study(name="s", storage=url, run_cap=25, seed=1)
    code = """
        def objective(trial):
            time.sleep(0.002)
            return trial.suggest_float("x", 0, 1)
        study = whet.load_study(study_name="s", storage=url)
        mine = []
        study.optimize(objective, callbacks=[lambda study, trial: mine.append(trial.number)])
        print(*mine)
    """
    workers = [start(code, url) for _ in range(2)]
    mine = [[int(n) for n in worker.communicate(timeout=120)[0].split()] for worker in workers]
    assert sorted(mine[0] + mine[1]) == list(range(25))
    study = whet.load_study(study_name="s", storage=url)
    assert all(t.complete and t.attempt == 0 for t in study.trials)
    assert len({t.params["x"] for t in study.trials}) == 25
    assert study._store.sweeps.get(study.id).state is SweepState.FINISHED
    assert list(study.problem.space) == ["x"]


def test_a_killed_workers_trial_is_handed_out_again_and_fails_after_three_losses(url: str, tmp_path: Path) -> None:
    study = whet.create_study(name="s", storage=url, seed=1)
    for attempt in range(3):
        worker = start(HANGS, url)
        wait_for(tmp_path / f"shared.db.0.{attempt}")
        assert study._engine.recover_lost() == 0  # it lives
        worker.kill()
        worker.communicate()
        assert study._engine.recover_lost() == 1
        assert study._engine.recover_lost() == 0
        trial = study.trials[0]
        assert trial.reports == (() if attempt < 2 else trial.reports)
        assert (trial.attempt, trial.reason) == (
            (attempt + 1, "its worker was lost") if attempt < 2 else (2, "its worker was lost, 3 times: it was not tried again")
        )  # fmt: skip
    assert study.trials[0].phase is Phase.FAILED


def test_an_interrupt_is_no_loss(store: Store) -> None:
    study = whet.create_study(storage=store, seed=1)
    for attempt in range(7):
        trial = study.ask()
        assert (trial.number, trial.attempt) == (0, attempt)
        if attempt in (1, 6):
            study._engine.requeue(0, attempt, "its worker was lost")
        else:
            study._engine.give_back(0, attempt, "it was interrupted")
    assert study.trials[0].phase is Phase.PENDING
    study._engine.requeue(0, study.ask().attempt, "its worker was lost")
    assert (study.trials[0].phase, study.trials[0].reason) == (
        Phase.FAILED,
        "its worker was lost, 3 times: it was not tried again",
    )


def test_a_lost_trial_counts_towards_the_cap_once_and_is_not_left_behind(url: str, tmp_path: Path) -> None:
    study = whet.create_study(name="s", storage=url, seed=1, run_cap=3)
    worker = start(HANGS, url)
    wait_for(tmp_path / "shared.db.0.0")
    study._engine.ask()  # looks for lost ones, and not again for a while
    worker.kill()
    worker.communicate()
    attempts: list[tuple[int, int]] = []

    def objective(trial: LiveTrial) -> float:
        attempts.append((trial.number, trial.attempt))
        return trial.suggest_float("x", 0, 1)

    study.optimize(objective)
    assert sorted(attempts) == [(0, 1), (2, 0)]
    assert [t.state for t in study.trials] == [TrialState.COMPLETE, TrialState.RUNNING, TrialState.COMPLETE]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_study_carried_over_a_fork_works_under_its_own_name(url: str) -> None:
    study = whet.create_study(name="s", storage=url, seed=1)
    study.ask()
    child = os.fork()
    if child == 0:
        try:
            study.ask()
            beats = any(thread.name == "whet-heart" for thread in threading.enumerate())
            os._exit(0 if beats else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert study._engine.recover_lost() == 1
    assert [(t.attempt, t.phase) for t in study.trials] == [(0, Phase.RUNNING), (1, Phase.PENDING)]


def test_two_processes_learn_one_space(url: str) -> None:
    ours = whet.create_study(name="s", storage=url, seed=1, method="tpe")
    ours.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    code = """
        def objective(trial):
            y = trial.suggest_int("y", 1, 9) if trial.suggest_categorical("kind", ["a", "b"]) == "a" else 0
            return trial.suggest_float("x", 0, 1) + y
        whet.load_study(study_name="s", storage=url).optimize(objective, n_trials=12)
    """
    assert start(code, url).wait(timeout=120) == 0
    ours.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert "x" in ours.problem.space
    assert ours.trials[-1].params.keys() == {"x"}


def test_signs_of_life(url: str) -> None:
    store = open_store(url)
    study = whet.create_study(storage=store)
    study.ask()
    heart = Heart(store, study.id, interval_s=0.01)
    heart.start()
    heart.start()
    before = store.trials.leases(study.id)[0].beat
    deadline = time.monotonic() + 30
    while store.trials.leases(study.id)[0].beat == before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    del heart  # and nothing keeps beating
    time.sleep(0.1)
    last = store.trials.leases(study.id)[0].beat
    time.sleep(0.05)
    assert store.trials.leases(study.id)[0].beat == last


@pytest.mark.skipif(os.name == "nt", reason="the name of a host is faked in SQLite")
def test_a_silent_worker_on_another_machine_is_lost(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    study = whet.create_study(storage=url)
    assert study._engine.ask()
    study._engine.sync()
    store = study._store
    lease = store.trials.leases(study.id)[0]
    store.trials.take_over(study.id, 0, 0, owner="elsewhere|1|1.0", was=lease.owner)
    assert study._engine.recover_lost() == 0
    monkeypatch.setattr("whet.study.lost.LEASE_S", -1.0)
    assert study._engine.recover_lost() == 1
    assert study.trials[0].phase is Phase.PENDING
