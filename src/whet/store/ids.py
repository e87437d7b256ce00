"""Names that nobody else has: the ids of sweeps and runs."""

from __future__ import annotations

import os
import random

__all__ = ["new_id"]

_LETTERS = (
    "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no letter that looks like a digit, nothing to spell with
)
_PAIRS = [a + b for a in _LETTERS for b in _LETTERS]
_rng = random.Random()  # seeded by the system; nobody else's seed touches it
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_rng.seed)  # lest parent and child draw the same


def new_id() -> str:
    """Return ten letters and digits: 50 random bits, so that among a million ids two are alike once in 2,000 times."""
    n, pairs = _rng.getrandbits(50), _PAIRS
    return pairs[n & 1023] + pairs[n >> 10 & 1023] + pairs[n >> 20 & 1023] + pairs[n >> 30 & 1023] + pairs[n >> 40]
