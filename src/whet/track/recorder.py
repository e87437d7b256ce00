"""From what was logged to records of the spool, in the writer's thread: fetch, count, warn, and pick out the sweep's reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

from whet.store.base import Stat
from whet.track.notices import Notices
from whet.track.spool import Kind
from whet.track.values import Later

__all__ = ["Item", "Recorder"]

Item = tuple[Any, ...]
"""(kind, payload) for every kind but rows: (Kind.ROW, step, time, values, has the step been given?)."""

_NAN = float("nan")


@final
class Recorder:
    """Turns items into records and keeps each metric's `Stat`.

    A row with some of the sweep's `metrics` carries a report. Its step is the one given to `log`; without one it counts such rows
    (0, 1, 2 …), so that "three epochs" means the same however many other things are logged in between (as in W&B's sweeps).
    Metrics logged apart at one step make one report.
    """

    def __init__(self, metrics: Sequence[str], notices: Notices) -> None:
        self._metrics = tuple(metrics)
        self._names = frozenset(metrics)
        self._notices = notices
        self._tallies: dict[str, list[Any]] = {}
        self.has_reported = False  # since somebody looked
        self._num_reports = 0
        self._report_step: int | None = None
        self._report: list[float] = []

    def goes_on(self, num_reports: int) -> None:
        """Count the reports without a step from `num_reports` on: so many were made before the checkpoint at hand."""
        self._num_reports = max(self._num_reports, num_reports)

    def __call__(self, item: Item) -> list[Any]:
        if item[0] is not Kind.ROW:
            kind, payload = item
            return [kind.value, payload]
        _, step, time, values, given = item
        values = self._numbers(values)
        record = [Kind.ROW.value, step, time, values]
        if given is None:  # system metrics
            return record
        self._count(step, values)
        if self._names and not self._names.isdisjoint(values):
            record += self._reported(step if given else None, values)
        return record

    def stats(self) -> Mapping[str, Stat]:
        """Return what each metric did so far, in the order of first appearance."""
        return {
            name: Stat(
                last=t[0],
                last_step=t[1],
                min=t[2] if t[3] is not None else _NAN,
                min_step=t[3] if t[3] is not None else t[1],
                max=t[4] if t[5] is not None else _NAN,
                max_step=t[5] if t[5] is not None else t[1],
                count=t[6],
            )
            for name, t in list(self._tallies.items())
        }

    def _numbers(self, values: Mapping[str, Any]) -> dict[str, Any]:
        numbers: dict[str, Any] = {}
        for name, value in values.items():
            kind = type(value)
            if kind is float:
                numbers[name] = value
            elif kind is Later:
                numbers[name] = value.get()
            else:
                try:
                    float(value)
                    numbers[name] = int(value)
                except OverflowError:
                    numbers[name] = math.inf if value > 0 else -math.inf
        return numbers

    def _count(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            tally = self._tallies.get(name)
            if tally is None:
                tally = self._tallies[name] = [value, step, math.inf, None, -math.inf, None, 0]
            tally[0] = value
            tally[1] = step
            tally[6] += 1
            if value - value != 0:  # nan or infinite
                word = "nan" if value != value else "infinite"
                self._notices.once(
                    f"nonfinite-{name}",
                    f"metric {name!r} is {word} at step {step}; it is kept, and said only once: "
                    "a lower learning rate or gradient clipping often helps",
                )
                if value != value:
                    continue
            if value < tally[2] or tally[3] is None:
                tally[2], tally[3] = value, step
            if value > tally[4] or tally[5] is None:
                tally[4], tally[5] = value, step

    def _reported(self, given: int | None, values: Mapping[str, float]) -> list[Any]:
        step = self._num_reports if given is None else given
        if step != self._report_step:
            self._report_step = step
            self._report = [_NAN] * len(self._metrics)
        for i, name in enumerate(self._metrics):
            if name in values:
                self._report[i] = float(values[name])
        self._num_reports += 1
        self.has_reported = True
        return [step, list(self._report)]
