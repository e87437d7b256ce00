"""A store by its URL, and where things are when none is given."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from whet.errors import StoreError
from whet.store.base import Store

__all__ = ["open_store", "split_address", "store_url", "token_for", "whet_dir"]

_MEMORY = ("memory", "memory://", "sqlite://", "sqlite:///:memory:")


def whet_dir() -> Path:
    """Return the folder where Whet keeps things: ``$WHET_DIR``, else ``.whet`` in the current one."""
    return Path(os.environ.get("WHET_DIR") or ".whet").expanduser()


def open_store(url: str | Store | None = None) -> Store:
    """Open the store at `url`, and make it where there is none.

    Args:
        url: ``sqlite:///runs.db`` or just ``runs.db`` (SQLite), ``postgresql://user:password@host/name``, ``http://host:port`` (a Whet
            server; for its token see `token_for`), or ``memory``, which keeps nothing. A store is returned as it is. By default ``$WHET_STORE``, else ``whet.db`` in `whet_dir`.

    Raises:
        StoreError: nobody knows such a URL, or what is there is not Whet's.
        StoreUnavailable: it can't be opened.
        MissingDependency: PostgreSQL's driver is not installed.
    """
    if isinstance(url, Store):
        return url
    url = store_url(url)
    if url == "memory":
        from whet.store.memory import MemoryStore

        return MemoryStore()
    if url.startswith(("http://", "https://")):
        from whet.store.http import HttpStore

        return HttpStore(url)
    from whet.store.sql import SqlStore

    return SqlStore(url)


def store_url(url: str | None = None) -> str:
    """Return what `open_store` takes `url` to mean: ``memory``, ``http…``, ``sqlite:///file`` or ``postgresql://…``.

    Raises:
        StoreError: nobody knows such a URL.
    """
    url = url or os.environ.get("WHET_STORE") or f"sqlite:///{whet_dir() / 'whet.db'}"
    if url in _MEMORY:
        return "memory"
    scheme, mark, rest = url.partition("://")
    kind = scheme.partition("+")[0] if mark else ""
    if kind == "sqlite":
        return f"sqlite://{rest}"
    if not mark and Path(url).suffix in (".db", ".sqlite", ".sqlite3"):
        return f"sqlite:///{Path(url).expanduser()}"
    if kind not in ("postgresql", "postgres", "http", "https"):
        raise StoreError(
            f"{url!r} is no store",
            "give sqlite:///file.db, postgresql://user:password@host/name, http://host:port, a path that ends in .db, or memory",
        )
    return url


def token_for(url: str) -> str | None:
    """Return ``$WHET_TOKEN`` if it is for the server at `url`.

    It is the token of the server that ``$WHET_STORE`` names, and shown to no other; where that names no server, it is for any.
    """
    token, store = os.environ.get("WHET_TOKEN"), os.environ.get("WHET_STORE") or ""
    if store.startswith(("http://", "https://")) and _origin(store) != _origin(url):
        return None
    return token or None


def _origin(url: str) -> tuple[str, str | None, int | None] | None:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:  # no port: nothing is there
        return None


def split_address(text: str) -> tuple[str | None, str]:
    """Return (store, sweep) of a sweep's address at a server, or (None, `text`) where it is none.

    Example:
        >>> split_address("http://localhost:8765/3fa9c2k1")
        ('http://localhost:8765', '3fa9c2k1')
        >>> split_address("3fa9c2k1")
        (None, '3fa9c2k1')
    """
    if not text.startswith(("http://", "https://")):
        return None, text
    url, _, sweep = text.rstrip("/").rpartition("/")
    if url.endswith(":/"):
        raise StoreError(f"{text!r} names no sweep", f"give {text.rstrip('/')}/ID")
    return url.removesuffix("/sweeps"), sweep
