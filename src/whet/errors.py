"""Every error that Whet raises on purpose.

An error says what it got, what it wanted and what to do next, and carries the facts as attributes::

    WhetError                    problem, fix, facts
    ├── SpaceError               a parameter, a space or a value that does not fit it (ValueError)
    ├── ExpressionError          a constraint or condition that can't be parsed or evaluated (ValueError)
    ├── ConfigError              a sweep file or mapping; knows source, line and path (ValueError)
    ├── UnknownName              a plug-in, key or flag that nobody knows; names the nearest (LookupError)
    ├── MissingDependency        an optional package that is not installed (ImportError)
    ├── StudyError               a study asked for what it has not got (ValueError)
    ├── HypergradError           a bilevel problem that can't be differentiated as it is given (ValueError)
    ├── TrackError               a metric, name or file that can't be logged (ValueError)
    ├── LaunchError              a command that can't be started, polled or canceled
    └── StoreError
        ├── NotFound             no such project, sweep, run or trial (LookupError)
        ├── StoreUnavailable     disk full, read-only folder, no connection
        ├── Refused              the server does not allow it: no token, or one that may not
        ├── Damaged              a file's content is not the one that was named: another SHA-256
        ├── TooLarge             a file, or all of a project's, is larger than the server takes
        └── Conflict             somebody else was first, or the state does not allow it
            ├── NumberTaken      another process has just handed out this trial number: ask again
            ├── CapReached       the sweep has handed out as many trials as it may
            ├── SweepClosed      the sweep is paused, finished or canceled
            ├── IllegalMove      not a legal transition of a sweep or a run
            └── AlreadyDriven    another coordinator drives this sweep

`TrialPruned` is no error: it is the signal by which a trial that was told to stop ends its objective.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AlreadyDriven",
    "CapReached",
    "ConfigError",
    "Conflict",
    "Damaged",
    "ExpressionError",
    "HypergradError",
    "IllegalMove",
    "LaunchError",
    "MissingDependency",
    "NotFound",
    "NumberTaken",
    "Refused",
    "SpaceError",
    "StoreError",
    "StoreUnavailable",
    "StudyError",
    "SweepClosed",
    "TooLarge",
    "TrackError",
    "TrialPruned",
    "UnknownName",
    "WhetError",
    "nearest",
]


class WhetError(Exception):
    """An error with its parts: the problem (got and wanted) and the fix (what to do next).

    Args:
        problem: What was got and what was wanted, without a full stop.
        fix: What to do next, an imperative; empty when there is nothing to do.
        facts: The values behind the words, for programs.
    """

    exit_code = 1

    def __init__(self, problem: str, fix: str = "", **facts: object) -> None:
        super().__init__(problem, fix)
        self.problem = problem
        self.fix = fix
        self.facts = facts

    def __str__(self) -> str:
        return f"{self.problem}: {self.fix}" if self.fix else self.problem


class SpaceError(WhetError, ValueError):
    """A parameter, a space, or a value that does not fit it."""

    exit_code = 2


class ExpressionError(WhetError, ValueError):
    """A constraint or condition that can't be parsed or evaluated."""

    exit_code = 2


class ConfigError(WhetError, ValueError):
    """A sweep file or mapping that can't be read.

    Facts: `source` (file or ``<config>``), `line` (1-based, or None), `path` (dotted path of the key).
    """

    exit_code = 2


class UnknownName(WhetError, LookupError):
    """A name that nobody knows. Facts: `kind`, `name`, `known` (nearest first)."""

    exit_code = 2

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str]) -> UnknownName:
        """Return the error for `name` among `known`, the nearest known names first."""
        names = nearest(name, known)
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        shown = ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
        fix = f"did you mean {close[0]!r}? known: {shown}" if close else f"known: {shown or 'none'}"
        return cls(f"unknown {kind} {name!r}", fix, kind=kind, name=name, known=tuple(names))


class MissingDependency(WhetError, ImportError):
    """An optional package that is not installed. Facts: `package`, `extra`."""

    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> MissingDependency:
        """Return the error that says how to install `package` through Whet's `extra`."""
        return cls(
            f"{purpose} needs the package {package!r}", f'pip install "whet[{extra}]"', package=package, extra=extra
        )


class StudyError(WhetError, ValueError):
    """A study asked for what it has not got, such as the best of no trials."""


class HypergradError(WhetError, ValueError):
    """A bilevel problem, a hyperparameter or a method that can't give a hypergradient as it is given."""


class TrackError(WhetError, ValueError):
    """A metric, a name or a file that can't be logged."""


class LaunchError(WhetError):
    """A command that can't be started, polled or canceled."""


class StoreError(WhetError):
    """The store could not do what it was asked."""


class NotFound(StoreError, LookupError):
    """No such project, sweep, run or trial."""


class StoreUnavailable(StoreError):
    """The disk is full, the folder can't be written, or the server does not answer."""


class Refused(StoreError):
    """The server does not allow it: there is no token, or it is wrong, or it may not do this."""


class Damaged(StoreError):
    """The content of a file is not the one that was named: it has another SHA-256."""


class TooLarge(StoreError):
    """A file is larger than the server takes, or all of its project's are."""


class Conflict(StoreError):
    """Somebody else was first, or the state does not allow it."""


class NumberTaken(Conflict):
    """Another process has just handed out this trial number: sync and ask again."""


class CapReached(Conflict):
    """The sweep has handed out as many trials as its run cap allows."""


class SweepClosed(Conflict):
    """The sweep is paused, finished or canceled, so it hands out no trial."""


class IllegalMove(Conflict):
    """Not a legal transition of a sweep or a run."""


class AlreadyDriven(Conflict):
    """Another coordinator drives this sweep. Facts: `owner`."""


class TrialPruned(Exception):
    """Raised inside an objective to end a trial that was told to stop (Optuna's name)."""


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return `known` without repeats, the names most like `name` first."""

    def distance(other: str) -> tuple[float, str]:
        return (-difflib.SequenceMatcher(None, name.lower(), other.lower()).ratio(), other)

    return sorted(set(known), key=distance)
