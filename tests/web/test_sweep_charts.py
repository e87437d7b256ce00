"""A sweep's charts and controls in a browser."""

from __future__ import annotations

import re

import pytest
from tests.web.driving import Place, arrive, until, violations

from whet.store.base import TableQuery
from whet.trial import Phase

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHOWN = ".charts-body > :is(figure, .small-charts, .scroll, .note)"


def _open(place: Place, page, name: str, query: str = "") -> None:
    page.goto(f"{place.url}/sweeps/{place.ids[name]}{query}")
    page.locator(SHOWN).first.wait_for()


def _settled(page) -> None:
    """Wait until nothing above moves the chart any more."""
    page.locator(".two canvas").first.wait_for()
    page.locator(".bars li").first.wait_for()
    page.locator(".table-body .row").first.wait_for()
    page.locator(".parallel").scroll_into_view_if_needed()


def _brush(page, axis: str, begin: float, end: float) -> None:
    """Drag along an axis, from one share of its length (from above) to another."""
    _settled(page)
    strip = page.locator(f'.parallel-strip[data-axis="{axis}"]').bounding_box()
    x, top, high = strip["x"] + strip["width"] / 2, strip["y"] + 6, strip["height"] - 12
    page.mouse.move(x, top + begin * high)
    page.mouse.down()
    for i in range(1, 6):
        page.mouse.move(x, top + (begin + (end - begin) * i / 5) * high)
    page.mouse.up()


def _matching(place: Place, page, name: str) -> int:
    """Return how many runs the filter in the page's filter box finds."""
    query = TableQuery(sweep=place.ids[name], filter=page.get_by_role("combobox", name="Filter").input_value())
    return place.store.runs.table(query).total


@pytest.mark.parametrize("name", ["classifier", "failing", "wide", "several"])
def test_every_chart_shows_something_and_axe_finds_nothing(place: Place, page, name: str):
    _open(place, page, name)
    page.set_viewport_size({"width": 375, "height": 760})
    tabs = page.get_by_role("navigation", name="Charts").get_by_role("link")
    for i in range(tabs.count()):
        tabs.nth(i).click()
        page.locator(SHOWN).first.wait_for()
        for scheme in ("light", "dark") if name == "classifier" else ("light",):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(150)  # colours change gently
            assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        assert page.locator(".charts .status-error").count() == 0


def test_a_sweep_without_trials_has_no_charts(place: Place, page):
    page.goto(f"{place.url}/sweeps/{place.ids['hostile']}?chart=contour")
    page.get_by_text("No trials yet").wait_for()
    assert page.locator(".charts").count() == 0


def test_ranges_on_axes_filter_the_table_through_the_address(place: Place, page):
    _open(place, page, "classifier")
    before = _matching(place, page, "classifier")
    _brush(page, "lr", 0.2, 0.6)
    page.wait_for_url(re.compile(r"filter=[^&]*params.lr"))
    one = _matching(place, page, "classifier")
    page.locator(".tools-count", has_text=f"{one} trials").wait_for()
    assert 0 < one < before
    _brush(page, "optimizer", 0.9, 1.0)
    page.wait_for_url(re.compile(r"filter=[^&]*params.optimizer"))
    both = _matching(place, page, "classifier")
    page.locator(".tools-count", has_text=re.compile(rf"^{both} trial")).wait_for()
    assert 0 < both < one
    page.reload()
    page.locator(".parallel-brush").nth(1).wait_for()
    page.get_by_role("button", name="Clear", exact=True).click()
    page.locator(".tools-count", has_text=f"{before} trials").wait_for()
    assert "filter" not in page.url


def test_a_filter_that_was_written_is_seen_on_the_axes_and_what_else_it_says_stays(place: Place, page):
    _open(place, page, "classifier")
    box = page.get_by_role("combobox", name="Filter")
    box.fill("params.lr <= 0.01 and not stopped")
    box.press("Enter")
    page.locator(".parallel-brush").wait_for()
    page.get_by_text("Ranges as a table").click()
    assert page.get_by_label("lr to").input_value() == "0.01"
    page.get_by_label("dropout from").fill("0.1")
    page.get_by_label("dropout from").press("Enter")
    page.get_by_label("adam", exact=True).check()
    until(page, "document.querySelectorAll('.parallel-brush').length === 3")
    assert box.input_value().startswith("not stopped and ")
    assert {"params.lr <= 0.01", "params.dropout >= 0.1", 'params.optimizer in ["adam"]'} < set(
        box.input_value().split(" and ")
    )


def test_axes_are_turned_and_moved_and_the_address_says_so(place: Place, page):
    _open(place, page, "classifier")
    names = page.locator(".parallel-name")
    first = names.nth(0).locator("span").first.inner_text()
    names.nth(0).click()
    page.wait_for_url(re.compile(rf"flip={first}"))
    names.nth(0).press("ArrowRight")
    page.wait_for_url(re.compile(rf"axes=[^,]+,{first},"))
    page.reload()
    page.get_by_role("button", name=re.compile(rf"Axis {first}, upside down")).wait_for()
    assert names.nth(1).locator("span").first.inner_text() == first
    _settled(page)
    here, there = names.nth(1).bounding_box(), names.nth(3).bounding_box()
    page.mouse.move(here["x"] + here["width"] / 2, here["y"] + 8)
    page.mouse.down()
    for i in range(1, 9):
        page.mouse.move(here["x"] + here["width"] / 2 + (there["x"] - here["x"]) * i / 8, here["y"] + 8)
    page.mouse.up()
    page.wait_for_url(re.compile(rf"axes=[^,]+,[^,]+,[^,]+,{first},"))
    assert f"flip={first}" in page.url  # a drag is no click


