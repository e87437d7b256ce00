"""The laws of an `Executor`, as a test class to inherit::

    class TestMine(ExecutorLaws):
        def make(self, folder):
            return Mine(folder)

The laws start real processes and wait for conditions, never for a time. After each, no process may be left.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets
import signal
import sys
import time
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from whet.errors import LaunchError
from whet.launch.base import Executor, Handle, JobState, JobStatus, Resources

__all__ = ["HOSTILE_NAMES", "HOSTILE_TEXTS", "ExecutorLaws", "alive", "until"]

_PATIENCE_S = 60.0
_TAG = "WHET_EXECUTOR_LAWS"

HOSTILE_TEXTS = (
    "",
    " ",
    "-rf",
    "--",
    "two\nlines\r\n",
    "tab\t'single' \"double\" `tick` $HOME ${x} $(id) %PATH% !x \\ & | ; < > * ? [a] {b} ~ #",
    "ünïcødé 試験 🙂 e\u0301",
    "x" * 500,
)
HOSTILE_NAMES = (
    *HOSTILE_TEXTS,
    "plain",
    "Plain",
    "PLAIN",
    ".",
    "..",
    ".hidden",
    "dot.",
    "a/b",
    "a\\b",
    "../../x",
    "/etc/x",
    "con",
    "é",
    unicodedata.normalize("NFD", "é"),
    "x" * 501,
    "nul\0byte",
)

_ECHO = """
import json, os, sys
with open(os.environ["ECHO_TO"], "w") as file:
    json.dump([sys.argv[1:], os.environ["HOSTILE"], os.getcwd()], file)
"""
# A child that ignores SIGTERM and starts a grandchild that does, too, in a session of its own; both write their pids.
_STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) > 2:
    subprocess.Popen([sys.executable, __file__, sys.argv[1]], start_new_session=True)
with open(sys.argv[1], "a") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(3600)
"""
_LISTENS = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
signal.signal(signal.SIGUSR1, lambda *_: (folder / "heard").touch())
(folder / "ready").touch()
while True:
    time.sleep(0.05)
"""
_POLITE = """
import signal, sys, time
from pathlib import Path
def end(*_):
    Path(sys.argv[1], "saved").write_text("yes")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
