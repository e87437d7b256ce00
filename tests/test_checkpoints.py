"""Checkpoints are there as a whole or not at all."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

import whet
from whet.checkpoints import Checkpoints
from whet.errors import StoreUnavailable, TrackError


def names(run):
    return sorted(p.name for p in (run / "checkpoints").iterdir())


def save(checkpoints, step, text=None):
    with checkpoints.save(step) as folder:
        (folder / "state").write_text(str(step) if text is None else text)


def test_the_latest_counts_and_the_others_go(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load() is None
    for step in (3, 7, 5):  # going back is the user's right
        save(checkpoints, step)
        found = checkpoints.load()
        assert (found.step, (found / "state").read_text(), os.listdir(found)) == (step, str(step), ["state"])
    assert names(tmp_path) == ["0-2-step-5"]
    assert names(tmp_path) == [os.path.basename(Checkpoints(tmp_path).load())]


def test_an_error_within_keeps_the_one_before(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)

    def fail():
        with checkpoints.save(2) as folder:
            (folder / "state").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert checkpoints.load().step == 1
    assert names(tmp_path) == ["0-0-step-1"]


def test_every_file_and_folder_is_on_the_disk_before_the_one_before_goes(tmp_path, monkeypatch):
    checkpoints, told = Checkpoints(tmp_path), []
    save(checkpoints, 1)

    def to_disk(path):
        told.append((path.name, names(tmp_path)))

    monkeypatch.setattr(whet.checkpoints, "_to_disk", to_disk)
    with checkpoints.save(2) as folder:
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er" / "state").write_text("2")
        name = folder.name
    assert {told_name for told_name, _ in told} == {"state", "er", "deep", name, "checkpoints"}
    assert told[-1] == ("checkpoints", ["0-0-step-1", "0-1-step-2"])
    assert all(name in there for _, there in told[:-1])


def test_a_later_attempt_wins_over_a_worker_that_was_given_up(tmp_path):
    given_up, now = Checkpoints(tmp_path, attempt=0), Checkpoints(tmp_path, attempt=1)
    save(given_up, 1)
    save(now, 2)
    save(given_up, 9)
    assert now.load().step == 2
    save(now, 3)
    assert names(tmp_path) == ["1-1-step-3"]


def test_without_one_of_its_own_it_goes_on_from_its_parent(tmp_path):
    child = Checkpoints(tmp_path / "child", parent=tmp_path / "parent")
    assert child.load() is None
    save(Checkpoints(tmp_path / "parent", attempt=2), 4)
    assert (child.load().step, child.own()) == (4, None)
    save(child, 8)
    assert child.load().step == child.own().step == 8
    assert names(tmp_path / "parent") == ["2-0-step-4"]


def test_what_a_program_without_whet_left_counts_if_there_is_nothing_else(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.files.mkdir(parents=True)
    assert checkpoints.load() is None
    (checkpoints.files / "model.bin").write_bytes(b"1")
    assert (checkpoints.load().path, checkpoints.load().step) == (checkpoints.files, None)
    save(checkpoints, 0)
    assert checkpoints.load().step == 0


def test_what_may_not_write_does_not(tmp_path):
    save(Checkpoints(tmp_path), 1)
    silent = Checkpoints(tmp_path, keeps=False)
    save(silent, 2)
    assert silent.load().step == 1


@pytest.mark.parametrize("step", [-1, 1.5, None, "3"])
def test_a_step_is_a_whole_number(tmp_path, step):
    with pytest.raises(TrackError, match="give the step that is done"), Checkpoints(tmp_path).save(step):
        pass


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "checkpoints").write_text("a file is in the way")
    with pytest.raises(StoreUnavailable, match="set WHET_DIR"), Checkpoints(tmp_path).save(1):
        pass


PROGRAM = """
import sys
from pathlib import Path
from whet.checkpoints import Checkpoints
checkpoints = Checkpoints(Path(sys.argv[1]))
found = checkpoints.load()
step = 0 if found is None else found.step + 1
print("ready", flush=True)
while True:
    with checkpoints.save(step) as folder:
        for i in range(8):
            (folder / f"part-{i}").write_text(f"{step} " * 5000)
    step += 1
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_a_process_killed_while_it_saves_leaves_a_whole_checkpoint(tmp_path):
    rng, last, halves = random.Random(0), -1, 0
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        halves += any(name.startswith(".draft") for name in names(tmp_path))
        found = Checkpoints(tmp_path).load()
        if found is None:
            assert last == -1
            continue
        assert found.step >= last
        last = found.step
        assert sorted(os.listdir(found)) == [f"part-{i}" for i in range(8)]
        assert {(found / f"part-{i}").read_text() for i in range(8)} == {f"{last} " * 5000}
    assert last > 5
    assert halves > 0, "no kill came while a checkpoint was being written: the test shows nothing"
    save(Checkpoints(tmp_path), last + 1)
    assert len(names(tmp_path)) == 1  # what was half done is gone


def test_a_run_goes_on_counting_where_its_checkpoint_was(tmp_path, monkeypatch):
    monkeypatch.setenv("WHET_DIR", str(tmp_path))
    quiet = {"capture": False, "system_interval_s": 0, "stdout": False}
    with whet.init(id="first", mode="offline", settings=quiet) as run:
        assert whet.load_checkpoint() is None
        for step in range(3):
            with whet.save_checkpoint(step) as folder:
                (folder / "w").write_text("1")
            run.log({"loss": 1.0})
    with whet.init(id="first", resume=True, mode="offline", settings=quiet) as run:
        assert run.load_checkpoint().step == 2
        assert run.step == 3
