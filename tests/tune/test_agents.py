"""Agents: functions and commands, alone and together, killed and interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import whet
from whet.errors import NotFound, StoreUnavailable, StudyError
from whet.launch.local import Local
from whet.server.app import application
from whet.store import open_store
from whet.store.base import SweepState
from whet.study.searching import Searching
from whet.testing.serving import serving
from whet.trial import Phase, Trial
from whet.tune.agent import agent, work
from whet.tune.events import EventKind
from whet.tune.loop import drive
from whet.tune.pool import find_function, pool

if TYPE_CHECKING:
    from tests.tune.conftest import Place

QUIET = {"capture": False, "system_interval_s": 0, "stdout": False}
MODULE = """
    import os, time
    import whet

    def train():
        run = whet.init(settings={"capture": False, "system_interval_s": 0})
        with open("ran", "a") as file:
            file.write(f"{run.number} ")
        time.sleep(float(os.environ.get("T", "0.05")))
        whet.log({"loss": run.config["x"]})
"""


def train() -> None:
    run = whet.init(settings=QUIET)
    whet.log({"loss": (run.config["x"] - 0.3) ** 2})


def test_a_function(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.create(program=None, run_cap=3)
    agent(place.sweep, train)
    trials = place.trials()
    assert [t.values for t in trials] == [((t.params["x"] - 0.3) ** 2,) for t in trials]  # type: ignore[operator]
    assert place.store.sweeps.get(place.sweep).state is SweepState.FINISHED
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"whet: trial 0 started: x={trials[0].params['x']:.4g}"
    assert lines[-1].startswith(f"whet: the agent of sweep {place.sweep} ends: ")


def test_a_trial_whose_hand_out_got_lost_is_run_all_the_same(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has it, but the word of that did not come through, be it new or one that waited: asked again, it is the same one."""
    place.create(program=None, run_cap=3)
    place.store.trials.enqueue(place.sweep, {"x": 0.5})
    for verb in ("claim", "add"):
        real, lost = getattr(place.store.trials, verb), []

        def once(*args: Any, real: Any = real, lost: list[object] = lost, **more: Any) -> Any:
            found = real(*args, **more)
            if not lost:
                lost.append(found)
                raise StoreUnavailable("the answer to COMMIT was lost", "try again")
            return found

        monkeypatch.setattr(place.store.trials, verb, once)
    monkeypatch.setattr("whet.tune.agent._AGAIN_S", 0.01)
    ending = work(place.store, place.sweep, train)
    assert (ending.num_finished, [t.phase for t in place.trials()]) == (3, [Phase.FINISHED] * 3)
    assert place.store.trials.leases(place.sweep) == []
    assert place.store.sweeps.get(place.sweep).state is SweepState.FINISHED


@pytest.mark.parametrize("is_far", [False, True])
def test_an_agent_that_leaves_sees_whether_there_is_little_to_gain(
    place: Place, monkeypatch: pytest.MonkeyPatch, is_far: bool
) -> None:
    """It tells its last trial and asks for no other; nobody else may."""
    monkeypatch.setattr(Searching, "expected_gain", lambda self, news: 0.0)
    place.script("print('loss: 20.0')")

    def no_better() -> None:
        whet.init(settings=QUIET)
        whet.log({"loss": 20.0})

    done = [Trial(number=i, params={"x": i / 30}, phase=Phase.FINISHED, values=(1.0 + i,)) for i in range(19)]
    with serving(application(place.store)) if is_far else contextlib.nullcontext(place.store.url) as url:
        for run in (partial(work, function=no_better), partial(drive, executor=Local(place.folder / "jobs"))):
            place.create(run_cap=None, method="gp", terminate={"expected_improvement": 0.001})
            place.store.trials.extend(place.sweep, done)
            run(open_store(url), place.sweep, count=1)
            sweep = place.store.sweeps.get(place.sweep)
            assert (sweep.next_number, sweep.state) == (20, SweepState.FINISHED)


def test_an_agent_without_a_function_runs_the_program(place: Place) -> None:
    place.script("print('loss: 1.0')")
    place.create(run_cap=2)
    agent(place.sweep, count=1)
    assert [t.values for t in place.trials()] == [(1.0,)]
    with pytest.raises(NotFound, match="no sweep 'nonsense'"):
        agent("nonsense")
    place.create(program=None, run_cap=2)
    with pytest.raises(StudyError, match="has no program to run"):
        agent(place.sweep)


