"""Files of runs that others wrote, kept as artifacts."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.foreign.conftest import guild_run, mlflow_experiment, mlflow_run, wandb_file, wandb_records, wandb_run

from whet.foreign import keeping
from whet.store.base import Batch
from whet.store.files import Limits
from whet.store.memory import MemoryStore

A = "a" * 32
PICKLE = b"cos\nsystem\n(S'true'\ntR."


def mlflow(root: Path) -> Path:
    run = mlflow_run(mlflow_experiment(root), A, params={"lr": "1"})
    (run / "artifacts" / "model" / "data").mkdir(parents=True)
    (run / "artifacts" / "model" / "MLmodel").write_text("flavors: {}\n")
    (run / "artifacts" / "model" / "data" / "model.pkl").write_bytes(PICKLE)
    (run / "artifacts" / "copy.pkl").write_bytes(PICKLE)
    return run / "artifacts"


def kept(store: MemoryStore, run: str) -> dict[str, bytes]:
    """Return the files that a run keeps, with their contents."""
    return {one.name: b"".join(store.files.read(run, one.name).pieces) for one in store.runs.artifacts(run)}


@pytest.fixture
def calls(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts files that are opened, and pieces that are sent."""
    counted: Counter[str] = Counter()
    send, opened = store.files.send, keeping.opened
    monkeypatch.setattr(store.files, "send", lambda *a: (counted.update(["sent"]), send(*a))[1])
    monkeypatch.setattr(keeping, "opened", lambda path: (counted.update(["opened"]), opened(path))[1])
    return counted


def test_they_are_kept_once_and_read_again_only_when_something_was_written(
    tmp_path: Path, take: Any, store: MemoryStore, calls: Counter[str]
) -> None:
    folder = mlflow(tmp_path)
    (run,) = take().runs
    assert (run.num_files, kept(store, run.id)) == (0, {})  # off by default
    (run,) = take(files=True, dry_run=True).runs
    assert (run.num_files, kept(store, run.id), calls["sent"]) == (3, {}, 0)
    (run,) = take(files=True).runs
    files = {"copy.pkl": PICKLE, "model/MLmodel": b"flavors: {}\n", "model/data/model.pkl": PICKLE}
    assert (run.num_files, run.changed, run.is_new, kept(store, A)) == (3, True, False, files)
    assert calls["sent"] == 2  # two have one content
    calls.clear()
    for more in ({"files": True}, {}, {"files": True}):
        (run,) = take(**more).runs
        assert (run.num_files, run.changed) == (0, False)
    assert not calls
    (folder / "copy.pkl").write_bytes(b"new")
    (run,) = take(files=True).runs
    assert (run.num_files, run.changed, kept(store, A)) == (1, True, files | {"copy.pkl": b"new"})
    assert calls == {"opened": 3 + 1, "sent": 1}
    (folder / "copy.pkl").unlink()
    take(files=True)
    assert kept(store, A)["copy.pkl"] == b"new"  # what is gone there stays here


def test_of_each_format(tmp_path: Path, take: Any, store: MemoryStore) -> None:
    mlflow(tmp_path / "m")
    guild = guild_run(tmp_path / "g", "b" * 32, {"flags": "lr: 1", "exit_status": "0"})
    (guild / "out").mkdir()
    (guild / "out" / "model.bin").write_bytes(b"1")
    (guild / "out" / "events.out.tfevents.17.host").write_bytes(b"")
    path = wandb_run(tmp_path / "w", wandb_file(wandb_records()))
    wandb_run(tmp_path / "w", wandb_file(wandb_records(1)), when="20261123_000000")
    for name, text in (("media/images/a.png", "png"), ("wandb-metadata.json", "{}"), ("wandb-summary.json", "{}")):
        (path.parent / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "files" / name).write_text(text)
    trainer = tmp_path / "t"
    (trainer / "runs").mkdir(parents=True)
    (trainer / "checkpoint-3").mkdir()
    (trainer / "trainer_state.json").write_text(json.dumps({"log_history": [{"step": 1, "loss": 1.0}]}))
    for name in (
        "model.safetensors",
        "config.json",
        "training_args.bin",
        "all_results.json",
        "checkpoint-3/optimizer.pt",
    ):
        (trainer / name).write_text("{}")
    result = take(files=True)
    assert result.troubles == []
    assert {run.kind: sorted(kept(store, run.id)) for run in result.runs} == {
        "mlflow": ["copy.pkl", "model/MLmodel", "model/data/model.pkl"],
        "guild": ["out/model.bin"],
        "wandb": ["media/images/a.png", "output.log"],
        "huggingface": ["config.json", "model.safetensors", "training_args.bin"],
    }
    assert [run.num_files for run in take(files=True).runs] == [0, 0, 0, 0]


