"""Any bytes at all: records, or a WhetError; never another exception, never more memory than the file has bytes."""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.foreign.conftest import message, wandb_file, wandb_records

from whet.errors import WhetError
from whet.foreign.find import FORMATS, find
from whet.foreign.frames import records
from whet.foreign.index import index
from whet.foreign.mlflow import MetricReader
from whet.foreign.protobuf import fields, text, whole
from whet.foreign.wandb import WandbReader
from whet.store.codec import pack
from whet.store.memory import MemoryStore
from whet.track.readers.base import Reader
from whet.track.readers.files import reader_of
from whet.track.readers.tfevents import EventReader, crc32c

WANDB = wandb_file(wandb_records(200))


def event_frame(payload: bytes) -> bytes:
    def masked(data: bytes) -> bytes:
        crc = crc32c(data)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(payload))
    return length + masked(length) + payload + masked(payload)


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """`data`, with bytes changed, cut out or put in."""
    edits = st.lists(st.tuples(st.integers(0, len(data)), st.integers(0, 40), st.binary(max_size=12)), max_size=4)

    def apply(cuts: list[tuple[int, int, bytes]]) -> bytes:
        out = data
        for at, size, new in cuts:
            out = out[:at] + new + out[at + size :]
        return out

    return edits.map(apply)


@contextmanager
def a_file(name: str, data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        yield path


def read_all(reader: Reader) -> int:
    """Read to the end; what comes out can be kept, and offsets only grow up to the end of the file."""
    count, size = 0, reader.path.stat().st_size
    while True:
        piece = reader.read(final=True)
        assert piece.start <= piece.end <= size
        if piece.end == piece.start:
            return count
        pack(piece.rows)
        count += len(piece.rows)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_protobuf(data: bytes) -> None:
    try:
        found = list(fields(data))
    except WhetError:
        return
    assert sum(len(v) for _, v in found if isinstance(v, bytes)) <= len(data)
    for _, value in found:
        assert -(1 << 63) <= whole(value) < 1 << 63
        text(value)


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a" + b"\xff" * 8 + b"\x10",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\xff" * 11,
        b"\x08",
        b"\x0b\x0c",
        b"\x00\x00",
        b"\x09abc",
    ],
)
def test_lengths_and_numbers_that_lie(data: bytes) -> None:
    with pytest.raises(WhetError, match="a message is damaged at its byte"):
        list(fields(data))


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=200).map(lambda b: b":W&B\xe1\xbe\x00" + b), damaged(WANDB)))
def test_wandb(data: bytes) -> None:
    with a_file("run-x.wandb", data) as path, contextlib.suppress(WhetError):
        read_all(WandbReader(path))


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.binary(max_size=60), damaged(wandb_records(2)[1]), damaged(wandb_records(2)[3])), max_size=8)
)
def test_wandbs_messages_in_sound_frames(payloads: list[bytes]) -> None:
    with a_file("run-x.wandb", wandb_file(payloads)) as path:
        assert len(list(records(path, 0))) == len(payloads)
        read_all(WandbReader(path))


@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.binary(max_size=80), max_size=6).map(lambda parts: b"".join(map(event_frame, parts))),
        st.integers(0, 2**64 - 1).map(lambda n: struct.pack("<Q", n) + bytes(60)),
    )
)
def test_events(data: bytes) -> None:
    with a_file("events.out.tfevents.1700000000.x", data) as path:
        read_all(EventReader(path))


def test_a_number_that_says_it_is_a_huge_array_is_not_unfolded(tmp_path: Path) -> None:
    shape = message((2, message((1, 1 << 40))))
    tensor = message((1, 1), (2, shape), (5, struct.pack("<f", 1.0)))
    value = message((1, "loss"), (8, tensor))
    (tmp_path / "x").write_bytes(event_frame(message((2, 1), (5, message((1, value))))))
    assert EventReader(tmp_path / "x").read().rows == ()


@settings(deadline=None)
@given(
    st.sampled_from(["x.csv", "x.tsv", "x.jsonl"]),
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from(
                [
                    "step",
                    "loss",
                    ",",
                    ";",
                    "\t",
                    '"',
                    "\n",
                    "\r",
                    "1",
                    "nan",
                    "-inf",
                    "1e999",
                    "9" * 400,
                    "{",
                    "}",
                    ":",
                    '"a"',
                    "\0",
                    "é",
                    "[" * 50,
                ]
            ),
            max_size=60,
        ).map(lambda w: "".join(w).encode()),
    ),
)
def test_tables(name: str, data: bytes) -> None:
    with a_file(name, data) as path, suppress(WhetError):
        read_all(reader_of(path))


@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.sampled_from(["1700000000000", " ", "1.5", "nan", "\n", "-", "9" * 30, "x"]), max_size=40).map(
            lambda w: "".join(w).encode()
        ),
    )
)
def test_mlflows_metrics(data: bytes) -> None:
    with a_file("loss", data) as path:
        read_all(MetricReader(path, metric="loss"))


NAMES = [
    "metrics.csv", "log.jsonl", "results.json", "config.yaml", "trainer_state.json", "run-x.wandb", "meta.yaml", "events.out.tfevents.1700000000.h",
    ".guild/opref", ".guild/attrs/flags", ".guild/attrs/started", "params/lr", "metrics/loss", "tags/mlflow.runName", "checkpoint-5/trainer_state.json",
]  # fmt: skip
CONTENTS = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([
        b"run_id: 0123456789abcdef0123456789abcdef\nstatus: {a: b}\nstart_time: x\ntags: 3\n", b"experiment_id: 1\nname: [x]\n", b"[]", b"{}", b"null",
        b'{"log_history": [1, {"step": "x"}, {"step": 1, "loss": 2}], "trial_params": 3}', b"step,loss\n1,2\n", b'{"a": {"b": 1e400}, "": 3}',
        WANDB[:5000], b"- 1\n- 2\n", b"lr: !!python/object:x.Y {}\n", b"1700000000000 1 1\n", b'"\\ud800": 1\n', b'{"\\ud800": 1, "loss": 2}',
    ]),
)  # fmt: skip


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(NAMES), CONTENTS, max_size=6),
    st.sampled_from(["auto", *(kind.name for kind in FORMATS)]),
)
def test_whole_folders(files: dict[str, bytes], kind: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / ("ab" * 16)
        folder.mkdir()
        for where, data in files.items():
            path = folder / where
            if not path.parent.is_file() and not path.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        store = MemoryStore()
        first = index(find([Path(name)], format=kind, now=4e9), store)
        again = index(find([Path(name)], format=kind, now=4e9), store)
        assert [run.id for run in again.runs] == [run.id for run in first.runs]
        assert not any(run.is_new or run.num_points for run in again.runs)
        assert os.listdir(name) == [folder.name]
