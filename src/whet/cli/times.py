"""Lengths of time as options have them."""

from __future__ import annotations

import re

from whet.cli.output import wrong_call

__all__ = ["seconds"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def seconds(option: str, text: str, *, least: int = 1) -> float:
    """Return the seconds in ``30d``, ``12h`` …, the value of `option`; `least`: how many units at least.

    Raises:
        WhetError: it is none.
    """
    found = re.fullmatch(r"(\d{1,9})([smhdw])", text)
    if found is None or int(found[1]) < least:
        raise wrong_call(f"{option} got {text!r}, wanted a time", "give a whole number with s, m, h, d or w, as in 30d")
    return float(int(found[1]) * _UNITS[found[2]])
