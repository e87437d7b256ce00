"""What happens while a sweep runs, as values and sentences; every loop speaks with the same words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import final

from whet.trial import Metric

__all__ = [
    "ASIDE",
    "FAILURES_IN_A_ROW",
    "MAX_FAILURES",
    "Ending",
    "Event",
    "EventKind",
    "Tally",
    "describe",
    "failed",
    "finished",
    "started",
]

FAILURES_IN_A_ROW = 3
"""With so many failed trials before the first success a loop gives up: a script that can't run burns no budget."""
ASIDE = 3
"""The exit status of an agent that was put aside."""
MAX_FAILURES = 5
"""With so many failed trials in a row an agent is put aside, however well others do."""


class EventKind(Enum):
    """What happened."""

    STARTED = "started"
    FINISHED = "finished"
    STOPPED = "stopped"
    PAUSED = "paused"
    FAILED = "failed"
    CANCELED = "canceled"
    REQUEUED = "requeued"
    ADOPTED = "adopted"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a trial (or, with number None, to the sweep), as a sentence.

    `is_result`: of a failed one, it ran to its end and the result is what makes it fail (NaN): that is its parameters' doing, not the machine's.
    """

    kind: EventKind
    number: int | None
    text: str
    is_result: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why a loop ended, and what it did.

    `final`: the sweep hands out no trial any more. `broken`: a process that worked for it broke down. `aside`: too many trials in a row failed
    here. The counts are of this call.
    """

    reason: str
    final: bool = False
    interrupted: bool = False
    broken: bool = False
    aside: bool = False
    num_finished: int = 0
    num_stopped: int = 0
    num_failed: int = 0


@final
class Tally:
    """Counts how the trials of one call ended."""

    def __init__(self) -> None:
        self._counts: Counter[EventKind] = Counter()
        self._failures = 0
        self._last = ""
        self.broke: list[int] = []
        """The trials that failed in a row, the latest last, but for those that have a result."""

    def add(self, event: Event) -> None:
        """Count `event`."""
        self._counts[event.kind] += 1
        if event.kind is EventKind.FAILED:
            self._failures += 1
            self._last = event.text
            if not event.is_result and event.number is not None:
                self.broke.append(event.number)
        elif event.kind in (EventKind.FINISHED, EventKind.STOPPED, EventKind.PAUSED):
            self._failures = 0
            self.broke.clear()

    @property
    def num_over(self) -> int:
        """How many trials ended."""
        return sum(self._counts[kind] for kind in (EventKind.FINISHED, EventKind.STOPPED, EventKind.FAILED))

    @property
    def hopeless(self) -> str:
        """Why no more trials are to be started, when only failed ones came in; else empty. Whether others succeeded is not known here."""
        if self._failures < FAILURES_IN_A_ROW:
            return ""
        return f"the first {self._failures} trials failed, so no more are started; the last: {self._last}"

    @property
    def last(self) -> str:
        """What was said of the last failed trial."""
        return self._last

    def ending(
        self,
        reason: str,
        *,
        final: bool = False,
        interrupted: bool = False,
        broken: bool = False,
        aside: bool = False,
    ) -> Ending:
        """Return how the call ended."""
        return Ending(
            reason=reason,
            final=final,
            interrupted=interrupted,
            broken=broken,
            aside=aside,
            num_finished=self._counts[EventKind.FINISHED],
            num_stopped=self._counts[EventKind.STOPPED],
            num_failed=self._counts[EventKind.FAILED],
        )


def describe(params: Mapping[str, object]) -> str:
    """Return a configuration on one line, numbers with 4 significant digits."""
    return "  ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in params.items())


def started(number: int, params: Mapping[str, object], note: str = "", *, resumed: bool = False) -> Event:
    """Return the event of a trial that starts, or goes on after a pause."""
    shown = f": {describe(params)}" if params else ""
    return Event(
        EventKind.STARTED,
        number,
        f"trial {number} {'resumed' if resumed else 'started'}{shown}{f' ({note})' if note else ''}",
    )


def finished(number: int, metrics: Sequence[Metric], values: Sequence[float]) -> Event:
    """Return the event of a trial that ran to its end."""
    shown = describe({m.name: float(v) for m, v in zip(metrics, values, strict=False)})
    return Event(EventKind.FINISHED, number, f"trial {number} finished{f': {shown}' if shown else ''}")


def failed(number: int, reason: str, *, is_result: bool = False) -> Event:
    """Return the event of a trial that failed; `is_result` as in `Event`."""
    return Event(EventKind.FAILED, number, f"trial {number} failed: {reason}", is_result)
