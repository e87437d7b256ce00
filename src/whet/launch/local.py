"""Worker processes on this machine."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import final

from whet.errors import LaunchError
from whet.launch.base import Executor, Handle, JobStatus, Logs, Resources
from whet.launch.jobs import Jobs, job_id, writing
from whet.launch.lock import take

__all__ = ["Local"]

_VISIBLE = "CUDA_VISIBLE_DEVICES"


@final
class Local(Executor):
    """Starts each job at once as a process of this machine, under a supervisor that survives this process.

    It has no queue: whoever submits keeps to `slots`. A job that asks for GPUs gets devices of its own (in
    CUDA_VISIBLE_DEVICES) for as long as it runs, also across restarts and among several coordinators on one folder. `cancel`
    returns at once; the job is CANCELED when nothing of it is left. The numeric libraries are told to use `cpus` threads, unless
    the environment says otherwise. If a supervisor is killed, its command dies with it (Linux) and the job is LOST; what the
    command had started is found by its environment and killed before the job is called so.

    Args:
        folder: Holds a folder for each job; made when missing.
        slots: How many jobs are to run at once; default one for each GPU in `gpus` if given, else for each core.
        gpus: The devices to hand out, as CUDA_VISIBLE_DEVICES names them; default those of this process, else of this machine.
        grace_s: How long a job that is to end has before it is killed.

    Example:
        >>> from tempfile import mkdtemp
        >>> local = Local(Path(mkdtemp()))
        >>> handle = local.submit(["echo", "hello"], Resources(), name="greeting")
        >>> while not local.poll([handle])[handle].state.is_over:
        ...     pass
        >>> local.logs(handle).stdout.read_text()
        'hello\\n'
    """

    def __init__(
        self,
        folder: Path,
        *,
        slots: int | None = None,
        gpus: Sequence[int | str] | None = None,
        grace_s: float = 10.0,
    ) -> None:
        if slots is not None and slots < 1:
            raise LaunchError(f"slots={slots} leaves no job to run", "give slots >= 1")
        self._jobs = Jobs(folder, "local", grace_s=grace_s)
        self.gpus = tuple(str(g) for g in gpus) if gpus is not None else _visible()
        if len(set(self.gpus)) != len(self.gpus):
            raise LaunchError(f"gpus={list(self.gpus)} names a device twice", "name each once")
        self.slots = slots or (len(self.gpus) if gpus else _cores())

    def submit(
        self,
        command: Sequence[str],
        resources: Resources,
        *,
        name: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Handle:
        def book(stack: ExitStack) -> tuple[Mapping[str, str], Sequence[int]]:
            return self._book(resources.gpus, stack)

        handle, _ = self._jobs.start(command, resources, name=name, env=env, cwd=cwd, book=book)
        return handle

    def poll(self, handles: Iterable[Handle]) -> dict[Handle, JobStatus]:
        return self._jobs.poll(handles)

    def cancel(self, handle: Handle) -> None:
        self._jobs.cancel(handle)

    def signal(self, handle: Handle, number: int) -> None:
        self._jobs.signal(handle, number)

    def logs(self, handle: Handle) -> Logs:
        return self._jobs.logs(handle)

    def _book(self, count: int, stack: ExitStack) -> tuple[Mapping[str, str], Sequence[int]]:
        """Take `count` devices by their locks, which the supervisor then holds until it is gone."""
        if count <= 0:
            return {}, ()
        if count > len(self.gpus):
            has = f"{len(self.gpus)} ({', '.join(self.gpus)})" if self.gpus else "none"
            fix = "ask for fewer, or name the devices to use: gpus=[0, 1]"
            raise LaunchError(f"the job wants {count} GPUs, and there are {has}", fix, wanted=count, free=0, total=len(self.gpus))  # fmt: skip
        folder = self._jobs.folder / ".gpus"
        taken: dict[str, int] = {}
        with writing(self._jobs.folder):
            folder.mkdir(exist_ok=True)
            for device in self.gpus:
                lock = take(folder / job_id(device)) if len(taken) < count else None
                if lock is not None:
                    stack.callback(os.close, lock)
                    taken[device] = lock
        if len(taken) < count:
            fix = "wait for a job to end, or ask for fewer"
            problem = f"the job wants {count} GPUs, and {len(taken)} of {len(self.gpus)} are free"
            raise LaunchError(problem, fix, wanted=count, free=len(taken), total=len(self.gpus))
        return {_VISIBLE: ",".join(taken)}, list(taken.values())


def _visible() -> tuple[str, ...]:
    given = os.environ.get(_VISIBLE)
    if given is not None:
        return tuple(dict.fromkeys(part.strip() for part in given.split(",") if part.strip() not in ("", "-1")))
    return tuple(str(i) for i in range(len(glob.glob("/dev/nvidia[0-9]*"))))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
