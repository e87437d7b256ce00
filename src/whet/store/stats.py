"""What a metric did, kept up to date batch by batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from whet.store.base import Row, Stat

__all__ = ["merge", "of_curve"]


def of_curve(steps: Sequence[int], values: Sequence[float]) -> Stat:
    """Return what `merge` makes of the rows of one metric.

    Example:
        >>> of_curve([3, 4], [0.5, 0.25]).min_step
        4
    """
    low = high = 0
    for i, value in enumerate(values):
        if value < values[low] or (math.isnan(values[low]) and value == value):
            low = i
        if value > values[high] or (math.isnan(values[high]) and value == value):
            high = i
    return Stat(
        last=values[-1], last_step=steps[-1], min=values[low], min_step=steps[low], max=values[high], max_step=steps[high],
        count=len(values),
    )  # fmt: skip


def merge(stats: Mapping[str, Stat], rows: Iterable[Row]) -> dict[str, Stat]:
    """Return `stats` with `rows` taken in, in their order; merge(merge(s, a), b) == merge(s, a + b).

    Of equal extremes the earlier one's step counts. A NaN is never least or greatest, unless there is nothing else.

    Example:
        >>> merge({}, [Row(step=3, time=0.0, values={"loss": 0.5})])["loss"].min_step
        3
    """
    now: dict[str, list[float]] = {}  # last, last_step, min, min_step, max, max_step, count
    for name, s in stats.items():
        now[name] = [s.last, s.last_step, s.min, s.min_step, s.max, s.max_step, s.count]
    for row in rows:
        step = row.step
        for name, value in row.values.items():
            value = float(value)
            stat = now.get(name)
            if stat is None:
                now[name] = [value, step, value, step, value, step, 1]
                continue
            stat[0], stat[1] = value, step
            stat[6] += 1
            if value < stat[2] or (math.isnan(stat[2]) and value == value):
                stat[2], stat[3] = value, step
            if value > stat[4] or (math.isnan(stat[4]) and value == value):
                stat[4], stat[5] = value, step
    return {
        name: Stat(
            last=s[0], last_step=int(s[1]), min=s[2], min_step=int(s[3]), max=s[4], max_step=int(s[5]), count=int(s[6])
        )
        for name, s in now.items()
    }
