from __future__ import annotations

import json
import math
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from tests.foreign.conftest import OLD

from whet.foreign.find import find
from whet.foreign.index import index
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


def test_rows_that_call_themselves_alike_are_runs_all_the_same(tmp_path: Path, take: Any, store: Any) -> None:
    path = tmp_path / "grid.csv"
    path.write_text("trial,model,acc\n0,a,0.1\n1,a,0.2\n0,b,0.3\n1,b,0.4\n")
    runs = take().runs
    assert len({run.id for run in runs}) == 4
    assert [store.runs.get(run.id).config["model"] for run in runs] == ["a", "a", "b", "b"]
    assert [store.runs.get(run.id).summary["acc"] for run in runs] == [0.1, 0.2, 0.3, 0.4]
    path.write_text(path.read_text() + "0,c,0.5\n")
    assert [run.is_new for run in take().runs] == [False] * 4 + [True]


def test_a_row_that_still_runs_is_ended_later(tmp_path: Path, take: Any, store: Any) -> None:
    path = tmp_path / "study.csv"
    path.write_text("trial,state,values_0\n0,RUNNING,\n")
    (run,) = take().runs
    assert store.runs.get(run.id).phase is Phase.RUNNING
    path.write_text("trial,state,values_0\n0,FAIL,0.5\n")
    take()
    assert store.runs.get(run.id).phase is Phase.FAILED


def test_steps_of_several_runs(tmp_path: Path, take: Any, store: Any) -> None:
    path = tmp_path / "x.csv"
    path.write_text("Run_ID,step,loss\na,0,1\nb,0,2\na,1,0.5\nb,1,1.5\n,2,9\n")
    a, b, rest = take().runs
    assert (a.name, b.name, rest.name) == ("a", "b", "x")
    curves = [store.runs.metrics(run.id) for run in (a, b, rest)]
    assert [(list(c), c["loss"].steps, c["loss"].values) for c in curves] == [
        (["loss"], [0, 1], [1, 0.5]), (["loss"], [0, 1], [2, 1.5]), (["loss"], [2], [9]),
    ]  # fmt: skip
    assert [run.changed for run in take().runs] == [False] * 3
    (one,) = take(path, rows="steps").runs
    assert one.num_points == 5
    (tmp_path / "x.csv").unlink()
    (tmp_path / "y.jsonl").write_text('{"trial": 0, "step": 0, "loss": 1}\n{"trial": 1, "step": 0, "loss": 2}\n')
    assert [store.runs.metrics(run.id)["loss"].values for run in take().runs] == [[1], [2]]


def test_a_table_of_one_run_keeps_what_lies_beside_it(tmp_path: Path, take: Any, store: Any) -> None:
    folder = tmp_path / "trial_7"
    folder.mkdir()
    (folder / "progress.csv").write_text("training_iteration,trial_id,loss\n1,7f,1\n2,7f,0.5\n")
    (folder / "params.json").write_text('{"lr": 0.5}')
    (run,) = take().runs
    assert (run.name, run.metrics, store.runs.get(run.id).config) == ("trial_7", ("loss",), {"lr": 0.5})


def test_a_table_of_more_runs_than_there_can_be(tmp_path: Path, take: Any, monkeypatch: Any) -> None:
    from whet.foreign import tables

    monkeypatch.setattr(tables, "_MOST_RUNS", 2)
    (tmp_path / "log.csv").write_text("run,step,loss\na,0,1\nb,0,1\n")
    assert len(take().runs) == 2
    (tmp_path / "log.csv").write_text("run,step,loss\na,0,1\nb,0,1\nc,0,1\n")
    ((_, trouble),) = take().troubles
    assert "--rows steps makes one run of it" in trouble


