from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from whet.trial import Phase


def test_lightnings_folder(tmp_path: Path, take: Any, store: Any) -> None:
    folder = tmp_path / "lightning_logs" / "version_0"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("epoch,step,train_loss,val_loss\n0,9,0.5,\n0,9,,0.75\n1,19,nan,\n")
    (folder / "hparams.yaml").write_text("lr: 0.01\nnet:\n  width: 8\n")
    (run,) = take(tmp_path).runs
    kept = store.runs.get(run.id)
    assert (kept.name, kept.config, kept.phase) == (
        "lightning_logs/version_0",
        {"lr": 0.01, "net": {"width": 8}},
        Phase.FINISHED,
    )
    curves = store.runs.metrics(run.id)
    assert (curves["train_loss"].steps, curves["val_loss"].steps, curves["val_loss"].values) == ([9, 19], [9], [0.75])
    assert math.isnan(curves["train_loss"].values[1])


def test_only_what_looks_like_metrics_unless_it_is_named(tmp_path: Path, take: Any, store: Any) -> None:
    (tmp_path / "data.csv").write_text("id,height\n1,2\n2,3\n")
    (tmp_path / "package.json").write_text('{"name": "x", "version": 1}')
    (tmp_path / "config.yaml").write_text("lr: 1\n")
    (tmp_path / "curve.csv").write_text("step,loss\n0,1\n")
    (tmp_path / "words.csv").write_text("step,word\nx,a\n")
    assert [run.name for run in take().runs] == ["curve"]
    (run,) = take(tmp_path / "data.csv", rows="steps").runs
    assert store.runs.metrics(run.id)["height"].steps == [0, 1]
    assert {run.name for run in take(format="csv", rows="steps").runs} >= {"curve", "data"}
    assert any("words.csv has no numbers" in trouble for _, trouble in take(format="csv").troubles)


def test_rows_that_are_runs(tmp_path: Path, take: Any, store: Any) -> None:
    path = tmp_path / "trials.csv"
    path.write_text(
        "run_id,name,state,params.lr,metrics.loss,val_acc,depth,note\nr1,first,FINISHED,0.1,0.5,0.9,3,x\nr2,second,FAILED,0.2,,,4,y\n"
    )
    runs = take().runs
    assert [(run.name, run.is_new) for run in runs] == [("first", True), ("second", True)]
    a, b = (store.runs.get(run.id) for run in runs)
    assert (a.config, a.summary) == (
        {"run_id": "r1", "name": "first", "lr": 0.1, "depth": 3, "note": "x"},
        {"loss": 0.5, "val_acc": 0.9},
    )
    assert (a.phase, b.phase, b.summary) == (Phase.FINISHED, Phase.FAILED, {})
    path.write_text(path.read_text() + "r3,third,COMPLETE,0.3,0.1,,5,z\n")
    assert [(run.name, run.is_new, run.changed) for run in take().runs] == [
        ("first", False, False), ("second", False, False), ("third", True, True),
    ]  # fmt: skip
    (one,) = take(path, rows="steps").runs
    assert one.metrics == ("depth", "metrics.loss", "params.lr", "val_acc")


@pytest.mark.parametrize(("name", "text"), [("log.jsonl", '{"step": 4, "a": {"b": 1.5}, "ok": true}\nrubbish\n{"a": {"b": Infinity}}\n'), ("log.csv", 'step,a.b,ok\n4,1.5,1\n,inf,\n')])  # fmt: skip
def test_lines(tmp_path: Path, take: Any, store: Any, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    result = take()
    curves = store.runs.metrics(result.runs[0].id)
    assert (curves["a.b"].values, curves["ok"].values) == ([1.5, math.inf], [1.0])
    assert len(result.troubles) == ("rubbish" in text)


def test_a_file_written_anew_is_another_run(tmp_path: Path, take: Any, store: Any) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n0,1\n1,0.5\n")
    (first,) = take().runs
    path.write_text("step,loss\n0,2\n")
    (second,) = take().runs
    assert second.is_new
    assert second.id != first.id
    path.write_text("step,loss\n0,1\n")
    result = take()
    assert "metrics.csv is shorter than it was when it was read last" in result.troubles[0][1]
    assert f"whet rm {first.id}" in result.troubles[0][1]
    assert store.runs.metrics(first.id)["loss"].values == [1.0, 0.5]


def test_quoted_cells_may_hold_ends_of_lines(tmp_path: Path, take: Any, store: Any) -> None:
    (tmp_path / "metrics.csv").write_text('step,note,loss\n0,"a ""b""\nc, d",1\n1,plain,0.5\n2,"x\n",0.25\n')
    (run,) = take().runs
    curve = store.runs.metrics(run.id)["loss"]
    assert (curve.steps, curve.values) == ([0, 1, 2], [1, 0.5, 0.25])


def test_a_large_file_is_read_in_pieces(tmp_path: Path, take: Any, store: Any, monkeypatch: Any) -> None:
    from whet.track.readers import files

    monkeypatch.setattr(files, "_PIECE_BYTES", 1000)
    (tmp_path / "log.csv").write_text("step,loss\n" + "".join(f"{i},{i / 2}\n" for i in range(1000)))
    (tmp_path / "log.jsonl").write_text("".join(f'{{"loss": {i / 2}}}\n' for i in range(1000)))
    sizes = []
    ship = store.runs.ship
    monkeypatch.setattr(store.runs, "ship", lambda *a: sizes.append(len(a[-1].rows)) or ship(*a))
    for run in take().runs:
        assert store.runs.metrics(run.id)["loss"].values == [i / 2 for i in range(1000)]
        assert store.runs.metrics(run.id)["loss"].steps == list(range(1000))
    assert len(sizes) > 20
    assert max(sizes) < 200


def test_two_at_once_take_nothing_in_twice(tmp_path: Path, take: Any, store: Any, monkeypatch: Any) -> None:
    from whet.track.readers import files

    monkeypatch.setattr(files, "_PIECE_BYTES", 500)
    (tmp_path / "log.csv").write_text("step,loss\n" + "".join(f"{i},{i / 2}\n" for i in range(300)))
    ship, calls = store.runs.ship, []

    def meanwhile(*args: Any) -> int:
        calls.append(args)
        if len(calls) == 2:
            take()  # another process, which reads it to its end
            with (tmp_path / "log.csv").open("a") as file:
                file.write("300,150\n")
        return int(ship(*args))

    monkeypatch.setattr(store.runs, "ship", meanwhile)
    (run,) = take().runs
    assert store.runs.metrics(run.id)["loss"].values == [i / 2 for i in range(301)]
    assert store.runs.get(run.id).stats["loss"].count == 301
