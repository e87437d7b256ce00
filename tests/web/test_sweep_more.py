"""What is done with a sweep beyond looking at it, and what its trials did to their own hyperparameters."""

from __future__ import annotations

import json
import math
import re

import pytest
from tests.web.driving import Place, until, violations

import whet

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def _ranges(page, url: str):
    page.goto(url)
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Change ranges").click()
    return page.get_by_role("dialog", name="Change ranges")


def test_ranges_are_changed_while_the_sweep_runs(own: Place, page):
    id = own.ids["classifier"]
    before = json.dumps(own.store.sweeps.get(id).config["parameters"]["dropout"])
    study = whet.load_study(study_name="image-classifier", storage=own.store)
    dialog = _ranges(page, f"{own.url}/sweeps/{id}")
    change = dialog.get_by_role("button", name="Change them")
    assert change.is_disabled()
    dialog.get_by_label("lr: max").fill("0.00000001")
    change.click()
    assert "lr" in dialog.get_by_role("alert").inner_text()
    dialog.get_by_label("lr: max").fill("0.9")
    dialog.get_by_label("lr: min").fill("0.5")
    dialog.get_by_label("optimizer: values").fill("lion")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(150)
        assert violations(page) == []
    change.click()
    dialog.wait_for(state="detached")
    page.get_by_text("2 ranges changed").wait_for()
    until(page, "document.querySelector('pre.code').innerText.includes('lion')")
    params = study.ask().params  # an engine that knew the sweep before
    assert 0.5 <= params["lr"] <= 0.9
    assert params["optimizer"] == "lion"
    assert json.dumps(own.store.sweeps.get(id).config["parameters"]["dropout"]) == before  # 0.0 is not 0


def test_what_others_changed_meanwhile_stays(own: Place, page):
    id = own.ids["classifier"]
    dialog = _ranges(page, f"{own.url}/sweeps/{id}")
    dialog.get_by_label("depth: max").fill("20")
    own.store.sweeps.edit(id, version=own.store.sweeps.get(id).version, cap=300)
    dialog.get_by_role("button", name="Change them").click()
    dialog.get_by_role("alert").wait_for()
    assert own.store.sweeps.get(id).config["parameters"]["depth"]["max"] == 8


def test_trajectories_of_what_trials_tuned_themselves(own: Place, page):
    study = whet.create_study(
        name="tuned", project="digits", storage=own.store, method="random", seed=1, stopper="none", metrics=["val_loss"],
        space={"width": {"min": 8, "max": 64}},
    )  # fmt: skip
    study.tell(study.ask(), 9.0)
    page.goto(f"{own.url}/sweeps/{study.id}?chart=trajectories")
    page.get_by_text("No trial has moved a hyperparameter").wait_for()
    for i in range(6):
        trial = study.ask()
        for step in range(0, 100, 5):
            trial.log({"hyper/lr": 10 ** -(1 + i / 3 + step / 50), "hyper/momentum": 0.9 - step / 200 * i}, step)
        trial.log({"hyper/lr": math.nan}, 100)
        study.tell(trial, 0.1 + i)
    page.goto(f"{own.url}/sweeps/{study.id}")
    page.get_by_role("link", name="Trajectories").click()
    page.get_by_text("What 6 trials made of their hyperparameters").wait_for()
    charts = page.locator(".small-charts figure")
    assert charts.locator(".chart-title").all_inner_texts() == ["lr", "momentum"]
    canvas = charts.first.locator("canvas")
    canvas.scroll_into_view_if_needed()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(150)
        assert violations(page) == []
    box = canvas.bounding_box()
    said = charts.first.locator(".chart-hover")
    for down in range(10, int(box["height"]) - 30, 4):  # until a line is under the pointer
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + down)
        if said.inner_text():
            break
    assert "→" in said.inner_text()
    assert "→" in charts.last.locator(".chart-hover").inner_text()  # the same trial in all of them
    page.get_by_text(re.compile(r"trial \d: val_loss \d")).wait_for()
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url("**/runs/*")
