"""The peers, each driven as its own documentation does, in a module that has one function a method: Task in, dF/dd out.

A peer that is not installed is named with the way to get it; none is left out in silence.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["PEERS", "load", "missing"]

PEERS = {
    "torchopt": 'pip install "whet[bench]"',
    "higher": 'pip install "whet[bench]"',
    "betty": (
        'pip install "pip<24.1", then pip install --no-deps betty-ml==0.1.1: its metadata (torch>=1.6.*) is refused by later versions of pip, '
        "so it can't be in an extra"
    ),
}
"""Name to how it is installed. Their hypertorch is not on PyPI."""


def load(name: str) -> ModuleType | None:
    """Return the module that drives a peer, or None where the peer is not installed."""
    try:
        importlib.import_module(name)
    except ImportError:
        return None
    return importlib.import_module(f"{__name__}.{name}")


def missing() -> list[str]:
    """Return a sentence for each peer that is not installed."""
    return [
        f"{name} is not installed, so its columns are empty: {how}" for name, how in PEERS.items() if load(name) is None
    ]
