"""The loop of command trials, with real processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from whet.errors import AlreadyDriven, LaunchError, StudyError
from whet.launch.local import Local
from whet.store.base import SweepState
from whet.store.open import open_store
from whet.store.owner import here
from whet.study.engine import Assignment, Engine
from whet.trial import Phase
from whet.tune.job import launch
from whet.tune.loop import EventKind, drive

if TYPE_CHECKING:
    from tests.tune.conftest import Place

LOG = """
    import whet
    run = whet.init(settings={"capture": False, "system_interval_s": 0})
    whet.log({"loss": (run.config["x"] - 0.3) ** 2})
    run.finish()
"""
PRINT = """
    import sys
    x = float(sys.argv[1].partition("=")[2])
    for epoch in range(3):
        print("epoch", epoch, "of 3")
        print(f"loss: {(x - 0.3) ** 2 + 1 / (1 + epoch)}")
"""
QUICK = """
    print("loss: 1.0")
"""
SLOW = """
    import time
    print("loss: 1.0")
    time.sleep(60)
"""


def test_a_script_that_logs(place: Place) -> None:
    place.script(LOG)
    place.create(run_cap=3)
    ending = place.drive(workers=2)
    trials = place.trials()
    assert [t.number for t in trials] == [0, 1, 2]
    assert [t.values for t in trials] == [((t.params["x"] - 0.3) ** 2,) for t in trials]  # type: ignore[operator]
    assert (ending.num_finished, ending.final, ending.reason) == (3, True, "the run cap of 3 is used up")
    assert place.store.sweeps.get(place.sweep).state is SweepState.FINISHED
    assert all(" finished: loss=" in text for text in place.texts(EventKind.FINISHED))


def test_a_script_that_prints(place: Place) -> None:
    place.script(PRINT)
    place.create(run_cap=2)
    place.drive(workers=2)
    for trial in place.trials():
        assert trial.values == pytest.approx(((trial.params["x"] - 0.3) ** 2 + 1 / 3,))  # type: ignore[operator]
        assert [r.step for r in trial.reports] == [0, 1, 2]


def test_scripts_with_event_files_in_one_folder(place: Place) -> None:
    pytest.importorskip("tensorboard")
    place.script(
        """
        import sys, time
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
        x = float(sys.argv[1].partition("=")[2])
        writer = EventFileWriter("runs/now")
        for step in range(3):
            value = Summary.Value(tag="loss", simple_value=x + step)
            writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=[value])))
            time.sleep(0.2)  # so that both write at the same time
        writer.close()
        """
    )
    place.create(run_cap=2)
    place.drive(workers=2)
    first, second = place.trials()
    assert first.params != second.params
    for trial in (first, second):
        assert trial.values == pytest.approx((trial.params["x"] + 2,), rel=1e-6)  # type: ignore[operator]
        assert [r.step for r in trial.reports] == [0, 1, 2]


def test_a_sweep_without_a_metric(place: Place) -> None:
    place.script("pass")
    place.create(metric=None, method="grid", parameters={"x": {"values": [1, 2]}}, run_cap=None)
    ending = place.drive(workers=2)
    assert [t.values for t in place.trials()] == [(), ()]
    assert (ending.num_finished, ending.num_failed, ending.final) == (2, 0, True)
    assert sorted(place.texts(EventKind.FINISHED)) == ["trial 0 finished", "trial 1 finished"]


def test_early_stopping_ends_the_job_and_keeps_the_reason(place: Place) -> None:
    place.script(
        """
        import os, sys, time
        import whet
        x = whet.init(settings={"capture": False}).config["x"]
        open(f"{x}.pid", "w").write(str(os.getpid()))
        for step in range(4 if x < 3 else 600):
            whet.log({"loss": float(x)})
            time.sleep(0 if x < 3 else 0.05)
        """
    )
    place.create(
        method="grid", parameters={"x": {"values": [1, 2, 3]}}, run_cap=None,
        early_terminate={"type": "median", "startup_trials": 1, "warmup_steps": 2},
    )  # fmt: skip
    ending = place.drive()
    trials = place.trials()
    assert [(t.phase, t.stopped) for t in trials[::2]] == [(Phase.FINISHED, False), (Phase.FINISHED, True)]
    assert trials[2].values == (3.0,)
    assert trials[2].reason.startswith("loss 3, its best so far, is worse than the median")
    assert trials[2].reason.endswith("at step 2")  # the first one out of the warm-up, however late it was seen
    assert f"trial 2 stopped early: {trials[2].reason}" in place.texts(EventKind.STOPPED)
    assert ending.num_stopped >= 1
    pid = int((place.folder / "3.pid").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("script", "more", "reason"),
    [
        ("raise ValueError('no such data')", {}, "exit status 1: ValueError: no such data"),
        ("import os; os.kill(os.getpid(), 9)", {}, "killed by SIGKILL (signal 9)"),
        ("pass", {}, "it never reported 'loss': it reported no metric at all"),
        ("print('los: 1.0'); print('accuracy: 2')", {}, "it never reported 'loss': it reported accuracy, los"),
        ("print('loss: nan')", {}, "its result loss is NaN"),
        ("import time; time.sleep(60)", {"resources": {"timeout_s": 0.3}}, "ran longer than its timeout of 0.3 s"),
    ],
)
def test_a_trial_that_fails_says_why(place: Place, script: str, more: dict[str, Any], reason: str) -> None:
    place.script(script)
    place.create(run_cap=1, **more)
    ending = place.drive()
    (trial,) = place.trials()
    assert trial.phase is Phase.FAILED
    assert trial.reason.startswith(reason)
    assert place.texts(EventKind.FAILED) == [f"trial 0 failed: {trial.reason}"]
    assert ending.num_failed == 1


def test_three_failures_at_the_start_end_it(place: Place) -> None:
    place.script("raise SystemExit('no GPU')")
    place.create(run_cap=50)
    ending = place.drive()
    assert len(place.trials()) == 3
    assert not ending.final
    assert ending.reason == (
        "the first 3 trials failed, so no more are started; the last: trial 2 failed: exit status 1: no GPU"
    )


def test_failures_after_a_success_end_nothing(place: Place) -> None:
    place.script("import sys; print('loss: 1') if sys.argv[1] == '--x=0' else sys.exit(3)")
    place.create(method="grid", parameters={"x": {"values": [0, 1, 2, 3, 4]}}, run_cap=None)
    assert place.drive().num_failed == 4


def test_a_command_that_cannot_be_started(place: Place) -> None:
    place.create(command=["no-such-program", "${args}"], program=None)
    ending = place.drive()
    assert (ending.num_failed, len(place.trials())) == (3, 3)
    assert place.trials()[0].reason.startswith("there is no program 'no-such-program' on the PATH")


def test_what_it_does_not_take(place: Place) -> None:
    place.create(program=None, command=None)
    with pytest.raises(StudyError, match="has no program to run: add program: to its file"):
        place.drive()
    memory = open_store("memory")
    with pytest.raises(StudyError, match="a store in memory can't be shared"):
        drive(memory, "x", Local(place.folder / "jobs"))
    with pytest.raises(StudyError, match="workers=0"):
        place.drive(workers=0)


def test_count_ends_early_and_the_next_call_goes_on(place: Place) -> None:
    place.script(QUICK)
    place.create(run_cap=3)
    ending = place.drive(count=2)
    assert (ending.reason, ending.final, ending.num_finished) == ("the trials asked for are done", False, 2)
    assert place.drive().num_finished == 1
    assert [t.number for t in place.trials()] == [0, 1, 2]


DRIVER = """
    from pathlib import Path
    from whet.launch.local import Local
    from whet.store.open import open_store
    from whet.tune.loop import drive
    ending = drive(open_store(), SWEEP, Local(Path(".whet/jobs"), grace_s=2.0), workers=2, on_event=lambda e: print(e.text, flush=True))
    print(ending.interrupted, ending.reason)
