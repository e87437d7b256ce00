"""A line for each trial, through the logger ``whet`` of the standard library; and Optuna's switches for it.

Unless the program has set up this logger itself, lines go to stderr from the level INFO on, and only there.
"""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace
from typing import TextIO

from whet.trial import Phase, Trial

__all__ = ["LOGGER", "log_trial", "switches"]

LOGGER = logging.getLogger("whet")


class _Stderr(logging.StreamHandler[TextIO]):
    """To what `sys.stderr` is when a line is written: notebooks and tests replace it."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        pass


_handler = _Stderr()
_handler.setFormatter(logging.Formatter("[%(levelname).1s %(asctime)s] %(message)s"))


def _set_up() -> None:
    if LOGGER.level == logging.NOTSET:
        LOGGER.setLevel(logging.INFO)
    if not LOGGER.handlers:
        LOGGER.addHandler(_handler)
        LOGGER.propagate = False


def log_trial(trial: Trial, best: tuple[int, float] | None) -> None:
    """Log how a trial ended, with number and value of the best one so far."""
    if trial.phase is Phase.FAILED:
        LOGGER.warning("Trial %d failed with parameters: %s. %s", trial.number, dict(trial.params), trial.reason)
    elif trial.stopped:
        LOGGER.info("Trial %d pruned. %s", trial.number, trial.reason)
    elif trial.values is not None and len(trial.values) > 1:
        LOGGER.info(
            "Trial %d finished with values: %s and parameters: %s.%s",
            trial.number,
            list(trial.values),
            dict(trial.params),
            _remark(trial),
        )
    elif trial.values:
        shown = f" Best is trial {best[0]} with value: {best[1]}." if best is not None else ""
        LOGGER.info(
            "Trial %d finished with value: %s and parameters: %s.%s",
            trial.number,
            trial.values[0],
            dict(trial.params),
            _remark(trial) + shown,
        )


def _remark(trial: Trial) -> str:
    """Return what a finished trial has for a reason: that it does not keep the limits."""
    return f" {trial.reason[:1].upper()}{trial.reason[1:]}." if trial.reason else ""


def _handle() -> None:
    LOGGER.addHandler(_handler)


def _propagate(on: bool) -> None:
    LOGGER.propagate = on


_set_up()

switches = SimpleNamespace(
    CRITICAL=logging.CRITICAL,
    FATAL=logging.CRITICAL,
    ERROR=logging.ERROR,
    WARNING=logging.WARNING,
    WARN=logging.WARNING,
    INFO=logging.INFO,
    DEBUG=logging.DEBUG,
    get_logger=logging.getLogger,
    get_verbosity=LOGGER.getEffectiveLevel,
    set_verbosity=LOGGER.setLevel,
    disable_default_handler=lambda: LOGGER.removeHandler(_handler),
    enable_default_handler=_handle,
    disable_propagation=lambda: _propagate(False),
    enable_propagation=lambda: _propagate(True),
)
"""What `optuna.logging` offers, as `whet.logging`."""
