from __future__ import annotations

import json
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from whet.foreign.find import find
from whet.foreign.index import Result, index
from whet.store.memory import MemoryStore

OLD = 4_000_000_000.0  # a clock that is long past all files that a test writes
Take = Callable[..., Result]


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    opened = MemoryStore()
    yield opened
    opened.close()


@pytest.fixture
def take(store: MemoryStore, tmp_path: Path) -> Take:
    """Finds and indexes what is in `tmp_path`, or at the paths given."""

    def call(
        *paths: Path,
        project: str | None = None,
        files: bool = False,
        dry_run: bool = False,
        now: float = OLD,
        **more: Any,
    ) -> Result:
        found = find(list(paths) or [tmp_path], now=now, **more)
        return index(found, store, project=project, files=files, dry_run=dry_run)

    return call


# -- MLflow's file store, as MLflow 3.17 writes it ------------------------------------------------------------------------


def mlflow_run(
    experiment: Path, id: str, *, status: int = 3, stage: str = "active", params: Mapping[str, str] = {},
    metrics: Mapping[str, str] = {}, tags: Mapping[str, str] = {}, end: str = "1700000060500", name: str = "calm-fox-1",
) -> Path:  # fmt: skip
    folder = experiment / id
    for kind, files in (("params", params), ("metrics", metrics), ("tags", tags)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for key, text in files.items():
            (folder / kind / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / kind / key).write_text(text)
    (folder / "artifacts").mkdir(exist_ok=True)
    (folder / "meta.yaml").write_text(
        f"artifact_uri: file:///x/{id}/artifacts\nend_time: {end}\nentry_point_name: ''\nexperiment_id: '12'\nlifecycle_stage: {stage}\n"
        f"run_id: {id}\nrun_name: {name}\nsource_name: ''\nsource_type: 4\nsource_version: ''\nstart_time: 1700000000250\n"
        f"status: {status}\ntags: []\nuser_id: ada\n"
    )
    return folder


def mlflow_experiment(root: Path, name: str = "digits", *, id: str = "12", stage: str = "active") -> Path:
    folder = root / "mlruns" / id
    folder.mkdir(parents=True)
    (folder / "meta.yaml").write_text(
        f"artifact_location: file:///x/{id}\ncreation_time: 1700000000000\nexperiment_id: '{id}'\nlast_update_time: 1700000000000\n"
        f"lifecycle_stage: {stage}\nname: {name}\n"
    )
    return folder


# -- MLflow's database, with those of its tables that are read, as MLflow 3 makes them ------------------------------------

MLFLOW_TABLES = """
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
CREATE TABLE experiments (experiment_id INTEGER NOT NULL, name VARCHAR(256) NOT NULL, artifact_location VARCHAR(256),
  lifecycle_stage VARCHAR(32), creation_time BIGINT, last_update_time BIGINT, CONSTRAINT experiment_pk PRIMARY KEY (experiment_id),
  UNIQUE (name), CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')));
CREATE TABLE runs (run_uuid VARCHAR(32) NOT NULL, name VARCHAR(250), source_type VARCHAR(20), source_name VARCHAR(500),
  entry_point_name VARCHAR(50), user_id VARCHAR(256), status VARCHAR(9), start_time BIGINT, end_time BIGINT, source_version VARCHAR(50),
  lifecycle_stage VARCHAR(20), artifact_uri VARCHAR(200), experiment_id INTEGER, deleted_time BIGINT, CONSTRAINT run_pk PRIMARY KEY (run_uuid),
  FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id));
CREATE TABLE tags (key VARCHAR(250) NOT NULL, value VARCHAR(8000), run_uuid VARCHAR(32) NOT NULL, CONSTRAINT tag_pk PRIMARY KEY (key, run_uuid));
CREATE TABLE params (key VARCHAR(250) NOT NULL, value VARCHAR(8000) NOT NULL, run_uuid VARCHAR(32) NOT NULL,
  CONSTRAINT param_pk PRIMARY KEY (key, run_uuid));
CREATE TABLE metrics (key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL, run_uuid VARCHAR(32) NOT NULL,
  step BIGINT DEFAULT '0' NOT NULL, is_nan BOOLEAN DEFAULT '0' NOT NULL,
  CONSTRAINT metric_pk PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan));
CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid);
CREATE INDEX index_params_run_uuid ON params (run_uuid);
CREATE INDEX index_tags_run_uuid ON tags (run_uuid);
INSERT INTO experiments VALUES (0, 'Default', '', 'active', 1, 1), (12, 'digits', '', 'active', 1, 1), (13, 'gone', '', 'deleted', 1, 1);
"""


def mlflow_database(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = sqlite3.connect(path, isolation_level=None)
    made.executescript("PRAGMA synchronous = OFF;" + MLFLOW_TABLES)
    return made


def mlflow_row(
    database: sqlite3.Connection, id: str, *, experiment: int = 12, status: str = "FINISHED", stage: str = "active", start: int = 1700000000250,
    end: int | None = 1700000060500, params: Mapping[str, str] = {}, tags: Mapping[str, str] = {}, name: str = "calm-fox-1",
) -> None:  # fmt: skip
    database.execute(
        "INSERT INTO runs VALUES (?, ?, 'LOCAL', '', '', 'ada', ?, ?, ?, '', ?, '', ?, NULL)",
        (id, name, status, start, end, stage, experiment),
    )
    database.executemany("INSERT INTO params VALUES (?, ?, ?)", [(key, value, id) for key, value in params.items()])
    database.executemany("INSERT INTO tags VALUES (?, ?, ?)", [(key, value, id) for key, value in tags.items()])


def mlflow_metrics(
    database: sqlite3.Connection, id: str, *rows: tuple[str, object, object, object], nan: int = 0
) -> None:
    """Log (name, value, milliseconds, step)."""
    database.executemany(
        "INSERT INTO metrics (key, value, timestamp, step, run_uuid, is_nan) VALUES (?, ?, ?, ?, ?, ?)",
        [(*row, id, nan) for row in rows],
    )


# -- Guild's runs, as Guild 0.9 writes them -------------------------------------------------------------------------------


def guild_run(root: Path, id: str, attrs: Mapping[str, str], *, opref: str = "script:/x '' '' train.py") -> Path:
    folder = root / ".guild" / "runs" / id
    (folder / ".guild" / "attrs").mkdir(parents=True)
    for name, text in attrs.items():
        (folder / ".guild" / "attrs" / name).write_text(text)
    (folder / ".guild" / "opref").write_text(opref)
    (folder / ".guild" / "output").write_text("loss: 1\n")
    return folder


# -- W&B's files, by their format -----------------------------------------------------------------------------------------


def varint(n: int) -> bytes:
    out = bytearray()
    n &= 0xFFFFFFFFFFFFFFFF
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def message(*fields: tuple[int, int | str | bytes]) -> bytes:
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def items(values: Mapping[str, Any], number: int = 1, key: int = 1) -> list[tuple[int, bytes]]:
    return [(number, message((key, name), (16, json.dumps(value)))) for name, value in values.items()]


def wandb_file(records: list[bytes]) -> bytes:
    """LevelDB's log: blocks of 32 KiB, pieces with a header each."""
    out = bytearray(b":W&B\xe1\xbe\x00")
    for record in records:
        begun = False
        while True:
            room = 32768 - len(out) % 32768
            if room < 7:
                out += bytes(room)
                continue
            piece, record = record[: room - 7], record[room - 7 :]
            kind = (4 if begun else 1) if not record else (3 if begun else 2)
            out += struct.pack("<IHB", zlib.crc32(piece, zlib.crc32(bytes([kind]))), len(piece), kind) + piece
            begun = True
            if not record:
                break
    return bytes(out)


def wandb_records(num_steps: int = 5, *, exit_code: int | None = 0, id: str = "epzo3wk2") -> list[bytes]:
    config = message(*items({"_wandb": {}, "lr": 0.1, "model": {"width": 64}, "none": None}))
    run = message(
        (1, id), (2, "ada"), (3, "proj"), (4, config), (6, "g1"), (7, "train"), (8, "my run"), (9, "some notes"), (10, "a"),
        (10, "b"), (13, "box"), (17, message((1, 1_700_000_000), (2, 500_000_000))), (21, message((1, "https://me:pw@host/x.git"), (2, "abc123"))),
    )  # fmt: skip
    records = [message((1, 1), (21, message((1, message((1, "0.31.0")))))), message((1, 2), (17, run))]
    for step in range(num_steps):
        values = {
            "loss": 1 / (step + 1),
            "nested": {"x": step},
            "img": {"_type": "image-file", "size": 3},
            "t._type": "table-file",
            "t.size": 9,
            "_runtime": 0.5,
        }
        stamps = {"_timestamp": 1_700_000_001.0 + step, "_step": step}
        records.append(message((3, message(*items(values | stamps, key=2)))))
        records.append(message((2, message(*items(values | stamps, key=2), (2, message((1, step)))))))
    records.append(
        message((2, message(*items({"odd": float("nan"), "_step": num_steps, "_timestamp": 1_700_000_100.0}, key=2))))
    )
    records.append(message((7, message((2, message((1, 1_700_000_010))), *items({"cpu": 12.5}, number=3)))))
    records.append(message((5, message(*items({"later": 3})))))
    records.append(message((3, message(*items({"best": 0.25, "note": "fine"})))))
    records.append(
        message(
            (
                26,
                message(
                    (2, "CPython 3.11"), (5, "--lr=1"), (5, "--api-key=hush"), (6, "train.py"), (12, "box"), (13, "ada")
                ),
            )
        )
    )
    if exit_code is not None:
        records.append(message((18, message((1, exit_code)) if exit_code else b"")))
    return records


def wandb_run(root: Path, data: bytes, *, id: str = "epzo3wk2", when: str = "20261122_043110") -> Path:
    folder = root / "wandb" / f"offline-run-{when}-{id}"
    (folder / "files").mkdir(parents=True, exist_ok=True)
    (folder / "files" / "output.log").write_text("hello\n")
    (folder / "files" / "config.yaml").write_text("lr: {value: 1}\n")
    (folder / f"run-{id}.wandb").write_bytes(data)
    return folder / f"run-{id}.wandb"