def test_functions_that_fail(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ValueError("no such data")

    def forget() -> None:
        whet.init(settings=QUIET).log({"accuracy": 1.0})

    def leave() -> None:
        raise SystemExit(3)

    reasons = []
    for function in (fail, forget, leave):
        place.create(program=None, run_cap=9)
        ending = work(place.store, place.sweep, function)
        trials = place.trials()
        assert [t.phase for t in trials] == [Phase.FAILED] * 3
        assert ending.reason == (
            f"the first 3 trials failed, so no more are started; the last: trial 2 failed: {trials[2].reason}"
        )
        reasons.append(trials[0].reason)
    assert reasons == [
        "ValueError: no such data", "it never reported 'loss': it reported accuracy", "SystemExit: 3",
    ]  # fmt: skip
    assert "ValueError: no such data" in capsys.readouterr().err  # with its traceback


def test_what_a_function_logged_counts_however_late_it_reaches_the_store(place: Place) -> None:
    def learn() -> None:
        whet.init(mode="offline", settings=QUIET).log({"loss": 2.0})

    place.create(program=None, run_cap=1)
    assert work(place.store, place.sweep, learn).num_finished == 1
    assert [(t.phase, t.values) for t in place.trials()] == [(Phase.FINISHED, (2.0,))]


def test_a_function_waits_for_a_store_that_is_away(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its result nor its place in the queue is lost."""
    monkeypatch.setattr("whet.track.run._SHIP_S", 0.1)
    ship, tried = place.store.runs.ship, []

    def away(*args: Any, **more: Any) -> Any:
        tried.append(args)
        if len(tried) < 3:
            raise StoreUnavailable("the store is away", "wait")
        return ship(*args, **more)

    monkeypatch.setattr(place.store.runs, "ship", away)
    place.create(program=None, run_cap=1)
    assert work(place.store, place.sweep, train).num_finished == 1
    (trial,) = place.trials()
    assert trial.values == ((trial.params["x"] - 0.3) ** 2,)  # type: ignore[operator]


def test_early_stopping_of_a_function(place: Place) -> None:
    steps: dict[int, int] = {}

    def learn() -> None:
        run = whet.init(settings=QUIET)
        assert run.number is not None
        for step in range(600):
            steps[run.number] = step
            whet.log({"loss": float(run.config["x"])})
            if run.config["x"] == 1 and step == 5:
                return
            time.sleep(0.01)

    place.create(
        program=None, method="grid", parameters={"x": {"values": [1, 2]}}, run_cap=None,
        early_terminate={"type": "median", "startup_trials": 1, "warmup_steps": 2},
    )  # fmt: skip
    ending = work(place.store, place.sweep, learn, on_event=place.events.append)
    bad = next(t for t in place.trials() if t.params["x"] == 2)
    if bad.number == 0:
        pytest.fail("the grid begins with x=1")
    assert (bad.phase, bad.stopped, bad.values) == (Phase.FINISHED, True, (2.0,))
    assert place.texts(EventKind.STOPPED) == [f"trial 1 stopped early: {bad.reason}"]
    assert ending.num_stopped == 1
    assert steps[1] < 599


def test_canceling_the_sweep_ends_the_function(place: Place) -> None:
    def learn() -> None:
        whet.init(settings=QUIET)
        for step in range(1000):
            whet.log({"loss": 1.0})
            if step == 1:
                place.store.sweeps.move(place.sweep, SweepState.CANCELED)
            time.sleep(0.01)

    place.create(program=None)
    ending = work(place.store, place.sweep, learn)
    (trial,) = place.trials()
    assert (trial.phase, trial.reason) == (Phase.CANCELED, "the sweep was canceled")
    assert (ending.reason, ending.final) == ("the sweep was canceled", True)


def test_an_interrupted_function_goes_back_into_the_queue(place: Place) -> None:
    def interrupt() -> None:
        whet.init(settings=QUIET).log({"loss": 1.0})
        raise KeyboardInterrupt

    place.create(program=None, run_cap=1)
    assert work(place.store, place.sweep, interrupt).interrupted
    assert [(t.phase, t.attempt) for t in place.trials()] == [(Phase.PENDING, 1)]
    assert work(place.store, place.sweep, train).num_finished == 1


def test_ctrl_c_ends_an_agent_whose_store_is_away(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: Any, **more: Any) -> None:
        raise StoreUnavailable("the store is away", "wait")

    def interrupt() -> None:
        monkeypatch.setattr(place.store.trials, "requeue", away)
        raise KeyboardInterrupt

    place.create(program=None, run_cap=1)
    assert work(place.store, place.sweep, interrupt).interrupted


FUNCTION_AGENT = """
    from whet.tune.agent import agent
    from module import train
    agent(SWEEP, train)
"""


@pytest.mark.parametrize("kind", ["command", "function"])
@pytest.mark.parametrize("killed", [False, True])
def test_two_agents_on_one_sweep(place: Place, kind: str, killed: bool) -> None:
    """Exactly as many runs as the cap allows, no number twice; also when one agent is killed in the middle of a trial."""
    place.script(MODULE, "module.py")
    place.script(
        "import time; open('ran', 'a').write(NUMBER + ' '); time.sleep(0.05); print('loss: 1.0')".replace(
            "NUMBER", "__import__('os').environ['WHET_NUMBER']"
        )
    )
    place.create(run_cap=20, program="train.py" if kind == "command" else None)
    agents = [place.whet("agent", place.sweep) if kind == "command" else place.spawn(FUNCTION_AGENT) for _ in range(2)]
    if killed:
        place.wait(lambda: sum(t.phase is Phase.FINISHED for t in place.trials()) >= 3)

        def at_work() -> bool:
            return any(f"|{agents[0].pid}|" in lease.owner for lease in place.store.trials.leases(place.sweep))

        place.wait(at_work)
        agents[0].kill()
    outs = [a.communicate(timeout=60) for a in agents]
    trials = place.trials()
    assert [t.number for t in trials] == list(range(20)), outs
    assert {t.phase for t in trials} == {Phase.FINISHED}
    assert place.store.sweeps.get(place.sweep).state is SweepState.FINISHED
    ran = [int(word) for word in (place.folder / "ran").read_text().split()]
    if kind == "command" or not killed:
        assert sorted(ran) == list(range(20))  # a job outlives its agent
    else:
        assert sorted(set(ran)) == list(range(20))
        assert len(ran) <= 21


def test_an_agent_stays_for_the_last_trial_of_another(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.script(MODULE, "module.py")
    place.create(run_cap=1, program=None)
    monkeypatch.setenv("T", "60")
    other = place.spawn(FUNCTION_AGENT)
    monkeypatch.delenv("T")
    place.wait(lambda: (place.folder / "ran").exists())
    stays = "the run cap of 1 is used up; 1 of them runs elsewhere, and this one stays in case it is lost"

    def say(event: Any) -> None:
        place.events.append(event)
        if event.text == stays:
            other.kill()

    ending = work(place.store, place.sweep, train, on_event=say)
    other.communicate()
    assert place.texts(EventKind.NOTICE) == [stays]
    assert (ending.num_finished, ending.final) == (1, True)
    assert [(t.phase, t.attempt) for t in place.trials()] == [(Phase.FINISHED, 1)]


def test_a_pool_of_processes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.script(MODULE, "module.py")
    place.create(program=None, run_cap=6)
    ticks: list[Any] = []
    ending = pool(
        place.store, place.sweep, "module:train", workers=2, on_event=place.events.append, on_tick=ticks.append
    )
    assert (ending.num_finished, ending.final, ending.reason) == (6, True, "nothing is left to do")
    assert [t.phase for t in place.trials()] == [Phase.FINISHED] * 6
    assert len(place.texts(EventKind.FINISHED)) == 6
    assert ticks
    owners = {run.owner for run in place.store.runs.select()}
    assert len(owners) == 2


def test_a_pool_whose_processes_fail(place: Place) -> None:
    place.script("def train():\n    raise ValueError('no such data')", "module.py")
    place.create(program=None, run_cap=50)
    ending = pool(place.store, place.sweep, "module:train", workers=1)
    assert (ending.num_failed, ending.broken) == (3, True)
    assert ending.reason == "an agent ended with status 1: see what it wrote to standard error"


POOL = """
    from whet.store.open import open_store
    from whet.tune.pool import pool
    print(pool(open_store(), SWEEP, "module:train", workers=2).reason, flush=True)
"""


@pytest.mark.parametrize(
    ("number", "is_deaf"),
    [
        pytest.param(signal.SIGINT, False, marks=pytest.mark.slow),
        (signal.SIGKILL, False),
        pytest.param(signal.SIGKILL, True, marks=pytest.mark.slow),
    ],
)
def test_a_pool_ends_with_its_parent(
    place: Place, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, is_deaf: bool
) -> None:
    place.script(MODULE, "module.py")
    place.create(program=None, run_cap=2)
    monkeypatch.setenv("T", "60")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if is_deaf else None  # as a shell starts background jobs
    parent = place.spawn(POOL)
    if is_deaf:
        signal.signal(signal.SIGINT, before)
    place.wait(lambda: len(place.store.trials.leases(place.sweep)) == 2 and (place.folder / "ran").exists())
    pids = [int(lease.owner.split("|")[1]) for lease in place.store.trials.leases(place.sweep)]
    parent.send_signal(number)
    out, err = parent.communicate(timeout=30)

    def gone() -> bool:
        for pid in pids:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                continue
            return False
        return True

    place.wait(gone)
    if number is signal.SIGINT:
        assert out == "interrupted\n", err
    assert {(t.phase, t.attempt) for t in place.trials()} == {(Phase.PENDING, 1)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train", "'train' names no function: write module:function"),
        ("no_such_module:train", "there is no module 'no_such_module' here: run this in the folder that holds it"),
        ("module:main", "module has no function 'main': name one that it has"),
        ("module:whet", "can't be called: name a function"),
    ],
)
def test_functions_that_are_not_there(place: Place, text: str, message: str, monkeypatch: Any) -> None:
    place.script(MODULE, "module.py")
    monkeypatch.syspath_prepend(str(place.folder))
    monkeypatch.delitem(__import__("sys").modules, "module", raising=False)
    with pytest.raises(StudyError, match=message):
        find_function(text)
