from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from tests.foreign.conftest import message, wandb_file, wandb_records, wandb_run

from whet.foreign.wandb import WandbReader
from whet.trial import Phase


def test_an_offline_run(tmp_path: Path, take: Any, store: Any) -> None:
    path = wandb_run(tmp_path, wandb_file(wandb_records()))
    (path.parent.parent / "latest-run").symlink_to(path.parent)
    result = take()
    assert result.troubles == []
    (run,) = result.runs
    kept = store.runs.get(run.id)
    assert (kept.name, kept.project, kept.group, kept.tags, kept.notes) == (
        "my run",
        "proj",
        "g1",
        ("a", "b"),
        "some notes",
    )
    assert kept.config == {"lr": 0.1, "model": {"width": 64}, "none": None, "later": 3}
    assert kept.summary == {"best": 0.25, "note": "fine"}  # what repeats the last logged value is left out
    assert (kept.phase, kept.started, kept.ended, kept.owner) == (Phase.FINISHED, 1700000000.5, 1700000100.0, "box")
    assert kept.meta["git"] == {"commit": "abc123", "remote": "https://***@host/x.git"}
    assert kept.meta["command"] == ["train.py", "--lr=1", "--api-key=***"]
    assert (kept.meta["job_type"], kept.meta["user"]) == ("train", "ada")
    assert kept.folder == str(path.parent / "files")  # where `whet logs` finds output.log
    curves = store.runs.metrics(run.id)
    assert sorted(curves) == ["loss", "nested.x", "odd", "system/cpu"]
    assert (curves["loss"].steps, curves["loss"].values) == (list(range(5)), [1 / (i + 1) for i in range(5)])
    assert curves["loss"].times[0] == 1_700_000_001.0
    assert math.isnan(curves["odd"].values[0])
    assert [r.changed for r in take().runs] == [False]


@pytest.mark.parametrize(("code", "now", "wanted"), [(3, 4e9, (Phase.FAILED, "exit code 3")), (None, 4e9, (Phase.FAILED, "its file ends without a word (killed?)")), (None, None, (Phase.RUNNING, ""))])  # fmt: skip
def test_how_it_ended(tmp_path: Path, take: Any, store: Any, code: int | None, now: float | None, wanted: Any) -> None:
    path = wandb_run(tmp_path, wandb_file(wandb_records(exit_code=code)))
    (run,) = take(now=path.stat().st_mtime + 5 if now is None else now).runs
    kept = store.runs.get(run.id)
    assert (kept.phase, kept.reason) == wanted


def test_a_growing_file_is_read_on_wherever_it_was_cut(tmp_path: Path, take: Any, store: Any) -> None:
    records = wandb_records(20)
    records.insert(9, message((13, message((3, "x" * 100_000)))))  # output, over several blocks
    data = wandb_file(records)
    path = wandb_run(tmp_path, data)
    whole = WandbReader(path).read().rows
    for cut in [*range(0, 700, 13), *range(31_000, 34_000, 171), *range(98_000, len(data), 501)]:
        path.write_bytes(data[:cut])
        first = WandbReader(path)
        begun = first.read()
        path.write_bytes(data)
        rest = WandbReader(path, first.offset)
        rest.started = 1_700_000_000.5
        assert repr([*begun.rows, *rest.read().rows]) == repr(list(whole))
        assert first.num_damaged == rest.num_damaged == 0
    path.write_bytes(data[:60_000])
    take(now=path.stat().st_mtime)
    path.write_bytes(data)
    (run,) = take().runs
    assert store.runs.metrics(run.id)["loss"].values == [1 / (i + 1) for i in range(20)]
    assert store.runs.get(run.id).phase is Phase.FINISHED


def test_damage_costs_the_rest_of_its_block(tmp_path: Path, take: Any, store: Any) -> None:
    data = bytearray(wandb_file(wandb_records(400)))
    assert len(data) > 3 * 32768
    data[40_000] ^= 255
    path = wandb_run(tmp_path, bytes(data))
    result = take()
    (run,) = result.runs
    steps = store.runs.metrics(run.id)["loss"].steps
    assert steps[0] == 0
    assert steps[-1] == 399
    assert 200 < len(steps) < 400
    ((where, trouble),) = result.troubles
    assert where == str(path.parent)
    assert "the record at byte 3" in trouble
    assert trouble.endswith(
        "is damaged; all else is taken"
    )  # once: what is left of the record behind the block is passed over


def test_a_resumed_run_is_one_run(tmp_path: Path, take: Any, store: Any) -> None:
    records = wandb_records(6, exit_code=None)
    wandb_run(tmp_path, wandb_file(records[:8]))
    wandb_run(tmp_path, wandb_file([*records[:2], *records[8:], message((18, b""))]), when="20261123_000000")
    (run,) = take().runs
    assert store.runs.metrics(run.id)["loss"].steps == list(range(6))
    assert store.runs.get(run.id).phase is Phase.FINISHED  # not what the first folder alone looks like
    assert [r.changed for _ in range(2) for r in take().runs] == [False, False]


def test_what_is_no_file_of_wandb_is_named(tmp_path: Path, take: Any) -> None:
    path = wandb_run(tmp_path, b"something else entirely")
    result = take()
    assert result.runs == []
    assert result.troubles == [(str(path), f"{path} is no file of W&B: it begins with b'somethi': leave it out")]