@pytest.mark.parametrize("num_runs", [1, 3])
def test_rows_of_runs_stay_on_the_disk(tmp_path: Path, take: Any, store: Any, monkeypatch: Any, num_runs: int) -> None:
    from whet.foreign import tables

    monkeypatch.setattr(tables, "_MOST_ROWS", 100)
    note = "x" * 2000
    (tmp_path / "progress.csv").write_text(
        "trial_id,epoch,loss,note\n" + "".join(f"t{i % num_runs},{i},{i / 2},{note}\n" for i in range(1500))
    )
    tracemalloc.start()
    try:
        found = find([tmp_path], now=OLD)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.runs) == num_runs
    assert held < 500_000  # of three million
    for run in take().runs:
        curve = store.runs.metrics(run.id)["loss"]
        assert curve.values == [step / 2 for step in curve.steps]
        assert len(curve.steps) == 1500 // num_runs


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("log.csv", "run,step,loss\na,0,1\nb,0,1\n", "run,epoch,step,loss\na,0,0,1\nb,0,0,1\n"),
        ("log.csv", "run,step,loss\na,0,1\nb,0,2\n", "run,step,loss\nb,0,2\na,0,1\n"),
        ("log.csv", "run,step,loss\na,0,1\nb,0,2\n", "run,step,loss\na,0,3\nb,0,4\n"),
        ("log.csv", "run,step,loss\na,0,1\nb,0,2\n", "run,step,loss\n"),
        ("log.jsonl", '{"run": "a", "step": 0, "x": 1}\n', '{"run": "b", "step": 0, "x": 1}\n'),
    ],
)
def test_a_table_of_runs_that_is_written_anew_while_it_is_read(
    tmp_path: Path, store: Any, name: str, before: str, after: str
) -> None:
    path = tmp_path / name
    path.write_text(before)
    found = find([tmp_path], now=OLD)
    path.write_text(after)
    result = index(found, store)
    assert result.runs == []
    assert {trouble for _, trouble in result.troubles} == {f"{path} was written anew while it was read: index it again"}


def test_a_row_is_no_row_of_a_run_because_it_ends_or_begins_like_one(tmp_path: Path, store: Any) -> None:
    path = tmp_path / "log.csv"
    path.write_text("run,step,loss\n\n1,0,8\n2,0,8")
    found = find([tmp_path], now=OLD)
    path.write_text("run,step,loss\n91,0,8\n2,0,85\n")  # the same bytes in the same places
    result = index(found, store)
    assert result.runs == []
    assert {trouble for _, trouble in result.troubles} == {f"{path} was written anew while it was read: index it again"}


