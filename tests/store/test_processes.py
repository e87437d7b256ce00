"""The store among processes: caps, races, deaths and forks, with real processes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from whet.store import Store, open_store
from whet.trial import Goal, Phase, Suggestion

WORKER = Path(__file__).with_name("worker.py")


def start(*args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def together(folder: Path, *commands: tuple[str, ...]) -> list[list[str]]:
    """Run the commands at once and return the lines that each printed."""
    go = folder / "go"
    processes = [start(*command, str(go)) for command in commands]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    go.touch()
    printed = [process.communicate(timeout=120)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return printed


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new/whet.db"
    made: Callable[[], str] = request.getfixturevalue("new_database")
    return made()


def test_four_processes_share_a_cap(url: str, tmp_path: Path) -> None:
    store = open_store(url)
    sweep = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE], cap=1000)
    printed = together(tmp_path, *[("fill", url, sweep.id)] * 4)
    assert sorted(int(line) for lines in printed for line in lines) == list(range(1000))
    assert sum(bool(lines) for lines in printed) > 1
    trials = store.trials.changes(sweep.id).trials
    assert [trial.number for trial in trials] == list(range(1000))
    assert {trial.phase for trial in trials} == {Phase.FINISHED}
    after = store.sweeps.get(sweep.id)
    assert (after.next_number, after.revision, after.best_value) == (1000, 2000, 0.0)
    assert after.best_run == next(run.id for run in store.runs.select() if run.number == 0)
    store.close()


def test_four_processes_make_one_new_database(url: str, tmp_path: Path) -> None:
    printed = together(tmp_path, *[("open", url, f"p{i}") for i in range(4)])
    store = open_store(url)
    assert {sweep.id for sweep in store.sweeps.all()} == {id for (id,) in printed}
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    url, rng = f"sqlite:///{tmp_path}/whet.db", random.Random(0)
    store = open_store(url)
    sweep = store.sweeps.create("p", {}, goals=[Goal.MAXIMIZE])
    brood = start("brood", url, sweep.id, "")
    assert brood.stdin is not None
    assert brood.stdout is not None
    told = unfinished = 0
    for _ in range(20):
        brood.stdin.write("one more\n")
        brood.stdin.flush()
        pid, acknowledged = 0, []
        while not (pid and acknowledged):
            word, _, rest = brood.stdout.readline().strip().partition(" ")
            if word == "pid":
                pid = int(rest)
            else:
                acknowledged.append(int(word))
        time.sleep(rng.random() * 0.02)
        os.kill(pid, 9)
        acknowledged += [int(line) for line in iter(brood.stdout.readline, "dead\n")]
        trials = {trial.number: trial for trial in store.trials.changes(sweep.id).trials}
        assert sorted(trials) == list(range(len(trials)))
        assert all(trials[number].values == (float(number),) for number in acknowledged)
        told += len(acknowledged)
        running = [number for number, trial in trials.items() if trial.phase is Phase.RUNNING]
        assert len(running) <= 1  # the one in its hands: every verb happened whole or not at all
        for number in running:
            store.trials.tell(sweep.id, number, 0, phase=Phase.FAILED)
            unfinished += 1
        best = max(number for number, trial in trials.items() if trial.complete)
        assert store.sweeps.get(sweep.id).best_value == best
    assert told > 20
    assert unfinished  # else no child died at work
    brood.stdin.close()
    brood.wait()
    store.close()


def test_a_turn_ends_with_its_holder(url: str) -> None:
    store = open_store(url)
    sweep = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE])
    holder = start("hold", url, sweep.id, "")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "mine\n"
    os.kill(holder.pid, 9)
    holder.wait()
    with store.trials.turn(sweep.id):  # would wait a minute
        pass
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_opens_for_itself(url: str) -> None:
    store = open_store(url)
    sweep = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE])
    add(store, sweep.id, 0)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            add(store, sweep.id, 1)
            store.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    add(store, sweep.id, 2)  # the child's end has not closed ours
    runs = store.runs.select()
    assert [run.number for run in runs] == [2, 1, 0]
    assert len({run.id for run in runs}) == 3
    store.close()


def add(store: Store, sweep: str, number: int) -> None:
    store.trials.add(sweep, number, Suggestion(params={}), owner="me", seen=0)


@pytest.mark.postgres
def test_a_restarted_server_is_found_again(postgres_server: object, new_database: Callable[[], str]) -> None:
    from whet.errors import StoreUnavailable

    store = open_store(new_database())
    sweep = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE])
    postgres_server.stop()  # type: ignore[attr-defined]
    with pytest.raises(
        StoreUnavailable, match=r"postgresql://whet@127.0.0.1:\d+/.* does not answer .*: check that the server runs"
    ):
        store.sweeps.get(sweep.id)
    postgres_server.start()  # type: ignore[attr-defined]
    add(store, sweep.id, 0)
    postgres_server.stop()  # type: ignore[attr-defined]
    postgres_server.start()  # type: ignore[attr-defined]
    assert store.trials.changes(sweep.id).trials[0].number == 0
    store.close()
