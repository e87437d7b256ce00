"""Jobs in folders: what the executors of this machine share.

Every job has a folder of its own, and the folder is all there is to know of it::

    <folder>/<id>/command.json    what was asked for, for people, and the mark by which its processes are found
                  stdout, stderr
                  lock            held (see `whet.launch.lock`) from before the supervisor starts until it is gone
                  claim           exists once the job has begun: never begin it again
                  cancel          exists once it is to be ended
                  exit            state, exit code, pids, reason; renamed into place when it is over

So the state follows from facts: over where `exit` exists, else running while `lock` is held, else lost. Nothing depends on the
coordinator that started it. A job found lost is first cleared of every process that carries its mark, then sealed with an `exit`
of its own, so that it is lost for ever, and nothing of it runs on when it is handed out again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import final

from whet.errors import LaunchError
from whet.launch import wanted
from whet.launch.base import Handle, JobState, JobStatus, Logs, Resources
from whet.launch.lock import handing_on, held, take
from whet.launch.supervise import CANCEL, CLAIM, EXIT, birth, offspring, pack, write_exit

__all__ = ["MARK", "Jobs", "job_id", "writing"]

MARK = "WHET_JOB"  # in the environment of every process of a job
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,62}[a-z0-9_-]|[a-z0-9_]")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # Windows
_ID = re.compile(r"[a-z0-9_][a-z0-9_.~-]{0,79}")
_BOOT = "import sys; sys.path.append(sys.argv[1]); import supervise; supervise.main()"  # imported, so compiled once
_CHUNK = 100
_CLAIM_S = 30.0

_started: list[subprocess.Popen[bytes]] = []  # supervisors to reap; they belong to the process, not to an executor
_started_lock = threading.Lock()


def job_id(name: str) -> str:
    """Return the folder name of the job `name`: itself where it is short, lower-case and plain, else a slug and a digest.

    Different names have different ids, also on file systems that ignore case or normalise Unicode.

    Example:
        >>> job_id("digits-17")
        'digits-17'
        >>> job_id("../../x").startswith("x~")
        True
    """
    if _PLAIN.fullmatch(name) and not _RESERVED.fullmatch(name):
        return name
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-") or "job"
    return f"{slug}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn the system's refusal to write to `folder` into a `LaunchError` that says what to do."""
    try:
        yield
    except OSError as error:
        where = f"the job folder {str(folder)!r}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LaunchError(f"{where} is on a full disk", "free some space, or choose another folder") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            fix = "make it writable, or choose another folder"
            raise LaunchError(f"{where} can't be written ({error.strerror})", fix) from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise LaunchError(f"{where} is not a folder", "choose another folder") from error
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM):
            fix = "run fewer jobs at once, or raise the limit (ulimit -n, ulimit -u)"
            raise LaunchError(f"the system refuses another process or file ({error.strerror})", fix) from error
        raise LaunchError(f"{where} can't be used ({error.strerror})", "choose another folder") from error