"""


def test_ctrl_c_puts_what_runs_back_and_the_next_call_goes_on(place: Place) -> None:
    place.script(SLOW)
    place.create(run_cap=3)
    process = place.spawn(DRIVER)
    place.wait(lambda: sum(bool(t.reports) for t in place.trials()) == 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert out.splitlines()[-1] == "True interrupted", err
    assert "trial 0 is queued again: the sweep was interrupted" in out
    assert [(t.phase, t.attempt) for t in place.trials()] == [(Phase.PENDING, 1), (Phase.PENDING, 1)]
    place.script(QUICK)
    assert place.drive(workers=2).num_finished == 3
    assert [t.number for t in place.trials()] == [0, 1, 2]


def test_pause_resume_and_stop_from_elsewhere(place: Place) -> None:
    place.script("import time; time.sleep(0.1); print('loss: 1.0')")
    place.create(run_cap=None)
    moved: list[SweepState] = []

    def move(to: SweepState, at: int) -> Callable[[Engine], None]:
        def tick(engine: Engine) -> None:
            if len(engine.trials) >= at and not moved:
                moved.append(place.store.sweeps.move(place.sweep, to).state)

        return tick

    ending = place.drive(on_tick=move(SweepState.PAUSED, 2))
    assert ending.reason == f"the sweep is paused; it goes on with: whet sweep {place.sweep} --resume"
    assert not ending.final
    assert {t.phase for t in place.trials()} == {Phase.FINISHED}  # what ran was let to its end
    place.store.sweeps.move(place.sweep, SweepState.RUNNING)
    moved.clear()
    ending = place.drive(on_tick=move(SweepState.FINISHED, 4))
    assert (ending.reason, ending.final) == ("the sweep is finished", True)
    assert {t.phase for t in place.trials()} == {Phase.FINISHED}


def test_cancel_from_elsewhere_ends_what_runs(place: Place) -> None:
    place.script(SLOW)
    place.create(run_cap=5)

    def tick(engine: Engine) -> None:
        if any(t.reports for t in engine.in_order()):
            place.store.sweeps.move(place.sweep, SweepState.CANCELED)

    ending = place.drive(workers=2, on_tick=tick)
    assert (ending.reason, ending.final) == ("the sweep is canceled", True)
    assert {t.phase for t in place.trials()} == {Phase.CANCELED}
    assert "trial 0 canceled: the sweep was canceled" in place.texts(EventKind.CANCELED)


def test_an_agent_waits_while_the_sweep_is_paused(place: Place) -> None:
    place.script(QUICK)
    place.create(run_cap=2)
    place.store.sweeps.move(place.sweep, SweepState.PAUSED)
    ticks: list[float] = []

    def tick(engine: Engine) -> None:
        ticks.append(time.monotonic())
        if len(ticks) == 10:
            place.store.sweeps.move(place.sweep, SweepState.RUNNING)

    assert place.drive(exclusive=False, on_tick=tick).num_finished == 2
    assert place.texts(EventKind.NOTICE) == [f"the sweep is paused; it goes on with: whet sweep {place.sweep} --resume"]


def test_two_coordinators(place: Place) -> None:
    place.script(SLOW)
    place.create()
    process = place.spawn(DRIVER)
    try:
        place.wait(lambda: len(place.trials()) > 0)
        with pytest.raises(AlreadyDriven) as caught:
            place.drive()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    host = here().partition("|")[0]
    assert str(caught.value) == (
        f"sweep {place.sweep!r} is driven by process {process.pid} on {host}: "
        "let that one go on, or end it first; agents may join at any time"
    )


def test_a_process_drives_a_sweep_once_at_a_time(place: Place) -> None:
    place.script(QUICK)
    place.create()
    said: list[str] = []

    def tick(engine: Engine) -> None:
        if not said:
            with pytest.raises(AlreadyDriven) as caught:
                place.drive()
            said.append(str(caught.value))

    assert place.drive(on_tick=tick).final
    assert said == [
        f"sweep {place.sweep!r} is driven by this process already: let that go on; workers=N runs several trials at a time"
    ]
    assert place.drive().final  # and again, one after the other


def test_what_a_killed_coordinator_left_is_taken_over(place: Place) -> None:
    """One trial whose job is over, one whose job runs, one that was handed out and not launched yet."""
    place.script("import os, time; open('ran', 'a').write('.'); print('loss: 2.0'); time.sleep(float(os.environ['T']))")
    place.create(run_cap=3)
    process = place.spawn(
        """
        import os
        from pathlib import Path
        from whet.launch.local import Local
        from whet.store.open import open_store
        from whet.study.engine import Engine
        from whet.tune.job import launch
        engine, executor = Engine(open_store(), SWEEP), Local(Path(".whet/jobs"))
        for seconds in ("0", "1.5", None):
            assignment = engine.ask()
            if seconds is not None:
                os.environ["T"] = seconds
                launch(engine, executor, assignment, cwd=None)
        os.kill(os.getpid(), 9)
        """
    )
    process.communicate(timeout=20)
    os.environ["T"] = "0"
    try:
        ending = place.drive(workers=3)
    finally:
        del os.environ["T"]
    assert ending.num_finished == 3
    assert [(t.phase, t.attempt) for t in place.trials()] == [
        (Phase.FINISHED, 0), (Phase.FINISHED, 0), (Phase.FINISHED, 1),
    ]  # fmt: skip
    assert (place.folder / "ran").read_text() == "..."
    assert sorted(place.texts(EventKind.ADOPTED)) == [
        "trial 0 goes on: who watched it is gone, its job is not",
        "trial 1 goes on: who watched it is gone, its job is not",
    ]


def test_a_job_that_was_canceled_for_a_reason_nobody_told_runs_again(place: Place) -> None:
    """The coordinator was killed between canceling a job and telling why."""
    place.script("import os, time; print('loss: 1.0'); time.sleep(0 if os.path.exists('go') else 60)")
    place.create(run_cap=1)
    executor = Local(place.folder / ".whet" / "jobs", grace_s=2.0)
    process = place.spawn(
        """
        import os
        from pathlib import Path
        from whet.launch.local import Local
        from whet.store.open import open_store
        from whet.study.engine import Engine
        from whet.tune.job import launch
        engine, executor = Engine(open_store(), SWEEP), Local(Path(".whet/jobs"), grace_s=2.0)
        executor.cancel(launch(engine, executor, engine.ask(), cwd=None).handle)
        os.kill(os.getpid(), 9)
        """
    )
    process.communicate(timeout=20)
    (place.folder / "go").touch()
    assert drive(place.store, place.sweep, executor, on_event=place.events.append).num_finished == 1
    assert place.texts(EventKind.REQUEUED) == ["trial 0 is queued again: it was interrupted"]


def test_a_job_that_vanishes_is_tried_three_times(place: Place) -> None:
    place.script("import os, time; os.kill(os.getppid(), 9); time.sleep(60)")  # its parent is its supervisor
    place.create(run_cap=1)
    ending = place.drive()
    (trial,) = place.trials()
    assert (trial.phase, trial.attempt, ending.num_failed) == (Phase.FAILED, 2, 1)
    assert trial.reason.startswith("its process vanished without an exit status")
    assert len(place.texts(EventKind.REQUEUED)) == 2


def test_trials_wait_for_devices_and_impossible_wishes_fail(place: Place) -> None:
    place.script("import os; print('loss: 1.0'); open('gpu', 'a').write(os.environ['CUDA_VISIBLE_DEVICES'])")
    place.create(run_cap=3, resources={"gpus": 1})
    executor = Local(place.folder / ".whet" / "jobs", gpus=[7])
    ending = drive(place.store, place.sweep, executor, workers=3, on_event=place.events.append)
    assert (ending.num_finished, ending.num_failed) == (3, 0)
    assert (place.folder / "gpu").read_text() == "777"
    assert any("waits: the job wants 1 GPUs, and 0 of 1 are free" in text for text in place.texts(EventKind.NOTICE))
    place.create(run_cap=1, resources={"gpus": 2})
    assert drive(place.store, place.sweep, executor).num_failed == 1


def test_a_disk_that_is_full_for_a_while(place: Place) -> None:
    """With jobs running the store is waited for, with none it is an error."""
    place.script("import time; time.sleep(0.3); print('loss: 1.0\\n' * 2000)")
    place.create(run_cap=3)
    database = place.store.database  # type: ignore[attr-defined]

    def limit(pages: int) -> None:
        cursor = database.link().connection.execute(f"PRAGMA max_page_count={pages}")
        cursor.fetchone()
        cursor.close()

    def tick(engine: Engine) -> None:
        limit(1 if len(place.events) == 1 else 1 << 30)  # SQLite takes the present size for the least

    ending = place.drive(workers=1, on_tick=tick)
    limit(1 << 30)
    assert ending.num_finished == 3
    full, over = place.texts(EventKind.NOTICE)
    assert full.endswith("is full: what runs goes on, and the store is tried again for 10 min")
    assert over.startswith("the store answers again, after ")
    assert [t.number for t in place.trials()] == [0, 1, 2]


def test_a_resumed_loop_uses_the_command_of_the_first(place: Place) -> None:
    """A job that may run already is submitted by its name and its first command, whatever has become of the sweep's file."""
    place.create(command=["${envvar:WHICH}", "-c", "print('loss: 1.0')"], program=None, run_cap=1)
    os.environ["WHICH"] = os.environ.get("PYTHON", __import__("sys").executable)
    engine = Engine(place.store, place.sweep)
    executor = Local(place.folder / ".whet" / "jobs")
    try:
        assignment = engine.ask()
        assert isinstance(assignment, Assignment)
        first = launch(engine, executor, assignment, cwd=None)
    finally:
        del os.environ["WHICH"]
    assert launch(engine, executor, assignment, cwd=None).handle == first.handle
    other = Assignment(run_id="other", number=1, attempt=0, params=assignment.params)
    with pytest.raises(LaunchError, match=r"the command of trial 1 can't be made \(.*WHICH"):
        launch(engine, executor, other, cwd=None)
