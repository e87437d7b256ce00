"""The store: sweeps, trials and runs, kept."""

from __future__ import annotations

from whet.store.base import Store

__all__ = ["Store"]
