from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from whet.store.base import Store
from whet.store.open import open_store


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = open_store("memory" if request.param == "memory" else f"sqlite:///{tmp_path / 'whet.db'}")
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logger = logging.getLogger("whet")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)
