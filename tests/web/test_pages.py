"""Every page in a browser, against a server with what it may have to show."""

from __future__ import annotations

import re
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.web.driving import Place, Server, arrive, violations
from tests.web.filling import FILE, HOSTILE, MODEL, many

import whet
from whet.store.base import Batch, Row, SweepState
from whet.store.token import Scope

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.slow]

PATHS = {
    "runs": "/runs",
    "a project's runs": "/runs?project=digits",
    "no run like that": "/runs?filter=number+>+9999",
    "a filter that can't be read": "/runs?filter=loss+<<",
    "run": "/runs/withcurves",
    "config": "/runs/withcurves?tab=config",
    "logs": "/runs/withcurves?tab=logs",
    "files": "/runs/withcurves?tab=files",
    "origin": "/runs/withcurves?tab=origin",
    "a run with NaN": "/runs/notnumbers",
    "a hostile run": "/runs/hostilerun",
    "no such run": "/runs/nosuchrun",
    "sweeps": "/sweeps",
    "sweep": "/sweeps/{classifier}",
    "finished sweep": "/sweeps/{finished}",
    "several metrics": "/sweeps/{several}",
    "all failed": "/sweeps/{failing}",
    "nothing yet": "/sweeps/{pending}",
    "hostile sweep": "/sweeps/{hostile}",
    "200 parameters": "/sweeps/{wide}",
    "no such sweep": "/sweeps/nosuchsweep",
    "no such page": "/sweeps/a/b/c",
}


@pytest.mark.parametrize("name", PATHS)
def test_a_page_has_a_heading_and_axe_finds_nothing_in_light_and_dark(place: Place, page, name: str):
    page.goto(place.url + PATHS[name].format(**place.ids))
    arrive(page)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == []


