import csv
import os
import sys
import time

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from whet.errors import MissingDependency, UnknownName
from whet.store.open import open_store
from whet.track.readers import files
from whet.track.readers.files import CsvReader, reader_of
from whet.track.readers.job import JobReader
from whet.track.readers.lines import LineReader
from whet.track.readers.tfevents import EventReader, events_of
from whet.trial import Goal, Suggestion


def steps(rows):
    return [(row.step, dict(row.values)) for row in rows]


def lines(tmp_path, text):
    path = tmp_path / "out"
    path.write_bytes(text.encode())
    return steps(LineReader(path).read(final=True).rows)


KERAS = """Epoch 1/2
1875/1875 [==============================] - 5s 3ms/step - loss: 0.2964 - accuracy: 0.9137
Epoch 2/2
\x1b[1m1875/1875\x1b[0m \x1b[32m━━━━━━━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m5s\x1b[0m 3ms/step - loss: 1.2e-01 - accuracy: 0.9646 - val_loss: nan
"""
TORCH = """Train Epoch: 1 [0/60000 (0%)]\tLoss: 2.300039
Train Epoch: 1 [640/60000 (1%)]\tLoss: 1.213470

Test set: Average loss: 0.0480, Accuracy: 9842/10000 (98%)

Train Epoch: 2 [0/60000 (0%)]\tLoss: 0.086115
"""
TQDM = (
    "Epoch 3:   0%|          | 0/100 [00:00<?, ?it/s, loss=9.9]\r"
    "Epoch 3:  50%|█████     | 50/100 [00:05<00:05, 9.90it/s, loss=0.7, acc=0.5]\r"
    "Epoch 3: 100%|██████████| 100/100 [00:10<00:00, 9.91it/s, loss=0.512, acc=0.81]\n"
)
GUILD = "step: 10\nloss: 1.5\nFinal accuracy: 93.5%\nstep: 20\nloss: -.25\n"
PLAIN = "loss: 3\nacc: 0.1\nloss: 2\nacc: 0.2\nloss: inf\n"
LOGGER = "2024-05-01 12:00:01,123 INFO train.py:42 step=450 epoch=2 lr=3e-4 loss=0.5 time=0:03 url=http://x:80/ eta: 10:20 done: 5/9\r\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (KERAS, [(1, {"loss": 0.2964, "accuracy": 0.9137}), (2, {"loss": 0.12, "accuracy": 0.9646, "val_loss": "nan"})]),
        (TORCH, [(1, {"Loss": 2.300039}), (1, {"Loss": 1.21347}), (1, {"loss": 0.048}), (2, {"Loss": 0.086115})]),
        (TQDM, [(3, {"loss": 0.512, "acc": 0.81})]),
        (GUILD, [(10, {"loss": 1.5}), (10, {"Final accuracy": 93.5}), (20, {"loss": -0.25})]),
        (PLAIN, [(0, {"loss": 3}), (0, {"acc": 0.1}), (1, {"loss": 2}), (1, {"acc": 0.2}), (2, {"loss": float("inf")})]),
        (LOGGER, [(450, {"epoch": 2, "lr": 3e-4, "loss": 0.5})]),
        ("epoch 3 loss=0.52 acc=0.9\n", [(3, {"loss": 0.52, "acc": 0.9})]),
        ("step 3 loss: 0.5\nEpoch 4/10 - train loss: 0.25\nstep 5 val acc = 1e-1\n", [(3, {"loss": 0.5}), (3, {"train loss": 0.25}), (5, {"val acc": 0.1})]),
        ("loss: 0.5 - acc: 0.9\n", [(0, {"loss": 0.5, "acc": 0.9})]),
        ("no numbers here: none\nhttp://host:80/x\n12:30:15\nversion: 1.2.3\nfile.py:10\n", []),
    ],
)  # fmt: skip
def test_what_real_scripts_print(tmp_path, text, wanted):
    found = [(s, {k: "nan" if v != v else v for k, v in values.items()}) for s, values in lines(tmp_path, text)]
    assert found == wanted


