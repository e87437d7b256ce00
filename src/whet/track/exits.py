"""How a process ends is how its runs end: an exception fails them, Ctrl-C cancels them, a normal end finishes them.

`raise SystemExit(3)` is taken for a normal end, for nothing in Python tells of it; `sys.exit(3)` is seen.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from whet.trial import Phase

if TYPE_CHECKING:
    from whet.track.run import Run

__all__ = ["forget", "latest", "outcome_of", "watch"]

_live: dict[
    Run, None
] = {}  # in the order of their beginning; held here until they end, lest one be lost that nobody else holds
_installed = False
_pid_of_worker = 0
_outcome: tuple[Phase, str] = (Phase.FINISHED, "")


def outcome_of(error: BaseException | None) -> tuple[Phase, str]:
    """Return the phase and the reason in words of a run that ended with `error`."""
    if error is None:
        return Phase.FINISHED, ""
    if isinstance(error, KeyboardInterrupt):
        return Phase.CANCELED, "interrupted (Ctrl-C)"
    if isinstance(error, SystemExit):
        if error.code in (None, 0):
            return Phase.FINISHED, ""
        return Phase.FAILED, f"exit status {error.code}"
    return Phase.FAILED, "".join(traceback.format_exception_only(error)).strip()[:2000]


def latest() -> Run | None:
    """Return the run that began last of those that go on, or None."""
    return next(reversed(_live), None)


def watch(run: Run) -> None:
    """End `run` when this process ends."""
    global _outcome
    _outcome = (Phase.FINISHED, "")
    _live[run] = None
    _install()
    _install_in_worker()


def forget(run: Run) -> None:
    """The run ended by itself."""
    global _outcome
    _live.pop(run, None)
    _outcome = (Phase.FINISHED, "")


def _install() -> None:
    global _installed
    if _installed:
        return
    _installed = True
    atexit.register(_at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_in_child)
    said_before = sys.excepthook
    exit_before = sys.exit

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> Any:
        global _outcome
        _outcome = outcome_of(error)
        return said_before(kind, error, trace)

    def leave(status: Any = None, /) -> NoReturn:
        # Nothing tells an atexit function the exit status, so it is noted on its way. In other threads it ends only those.
        global _outcome
        if threading.current_thread() is threading.main_thread():
            _outcome = outcome_of(SystemExit(status))
        exit_before(status)

    sys.excepthook = hook
    sys.exit = leave


def _install_in_worker() -> None:
    global _pid_of_worker
    process = sys.modules.get("multiprocessing.process")
    if process is None or process.parent_process() is None or _pid_of_worker == os.getpid():
        return
    _pid_of_worker = os.getpid()
    from multiprocessing.util import Finalize

    # A forked worker leaves by os._exit, without atexit; its finalizers are called while its exception is still at hand.
    Finalize(None, lambda: _end_all(outcome_of(sys.exc_info()[1])), exitpriority=0)


def _end_all(outcome: tuple[Phase, str]) -> None:
    for run in [r for r in _live if not r.is_forked]:
        run._end(*outcome)


def _at_exit() -> None:
    interrupted = _outcome[0] is Phase.CANCELED
    _end_all(_outcome)
    if interrupted:
        # An interrupted Python dies of SIGINT, as shells expect, if an interrupt is what it ran last. Ending the runs ran other things.
        with contextlib.suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")


def _in_child() -> None:
    # The spool has one writer, and its thread was not forked: what a data loader's worker logs must not get there.
    for run in _live:
        run._disown()
