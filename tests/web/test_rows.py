"""The rows of a table: which elements draw them, and in which order they stand in the document."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from tests.web.driving import Place, arrive, until
from tests.web.filling import many

import whet

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.slow]

PLACES = (
    "grid => [...grid.querySelectorAll('.table-body .row')].map((row) => Number(row.getAttribute('aria-rowindex')))"
)
MARK = "grid => grid.querySelectorAll('.table-body .row').forEach((row) => { row.isOld = true; })"
OLD = "grid => [...grid.querySelectorAll('.table-body .row')].filter((row) => row.isOld).length"
COUNT = """
window.added = 0;
new MutationObserver((all) => all.forEach((one) => { window.added += one.addedNodes.length; })).observe(
  document.querySelector("[role=grid] .table-body"), { childList: true });
"""
SCROLL = """(grid) => new Promise((done) => {
  let left = 12;
  const next = () => {
    if (!left--) return done();
    grid.scrollTop += 340;
    requestAnimationFrame(next);
  };
  next();
})"""


def _grid(own: Place, page):
    many(own.store, 600)
    page.goto(f"{own.url}/runs?project=many&sort=created")
    grid = page.get_by_role("grid", name="Runs")
    grid.get_by_text("run-00000").wait_for()
    arrive(page)
    return grid


def _ascends(places: list[int]) -> bool:
    return all(above < below for above, below in pairwise(places))


def test_scrolling_makes_few_elements_and_rest_brings_order(own: Place, page):
    grid = _grid(own, page)
    grid.evaluate(SCROLL)  # there are rows above those in sight, too
    expect(grid.get_by_text("run-00125")).to_be_visible()
    page.wait_for_timeout(400)
    assert _ascends(grid.evaluate(PLACES))
    grid.evaluate(MARK)
    num = grid.locator(".table-body .row").count()
    grid.evaluate(SCROLL)
    assert grid.evaluate(OLD) >= num - 2
    until(page, f"({PLACES})(document.querySelector('[role=grid]')).every((at, i, all) => !i || at > all[i - 1])")
    assert grid.evaluate(OLD) >= num - 2


def test_a_press_while_rows_come_to_rest_is_a_click(own: Place, page):
    grid = _grid(own, page)
    box = grid.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 200)
    for _ in range(6):
        page.mouse.wheel(0, 340)
        page.wait_for_timeout(20)
    page.mouse.down()
    page.evaluate(COUNT)
    assert not _ascends(grid.evaluate(PLACES))
    page.wait_for_timeout(500)
    assert page.evaluate("window.added") == 0  # what is taken out and put back gets no click
    page.mouse.up()
    page.wait_for_url("**/runs/many*")


def test_a_new_row_leaves_the_others_where_they_are(own: Place, page):
    id = own.ids["classifier"]
    page.goto(f"{own.url}/sweeps/{id}")
    arrive(page)
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    grid = page.get_by_role("grid", name="Trials")
    count = int(grid.get_attribute("aria-rowcount"))
    page.evaluate(COUNT)
    study = whet.load_study(name="image-classifier", storage=own.store)
    study.tell(study.ask(), 0.03125)
    expect(grid).to_have_attribute("aria-rowcount", str(count + 1))
    expect(grid.locator(".table-body .row").first).to_contain_text(re.compile("finished.*0.03125"))
    assert page.evaluate("window.added") == 1


def test_on_paper_rows_stand_in_order_though_they_were_on_the_move(own: Place, page):
    grid = _grid(own, page)
    grid.evaluate(SCROLL)
    page.emulate_media(media="print")
    assert _ascends(grid.evaluate(PLACES))
