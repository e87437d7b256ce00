"""Who holds a lease: a process on a machine, as text that any other process can check."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

__all__ = ["alive", "here"]


def _started(pid: int) -> str:
    """Return when a process started, as text that is the same whenever it is asked for.

    Linux says it in ticks since the machine started. The time of day would move with the clock, and a step of the clock would make
    every living process look like another one.

    Raises:
        psutil.NoSuchProcess: there is no such process, or only what is left of it (a zombie).
    """
    import psutil

    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            raise psutil.NoSuchProcess(pid) from None
        return f"{process.create_time():.0f}"
    if fields[0] in "ZX":
        raise psutil.NoSuchProcess(pid)
    return fields[19]


@cache
def _here(pid: int) -> str:
    return f"{socket.gethostname()}|{pid}|{_started(pid)}"


def here() -> str:
    """Return the text for this process: host, pid and when it started (a pid alone is used again)."""
    return _here(os.getpid())


def alive(owner: str) -> bool | None:
    """Return whether the process behind `owner` lives, or None when it is on another machine and this one can't know."""
    import psutil

    host, _, rest = owner.partition("|")
    pid, _, started = rest.partition("|")
    if host != socket.gethostname() or not pid.isdigit():
        return None
    try:
        return _started(int(pid)) == started
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