@pytest.mark.parametrize("name", ["runs", "run", "sweeps", "sweep", "hostile sweep", "a hostile run", "200 parameters"])
def test_on_a_telephone_nothing_but_tables_is_wider_than_the_page(place: Place, page, name: str):
    page.set_viewport_size({"width": 375, "height": 760})
    page.goto(place.url + PATHS[name].format(**place.ids))
    arrive(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert violations(page) == []


def test_the_best_is_the_first_thing_on_a_sweeps_page(place: Place, page):
    sweep = place.store.sweeps.get(place.ids["classifier"])
    page.goto(f"{place.url}/sweeps")
    page.get_by_role("link", name="image-classifier").click()
    shown = page.locator(".hero-number .num")
    shown.wait_for()
    assert float(shown.get_attribute("title")) == pytest.approx(sweep.best_value, rel=1e-12)
    assert float(shown.inner_text()) == pytest.approx(sweep.best_value, rel=1e-3)
    best = place.store.runs.get(sweep.best_run)
    for name, value in best.params.items():
        row = page.locator(".facts.params > div", has=page.get_by_text(name, exact=True))
        text = row.locator("dd").inner_text()
        assert text == value if isinstance(value, str) else float(text) == pytest.approx(value, rel=1e-3)
    assert page.get_by_role("img", name=re.compile("val_loss of .* trials")).locator("canvas").count() == 1


def test_filter_order_and_columns_are_in_the_address_and_survive_a_reload(place: Place, page):
    page.goto(f"{place.url}/runs?project=digits")
    grid = page.get_by_role("grid", name="Runs")
    grid.wait_for()
    box = page.get_by_role("combobox", name="Filter")
    box.fill("config.opt")
    page.get_by_role("option", name="config.optimizer").wait_for()
    box.press("ArrowDown")
    box.press("Enter")
    assert box.input_value() == "config.optimizer "
    box.press_sequentially('== "adam"')
    box.press("Enter")
    page.wait_for_url(re.compile("filter=config.optimizer"))
    page.get_by_role("columnheader", name="result").get_by_role("button").click()
    page.wait_for_url(re.compile("sort=-value"))
    had_depth = grid.get_by_role("columnheader", name="depth").count() == 1
    page.get_by_role("button", name="Columns").click()
    page.get_by_label("depth", exact=True).click()
    page.keyboard.press("Escape")
    page.wait_for_url(re.compile("columns="))
    page.reload()
    grid.wait_for()
    assert page.get_by_role("columnheader", name="result").get_attribute("aria-sort") == "descending"
    head = [one.inner_text().strip() for one in grid.get_by_role("columnheader").all()]
    assert ("depth" in head) is not had_depth
    expect(grid.locator(".table-body .row").nth(3)).to_be_visible()
    cells = [
        row.get_by_role("gridcell").all()[head.index("optimizer")].inner_text()
        for row in grid.locator(".table-body .row").all()
    ]
    assert set(cells) == {"adam"}


def test_a_filter_that_the_server_refuses_says_why_and_what_to_do(place: Place, page):
    page.goto(f"{place.url}/runs")
    box = page.get_by_role("combobox", name="Filter")
    box.fill("val_loss <<")
    box.press("Enter")
    assert "is not an expression" in page.get_by_role("alert").inner_text()
    page.get_by_role("button", name="show all").click()
    page.get_by_role("grid", name="Runs").wait_for()


def test_names_are_text(place: Place, page):
    for path in ("/runs", "/sweeps", f"/sweeps/{place.ids['hostile']}", "/runs/hostilerun"):
        page.goto(place.url + path)
        page.get_by_text("<img src=x onerror=alert(1)>").first.wait_for()
        assert page.locator("main img").count() == 0
    assert HOSTILE.startswith(page.locator("h1 .title-text").inner_text()[:100])


def test_the_keyboard_goes_everywhere(place: Place, page):
    page.goto(f"{place.url}/runs")
    page.get_by_role("grid").wait_for()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    dialog.wait_for()
    assert violations(page) == []
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    page.keyboard.press("g")
    page.keyboard.press("s")
    page.wait_for_url("**/sweeps")
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/runs")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "filter"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.locator(".table-body .row").first.wait_for()
    page.keyboard.press("t")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    name = page.locator(".row.row-active .opens").get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{name}")


def test_any_part_of_many_rows_is_a_key_away_and_one_question(own: Place, page):
    many(own.store, 2500)
    asked: list[tuple[int, int]] = []

    def note(request) -> None:
        query = parse_qs(urlsplit(request.url).query)
        if request.url.partition("?")[0].endswith("/runs") and "pinned" not in request.url and "offset" in query:
            asked.append((int(query["offset"][0]), int(query["limit"][0])))

    page.on("request", note)
    page.goto(f"{own.url}/runs?project=many&sort=created")
    grid = page.get_by_role("grid", name="Runs")
    grid.get_by_text("run-00000").wait_for()
    assert page.get_by_role("status").filter(has_text="2,500 runs").count() == 1
    assert set(asked) == {(0, 100)}
    grid.focus()
    active = grid.locator(".row-active .opens")
    for key, name in (("End", "run-02499"), ("PageUp", None), ("PageDown", "run-02499"), ("Home", "run-00000"), ("PageDown", None), ("PageUp", "run-00000")):  # fmt: skip
        asked.clear()
        page.keyboard.press(key)
        expect(active).to_have_text(name or re.compile("^run-0(2|00)"))
        expect(grid.locator(".row-coming")).to_have_count(0)
        assert len(set(asked)) <= 1, key
        if key == "End":
            ((offset, limit),) = set(asked)
            assert (offset > 2000, limit <= 400) == (True, True)
    asked.clear()
    grid.evaluate("grid => { grid.scrollTop = grid.scrollHeight / 2; }")  # as the scroll bar does
    grid.get_by_text("run-01250").wait_for()
    assert len(set(asked)) == 1
    assert grid.locator(".row").count() < 100


def test_with_shift_rows_are_chosen_that_are_not_here(own: Place, page):
    many(own.store, 600)
    page.goto(f"{own.url}/runs?project=many&sort=created")
    grid = page.get_by_role("grid", name="Runs")
    grid.get_by_label("Choose run-00010").click()
    page.keyboard.press("End")
    expect(grid.locator(".row-active .opens")).to_have_text("run-00599")
    page.keyboard.press("Shift+Space")
    expect(page.get_by_role("region", name="Chosen runs")).to_contain_text("590 runs chosen")
    expect(grid.get_by_label("Choose run-00599")).to_be_checked()
    assert "many000011" in page.url
    page.keyboard.press("Home")
    expect(grid.locator(".row-active .opens")).to_have_text("run-00000")
    expect(grid.get_by_label("Choose run-00009")).not_to_be_checked()


def test_the_row_that_one_is_at_is_told_and_opens_in_a_tab_of_its_own(place: Place, page):
    page.goto(f"{place.url}/runs?project=digits&sort=name")
    grid = page.get_by_role("grid", name="Runs")
    arrive(page)
    grid.focus()
    for key in ("j", "ArrowDown", "k", "j"):
        page.keyboard.press(key)
    told = page.locator(f"[id='{grid.get_attribute('aria-activedescendant')}']")
    expect(told).to_have_role("row")
    link = told.locator("a.opens")
    expect(told).to_have_accessible_name(re.compile(re.escape(link.inner_text().split("\n")[0])))
    expect(told).to_have_attribute("aria-selected", "false")
    page.keyboard.press("Space")
    expect(told).to_have_attribute("aria-selected", "true")
    assert violations(page) == []
    for way in ("keyboard", "mouse"):
        with page.context.expect_page() as opened:
            if way == "keyboard":
                grid.focus()
                page.keyboard.press("Control+Enter")
            else:
                told.get_by_role("gridcell").nth(1).click(modifiers=["Control"])
        opened.value.wait_for_url(f"**{link.get_attribute('href')}")
        opened.value.close()
    assert "/runs?project=digits" in page.url
    grid.evaluate("grid => { grid.scrollTop = grid.scrollHeight; }")
    expect(told).to_have_count(0)
    expect(grid).not_to_have_attribute("aria-activedescendant", re.compile("."))  # nothing is told that is not here
    page.keyboard.press("ArrowDown")
    expect(grid.locator(".row-active")).to_be_visible()


def test_a_dialog_that_was_closed_and_opened_at_once_stays(place: Place, page):
    page.goto(f"{place.url}/sweeps")
    arrive(page)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    # As React does with every effect while one develops: the event of the first close comes after the second opening.
    dialog.evaluate("one => new Promise((told) => { one.addEventListener('close', () => setTimeout(told)); one.close(); one.showModal(); })")  # fmt: skip
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_a_sweep_is_moved_and_the_page_follows(own: Place, page):
    id = own.ids["classifier"]
    page.goto(f"{own.url}/sweeps/{id}")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Resume").wait_for()
    assert own.store.sweeps.get(id).state is SweepState.PAUSED
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Pause").wait_for()
    page.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Go back").click()
    assert own.store.sweeps.get(id).state is SweepState.RUNNING
    page.get_by_role("button", name="Cancel").click()
    dialog.get_by_role("button", name="Cancel the sweep").click()
    page.locator("h1 .state-canceled").wait_for()
    assert own.store.sweeps.get(id).state is SweepState.CANCELED
    id = own.ids["finished"]
    page.goto(f"{own.url}/sweeps/{id}")
    page.get_by_role("button", name="Reopen").click()
    page.get_by_role("button", name="Finish").click()
    page.get_by_role("button", name="Finish the sweep").click()
    page.locator("h1 .state-finished").wait_for()


def _tell(place: Place, value: float) -> None:
    study = whet.load_study(name="image-classifier", storage=place.store)
    study.tell(study.ask(), value)


def test_what_happens_is_seen_at_once_and_after_the_server_was_away(own: Place, page):
    id = own.ids["classifier"]
    page.goto(f"{own.url}/sweeps/{id}")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    shown = page.locator(".hero-number .num")
    _tell(own, 0.03125)
    expect(shown).to_have_text("0.03125")
    own.server.stop()
    expect(page.get_by_role("alert").filter(has_text="does not answer")).to_be_visible()
    expect(shown).to_be_visible()
    _tell(own, 0.02)
    own.server.start()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(shown).to_have_text("0.02")
    _tell(own, 0.01)
    expect(shown).to_have_text("0.01")


EVENTS = """
window.__events = 0;
window.EventSource = class extends window.EventSource {
  constructor(...given) {
    super(...given);
    this.addEventListener("changes", () => (window.__events += 1));
  }
};
"""


def test_an_event_brings_a_new_trial_into_table_and_figures_by_one_question_each(own: Place, page):
    id = own.ids["classifier"]
    page.add_init_script(EVENTS)
    page.goto(f"{own.url}/sweeps/{id}")
    arrive(page)
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    grid = page.get_by_role("grid", name="Trials")
    before = own.store.sweeps.get(id).next_number
    expect(grid).to_have_attribute("aria-rowcount", str(before + 1))
    figure = page.get_by_role("img", name=re.compile("val_loss of .* trials"))
    results = int(re.search(r"of (\d+) trials", figure.get_attribute("aria-label")).group(1))
    greeted = page.evaluate("window.__events")
    expect(page.locator(".hero-number .num")).to_be_visible()
    asked: Counter[str] = Counter()
    page.on("request", lambda request: asked.update([request.url.partition("/api/v1")[2]]))
    study = whet.load_study(name="image-classifier", storage=own.store)
    study.tell(study.ask(), 0.03125)
    expect(grid).to_have_attribute("aria-rowcount", str(before + 2))
    expect(grid.locator(".table-body .row").first).to_contain_text("0.03125")
    expect(page.locator(".hero-number .num")).to_have_text("0.03125")
    expect(figure).to_have_attribute("aria-label", re.compile(f"of {results + 1} trials"))
    events = page.evaluate("window.__events") - greeted
    assert events >= 1
    assert asked
    assert {one: count for one, count in asked.items() if count > events or id not in one} == {}


def test_a_first_answer_that_is_late_does_not_hide_what_happened_since(own: Place, page):
    late: list[object] = []
    page.route("**/stats", lambda route: route.continue_() if late else late.append(route))
    page.goto(f"{own.url}/sweeps/{own.ids['classifier']}")
    expect(page.get_by_role("grid", name="Trials").locator(".row .opens").first).to_be_visible()
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    expect(page.locator(".hero-number")).to_have_count(0)
    _tell(own, 0.03125)
    expect(page.locator(".hero-number .num")).to_have_text("0.03125")


def test_a_token_opens_the_page_where_one_wanted_to_go(own: Place, page):
    token, secret = own.store.tokens.create(Scope.READ, name="reader")
    page.goto(f"{own.url}/sweeps/{own.ids['classifier']}")
    field = page.get_by_label("Token", exact=True)
    field.fill("whet_wrong")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("alert").filter(has_text="does not know this token").wait_for()
    assert violations(page) == []
    field.fill(secret)
    page.get_by_role("button", name="Log in").click()
    page.locator("h1", has_text="image-classifier").wait_for()
    assert page.get_by_role("button", name="Pause").is_disabled()  # it may only look
    page.reload()
    page.locator("h1", has_text="image-classifier").wait_for()
    assert secret not in page.content()
    page.get_by_role("button", name=f"token {token.id}").click()
    page.get_by_role("menuitem", name="Log out").click()
    field.wait_for()


def test_the_reader_chooses_light_or_dark_and_it_stays(place: Place, page):
    page.goto(f"{place.url}/sweeps")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name=re.compile("Colours")).click()
    page.get_by_role("menuitemradio", name="Dark").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    page.locator("h1").wait_for()
    assert page.evaluate(ground) == dark
    page.get_by_role("button", name=re.compile("Colours")).click()
    page.get_by_role("menuitemradio", name="As the system").click()
    assert page.evaluate(ground) == light


