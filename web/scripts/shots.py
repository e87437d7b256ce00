"""Take pictures of every page, light and dark, 1440 and 375 wide, of what is in a store: those in ``docs/images``.

    make demo && .venv/bin/python web/scripts/sweeps.py && .venv/bin/python web/scripts/shots.py [--store URL] [--out DIR] [--all]

The store (default: that of the demo) must have a sweep with a finished trial; sweeps are compared where the newest one's project has several. Wide pictures are one per page and scheme, narrow ones stand
side by side in one per scheme; with ``--all`` each is kept by itself as well. Needs `make ui`, Chromium, and the extras browser and dev.
"""

from __future__ import annotations

import argparse
import io
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import expect, sync_playwright

from whet.server.app import application
from whet.store import open_store
from whet.store.base import TableQuery
from whet.testing.serving import serving

WIDE, NARROW, GAP, COLOURS = (1440, 1000), (375, 812), 24, 128
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
SCHEMES = ("light", "dark")


def pages(store: Any) -> dict[str, str]:
    """Return the address of each page: of the sweep with the most trials, and of its best runs. After ``@`` stands what is scrolled to."""
    sweeps = [one for one in store.sweeps.all() if one.best_run]
    sweep = max(sweeps, key=lambda one: one.next_number)
    best = store.runs.table(TableQuery(sweep=sweep.id, sort="value", limit=4)).rows
    found = {
        "sweep": f"/sweeps/{sweep.id}",
        "charts": f"/sweeps/{sweep.id}@.parallel",
        "runs": "/runs",
        "run": f"/runs/{sweep.best_run}",
        "sweeps": "/sweeps",
        "new": f"/sweeps/new?from=run&run={sweep.best_run}",
        "compare-runs": f"/compare/runs?ids={','.join(row.id for row in best)}",
    }
    alike = [one for one in sweeps if one.project == sweeps[0].project]
    if len(alike) > 1:
        found["compare-sweeps"] = f"/compare/sweeps?ids={','.join(one.id for one in alike[:6])}"
    return found


def shoot(browser: Any, url: str, size: tuple[int, int], scheme: str, scale: float) -> Image.Image:
    """Return the picture of a page whose parts have all come."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=scale,
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    page = context.new_page()
    asked: set[Any] = set()
    page.on("request", lambda one: None if one.resource_type == "eventsource" else asked.add(one))
    page.on("requestfinished", lambda one: asked.discard(one))
    page.on("requestfailed", lambda one: asked.discard(one))
    address, _, place = url.partition("@")
    page.goto(address)
    expect(page.locator("main h1")).to_be_visible()
    page.wait_for_timeout(1000)
    while asked:  # an answer may lead to a further question, and is drawn a moment after it came
        page.wait_for_timeout(1000)
    expect(page.locator(".loading, .row-coming")).to_have_count(0)
    if place:
        page.locator(place).first.scroll_into_view_if_needed()
        page.locator(place).first.evaluate("(one) => window.scrollBy(0, one.getBoundingClientRect().top - 120)")
        page.wait_for_timeout(1000)
    taken = page.screenshot()
    context.close()
    return Image.open(io.BytesIO(taken)).convert("RGB")


def save(picture: Image.Image, path: Path) -> None:
    """Write a PNG with few colours, and say how large it is."""
    few = picture.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    print(f"{path}  {picture.width} × {picture.height}  {path.stat().st_size / 1000:.0f} kB")


def beside(pictures: list[Image.Image], scheme: str) -> Image.Image:
    """Return pictures side by side."""
    width = sum(one.width for one in pictures) + GAP * (len(pictures) + 1)
    ground = "#e5e5e5" if scheme == "light" else "#000000"
    whole = Image.new("RGB", (width, max(one.height for one in pictures) + 2 * GAP), ground)
    at = GAP
    for one in pictures:
        whole.paste(one, (at, GAP))
        at += one.width + GAP
    return whole


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default=".whet/whet.db", help="where the runs are (default .whet/whet.db)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "docs" / "images")
    parser.add_argument("--all", action="store_true", help="each narrow picture by itself as well")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    chromium = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if chromium is None:
        raise SystemExit("no Chromium here: apt-get install chromium")
    expect.set_options(timeout=60_000)
    with closing(open_store(given.store)) as store, serving(application(store)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in SCHEMES:
            narrow = []
            for name, path in pages(store).items():
                save(shoot(browser, f"{url}{path}", WIDE, scheme, 1), given.out / f"page-{name}-{scheme}.png")
                narrow.append(shoot(browser, f"{url}{path}", NARROW, scheme, 1))
                if given.all:
                    save(narrow[-1], given.out / f"page-{name}-narrow-{scheme}.png")
            save(beside(narrow, scheme), given.out / f"page-narrow-{scheme}.png")
        browser.close()


if __name__ == "__main__":
    main()
