from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.foreign.conftest import guild_run
from torch.utils.tensorboard import SummaryWriter

from whet.trial import Phase

A, B, C = (f"{letter}{i:031x}" for i, letter in enumerate("abc"))
ATTRS = {
    "flags": "layers: 2\nlr: 0.3\nname: hello\n", "label": "my label\n", "started": "1700000000250000\n", "stopped": "1700000001500000\n",
    "exit_status": "0\n", "host": "box\n", "user": "ada\n", "cmd": "- python\n- train.py\n- --api-key\n- hush\n", "tags": "- t1\n",
    "comments": "- body: a comment\n  host: box\n  time: 1700000000000000\n", "env": "TOKEN: hush\n", "vcs_commit": "git:abc\n",
}  # fmt: skip


def test_a_run(tmp_path: Path, take: Any, store: Any) -> None:
    folder = guild_run(tmp_path, A, ATTRS)
    for where, tag in ((folder / ".guild", "loss"), (folder / "val", "acc")):
        writer = SummaryWriter(str(where))
        for step in range(3):
            writer.add_scalar(tag, step / 4, step)
        writer.close()
    result = take()
    assert result.troubles == []
    (run,) = result.runs
    kept = store.runs.get(A)
    assert (run.id, run.kind, run.num_points, run.metrics) == (A, "guild", 6, ("loss", "val/acc"))
    assert (kept.name, kept.group, kept.tags, kept.notes) == ("train.py my label", "train.py", ("t1",), "a comment")
    assert kept.config == {"layers": 2, "lr": 0.3, "name": "hello"}
    assert (kept.phase, kept.started, kept.ended, kept.owner) == (Phase.FINISHED, 1700000000.25, 1700000001.5, "box")
    assert kept.meta["git"] == {"commit": "abc"}
    assert kept.meta["command"] == ["python", "train.py", "--api-key", "***"]
    assert "hush" not in repr(kept)
    assert store.runs.metrics(A)["val/acc"].values == [0, 0.25, 0.5]
    assert [r.changed for r in take().runs] == [False]


def test_ends_and_what_is_left_out(tmp_path: Path, take: Any, store: Any) -> None:
    flags = {"flags": "lr: 1\n"}
    guild_run(tmp_path, A, flags | {"exit_status": "3\n"}, opref="package:x 1.0 '' 'net' train")
    guild_run(tmp_path, B, flags | {"exit_status": "-15\n"})
    guild_run(tmp_path, C, flags | {"host": "far away"})
    (tmp_path / ".guild" / "runs" / C / ".guild" / "LOCK").write_text("123 uuid")
    for i, mark in enumerate(("PENDING", "STAGED", "proto")):
        (guild_run(tmp_path, f"d{i:031x}", flags) / ".guild" / mark).write_text("")
    trash = guild_run(tmp_path / "other", "e" * 32, flags)
    (tmp_path / ".guild" / "trash").mkdir()
    trash.parent.rename(tmp_path / ".guild" / "trash" / "runs")
    assert {r.id for r in take().runs} == {A, B, C}
    a, b, c = (store.runs.get(id) for id in (A, B, C))
    assert (a.phase, a.reason, a.group) == (Phase.FAILED, "exit status 3", "net:train")
    assert (b.phase, b.reason) == (Phase.CANCELED, "ended by signal 15")
    assert c.phase is Phase.RUNNING