def test_curves_are_smoothed_and_scaled_and_the_address_says_so(place: Place, page):
    page.goto(f"{place.url}/runs/withcurves")
    page.get_by_role("img", name="train/loss").locator("canvas").wait_for()
    page.get_by_role("button", name="log", exact=True).click()
    page.get_by_role("button", name="time").click()
    page.get_by_label("smooth").fill("0.5")
    page.wait_for_url(re.compile("(?=.*log=1)(?=.*x=time)(?=.*smooth=0.5)"))
    page.get_by_label("Find a curve").fill("grad")
    expect(page.locator(".plot canvas")).to_have_count(1)
    page.get_by_role("link", name="Logs").click()
    page.get_by_text("epoch 299").wait_for()


def test_curves_begin_with_the_result_and_the_machines_come_last(own: Place, page):
    sweep = own.store.sweeps.get(own.ids["classifier"])
    rows = [
        Row(step=s, time=s, values={"system/cpu": s, "system/load": 1.0, "acc": s, "val_loss": s}) for s in range(3)
    ]
    rows.append(Row(step=3, time=3.0, values={"system/cpu": 3.0, "acc": 3.0}))
    once = Row(step=0, time=0.0, values={"system/one": 1.0})
    own.store.runs.ship(sweep.best_run, 0, "machine", 0, 1, Batch(rows=[*rows, once]))
    page.goto(f"{own.url}/runs/{sweep.best_run}")
    curves = page.get_by_role("region", name="Curves").get_by_role("img")
    expect(curves).to_have_count(4)
    names = [one.get_attribute("aria-label") for one in curves.all()]
    assert [name.partition(":")[0].partition(" ")[0] for name in names] == [
        "val_loss",
        "acc",
        "system/cpu",
        "system/load",
    ]


