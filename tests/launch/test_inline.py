import signal
import subprocess
import sys
from pathlib import Path

from whet.launch.base import JobState, Resources
from whet.launch.inline import Inline
from whet.testing.executor_laws import ExecutorLaws, until


class TestInline(ExecutorLaws):
    concurrent = False

    def make(self, folder):
        return Inline(folder, grace_s=1.0)

    def test_submit_waits(self, tmp_path):
        inline = self.make(tmp_path / "jobs")
        handle = inline.submit(self.python("import time; time.sleep(0.3); raise SystemExit(4)"), Resources(), name="a")
        assert inline.poll([handle])[handle].exit_code == 4

    def test_ctrl_c_reaches_the_command_and_then_the_caller(self, tmp_path):
        job = (
            "import time, pathlib\n"
            f"here = pathlib.Path({str(tmp_path)!r})\n"
            "try:\n    (here / 'ready').touch(); time.sleep(3600)\n"
            "except KeyboardInterrupt:\n    (here / 'interrupted').touch()\n"
        )
        caller = (
            "import sys\nfrom pathlib import Path\nfrom whet.launch.base import Resources\n"
            "from whet.launch.inline import Inline\n"
            "try:\n    Inline(Path(sys.argv[1])).submit([sys.executable, '-c', sys.argv[2]], Resources(), name='a')\n"
            "except KeyboardInterrupt:\n    sys.exit(42)\n"
        )
        process = subprocess.Popen([sys.executable, "-c", caller, str(tmp_path / "jobs"), job], start_new_session=True)
        until((tmp_path / "ready").exists, "the command runs")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 42
        assert (tmp_path / "interrupted").exists()
        inline = Inline(Path(tmp_path / "jobs"))
        handle = inline.submit(["true"], Resources(), name="a")
        assert inline.poll([handle])[handle].state is JobState.CANCELED
