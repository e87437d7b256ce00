"""Curves as lines to be drawn: in the order of their x, with as many points as a picture can show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from whet.errors import StoreError
from whet.store.values import Curve, Line

if TYPE_CHECKING:
    import numpy as np

__all__ = ["check_lines", "thin", "to_lines"]

_LEAST, _MOST = 4, 100_000


def check_lines(max_points: int, x: str) -> None:
    """Raise StoreError where curves can't be had like this."""
    if not _LEAST <= max_points <= _MOST:
        raise StoreError(f"max_points={max_points} is out of range", f"give {_LEAST} to {_MOST}")
    if x not in ("step", "time"):
        raise StoreError(f"x={x!r} is no axis", "give step or time")


def to_lines(curves: Mapping[str, Curve], max_points: int, x: str) -> dict[str, Line]:
    """Return each curve as a line."""
    import numpy as np

    lines = {}
    for name, curve in curves.items():
        xs = np.asarray(curve.steps if x == "step" else curve.times, dtype=np.int64 if x == "step" else np.float64)
        ys = np.asarray(curve.values, dtype=np.float64)
        if len(xs) > 1 and (xs[1:] < xs[:-1]).any():
            order = np.argsort(xs, kind="stable")
            xs, ys = xs[order], ys[order]
        kept = thin(ys, max_points)
        lines[name] = Line(x=xs[kept].tolist(), y=ys[kept].tolist())
    return lines


def thin(ys: np.ndarray, max_points: int) -> np.ndarray:
    """Return which points of a curve to keep, ascending, at most `max_points` of them.

    The first and the last; and of each of equally long stretches the least and the greatest (the earliest of equals), and the first NaN.

    Args:
        max_points: 4 or more.

    Example:
        >>> import numpy as np
        >>> thin(np.array([0.0, 1, 9, 1, 1, 1, -9, 1, 0, 0]), 6).tolist()
        [0, 2, 5, 6, 9]
    """
    import numpy as np

    size = len(ys)
    if size <= max_points:
        return np.arange(size)
    gaps = np.isnan(ys)
    holes = bool(gaps.any())
    num_stretches = (max_points - 2) // (3 if holes else 2)
    ends = np.array([0, size - 1])
    if num_stretches < 1:
        extremes = [int(np.nanargmin(ys)), int(np.nanargmax(ys))] if not gaps.all() else []
        return np.unique([*ends, *extremes])
    width = -(-size // num_stretches)
    num_stretches = -(-size // width)
    padded = np.full(num_stretches * width, np.nan)
    padded[:size] = ys
    table = padded.reshape(num_stretches, width)
    starts = np.arange(num_stretches) * width
    empty = np.isnan(table).all(axis=1)
    low = (np.where(np.isnan(table), np.inf, table).argmin(axis=1) + starts)[~empty]
    high = (np.where(np.isnan(table), -np.inf, table).argmax(axis=1) + starts)[~empty]
    parts = [ends, low, high]
    if holes:
        marks = np.zeros(num_stretches * width, dtype=bool)
        marks[:size] = gaps
        by_stretch = marks.reshape(num_stretches, width)
        there = by_stretch.any(axis=1)
        parts.append((by_stretch.argmax(axis=1) + starts)[there])
    return np.unique(np.concatenate(parts))
