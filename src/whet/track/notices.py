"""What Whet tells the user while his training runs: one line on stderr, each thing once."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import final

__all__ = ["Notices"]


@final
class Notices:
    """Says each thing once. ``WHET_SILENT=1`` keeps it quiet; `said` remembers the lines all the same."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}

    def once(self, key: str, text: str) -> None:
        """Print `text` unless something was said about `key` before. Never raises: it is called from background threads."""
        if key in self.said:
            return
        self.said[key] = text
        if os.environ.get("WHET_SILENT", "") in ("", "0"):
            # At interpreter shutdown stderr may be closed or None.
            with contextlib.suppress(Exception):
                print(f"whet: {text}", file=sys.stderr, flush=True)
