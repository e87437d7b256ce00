"""What the commands of one call share: the store, opened when it is first needed, and the two options that say where it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from whet.store.base import Store

__all__ = ["apply", "missing", "nearby", "put", "store"]

_KEY = "whet.store"


def apply(context: click.Context, *, store_url: str | None, folder: str | None) -> None:
    """Make ``--store`` and ``--dir`` hold for this call and for every process that it starts, by WHET_STORE and WHET_DIR."""
    token = _withheld(store_url) if store_url and os.environ.get("WHET_TOKEN") else None
    for name, given in (("WHET_STORE", store_url), ("WHET_DIR", folder), ("WHET_TOKEN", token)):
        if given is not None:
            put(context, name, given)


def put(context: click.Context, name: str, value: str) -> None:
    """Make an environment variable hold for this call and for every process that it starts."""
    context.call_on_close(_put_back(name, os.environ.get(name)))
    os.environ[name] = value


def _withheld(store_url: str) -> str | None:
    """Return "" where ``$WHET_TOKEN`` is another server's, lest it reach this one or the processes that work for it; else None."""
    from whet.store.open import token_for

    if token_for(store_url) is not None:
        return None
    if store_url.startswith(("http://", "https://")) and "@" not in store_url:
        from whet.cli import output

        output.tell(
            f"WHET_TOKEN is not shown to {store_url}, for it is another server's: give this one's as http://TOKEN@HOST"
        )
    return ""


def _put_back(name: str, before: str | None) -> Any:
    def undo() -> None:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before

    return undo


def store(*, look: bool = False) -> Store:
    """Return the store of this call; it is closed when the call ends.

    Args:
        look: The command only looks: where there is no store yet it gets an empty one in memory, and no folder is made.

    Raises:
        StoreUnavailable: it can't be opened.
    """
    from whet.store.open import open_store

    root = click.get_current_context().find_root()
    if _KEY not in root.meta:
        opened = open_store("memory" if look and missing() is not None else None)
        root.meta[_KEY] = opened
        root.call_on_close(opened.close)
    found: Store = root.meta[_KEY]
    return found


def missing() -> Path | None:
    """Return where the default store would be, if that is what is asked for and it is not there yet."""
    from whet.store.open import whet_dir

    path = whet_dir() / "whet.db"
    return None if os.environ.get("WHET_STORE") or path.exists() else path


def nearby() -> Path | None:
    """Return Whet's folder in one of the folders around this one: the user may just be a level too deep."""
    found = (folder / ".whet" for folder in Path.cwd().parents)
    return next((folder for folder in found if (folder / "whet.db").exists()), None)
