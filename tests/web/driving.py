"""What tests in a browser share: servers in processes of their own, and axe."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.web.filling import fill

from whet.store import Store, open_store

__all__ = ["CHROMIUM", "EXPECTED", "Place", "Server", "arrive", "until", "violations"]

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
EXPECTED = (
    "the server responded with a status of 4",
    "net::ERR_CONNECTION_REFUSED",
    "net::ERR_INCOMPLETE_CHUNKED",
    "net::ERR_CONNECTION_RESET",
)


class Server:
    """`whet serve` over a store, which can be ended and begun anew where it was."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "whet.db"
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Server:
        command = [
            sys.executable,
            "-m",
            "whet.cli.main",
            "--store",
            str(self.database),
            "serve",
            "--port",
            str(self.port),
            "--json",
        ]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "WHET_DIR": str(self.folder)},
        )
        assert self._process.stdout
        self.url = json.loads(self._process.stdout.readline())["url"]
        self.port = int(self.url.rpartition(":")[2])
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Place:
    """A store that `fill` fills, with its server; `ids` are what it returns: its sweeps', by what they are like."""

    def __init__(self, folder: Path, fill: Callable[[Store, Path], Mapping[str, str]] = fill) -> None:
        self.store: Store = open_store(str(folder / "whet.db"))
        self.ids = dict(fill(self.store, folder))
        self.server = Server(folder).start()

    @property
    def url(self) -> str:
        return self.server.url

    def close(self) -> None:
        self.server.stop()
        self.store.close()


def arrive(page) -> None:
    """Wait until everything that the page asks for has come: a heading, and nothing in it that is still loading."""
    from playwright.sync_api import expect

    expect(page.locator("main :is(h1, h2)").first).to_be_visible()
    expect(page.locator(".loading, .row-coming")).to_have_count(0)


def violations(page) -> list[str]:
    """Return what axe finds wrong with the page, as text."""
    page.evaluate(AXE.read_text())
    found = page.evaluate(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
    )
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:160] + ' ' + node['failureSummary'][:200] for node in one['nodes'][:3]]}"
        for one in found["violations"]
    ]


def until(page, holds: str, seconds: float = 30.0) -> None:
    """Wait until the expression holds in the page, where no locator says it; its policy lets no text be run, so it is asked from here again and again."""
    for _ in range(int(seconds / 0.05)):
        if page.evaluate(holds):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"it never came to hold: {holds}")
