"""The store: sweeps, trials and runs, kept."""

from __future__ import annotations

from whet.store.base import Store
from whet.store.open import open_store, whet_dir

__all__ = ["Store", "open_store", "whet_dir"]
