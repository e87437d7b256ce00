"""Sweep files made around a run and of a script's flags."""

from __future__ import annotations

import shlex
import subprocess
import sys
from ast import literal_eval
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.config import SweepConfig, parse
from whet.errors import ConfigError, WhetError
from whet.project.around import around_run, near
from whet.project.beginning import from_pasted
from whet.project.command import expand
from whet.space import Choice, Float, Int, Normal, Parameter
from whet.store import Store, open_store
from whet.store.base import Batch, NewRun, Row, Run
from whet.study.create import check
from whet.trial import Phase

SPACE = """
method: tpe
metric: {name: acc, goal: maximize}
program: train.py
parameters:
  opt: {values: [sgd, adam]}
  lr: {min: 1e-5, max: 0.1, log: true}
  momentum: {min: 0.0, max: 0.99, when: {opt: sgd}}
  layers: {min: 1, max: 9}
  batch: {min: 16, max: 256, step: 16}
  epochs: 3
constraints: [layers * batch < 1000]
early_terminate: {type: asha, min_steps: 3}
run_cap: 12
name: first
seed: 4
"""


def a_run(store: Store, config: dict[str, object], *, meta: Any = None, metrics: tuple[str, ...] = ()) -> Run:
    store.runs.create(NewRun(id="r", project="p", name="alone", owner="", config=config))
    store.runs.ship(
        "r",
        0,
        "s",
        0,
        1,
        Batch(rows=[Row(step=1, time=1.0, values=dict.fromkeys(metrics, 0.5))] if metrics else [], meta=meta or {}),
    )
    store.runs.finish("r", Phase.FINISHED)
    return store.runs.get("r")


def a_trial(params: dict[str, object], config: SweepConfig) -> tuple[Run, SweepConfig]:
    store = open_store("memory")
    run = a_run(store, params)
    return replace(run, params=params, number=7, sweep="s"), config


def read(text: str) -> SweepConfig:
    config = parse(text)
    check(config)
    return config


def test_around_a_trial_everything_stays_but_the_ranges() -> None:
    params: dict[str, object] = {"opt": "sgd", "lr": 1e-3, "momentum": 0.9, "layers": 3, "batch": 64, "epochs": 3}
    made = around_run(*a_trial(params, parse(SPACE)))
    found = read(made.text)
    old = parse(SPACE)
    space = found.problem.space
    assert space["lr"] == Float(1e-4, 1e-2, log=True)
    assert space["opt"] == old.problem.space["opt"]
    assert str(space["momentum"].when) == str(old.problem.space["momentum"].when)
    layers = space["layers"]
    assert isinstance(layers, Int)
    assert 1 <= layers.low < 3 < layers.high < 9
    assert space["epochs"].size == 1
    assert [rule.source for rule in space.constraints] == ["layers * batch < 1000"]
    assert (found.problem.metrics, found.stopper, found.program, found.run_cap) == (
        old.problem.metrics,
        old.stopper,
        "train.py",
        12,
    )
    assert (found.name, found.seed) == (None, None)
    assert found.method.name == "tpe"
    assert found.method.knobs["prior"] == {name: value for name, value in params.items() if name != "epochs"}
    assert space.contains({**params})


def test_an_inactive_parameter_keeps_its_range() -> None:
    made = around_run(*a_trial({"opt": "adam", "lr": 1e-3, "layers": 3, "batch": 64, "epochs": 3}, parse(SPACE)))
    assert read(made.text).problem.space["momentum"] == parse(SPACE).problem.space["momentum"]


def test_a_value_at_the_end_of_its_range_is_named_and_its_range_goes_no_further() -> None:
    made = around_run(*a_trial({"opt": "adam", "lr": 0.0999, "layers": 3, "batch": 64, "epochs": 3}, parse(SPACE)))
    lr = read(made.text).problem.space["lr"]
    assert isinstance(lr, Float)
    assert lr.high == 0.1
    assert "lr = 0.0999" in made.notices[0]
    assert "layers" not in made.notices[0]


@pytest.mark.parametrize("method", ["random", "grid", "sobol"])
def test_a_method_that_learns_nothing_becomes_one_that_does(method: str) -> None:
    made = around_run(
        *a_trial(
            {"opt": "adam", "lr": 1e-3, "layers": 3, "batch": 64, "epochs": 3}, parse(SPACE.replace("tpe", method, 1))
        )
    )
    assert read(made.text).method.name == "bayes"
    assert any(method in notice for notice in made.notices)


@given(
    st.sampled_from([Float(0.0, 1.0), Float(1e-5, 1e3, log=True), Int(0, 100), Int(1, 4096, log=True), Int(16, 256, step=16), Float(0.0, 1.0, step=0.125), Int(0, 1)]),
    st.floats(0, 1),
)  # fmt: skip
def test_near_lies_within_and_holds_the_value(parameter: Any, unit: float) -> None:
    value = parameter.decode(unit)
    found = near(parameter, value)
    assert type(found) is type(parameter)
    assert parameter.low <= found.low <= value <= found.high <= parameter.high
    assert found.low < found.high
    assert found.clean("x", value) == value
    assert parameter.clean("x", found.low) == found.low
    assert parameter.clean("x", found.high) == found.high


def test_near_leaves_what_has_no_range() -> None:
    kept: list[Parameter] = [Choice([1, 2]), Float(-1.0, 1.0, shape=Normal(0.0, 1.0))]
    assert [near(one, 1) for one in kept] == kept


