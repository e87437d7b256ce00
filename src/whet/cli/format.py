"""How values are written for people: numbers with 4 significant digits, durations and times in words, curves as sparklines."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from whet.figures.words import bar, number

__all__ = ["ago", "bar", "counted", "duration", "number", "params", "size", "sparkline", "value"]

_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = "_.:-=+*#"


def value(x: object) -> str:
    """Return any value of a configuration or a summary on one line; nothing is ``-``."""
    if x is None:
        return "-"
    if isinstance(x, bool):
        return "true" if x else "false"
    if isinstance(x, (int, float)):
        return number(x)
    if isinstance(x, Mapping):
        return "{" + ", ".join(f"{k}: {value(v)}" for k, v in x.items()) + "}"
    if isinstance(x, (list, tuple)):
        return "[" + ", ".join(value(v) for v in x) + "]"
    # Control characters in a name or a tag must not reach the terminal.
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in str(x)) or "-"


def params(config: Mapping[str, object]) -> str:
    """Return a configuration on one line: ``lr=0.0032 width=64``."""
    return " ".join(f"{value(name)}={value(v)}" for name, v in config.items())


def duration(seconds: float | None) -> str:
    """Return a duration, two units at most.

    Example:
        >>> duration(0.2), duration(62), duration(3900), duration(200_000)
        ('200ms', '1m 02s', '1h 05m', '2d 07h')
    """
    if seconds is None or not math.isfinite(seconds):
        return "-"
    seconds = max(0.0, seconds)
    if seconds < 0.9995:
        return f"{seconds * 1e3:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600:02d}h"


def ago(then: float | None, now: float | None = None) -> str:
    """Return how long ago the time `then` (seconds since the epoch) is; older than 30 days: the date."""
    if then is None:
        return "-"
    seconds = (time.time() if now is None else now) - then
    if seconds < 5:
        return "just now"
    if seconds < 60:
        return f"{int(seconds)}s ago"
    if seconds < 3600:
        return f"{int(seconds // 60)}m ago"
    if seconds < 86_400:
        return f"{int(seconds // 3600)}h ago"
    if seconds < 30 * 86_400:
        return f"{int(seconds // 86_400)}d ago"
    return datetime.fromtimestamp(then).strftime("%Y-%m-%d")


def size(num_bytes: float) -> str:
    """Return a size in powers of 1000: ``3.1 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" or num_bytes >= 100 else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return ``1 run`` or ``2 runs``."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def sparkline(values: Iterable[float], width: int = 16, *, ascii_only: bool = False) -> str:
    """Return the curve of `values` in at most `width` characters; what is not finite leaves a gap.

    Example:
        >>> sparkline([0, 1, 2, 3])
        '▁▃▆█'
    """
    points: Sequence[float] = list(values)
    if len(points) > width:  # the last of each piece: where the curve had got to
        points = [points[(i + 1) * len(points) // width - 1] for i in range(width)]
    bars = _ASCII_BARS if ascii_only else _BARS
    finite = [p for p in points if math.isfinite(p)]
    if not finite:
        return ""
    low, span = min(finite) / 2, max(finite) / 2 - min(finite) / 2  # halves: a loss that explodes must not overflow
    top = len(bars) - 1
    level = [round((p / 2 - low) / span * top) if span > 0 else top // 2 for p in finite]
    steps = iter(level)
    return "".join(bars[next(steps)] if math.isfinite(p) else " " for p in points)
