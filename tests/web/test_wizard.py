"""The page of a new sweep in a browser: every beginning, both faces, what the server says, and what comes of it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.web.driving import Place, Server, arrive, violations
from tests.web.filling import HOSTILE

import whet
from whet.config import parse
from whet.space import Choice, Float, Int
from whet.store import Store, open_store
from whet.store.base import NewRun
from whet.store.token import Scope
from whet.trial import Phase

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def _fill(store: Store, _folder: Path) -> dict[str, str]:
    """Make a run of its own, one with unkind names, and a sweep that has run."""
    config = {"lr": 1e-3, "depth": 18, "amp": True}
    store.runs.create(NewRun(id="alone", project="digits", name="baseline", owner="", config=config))
    store.runs.finish("alone", Phase.FINISHED)
    store.runs.create(NewRun(id="hostile", project="digits", name=HOSTILE, owner="", config={"<b>x</b>": "<i>y</i>"}))
    store.runs.finish("hostile", Phase.FINISHED)
    study = whet.create_study(name="taken", project="digits", storage=store, method="tpe", seed=1, metrics=["val_loss"], space={"lr": {"min": 1e-5, "max": 0.1, "log": True}, "opt": {"values": ["sgd", "adam"]}})  # fmt: skip
    for _ in range(3):
        trial = study.ask()
        study.tell(trial, trial.params["lr"])
    return {"sweep": study.id, "trial": trial.run_id}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with contextlib.closing(Place(tmp_path_factory.mktemp("wizard"), _fill)) as made:
        yield made


def editor(page):
    return page.get_by_role("textbox", name="Sweep file")


def create(page):
    return page.get_by_role("button", name="Create the sweep")


def written(page) -> str:
    """The YAML, looked at in its own face."""
    page.get_by_role("button", name="YAML", exact=True).last.click()
    text = editor(page).input_value()
    page.get_by_role("button", name="Form", exact=True).click()
    return text


def made(place: Place, page):
    """The sweep whose page it has come to."""
    page.wait_for_url(re.compile(r"/sweeps/(?!new)\w+$"))
    return place.store.sweeps.get(page.url.rpartition("/")[2])


def test_a_template_becomes_a_sweep_whose_page_says_how_to_start_it(place: Place, page):
    page.goto(f"{place.url}/sweeps")
    page.get_by_role("link", name="New sweep").click()
    expect(page.get_by_role("heading", name="New sweep")).to_be_visible()
    page.get_by_role("radio", name="image-classifier").check()
    page.wait_for_url("**/sweeps/new?template=image-classifier")
    expect(page.locator(".hero-number")).to_have_text("60")
    table = page.get_by_role("region", name="The first 20 configurations")
    expect(table.get_by_role("row")).to_have_count(21)
    expect(table.get_by_role("columnheader", name="weight_decay")).to_be_visible()
    assert violations(page) == []
    page.get_by_label("lr: to").fill("0.25")
    page.get_by_label("lr: good value").fill("0.1")
    page.get_by_label("run cap").fill("7")
    page.get_by_label("name", exact=True).last.fill("mine")
    expect(page.locator(".hero-number")).to_have_text("7")
    expect(page.locator(".samples tbody tr")).to_have_count(7)
    expect(page.locator(".samples tbody tr").first).to_contain_text("0.1000")
    create(page).click()
    sweep = made(place, page)
    config = parse(dict(sweep.config))
    assert (sweep.name, sweep.cap) == ("mine", 7)
    assert config.problem.space["lr"] == Float(1e-4, 0.25, log=True)
    assert config.method.knobs["prior"] == {"lr": 0.1}
    assert str(config.problem.space["momentum"].when) == str(
        parse("parameters: {optimizer: [sgd], m: {min: 0, max: 1, when: {optimizer: sgd}}}").problem.space["m"].when
    )
    expect(page.locator(".command").first).to_contain_text(f"whet agent {place.url}/{sweep.id}")
    page.goto(f"{place.url}/sweeps/new?template=image-classifier")
    expect(page.get_by_label("lr: to")).to_have_value("0.5")  # what was made of it is not in the way of the next


def test_around_a_run_from_its_page_with_the_ranges_that_suit(place: Place, page):
    page.goto(f"{place.url}/runs/{place.ids['trial']}")
    page.get_by_role("link", name="Search around this run").click()
    page.wait_for_url(f"**/sweeps/new?from=run&run={place.ids['trial']}")
    params = place.store.runs.get(place.ids["trial"]).params
    expect(page.get_by_label("opt: good value")).to_have_value(str(params["opt"]))
    expect(page.get_by_label("lr: on a log scale")).to_be_checked()
    lr = parse(written(page)).problem.space["lr"]
    assert isinstance(lr, Float)
    assert 1e-5 <= lr.low <= params["lr"] <= lr.high <= 0.1
    assert lr.high / lr.low == pytest.approx(100, rel=0.01)  # half of four decades
    page.get_by_role("button", name="Another run").click()
    page.get_by_label("Find a run").fill("base")
    page.get_by_role("button", name="baseline").click()
    page.wait_for_url("**run=alone")
    expect(page.get_by_label("depth: from")).to_have_value("4")
    expect(page.locator(".notices")).to_contain_text("guessed from the run's values")
    page.goto(f"{place.url}/sweeps/new?from=run&run=hostile")
    expect(page.get_by_role("alert")).to_contain_text("could vary")
    page.goto(f"{place.url}/sweeps/new?from=run&run=nosuch")
    expect(page.get_by_role("alert")).to_contain_text("nosuch")


def test_a_scripts_flags(place: Place, page):
    page.goto(f"{place.url}/sweeps/new?from=flags")
    box = page.get_by_label("A command line, what --help prints")
    box.fill("hello")
    page.get_by_role("button", name="Read the flags").click()
    expect(page.get_by_role("alert")).to_contain_text("no flags were found", ignore_case=True)
    box.fill("python train.py data --lr 0.1 --layers 3 --amp --seed 1")
    box.press("Control+Enter")
    expect(page.get_by_label("layers: kind")).to_have_value("int")
    expect(page.locator(".notices")).to_contain_text("Its metric is not known")
    page.get_by_label("metric: name").fill("acc")
    page.get_by_label("metric: goal").select_option("maximize")
    page.reload()  # what was pasted, what it became and what was changed
    expect(box).to_have_value("python train.py data --lr 0.1 --layers 3 --amp --seed 1")
    expect(page.get_by_label("metric: name")).to_have_value("acc")
    expect(create(page)).to_be_enabled()
    box.fill("python train.py --lr 0.2")
    page.get_by_role("button", name="Read the flags").click()
    page.get_by_role("dialog", name="Replace what you have written?").get_by_role("button", name="Go back").click()
    expect(page.get_by_label("metric: name")).to_have_value("acc")
    create(page).click()
    config = parse(dict(made(place, page).config))
    assert dict(config.problem.space) == {
        "lr": Float(0.01, 1.0, log=True),
        "layers": Int(1, 12),
        "amp": Choice([False, True]),
        "seed": Choice([1]),
    }
    assert config.command == ("${interpreter}", "${program}", "data", "${args_no_boolean_flags}")
    assert (config.problem.metric.name, config.problem.metric.goal.value) == ("acc", "maximize")


def test_yaml_with_completion_and_the_line_that_is_wrong(place: Place, page):
    page.goto(f"{place.url}/sweeps/new?from=yaml")
    area = editor(page)
    area.fill(
        "# mine\nmethod: tpe\nmetric: {name: loss, target: 0.1}\nparameters:\n  lr: {min: 1, max: 9}\nconstraints: [lr > 2]\n"
    )
    expect(page.locator(".outlook-number")).to_contain_text("no end")
    area.press("Control+End")
    area.press_sequentially("early_t")
    option = page.get_by_role("option", name="early_terminate:")
    expect(option).to_have_attribute("aria-selected", "true")
    area.press("Tab")
    page.get_by_role("option", name=re.compile("median")).wait_for()
    area.press_sequentially("med")
    expect(page.get_by_role("option")).to_have_count(1)
    assert violations(page) == []
    area.press("Enter")
    assert area.input_value().endswith("early_terminate: median")
    for _ in "median":
        area.press("Backspace")
    area.press_sequentially("asha")
    area.press("Enter")  # it is a part of pasha, and what was meant
    assert area.input_value().endswith("early_terminate: asha\n")
    for _ in "asha\n":
        area.press("Backspace")
    area.press_sequentially("median")
    expect(create(page)).to_be_enabled()
    area.fill(area.input_value().replace("min: 1,", "min: 12,"))
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("line 5, parameters.lr.min")
    expect(alert).to_contain_text("Swap them")
    expect(page.locator(".yaml-wrong")).to_have_text("5")
    expect(create(page)).to_be_disabled()
    page.get_by_role("button", name="Form", exact=True).click()
    page.wait_for_url("**face=form")
    expect(page.locator(".param-wrong")).to_contain_text("12 is not below max 9")
    expect(page.get_by_label("lr: kind")).to_have_value("int")
    expect(page.locator(".sheet > .note")).to_contain_text("constraints")
    page.get_by_label("lr: from").fill("3")
    expect(create(page)).to_be_enabled()
    assert (
        written(page)
        == "# mine\nmethod: tpe\nmetric: {name: loss, target: 0.1}\nparameters:\n  lr: {min: 3, max: 9}\nconstraints: [lr > 2]\nearly_terminate: median\n"
    )
    page.goto(f"{place.url}/sweeps/new?from=yaml")
    area.fill("a: [1, 2")
    expect(alert).to_contain_text("not YAML")
    page.get_by_role("button", name="Form", exact=True).click()
    page.get_by_role("button", name="Mend it in the YAML").click()
    expect(area).to_have_value("a: [1, 2")


def test_a_file_is_opened_and_a_contradiction_named(place: Place, page, tmp_path: Path):
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "method: grid\nmetric: {name: loss}\nparameters:\n  a: {values: [1, 2, 3]}\n  b: {values: [4, 5]}\n"
    )
    page.goto(f"{place.url}/sweeps/new?from=yaml")
    page.get_by_label("Open a file").set_input_files(file)
    expect(page.locator(".outlook-number")).to_contain_text("A grid of 6 configurations, each once")
    expect(page.get_by_role("region", name="All 6 configurations").get_by_role("row")).to_have_count(7)
    editor(page).press("Control+End")
    editor(page).press_sequentially("run_cap: 4\n")
    expect(page.locator(".outlook-number")).to_contain_text("the cap leaves 2 untried")
    editor(page).press_sequentially("constraints: ['a > b', 'b > 3']\n")
    expect(page.get_by_role("alert")).to_contain_text("'a > b'")
    page.reload()
    expect(editor(page)).to_have_value(re.compile("constraints"))
    page.get_by_role("button", name="Undo all changes").click()
    page.get_by_role("dialog").get_by_role("button", name="Replace it").click()
    expect(editor(page)).to_have_value(re.compile("^# The script gets"))


def test_rows_are_added_named_changed_and_left_out_by_keyboard(place: Place, page):
    page.goto(f"{place.url}/runs")
    page.get_by_role("grid").wait_for()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("New sweep")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)  # while it is there keys are its own
    page.keyboard.press("n")
    page.keyboard.press("s")
    page.wait_for_url("**/sweeps/new")
    page.get_by_role("radio", name="fine-tuning").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Add a parameter").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("param_1: name")).to_be_focused()
    page.keyboard.type("width")
    page.keyboard.press("Tab")
    expect(page.get_by_label("width: kind")).to_be_focused()
    page.get_by_label("width: kind").select_option("choice")
    page.get_by_label("width: choices").fill("16, 32, wide")
    page.get_by_label("width: name").fill("learning_rate")  # it is taken
    page.get_by_label("width: choices").focus()
    expect(page.locator(".param-name .wrong")).to_have_text("There is another learning_rate.")
    expect(page.get_by_label("width: name")).to_have_value("learning_rate")  # what was typed stays
    page.get_by_label("width: name").press("Escape")
    expect(page.get_by_label("width: name")).to_have_value("width")
    page.get_by_role("button", name="Leave warmup_ratio out").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Leave num_train_epochs out")).to_be_focused()
    page.get_by_label("method: knobs").fill("num_startup: [")
    page.get_by_label("method: knobs").press("Enter")
    expect(page.locator(".plugin .wrong")).to_contain_text("name: value")
    page.get_by_label("method: knobs").press("Escape")
    page.get_by_label("method", exact=True).select_option("random")
    page.get_by_label("early stopping", exact=True).select_option("")
    expect(page.get_by_label("width: good value")).to_be_disabled()
    expect(page.get_by_role("columnheader", name="width")).to_be_visible()
    expect(create(page)).to_be_enabled()
    page.get_by_label("run cap").focus()
    page.keyboard.press("Control+Enter")
    config = parse(dict(made(place, page).config))
    assert config.problem.space["width"] == Choice([16, 32, "wide"])
    assert "warmup_ratio" not in config.problem.space
    assert (config.method.name, config.stopper) == ("random", None)


def test_conditions_are_said_by_keyboard_and_in_step_with_the_yaml(place: Place, page):
    page.goto(f"{place.url}/sweeps/new?from=yaml")
    editor(page).fill(
        "metric: {name: loss}\nparameters:\n  opt: {values: [sgd, adam, lion]} # which\n  depth: {min: 2, max: 8}\n  beta: {min: 0.5, max: 0.9}\n"
    )
    page.get_by_role("button", name="Form", exact=True).click()
    beta = page.get_by_role("group", name="beta", exact=True)
    expect(page.get_by_role("group", name="beta: only if")).to_have_count(0)
    beta.get_by_role("button", name="beta: only if").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("beta: condition 1 is about")).to_be_focused()
    values = page.get_by_role("group", name="beta: values of opt")
    expect(values.get_by_label("sgd")).to_be_checked()
    values.get_by_label("sgd").focus()
    page.keyboard.press("Space")
    expect(beta.locator(".wrong")).to_contain_text("never exist")
    for name in ("adam", "lion"):
        values.get_by_label(name).focus()
        page.keyboard.press("Space")
    expect(beta.locator(".wrong")).to_have_count(0)
    beta.get_by_role("button", name="beta: only if").click()
    page.get_by_label("beta: values of depth").fill("3, 4")
    assert "opt: {values: [sgd, adam, lion]} # which\n" in written(page)
    assert "  beta: {min: 0.5, max: 0.9, when: {opt: [adam, lion], depth: [3, 4]}}\n" in written(page)
    page.get_by_label("opt: name").fill("optimizer")
    page.get_by_label("opt: name").press("Enter")
    expect(page.get_by_label("beta: condition 1 is about")).to_have_value("optimizer")
    page.get_by_role("button", name="beta: leave the condition on depth out").click()
    expect(page.get_by_role("button", name="beta: leave the condition on optimizer out")).to_be_focused()
    assert violations(page) == []
    page.get_by_role("button", name="Leave optimizer out").click()
    expect(beta.locator(".wrong")).to_contain_text("unknown parameter 'optimizer'", ignore_case=True)
    expect(page.get_by_label("beta: condition 1 is about")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("beta: condition 1 is about").select_option("depth")
    expect(page.get_by_label("beta: values of depth")).to_have_value("2")
    expect(create(page)).to_be_enabled()
    page.get_by_label("beta: condition 1 is about").select_option("an expression …")
    expect(page.get_by_label("beta: only where")).to_have_value("depth == 2")
    page.get_by_label("beta: only where").fill("depth > 2")
    create(page).click()
    assert str(parse(dict(made(place, page).config)).problem.space["beta"].when) == "depth > 2"


def test_whatever_says_a_condition_also_says_what_is_wrong_with_it(place: Place, page):
    page.goto(f"{place.url}/sweeps/new?from=yaml")
    start = "metric: {name: loss}\nparameters:\n  opt: {values: [True, False]}\n  depth: {min: 2, max: 8}\n"
    editor(page).fill(start + "  my beta: {min: 0.5, max: 0.9, when: {opt: true, depth: 2, gone: 1}}\n")
    page.get_by_role("button", name="Form", exact=True).click()
    beta = page.get_by_role("group", name="my beta", exact=True)
    boxes = page.get_by_role("group", name="my beta: values of opt").get_by_role("checkbox")
    expect(boxes).to_have_count(2)
    expect(boxes.first).to_be_checked()
    unknown, never = re.compile("unknown parameter 'gone'", re.IGNORECASE), re.compile("No value is chosen")
    subject = page.get_by_label("my beta: condition 1 is about")
    for control in (subject, boxes.first, boxes.last, page.get_by_label("my beta: values of depth")):
        expect(control).to_have_accessible_description(unknown)
        expect(control).to_have_attribute("aria-invalid", "true")
    page.get_by_role("button", name="my beta: leave the condition on gone out").click()
    expect(beta.locator(".wrong")).to_have_count(0)
    expect(boxes.first).to_have_accessible_description("")
    boxes.first.uncheck()
    page.get_by_label("my beta: values of depth").fill("")
    for control in (boxes.first, page.get_by_label("my beta: values of depth")):
        expect(control).to_have_accessible_description(never)
    assert violations(page) == []
    subject.select_option("an expression …")
    where = page.get_by_label("my beta: only where")
    where.fill("depth >")
    where.press("Enter")
    expect(where).to_have_accessible_description(re.compile("not an expression"))
    expect(where).to_have_attribute("aria-invalid", "true")
    assert violations(page) == []


def test_limits_are_rows_with_what_is_wrong_beside_them(place: Place, page):
    page.goto(f"{place.url}/sweeps/new?template=image-classifier")
    expect(create(page)).to_be_enabled()
    page.get_by_role("button", name="Add a limit").focus()
    page.keyboard.press("Enter")
    name = page.get_by_label("limit 1: value")
    expect(name).to_be_focused()
    page.keyboard.type("latency_ms")
    page.keyboard.press("Tab")
    row = page.get_by_role("group", name="limit of latency_ms")
    expect(row.locator(".wrong")).to_contain_text("no bound")
    page.get_by_label("latency_ms: at most").fill("soon")
    expect(row.locator(".wrong")).to_contain_text("wanted a number")
    expect(page.get_by_label("latency_ms: at most")).to_have_attribute("aria-invalid", "true")
    expect(create(page)).to_be_disabled()
    page.get_by_label("latency_ms: at most").fill("20")
    page.get_by_role("button", name="Add a limit").click()
    page.get_by_label("limit 2: value").fill("latency_ms")
    page.get_by_label("limit 2: value").press("Enter")
    expect(page.get_by_text("There is another latency_ms.")).to_be_visible()
    page.get_by_label("limit 2: value").fill("accuracy")
    page.get_by_label("limit 2: value").press("Enter")
    page.get_by_label("accuracy: at least").fill("0.9")
    expect(create(page)).to_be_enabled()
    assert "limits:\n  latency_ms: {max: 20}\n  accuracy: {min: 0.9}\n" in written(page)
    assert violations(page) == []
    page.get_by_role("button", name="Leave the limit of latency_ms out").click()
    expect(page.get_by_role("button", name="Leave the limit of accuracy out")).to_be_focused()
    expect(create(page)).to_be_enabled()
    create(page).click()
    limits = parse(dict(made(place, page).config)).problem.limits
    assert [(one.name, one.min, one.max) for one in limits] == [("accuracy", 0.9, None)]


def test_what_is_being_typed_is_sent_with_the_form_unless_it_is_refused(place: Place, page):
    page.goto(f"{place.url}/sweeps/new?template=fine-tuning")
    name = page.get_by_label("warmup_ratio: name")
    name.fill("learning_rate")
    name.press("Control+Enter")
    expect(page.locator(".param-name .wrong")).to_have_text("There is another learning_rate.")
    expect(create(page)).to_be_enabled()
    assert "/sweeps/new" in page.url
    for typed in ("warm", "warmer"):
        name.fill(typed)
        if typed == "warm":
            name.press("Control+Enter")
        else:
            create(page).click()
        space = parse(dict(made(place, page).config)).problem.space
        assert typed in space
        assert "warmup_ratio" not in space
        page.goto(f"{place.url}/sweeps/new?template=fine-tuning")
        expect(create(page)).to_be_enabled()


def test_a_name_that_exists_and_a_server_that_is_away_lose_nothing(place: Place, page):
    page.goto(f"{place.url}/sweeps/new?template=gradient-boosting")
    page.get_by_label("name", exact=True).last.fill("taken")
    page.get_by_label("project", exact=True).fill("digits")
    expect(create(page)).to_be_enabled()
    create(page).click()
    expect(page.locator(".field .wrong")).to_contain_text("taken")
    expect(create(page)).to_be_disabled()
    page.get_by_label("name", exact=True).last.fill("free")
    expect(create(page)).to_be_enabled()
    place.server.stop()
    create(page).click()
    expect(page.locator(".outlook-wrong").first).to_contain_text("The server does not answer")
    page.get_by_label("max_depth: to").fill("9")
    page.locator(".away").wait_for()
    place.server.start()
    expect(page.locator(".away")).to_have_count(0)
    expect(create(page)).to_be_enabled()
    create(page).click()
    sweep = made(place, page)
    assert sweep.name == "free"
    assert parse(dict(sweep.config)).problem.space["max_depth"] == Int(2, 9)


@pytest.mark.parametrize("face", ["form", "yaml"])
def test_on_a_telephone_and_in_the_dark(place: Place, page, face: str):
    page.set_viewport_size({"width": 375, "height": 760})
    page.emulate_media(color_scheme="dark")
    page.goto(f"{place.url}/sweeps/new?template=image-classifier&face={face}")
    arrive(page)
    expect(create(page)).to_be_enabled()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert violations(page) == []


@pytest.mark.parametrize("way", ["from=run", "from=flags", "from=yaml", "from=run&run=hostile"])
def test_every_beginning_is_clean(place: Place, page, way: str):
    page.goto(f"{place.url}/sweeps/new?{way}")
    arrive(page)
    assert violations(page) == []
    assert page.locator("main i, main b").count() == 0


def test_a_token_that_may_only_look_is_told_so(page, tmp_path: Path):
    store = open_store(str(tmp_path / "whet.db"))
    secret = store.tokens.create(Scope.READ)[1]
    server = Server(tmp_path).start()
    try:
        page.goto(f"{server.url}/sweeps/new?template=fine-tuning")
        page.get_by_label("Token").fill(secret)
        page.keyboard.press("Enter")
        expect(page.locator(".outlook")).to_contain_text("may only look")
        expect(create(page)).to_have_count(0)
        expect(page.get_by_label("learning_rate: from")).to_have_value("1e-6")
        assert violations(page) == []
    finally:
        server.stop()
        store.close()
