from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from whet.server.app import application
from whet.store import Store, open_store
from whet.testing.serving import serving


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Store]:
    """The store that the server is in front of."""
    with contextlib.closing(open_store(str(tmp_path / "whet.db"))) as store:
        yield store


@pytest.fixture
def url(behind: Store) -> Iterator[str]:
    with serving(application(behind)) as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """The same, from afar."""
    with contextlib.closing(open_store(url)) as store:
        yield store