Path(sys.argv[1], "ready").write_text("yes")
time.sleep(3600)
"""


def until(condition: Callable[[], Any], what: str) -> Any:
    """Return the first true result of `condition`, or fail after a minute."""
    deadline = time.monotonic() + _PATIENCE_S
    while not (result := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited in vain until {what}")
        time.sleep(0.01)
    return result


def alive(pid: int) -> bool:
    """Return whether `pid` is a process that is not a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class ExecutorLaws(ABC):
    """Every executor that Whet can use passes these; see `Executor` for the laws in words.

    Executors can be pickled: some laws use one from several processes.
    """

    concurrent = True
    """Whether `submit` returns before the job is over."""
    supervised = True
    """Whether the parent of a job's first process is a supervisor on this machine, which the laws may kill."""
    posix = os.name == "posix"
    """Whether jobs run on a POSIX system."""

    @abstractmethod
    def make(self, folder: Path) -> Executor:
        """Return an executor on `folder` that lets a job at most two seconds of grace; called again, it is the same after a restart."""

    @pytest.fixture(autouse=True)
    def _nothing_is_left(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        if os.name == "posix":  # multiprocessing's own helper, which stays
            from multiprocessing import resource_tracker

            resource_tracker.ensure_running()
        tag = secrets.token_hex(8)
        monkeypatch.setenv(_TAG, tag)

        def tagged() -> list[psutil.Process]:
            found = []
            for process in psutil.process_iter():
                try:
                    if process.environ().get(_TAG) == tag and alive(process.pid):
                        found.append(process)
                except (psutil.Error, OSError):
                    continue
            return found

        yield
        deadline = time.monotonic() + _PATIENCE_S
        while (left := tagged()) and time.monotonic() < deadline:
            time.sleep(0.02)
        for process in left:
            process.kill()
        assert not left, f"processes are left: {left}"

    def run(self, executor: Executor, command: list[str], name: str = "job", **given: Any) -> tuple[Handle, JobStatus]:
        """Submit `command`, wait until it is over, and return its handle and status."""
        handle = executor.submit(command, given.pop("resources", Resources()), name=name, **given)
        return handle, self.over(executor, handle)

    def over(self, executor: Executor, handle: Handle) -> JobStatus:
        """Wait until the job is over, and return its status."""
        status: JobStatus = until(
            lambda: (s := executor.poll([handle])[handle]).state.is_over and s, f"{handle} is over"
        )
        return status

    def python(self, source: str, *arguments: str) -> list[str]:
        """Return the command that runs `source`."""
        return [sys.executable, "-S", "-c", source, *arguments]

    def stubborn(self, executor: Executor, folder: Path, **given: Any) -> tuple[Handle, list[int]]:
        """Start a child and a grandchild that ignore SIGTERM; return the handle and their pids."""
        script, pids = folder / "stubborn.py", folder / "pids"
        script.write_text(_STUBBORN)
        command = [sys.executable, "-S", str(script), str(pids), "parent"]
        handle = executor.submit(command, given.pop("resources", Resources()), name="stubborn", **given)

        def both() -> list[int]:
            found = [int(line) for line in pids.read_text().split()] if pids.exists() else []
            return found if len(found) == 2 else []

        return handle, until(both, "child and grandchild have started")

    def needs_concurrency(self) -> None:
        """Skip the law if jobs are over when `submit` returns."""
        if not self.concurrent:
            pytest.skip("submit waits for the job (concurrent = False)")

    def test_output_and_success(self, tmp_path: Path) -> None:
        executor = self.make(tmp_path / "jobs")
        handle, status = self.run(executor, self.python("import sys; print('out'); print('err', file=sys.stderr)"))
        assert (status.state, status.exit_code, status.reason) == (JobState.SUCCEEDED, 0, "")
        logs = executor.logs(handle)
        assert logs.stdout.read_text().strip().startswith("out")
        assert logs.stderr.read_text().strip().endswith("err")

    def test_pids_are_known_when_it_is_over(self, tmp_path: Path) -> None:
        executor = self.make(tmp_path / "jobs")
        handle, status = self.run(executor, self.python("import os; print(os.getpid())"))
        assert int(executor.logs(handle).stdout.read_text()) in status.pids

    @pytest.mark.parametrize("code", [1, 2, 77, 255])
    def test_exit_status(self, code: int, tmp_path: Path) -> None:
        _, status = self.run(self.make(tmp_path / "jobs"), self.python(f"raise SystemExit({code})"))
        assert (status.state, status.exit_code) == (JobState.FAILED, code)
        assert str(code) in status.reason

    @pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGTERM"])
    def test_death_by_signal(self, name: str, tmp_path: Path) -> None:
        if not self.posix:
            pytest.skip("no signals (posix = False)")
        number = getattr(signal, name)
        _, status = self.run(self.make(tmp_path / "jobs"), self.python(f"import os; os.kill(os.getpid(), {number})"))
        assert (status.state, status.exit_code) == (JobState.FAILED, -number)
        assert name in status.reason

    def test_text_arrives_as_it_is(self, tmp_path: Path) -> None:
        executor = self.make(tmp_path / "jobs")
        texts = [*HOSTILE_TEXTS, *(["byte \udcff"] if self.posix else [])]
        for i, text in enumerate(texts):
            cwd = tmp_path / (f"{i} " + text.replace("/", "_")[:40] if self.posix else str(i))
            cwd.mkdir()
            target = tmp_path / f"echo{i}"
            command = self.python(_ECHO, text, *texts)
            env = {"HOSTILE": text, "ECHO_TO": str(target)}
            _, status = self.run(executor, command, f"echo{i}", env=env, cwd=cwd)
            assert status.state is JobState.SUCCEEDED, status
            assert json.loads(target.read_text()) == [[text, *texts], text, str(cwd)]

    def test_hostile_names(self, tmp_path: Path) -> None:
        """Each name is a job of its own, and nothing is written outside the executor's folder."""
        (tmp_path / "a" / "b").mkdir(parents=True)
        executor = self.make(tmp_path / "a" / "b" / "jobs")
        command = self.python("import sys; sys.stdout.write(ascii(sys.argv[1]))")
        handles = {
            name: executor.submit([*command, name.replace("\0", "0")], Resources(), name=name) for name in HOSTILE_NAMES
        }
        assert len(set(handles.values())) == len(HOSTILE_NAMES)
        assert len({handle.id.lower() for handle in handles.values()}) == len(HOSTILE_NAMES)
        for name, handle in handles.items():
            assert handle.id.isascii()
            assert handle.id.isprintable()
            assert self.over(executor, handle).state is JobState.SUCCEEDED
            assert executor.logs(handle).stdout.read_text() == ascii(name.replace("\0", "0"))
        outside = {p for p in tmp_path.rglob("*") if (tmp_path / "a" / "b" / "jobs") not in [p, *p.parents]}
        assert outside == {tmp_path / "a", tmp_path / "a" / "b"}

    def test_output_of_any_bytes_and_any_length(self, tmp_path: Path) -> None:
        executor = self.make(tmp_path / "jobs")
        source = "import sys; w = sys.stdout.buffer.write; w(b'\\xff\\xfe\\x00bad'); w(b'x' * 10_000_000)"
        handle, status = self.run(executor, self.python(source))
        assert status.state is JobState.SUCCEEDED
        assert executor.logs(handle).stdout.read_bytes() == b"\xff\xfe\x00bad" + b"x" * 10_000_000

    def test_input_is_empty(self, tmp_path: Path) -> None:
        _, status = self.run(self.make(tmp_path / "jobs"), self.python("import sys; assert sys.stdin.read() == ''"))
        assert status.state is JobState.SUCCEEDED

    def test_what_cannot_start_says_so(self, tmp_path: Path) -> None:
        executor = self.make(tmp_path / "jobs")
        with pytest.raises(LaunchError, match="no-such-program-xyz"):
            executor.submit(["no-such-program-xyz"], Resources(), name="program")
        with pytest.raises(LaunchError, match="nowhere"):
            executor.submit(self.python("pass"), Resources(), name="cwd", cwd=tmp_path / "nowhere")
        with pytest.raises(LaunchError):
            executor.submit([], Resources(), name="empty")
        for name in ("program", "cwd", "empty"):  # the name is still free
            assert self.run(executor, self.python("pass"), name)[1].state is JobState.SUCCEEDED

    def test_same_name_starts_nothing_twice(self, tmp_path: Path) -> None:
        target = tmp_path / "lines"
        command = self.python("import sys; open(sys.argv[1], 'a').write('line\\n')", str(target))
        executor = self.make(tmp_path / "jobs")
        first = executor.submit(command, Resources(), name="once")
        again = executor.submit(command, Resources(), name="once")
        restarted = self.make(tmp_path / "jobs").submit(command, Resources(), name="once")
        assert first == again == restarted
        assert self.over(executor, first).state is JobState.SUCCEEDED
        assert executor.submit(command, Resources(), name="once") == first
        assert self.make(tmp_path / "jobs").submit(self.python("raise"), Resources(), name="once") == first
        assert self.over(self.make(tmp_path / "jobs"), first).state is JobState.SUCCEEDED
        assert target.read_text() == "line\n"

    def test_racing_processes_start_each_job_once(self, tmp_path: Path) -> None:
        target = tmp_path / "lines"
        target.touch()
        source = (
            "import os, sys; os.write(os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND), sys.argv[2].encode() + b'\\n')"
        )
        names = [f"race{i}" for i in range(6)]
        commands = {name: self.python(source, str(target), name) for name in names}
        spawn = multiprocessing.get_context("spawn")
        barrier, answers = spawn.Barrier(4), spawn.Queue()
        racers = [
            spawn.Process(target=_race, args=(self.make(tmp_path / "jobs"), commands, barrier, answers))
            for _ in range(4)
        ]
        for racer in racers:
            racer.start()
        handles = [answers.get(timeout=_PATIENCE_S) for _ in racers]
        for racer in racers:
            racer.join(_PATIENCE_S)
        assert all(answer == handles[0] for answer in handles)
        executor = self.make(tmp_path / "jobs")
        assert {self.over(executor, handle).state for handle in handles[0]} == {JobState.SUCCEEDED}
        assert sorted(target.read_text().split()) == names

    def test_a_job_survives_its_coordinator(self, tmp_path: Path) -> None:
        self.needs_concurrency()
        go, executor = tmp_path / "go", self.make(tmp_path / "jobs")
        source = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)\nprint('done')"
        spawn = multiprocessing.get_context("spawn")
        answers = spawn.Queue()
        coordinator = spawn.Process(target=_submit_and_die, args=(executor, self.python(source, str(go)), answers))
        coordinator.start()
        executor_name, ident = answers.get(timeout=_PATIENCE_S)
        coordinator.join(_PATIENCE_S)
        assert coordinator.exitcode == (-9 if self.posix else coordinator.exitcode)
        handle = Handle(executor=executor_name, id=ident)
        restarted = self.make(tmp_path / "jobs")
        assert not restarted.poll([handle])[handle].state.is_over
        go.touch()
        assert self.over(restarted, handle).state is JobState.SUCCEEDED
        assert restarted.logs(handle).stdout.read_text().strip() == "done"

    def test_cancel_ends_every_process(self, tmp_path: Path) -> None:
        self.needs_concurrency()
        handle, pids = self.stubborn(self.make(tmp_path / "jobs"), tmp_path)
        restarted = self.make(tmp_path / "jobs")
        running = restarted.poll([handle])[handle]
        assert running.state is JobState.RUNNING
        assert set(pids) <= set(running.pids)
        restarted.cancel(handle)
        restarted.cancel(handle)
        assert self.over(restarted, handle).state is JobState.CANCELED
        assert not [pid for pid in pids if alive(pid)]

    def test_cancel_is_polite_first(self, tmp_path: Path) -> None:
        self.needs_concurrency()
        if not self.posix:
            pytest.skip("no signals (posix = False)")
        executor = self.make(tmp_path / "jobs")
        handle = executor.submit(self.python(_POLITE, str(tmp_path)), Resources(), name="polite")
        until((tmp_path / "ready").exists, "the job is ready")
        executor.cancel(handle)
        status = self.over(executor, handle)
        assert (status.state, status.exit_code) == (JobState.CANCELED, 0)
        assert (tmp_path / "saved").exists()

    def test_cancel_right_after_submit(self, tmp_path: Path) -> None:
        self.needs_concurrency()
        executor = self.make(tmp_path / "jobs")
        handle = executor.submit(self.python("import time; time.sleep(3600)"), Resources(), name="short-lived")
        executor.cancel(handle)
        assert self.over(executor, handle).state is JobState.CANCELED

    def test_cancel_when_over_is_harmless(self, tmp_path: Path) -> None:
        executor = self.make(tmp_path / "jobs")
        handle, status = self.run(executor, self.python("pass"))
        executor.cancel(handle)
        assert self.make(tmp_path / "jobs").poll([handle])[handle] == status

    def test_a_signal_reaches_the_command(self, tmp_path: Path) -> None:
        self.needs_concurrency()
        if not self.posix:
            pytest.skip("no signals (posix = False)")
        executor = self.make(tmp_path / "jobs")
        handle = executor.submit(self.python(_LISTENS, str(tmp_path)), Resources(), name="listens")
        until((tmp_path / "ready").exists, "the job is ready")
        restarted = self.make(tmp_path / "jobs")
        restarted.signal(handle, signal.SIGUSR1)
        until((tmp_path / "heard").exists, "it has heard the signal")
        assert executor.poll([handle])[handle].state is JobState.RUNNING
        restarted.signal(handle, signal.SIGTERM)
        status = self.over(executor, handle)
        assert (status.state, status.exit_code) == (JobState.FAILED, -signal.SIGTERM)  # it was not canceled by us
        executor.signal(handle, signal.SIGTERM)

    def test_timeout_ends_every_process(self, tmp_path: Path) -> None:
        executor = self.make(tmp_path / "jobs")
        handle, pids = self.stubborn(executor, tmp_path, resources=Resources(timeout_s=1.5))
        status = self.over(executor, handle)
        assert status.state is JobState.TIMED_OUT
        assert "1.5 s" in status.reason
        assert not [pid for pid in pids if alive(pid)]

    def test_a_lost_worker_is_lost_and_nothing_of_it_runs_on(self, tmp_path: Path) -> None:
        self.needs_concurrency()
        if not self.supervised:
            pytest.skip("no supervisor on this machine (supervised = False)")
        executor = self.make(tmp_path / "jobs")
        handle, pids = self.stubborn(executor, tmp_path)
        main = executor.poll([handle])[handle].pids[0]
        assert main == pids[0] or main == pids[1]
        psutil.Process(psutil.Process(main).ppid()).kill()
        status = self.over(self.make(tmp_path / "jobs"), handle)
        assert status.state is JobState.LOST
        assert status.exit_code is None
        assert status.reason
        assert not [pid for pid in pids if alive(pid)]
        assert executor.submit(self.python("raise"), Resources(), name="stubborn") == handle  # not begun again
        assert executor.poll([handle])[handle] == status

    def test_an_unknown_job_is_lost(self, tmp_path: Path) -> None:
        executor = self.make(tmp_path / "jobs")
        handle, _ = self.run(executor, self.python("pass"))
        unknown = Handle(executor=handle.executor, id=handle.id + "0")
        assert executor.poll([unknown])[unknown].state is JobState.LOST

    def test_poll_answers_for_every_handle(self, tmp_path: Path) -> None:
        executor = self.make(tmp_path / "jobs")
        assert executor.poll([]) == {}
        commands = [self.python(f"raise SystemExit({i})") for i in range(3)]
        handles = [executor.submit(c, Resources(), name=f"job{i}") for i, c in enumerate(commands)]
        for handle in handles:
            self.over(executor, handle)
        statuses = executor.poll([*handles, *handles])
        assert [statuses[h].exit_code for h in handles] == [0, 1, 2]


def _race(executor: Executor, commands: dict[str, list[str]], barrier: Any, answers: Any) -> None:
    barrier.wait(_PATIENCE_S)
    answers.put([executor.submit(command, Resources(), name=name) for name, command in commands.items()])


def _submit_and_die(executor: Executor, command: list[str], answers: Any) -> None:
    handle = executor.submit(command, Resources(), name="orphan")
    answers.put((handle.executor, handle.id))
    answers.close()
    answers.join_thread()
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
