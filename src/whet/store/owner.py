"""Who holds a lease: a process on a machine, as text that any other process can check."""

from __future__ import annotations

import os
import socket
from functools import cache

__all__ = ["alive", "here"]


@cache
def _here(pid: int) -> str:
    import psutil

    return f"{socket.gethostname()}|{pid}|{psutil.Process(pid).create_time():.2f}"


def here() -> str:
    """Return the text for this process: host, pid and the time when it started (a pid alone is used again)."""
    return _here(os.getpid())


def alive(owner: str) -> bool | None:
    """Return whether the process behind `owner` lives, or None when it is on another machine and this one can't know."""
    import psutil

    host, _, rest = owner.partition("|")
    pid, _, started = rest.partition("|")
    if host != socket.gethostname() or not pid.isdigit():
        return None
    try:
        process = psutil.Process(int(pid))
        return abs(process.create_time() - float(started)) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
