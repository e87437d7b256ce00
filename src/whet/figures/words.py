"""Numbers and bars as people read them."""

from __future__ import annotations

import math
import re

__all__ = ["bar", "number"]

_EXPONENT = re.compile(r"e([-+])0*(\d+)$")
_EIGHTHS = " ▏▎▍▌▋▊▉"


def number(x: float) -> str:
    """Return `x` with 4 significant digits; integers in full.

    Example:
        >>> number(0.98123456), number(1e-05), number(40), number(float("nan"))
        ('0.9812', '1e-5', '40', 'nan')
    """
    if isinstance(x, int):
        return str(x)
    if math.isfinite(x) and x == int(x) and abs(x) < 10_000:
        return str(int(x))
    return _EXPONENT.sub(lambda m: f"e{'-' if m[1] == '-' else ''}{m[2]}", f"{x:.4g}")


def bar(share: float, width: int) -> str:
    """Return a bar that fills `share` in [0, 1] of `width` characters, to an eighth of one.

    Example:
        >>> bar(0.5, 5)
        '██▌'
    """
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).strip()
