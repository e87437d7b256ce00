"""Runs and sweeps beside each other in a browser: chosen in tables, compared, grouped, tagged, deleted."""

from __future__ import annotations

import contextlib
import json
import math
import random
import re
from collections.abc import Iterator

import pytest
from tests.web.driving import Place, arrive, violations
from tests.web.filling import HOSTILE, many

import whet
from whet.store import Store
from whet.store.base import Batch, NewRun, Row, TableQuery
from whet.trial import Phase

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.slow]

NETS = [f"net{i:02d}" for i in range(24)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with contextlib.closing(Place(tmp_path_factory.mktemp("place"))) as made:
        _nets(made.store)
        made.ids |= _methods(made.store)
        yield made


def _nets(store: Store) -> None:
    """Runs outside sweeps: net00 is the best by its accuracy; one diverges, two have one name, one has an unkind one."""
    draw = random.Random(5)
    for i, id in enumerate(NETS):
        lr, name = 0.1 / (i + 1), {3: "net 2", 4: HOSTILE}.get(i, f"net {i}")
        config = {"lr": lr, "optimizer": ["adam", "sgd"][i % 2], "model": {"depth": 18 + i % 3}, "dataset": "digits"}
        store.runs.create(NewRun(id=id, project="nets", name=name, owner="", config=config))
        rows = [
            Row(
                step=step,
                time=1.79e9 + 3600 * i + step,
                values={
                    "val_loss": math.nan if i == 5 else math.exp(-step * lr) + 0.01 * draw.random(),
                    "val_acc": 1 - math.exp(-step * lr),
                    "epoch": float(step // 5),
                },
            )
            for step in range(40)
        ]
        store.runs.ship(id, 0, "spool", 0, 1, Batch(rows=rows))
        if i != 7:
            store.runs.finish(id, Phase.FAILED if i == 5 else Phase.FINISHED, "loss is NaN" if i == 5 else "")


def _methods(store: Store) -> dict[str, str]:
    """Two methods with two seeds each, whose spaces overlap in a half."""
    ids, draw = {}, random.Random(3)
    for method, seed in (("random", 0), ("random", 1), ("sobol", 0), ("sobol", 1)):
        high = 1.0 if method == "random" else 0.5
        space = {"x": {"min": 0.0, "max": high}, **({"y": {"min": 0, "max": 9}} if method == "sobol" else {})}
        study = whet.create_study(name=f"{method}-{seed}", project="methods", storage=store, method=method, seed=seed, metrics=["loss"], space=space)  # fmt: skip
        for _ in range(12):
            trial = study.ask()
            study.tell(trial, (trial.params["x"] - 0.3) ** 2 + 0.01 * draw.random())
        ids[study.name] = study.id
    return ids


METHODS = ",".join(f"{{{method}-{seed}}}" for method in ("random", "sobol") for seed in (0, 1))
PATHS = {
    "no runs": "/compare/runs",
    "one run": "/compare/runs?ids=net00",
    "three runs": "/compare/runs?ids=net00,net01,net05",
    "twenty runs": "/compare/runs?ids=" + ",".join(NETS[:20]),
    "unkind runs": "/compare/runs?ids=withcurves,notnumbers,hostilerun,net04,gone",
    "runs that are gone": "/compare/runs?ids=gone,gone2",
    "no sweeps": "/compare/sweeps",
    "methods": f"/compare/sweeps?ids={METHODS}",
    "unkind sweeps": "/compare/sweeps?ids={hostile},{failing},gone",
    "sweeps of two metrics": "/compare/sweeps?ids={classifier},{several}",
    "chosen runs": "/runs?project=nets&chosen=net00,net01,net22",
    "groups": '/runs?project=nets&by=config.optimizer&open="adam"',
    "groups by tag": "/runs?by=tags",
    "chosen sweeps": f"/sweeps?chosen={METHODS}",
}


@pytest.mark.parametrize("name", PATHS)
def test_axe_finds_nothing_in_light_and_dark_and_nothing_but_tables_is_wide(place: Place, page, name: str):
    page.goto(place.url + PATHS[name].format(**place.ids))
    arrive(page)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == []
    page.set_viewport_size({"width": 375, "height": 760})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_runs_are_chosen_by_click_shift_and_keyboard_and_compared(place: Place, page):
    page.goto(f"{place.url}/runs?project=nets&sort=name")
    arrive(page)
    bar = page.get_by_role("region", name="Chosen runs")
    expect(bar).to_have_count(0)
    page.get_by_label("Choose net 0", exact=True).click()
    expect(bar).to_contain_text("1 run chosen")
    page.get_by_label("Choose net 11").click(modifiers=["Shift"])
    expect(bar).to_contain_text("4 runs chosen")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(bar).to_contain_text("5 runs chosen")
    page.keyboard.press("Space")
    expect(bar).to_contain_text("4 runs chosen")
    page.reload()
    expect(bar).to_contain_text("4 runs chosen")
    expect(page.get_by_label("Choose net 10")).to_be_checked()
    bar.get_by_role("link", name="Compare").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare 4 runs")
    assert set(page.url.partition("ids=")[2].split(",")) == {"net00", "net01", "net10", "net11"}
    page.get_by_role("link", name="Choose others").click()
    expect(bar).to_contain_text("4 runs chosen")
    bar.get_by_role("button", name="Choose none").click()
    expect(bar).to_have_count(0)
    assert "chosen" not in page.url


def test_the_best_is_marked_and_what_differs_comes_first(place: Place, page):
    page.goto(f"{place.url}/compare/runs?ids=net00,net02,net05")
    arrive(page)
    results = page.get_by_role("region", name="Results side by side")
    row = results.get_by_role("row").filter(has=page.get_by_role("rowheader", name="val_acc"))
    expect(row.get_by_role("cell").first.get_by_role("img", name="best")).to_be_visible()
    expect(row.get_by_role("img", name="best")).to_have_count(1)
    expect(results).to_contain_text("NaN")
    config = page.get_by_role("region", name="Configurations side by side")
    assert config.get_by_role("rowheader").all_inner_texts() == ["lr", "optimizer", "model.depth", "dataset"]
    page.get_by_label("only differences").last.check()
    expect(config.get_by_role("rowheader")).to_have_text(["lr", "optimizer", "model.depth"])
    assert "diff=1" in page.url


def test_curves_of_all_runs_are_in_one_chart_each(place: Place, page):
    asked: list[dict] = []
    page.on("request", lambda one: asked.append(json.loads(one.post_data)) if "metrics:query" in one.url else None)
    page.goto(f"{place.url}/compare/runs?ids=net00,net01,net02,net03")
    arrive(page)
    charts = page.locator(".curves figure")
    expect(charts).to_have_count(3)
    expect(charts.first.get_by_role("img")).to_have_attribute("aria-label", "val_acc: 4 curves")
    legend = page.get_by_role("list", name="Lines")
    expect(legend.get_by_role("button", name="net02 · net 2", exact=True)).to_be_visible()  # two have this name
    legend.get_by_role("button", name="net 0", exact=True).click()
    expect(charts.first.get_by_role("img")).to_have_attribute("aria-label", "val_acc: 3 curves")
    assert "hide=net00" in page.url
    page.get_by_role("button", name="epoch").click()
    expect(charts).to_have_count(2)  # epochs over epochs say nothing
    page.get_by_role("button", name="log").click()
    page.get_by_role("button", name="time").click()
    expect(charts).to_have_count(3)
    assert {"x=time", "log=1"} <= set(page.url.partition("?")[2].split("&"))
    page.get_by_role("button", name="Leave out net 1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare 3 runs")
    charts.first.locator(".u-over").hover(position={"x": 60, "y": 60})
    expect(charts.first.locator(".chart-hover")).not_to_be_empty()
    assert len(asked) <= 4  # names once, time once, and what was left out


def test_over_time_curves_begin_with_their_runs(own: Place, page):
    for i, late in enumerate((300, 900)):
        run = own.store.runs.create(NewRun(id=f"late{i}", project="late", name=f"late {i}", owner=""))
        rows = [Row(step=s, time=run.started + late + s, values={"loss": 1.0 / (s + 1 + i)}) for s in range(40)]
        own.store.runs.ship(run.id, 0, "spool", 0, 1, Batch(rows=rows))
        own.store.runs.finish(run.id, Phase.FINISHED)
    page.goto(f"{own.url}/compare/runs?ids=late0,late1&x=time")
    arrive(page)
    over = page.locator(".u-over").first
    width = over.bounding_box()["width"]
    hover = page.locator(".chart-hover").first
    over.hover(position={"x": 2, "y": 60})
    expect(hover).to_have_text(re.compile(r"^5 min .*: late 0 "))
    expect(hover).not_to_contain_text("late 1")  # which has nothing there
    over.hover(position={"x": width - 2, "y": 60})
    expect(hover).to_have_text(re.compile(r"^15 min.*: late 1 "))
    expect(hover).not_to_contain_text("late 0")


def test_more_than_twenty_runs_are_said(place: Place, page):
    page.goto(f"{place.url}/compare/runs?ids={','.join(NETS)}")
    arrive(page)
    expect(page.get_by_text("24 runs are asked for, and 20 can be told apart")).to_be_visible()
    expect(page.get_by_role("list", name="Lines").get_by_role("listitem")).to_have_count(20)


def test_a_run_is_compared_from_its_page(place: Place, page):
    page.goto(f"{place.url}/runs/net00")
    arrive(page)
    page.get_by_role("button", name="Compare with").click()
    page.get_by_role("menuitem", name="other runs, from the table").click()
    page.get_by_label("Choose net 1", exact=True).click()
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare 2 runs")


def test_trials_of_a_sweep_are_chosen_on_its_page(place: Place, page):
    page.goto(f"{place.url}/sweeps/{place.ids['random-0']}?sort=value")
    arrive(page)
    for box in page.get_by_role("grid", name="Trials").get_by_role("checkbox").all()[:2]:
        box.click()
    page.get_by_role("region", name="Chosen runs").get_by_role("link", name="Compare").click()
    expect(page.get_by_role("region", name="Results side by side")).to_contain_text("loss")


def test_sweeps_are_chosen_and_compared_by_method(place: Place, page):
    page.goto(f"{place.url}/sweeps?project=methods&sort=name")
    arrive(page)
    expect(page.locator(".spark")).to_have_count(4)
    expect(page.locator(".spark").first).to_have_attribute("aria-label", re.compile("down to|since the first"))
    page.get_by_label("Choose random-0").click()
    page.get_by_label("Choose sobol-1").click(modifiers=["Shift"])
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare 4 sweeps")
    lines = page.get_by_role("list", name="Lines").get_by_role("listitem")
    expect(lines).to_have_count(2)  # two seeds of each method
    page.get_by_role("button", name="each", exact=True).click()
    expect(lines).to_have_count(4)
    page.get_by_role("button", name="behind the best").click()
    page.get_by_role("button", name="log").click()
    assert {"show=behind", "log=1", "each=1"} <= set(page.url.partition("?")[2].split("&"))
    spaces = page.get_by_role("region", name="Spaces side by side")
    expect(spaces.get_by_role("row").filter(has=page.get_by_role("rowheader", name="x"))).to_contain_text("50 %")
    expect(spaces.get_by_role("row").filter(has=page.get_by_role("rowheader", name="y"))).to_contain_text("not there")
    best = min(place.store.sweeps.get(place.ids[name]).best_value for name in ("random-0", "random-1", "sobol-0", "sobol-1"))  # fmt: skip
    row = page.get_by_role("region", name="Sweeps side by side").get_by_role("row").nth(1)
    assert float(row.locator("strong .num").get_attribute("title")) == pytest.approx(best)


def test_a_sweep_that_is_gone_takes_none_of_the_others_along(place: Place, page):
    page.goto(f"{place.url}/compare/sweeps?ids={place.ids['random-0']},gone,{place.ids['sobol-0']}")
    arrive(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare 2 sweeps")
    note = page.get_by_role("status").filter(has_text="One of the sweeps is not there (any more): gone.")
    note.get_by_role("button", name="Leave out").click()
    expect(note).to_have_count(0)
    assert "gone" not in page.url
    page.goto(f"{place.url}/compare/sweeps?ids=gone")
    expect(page.get_by_role("alert")).to_contain_text("gone")


def test_groups_are_asked_for_again_where_runs_may_come_and_a_sweep_tells_of_its_own(place: Place, page):
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "runs:groups" in one.url else None)
    page.clock.install()
    for path, grows in ((f"/sweeps/{place.ids['random-0']}?by=state", False), ("/runs?project=nets&by=state", True)):
        page.goto(place.url + path)
        page.get_by_role("grid", name="Groups of runs").wait_for()
        before = len(asked)
        page.clock.run_for(20_000)
        page.wait_for_load_state("networkidle")
        assert (len(asked) > before) is grows, path


def test_with_shift_all_from_the_row_chosen_last_wherever_it_is_by_now(own: Place, page):
    page.goto(f"{own.url}/sweeps/{own.ids['classifier']}")
    arrive(page)
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    grid = page.get_by_role("grid", name="Trials")
    bar = page.get_by_role("region", name="Chosen runs")
    boxes = grid.get_by_role("checkbox")
    boxes.nth(1).click()
    expect(bar).to_contain_text("1 trial chosen")
    rows = int(grid.get_attribute("aria-rowcount"))
    study = whet.load_study(name="image-classifier", storage=own.store)
    study.tell(study.ask(), 0.5)
    expect(grid).to_have_attribute("aria-rowcount", str(rows + 1))
    expect(boxes.nth(2)).to_be_checked()  # it has moved down
    boxes.nth(4).click(modifiers=["Shift"])
    expect(bar).to_contain_text("3 trials chosen")
    expect(boxes.nth(1)).not_to_be_checked()


def test_deletion_knows_of_runs_that_no_row_shows(own: Place, page):
    study = whet.load_study(name="image-classifier", storage=own.store)
    (best,) = [row.id for row in own.store.runs.table(TableQuery(sweep=study.id, limit=1, sort="value")).rows]
    for i in range(3):
        own.store.runs.create(NewRun(id=f"own{i}", project="own" if i else "far", name=f"own {i}", owner=""))
    own.store.runs.finish("own1", Phase.FINISHED)
    own.store.runs.finish("own2", Phase.FINISHED)
    page.goto(f"{own.url}/runs?project=own&chosen=own0,own1,own2,{best},gone")
    arrive(page)
    bar = page.get_by_role("region", name="Chosen runs")
    expect(bar).to_contain_text("1 of them not there any more")
    bar.get_by_role("button", name="Delete …").click()
    dialog = page.get_by_role("dialog", name="Delete 2 runs?")
    expect(dialog).to_contain_text("1 run still running stays")
    expect(dialog).to_contain_text("1 trial of sweeps stays")
    assert violations(page) == []
    dialog.get_by_role("button", name="Delete 2 runs").click()
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    expect(bar).to_contain_text("2 runs chosen")  # which are elsewhere
    assert "own" not in own.store.runs.projects()


def test_a_run_that_is_pinned_elsewhere_stands_first_and_once(own: Place, page):
    many(own.store, 150)
    page.goto(f"{own.url}/runs?project=many&sort=created")
    rows = page.locator(".table-body .row")
    expect(rows.first).to_contain_text("run-00000")
    own.store.runs.tag(["many000120", "many000003"], add=("pinned",))
    expect(rows.nth(0)).to_contain_text("run-00003")
    expect(rows.nth(1)).to_contain_text("run-00120")
    expect(rows.nth(2)).to_contain_text("run-00000")
    expect(page.get_by_role("status").filter(has_text="150 runs")).to_be_visible()
    expect(rows.filter(has_text="run-00003")).to_have_count(1)
    page.get_by_role("grid").focus()
    page.keyboard.press("End")
    expect(rows.last).to_contain_text("run-00149")
    page.keyboard.press("Home")
    own.store.runs.tag([f"many{i:06d}" for i in range(130)], add=("pinned",))
    expect(rows.nth(2)).to_contain_text("run-00002")
    expect(page.get_by_role("status").filter(has_text="150 runs")).to_be_visible()
    for key in ("PageDown",) * 6:
        page.keyboard.press(key)
        expect(page.locator(".row-coming")).to_have_count(0)
        expect(page.get_by_role("status").filter(has_text="150 runs")).to_be_visible()
    place = int(page.locator(".row-active").get_attribute("aria-rowindex")) - 2
    assert 100 < place < 130
    expect(page.locator(".row-active")).to_contain_text(f"run-{place:05d}")
    page.keyboard.press("Home")
    own.store.runs.tag([f"many{i:06d}" for i in range(120) if i != 3], remove=("pinned",))
    page.get_by_role("combobox", name="Filter").fill("config.seed > 100")
    page.keyboard.press("Enter")
    expect(rows.first).to_contain_text("run-00120")
    expect(rows.nth(10)).to_contain_text("run-00101")
    expect(page.get_by_role("status").filter(has_text="49 runs")).to_be_visible()


def test_runs_are_put_together_and_a_group_is_opened(place: Place, page):
    page.goto(f"{place.url}/runs?project=nets")
    arrive(page)
    page.get_by_label("Group by").select_option("config.optimizer")
    grid = page.get_by_role("grid", name="Groups of runs")
    adam = grid.get_by_role("row").filter(has_text="adam")
    expect(adam).to_contain_text("12")
    page.get_by_label("Summed up").select_option("metrics.val_acc")
    best = max(1 - math.exp(-39 * 0.1 / (i + 1)) for i in range(0, 24, 2))
    expect(adam.locator("strong .num")).to_have_attribute("title", re.compile(f"^{best:.6f}"))
    grid.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(grid.get_by_role("link", name="net 0")).to_be_visible()
    page.reload()
    expect(grid.get_by_role("link", name="net 0")).to_be_visible()
    page.get_by_label("Group by").select_option("tags")
    expect(grid.get_by_role("row").filter(has_text="none")).to_contain_text("24")


def test_tags_pins_and_deletion_of_many(own: Place, page):
    for i in range(4):
        own.store.runs.create(NewRun(id=f"own{i}", project="own", name=f"own {i}", owner=""))
        if i:
            own.store.runs.finish(f"own{i}", Phase.FINISHED)
    page.goto(f"{own.url}/runs?project=own&chosen=own0,own1,own2")
    arrive(page)
    bar = page.get_by_role("region", name="Chosen runs")
    bar.get_by_role("button", name="Tags").click()
    page.get_by_label("New tag").fill("good one")
    page.keyboard.press("Enter")
    expect(page.locator(".table .tag")).to_have_text(["good one"] * 3)
    page.get_by_role("dialog").get_by_label("good one").click()
    expect(page.locator(".table .tag")).to_have_count(0)
    page.keyboard.press("Escape")
    assert own.store.runs.get("own1").tags == ()
    page.goto(f"{own.url}/runs?project=own&sort=-created&chosen=own1")
    arrive(page)
    first = page.locator(".table-body .row").first
    expect(first).to_contain_text("own 3")
    bar.get_by_role("button", name="Pin").click()
    expect(first).to_contain_text("own 1")
    expect(page.get_by_role("status").filter(has_text="4 runs")).to_be_visible()
    with page.expect_download() as download:
        bar.get_by_role("link", name="CSV").click()
    assert len(download.value.path().read_text().splitlines()) == 2
    page.goto(f"{own.url}/runs?project=own&chosen=own0,own1,own2")
    arrive(page)
    bar.get_by_role("button", name="Delete …").click()
    dialog = page.get_by_role("dialog", name="Delete 2 runs?")
    expect(dialog).to_contain_text("1 run still running stays")
    dialog.get_by_role("button", name="Delete 2 runs").click()
    expect(page.locator(".table-body .row")).to_have_count(2)
    expect(bar).to_contain_text("1 run chosen")
    assert own.store.runs.projects()["own"] == 2
