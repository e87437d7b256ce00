"""Sizes as options have them."""

from __future__ import annotations

import re

from whet.cli.output import wrong_call

__all__ = ["num_bytes"]

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def num_bytes(option: str, text: str) -> int:
    """Return the bytes in ``500GB``, ``64M`` …, the value of `option`.

    Raises:
        WhetError: it is none.
    """
    found = re.fullmatch(r"(\d{1,12})(?:\s?([kKMGT])?B?)", text)
    if found is None:
        raise wrong_call(
            f"{option} got {text!r}, wanted a size", "give a whole number with kB, MB, GB or TB, as in 50GB"
        )
    return int(found[1]) * _UNITS[(found[2] or "").replace("K", "k")]
