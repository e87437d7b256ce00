from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from whet.trial import Phase


def written(folder: Path, steps: range = range(5), *, new_style: bool = False, **more: float) -> None:
    writer = SummaryWriter(str(folder))
    for step in steps:
        writer.add_scalar("loss", 1 / (step + 1), step, walltime=1_700_000_000 + step, new_style=new_style)
        for tag, value in more.items():
            writer.add_scalar(tag, value, step, walltime=1_700_000_000 + step)
    writer.close()


def test_each_folder_is_a_run(tmp_path: Path, take: Any, store: Any) -> None:
    logs = tmp_path / "logs"
    written(logs / "a", bad=float("nan"))
    written(logs / "deep" / "b", new_style=True)
    writer = SummaryWriter(str(logs / "pictures"))
    writer.add_histogram("h", np.arange(20.0))
    writer.close()
    (logs / "a" / "hparams.yaml").write_text("lr: 0.1\nmodel: !!python/object:some.Model {width: 3}\n")
    result = take(logs, project="mine")
    assert result.troubles == []
    assert result.num_empty == 1
    assert [(r.name, r.kind, r.project, r.metrics) for r in result.runs] == [
        ("a", "tensorboard", "mine", ("bad", "loss")), ("deep/b", "tensorboard", "mine", ("loss",)),
    ]  # fmt: skip
    a = store.runs.get(result.runs[0].id)
    assert (a.phase, a.started, a.ended) == (Phase.FINISHED, 1_700_000_000, 1_700_000_004)
    assert a.config == {"lr": 0.1, "model": {"width": 3}}
    assert a.stats["loss"].count == 5
    assert store.runs.metrics(a.id)["loss"].steps == list(range(5))


def test_hparams_are_the_configuration(tmp_path: Path, take: Any, store: Any) -> None:
    writer = SummaryWriter(str(tmp_path / "run"))
    writer.add_scalar("loss", 0.5, 0)
    writer.add_hparams({"lr": 0.1, "opt": "adam", "flag": True}, {"hparam/acc": 0.9}, run_name="1700000000.5")
    writer.close()
    (run,) = take().runs
    kept = store.runs.get(run.id)
    assert kept.config == {"lr": 0.1, "opt": "adam", "flag": True}
    assert run.metrics == ("hparam/acc", "loss")
    assert kept.phase is Phase.FINISHED


def test_it_grows(tmp_path: Path, take: Any, store: Any) -> None:
    written(tmp_path / "run", range(3))
    (path,) = (tmp_path / "run").iterdir()
    (first,) = take(now=path.stat().st_mtime + 60).runs
    assert store.runs.get(first.id).phase is Phase.RUNNING  # it may go on
    written(tmp_path / "run", range(3, 6))
    (second,) = take().runs
    assert (second.id, second.is_new, second.num_points) == (first.id, False, 3)
    kept = store.runs.get(first.id)
    assert (kept.phase, kept.ended) == (Phase.FINISHED, 1_700_000_005)
    assert store.runs.metrics(first.id)["loss"].steps == list(range(6))
    written(tmp_path / "run", range(6, 8))
    take()
    assert store.runs.get(first.id).ended == 1_700_000_007


def test_a_torn_and_a_damaged_file(tmp_path: Path, take: Any, store: Any) -> None:
    written(tmp_path / "run", range(20))
    (path,) = (tmp_path / "run").iterdir()
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:-20])
    result = take()
    assert (result.troubles, result.runs[0].num_points) == ([], 19)  # as if the last one were still being written
    at = 0
    for _ in range(6):  # the version, and five points
        at += struct.unpack_from("<Q", data, at)[0] + 16
    data[at + 1] ^= 255  # in a length: nothing tells where the next one begins
    other = tmp_path / "other" / path.name
    other.parent.mkdir()
    other.write_bytes(data)
    result = take(other.parent)
    assert result.runs[0].num_points == 5
    assert result.troubles == [
        (str(other.parent), f"{other}: what comes after byte {at} is damaged; all else is taken")
    ]


def test_what_lies_beside_event_files_makes_no_second_run(tmp_path: Path, take: Any, store: Any) -> None:
    written(tmp_path / "trial")
    (tmp_path / "trial" / "progress.csv").write_text("training_iteration,loss\n1,2\n")
    (tmp_path / "trial" / "params.json").write_text('{"lr": 0.5}')
    (tmp_path / "trial" / "results.json").write_text('{"acc": 0.5}')
    (run,) = take().runs
    assert store.runs.get(run.id).config == {"lr": 0.5}


def test_of_one_second_the_writers_count_tells_which_file_is_older(tmp_path: Path, take: Any) -> None:
    written(tmp_path)
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / "events.out.tfevents.1700000000.box.7.9")
    (first,) = take().runs
    (tmp_path / "events.out.tfevents.1700000000.box.7.10").write_bytes(
        (tmp_path / "events.out.tfevents.1700000000.box.7.9").read_bytes()
    )
    assert [run.id for run in take().runs] == [first.id]