def test_around_a_run_of_its_own_ranges_are_inferred() -> None:
    config: dict[str, object] = {
        "model": {"depth": 18, "name": "resnet"},
        "lr": 1e-3,
        "dropout": 0.1,
        "amp": True,
        "epochs": 30,
        "seed": 1,
        "betas": [0.9, 0.99],
        "x": float("inf"),
        "none": None,
    }
    meta = {"command": ["python", "train.py", "--lr=0.001", "--data=/sets/a"]}
    made = around_run(a_run(open_store("memory"), config, meta=meta, metrics=("train_loss", "val_acc", "lr")), None)
    found = read(made.text)
    assert dict(found.problem.space) == {
        "model.depth": Int(4, 72, log=True), "model.name": Choice(["resnet"]), "lr": Float(1e-4, 1e-2, log=True), "dropout": Float(0.0, 0.9),
        "amp": Choice([False, True]), "epochs": Choice([30]), "seed": Choice([1]),
    }  # fmt: skip
    assert found.nested == {"model"}
    assert found.program == "train.py"
    assert found.command is not None
    assert "--data=/sets/a" in found.command
    assert (found.problem.metric.name, found.problem.metric.goal.value) == ("val_acc", "maximize")
    assert found.method.knobs["prior"] == {"model.depth": 18, "lr": 1e-3, "dropout": 0.1, "amp": True}
    assert any("betas, x, none" in notice for notice in made.notices)


def test_a_flag_keeps_its_spelling_whatever_the_configuration_calls_it(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import sys\nprint(sys.argv[1:])\n")
    config: dict[str, object] = {"batch_size": 64, "lr": 1e-3, "net": {"depth": 3}, "seed": 1}
    meta = {"command": ["python", "train.py", "here", "--batch-size=64", "--lr", "0.001", "--out-dir=x"]}
    made = around_run(a_run(open_store("memory"), config, meta=meta), None)
    found = read(made.text)
    params = {"batch_size": 32, "lr": 0.01, "net.depth": 2, "seed": 1}
    words = expand(found, params, interpreter=sys.executable, cwd=tmp_path)
    said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert literal_eval(said) == ["here", "--out-dir=x", "--batch-size=32", "--lr=0.01", "--net.depth=2", "--seed=1"]


def test_a_run_with_nothing_to_vary_is_refused() -> None:
    with pytest.raises(ConfigError, match="could vary"):
        around_run(a_run(open_store("memory"), {"name": "a", "seed": 3}), None)


def test_flags_of_a_command_line() -> None:
    made = from_pasted("python train.py data --lr 0.1 --layers 3 --epochs 5 --amp --opt adam")
    found = read(made.text)
    assert dict(found.problem.space) == {
        "lr": Float(0.01, 1.0, log=True), "layers": Int(1, 12), "epochs": Choice([5]), "amp": Choice([False, True]), "opt": Choice(["adam"]),
    }  # fmt: skip
    assert found.command == ("${interpreter}", "${program}", "data", "${args_no_boolean_flags}")
    assert found.method.knobs["prior"] == {"lr": 0.1, "layers": 3, "amp": True}


def test_flags_of_help() -> None:
    text = "usage: train.py [-h]\n\noptions:\n  --lr LR  rate (default: 0.1)\n  --opt {sgd,adam}\n  --data DATA\n  --out DIR  (default: runs)\n"
    made = from_pasted(text)
    assert dict(read(made.text).problem.space) == {"lr": Float(0.01, 1.0, log=True), "opt": Choice(["sgd", "adam"])}
    assert parse(made.text).command is None
    assert any("data" in notice and "known" in notice for notice in made.notices)
    assert any("out" in notice and "as the script has" in notice for notice in made.notices)


def test_arguments_without_hyphens_are_passed_so() -> None:
    assert parse(from_pasted("python train.py lr=0.1 seed=3").text).command == (
        "${interpreter}",
        "${program}",
        "${args_no_hyphens}",
    )


def test_flags_of_which_none_could_vary_are_refused() -> None:
    with pytest.raises(ConfigError, match="could vary"):
        from_pasted("python train.py --data here --seed 3")


def test_the_file_is_one_that_people_can_read() -> None:
    text = from_pasted("python train.py --lr 1e-6").text
    assert "  lr: {min: 1.0e-07, max: 1.0e-05, log: true}\n" in text


NAMES = st.sampled_from(["lr", "a", "a.b", "momentum", "epochs", "x y", "1", "", "on", "<b>", "dropout"]) | st.text(
    max_size=4
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=5), st.lists(st.text(max_size=8), max_size=5))
def test_around_any_configuration_there_is_a_sweep_or_a_reason(config: dict[str, object], command: list[str]) -> None:
    run = replace(ALONE, config=config, meta={"command": command})
    try:
        made = around_run(run, None)
    except WhetError as error:
        assert error.fix  # noqa: PT017
        return
    found = read(made.text)
    assert any(parameter.size != 1 for parameter in found.problem.space.values())


ALONE = a_run(open_store("memory"), {"lr": 0.1})


WORDS = st.sampled_from(
    [
        "--lr",
        "--lr=0.1",
        "0.1",
        "1",
        "train.py",
        "-b",
        "--amp",
        "x=[1:3]",
        "x=[1,2]",
        "--o={a}",
        "-m",
        "pkg",
        "--n=1e999",
        "--n=9" + "0" * 320,
        "''",
        "lr=1",
    ]
)


@settings(max_examples=80, deadline=None)
@given(st.lists(WORDS | st.text(max_size=5), min_size=1, max_size=6))
def test_of_any_command_line_there_is_a_sweep_or_a_reason(words: list[str]) -> None:
    try:
        made = from_pasted(shlex.join(["python", *words]))
    except WhetError as error:
        assert error.fix  # noqa: PT017
        return
    read(made.text)
