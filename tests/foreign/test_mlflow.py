from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tests.foreign.conftest import mlflow_experiment, mlflow_run

from whet.trial import Phase

A, B, C, D = (f"{letter}{i:031x}" for i, letter in enumerate("abcd"))


def filled(root: Path) -> Path:
    experiment = mlflow_experiment(root)
    mlflow_run(
        experiment,
        A,
        params={"lr": "0.1", "opt": "adam", "flag": "True", "model/width": "64", "zip": "01234"},
        metrics={
            "loss": "1700000001000 1.0 0\n1700000002000 0.5 1\n",
            "val/acc": "1700000002500 0.25 7 data abc m-1\n",
            "odd": "1700000003000 nan 0\n1700000004000 -inf 1\n",
        },
        tags={
            "mlflow.runName": "parent run", "mlflow.user": "ada", "mlflow.source.name": "train.py", "mlflow.note.content": "a note",
            "mlflow.source.git.commit": "f" * 40, "mlflow.source.git.repoURL": "https://me:pw@host/x.git", "team": "vision", "long": "x" * 200,
        },
    )  # fmt: skip
    mlflow_run(experiment, B, status=4, metrics={"loss": "1700000001000 9 0\n"}, tags={"mlflow.parentRunId": A})
    mlflow_run(experiment, C, status=1, end="null", params={"lr": "1"})
    mlflow_run(experiment, D, stage="deleted", params={"lr": "1"})
    return experiment


def test_a_file_store(tmp_path: Path, take: Any, store: Any) -> None:
    filled(tmp_path)
    mlflow_run(mlflow_experiment(tmp_path, "gone", id="13", stage="deleted"), "e" * 32, params={"a": "1"})
    mlflow_run(tmp_path / "mlruns" / ".trash" / "14", "0" * 31 + "9", params={"a": "1"})
    result = take()
    assert result.troubles == []
    assert {(r.id, r.kind, r.project, r.is_new, r.num_points) for r in result.runs} == {
        (A, "mlflow", "digits", True, 5), (B, "mlflow", "digits", True, 1), (C, "mlflow", "digits", True, 0),
    }  # fmt: skip
    a, b, c = (store.runs.get(id) for id in (A, B, C))
    assert (a.name, a.phase, a.notes, a.tags) == ("parent run", Phase.FINISHED, "a note", ("team=vision",))
    assert a.config == {"lr": 0.1, "opt": "adam", "flag": True, "model/width": 64, "zip": "01234"}
    assert (a.started, a.ended) == (1700000000.25, 1700000060.5)
    assert a.meta["git"] == {"commit": "f" * 40, "branch": None, "remote": "https://***@host/x.git"}
    assert (a.meta["user"], a.meta["command"], a.meta["tags"]) == ("ada", ["train.py"], {"long": "x" * 200})
    assert a.meta["source"] == {"format": "mlflow", "path": str(tmp_path / "mlruns" / "12" / A), "state": "finished"}
    curves = store.runs.metrics(A)
    assert (curves["loss"].steps, curves["loss"].values, curves["loss"].times) == (
        [0, 1],
        [1.0, 0.5],
        [1700000001.0, 1700000002.0],
    )
    assert (curves["val/acc"].steps, curves["val/acc"].values) == ([7], [0.25])
    assert math.isnan(curves["odd"].values[0])
    assert curves["odd"].values[1] == -math.inf
    assert (b.phase, b.parent) == (Phase.FAILED, A)
    assert (c.phase, c.ended) == (Phase.RUNNING, None)


def test_again_only_what_is_new_comes_in(tmp_path: Path, take: Any, store: Any) -> None:
    experiment = filled(tmp_path)
    take()
    store.runs.edit(A, name="mine", tags=["kept"])
    before = store.runs.get(A)
    again = take()
    assert [r.changed for r in again.runs] == [False] * 3
    assert sum(r.num_points for r in again.runs) == 0
    assert store.runs.get(A) == before
    with (experiment / A / "metrics" / "loss").open("a") as file:
        file.write("1700000009000 0.25 2\n170000001")  # the last line is still being written
    mlflow_run(experiment, C, status=5, params={"lr": "1", "late": "2"})
    more = {r.id: r for r in take().runs}
    assert (more[A].num_points, more[A].metrics, more[B].changed, more[C].changed) == (1, ("loss",), False, True)
    assert store.runs.metrics(A)["loss"].steps == [0, 1, 2]
    assert (store.runs.get(A).name, store.runs.get(A).tags) == ("mine", ("kept",))
    assert (store.runs.get(C).phase, store.runs.get(C).config) == (Phase.CANCELED, {"lr": 1, "late": 2})


def test_what_is_damaged_is_named_and_the_rest_comes_in(tmp_path: Path, take: Any, store: Any) -> None:
    experiment = filled(tmp_path)
    (experiment / A / "metrics" / "loss").write_bytes(
        b"1700000001000 1.0 0\nrubbish\n1700000001000 x 1\n1700000002000 0.5 1\n"
    )
    (experiment / B / "meta.yaml").write_text("run_id: [")
    result = take()
    assert {r.id for r in result.runs} == {A, C}
    assert store.runs.metrics(A)["loss"].values == [1.0, 0.5]
    told = dict(result.troubles)
    assert told[str(experiment / A)].endswith("loss: the line at byte 20 is damaged, and 1 more; all else is taken")
    assert "meta.yaml is no YAML (while parsing" in told[str(experiment / B / "meta.yaml")]


def test_links_lead_nowhere(tmp_path: Path, take: Any, store: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush")
    outside = tmp_path / "outside"
    (outside / "p").mkdir(parents=True)
    (outside / "p" / "hush").write_text("hush")
    root = tmp_path / "in"
    experiment = mlflow_experiment(root)
    mlflow_run(experiment, A, params={"lr": "1"}, metrics={})
    (experiment / A / "params" / "stolen").symlink_to(secret)
    (experiment / A / "params" / "deep").symlink_to(outside)
    (root / "elsewhere").symlink_to(outside, target_is_directory=True)
    take(root)
    assert store.runs.get(A).config == {"lr": 1}
    assert "hush" not in repr(store.runs.get(A))


def test_runs_come_in_the_order_in_which_they_began(tmp_path: Path, take: Any, store: Any) -> None:
    experiment = mlflow_experiment(tmp_path)
    for id, second in ((A, 3), (B, 1), (C, 2)):
        meta = mlflow_run(experiment, id, params={"lr": "1"}) / "meta.yaml"
        meta.write_text(meta.read_text().replace("start_time: 1700000000250", f"start_time: {1700000000000 + second}"))
    assert [run.id for run in take().runs] == [B, C, A]
    assert [run.id for run in store.runs.select()] == [A, C, B]
