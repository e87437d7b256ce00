"""On paper nothing scrolls: a page of any width is on its sheet as a whole, in light colours, and says what of a table it has."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

pytest.importorskip("playwright", reason="the page's tests need playwright: make test-web")
from playwright.sync_api import expect
from tests.web.driving import Place, arrive

from whet.store.base import TableQuery

pytestmark = pytest.mark.browser

A4 = {"width": 718, "height": 1046}
"""What a sheet has between margins of a centimetre, upright."""

BEYOND = """[...document.querySelectorAll("main .cell, main th, main td, main canvas, main dd, main pre, main p")]
    .filter((one) => { const box = one.getBoundingClientRect(); return box.width && (box.right > innerWidth + 1 || box.left < -1); })
    .map((one) => `${one.className} ${one.textContent.slice(0, 40)} ends at ${one.getBoundingClientRect().right}`)"""


def address(place: Place, name: str) -> str:
    """Return the address of a page that is wider than a sheet."""
    wide = ",".join(f"config.layer{i:03d}.width" for i in range(14))
    sweep = place.ids["classifier"]
    if name == "compare":
        rows = place.store.runs.table(TableQuery(sweep=sweep, limit=8)).rows
        return f"/compare/runs?ids={','.join(row.id for row in rows)}"
    return {
        "runs": f"/runs?columns={wide}",
        "sweep": f"/sweeps/{sweep}",
        "wide": f"/sweeps/{place.ids['wide']}",
        "run": "/runs/withcurves",
    }[name]


def sheets(pdf: bytes) -> list[tuple[float, float]]:
    """Return how wide and high each sheet is."""
    return [(float(w), float(h)) for w, h in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)]


@pytest.mark.parametrize("name", ["runs", "sweep", "wide", "run", "compare"])
def test_nothing_is_cut_by_the_sheet(place: Place, page, name: str):
    page.goto(f"{place.url}{address(place, name)}")
    arrive(page)
    page.set_viewport_size(A4)
    page.emulate_media(media="print")
    expect(page.get_by_role("banner")).not_to_be_visible()
    page.wait_for_timeout(100)  # charts take the width that they have now
    assert page.evaluate(BEYOND) == []


def test_a_wide_table_lies_on_its_side_on_no_more_sheets_than_it_has_rows_for(place: Place, page):
    page.goto(f"{place.url}{address(place, 'runs')}")
    arrive(page)
    made = sheets(page.pdf(format="A4", prefer_css_page_size=True))
    assert 1 <= len(made) <= 2
    assert all(width > height for width, height in made)
    page.goto(f"{place.url}/sweeps/{place.ids['finished']}")
    arrive(page)
    assert all(width < height for width, height in sheets(page.pdf(format="A4", prefer_css_page_size=True)))


def test_it_says_which_rows_are_on_paper(place: Place, page):
    page.goto(f"{place.url}/sweeps/{place.ids['classifier']}")
    arrive(page)
    said = page.locator(".on-paper")
    expect(said).not_to_be_visible()
    grid = page.get_by_role("grid", name="Trials")
    grid.locator(".row").last.scroll_into_view_if_needed()
    grid.focus()
    page.keyboard.press("End")
    expect(grid.locator(".row").last).to_have_attribute("aria-rowindex", "62")
    page.emulate_media(media="print")
    expect(said).to_be_visible()
    first, last, of = re.findall(r"\d+", said.inner_text())
    rows = [int(row.get_attribute("aria-rowindex")) - 1 for row in grid.locator(".table-body .row").all()]
    assert (min(rows), max(rows), int(of)) == (int(first), int(last), 61)
    assert min(rows) > 1  # those in sight, and not what stands at the top
    expect(said).to_contain_text("export")
    page.emulate_media(media="screen")
    expect(said).not_to_be_visible()
    expect(grid.locator(".row").last).to_be_in_viewport()
    page.emulate_media(media="print")
    boxes = [row.bounding_box() for row in grid.locator(".table-body .row").all()]
    assert all(abs(above["y"] + above["height"] - below["y"]) < 1 for above, below in pairwise(boxes))


def test_charts_are_light_on_paper_though_the_page_is_dark(place: Place, page):
    page.emulate_media(color_scheme="dark")
    page.goto(f"{place.url}/sweeps/{place.ids['classifier']}")
    arrive(page)
    corner = "[...document.querySelector('.parallel canvas').getContext('2d').getImageData(1, 1, 1, 1).data].slice(0, 3).join()"
    page.locator(".parallel canvas").wait_for()
    page.wait_for_timeout(300)
    assert page.evaluate(corner) != "255,255,255"
    page.evaluate(f"matchMedia('print').addEventListener('change', () => (window.drawn ??= {corner}))")
    page.pdf()
    assert page.evaluate("drawn") == "255,255,255"  # at once: a sheet is not waited for
