"""A sweep with limits from its file to its best run: an unchanged script that logs two metrics, one that prints them, and what commands say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from whet.store.base import Store
from whet.study.create import create_study

Whet = Callable[..., Any]

LOGS = """
import sys, whet
x = float(sys.argv[1].partition("=")[2])
run = whet.init()
for epoch in range(2):
    run.log({"latency_ms": 50 * x + (1 - epoch), "loss": 2 - x - epoch})
"""

PRINTS = """
import sys
x = float(sys.argv[1].partition("=")[2])
for epoch in range(2):
    print(f"epoch {epoch} latency_ms={50 * x + (1 - epoch)} loss={2 - x - epoch}")
"""

SWEEP = """
program: train.py
method: {name: grid, resolution: 6}
metric: {name: loss, goal: minimize}
parameters:
  x: {min: 0.0, max: 1.0}
limits:
  latency_ms: {max: %s}
"""


@pytest.mark.parametrize("script", [LOGS, PRINTS], ids=["logs", "prints"])
def test_the_best_run_keeps_the_limits(script: str, whet: Whet, workspace: Path, store: Store) -> None:
    """x is 0, 0.2 … 1: the loss is least at 1, and from 0.6 on it is too slow."""
    (workspace / "train.py").write_text(script)
    (workspace / "sweep.yaml").write_text(SWEEP % 20)
    result = whet("sweep", "sweep.yaml", "--run", "-j", "2")
    assert result.exit_code == 0, result.output
    assert "beyond its limits: latency_ms 50 above 20" in result.output
    assert "which keeps latency_ms <= 20, as 3 of 6 complete trials do" in result.output
    assert "from the median of 3 complete trials that keep the limits" in result.output
    sweep = store.sweeps.all()[0]
    best = store.runs.get(sweep.best_run or "")
    assert best.params == {"x": pytest.approx(0.4)}
    found = json.loads(whet("best", sweep.id, "--json").output)
    assert found["run"]["id"] == best.id
    assert found["sweep"]["limits"] == {"latency_ms": {"max": 20.0}}
    assert "limits  latency_ms=20 (latency_ms <= 20)" in whet("best", sweep.id).output
    shown = whet("show", sweep.id).output
    assert "latency_ms <= 20" in shown
    assert "best 3 of 3 complete" in shown
    slow = next(r for r in store.runs.select() if r.params["x"] == 1.0)
    assert "finished: it does not keep the limits: latency_ms 50 above 20" in whet("show", slow.id).output
    assert whet("ls", "--sweep", sweep.id).output.count("(best)") == 1


def test_where_no_run_keeps_them_the_nearest_is_named(whet: Whet, workspace: Path, store: Store) -> None:
    (workspace / "train.py").write_text(LOGS)
    (workspace / "sweep.yaml").write_text(SWEEP % -4)
    result = whet("sweep", "sweep.yaml", "--run")
    assert result.exit_code == 0, result.output
    said = "no trial keeps the limits yet: the nearest is trial 0, latency_ms 0 above -4"
    assert said in result.output
    sweep = store.sweeps.all()[0]
    result = whet("best", sweep.id)
    assert result.exit_code != 0
    assert said in result.output
    assert said in whet("show", sweep.id).output
    assert said in whet("plot", sweep.id, "history").output


def test_a_front_is_of_runs_that_keep_them(whet: Whet, workspace: Path, store: Store) -> None:
    study = create_study(
        name="two", directions=["minimize", "minimize"], metrics=["loss", "size"], limits={"size": {"max": 3}}, method="random",
        space={"x": {"min": 0.0, "max": 1.0}}, storage=store, seed=1,
    )  # fmt: skip
    study.optimize(lambda trial: (float(trial.number), float(5 - trial.number)), n_trials=5)
    front = json.loads(whet("best", "two", "--json").output)["front"]
    assert [run["number"] for run in front] == [2, 3, 4]


def test_run_takes_limits_from_the_command_line(whet: Whet, workspace: Path, store: Store) -> None:
    (workspace / "train.py").write_text(PRINTS)
    given = [
        "run",
        "train.py",
        "--force-flags",
        "x=[0,0.2,0.4,0.6,0.8,1]",
        "--minimize",
        "loss",
        "--name",
        "small",
        "-y",
    ]
    result = whet(*given, "--limit", "latency_ms<=20", "--limit", " seconds >= -1e3 ")
    assert result.exit_code == 0, result.output
    assert "which keeps latency_ms <= 20, seconds >= -1000, as 3 of 6 complete trials do" in result.output
    assert store.sweeps.all()[0].config["limits"] == {"latency_ms": {"max": 20.0}, "seconds": {"min": -1000.0}}
    again = whet(*given, "--limit", "latency_ms<=30")
    assert again.exit_code == 2
    assert "there is a sweep small with other limits" in again.output


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (["latency_ms<20"], "--limit latency_ms<20 can't be read"),
        (["<=20"], "--limit <=20 can't be read"),
        (["latency_ms<=soon"], "--limit latency_ms<=soon can't be read"),
        (["latency_ms<=1e999"], "the limit latency_ms has max=inf"),
        (["a<=1", "a<=2"], "--limit gives a two bounds <="),
        (["a<=1", "a>=2"], "the limit a has min=2 above max=1"),
        (["x<=1"], "x is a parameter, which is known beforehand"),
    ],
)
def test_a_limit_that_makes_no_sense_is_said_to(limits: list[str], said: str, whet: Whet, workspace: Path) -> None:
    (workspace / "train.py").write_text(PRINTS)
    words = [word for limit in limits for word in ("--limit", limit)]
    result = whet("run", "train.py", "--force-flags", "x=[0,1]", "--minimize", "loss", *words)
    assert result.exit_code == 2
    assert said in result.output
