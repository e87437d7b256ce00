"""The supervisor: one small process for each job, which starts the command, watches it and leaves its exit status.

It runs in the job's folder with only cheap parts of the standard library (`python -I -S`, about 15 ms), gets what to do
through a pipe, and knows nothing of the rest of Whet. Its laws:

- It lives in a session of its own, so a coordinator that is killed takes nothing along.
- It claims the job with ``O_EXCL`` before it starts the command, so the command runs at most once.
- Its command runs in a further session and (Linux) gets SIGKILL when the supervisor dies; processes that the command leaves
  behind become the supervisor's children (Linux: ``PR_SET_CHILD_SUBREAPER``), however they daemonised, so it finds them all.
- A job is over when its command is. What it left running is then ended, too, as Slurm does: nothing goes on holding a GPU.
- Ending is polite first: the command is asked; when it is gone, or after half the grace, so is every process that it started;
  whatever is alive when the grace is over is killed.
- The exit status is written into a file that was reserved at the start (so it fits on a full disk) and renamed into place.

While it lives it holds the job's lock, an open file that the coordinator locked and that it inherited: nothing to do here but
to keep it from the command. See `whet.launch.jobs` for the other side.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence

__all__ = ["CANCEL", "CLAIM", "EXIT", "birth", "main", "offspring", "pack", "write_exit"]

CLAIM = "claim"  # line 1: the supervisor's pid and start time; line 2: the command's pid
EXIT = "exit"  # state, exit code, pids and reason, a line each
CANCEL = "cancel"  # exists: the job is to be ended

_LINUX = sys.platform == "linux"
_TICK_S = 1.0 if _LINUX else 0.25  # elsewhere nobody sends a signal when CANCEL appears
_MEMORY_TICK_S = 0.5
_GIVE_UP_S = 30.0  # a process that even SIGKILL does not end hangs in the kernel
_RESERVED = 4096
_MOST_PIDS = 200
_END = b"whet-end"


def pack(
    *,
    program: str,
    command: Sequence[str],
    env: dict[str, str],
    cwd: str,
    keep: Sequence[int],
    timeout_s: float | None,
    grace_s: float,
    mem_gb: float | None,
) -> bytes:
    """Return what the supervisor is to do, as it reads it; no part may contain NUL.

    Args:
        program: Path of the file to execute.
        command: The arguments, the first being the program's name as the caller gave it.
        env: The whole environment.
        cwd: Working directory.
        keep: Inherited file descriptors that the supervisor keeps open and the command must not get.
        timeout_s, mem_gb: Limits, or None.
        grace_s: How long the command has to end when it was asked to.
    """
    numbers = [timeout_s or 0, grace_s, mem_gb or 0, len(command), len(keep), *keep]
    texts = [program, cwd, *command, *(f"{key}={value}" for key, value in env.items())]
    return b"\0".join([*(repr(n).encode() for n in numbers), *(os.fsencode(t) for t in texts), _END])


def birth(pid: int) -> str:
    """Return when process `pid` started, in a form that tells it from a later one of the same pid; "" when unknown."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2].split()[19].decode()
    except (OSError, IndexError):
        return ""


