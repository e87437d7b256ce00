"""Whole runs of a question: in its order, in few requests, without those that are gone meanwhile."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from whet.cli import session
from whet.cli.ls import command
from whet.store import Store, open_store
from whet.store import matching as module
from whet.store.base import NewRun, TableQuery
from whet.store.matching import matching, whole_runs
from whet.trial import Phase


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(module, "_PAGE", 4)
    store = open_store("memory")
    for i in range(10):
        store.runs.create(NewRun(id=f"r{i}", project="p", name="r", owner="", config={"x": i}))
        store.runs.finish(f"r{i}", Phase.FAILED if i % 2 else Phase.FINISHED)
    return store


def counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    asked: Counter[str] = Counter()

    def count(name: str) -> None:
        verb = getattr(store.runs, name)

        def call(*args: Any, **given: Any) -> Any:
            asked[name] += 1
            return verb(*args, **given)

        monkeypatch.setattr(store.runs, name, call)

    for name in ("get", "select", "table"):
        count(name)
    return asked


def test_pages_are_joined_in_the_order_of_the_question(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = counted(store, monkeypatch)
    query = TableQuery(filter="config.x != 3", sort="-config.x", limit=1)
    assert [run.id for run in matching(store, query)] == ["r9", "r8", "r7", "r6", "r5", "r4", "r2", "r1", "r0"]
    assert asked == {"table": 3, "select": 3}
    found = matching(store, query, keep=lambda row: row.phase is Phase.FAILED, most=3)
    assert [run.id for run in found] == ["r9", "r7", "r5"]
    assert list(matching(store, query, most=0)) == []


def test_runs_that_are_deleted_meanwhile_are_left_out(store: Store) -> None:
    found = matching(store, TableQuery(sort="created"), most=8)
    assert next(found).id == "r0"
    store.runs.delete(["r5", "r6"])
    assert [run.id for run in found] == ["r1", "r2", "r3", "r4", "r7", "r8", "r9"]


def test_ls_asks_for_pages_not_for_runs(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "store", lambda **_: store)
    asked = counted(store, monkeypatch)
    done = CliRunner().invoke(command, ["--where", "config.x > 2", "--json"])
    assert done.exit_code == 0, done.output
    assert done.output.count('"id"') == 7
    assert asked["get"] == 0
    assert asked["select"] <= 2


def test_whole_runs_of_ids_come_in_their_order_and_in_few_questions(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = counted(store, monkeypatch)
    ids = ["r9", "r1", "gone", "r0", "r1", "r4", "r5", "r7"]
    assert [run.id for run in whole_runs(store, ids)] == ["r9", "r1", "r0", "r4", "r5", "r7"]
    assert asked == {"select": 2}
    assert whole_runs(store, []) == []
