"""A lock that belongs to an open file: it is handed on with the file, and the kernel frees it when the last holder dies.

No process id is written down or compared, so a reused one can't be mistaken, and a lock held in another container or, where
the file system passes locks on, on another machine, is still seen as held.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whet.errors import LaunchError

__all__ = ["handing_on", "held", "take"]


def take(path: Path, *, create: bool = True) -> int | None:
    """Return an open file descriptor that holds the lock at `path`, or None when somebody else holds it.

    Raises:
        LaunchError: the file system has no locks.
        OSError: the file can't be opened.
    """
    if sys.platform == "win32":
        return _take_windows(path)
    import fcntl

    fd = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise LaunchError(f"the file system that holds {path.parent} has no file locks", "choose a folder on a local disk") from error  # fmt: skip
        raise
    return fd


def held(path: Path) -> bool:
    """Return whether somebody holds the lock at `path`; a missing file is not held."""
    try:
        fd = take(path, create=False)
    except FileNotFoundError:
        return False
    if fd is not None:
        os.close(fd)
    return fd is None


def handing_on(fds: Sequence[int]) -> dict[str, Any]:
    """Return the arguments of `subprocess.Popen` for a process of its own session that inherits `fds`, locks included."""
    if sys.platform == "win32":
        import msvcrt

        handles = [msvcrt.get_osfhandle(fd) for fd in fds]
        for handle in handles:
            os.set_handle_inheritable(handle, True)
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return {"startupinfo": subprocess.STARTUPINFO(lpAttributeList={"handle_list": handles}), "creationflags": flags}
    return {"pass_fds": tuple(fds), "start_new_session": True}


def _take_windows(path: Path) -> int | None:
    """A file opened with share mode 0 can't be opened a second time as long as any process has its handle."""
    if sys.platform == "win32":
        import _winapi
        import msvcrt

        access = _winapi.GENERIC_READ | _winapi.GENERIC_WRITE
        try:
            handle = _winapi.CreateFile(str(path), access, 0, 0, 4, 0, 0)  # 4: OPEN_ALWAYS
        except OSError as error:
            if error.winerror == 32:  # ERROR_SHARING_VIOLATION
                return None
            raise
        return msvcrt.open_osfhandle(handle, os.O_RDWR)
    raise NotImplementedError
