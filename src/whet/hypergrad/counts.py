"""Knobs that count something."""

from __future__ import annotations

from numbers import Integral

__all__ = ["is_count"]


def is_count(value: object, least: int = 1) -> bool:
    """Return whether a knob is a whole number of at least `least`.

    Example:
        >>> is_count(3), is_count(2.5), is_count(0), is_count(0, least=0)
        (True, False, False, True)
    """
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least
