from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from whet.cli.main import cli
from whet.store.base import Batch, NewRun, Row, Store
from whet.store.open import open_store
from whet.store.owner import here
from whet.study.create import create_study
from whet.trial import Phase

Whet = Callable[..., Result]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, in which `.whet` will be."""
    for name in [name for name in os.environ if name.startswith("WHET_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def whet(workspace: Path) -> Whet:
    """Calls the real command line in this process."""

    def call(*args: str, **more: Any) -> Result:
        result = CliRunner().invoke(cli, [str(a) for a in args], **more)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture
def as_process(workspace: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Calls the real command line in a process of its own."""

    def call(*args: str, **more: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "whet.cli.main", *args]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, **more)

    return call


@pytest.fixture
def store(workspace: Path) -> Iterator[Store]:
    opened = open_store()
    yield opened
    opened.close()


def objective(trial: Any) -> float:
    """Best at lr=0.1; trial 3 breaks, and so does every one with width 9."""
    lr = trial.params["lr"]
    if trial.number == 3:
        raise RuntimeError("out of memory\nTraceback below")
    for step in range(3):
        trial.report(1 - abs(lr - 0.1) - 0.1 * (3 - step), step)
    return float(1 - abs(lr - 0.1))


@pytest.fixture
def digits(store: Store) -> str:
    """A sweep `digits` of six trials: a grid over lr and width, number 3 failed; its id."""
    space = {"parameters": {"lr": {"values": [0.3, 0.1, 0.01]}, "width": {"values": [8, 16]}, "epochs": {"value": 5}}}
    study = create_study(
        name="digits", project="demo", space=space, method="grid", stopper="none", direction="maximize",
        metrics=["accuracy"], storage=store, seed=1, run_cap=8,
    )  # fmt: skip
    study.optimize(objective, n_trials=6, catch=(RuntimeError,))
    return study.id


@pytest.fixture
def lone(store: Store) -> str:
    """A finished run outside any sweep, with a curve; its id."""
    store.runs.create(
        NewRun(id="aaaa000001", project="solo", name="first", owner=here(), config={"lr": 0.5}, tags=("a", "b"))
    )
    rows = [Row(step=i, time=1000.0 + i, values={"loss": 1 / (i + 1), "system/cpu": 7.0}) for i in range(4)]
    meta = {
        "command": ["python", "train me.py"],
        "git": {"commit": "f" * 40, "branch": "main", "dirty": True},
        "host": "box",
    }
    store.runs.ship("aaaa000001", 0, "spool", 0, 10, Batch(rows=rows, summary={"note": "fine"}, meta=meta))
    store.runs.finish("aaaa000001", Phase.FINISHED)
    return "aaaa000001"
