"""A browser, Debian's Chromium, driven from here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.web.driving import CHROMIUM, EXPECTED, Place

from whet.server.page import is_built

PATIENCE_MS = 30_000
"""A wait ends when what it waits for is there; this is only when it is given up, on a machine that does much else."""


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    from playwright.sync_api import expect, sync_playwright

    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    if not is_built():
        pytest.skip("the page is not built: make ui")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """For tests that only look; they share it."""
    with contextlib.closing(Place(tmp_path_factory.mktemp("place"))) as made:
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Place]:
    """For a test that changes things."""
    with contextlib.closing(Place(tmp_path)) as made:
        yield made


@pytest.fixture
def page(browser) -> Iterator[object]:
    """A page 1440 wide; what its console says of errors, or a violated policy, fails the test."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE_MS)
    made = context.new_page()
    wrong: list[str] = []
    made.on(
        "console",
        lambda said: (
            wrong.append(said.text) if said.type == "error" and not any(one in said.text for one in EXPECTED) else None
        ),
    )
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("dialog", lambda dialog: (wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
    yield made
    context.close()
    assert not wrong
