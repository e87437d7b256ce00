"""What every executor is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

__all__ = ["Executor", "Handle", "JobState", "JobStatus", "Logs", "Resources"]


class JobState(Enum):
    """The state of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"  # exit status 0
    FAILED = "failed"  # any other
    CANCELED = "canceled"
    TIMED_OUT = "timed out"
    LOST = "lost"  # it is gone and left no exit status: killed with its supervisor, or its machine died

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one job needs.

    Args:
        cpus: Cores; also the number of threads that numeric libraries are told to use.
        gpus: Devices.
        mem_gb: Memory, or None for no limit.
        timeout_s: The job is ended after that long, or None.
    """

    cpus: int = 1
    gpus: int = 0
    mem_gb: float | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """Names a submitted job, also after the coordinator was restarted: every field is text and can be stored."""

    executor: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """The state of a job, its exit status once it is over (negative: the signal), and why, in words."""

    state: JobState
    exit_code: int | None = None
    reason: str = ""
    pids: tuple[int, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """Where a job's output is; both may be one file, and neither need exist yet."""

    stdout: Path
    stderr: Path


class Executor(ABC):
    """Starts, polls and cancels commands.

    The laws (`whet.testing.executor_laws` checks them):

    - `submit` with a name that was submitted before starts nothing and returns the same handle: a coordinator that was killed
      between deciding and noting may simply submit again. A job runs at most once.
    - A handle outlives its coordinator: a new executor on the same folder polls, cancels and reads it.
    - Arguments, names, folders and environment with any character that the system allows arrive as they are; no shell.
    - A job whose process died without leaving an exit status is LOST, never RUNNING for ever.
    """

    @abstractmethod
    def submit(
        self,
        command: Sequence[str],
        resources: Resources,
        *,
        name: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Handle:
        """Start `command` (or queue it).

        Args:
            command: Program and arguments.
            resources: What it needs.
            name: Unique within the executor's folder.
            env: Added to the environment of this process.
            cwd: Working directory; default this process's.

        Raises:
            LaunchError: it can't be started at all (no such program, no such directory).
        """

    @abstractmethod
    def poll(self, handles: Iterable[Handle]) -> dict[Handle, JobStatus]:
        """Return the status of every handle, with one call to the cluster for all of them."""

    @abstractmethod
    def cancel(self, handle: Handle) -> None:
        """End the job and every process it started: politely first, then by force. Harmless when it is over."""

    @abstractmethod
    def signal(self, handle: Handle, number: int) -> None:
        """Send the job's command a signal (to its own process alone: it passes on what it wants to). Harmless when it is over.

        Raises:
            LaunchError: there are no signals on this machine.
        """

    @abstractmethod
    def logs(self, handle: Handle) -> Logs:
        """Return where its output is."""
