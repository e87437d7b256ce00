"""How a process ends is how its runs end: an exception fails them, Ctrl-C cancels them, a normal end finishes them."""

from __future__ import annotations

import atexit
import os
import sys
import traceback
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from whet.trial import Phase

if TYPE_CHECKING:
    from whet.track.run import Run

__all__ = ["forget", "outcome_of", "watch"]

_live: weakref.WeakSet[Run] = weakref.WeakSet()
_installed = False
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


def watch(run: Run) -> None:
    """End `run` when this process ends."""
    global _installed, _outcome
    _outcome = (Phase.FINISHED, "")
    _live.add(run)
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
        # Nothing tells an atexit function the exit status, so it is noted on its way.
        global _outcome
        _outcome = outcome_of(SystemExit(status))
        exit_before(status)

    sys.excepthook = hook
    sys.exit = leave


def forget(run: Run) -> None:
    """The run ended by itself."""
    global _outcome
    _live.discard(run)
    _outcome = (Phase.FINISHED, "")


def _at_exit() -> None:
    outcome = _outcome
    for run in list(_live):
        run._end(*outcome)


def _in_child() -> None:
    # The spool has one writer, and its thread was not forked: what a data loader's worker logs must not get there.
    for run in list(_live):
        run._disown()
    _live.clear()