@final
class Jobs:
    """The jobs in `folder`, started, polled and canceled for an executor called `executor`.

    Args:
        folder: Holds a folder for each job; made when missing.
        executor: Goes into the handles.
        grace_s: How long a job that is to end has before it is killed.
    """

    def __init__(self, folder: Path, executor: str, *, grace_s: float) -> None:
        self.folder = Path(folder).absolute()
        self.executor = executor
        self.grace_s = grace_s
        self._over: dict[str, JobStatus] = {}  # what is over stays as it is

    def start(
        self,
        command: Sequence[str],
        resources: Resources,
        *,
        name: str,
        env: Mapping[str, str] | None,
        cwd: Path | None,
        book: Callable[[ExitStack], tuple[Mapping[str, str], Sequence[int]]] | None = None,
    ) -> tuple[Handle, subprocess.Popen[bytes] | None]:
        """Start a job unless one of that name was started before.

        Args:
            command, resources, name, env, cwd: See `Executor.submit`.
            book: Called when the job will be started: takes devices, and returns environment and the descriptors of the locks
                that the supervisor is to hold. What it leaves on the stack is closed on this side.

        Returns:
            The handle, and the supervisor, None when nothing was started.

        Raises:
            LaunchError: it can't be started.
        """
        _reap()
        own = {str(k): str(v) for k, v in (env or {}).items()}
        handle = Handle(executor=self.executor, id=job_id(name))
        folder = self.folder / handle.id
        if self._begun(folder):
            return handle, None
        where = wanted.workplace(cwd)
        program = wanted.program(command, {**os.environ, **own}.get("PATH"), where)
        wanted.check(resources, command, own)
        with writing(self.folder), ExitStack() as stack:
            folder.mkdir(parents=True, exist_ok=True)
            lock = self._take_unless_begun(folder)
            if lock is None:
                return handle, None
            stack.callback(os.close, lock)
            booked, locks = book(stack) if book else ({}, ())
            mark = secrets.token_hex(16)
            threads = dict.fromkeys(_THREADS, str(resources.cpus))
            whole = {**threads, **os.environ, **booked, **own, MARK: mark}
            asked = {"name": name, "command": list(command), "cwd": str(where), "env": sorted(own)}
            _write(folder / "command.json", json.dumps({**asked, "mark": mark, **booked}, indent=1))
            work = pack(
                program=program,
                command=command,
                env=whole,
                cwd=str(where),
                keep=[lock, *locks],
                timeout_s=resources.timeout_s,
                grace_s=self.grace_s,
                mem_gb=resources.mem_gb,
            )
            out = stack.enter_context(open(folder / "stdout", "ab"))
            err = stack.enter_context(open(folder / "stderr", "ab"))
            arguments = [sys.executable, "-I", "-S", "-c", _BOOT, str(Path(__file__).parent)]
            supervisor = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=out, stderr=err, cwd=folder, **handing_on([lock, *locks])
            )
            with _started_lock:
                _started.append(supervisor)
            assert supervisor.stdin
            with contextlib.suppress(BrokenPipeError):  # it died; poll finds the job lost
                supervisor.stdin.write(work)
                supervisor.stdin.close()
        return handle, supervisor

    def poll(self, handles: Iterable[Handle]) -> dict[Handle, JobStatus]:
        """Return the status of every handle: nothing for those known to be over, two opened files for the others."""
        _reap()
        found: dict[Handle, JobStatus] = {}
        running: dict[Handle, list[int]] = {}
        lost: list[Handle] = []
        for handle in handles:
            folder = self._folder(handle)
            status = self._ended(handle.id)
            if status is None and held(folder / "lock"):
                running[handle] = _claim(folder)[0]
            elif status := status or self._ended(handle.id):  # it may have ended between the two looks
                found[handle] = status
            else:
                lost.append(handle)
        trees = offspring(pids[0] for pids in running.values() if pids) if running else {}
        for handle, pids in running.items():
            live = trees.get(pids[0], []) if pids else []
            found[handle] = JobStatus(state=JobState.RUNNING, pids=tuple(dict.fromkeys([*pids[1:], *live])))
        for i in range(0, len(lost), _CHUNK):
            found.update(self._settle(lost[i : i + _CHUNK]))
        return found

    def cancel(self, handle: Handle) -> None:
        """Ask the supervisor to end the job; it is CANCELED once nothing of it is left. Harmless when it is over."""
        folder = self._folder(handle)
        if self._ended(handle.id) is not None:
            return
        if not held(folder / "lock"):
            self.poll([handle])
            return
        with writing(self.folder):
            _write(folder / CANCEL, "")
        pids, born = _claim(folder)
        if pids and self._ended(handle.id) is None and birth(pids[0]) == born != "":
            with contextlib.suppress(ProcessLookupError, PermissionError):  # else it looks for the file every second
                os.kill(pids[0], signal.SIGTERM)

    def signal(self, handle: Handle, number: int) -> None:
        """Send the command a signal; nothing when it is over, or has not begun.

        Raises:
            LaunchError: there are no signals on this machine.
        """
        if os.name != "posix":
            raise LaunchError("a signal can't be passed on to a job here", "cancel it instead")
        folder = self._folder(handle)
        if self._ended(handle.id) is not None or not held(folder / "lock"):
            return
        pids, born = _claim(folder)
        # As long as its supervisor lives, the command's pid is nobody else's but for the instant in which it is reaped.
        if len(pids) > 1 and birth(pids[0]) == born != "":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pids[1], number)

    def logs(self, handle: Handle) -> Logs:
        """Return where the job's output is."""
        folder = self._folder(handle)
        return Logs(stdout=folder / "stdout", stderr=folder / "stderr")

    def _folder(self, handle: Handle) -> Path:
        if not _ID.fullmatch(handle.id):
            raise LaunchError(f"{handle.id!r} is not the id of a job", "use a handle that submit returned")
        return self.folder / handle.id

    def _begun(self, folder: Path) -> bool:
        return folder.name in self._over or (folder / CLAIM).exists() or (folder / EXIT).exists()

    def _take_unless_begun(self, folder: Path) -> int | None:
        """Return the job's lock, or None when the job has begun, waiting for whoever is just starting it."""
        deadline = time.monotonic() + _CLAIM_S
        while not self._begun(folder):
            lock = take(folder / "lock")
            if lock is not None:
                if not self._begun(folder):
                    return lock
                os.close(lock)
            elif time.monotonic() > deadline:
                raise LaunchError(f"somebody holds {str(folder / 'lock')!r}, but does not start the job", "try again")
            else:
                time.sleep(0.002)
        return None

    def _ended(self, ident: str) -> JobStatus | None:
        if ident in self._over:
            return self._over[ident]
        try:
            with open(self.folder / ident / EXIT, encoding="utf-8", errors="replace") as file:
                state, code, pids, reason, *_ = file.read().split("\n")
        except FileNotFoundError:
            return None
        except (ValueError, NotADirectoryError) as error:
            raise LaunchError(f"{str(self.folder / ident / EXIT)!r} is damaged", "delete it: the job is then lost") from error  # fmt: skip
        status = JobStatus(
            state=JobState(state),
            exit_code=int(code) if code else None,
            reason=reason,
            pids=tuple(int(pid) for pid in pids.split()),
        )
        self._over[ident] = status
        return status

    def _settle(self, handles: Sequence[Handle]) -> dict[Handle, JobStatus]:
        """End what the lost jobs `handles` left, seal them, and return their status."""
        found: dict[Handle, JobStatus] = {}
        with ExitStack() as stack:
            mine: dict[Handle, str] = {}
            for handle in handles:
                folder = self.folder / handle.id
                if not folder.is_dir():
                    why = f"there is no job {handle.id!r} in {str(self.folder)!r}"
                    found[handle] = JobStatus(state=JobState.LOST, reason=why)
                    continue
                with writing(self.folder):
                    lock = take(folder / "lock")
                if lock is None:  # another coordinator settles it
                    found[handle] = JobStatus(state=JobState.RUNNING, reason="just being settled")
                    continue
                stack.callback(os.close, lock)
                if (status := self._ended(handle.id)) is not None:
                    found[handle] = status
                else:
                    mine[handle] = _mark(folder)
            left = _hunt(mine.values())
            for handle, mark in mine.items():
                folder = self.folder / handle.id
                pids = _claim(folder)[0][1:]
                if left.get(mark):
                    why = "its supervisor died; what it left is being ended"
                    found[handle] = JobStatus(state=JobState.RUNNING, reason=why, pids=tuple(left[mark]))
                    continue
                began = (folder / CLAIM).exists()
                why = "its supervisor died: killed, or the machine restarted" if began else "it died before it started"
                with writing(self.folder):
                    _write(folder / CLAIM, "", only_new=True)
                    write_exit(str(folder), JobState.LOST.value, None, pids, why)
                found[handle] = self._ended(handle.id) or JobStatus(state=JobState.LOST, reason=why)
        return found


