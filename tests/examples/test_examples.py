"""The examples run as their readers run them, with few trials, each in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def call(tmp_path: Path) -> Any:
    """Run a command in the repository, Whet's folder being an empty one, and return what it printed."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("WHET_")}
    environ |= {"WHET_DIR": str(tmp_path / ".whet"), "OMP_NUM_THREADS": "1"}
    programs = {"python": sys.executable, "whet": str(Path(sys.executable).with_name("whet"))}

    def run(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [programs[program], *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def whet(call: Any, *arguments: str) -> Any:
    return json.loads(call("whet", *arguments, "--json"))


@pytest.mark.slow
def test_wandb_style_runs_as_it_is_and_whet_best_names_its_best_run(call: Any) -> None:
    call("python", str(EXAMPLES / "wandb_style.py"), "--count", "3", "--epochs", "4")
    runs = whet(call, "ls", "--project", "p")
    accuracy = {run["id"]: run["values"]["val_accuracy"] for run in runs if run["state"] == "finished"}
    assert len(runs) == 3
    best = whet(call, "best")
    assert best["sweep"]["project"] == "p"
    assert accuracy[best["run"]["id"]] == max(accuracy.values())
    assert set(best["run"]["params"]) == {"learning_rate", "batch_size", "optimizer"}
    assert 1e-4 <= best["run"]["params"]["learning_rate"] <= 1e-2


def test_wandb_style_differs_from_a_script_of_wandb_in_one_line() -> None:
    text = (EXAMPLES / "wandb_style.py").read_text()
    assert re.findall(r"^import whet.*|^from whet.*|\bwhet\.\w+\(", text, flags=re.M) == ["import whet as wandb"]


@pytest.mark.slow
def test_optuna_style_runs_as_it_is(call: Any) -> None:
    out = call("python", str(EXAMPLES / "optuna_style.py"), "--trials", "6", "--epochs", "2")
    assert out.startswith("6 trials: ")
    value = float(re.search(r"Value: (\S+)", out)[1])  # type: ignore[index]
    assert whet(call, "best")["run"]["values"]["value"] == pytest.approx(value)
    layers = int(re.search(r"n_layers: (\d)", out)[1])  # type: ignore[index]
    assert len(re.findall(r"n_units_l\d:", out)) == layers


def test_a_script_that_knows_nothing_of_whet_is_tuned_by_whet_run(call: Any) -> None:
    script = EXAMPLES / "train.py"
    assert "import whet" not in script.read_text()
    out = call(
        "whet", "run", str(script), "lr=loguniform[1e-4:1e-1]", "epochs=1", "-n", "2", "-j", "2",
        "--minimize", "val_loss",
    )  # fmt: skip
    assert "2/2 trials" in out
    runs = whet(call, "ls")
    assert [run["state"] for run in runs] == ["finished"] * 2
    assert whet(call, "best")["run"]["values"]["val_loss"] == min(run["values"]["val_loss"] for run in runs)


def test_the_sweep_file_is_the_sweep_of_the_demo() -> None:
    from examples.digits import SWEEP

    from whet.config import load, parse, to_mapping

    written = to_mapping(load(EXAMPLES / "digits.yaml"))
    assert written.pop("project") == "demo"
    assert written == to_mapping(parse(SWEEP))


@pytest.mark.slow
def test_the_sweep_file_is_worked_on_by_an_agent(call: Any) -> None:
    sweep = call("whet", "sweep", str(EXAMPLES / "digits.yaml")).strip()
    call("whet", "agent", "digits", "--function", "examples.digits:train", "-n", "1")
    assert whet(call, "best", sweep)["run"]["number"] == 0


@pytest.mark.slow
def test_the_demo_goes_on_where_it_stopped(call: Any) -> None:
    arguments = ("-m", "examples.digits", "--trials", "4", "--seeds", "1")
    first = call("python", *arguments)
    assert "sweep digits-4: 4 trials" in first
    again = call("python", *arguments)
    assert "going on with sweep digits-4" in again
    assert len(whet(call, "ls", "--sweep", "digits-4")) == 4
