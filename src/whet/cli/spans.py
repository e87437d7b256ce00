"""Spans of time as people give them: 90s, 10m, 12h, 30d."""

from __future__ import annotations

import re

from whet.cli.output import wrong_call

__all__ = ["seconds"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def seconds(option: str, text: str, example: str, *, may_be_0: bool = False) -> float:
    """Return the span that `text` names, in seconds.

    Raises:
        UsageError: it names none.

    Example:
        >>> seconds("--patience", "10m", "10m")
        600.0
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhdw])", text)
    if may_be_0 and text == "0":
        return 0.0
    if found is None or (int(found[1]) == 0 and not may_be_0):
        raise wrong_call(
            f"{option} got {text!r}, wanted a time", f"give a whole number with s, m, h, d or w, as in {example}"
        )
    return float(int(found[1]) * _UNITS[found[2]])