def test_hostile_files(tmp_path: Path, take: Any, store: MemoryStore) -> None:
    folder = mlflow(tmp_path)
    (tmp_path / "secret").write_text("hush")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "links").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    (folder / "a:b").write_text("1")
    (folder / "a?b").write_text("2")
    (folder / os.fsdecode(b"odd\xff")).write_text("3")
    result = take(files=True)
    files = kept(store, A)
    assert files.keys() == {"copy.pkl", "model/MLmodel", "model/data/model.pkl", "a_b", "odd\ufffd"}
    assert (files["a_b"], files["odd\ufffd"]) == (b"1", b"3")
    ((_, trouble),) = result.troubles
    assert "another file is called 'a_b', too" in trouble
    (again,) = take(files=True).runs
    assert (again.num_files, again.changed) == (0, False)


def test_one_that_changes_while_it_is_kept_is_kept_by_the_next_look(
    tmp_path: Path, take: Any, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = mlflow(tmp_path)
    ship = store.runs.ship

    def meanwhile(*args: Any) -> int:
        if args[-1].artifacts:
            (folder / "model" / "MLmodel").write_text("another\n")
        return ship(*args)

    with monkeypatch.context() as patched:
        patched.setattr(store.runs, "ship", meanwhile)
        result = take(files=True)
    ((_, trouble),) = result.troubles
    assert "MLmodel is not kept" in trouble
    assert "has changed since it was kept" in trouble
    result = take(files=True)
    assert (result.troubles, result.runs[0].num_files) == ([], 1)
    assert kept(store, A)["model/MLmodel"] == b"another\n"


def test_what_is_too_large_is_named_and_all_else_is_kept(tmp_path: Path, take: Any, store: MemoryStore) -> None:
    folder = mlflow(tmp_path)
    (folder / "big").write_bytes(bytes(5000))
    files: Any = store.files
    files.limits = Limits(file_bytes=4000)
    for num_new in (4, 0):
        result = take(files=True)
        ((_, trouble),) = result.troubles
        assert "'big' has 5000 bytes, and this server takes 4000 a file" in trouble
        assert result.runs[0].num_files == num_new
        assert {one.artifact.name for one in store.files.standing(A) if not one.here} == {"big"}
    files.limits = Limits()
    assert take(files=True).troubles == []
    assert kept(store, A)["big"] == bytes(5000)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_look_that_breaks_off_is_gone_on_with(
    tmp_path: Path, take: Any, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    from whet.track import uploads

    monkeypatch.setattr(uploads, "_PIECE_BYTES", 10)
    mlflow(tmp_path)
    send, left = store.files.send, [after]

    def broken(*args: Any) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return send(*args)

    with monkeypatch.context() as patched:
        patched.setattr(store.files, "send", broken)
        with pytest.raises(KeyboardInterrupt):
            take(files=True)
    assert take(files=True).troubles == []
    assert kept(store, A) == {
        "copy.pkl": PICKLE,
        "model/MLmodel": b"flavors: {}\n",
        "model/data/model.pkl": PICKLE,
    }


def test_content_that_the_store_has_lost_is_brought_again(
    tmp_path: Path, take: Any, store: MemoryStore, calls: Counter[str]
) -> None:
    folder = mlflow(tmp_path)
    take(files=True)
    (folder / "model" / "MLmodel").unlink()
    take(files=True)
    files: Any = store.files
    for blob in list(files.blobs.all()):
        files.blobs.drop(blob)
    for counted in ({"opened": 2 + 1, "sent": 1}, {}):  # one is gone on both sides: nothing can be done, and nothing is
        calls.clear()
        result = take(files=True)
        assert (result.troubles, calls) == ([], counted)
        assert {one.artifact.name for one in store.files.standing(A) if not one.here} == {"model/MLmodel"}
        assert [b"".join(files.read(A, name).pieces) for name in ("copy.pkl", "model/data/model.pkl")] == [PICKLE] * 2


def test_one_that_somebody_else_has_replaced_is_looked_at_again(
    tmp_path: Path, take: Any, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow(tmp_path)
    send = store.files.send

    def outrun(run: str, sha256: str, offset: int, piece: bytes) -> int:
        if piece == PICKLE:
            theirs = [replace(one, sha256="0" * 64) for one in store.runs.artifacts(run) if one.sha256 == sha256]
            store.runs.ship(run, 0, "other", 0, 0, Batch(artifacts=theirs))
        return send(run, sha256, offset, piece)

    with monkeypatch.context() as patched:
        patched.setattr(store.files, "send", outrun)
        assert take(files=True).troubles == []
    assert "files" not in store.runs.get(A).meta["source"]
    assert take(files=True).troubles == []
    assert kept(store, A)["copy.pkl"] == PICKLE


def test_more_files_than_a_run_can_have(tmp_path: Path, take: Any, store: MemoryStore, monkeypatch: Any) -> None:
    monkeypatch.setattr(keeping, "_MOST_FILES", 2)
    mlflow(tmp_path)
    ((_, trouble),) = take(files=True).troubles
    assert "has more than 2 files: the others are not kept" in trouble
    assert len(kept(store, A)) == 2