def _reap() -> None:
    with _started_lock:
        _started[:] = [process for process in _started if process.poll() is None]


def _write(path: Path, text: str, *, only_new: bool = False) -> None:
    flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if only_new else os.O_TRUNC)
    with contextlib.suppress(FileExistsError), open(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _claim(folder: Path) -> tuple[list[int], str]:
    """Return the pids of the supervisor and, once it runs, the command, and when the supervisor started."""
    try:
        lines = (folder / CLAIM).read_text().splitlines()
        return [int(line.split()[0]) for line in lines if line.strip()], (lines or [""])[0].partition(" ")[2]
    except (FileNotFoundError, ValueError):
        return [], ""


def _mark(folder: Path) -> str:
    try:
        return str(json.loads((folder / "command.json").read_bytes())["mark"])
    except (OSError, ValueError, KeyError):  # killed while it was written: no process has it either
        return ""


def _hunt(marks: Iterable[str]) -> dict[str, list[int]]:
    """Kill every process that carries one of `marks`, with its descendants; return the pids that are still there."""
    import psutil

    sought = {mark for mark in marks if mark}
    left: dict[str, list[int]] = {}
    if not sought:
        return left
    deadline = time.monotonic() + 1.0
    while True:
        left.clear()
        for process in psutil.process_iter():
            try:
                mark = process.environ().get(MARK, "")
                if mark not in sought or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                for one in [process, *process.children(recursive=True)]:
                    left.setdefault(mark, []).append(one.pid)
                    one.kill()
            except (psutil.Error, OSError):
                continue
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)
