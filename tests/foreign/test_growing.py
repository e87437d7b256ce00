"""Files that are being written: whatever is looked at in between, in the end there is what one look at the whole file gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.foreign.conftest import OLD, guild_run, mlflow_experiment, mlflow_run, wandb_file, wandb_records, wandb_run
from torch.utils.tensorboard import SummaryWriter

from whet.foreign import mlflow as foreign_mlflow
from whet.foreign.find import find
from whet.foreign.index import Result, index
from whet.store.base import Run, RunQuery
from whet.store.memory import MemoryStore
from whet.track.readers import files
from whet.trial import Phase

LIGHTNING = "epoch,step,train_loss\n0,0,1.25\n0,1,0.125\n"


def csv(root: Path) -> tuple[Path, bytes]:
    return root / "metrics.csv", b'step,loss,note\n0,0.53125,"a\n""b"","\n1,0.12345,x\n\n2,1e-05,"\n"\n3,12.5,y\n'


def long(root: Path) -> tuple[Path, bytes]:
    return root / "all.csv", b"run_id,step,loss\na,0,1.25\na,1,0.5\nb,0,22.5\na,2,0.25\nb,1,1.5\n"


def lines(root: Path) -> tuple[Path, bytes]:
    return (
        root / "metrics.jsonl",
        b'{"step": 0, "loss": 1.25}\n{"step": 1, "loss": {"a": 0.5}}\n\n{"step": 12, "loss": 25}\n',
    )


def mlflow(root: Path) -> tuple[Path, bytes]:
    run = mlflow_run(mlflow_experiment(root), "a" * 32, status=1, metrics={"loss": ""})
    return (
        run / "metrics" / "loss",
        b"1700000000000 0.53125 0\n1700000001000 0.125 1\n1700000002000 1e-05 12 data abc\n",
    )


def events(root: Path) -> tuple[Path, bytes]:
    with SummaryWriter(str(root / "elsewhere")) as writer:
        for step in range(3):
            writer.add_scalar("loss", 1 / (step + 1), step, walltime=1_700_000_000 + step)
    (path,) = (root / "elsewhere").iterdir()
    data = path.read_bytes()
    path.unlink()
    return path, data


def kept(store: MemoryStore) -> list[Any]:
    runs = store.runs.select(RunQuery())
    return sorted(
        (run.id, {name: (c.steps, c.values) for name, c in store.runs.metrics(run.id).items()}, run.phase)
        for run in runs
    )


def look(store: MemoryStore, root: Path, now: float = OLD) -> Result:
    return index(find([root], now=now), store)


@pytest.mark.parametrize("kind", [csv, long, lines, mlflow, events])
def test_cut_at_every_byte(tmp_path: Path, kind: Callable[[Path], tuple[Path, bytes]]) -> None:
    path, data = kind(tmp_path)
    whole, growing = MemoryStore(), MemoryStore()
    path.write_bytes(data)
    assert look(whole, tmp_path).troubles == []
    assert sum(len(steps) for _, curves, _ in kept(whole) for steps, _ in curves.values()) >= 3
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        young = path.stat().st_mtime + 1
        assert look(growing, tmp_path, young).troubles == []
        once = MemoryStore()
        assert look(once, tmp_path, young).troubles == []
        path.write_bytes(data)
        assert look(once, tmp_path).troubles == []
        assert kept(once) == kept(whole)
    look(growing, tmp_path)
    assert kept(growing) == kept(whole)


def test_an_end_that_is_there_at_last(tmp_path: Path, take: Any, store: MemoryStore) -> None:
    """Without an end of line a row counts once its file is quiet, unless it ends where a buffer is full."""
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n0,1\n1,0.12")
    (run,) = take(now=path.stat().st_mtime + 1).runs
    assert run.num_points == 1
    rows = "step,loss\n" + "".join(f"{i},{i / 7:.20f}\n" for i in range(500))
    other = tmp_path / "log.csv"
    other.write_text(rows[:4096])
    by_name = {r.path: store.runs.metrics(r.id)["loss"] for r in take().runs}
    assert by_name[str(path)].values == [1, 0.12]
    assert len(by_name[str(other)].values) == rows[:4096].count("\n") - 1
    other.write_text(rows)
    take()
    (found,) = [r for r in store.runs.select(RunQuery()) if r.name == "log"]
    assert store.runs.metrics(found.id)["loss"].values == [float(f"{i / 7:.20f}") for i in range(500)]


def test_a_csv_written_anew_with_one_more_column_is_the_same_run(tmp_path: Path, take: Any, store: MemoryStore) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(LIGHTNING)
    (first,) = take(now=path.stat().st_mtime + 1).runs
    path.write_text("epoch,step,train_loss,val_loss\n0,0,1.25,\n0,1,0.125,\n0,1,,0.75\n1,2,0.0625,\n")
    result = take()
    assert [(r.id, r.is_new) for r in result.runs] == [(first.id, False)]
    assert result.troubles == []
    curves = store.runs.metrics(first.id)
    assert (curves["train_loss"].values, curves["val_loss"].values) == ([1.25, 0.125, 0.0625], [0.75])
    assert [run.phase for run in store.runs.select(RunQuery())] == [Phase.FINISHED]


@pytest.mark.parametrize("kind", [csv, lines, events])
def test_a_run_that_was_quiet_goes_on(tmp_path: Path, kind: Callable[[Path], tuple[Path, bytes]]) -> None:
    path, data = kind(tmp_path)
    store = MemoryStore()

    def run() -> Run:
        (found,) = store.runs.select(RunQuery())
        return found

    path.write_bytes(data[:-30])
    look(store, tmp_path)
    assert run().phase is Phase.FINISHED
    path.write_bytes(data)
    (told,) = look(store, tmp_path, path.stat().st_mtime + 1).runs
    assert (told.phase, told.changed, run().phase, run().ended) == (Phase.RUNNING, True, Phase.RUNNING, None)
    (told,) = look(store, tmp_path).runs
    assert (told.phase, told.changed, run().phase) == (Phase.FINISHED, True, Phase.FINISHED)
    assert not look(store, tmp_path).runs[0].changed


@pytest.mark.parametrize("is_table", [False, True])
def test_a_file_that_grows_while_it_is_read(
    tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, is_table: bool
) -> None:
    monkeypatch.setattr(files, "_PIECE_BYTES", 200)
    monkeypatch.setattr(foreign_mlflow, "_PIECE_BYTES", 200)
    if is_table:
        path = tmp_path / "metrics.csv"
        rows = ["step,loss\n", *(f"{i},{i / 2}\n" for i in range(200))]
    else:
        path = mlflow_run(mlflow_experiment(tmp_path), "a" * 32, status=1, metrics={"loss": ""}) / "metrics" / "loss"
        rows = [f"1700000000000 {i / 2} {i}\n" for i in range(200)]
    path.write_text("".join(rows[:50]))
    left = rows[50:]

    def on_run(number: int, total: int, where: str) -> None:
        if "% of" in where:
            with path.open("a") as file:
                file.write("".join(left[:25]))
            del left[:25]

    result = index(find([tmp_path], now=path.stat().st_mtime + 1), store, on_run=on_run)
    assert (result.troubles, left) == ([], [])
    assert store.runs.metrics(result.runs[0].id)["loss"].steps == list(range(200))


def test_who_ended_a_run_by_hand_keeps_it_so(tmp_path: Path, take: Any, store: MemoryStore) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(LIGHTNING)
    (run,) = take(now=path.stat().st_mtime + 1).runs
    store.runs.finish(run.id, Phase.CANCELED, "no use")
    path.write_text(LIGHTNING + "1,2,0.5\n")
    for now in (path.stat().st_mtime + 1, OLD):
        (again,) = take(now=now).runs
        assert (again.phase, store.runs.get(run.id).reason) == (Phase.CANCELED, "no use")
    assert store.runs.metrics(run.id)["train_loss"].steps == [0, 1, 2]


@pytest.mark.parametrize("breaks", ["reopen", "ship", "finish"])
def test_a_look_that_breaks_off_leaves_nothing_that_the_next_one_takes_for_the_users(
    tmp_path: Path, take: Any, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, breaks: str
) -> None:
    records = wandb_records(6, exit_code=None)
    wandb_run(tmp_path, wandb_file(records))
    (run,) = take().runs
    assert store.runs.get(run.id).phase is Phase.FAILED  # it looks killed
    wandb_run(tmp_path, wandb_file([*records[:2], *wandb_records(1)[-1:]]), when="20261123_000000")

    def broken(*args: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(store.runs, breaks, broken)
        with pytest.raises(KeyboardInterrupt):
            take()
    take()
    assert (store.runs.get(run.id).phase, store.runs.get(run.id).reason) == (Phase.FINISHED, "")


def test_a_second_look_at_a_run_of_wandb_keeps_its_last_words(tmp_path: Path, take: Any, store: MemoryStore) -> None:
    from tests.foreign.conftest import items, message

    base = wandb_records(2)[:2]
    output = [message((13, message((3, "x" * 60000)))) for _ in range(30)]
    early = [message((3, message(*items({"best": 0.9, "loss": 3})))), message((5, message(*items({"lr": 0.1}))))]
    row = {"loss": 1.0, "_step": 0, "_timestamp": 1.7e9 + 5}
    late = [message((3, message(*items({"best": 0.1, "loss": 1.0})))), message((5, message(*items({"lr": 0.001}))))]
    end = [message((2, message(*items(row, key=2)))), *late, message((18, b""))]
    path = wandb_run(tmp_path, wandb_file([*base, *early, *output]))
    take(now=path.stat().st_mtime + 1)
    path.write_bytes(wandb_file([*base, *early, *output, *end]))
    for changed in (True, False, False):
        (run,) = take().runs
        kept = store.runs.get(run.id)
        assert (run.changed, run.phase, kept.phase) == (changed, Phase.FINISHED, Phase.FINISHED)
        assert (kept.config["lr"], kept.summary["best"]) == (0.001, 0.1)


def test_what_was_logged_stands_in_no_summary_before_its_time(tmp_path: Path, take: Any, store: MemoryStore) -> None:
    """W&B writes a row, and then the summary: between the two that is a step behind."""
    from tests.foreign.conftest import items, message

    def at(step: int) -> list[bytes]:
        row = {"loss": 1 / (step + 1), "_step": step, "_timestamp": 1.7e9 + step}
        return [message((2, message(*items(row, key=2)))), message((3, message(*items({"loss": 1 / (step + 1)}))))]

    records = [*wandb_records(0)[:2], *at(0), *at(1)]
    path = wandb_run(tmp_path, wandb_file(records[:-1]))
    take(now=path.stat().st_mtime + 1)
    path.write_bytes(wandb_file([*records, message((18, b""))]))
    (run,) = take().runs
    assert store.runs.get(run.id).summary == {}


def test_guilds_mark_needs_no_tag(tmp_path: Path, take: Any, store: MemoryStore) -> None:
    guild_run(tmp_path, "b" * 32, {"marked": "true", "flags": "lr: 1", "exit_status": "0"})
    (run,) = take().runs
    assert store.runs.get(run.id).tags == ("marked",)
