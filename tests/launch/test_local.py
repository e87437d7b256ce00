import json
import os
import shutil
import subprocess
import sys
import textwrap

import psutil
import pytest

from whet.errors import LaunchError
from whet.launch.base import Handle, JobState, Resources
from whet.launch.jobs import job_id
from whet.launch.local import Local
from whet.launch.lock import held, take
from whet.testing.executor_laws import ExecutorLaws, alive, until

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
SLEEP = ["sleep", "3600"]


class TestLocal(ExecutorLaws):
    def make(self, folder):
        return Local(folder, gpus=["0", "1"], grace_s=1.0)

    def finish(self, local, *handles):
        for handle in handles:
            local.cancel(handle)
            self.over(local, handle)

    def test_threads_are_the_cpus_unless_the_environment_says_otherwise(self, tmp_path, monkeypatch):
        for name in THREADS:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
        source = f"import os; print(*(os.environ[n] for n in {THREADS!r}))"
        local = self.make(tmp_path)
        handle, _ = self.run(local, self.python(source), resources=Resources(cpus=3), env={"MKL_NUM_THREADS": "9"})
        assert local.logs(handle).stdout.read_text().split() == ["3", "9", "7", "3"]

    def test_no_device_is_given_twice(self, tmp_path):
        source = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep(3600)"
        one = Resources(gpus=1)
        local = self.make(tmp_path)
        first = local.submit(self.python(source), one, name="first")
        restarted = self.make(tmp_path)
        second = restarted.submit(self.python(source), one, name="second")
        with pytest.raises(LaunchError, match="wants 1 GPUs, and 0 of 2 are free: wait for a job to end") as caught:
            self.make(tmp_path).submit(self.python(source), one, name="third")
        assert (caught.value.facts["free"], caught.value.facts["total"]) == (0, 2)
        assert restarted.submit(self.python(source), one, name="first") == first  # it has its device already
        shown = [until(lambda h=h: local.logs(h).stdout.read_text().strip(), "it has printed") for h in (first, second)]
        assert sorted(shown) == ["0", "1"]
        self.finish(local, first)
        third = local.submit(self.python(source), one, name="third")
        assert until(lambda: local.logs(third).stdout.read_text().strip(), "it has printed") == shown[0]
        self.finish(local, second, third)

    def test_more_devices_than_there_are(self, tmp_path):
        with pytest.raises(LaunchError, match=r"wants 3 GPUs, and there are 2 \(0, 1\): ask for fewer"):
            self.make(tmp_path).submit(["true"], Resources(gpus=3), name="a")
        with pytest.raises(LaunchError, match="there are none"):
            Local(tmp_path, gpus=[]).submit(["true"], Resources(gpus=1), name="a")

    def test_slots(self, tmp_path, monkeypatch):
        assert Local(tmp_path, slots=3).slots == 3
        assert Local(tmp_path, gpus=[0, 1]).slots == 2
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-ab,5")
        assert Local(tmp_path).gpus == ("GPU-ab", "5")

    @pytest.mark.skipif(sys.platform == "win32", reason="no memory limit there")
    def test_memory_of_the_whole_tree_is_limited(self, tmp_path):
        child = "x = b'x' * 150_000_000; import time; time.sleep(3600)"
        source = f"import subprocess, sys\nfor p in [subprocess.Popen([sys.executable, '-S', '-c', {child!r}]) for _ in range(2)]: p.wait()"
        local = self.make(tmp_path)
        _, status = self.run(local, self.python(source), resources=Resources(mem_gb=0.25))
        assert status.state is JobState.FAILED
        assert "more than its 0.25 GB" in status.reason
        assert self.run(local, self.python("x = b'x' * 100_000_000"), "b", resources=Resources(mem_gb=0.25))[
            1
        ].state is (JobState.SUCCEEDED)

    def test_what_the_command_leaves_is_ended(self, tmp_path):
        command = ["bash", "-c", "setsid sleep 3600 & echo $!; exit 5"]
        local = self.make(tmp_path)
        handle, status = self.run(local, command)
        assert (status.state, status.exit_code) == (JobState.FAILED, 5)
        assert not alive(int(local.logs(handle).stdout.read_text()))

    def test_a_coordinator_killed_before_the_claim_may_submit_again(self, tmp_path):
        """The folder and the note are there, but nothing has begun: the second submit starts the job."""
        local = self.make(tmp_path)
        lock = take_in(tmp_path / "job")
        (tmp_path / "job" / "command.json").write_text("{")
        os.close(lock)
        handle, status = self.run(local, ["true"])
        assert handle.id == "job"
        assert status.state is JobState.SUCCEEDED

    def test_a_job_is_running_from_before_its_supervisor_claims_it(self, tmp_path):
        lock = take_in(tmp_path / "job")
        handle = Handle(executor="local", id="job")
        local = self.make(tmp_path)
        assert local.poll([handle])[handle].state is JobState.RUNNING
        os.close(lock)
        assert local.poll([handle])[handle].state is JobState.LOST
        assert local.submit(["true"], Resources(), name="job") == handle  # lost is for ever
        assert self.make(tmp_path).poll([handle])[handle].state is JobState.LOST

    def test_both_supervisor_and_command_killed(self, tmp_path):
        local = self.make(tmp_path)
        handle = local.submit(SLEEP, Resources(), name="a")
        main = until(lambda: local.poll([handle])[handle].pids, "it runs")[0]
        supervisor = psutil.Process(psutil.Process(main).ppid())
        supervisor.suspend()
        psutil.Process(main).kill()
        supervisor.kill()
        assert self.over(local, handle).state is JobState.LOST

    def test_what_is_over_is_never_looked_up_again(self, tmp_path):
        local = self.make(tmp_path)
        handle, status = self.run(local, ["true"])
        shutil.rmtree(tmp_path / "job")
        assert local.poll([handle])[handle] == status

    def test_the_note_names_what_was_asked(self, tmp_path):
        local = self.make(tmp_path)
        handle, _ = self.run(local, ["echo", "ü"], "N", env={"SECRET": "s3cret"}, resources=Resources(gpus=2))
        text = (tmp_path / handle.id / "command.json").read_text()
        note = json.loads(text)
        assert (note["name"], note["command"], note["env"]) == ("N", ["echo", "ü"], ["SECRET"])
        assert note["CUDA_VISIBLE_DEVICES"] == "0,1"
        assert "s3cret" not in text

    @pytest.mark.parametrize(
        ("command", "message"),
        [
            (["nope-x"], "there is no program 'nope-x' on the PATH (/bin): install it, or give its path"),
            (["./nope"], "there is no program './nope' in '{cwd}': check the path and the cwd"),
            (
                ["./plain"],
                "'./plain' is not executable: chmod +x ./plain, or start it with its interpreter: python ./plain",
            ),
            (["./"], "'./' is a folder: give the program inside it"),
            ("true", '\'true\' is not a command: give a list of program and arguments: ["python", "train.py"]'),
            (["true", "a\0b"], "'a\\x00b' has a NUL character, which no system passes on: remove it"),
        ],
    )
    def test_messages(self, command, message, tmp_path):
        cwd = tmp_path / "cwd"
        cwd.mkdir()
        (cwd / "plain").write_text("text")
        with pytest.raises(LaunchError) as caught:
            self.make(tmp_path).submit(command, Resources(), name="a", cwd=cwd, env={"PATH": "/bin"})
        assert str(caught.value) == message.format(cwd=cwd)

    def test_messages_about_limits_and_folders(self, tmp_path):
        (tmp_path / "file").touch()
        local = self.make(tmp_path)
        for given, message in [
            ({"resources": Resources(cpus=0)}, "cpus=0 is not positive: give cpus > 0"),
            ({"resources": Resources(timeout_s=-1)}, "timeout_s=-1 is not positive: give timeout_s > 0"),
            ({"env": {"A=B": ""}}, "'A=B' can't name an environment variable: give a name without '='"),
            (
                {"cwd": tmp_path / "file"},
                f"the working directory '{tmp_path}/file' is not a folder: create it, or give another cwd",
            ),
        ]:
            with pytest.raises(LaunchError) as caught:
                local.submit(["true"], name="a", **{"resources": Resources(), **given})
            assert str(caught.value) == message
        with pytest.raises(LaunchError, match="is not a folder: choose another folder"):
            self.make(tmp_path / "file").submit(["true"], Resources(), name="a")
        if os.path.isdir("/proc/self"):
            with pytest.raises(LaunchError, match="'/proc/jobs' can't be"):
                self.make("/proc/jobs").submit(["true"], Resources(), name="a")

    def test_a_program_without_interpreter_fails_with_the_reason(self, tmp_path):
        script = tmp_path / "script"
        script.write_text("no shebang\n")
        script.chmod(0o755)
        _, status = self.run(self.make(tmp_path), [str(script)])
        assert (status.state, status.exit_code) == (JobState.FAILED, 127)
        assert status.reason == "can't be started: Exec format error"

    def test_full_disk(self, tmp_path):
        """A job that fills the disk keeps its exit status, and the next one can't be started."""
        probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(tmp_path)]
        if not shutil.which("unshare") or subprocess.run(probe, capture_output=True).returncode:
            pytest.skip("no file system of one's own here")
        script = textwrap.dedent("""
            import sys, time
            from pathlib import Path
            from whet.errors import LaunchError
            from whet.launch.base import Resources
            from whet.launch.local import Local
            local = Local(Path(sys.argv[1]) / "jobs")
            assert Path(sys.argv[1]).is_mount()  # else it would be somebody's disk
            fill = ["sh", "-c", "head -c 2000000 /dev/zero; exit 3"]
            handle = local.submit(fill, Resources(), name="fill")
            while not local.poll([handle])[handle].state.is_over:
                time.sleep(0.01)
            print(local.poll([handle])[handle].exit_code)
            try:
                local.submit(["true"], Resources(), name="next")
            except LaunchError as error:
                print(error)
        """)
        shell = f'mount -t tmpfs -o size=128k none "{tmp_path}" && exec "{sys.executable}" -c "$0" "{tmp_path}"'
        done = subprocess.run(["unshare", "-rm", "sh", "-c", shell, script], capture_output=True, text=True)
        code, error = done.stdout.splitlines()
        assert code == "3", done.stderr
        assert error == f"the job folder '{tmp_path}/jobs' is on a full disk: free some space, or choose another folder"


def take_in(folder):
    folder.mkdir(parents=True)
    return take(folder / "lock")


def test_a_lock_lives_as_long_as_any_process_that_has_it(tmp_path):
    assert not held(tmp_path / "lock")
    fd = take(tmp_path / "lock")
    assert take(tmp_path / "lock") is None
    from whet.launch.lock import handing_on

    child = subprocess.Popen(SLEEP, **handing_on([fd]))
    os.close(fd)
    assert held(tmp_path / "lock")
    child.kill()
    child.wait()
    assert not held(tmp_path / "lock")


def test_plain_names_are_their_own_ids():
    assert job_id("digits-17") == "digits-17"
    assert job_id("a") == "a"
    assert job_id("Digits") != job_id("digits")
    assert len(job_id("x" * 500)) < 80