def test_a_file_is_downloaded_and_one_that_is_elsewhere_is_not_offered(place: Place, page):
    page.goto(f"{place.url}/runs/withcurves?tab=files")
    with page.expect_download() as download:
        page.get_by_role("link", name=FILE, exact=True).click()
    assert download.value.suggested_filename.endswith(".pt")
    with open(download.value.path(), "rb") as file:
        assert file.read() == MODEL
    expect(page.get_by_role("row", name=re.compile("elsewhere.pt"))).to_contain_text("where it ran")
    expect(page.get_by_role("link", name="elsewhere.pt")).to_have_count(0)


def test_a_run_says_how_to_make_it_again(place: Place, page):
    page.goto(f"{place.url}/runs/withcurves")
    again = page.get_by_role("region", name="To run it again")
    expect(again.locator("code")).to_have_text(f"git checkout {'0123abcd' * 5}\ncd digits\npython train.py --lr=0.001")
    expect(again).to_contain_text("not committed")


def test_a_trial_shows_where_it_differs_from_the_best(place: Place, page):
    sweep = place.store.sweeps.get(place.ids["classifier"])
    best = place.store.runs.get(sweep.best_run)
    page.goto(f"{place.url}/sweeps/{sweep.id}?sort=-value")
    page.get_by_role("grid", name="Trials").locator(".row .opens").first.click()
    page.get_by_role("link", name="Config").click()
    table = page.get_by_role("region", name="Unlike the best of its sweep").get_by_role("table")
    other = place.store.runs.get(page.url.partition("/runs/")[2].partition("?")[0])
    for name, value in best.params.items():
        row = table.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name, exact=True))
        expect(row).to_have_count(0 if other.params[name] == value else 1)
    table.get_by_role("link", name=best.name).click()
    expect(page.get_by_text("best of its sweep", exact=True)).to_be_visible()


def test_an_empty_store_teaches_the_first_command(tmp_path, page):
    server = Server(tmp_path).start()
    try:
        page.goto(server.url)
        page.get_by_text("whet run train.py").wait_for()
        assert violations(page) == []
        page.get_by_role("link", name="Sweeps").click()
        page.get_by_text("whet sweep sweep.yaml").wait_for()
        assert violations(page) == []
    finally:
        server.stop()