@pytest.mark.parametrize("text", [KERAS, TORCH, TQDM, GUILD, PLAIN])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_reading_while_it_grows_and_anew_at_any_time_is_reading_it_once(tmp_path, text, size):
    path, data = tmp_path / "growing", text.encode()
    offset, rows = 0, []
    for end in range(0, len(data) + size, size):
        path.write_bytes(data[:end])
        piece = LineReader(path, offset).read()  # a new reader each time, as after a restart
        assert piece.start == offset
        offset = piece.end
        rows += piece.rows
    assert offset == len(data)
    assert repr(steps(rows)) == repr(lines(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("m.csv", "epoch,loss,note\n1,0.5,x\n2,0.25,y\n", [(1, {"loss": 0.5}), (2, {"loss": 0.25})]),
        ("m.csv", "loss;acc\n0.5;1\n0.25;2\n", [(0, {"loss": 0.5, "acc": 1}), (1, {"loss": 0.25, "acc": 2})]),
        ("m.tsv", "step\tloss\n7\tnan\n", [(7, {"loss": "nan"})]),
        ("m.jsonl", '{"step": 3, "a": {"b": 1}}\nrubbish\n{"a": {"b": 2}, "s": "x"}\n', [(3, {"a.b": 1}), (2, {"a.b": 2})]),
        ("m.csv", "Iteration,loss,Wall time\n100,1,1700000000\n200,0.5,1700000001\n", [(100, {"loss": 1}), (200, {"loss": 0.5})]),
        ("m.csv", 'loss,note\n1,"a\n""b"",\n"\n0.5,c\n0.25,"d\n\n"\n', [(0, {"loss": 1}), (1, {"loss": 0.5}), (2, {"loss": 0.25})]),
        ("m.csv", "\n\nloss,acc\n\n1,2\n\n\n3,4", [(0, {"loss": 1, "acc": 2}), (1, {"loss": 3, "acc": 4})]),
        ("m.jsonl", '{"Epoch": 3, "loss": "0.5", "ok": true}', [(3, {"loss": 0.5, "ok": 1})]),
    ],
)  # fmt: skip
def test_metrics_files_at_once_and_piece_by_piece(tmp_path, name, text, wanted):
    path = tmp_path / name
    path.write_text(text)
    whole = reader_of(path).read(final=True).rows
    offset, rows = 0, []
    for end in range(0, len(text) + 3, 3):
        path.write_text(text[:end])
        piece = reader_of(path, offset).read()
        offset, rows = piece.end, rows + list(piece.rows)
    rows += reader_of(path, offset).read(final=True).rows
    for found in (steps(whole), steps(rows)):
        assert [(s, {k: "nan" if v != v else v for k, v in values.items()}) for s, values in found] == wanted


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", ";"])
@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from('"\n;,a1'), max_size=40))
def test_quotes_are_those_of_csv(tmp_path_factory, mark, delimiter, text):
    path = tmp_path_factory.mktemp("csv") / "m.csv"
    text = f"x{delimiter}y\n{text}\nend\n"
    path.write_text(mark + text)
    wanted = [row for row in csv.reader(text.splitlines(keepends=True), delimiter=delimiter) if row]
    assume(wanted[-1] == ["end"])  # nothing is left open
    reader = CsvReader(path)
    kept = [record for record, _ in reader.records(final=False)]
    cells = [next(csv.reader([record.decode().rstrip("\n")], delimiter=delimiter), []) for record in kept]
    rows = [[cell.rstrip("\n") for cell in row] for row in cells if any(map(str.strip, row))]
    assert rows == [[cell.rstrip("\n") for cell in row] for row in wanted[1:] if any(map(str.strip, row))]
    assert reader.read(final=False).end == len(kept)
    assert reader.num_damaged == 0


def test_a_quote_within_a_cell_costs_no_rows_also_where_a_file_comes_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_PIECE_BYTES", 4000)
    path = tmp_path / "m.csv"
    notes = dict.fromkeys((10, 500, 501, 900), '5" screen')
    path.write_text("step,note,loss\n" + "".join(f"{i},{notes.get(i, 'x')},{i / 2}\n" for i in range(1000)))
    reader = CsvReader(path)
    rows = [row for piece in iter(lambda: reader.read().rows, ()) for row in piece]
    assert [(row.step, row.values) for row in rows] == [(i, {"loss": i / 2}) for i in range(1000)]
    assert reader.num_damaged == 0