@pytest.mark.parametrize("more", ["\n", "\r\na,2,5\n", "\nb,2,5"])
def test_a_table_of_runs_may_grow_while_it_is_read(tmp_path: Path, store: Any, more: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text("run,step,loss\na,0,1\n\nb,0,2\na,1,3")
    found = find([tmp_path], now=OLD)
    with path.open("a", newline="") as file:
        file.write(more)
    result = index(found, store)
    assert result.troubles == []
    assert [store.runs.metrics(run.id)["loss"].values for run in result.runs] == [[1, 3], [2]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"trial": 0, "acc": 1}\nrubbish\n{"trial": 1, "acc": 2}\n', "one of its rows is damaged"),
        ('{"trial": 0, "acc": 1}\nrubbish\n[]\n{"trial": 1, "acc": 2}\n', "2 of its rows are damaged"),
        (
            '{"trial": 0, "step": 1, "acc": 1}\nrubbish\n[]\n{"trial": 1, "step": 1, "acc": 2}\n',
            "2 of its rows are damaged",
        ),
    ],
)
def test_damaged_rows_among_runs_are_told_of(tmp_path: Path, take: Any, text: str, said: str) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    result = take()
    assert len(result.runs) == 2
    ((_, trouble),) = result.troubles
    assert said in trouble


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "history.json", "runs.csv"])
def test_progress_is_told_in_shares_of_the_file(tmp_path: Path, store: Any, monkeypatch: Any, name: str) -> None:
    from whet.foreign import documents, tables
    from whet.track.readers import files

    monkeypatch.setattr(files, "_PIECE_BYTES", 400)
    for room in (documents, tables):
        monkeypatch.setattr(room, "_MOST_ROWS", 40)
    texts = {
        "log.csv": "step,loss\n" + "".join(f"{i},{i / 2}\n" for i in range(300)),
        "runs.csv": "run,step,loss\n" + "".join(f"a,{i},{i / 2}\n" for i in range(300)),
        "log.jsonl": "".join(f'{{"loss": {i / 2}}}\n' for i in range(300)),
        "history.json": json.dumps([{"loss": i} for i in range(300)]),
    }
    (tmp_path / name).write_text(texts[name])
    told: list[str] = []
    index(find([tmp_path], now=OLD), store, on_run=lambda number, total, where: told.append(where))
    shares = [int(match[1]) for where in told if (match := re.search(r": (\d+)% of", where))]
    assert len(shares) > 3
    assert shares == sorted(shares)
    assert (20 < shares[len(shares) // 2] < 80, shares[-1]) == (True, 100)


def test_commas_are_decimal_only_where_no_number_has_a_point(tmp_path: Path, take: Any) -> None:
    (tmp_path / "a.csv").write_text("step;layers;loss\n0;64,32;0.5\n1;64,32;0.4\n")
    (tmp_path / "b.csv").write_text("step;layers;loss\n0;64,32;1\n1;64,32,16;2\n")
    (tmp_path / "c.csv").write_text("step;word;loss\n0;a;1,5\n1;b;1,25\n")
    result = take()
    assert [run.name for run in result.runs] == ["a", "b"]
    ((_, trouble),) = result.troubles
    assert "a decimal comma, such as 1,5: write 1.5" in trouble


def test_numbers_that_come_late(tmp_path: Path, take: Any, store: Any) -> None:
    (tmp_path / "log.jsonl").write_text('{"event": "start"}\n{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.4}\n')
    (tmp_path / "curve.csv").write_text("epoch,train,val\n0,,\n1,0.5,0.6\n")
    result = take()
    assert result.troubles == []
    assert {run.name: run.num_points for run in result.runs} == {tmp_path.name: 2, "curve": 2}


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("metrics.csv", "step,loss\n0,1\n".encode("utf-16"), "is text in UTF-16: save it as UTF-8"),
        ("log.jsonl", '{"step": 1, "loss": 1}\n'.encode("utf-16"), "is text in UTF-16: save it as UTF-8"),
        ("x.csv", b"step;loss;n\n0;1,5;3\n1;0,5;3\n", "has numbers with a decimal comma, such as 1,5: write 1.5"),
        ("log.jsonl", b'{"event": "start"}\n{"event": "end"}\n', "has no numbers in its first rows"),
    ],
)
def test_tables_that_cant_be_read_are_named(tmp_path: Path, take: Any, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    result = take()
    assert result.runs == []
    ((where, trouble),) = result.troubles
    assert where == str(tmp_path / name)
    assert said in trouble


def test_a_table_without_numbers_so_far_is_waited_for(tmp_path: Path, take: Any) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"event": "start"}\n')
    result = take(now=path.stat().st_mtime + 1)
    assert (result.runs, result.troubles) == ([], [])


def test_quotes_within_cells_are_no_quotes(tmp_path: Path, take: Any, store: Any) -> None:
    (tmp_path / "metrics.csv").write_text(
        'step,note,loss\n0,a,1\n1,5" screen,0.5\n2,b,0.25\n3,7" screen,0.125\n4,c,2\n'
    )
    result = take()
    assert result.troubles == []
    assert store.runs.metrics(result.runs[0].id)["loss"].values == [1, 0.5, 0.25, 0.125, 2]


def test_a_quote_that_nothing_closes_costs_no_rows(tmp_path: Path, take: Any, store: Any) -> None:
    (tmp_path / "metrics.csv").write_text('step,note,loss\n0,a,1\n1,5" disk,0.5\n2,b,0.25\n3,c,0.125\n')
    (run,) = take().runs
    assert store.runs.metrics(run.id)["loss"].values == [1, 0.5, 0.25, 0.125]