def offspring(roots: Iterable[int]) -> dict[int, list[int]]:
    """Return the live descendants of each of `roots`, oldest generation first, from one look at the process table."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found: dict[int, list[int]] = {}
    for root in roots:
        family = sorted(children.get(root, []))
        for pid in family:  # grows while it is walked
            family.extend(sorted(children.get(pid, [])))
        found[root] = family
    return found


def _parents() -> list[tuple[int, int]]:
    """Return (pid, parent's pid) of every process that is not a zombie."""
    if not _LINUX:
        rows = (line.split() for line in os.popen("ps -axo pid=,ppid=,stat="))
        return [(int(row[0]), int(row[1])) for row in rows if not row[2].startswith("Z")]
    pairs = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb", buffering=0) as file:
                    state, parent, *_ = file.read().rpartition(b") ")[2].split(None, 2)
            except (OSError, ValueError):  # it has just ended
                continue
            if state not in (b"Z", b"X"):
                pairs.append((int(name), int(parent)))
    return pairs


def write_exit(folder: str, state: str, code: int | None, pids: Sequence[int], reason: str) -> None:
    """Put the exit status of the job in `folder` into place, atomically and durably.

    Raises:
        OSError: it can't be written.
    """
    content = f"{state}\n{'' if code is None else code}\n{' '.join(map(str, pids[:_MOST_PIDS]))}\n{reason}\n".encode()
    draft = os.path.join(folder, EXIT + ".tmp")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.write(fd, content.ljust(_RESERVED))  # in place: needs no new block on a full disk
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(draft, os.path.join(folder, EXIT))


class _Spec:
    """What `pack` packed."""

    def __init__(self, data: bytes) -> None:
        parts = data.split(b"\0")
        self.timeout_s, self.grace_s, self.mem_gb = (float(p) for p in parts[:3])  # 0: no limit
        num_args, num_keep = int(parts[3]), int(parts[4])
        self.keep = [int(p) for p in parts[5 : 5 + num_keep]]
        self.program, self.cwd, *rest = parts[5 + num_keep : -1]
        self.command = rest[:num_args]
        self.env = dict(pair.split(b"=", 1) for pair in rest[num_args:])


def main() -> None:
    """Supervise the job of the current folder, then end this process."""
    data = b""
    while part := os.read(0, 1 << 20):
        data += part
    if not data.endswith(_END):
        return  # the coordinator was killed while it wrote: nothing has begun, it may submit again
    spec = _Spec(data)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    run = _Windows(spec) if sys.platform == "win32" else _Posix(spec)  # handlers first: a claim may be signalled
    try:
        claim = os.open(CLAIM, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return
    status: _Status
    try:
        os.write(claim, f"{os.getpid()} {birth(os.getpid())}\n".encode())
        with open(EXIT + ".tmp", "wb") as file:
            file.write(b" " * _RESERVED)
        if os.path.exists(CANCEL):
            status = ("canceled", None, [], "canceled before it started")
        else:
            pid = run.start()
            os.write(claim, f"{pid}\n".encode())
            status = run.watch()
    except OSError as error:  # the program turned out not to be one, or the disk is full
        status = ("failed", 127, [], f"can't be started: {error.strerror}")
    for _ in range(60):  # a disk that is full may be cleared; an exit status that is lost has the job run again
        try:
            write_exit(".", *status)
            break
        except OSError:
            time.sleep(1)
    os._exit(0)  # spares the interpreter's tidying up


def _words(code: int) -> str:
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name} (signal {-code})"
        except ValueError:
            return f"killed by signal {-code}"
    return f"exit status {code}"


_Status = tuple[str, int | None, list[int], str]


class _Posix:
    """The command as a child in a session of its own."""

    def __init__(self, spec: _Spec) -> None:
        self.spec = spec
        self.child = 0
        self.code: int | None = None
        self.asked: list[int] = []
        self.alone = False  # no child is left
        self.seen: list[int] = []
        for fd in spec.keep:
            os.set_inheritable(fd, False)
        self.wake, write_end = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda n, _: self.asked.append(n))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        self.prctl = None
        if _LINUX:
            import ctypes

            self.prctl = ctypes.CDLL(None).prctl
            self.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER

    def start(self) -> int:
        read_end, write_end = os.pipe()  # closes on exec; brings the error when there is none
        supervisor = os.getpid()
        self.child = os.fork()  # this process has one thread
        if self.child == 0:
            try:
                os.setsid()
                if self.prctl:
                    self.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
                    if os.getppid() != supervisor:
                        os._exit(127)
                signal.set_wakeup_fd(-1)
                for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGCHLD", "SIGPIPE", "SIGXFSZ", "SIGQUIT"):
                    signal.signal(getattr(signal, name), signal.SIG_DFL)
                os.chdir(self.spec.cwd)
                os.execve(self.spec.program, self.spec.command, self.spec.env)
            except OSError as error:
                os.write(write_end, str(error.errno or 0).encode())
            finally:
                os._exit(127)
        os.close(write_end)
        errno = os.read(read_end, 16)
        os.close(read_end)
        if errno:
            os.waitpid(self.child, 0)
            raise OSError(int(errno), os.strerror(int(errno)))
        self.seen = [self.child]
        return self.child

    def watch(self) -> _Status:
        """Wait until the command is over or has to end, and return its status when nothing of it is left."""
        begun = look = memory_look = time.monotonic()
        spacing = 0.5
        cause: tuple[str, str] | None = None
        while not cause:
            self._reap()
            if self.code is not None:
                break
            now = time.monotonic()
            if now >= look:  # to know their pids when it is over; ever more rarely, as most start in the beginning
                self._family()
                look, spacing = now + spacing, min(60.0, spacing * 2)
            if self.asked or os.path.exists(CANCEL):
                cause = ("canceled", "canceled")
            elif self.spec.timeout_s and now - begun >= self.spec.timeout_s:
                cause = ("timed out", f"ran longer than its timeout of {self.spec.timeout_s:g} s")
            elif self.spec.mem_gb and now >= memory_look:
                memory_look = now + _MEMORY_TICK_S
                used_gb = _memory_gb(self._family())
                if used_gb > self.spec.mem_gb:
                    cause = ("failed", f"used {used_gb:.3g} GB of memory, more than its {self.spec.mem_gb:g} GB")
            if not cause:
                left_s = [_TICK_S, look - now]
                left_s += [begun + self.spec.timeout_s - now] if self.spec.timeout_s else []
                left_s += [memory_look - now] if self.spec.mem_gb else []
                self._wait(max(0.0, min(left_s)))
        stuck = self._end()
        words = _words(self.code) if self.code is not None else "its exit status is unknown"
        note = f"; could not be killed: {stuck}" if stuck else ""
        if cause:
            return (cause[0], self.code, self.seen, f"{cause[1]} ({words}){note}")
        return ("failed" if self.code else "succeeded", self.code, self.seen, (words if self.code else "") + note)

    def _end(self) -> list[int]:
        """End every process of the job; return the pids of those that can't be ended."""
        polite = signal.SIGINT if signal.SIGINT in self.asked else signal.SIGTERM
        grace_s = self.spec.grace_s
        begun = time.monotonic()
        asked: set[int] = set()
        if self.code is None:
            _kill(self.child, polite)
            asked.add(self.child)
        while True:
            self._reap()
            family = [] if self.alone else self._family()
            passed_s = time.monotonic() - begun
            if not family or passed_s > grace_s + _GIVE_UP_S:
                return family
            for pid in family:
                if passed_s >= grace_s:
                    _kill(pid, signal.SIGKILL)
                elif pid not in asked and (self.code is not None or passed_s >= grace_s / 2):
                    _kill(pid, polite)
                    asked.add(pid)
            self._wait(0.02 if passed_s < 1 else 0.1)

    def _family(self) -> list[int]:
        me = os.getpid()
        family = offspring([me])[me]
        if not _LINUX:  # orphans go to init there; those that stayed in the command's group are found by it
            rows = (line.split() for line in os.popen("ps -axo pid=,pgid=,stat="))
            group = [int(r[0]) for r in rows if int(r[1]) == self.child and not r[2].startswith("Z")]
            family += [pid for pid in group if pid not in family]
        self.seen += [pid for pid in family if pid not in self.seen][: _MOST_PIDS - len(self.seen)]
        return family

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.alone = _LINUX  # elsewhere, what it left is nobody's child here
                return
            if pid == 0:
                return
            if pid == self.child:
                self.code = os.waitstatus_to_exitcode(status)

    def _wait(self, seconds: float) -> None:
        import select

        if select.select([self.wake], [], [], seconds)[0]:
            try:
                while len(os.read(self.wake, 512)) == 512:
                    pass
            except BlockingIOError:
                pass


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)  # a stopped process would not notice
    except (ProcessLookupError, PermissionError):  # it is gone, or changed its user
        pass