def test_a_line_names_its_trial_and_opens_it(place: Place, page):
    _open(place, page, "classifier")
    _settled(page)
    strip = page.locator(".parallel-strip").last.bounding_box()
    said = page.locator(".parallel .chart-hover")
    for i in range(60):  # beside the last axis, upwards from the best
        page.mouse.move(strip["x"] - 6, strip["y"] + strip["height"] - 8 - 4 * i)
        if said.inner_text():
            break
    number = int(re.match(r"trial (\d+): ", said.inner_text())[1])
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url("**/runs/*")
    assert place.store.runs.get(page.url.rpartition("/")[2].partition("?")[0]).number == number


def test_the_contour_of_a_pair_that_is_chosen(place: Place, page):
    _open(place, page, "classifier", "?chart=contour")
    page.get_by_label("across").select_option("depth")
    page.wait_for_url(re.compile("params=depth,"))
    page.get_by_role("img", name=re.compile("val_loss over depth and")).wait_for()


def test_trials_that_were_stopped_say_why_and_are_found(place: Place, page):
    _open(place, page, "classifier", "?chart=stopping")
    page.get_by_role("table", name="Why trials were stopped").get_by_text("worse than the median").first.wait_for()
    page.get_by_role("button", name="All of them in the table").click()
    page.wait_for_url(re.compile("filter=stopped"))


def test_a_cap_is_changed_and_one_that_is_none_says_why(own: Place, page):
    _open(own, page, "classifier")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Change the cap").click()
    dialog = page.get_by_role("dialog", name="Change the cap")
    dialog.get_by_label("cap").fill("0")
    dialog.get_by_role("button", name="Change it").click()
    dialog.get_by_role("alert").wait_for()
    assert violations(page) == []
    dialog.get_by_label("cap").fill("250")
    dialog.get_by_label("cap").press("Enter")
    dialog.wait_for(state="detached")
    page.locator(".hero-side .progress", has_text="/ 250").wait_for()
    assert own.store.sweeps.get(own.ids["classifier"]).cap == 250


def test_a_configuration_is_queued_and_one_that_is_not_legal_says_why(own: Place, page):
    id = own.ids["classifier"]
    _open(own, page, "classifier")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Add a configuration").click()
    dialog = page.get_by_role("dialog", name="Add a configuration")
    dialog.get_by_label("lr", exact=True).fill("12")
    dialog.get_by_role("button", name="Add it").click()
    assert "lr=12 is outside" in dialog.get_by_role("alert").inner_text()
    dialog.get_by_label("lr", exact=True).fill("2e-3")
    dialog.get_by_label("optimizer").select_option("sgd")
    dialog.get_by_label("depth").fill("")
    dialog.get_by_role("button", name="Add it").click()
    dialog.wait_for(state="detached")
    page.locator(".tally", has_text="1 queued").wait_for()
    number = own.store.sweeps.get(id).next_number - 1
    found = own.store.runs.table(TableQuery(sweep=id, filter=f"number == {number}")).rows[0]
    run = own.store.runs.get(found.id)
    assert run.phase is Phase.PENDING
    assert (run.params["lr"], run.params["optimizer"]) == (2e-3, "sgd")


def test_failed_trials_are_run_again(own: Place, page):
    _open(own, page, "failing")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Run failed trials again").click()
    page.get_by_role("button", name="Run them again").click()
    page.get_by_text("4 trials queued again").wait_for()
    page.locator(".tally", has_text="4 queued").wait_for()


@pytest.mark.parametrize(("word", "end"), [("CSV", "csv"), ("JSON Lines", "jsonl")])
def test_the_runs_are_exported(place: Place, page, word: str, end: str):
    _open(place, page, "classifier")
    page.get_by_role("button", name="More").click()
    with page.expect_download() as waited:
        page.get_by_role("menuitem", name=f"Export as {word}").click()
    assert waited.value.suggested_filename == f"{place.ids['classifier']}.{end}"
    lines = waited.value.path().read_text().splitlines()
    assert len(lines) == place.store.sweeps.get(place.ids["classifier"]).next_number + (end == "csv")


def test_every_trial_that_stopped_or_failed_is_marked_however_many(place: Place, page):
    marks = {"stopped": [[i, 0.1 + i / 1000] for i in range(100, 4100)], "failed": list(range(4100, 5300))}
    page.route("**/marks", lambda route: route.fulfill(json=marks))

    def counted(route) -> None:
        response = route.fetch()
        body = response.json()
        route.fulfill(response=response, json={**body, "counts": {**body["counts"], "stopped": 4000, "failed": 1200}})

    page.route("**/stats", counted)
    page.goto(f"{place.url}/sweeps/{place.ids['classifier']}")
    arrive(page)
    expect(page.locator(".key-triangle")).to_have_text("stopped early (4,000)")
    expect(page.locator(".key-cross")).to_have_text("failed (1,200)")
    page.locator(".two .u-over").hover()  # at its middle
    expect(page.locator(".two .chart-hover")).to_contain_text(re.compile(r"trial 2\d\d\d: stopped early at"))


def test_the_list_says_of_what_its_lines_are(place: Place, page):
    page.goto(f"{place.url}/sweeps")
    arrive(page)
    front = "what the front of latency_ms and accuracy covers (hypervolume): from "
    expect(page.get_by_role("img", name=re.compile(f"^{re.escape(front)}.* up to "))).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("^best val_loss: from .* down to "))).to_have_count(2)
