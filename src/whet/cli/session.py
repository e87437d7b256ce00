"""What the commands of one call share: the store, opened when it is first needed, and the two options that say where it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from whet.store.base import Store

__all__ = ["apply", "store"]

_KEY = "whet.store"


def apply(context: click.Context, *, store_url: str | None, folder: str | None) -> None:
    """Make ``--store`` and ``--dir`` hold for this call and for every process that it starts, by WHET_STORE and WHET_DIR."""
    for name, given in (("WHET_STORE", store_url), ("WHET_DIR", folder)):
        if given is not None:
            context.call_on_close(_put_back(name, os.environ.get(name)))
            os.environ[name] = given


def _put_back(name: str, before: str | None) -> Any:
    def undo() -> None:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before

    return undo


def store() -> Store:
    """Return the store of this call; it is closed when the call ends.

    Raises:
        StoreUnavailable: it can't be opened.
    """
    from whet.store.open import open_store

    root = click.get_current_context().find_root()
    if _KEY not in root.meta:
        opened = open_store()
        root.meta[_KEY] = opened
        root.call_on_close(opened.close)
    found: Store = root.meta[_KEY]
    return found