def _memory_gb(pids: Sequence[int]) -> float:
    """Return what `pids` hold together, in 1e9 bytes: their own pages, and the largest shared part once."""
    if not _LINUX:
        return sum(int(line) for line in os.popen(f"ps -o rss= -p {','.join(map(str, pids))}")) * 1024 / 1e9
    own = shared = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:
                parts = file.read().split()
        except OSError:
            continue
        if len(parts) > 2:
            own += int(parts[1]) - int(parts[2])
            shared = max(shared, int(parts[2]))
    return (own + shared) * os.sysconf("SC_PAGE_SIZE") / 1e9


class _Windows:
    """The command as a process group; `taskkill` ends its tree. Without a memory limit."""

    def __init__(self, spec: _Spec) -> None:
        self.spec = spec

    def start(self) -> int:
        import subprocess

        spec = self.spec
        self.process = subprocess.Popen(
            [os.fsdecode(part) for part in spec.command],
            executable=os.fsdecode(spec.program),
            env={os.fsdecode(k): os.fsdecode(v) for k, v in spec.env.items()},
            cwd=os.fsdecode(spec.cwd),
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        return self.process.pid

    def watch(self) -> _Status:
        begun = time.monotonic()
        cause: tuple[str, str] | None = None
        while (code := self.process.poll()) is None and not cause:
            if os.path.exists(CANCEL):
                cause = ("canceled", "canceled")
            elif self.spec.timeout_s and time.monotonic() - begun >= self.spec.timeout_s:
                cause = ("timed out", f"ran longer than its timeout of {self.spec.timeout_s:g} s")
            else:
                time.sleep(0.05)
        pid = self.process.pid
        if cause:
            os.system(f"taskkill /T /PID {pid} >NUL 2>&1")
            asked = time.monotonic()
            while self.process.poll() is None and time.monotonic() - asked < self.spec.grace_s:
                time.sleep(0.05)
            os.system(f"taskkill /T /F /PID {pid} >NUL 2>&1")
            code = self.process.wait()
            return (cause[0], code, [pid], cause[1])
        return ("failed" if code else "succeeded", code, [pid], f"exit status {code}" if code else "")
