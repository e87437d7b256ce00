"""Names that nobody else has: the ids of sweeps and runs."""

from __future__ import annotations

import os

__all__ = ["new_id"]

_LETTERS = (
    "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no letter that looks like a digit, nothing to spell with
)
_PAIRS = [a + b for a in _LETTERS for b in _LETTERS]


def new_id() -> str:
    """Return ten letters and digits, drawn from the system's entropy (50 bits: among a million ids, one pair is alike once in 2,000 times)."""
    n = int.from_bytes(os.urandom(7), "big")
    return (
        _PAIRS[n & 1023]
        + _PAIRS[n >> 10 & 1023]
        + _PAIRS[n >> 20 & 1023]
        + _PAIRS[n >> 30 & 1023]
        + _PAIRS[n >> 40 & 1023]
    )
