"""Functions and commands that pause and go on from their checkpoints."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.tune.conftest import Place

import whet
from whet.trial import Phase, Report, Trial
from whet.tune.agent import work
from whet.tune.events import EventKind

PAUSING = {"type": "asha", "pause": True, "max_steps": 9}
GRID = {"x": {"values": [1, 2, 3, 4, 5, 6]}}
QUIET = {"capture": False, "system_interval_s": 0, "stdout": False}


def steps(folder: Path) -> Counter[tuple[int, int]]:
    lines = (folder / "steps").read_text().split()
    return Counter((int(n), int(s)) for n, s in (line.split(":") for line in lines))


def test_a_function_goes_on_from_its_checkpoint(place: Place) -> None:
    def learn() -> None:
        run = whet.init(settings=QUIET)
        found = run.load_checkpoint()
        for step in range(0 if found is None else found.step + 1, 9):  # type: ignore[operator]
            with run.save_checkpoint(step) as folder:
                (folder / "step").write_text(str(step))
            with Path("steps").open("a") as file:
                file.write(f"{run.number}:{step}\n")
            whet.log({"loss": run.config["x"] + 1 / (step + 1)})
            run.sync()
            time.sleep(0.15)  # the watcher looks twenty times a second

    place.create(program=None, method="grid", parameters=GRID, run_cap=None, early_terminate=PAUSING)
    ending = work(place.store, place.sweep, learn, on_event=place.events.append)
    trials = place.trials()
    assert place.texts(EventKind.PAUSED)
    assert any(t.complete and len(t.reports) == 9 for t in trials)
    assert {t.phase for t in trials} == {Phase.FINISHED}
    assert ending.final
    resumed = [text for text in place.texts(EventKind.STARTED) if "resumed" in text]
    assert resumed
    assert all("from its checkpoint of step" in text for text in resumed)


SCRIPT = """
import time
import whet
run = whet.init(settings={"capture": False, "system_interval_s": 0})
found = whet.load_checkpoint()
for step in range(0 if found is None else found.step + 1, 9):
    with whet.save_checkpoint(step) as folder:
        (folder / "step").write_text(str(step))
    whet.log({"loss": run.config["x"] + 1 / (step + 1)}, step=step)
    with open("steps", "a") as file:
        file.write(f"{run.number}:{step}\\n")
    run.sync()
    time.sleep(0.25)
"""


def test_a_command_goes_on_from_its_checkpoint(place: Place) -> None:
    place.script(SCRIPT)
    place.create(method="grid", parameters={"x": {"values": [1, 2, 3]}}, run_cap=None, early_terminate=PAUSING)
    ending = place.drive(workers=2)
    trials = place.trials()
    assert ending.final
    assert place.texts(EventKind.PAUSED)
    assert {t.phase for t in trials} == {Phase.FINISHED}
    assert [t.number for t in trials if t.complete] == [0]
    assert len(trials[0].reports) == 9
    assert [r.step for r in trials[0].reports] == list(range(9))
    assert all(t.reason for t in trials if t.stopped)
    # A job may get a step or two further before it is ended; it goes on from there.
    assert max(steps(place.folder).values()) <= 2


PLAIN = """
import os, time
from pathlib import Path
folder, found = Path(os.environ["WHET_CHECKPOINT_DIR"]), os.environ["WHET_CHECKPOINT"]
start = int((Path(found) / "epoch").read_text()) + 1 if found else 0
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
x = parser.parse_args().x
for step in range(start, 9):
    (folder / "epoch").write_text(str(step))
    print(f"step: {step}  loss: {x + 1 / (step + 1)}", flush=True)
    time.sleep(0.3)
"""


def test_a_script_without_whet_finds_its_files_again(place: Place) -> None:
    place.script(PLAIN)
    place.create(method="grid", parameters={"x": {"values": [1, 2, 3]}}, run_cap=None, early_terminate=PAUSING)
    ending = place.drive()
    trials = place.trials()
    assert ending.final
    assert {t.phase for t in trials} == {Phase.FINISHED}
    assert [t.number for t in trials if t.complete] == [0]
    assert any("resumed" in text and "from its checkpoint" in text for text in place.texts(EventKind.STARTED))


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_a_killed_coordinator_does_not_pause_again_what_was_resumed(place: Place) -> None:
    """The next one takes the resumed job over, and knows at which step it was paused."""
    place.script(SCRIPT)
    place.create(method="grid", parameters={"x": {"values": [1, 2, 3]}}, run_cap=None, early_terminate=PAUSING)
    worse = [
        Trial(number=x, params={"x": x}, phase=Phase.FINISHED, stopped=True, values=(x + 0.5,),
              reports=tuple(Report(step=s, values=(x + 1 / (s + 1),)) for s in range(2)))
        for x in (2, 3)
    ]  # fmt: skip
    place.store.trials.extend(place.sweep, worse)
    other = place.spawn(
        """
        from pathlib import Path
        from whet.launch.local import Local
        from whet.store.open import open_store
        from whet.tune.loop import drive
        here = Path.cwd() / ".whet"
        drive(open_store(f"sqlite:///{here / 'whet.db'}"), SWEEP, Local(here / "jobs", grace_s=2.0))
        """
    )
    place.wait(lambda: any(t.attempt and t.phase is Phase.RUNNING for t in place.trials()), 60)
    resumed = next(t for t in place.trials() if t.attempt)
    other.send_signal(signal.SIGKILL)
    other.communicate()
    place.drive()
    after = place.trials()[resumed.number]
    assert (after.attempt, after.complete) == (resumed.attempt, True) or after.attempt > resumed.attempt
    assert len(after.reports) > len(resumed.reports)


FUNCTION = """
import os, signal
from pathlib import Path
import whet

def learn():
    run = whet.init(settings={"capture": False, "system_interval_s": 0, "stdout": False})
    found = run.load_checkpoint()
    start = 0 if found is None else found.step + 1
    with Path("steps").open("a") as file:
        file.write(f"{run.number}:{start}\\n")
    for step in range(start, 6):
        with run.save_checkpoint(step) as folder:
            (folder / "half").write_text(str(step))
            if step == 4 and found is None:
                os.kill(os.getpid(), signal.SIGKILL)
            (folder / "other half").write_text(str(step))
        whet.log({"loss": 1.0 / (step + 1)})
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_an_agent_killed_while_it_saves_is_followed_by_one_that_goes_on(place: Place) -> None:
    place.script(FUNCTION, "learning.py")
    place.create(program=None, run_cap=1)
    code = """
        from learning import learn
        from whet.store.open import open_store
        from whet.tune.agent import work
        work(open_store(), SWEEP, learn)
        """
    first = place.spawn(code)
    first.communicate(timeout=60)
    assert first.returncode == -signal.SIGKILL
    second = place.spawn(code)
    _, said = second.communicate(timeout=60)
    assert second.returncode == 0, said
    (trial,) = place.trials()
    assert (trial.phase, trial.values, trial.attempt) == (Phase.FINISHED, (1 / 6,), 1)
    assert list(steps(place.folder)) == [(0, 0), (0, 4)]  # after step 3, the last that was saved whole
    assert [r.step for r in trial.reports] == [4, 5]
