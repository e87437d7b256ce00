"""One command after the other, each awaited: for debugging and tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import final

from whet.launch.base import Executor, Handle, JobStatus, Logs, Resources
from whet.launch.jobs import Jobs

__all__ = ["Inline"]


@final
class Inline(Executor):
    """Runs each job within `submit`, which returns when it is over; otherwise just like `Local`, folder and limits included.

    Ctrl-C while it waits goes on to the command as SIGINT; when the command has ended, it is raised here. GPUs are not handed
    out: the command sees those of this process.

    Args:
        folder: Holds a folder for each job; made when missing.
        grace_s: How long a job that is to end has before it is killed.
    """

    slots = 1

    def __init__(self, folder: Path, *, grace_s: float = 10.0) -> None:
        self._jobs = Jobs(folder, "inline", grace_s=grace_s)

    def submit(
        self,
        command: Sequence[str],
        resources: Resources,
        *,
        name: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Handle:
        handle, supervisor = self._jobs.start(command, resources, name=name, env=env, cwd=cwd)
        if supervisor:
            try:
                supervisor.wait()
            except KeyboardInterrupt:
                if os.name == "posix":
                    supervisor.send_signal(signal.SIGINT)
                else:
                    self._jobs.cancel(handle)
                supervisor.wait()
                raise
        while not self._jobs.poll([handle])[handle].state.is_over:  # another process runs it
            time.sleep(0.05)
        return handle

    def poll(self, handles: Iterable[Handle]) -> dict[Handle, JobStatus]:
        return self._jobs.poll(handles)

    def cancel(self, handle: Handle) -> None:
        self._jobs.cancel(handle)

    def signal(self, handle: Handle, number: int) -> None:
        self._jobs.signal(handle, number)

    def logs(self, handle: Handle) -> Logs:
        return self._jobs.logs(handle)
