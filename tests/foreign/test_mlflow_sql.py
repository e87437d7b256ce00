"""MLflow's SQLite databases."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.foreign.conftest import (
    OLD,
    mlflow_database,
    mlflow_experiment,
    mlflow_metrics,
    mlflow_row,
    mlflow_run,
)

from whet.foreign import mlflow_sql
from whet.foreign.find import find
from whet.foreign.index import index
from whet.store.memory import MemoryStore
from whet.trial import Phase

A, B, C, D, E = (f"{letter}{i:031x}" for i, letter in enumerate("abcde"))
HUGE = 1.7976931348623157e308
T = 1700000001000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    made = mlflow_database(tmp_path / "mlflow.db")
    yield made
    made.close()


def filled(database: sqlite3.Connection) -> None:
    params = {"lr": "0.1", "opt": "adam", "flag": "True", "zip": "01234"}
    tags = {
        "mlflow.runName": "parent run",
        "mlflow.source.name": "train.py",
        "mlflow.note.content": "a note",
        "team": "vision",
    }
    mlflow_row(database, A, params=params, tags=tags)
    mlflow_metrics(
        database,
        A,
        ("loss", 1.0, T, 0),
        ("val/acc", 0.25, T, 7),
        ("loss", 0.5, T + 1000, 1),
        ("odd", HUGE, T, 0),
        ("odd", -HUGE, T, 1),
    )
    mlflow_metrics(database, A, ("odd", 0.0, T, 2), nan=1)
    mlflow_row(database, B, status="FAILED", tags={"mlflow.parentRunId": A}, start=1700000000300)
    mlflow_metrics(database, B, ("loss", 9, T, 0))
    mlflow_row(database, C, status="RUNNING", end=None, params={"lr": "1"}, experiment=0)
    mlflow_row(database, D, stage="deleted", params={"lr": "1"})
    mlflow_row(database, E, experiment=13, params={"lr": "1"})


def test_a_database(tmp_path: Path, database: sqlite3.Connection, take: Any, store: MemoryStore) -> None:
    filled(database)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    result = take()
    assert result.troubles == []
    assert [(r.id, r.kind, r.project, r.num_points) for r in result.runs] == [
        (A, "mlflow-db", "digits", 6), (C, "mlflow-db", "Default", 0), (B, "mlflow-db", "digits", 1),
    ]  # fmt: skip
    a, b, c = (store.runs.get(id) for id in (A, B, C))
    assert (a.name, a.phase, a.notes, a.tags, a.meta["user"]) == (
        "parent run",
        Phase.FINISHED,
        "a note",
        ("team=vision",),
        "ada",
    )
    assert a.config == {"lr": 0.1, "opt": "adam", "flag": True, "zip": "01234"}
    assert (a.started, a.ended, a.meta["command"]) == (1700000000.25, 1700000060.5, ["train.py"])
    assert (b.phase, b.parent, b.name, c.phase) == (Phase.FAILED, A, "calm-fox-1", Phase.RUNNING)
    curves = store.runs.metrics(A)
    assert (curves["loss"].steps, curves["loss"].values, curves["loss"].times) == (
        [0, 1],
        [1.0, 0.5],
        [T / 1000, T / 1000 + 1],
    )
    assert (curves["val/acc"].steps, curves["odd"].values[:2]) == ([7], [math.inf, -math.inf])
    assert math.isnan(curves["odd"].values[2])
    assert [run.changed for run in take().runs] == [False] * 3
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_it_grows_while_it_is_looked_at(
    tmp_path: Path, database: sqlite3.Connection, take: Any, store: MemoryStore, monkeypatch: Any, journal: str
) -> None:
    monkeypatch.setattr(mlflow_sql, "_MOST_ROWS", 3)
    database.execute(f"PRAGMA journal_mode = {journal}")
    for id in (A, B):
        mlflow_row(database, id, status="RUNNING", end=None)
    for step in range(0, 20, 2):
        for id, value in ((A, step), (B, -step)):
            mlflow_metrics(database, id, ("loss", value, T, step), ("loss", value, T, step + 1))
        result = take()
        assert result.troubles == []
        assert [run.num_points for run in result.runs] == [2, 2]
        if step == 8:
            database.execute("DELETE FROM metrics WHERE run_uuid = ? AND step = 99", (A,))
            database.execute("VACUUM")  # numbers its rows anew
    database.execute("UPDATE runs SET status = 'FINISHED', end_time = 1700000060500")
    assert [(run.changed, run.phase) for run in take().runs] == [(True, Phase.FINISHED)] * 2
    database.close()
    assert [run.changed for run in take().runs] == [False] * 2
    for id, sign in ((A, 1), (B, -1)):
        curve = store.runs.metrics(id)["loss"]
        assert (curve.steps, curve.values) == (list(range(20)), [sign * (i - i % 2) for i in range(20)])
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_metrics_that_come_while_it_is_read(
    tmp_path: Path, database: sqlite3.Connection, store: MemoryStore, monkeypatch: Any
) -> None:
    monkeypatch.setattr(mlflow_sql, "_MOST_ROWS", 3)
    mlflow_row(database, A, status="RUNNING", end=None)
    mlflow_metrics(database, A, *(("loss", i, T, i) for i in range(4)))
    more = iter(range(4, 10))

    def on_run(number: int, total: int, where: str) -> None:
        if "% of mlflow.db" in where and (step := next(more, None)) is not None:
            mlflow_metrics(database, A, ("loss", step, T, step))

    assert index(find([tmp_path], now=OLD), store, on_run=on_run).troubles == []
    taken = store.runs.metrics(A)["loss"].steps
    assert len(taken) > 4
    assert taken == list(range(len(taken)))


@pytest.mark.parametrize("stays", [True, False])
def test_a_quiet_one_that_is_opened_while_it_is_read_is_left_for_later(
    tmp_path: Path, database: sqlite3.Connection, take: Any, store: MemoryStore, monkeypatch: Any, stays: bool
) -> None:
    monkeypatch.setattr(mlflow_sql, "_MOST_ROWS", 50)
    database.execute("PRAGMA journal_mode = wal")
    for id in (A, B, C):
        mlflow_row(database, id)
        mlflow_metrics(database, id, *(("loss", i, T, i) for i in range(200)))
    database.close()
    path = tmp_path / "mlflow.db"
    opened: list[sqlite3.Connection] = []
    ship = store.runs.ship

    def meanwhile(*args: Any) -> int:
        if not opened:  # as a server that starts, and brings its journal into the file
            opened.append(sqlite3.connect(path, isolation_level=None))
            opened[0].execute("DELETE FROM params")
            mlflow_metrics(opened[0], A, *(("loss", i, T, i) for i in range(200, 300)))
            if not stays:
                opened[0].close()
        return ship(*args)

    with monkeypatch.context() as patched:
        patched.setattr(store.runs, "ship", meanwhile)
        result = take()
    assert result.troubles == [
        (str(path), f"{path} changed while it was read: try again: what was read before is kept")
    ]
    assert store.runs.metrics(A)["loss"].steps == list(range(50))
    result = take()
    opened[0].close()
    assert result.troubles == []
    assert [len(store.runs.metrics(id)["loss"].steps) for id in (A, B, C)] == [300, 200, 200]


def test_a_quiet_one_that_is_damaged_by_who_writes_is_said_to_have_changed(
    tmp_path: Path, database: sqlite3.Connection, take: Any, monkeypatch: Any
) -> None:
    database.execute("PRAGMA journal_mode = wal")
    mlflow_row(database, A, params={"lr": "1"})
    database.close()
    path = tmp_path / "mlflow.db"
    answer = mlflow_sql._Database._answer

    def meanwhile(self: Any, question: str, values: Any) -> Any:
        if "FROM runs" in question:
            with path.open("r+b") as file:
                file.seek(4096)
                file.write(bytes(8 * 4096))
            os.utime(path, (1, 1))
        return answer(self, question, values)

    monkeypatch.setattr(mlflow_sql._Database, "_answer", meanwhile)
    ((_, trouble),) = take().troubles
    assert "changed while it was read" in trouble


def test_metrics_that_were_removed_are_told_of(tmp_path: Path, database: sqlite3.Connection, take: Any) -> None:
    mlflow_row(database, A)
    mlflow_metrics(database, A, ("loss", 1, T, 0), ("loss", 2, T, 1))
    take()
    database.execute("DELETE FROM metrics WHERE step = 1")
    ((_, trouble),) = take().troubles
    assert "is shorter than it was when it was read last" in trouble


def test_a_run_that_came_from_elsewhere_does_not_come_twice(
    tmp_path: Path, database: sqlite3.Connection, take: Any, store: MemoryStore
) -> None:
    mlflow_row(database, A, params={"lr": "1"})
    mlflow_metrics(database, A, ("loss", 1, T, 0))
    mlflow_run(mlflow_experiment(tmp_path / "old"), A, metrics={"loss": f"{T} 1.0 0\n"})
    result = take(tmp_path / "old")
    assert (result.troubles, len(result.runs)) == ([], 1)
    result = take(tmp_path / "mlflow.db")
    ((_, trouble),) = result.troubles
    assert f"run {A} was taken in from another place (mlflow, {tmp_path}/old" in trouble
    assert store.runs.metrics(A)["loss"].values == [1.0]


def test_a_store_that_was_moved_into_it_is_read_there_alone(
    tmp_path: Path, database: sqlite3.Connection, take: Any, store: MemoryStore
) -> None:
    mlflow_row(database, A, params={"lr": "1"})
    mlflow_metrics(database, A, ("loss", 1, T, 0))
    experiment = mlflow_experiment(tmp_path)
    mlflow_run(experiment, A, metrics={"loss": f"{T} 1.0 0\n"})
    mlflow_run(experiment, B, metrics={"loss": f"{T} 2.0 0\n"})
    for _ in range(2):
        result = take()
        assert result.troubles == []
        assert {run.id: run.kind for run in result.runs} == {A: "mlflow-db", B: "mlflow"}
    assert store.runs.metrics(A)["loss"].values == [1.0]


def test_artifacts_lie_beside_it_and_are_no_runs(
    tmp_path: Path, database: sqlite3.Connection, take: Any, store: MemoryStore
) -> None:
    filled(database)
    for place, id in (("mlruns", A), ("mlartifacts", B), ("mlruns", D)):
        folder = tmp_path / place / "12" / id / "artifacts"
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text("step,loss\n0,1\n")
    secret = tmp_path.parent / f"secret-{tmp_path.name}"
    (secret / "artifacts").mkdir(parents=True)
    (secret / "artifacts" / "key").write_text("hush")
    mlflow_row(database, str(secret), params={"lr": "1"})
    (tmp_path / "mlruns" / "0").mkdir()
    (tmp_path / "mlruns" / "0" / C).symlink_to(secret)
    result = take(files=True)
    assert result.troubles == []
    assert {run.id: [a.name for a in store.runs.artifacts(run.id)] for run in result.runs} == {
        A: ["metrics.csv"], B: ["metrics.csv"], C: [],
    }  # fmt: skip
    assert [run.num_files for run in take(files=True).runs] == [0, 0, 0]


def test_what_is_no_database_of_mlflow(tmp_path: Path, take: Any) -> None:
    (tmp_path / "other.db").write_bytes(b"SQLite format 3\0" + bytes(100))
    (tmp_path / "text.db").write_text("x")
    sqlite3.connect(tmp_path / "own.sqlite").execute("CREATE TABLE runs (id)").connection.close()
    assert (take().runs, take().troubles) == ([], [])
    assert "has no tables of MLflow" in take(tmp_path / "own.sqlite").troubles[0][1]
    (tmp_path / "mlflow.db").write_text("x")
    assert "mlflow.db is no SQLite database" in take().troubles[0][1]


def test_tables_must_be_tables_and_hold_no_more_than_they_have(
    tmp_path: Path, database: sqlite3.Connection, take: Any, monkeypatch: Any
) -> None:
    filled(database)
    database.executescript("ALTER TABLE params RENAME TO inner; CREATE VIEW params AS SELECT * FROM inner")
    assert "has no tables of MLflow" in take(format="mlflow-db").troubles[0][1]
    database.executescript(
        "DROP VIEW params; CREATE TABLE params (key, run_uuid, value AS (hex(zeroblob(400000)) || key));"
        f"INSERT INTO params (key, run_uuid) VALUES ('a', '{A}'), ('b', '{A}'), ('c', '{A}')"
    )
    monkeypatch.setattr(mlflow_sql, "_MOST_BYTES", 2_000_000)
    result = take()
    assert {run.id for run in result.runs} == {B}
    assert "holds too much" in result.troubles[0][1]


def test_tables_without_keys_cost_no_more_than_they_have(
    tmp_path: Path, database: sqlite3.Connection, take: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(mlflow_sql, "_MOST_RUNS", 60)
    database.executescript(
        "DROP TABLE experiments; CREATE TABLE experiments (experiment_id, name, lifecycle_stage);"
        "INSERT INTO experiments VALUES (x'00', 'x', 'active'), (NULL, NULL, NULL), ('12', 'text', 'active')"
    )
    database.executemany("INSERT INTO experiments VALUES (12, ?, 'active')", [(f"e{i}",) for i in range(50)])
    for i in range(50):
        mlflow_row(database, f"{i:032x}", params={"lr": "1"})
    mlflow_row(database, A, params={"lr": "1"}, experiment=99)
    result = take()
    assert (result.troubles, len(result.runs)) == ([], 50)
    database.executemany("INSERT INTO experiments VALUES (?, 'x', 'active')", [(i,) for i in range(20)])
    ((_, trouble),) = take().troubles
    assert "has more than 60 experiments" in trouble


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(*[st.none() | st.text(max_size=3) | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.binary(max_size=3)] * 5), max_size=4)
)  # fmt: skip
def test_values_of_any_type_give_rows_or_a_count_of_what_is_damaged(tmp_path: Path, cells: Any) -> None:
    path = tmp_path / "mlflow.db"
    path.unlink(missing_ok=True)
    made = mlflow_database(path)
    mlflow_row(made, A, params={"lr": "1"})
    made.executescript("DROP TABLE metrics; CREATE TABLE metrics (key, value, timestamp, step, is_nan, run_uuid)")
    made.executemany(f"INSERT INTO metrics VALUES (?, ?, ?, ?, ?, '{A}')", cells)
    made.close()
    store = MemoryStore()
    result = index(find([path], now=OLD), store)
    (run,) = result.runs
    num = sum(len(curve.values) for curve in store.runs.metrics(A).values())
    assert num == run.num_points <= len(cells)
    assert bool(result.troubles) == (num < len(cells))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 49151), st.integers(0, 255)), max_size=30), st.integers(0, 49152))
def test_a_damaged_database_gives_runs_or_a_sentence(tmp_path: Path, edits: Any, length: int) -> None:
    whole = tmp_path / "whole"
    if not whole.exists():
        made = mlflow_database(whole)
        filled(made)
        made.close()
    data = bytearray(whole.read_bytes())
    for at, byte in edits:
        data[at % len(data)] = byte
    path = tmp_path / "x" / "mlflow.db"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data[: max(length, 1)])
    result = index(find([path.parent], now=OLD), MemoryStore())
    assert all(trouble for _, trouble in result.troubles)
    assert os.listdir(path.parent) == ["mlflow.db"]
