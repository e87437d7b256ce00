"""The rows of a table: which elements draw them, and in which order they stand in the document."""

from __future__ import annotations

import re

import pytest
from tests.web.driving import Place, arrive, until
from tests.web.filling import many

import whet

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.slow]

PLACES = (
    "grid => [...grid.querySelectorAll('.table-body .row')].map((row) => Number(row.getAttribute('aria-rowindex')))"
)
ASCENDS = f"({PLACES})(document.querySelector('[role=grid]')).every((at, i, all) => !i || at > all[i - 1])"
MARK = "grid => grid.querySelectorAll('.table-body .row').forEach((row) => { row.isOld = true; })"
OLD = "grid => [...grid.querySelectorAll('.table-body .row')].filter((row) => row.isOld).length"
COUNT = """
window.moved = 0; // taken out and put back
document.querySelectorAll("[role=grid] .table-body .row").forEach((row) => { row.isOld = true; });
new MutationObserver((all) => all.forEach((one) => { window.moved += [...one.addedNodes].filter((row) => row.isOld).length; })).observe(
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


def test_scrolling_makes_few_elements_and_rest_brings_order(own: Place, page):
    grid = _grid(own, page)
    grid.evaluate(SCROLL)  # there are rows above those in sight, too
    expect(grid.get_by_text("run-00125")).to_be_visible()
    until(page, ASCENDS)
    grid.evaluate(MARK)
    num = grid.locator(".table-body .row").count()
    grid.evaluate(SCROLL)
    assert grid.evaluate(OLD) >= num - 2
    until(page, ASCENDS)
    arrive(page)
    assert grid.evaluate(OLD) >= num - 2


def test_a_press_while_rows_come_to_rest_is_a_click(own: Place, page):
    grid = _grid(own, page)
    box = grid.bounding_box()
    place = (box["x"] + box["width"] / 2, box["y"] + 200)
    page.mouse.move(*place)
    for _ in range(20):
        for _ in range(6):
            page.mouse.wheel(0, 340)
            page.wait_for_timeout(20)
        page.mouse.down()
        if not page.evaluate(ASCENDS):
            break
        page.mouse.move(1, 1)  # too late: they had come to rest; let go of elsewhere, it is no click
        page.mouse.up()
        page.evaluate("getSelection().removeAllRanges()")
        page.mouse.move(*place)
        page.mouse.wheel(0, -340 * 6)
    else:
        pytest.fail("rows were never pressed while they moved")
    page.evaluate(COUNT)
    page.wait_for_timeout(500)
    assert page.evaluate("window.moved") == 0  # what is taken out and put back gets no click
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
    assert page.evaluate("window.moved") == 0


def test_on_paper_rows_stand_in_order_though_they_were_on_the_move(own: Place, page):
    grid = _grid(own, page)
    page.evaluate(f"matchMedia('print').addEventListener('change', () => (window.isOrdered ??= {ASCENDS}))")
    grid.evaluate(SCROLL)
    page.pdf()
    assert page.evaluate("isOrdered")
