"""Lengths of time as options have them."""

from __future__ import annotations

import re

from whet.cli.output import wrong_call

__all__ = ["seconds"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def seconds(option: str, text: str, *, least: int = 1, example: str = "30d") -> float:
    """Return the seconds in ``30d``, ``12h`` …, the value of `option`; `least`: how many units at least, 0 also without one.

    Raises:
        WhetError: it is none.

    Example:
        >>> seconds("--patience", "10m")
        600.0
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhdw])", f"{text}s" if text == "0" else text)
    if found is None or int(found[1]) < least:
        raise wrong_call(
            f"{option} got {text!r}, wanted a time", f"give a whole number with s, m, h, d or w, as in {example}"
        )
    return float(int(found[1]) * _UNITS[found[2]])
