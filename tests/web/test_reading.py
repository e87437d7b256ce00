"""What a reader has in hand is not taken away while things happen: a row, a part of a curve, a choice, the focus; and the end of a run is seen."""

from __future__ import annotations

import re
import time

import pytest

pytest.importorskip("playwright", reason="the page's tests need playwright: make test-web")
from playwright.sync_api import expect
from tests.web.driving import Place, arrive, violations

import whet
from whet.store.base import Batch, NewRun, Row
from whet.trial import Phase

pytestmark = pytest.mark.browser


def curve(place: Place, run: str, steps: range) -> None:
    rows = [Row(step=s, time=float(s), values={"loss": 1 / (s + 1)}) for s in steps]
    place.store.runs.ship(run, 0, "metrics", steps.start, steps.stop, Batch(rows=rows))


def test_the_chosen_row_stays_chosen_while_rows_come_above_it(own: Place, page):
    page.goto(f"{own.url}/sweeps/{own.ids['classifier']}")
    arrive(page)
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    grid = page.get_by_role("grid", name="Trials")
    grid.focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    chosen = grid.locator(".row.row-active")
    name = chosen.locator(".opens").inner_text()
    rows = int(grid.get_attribute("aria-rowcount"))
    study = whet.load_study(name="image-classifier", storage=own.store)
    study.tell(study.ask(), 0.5)
    expect(grid).to_have_attribute("aria-rowcount", str(rows + 1))
    expect(chosen.locator(".opens")).to_have_text(name)
    page.keyboard.press("ArrowDown")
    expect(chosen).to_have_count(1)
    expect(chosen.locator(".opens")).not_to_have_text(name)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator("h1 .title-text")).to_have_text(f"image-classifier-{name}")


def test_the_last_points_of_a_run_come_with_its_end(own: Place, page):
    own.store.runs.create(NewRun(id="ending", project="live", name="ending", owner="here"))
    curve(own, "ending", range(10))
    page.goto(f"{own.url}/runs/ending")
    arrive(page)
    expect(page.get_by_role("img", name="loss: last 0.1")).to_be_visible()
    curve(own, "ending", range(10, 40))
    own.store.runs.finish("ending", Phase.FINISHED)
    expect(page.get_by_role("img", name="loss: last 0.025")).to_be_visible()


def test_new_points_leave_the_part_that_one_looks_at(own: Place, page):
    own.store.runs.create(NewRun(id="going", project="live", name="going", owner="here"))
    curve(own, "going", range(100))
    page.goto(f"{own.url}/runs/going")
    arrive(page)
    over = page.locator(".u-over")
    box = over.bounding_box()
    middle = box["y"] + box["height"] / 2

    def step_at_the_right_edge() -> int:
        page.mouse.move(box["x"] + box["width"] - 2, middle)
        hover = page.locator(".chart-hover")
        expect(hover).to_contain_text("step")
        return int(re.search(r"step (\d+)", hover.inner_text()).group(1))

    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=4)
    page.mouse.up()
    edge = step_at_the_right_edge()
    assert 45 <= edge <= 53
    curve(own, "going", range(100, 200))
    expect(page.get_by_role("img", name="loss: last 0.005")).to_be_visible()
    assert step_at_the_right_edge() == edge
    over.dblclick()
    assert step_at_the_right_edge() > 190


def test_no_columns_is_a_choice_that_stays(place: Place, page):
    page.goto(f"{place.url}/runs?project=digits&columns=config.depth")
    grid = page.get_by_role("grid", name="Runs")
    expect(grid.get_by_role("columnheader", name="depth")).to_have_count(1)
    few = grid.get_by_role("columnheader").count()
    page.get_by_role("button", name="Columns").click()
    page.get_by_label("depth", exact=True).click()
    page.wait_for_url(re.compile("columns=(&|$)"))
    page.reload()
    expect(grid.locator(".table-body .row").first).to_be_visible()
    expect(grid.get_by_role("columnheader")).to_have_count(few - 1)


def test_a_dialog_gives_the_focus_back_and_is_not_closed_by_marking_text(own: Place, page):
    page.goto(f"{own.url}/sweeps/{own.ids['classifier']}")
    arrive(page)
    finish = page.get_by_role("button", name="Finish", exact=True)
    finish.click()
    page.get_by_role("button", name="Finish the sweep").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Reopen")).to_be_focused()
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name=re.compile("cap")).click()
    field = page.get_by_role("dialog").get_by_role("textbox")
    box = field.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(5, 5, steps=3)
    page.mouse.up()
    expect(field).to_be_visible()
    page.mouse.click(5, 5)
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_keys_are_turned_off_by_who_speaks_to_the_browser(place: Place, page):
    page.goto(f"{place.url}/runs")
    arrive(page)
    page.keyboard.press("?")
    page.get_by_label("Keys act without Ctrl or Alt").uncheck()
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("?")
    page.keyboard.press("g")
    page.keyboard.press("s")
    time.sleep(0.1)  # nothing is to happen: there is nothing to wait for
    assert page.url.endswith("/runs")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.reload()
    arrive(page)
    page.get_by_role("button", name="Keys").click()
    box = page.get_by_label("Keys act without Ctrl or Alt")
    expect(box).not_to_be_checked()
    box.check()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("s")
    page.wait_for_url(re.compile("/sweeps$"))
