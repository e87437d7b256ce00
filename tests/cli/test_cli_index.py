from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.foreign.conftest import mlflow_experiment, mlflow_run, wandb_file, wandb_records, wandb_run

A, B = "a" * 32, "b" * 32


@pytest.fixture
def others(workspace: Path) -> Path:
    """A folder with a run of MLflow, one of W&B, and a CSV file."""
    root = workspace / "others"
    mlflow_run(mlflow_experiment(root), A, params={"lr": "0.1"}, metrics={"loss": "1700000001000 1.0 0\n1700000002000 0.5 1\n"}, name="first")  # fmt: skip
    wandb_run(root, wandb_file(wandb_records()))
    (root / "exp1").mkdir()
    (root / "exp1" / "metrics.csv").write_text("step,loss\n0,1\n1,0.5\n")
    return root


def test_index_and_again(whet: Any, others: Path, store: Any) -> None:
    done = whet("index", others)
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[0].split() == ["run", "name", "from", "state", "metrics", "points", "project"]
    assert lines[-1] == "3 runs found (1 mlflow, 1 wandb, 1 csv), 3 new, 16 points added"
    assert "new" in lines[1]
    again = whet("index", others)
    assert again.output == "3 runs found (1 mlflow, 1 wandb, 1 csv), none is new, no new points\n"
    with (others / "mlruns/12" / A / "metrics/loss").open("a") as file:
        file.write("1700000003000 0.25 2\n")
    more = whet("index", others, "--json")
    told = json.loads(more.output)
    assert [(r["id"], r["num_points"], r["metrics"]) for r in told["runs"] if r["changed"]] == [(A, 1, ["loss"])]
    assert (told["troubles"], told["num_empty"], told["dry_run"]) == ([], 0, False)
    assert store.runs.projects() == {"digits": 1, "proj": 1, "default": 1}
    assert "hello" in whet("logs", "my run").output
    shown = whet("show", "my run").output
    assert f"from     wandb in {others / 'wandb'}" in shown
    assert "host     box, Python 3.11" in shown


def test_dry_run_writes_nothing(whet: Any, others: Path, workspace: Path) -> None:
    done = whet("index", others, "--dry-run", "--project", "mine")
    assert (
        done.output.splitlines()[-1]
        == "3 runs found (1 mlflow, 1 wandb, 1 csv), 3 would be new, 16 points would be added"
    )
    assert "mine" in done.output
    assert not (workspace / ".whet").exists()


def test_what_is_damaged_is_named_and_the_status_says_so(whet: Any, others: Path) -> None:
    (others / "wandb" / "offline-run-1-x").mkdir()
    (others / "wandb" / "offline-run-1-x" / "run-x.wandb").write_bytes(b"no such thing")
    (others / "link").symlink_to("/etc")
    done = whet("index", others)
    assert done.exit_code == 1
    assert "run-x.wandb is no file of W&B" in done.stderr
    assert done.stdout.splitlines()[-1].endswith("3 new, 16 points added, 1 link not followed, 1 trouble (see above)")


def test_nothing_found_and_no_such_place(whet: Any, workspace: Path) -> None:
    (workspace / "empty").mkdir()
    none = whet("index", "empty")
    assert none.exit_code == 1
    assert "no run found in empty (1 folder looked at)" in none.stderr
    assert not (workspace / ".whet").exists()
    gone = whet("index", "nowhere")
    assert (gone.exit_code, "there is nothing at nowhere" in gone.stderr) == (1, True)
    assert whet("index", "empty", "--format", "nonsense").exit_code == 2
    assert whet("index").exit_code == 2


def test_the_formats_of_the_command_are_those_there_are() -> None:
    from whet.cli.index import _FORMATS
    from whet.foreign.find import FORMATS

    assert list(_FORMATS) == ["auto", *(kind.name for kind in FORMATS)]


def test_ctrl_c_keeps_what_was_read_and_the_rest_comes_next_time(workspace: Path, store: Any) -> None:
    path = workspace / "metrics.csv"
    path.write_text("step,loss\n" + "".join(f"{i},{i / 2}\n" for i in range(5_000)))
    # The third piece is when the user has had enough.
    program = (
        "import os, signal, sys\n"
        "from whet.track.readers import files\n"
        "from whet.store.runs import SqlRuns\n"
        "files._PIECE_BYTES = 5_000\n"
        "ship, count = SqlRuns.ship, [0]\n"
        "def counted(*args):\n"
        "    count[0] += 1\n"
        "    if count[0] == 3: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return ship(*args)\n"
        "SqlRuns.ship = counted\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from whet.cli.main import main\n"
        "main(['index', 'metrics.csv'])\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert (ended.returncode, ended.stderr) == (130, "\ninterrupted\n")
    (run,) = store.runs.select()
    before = len(store.runs.metrics(run.id)["loss"].values)
    assert 0 < before < 5_000
    from whet.foreign.find import find
    from whet.foreign.index import index

    (rest,) = index(find([path]), store).runs
    assert (rest.is_new, rest.num_points) == (False, 5_000 - before)
    assert store.runs.metrics(run.id)["loss"].values == [i / 2 for i in range(5_000)]


def test_files_come_along_when_asked_for(whet: Any, workspace: Path) -> None:
    folder = mlflow_run(mlflow_experiment(workspace), A, params={"lr": "1"}) / "artifacts" / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"weights")
    assert whet("index", "mlruns").output.splitlines()[-1] == "1 run found (1 mlflow), 1 new, no new points"
    assert whet("index", "mlruns", "--files", "--dry-run").output.splitlines()[-1].endswith("1 file would be kept")
    assert json.loads(whet("index", "mlruns", "--files", "--json").stdout)["runs"][0]["num_files"] == 1
    assert whet("artifacts", "get", A, "model/weights.bin", "-o", "-").stdout_bytes == b"weights"
    again = whet("index", "mlruns", "--files")
    assert again.output == "1 run found (1 mlflow), none is new, no new points\n"
    assert whet("db", "check").exit_code == 0


def test_what_strangers_write_does_not_steer_the_terminal(whet: Any, workspace: Path) -> None:
    evil = "\x1b]0;owned\x07"
    folder = mlflow_run(mlflow_experiment(workspace, f'"x\\e{evil!r}"'.replace("'", "")), A, params={evil: evil}, tags={"mlflow.runName": evil, "mlflow.source.name": evil, evil: evil, "mlflow.note.content": evil}, metrics={"loss": "x\n1700000001000 1 0\n", evil: "1700000001000 1 0\n"})  # fmt: skip
    (folder / "params" / f"bad{evil}").write_bytes(b"x" * (2 << 20))
    (folder / "artifacts" / f"file{evil}").write_bytes(b"x")
    (folder / "artifacts" / evil).symlink_to("nowhere")
    for args in (
        ("index", "mlruns", "--dry-run"),
        ("index", "mlruns", "--files"),
        ("ls",),
        ("show", A),
        ("artifacts", "ls", A),
    ):
        done = whet(*args)
        assert "\x1b" not in done.output
        assert "\x07" not in done.output