def test_a_quote_that_nothing_closes_costs_no_row_behind_it(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_PIECE_BYTES", 4000)
    monkeypatch.setattr(files, "_LONGEST_RECORD", 1000)
    path = tmp_path / "m.csv"
    path.write_text(
        "step,note,loss\n" + "".join(f'{i},"x,{i / 2}\n' if i == 300 else f"{i},x,{i / 2}\n" for i in range(900))
    )
    reader = CsvReader(path)
    rows = [row for piece in iter(lambda: reader.read(final=True).rows, ()) for row in piece]
    assert [row.step for row in rows] == [i for i in range(900) if i != 300]  # its number is within the quotes
    assert (reader.num_damaged, reader.damage) == (1, "row 301")


def test_a_last_row_without_an_end_of_line_may_have_one_in_a_cell(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text('step,note,loss\n0,"a\nb",0.5')
    assert [(row.step, row.values) for row in CsvReader(path).read(final=True).rows] == [(0, {"loss": 0.5})]


def test_an_unknown_kind_of_file(tmp_path):
    with pytest.raises(UnknownName, match=r"unknown kind of metrics file '.jsn': did you mean '.jsonl'"):
        reader_of(tmp_path / "m.jsn")


def test_event_files_are_known_by_their_process(tmp_path):
    names = [
        "events.out.tfevents.1700000010.host.with.dots.41.0", "events.out.tfevents.1700000005.other.42.3.v2",
        "events.out.tfevents.1600000000.host.with.dots.41.1", "events.out.tfevents.1700000020.host.with.dots", "events.txt",
    ]  # fmt: skip
    (tmp_path / "deep").mkdir()
    for name in names:
        (tmp_path / "deep" / name).write_bytes(b"")
    new, v2, old = (tmp_path / "deep" / n for n in names[:3])
    assert events_of([41], [tmp_path], 1699999999.0) == [new]
    assert events_of([41, 42], [tmp_path], 0) == [old, v2, new]
    assert events_of([41], [tmp_path], recursive=False) == []
    assert len(events_of([], [tmp_path], 1700000000.0)) == 3


def test_torchs_events_come_back_and_a_torn_file_loses_only_its_end(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path / "tb"))
    for step in range(50):
        writer.add_scalar("loss", 1 / (step + 1), step)
        writer.add_scalar("lr", 0.5, step, new_style=True)
    writer.add_text("note", "not a number")
    writer.add_histogram("h", np.arange(20.0))
    writer.close()
    (path,) = events_of([os.getpid()], [tmp_path], time.time() - 60)
    rows = EventReader(path).read().rows
    assert [(r.step, dict(r.values)) for r in rows if "loss" in r.values] == [
        (s, {"loss": pytest.approx(1 / (s + 1))}) for s in range(50)
    ]
    assert sum("lr" in r.values for r in rows) == 50
    assert len(rows) == 100
    data = path.read_bytes()
    for cut in range(0, len(data), 97):
        path.write_bytes(data[:cut])
        first = EventReader(path).read()
        path.write_bytes(data)
        second = EventReader(path, first.end).read()
        assert [*first.rows, *second.rows] == list(rows)


def test_without_tensorboard_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(MissingDependency, match=r'pip install "whet\[tensorboard\]"'):
        EventReader(tmp_path / "x").read()


def test_an_unchanged_script_is_reported_to_its_sweep(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'whet.db'}")
    sweep = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE, Goal.MAXIMIZE])
    seen = store.trials.changes(sweep.id).revision
    run_id = store.trials.add(sweep.id, 0, Suggestion(params={}), owner="t", seen=seen)
    folder, out = tmp_path / "runs" / run_id, tmp_path / "stdout"
    folder.mkdir(parents=True)

    def reader():
        return JobReader(store=store, sweep=sweep.id, number=0, run_id=run_id, attempt=0, metrics=("loss", "acc"),
                         stdout=out, folder=folder, cwd=tmp_path)  # fmt: skip

    reader().collect(())  # nothing there yet
    out.write_text("epoch: 1\nloss: 2\n")
    reader().collect(())
    out.write_text("epoch: 1\nloss: 2\nacc: 0.5\nepoch: 2\nloss: 1")
    same = reader()  # the coordinator was killed and came back: one step's metrics still make one report
    same.collect(())
    same.collect((), final=True)
    reader().collect((), final=True)
    reports = {r.step: r.values for _, _, r in store.trials.changes(sweep.id).reports}
    assert reports[1] == (2.0, 0.5)
    assert reports[2][0] == 1.0
    assert store.runs.get(run_id).stats["loss"].count == 2
    (folder / "spool-0").write_bytes(b"")  # it calls whet.init after all: what it prints is no longer read
    out.write_text(out.read_text() + "\nloss: 0\n")
    reader().collect((), final=True)
    assert store.runs.get(run_id).stats["loss"].count == 2
    store.close()


def test_what_event_files_hold_is_not_taken_from_the_output_again(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    store = open_store(f"sqlite:///{tmp_path / 'whet.db'}")
    sweep = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE])
    seen = store.trials.changes(sweep.id).revision
    run_id = store.trials.add(sweep.id, 0, Suggestion(params={}), owner="t", seen=seen)
    folder, out = tmp_path / "runs" / run_id, tmp_path / "stdout"
    folder.mkdir(parents=True)
    with SummaryWriter(str(tmp_path / "deep" / "tb")) as writer:
        for step in range(3):
            writer.add_scalar("loss", step, step)
    for text in ("loss: 7\nother: 1\n", "loss: 7\nother: 1\nloss: 8\nother: 2\n"):
        out.write_text(text)
        JobReader(store=store, sweep=sweep.id, number=0, run_id=run_id, attempt=0, metrics=("loss",),
                  stdout=out, folder=folder, cwd=tmp_path).collect((1, os.getpid()), final=True)  # fmt: skip
    stats = store.runs.get(run_id).stats
    assert (stats["loss"].count, stats["loss"].last, stats["other"].count) == (3, 2.0, 2)
    assert [r.values for _, _, r in store.trials.changes(sweep.id).reports] == [(0.0,), (1.0,), (2.0,)]
    store.close()
