"""A store goes into a file and into another database and is the same there; what can't go is refused, and changes nothing."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whet.errors import Conflict, StoreError, StoreUnavailable
from whet.store import archive, copying, migrate, open_store
from whet.store.base import Batch, NewRun, Row, RunQuery
from whet.store.check import check
from whet.store.contents import copied_tables, totals
from whet.store.schema import HEAD
from whet.store.sql import SqlStore, database_at
from whet.store.vacuum import vacuum
from whet.testing.store_filling import everything, fill
from whet.trial import Goal, Phase, Suggestion

Make = Callable[[], SqlStore]
KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


def maker(kind: str, request: pytest.FixtureRequest, folder: Path) -> Make:
    made: list[SqlStore] = []

    def make() -> SqlStore:
        if kind == "sqlite":
            n = len(list(folder.glob("*.db")))
            url = f"sqlite:///{folder}/{n}.db"
        else:
            url = request.getfixturevalue("new_database")()
        store = open_store(url)
        assert isinstance(store, SqlStore)
        made.append(store)
        return store

    def close() -> None:
        for store in made:
            store.close()

    request.addfinalizer(close)
    return make


@pytest.fixture(params=KINDS)
def new(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    return maker(request.param, request, tmp_path)


@pytest.fixture(params=KINDS)
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    return maker(request.param, request, tmp_path)


slow = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@given(seed=st.integers(0, 2**32))
@slow
def test_a_store_is_the_same_after_a_file_whatever_the_databases(
    seed: int, new: Make, other: Make, tmp_path: Path
) -> None:
    store, copy = new(), other()
    fill(store, Random(seed))
    file = tmp_path / "store.jsonl.gz"
    archive.export(store.database, file)
    done = archive.import_(copy.database, file)
    assert repr(everything(copy)) == repr(everything(store))
    assert check(copy) == []
    with store.database.read() as tx:
        assert {name: done.rows.get(name, 0) for name in totals(tx)} == totals(tx)
    again = tmp_path / "again.jsonl.gz"
    archive.export(copy.database, again)
    assert again.read_bytes() == file.read_bytes()
    repeated = archive.import_(copy.database, file)
    assert (dict(repeated.new), sum(repeated.rows.values())) == ({}, 0)
    # It lives on: new keys and numbers follow the old ones.
    copy.runs.create(NewRun(id="new", project="p", name="new", owner="me"))
    assert copy.runs.select(RunQuery(limit=1))[0].id == "new"


@given(seed=st.integers(0, 2**32))
@slow
def test_a_store_may_be_taken_into_one_that_has_things_already(
    seed: int, new: Make, other: Make, tmp_path: Path
) -> None:
    one, two = new(), other()
    fill(one, Random(seed), prefix="one-")
    fill(two, Random(seed + 1), prefix="two-")
    mine, theirs = everything(two), everything(one)
    file = tmp_path / "store.jsonl.gz"
    archive.export(one.database, file)
    archive.import_(two.database, file)
    both = everything(two)
    order = [run.id for run in both["runs"]]
    assert order == [run.id for run in theirs["runs"]] + [run.id for run in mine["runs"]]  # newest first
    assert check(two) == []
    for kept in (mine, theirs):
        ids = {sweep.id for sweep in kept["sweeps"]}
        assert repr([s for s in both["sweeps"] if s.id in ids]) == repr(kept["sweeps"])
        assert [r for r in map(repr, both["runs"]) if r in set(map(repr, kept["runs"]))] == list(
            map(repr, kept["runs"])
        )
    two.runs.create(NewRun(id="new", project="p", name="new", owner="me"))
    assert two.runs.select(RunQuery(limit=1))[0].id == "new"


@given(seed=st.integers(0, 2**32))
@settings(slow, max_examples=5)
def test_moving_to_another_database(seed: int, new: Make, other: Make) -> None:
    store, copy = new(), other()
    fill(store, Random(seed))
    before = repr(everything(store))
    archive.copy(store.database, copy.database)
    assert repr(everything(copy)) == before == repr(everything(store))
    assert archive.copy(store.database, copy.database).rows == {"projects": 0}


def test_one_project(new: Make, tmp_path: Path) -> None:
    store, copy, file = new(), new(), tmp_path / "p.jsonl.gz"
    for seed in range(3):
        fill(store, Random(seed), prefix=f"{seed}-")
    archive.export(store.database, file, project="p")
    archive.import_(copy.database, file)
    assert repr(everything(copy)) == repr(everything(store, "p"))
    with pytest.raises(StoreError, match="there is no project 'nobody'"):
        archive.export(store.database, tmp_path / "no", project="nobody")
    assert sorted(path.name for path in tmp_path.glob("*no*")) == []


def filled(new: Make) -> tuple[SqlStore, str, str]:
    store = new()
    sweep = store.sweeps.create("p", {"a": 1}, goals=[Goal.MINIMIZE], name="s")
    for number in range(3):
        run = store.trials.add(sweep.id, number, Suggestion(params={"x": number}), owner="me", seen=0)
        store.runs.ship(run, 0, "spool", 0, 1, Batch(rows=[Row(step=1, time=1.0, values={"loss": 0.5})]))
        store.trials.tell(sweep.id, number, 0, phase=Phase.FINISHED, values=(float(number),))
    store.runs.create(NewRun(id="lone", project="p", name="lone", owner="me"))
    return store, sweep.id, run


def test_other_content_under_the_same_id_is_refused_and_nothing_is_changed(
    new: Make, other: Make, tmp_path: Path
) -> None:
    store, sweep, run = filled(new)
    copy, file = other(), tmp_path / "s.jsonl.gz"
    archive.export(store.database, file)
    archive.import_(copy.database, file)
    copy.runs.edit(run, notes="mine")
    copy.runs.finish("lone", Phase.FINISHED)
    copy.runs.delete(["lone"])
    before = repr(everything(copy))
    with pytest.raises(Conflict, match=rf"other content already: sweep {sweep} \('s'\): runs\.notes") as caught:
        archive.import_(copy.database, file)
    assert caught.value.fix.startswith("nothing was changed")
    assert repr(everything(copy)) == before  # the run outside is not there either
    store.runs.ship("lone", 0, "spool", 0, 1, Batch(rows=[Row(step=1, time=1.0, values={"loss": 0.5})]))
    for theirs, ours, said in (
        (store, copy, r"runs\.notes"),
        (copy, store, r"runs\.notes"),
    ):
        with pytest.raises(Conflict, match=said):
            archive.copy(theirs.database, ours.database)


def test_a_name_that_is_taken_is_refused(new: Make, tmp_path: Path) -> None:
    store, sweep, _ = filled(new)
    copy, file = new(), tmp_path / "s.jsonl.gz"
    mine = copy.sweeps.create("p", {}, goals=[Goal.MINIMIZE], name="s")
    archive.export(store.database, file)
    with pytest.raises(
        Conflict, match=rf"sweep {sweep} \('s'\): another sweep of project 'p' has that name \({mine.id}\)"
    ):
        archive.import_(copy.database, file)
    assert [s.id for s in copy.sweeps.all()] == [mine.id]


def test_a_run_that_lies_elsewhere_is_refused(new: Make, tmp_path: Path) -> None:
    store, _, run = filled(new)
    copy, file = new(), tmp_path / "s.jsonl.gz"
    copy.runs.create(NewRun(id=run, project="p", name="other", owner="me"))
    archive.export(store.database, file)
    with pytest.raises(Conflict, match=f"its run {run} is here already, in another place"):
        archive.import_(copy.database, file)


def test_metrics_are_the_same_however_they_are_cut(new: Make, other: Make, tmp_path: Path) -> None:
    store, copy, file = new(), other(), tmp_path / "s.jsonl.gz"
    fill(store, Random(5))
    store.runs.create(NewRun(id="long", project="p", name="long", owner="me"))
    for n in range(40):
        store.runs.ship("long", 0, "spool", n, n + 1, Batch(rows=[Row(step=n, time=1.0, values={"loss": float(n)})]))
    store.runs.finish("long", Phase.FINISHED)
    archive.export(store.database, file)
    vacuum(store.database)
    archive.copy(store.database, copy.database)
    assert archive.import_(copy.database, file).new == {}


def test_an_interrupted_import_leaves_whole_units_and_can_be_repeated(
    new: Make, other: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, file = new(), tmp_path / "s.jsonl.gz"
    for seed in (3, 5, 8):
        fill(store, Random(seed), prefix=f"{seed}-")
    archive.export(store.database, file)
    with store.database.read() as tx:
        num_rows = sum(totals(tx).values())
    wanted = repr(everything(store))
    monkeypatch.setattr(copying, "_BATCH_ROWS", 3)
    add = copying._Writer.add
    for stop in range(1, num_rows, max(1, num_rows // 15)):
        copy, left = other(), [stop]

        def fail(writer: Any, entry: Any, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            add(writer, entry)

        monkeypatch.setattr(copying._Writer, "add", fail)
        try:
            archive.import_(copy.database, file)
        except KeyboardInterrupt:
            assert check(copy) == []
        monkeypatch.setattr(copying._Writer, "add", add)
        archive.import_(copy.database, file)
        assert repr(everything(copy)) == wanted


# -- files that are not as they should be -----------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    store = open_store(str(tmp_path / "source.db"))
    assert isinstance(store, SqlStore)
    fill(store, Random(8))
    archive.export(store.database, tmp_path / "s.jsonl.gz")
    store.close()
    return tmp_path / "s.jsonl.gz"


def refused(file: Path, target: SqlStore) -> str:
    with pytest.raises(StoreError) as caught:
        archive.import_(target.database, file)
    assert (target.sweeps.all(), target.runs.select()) == ([], [])
    return str(caught.value)


@pytest.fixture
def target(request: pytest.FixtureRequest, tmp_path: Path) -> SqlStore:
    return maker("sqlite", request, tmp_path)()


def test_a_file_that_was_cut_off_changes_nothing(file: Path, target: SqlStore, tmp_path: Path) -> None:
    whole = file.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 25)):
        file.write_bytes(whole[:length])
        said = refused(file, target)
        assert "ends early" in said or "no export of a store" in said
    lines = gzip.decompress(whole).splitlines(keepends=True)
    (tmp_path / "plain.jsonl").write_bytes(b"".join(lines[:-1]))  # at the end of a line, and not zipped
    assert "ends early, after" in refused(tmp_path / "plain.jsonl", target)
    (tmp_path / "plain.jsonl").write_bytes(b"".join(lines))
    assert archive.import_(target.database, tmp_path / "plain.jsonl").new


def test_a_damaged_file_changes_nothing(file: Path, target: SqlStore) -> None:
    whole = file.read_bytes()
    random = Random(1)
    for _ in range(40):
        place = random.randrange(12, len(whole))
        file.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << random.randrange(8))]) + whole[place + 1 :])
        assert str(file) in refused(file, target)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda rows: rows.append({"end": {}}), "it counts"),
        (lambda rows: rows.insert(2, {"runs": {}}), "a row of runs with other columns than wanted"),
        (lambda rows: rows.insert(2, {"tokens": {}}), "no table 'tokens' is copied"),
        (lambda rows: rows.insert(2, [1]), "it is no row"),
        (lambda rows: rows.insert(2, {"runs": 3}), "it is no row"),
        (lambda rows: rows[1]["projects"].update(created="now"), "projects.created is 'now'"),
        (lambda rows: rows[1]["projects"].update(name=None), "projects.name is None"),
        (lambda rows: rows[0].update(format=2), "was written by a newer Whet"),
        (lambda rows: rows[0].update(tables="9999"), "was written by a newer Whet"),
        (lambda rows: rows[0].update(whet="something"), "is no export of a store"),
        (lambda rows: rows[0].update(last_key="x"), "it is not as an export begins"),
    ],
)
def test_rows_that_are_none(file: Path, target: SqlStore, edit: Callable[[list[Any]], object], said: str) -> None:
    rows = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    edit(rows)
    file.write_bytes("\n".join(map(json.dumps, rows)).encode())
    assert said in refused(file, target)


def test_what_is_no_file(target: SqlStore, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="can't be read"):
        archive.import_(target.database, tmp_path / "nothing")
    with pytest.raises(StoreUnavailable, match="can't be written"):
        archive.export(target.database, tmp_path / "no folder" / "x")
    (tmp_path / "text").write_text("hello\n")
    assert "damaged or no export" in refused(tmp_path / "text", target)


@pytest.mark.parametrize("version", migrate.versions())
def test_a_file_of_every_older_version(version: str, new: Make, other: Make, tmp_path: Path) -> None:
    """It is as if the older database itself had been brought up."""
    store, copy, file = new(), other(), tmp_path / "older.jsonl.gz"
    fill(store, Random(8))
    url = store.url
    migrate.downgrade(store.database, version)
    store.close()
    older = database_at(url, prepare=False)
    rows: list[object] = [{"whet": "store", "format": 1, "tables": version, "project": None, "last_key": 1000}]
    count = {}
    with older.engine().connect() as connection:
        names = [table.name for table in copied_tables() if table.name in older.tables()]
        for name in names:
            table = sa.Table(name, sa.MetaData(), autoload_with=connection)
            found = [dict(row._mapping) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]
            for row in found:
                if name != "runs":
                    row.pop("key", None)
                if "payload" in row:
                    row["payload"] = {"base64": base64.b64encode(row["payload"]).decode()}
                rows.append({name: row})
            count[name] = len(found)
    older.close()
    rows.append({"end": {name: n for name, n in count.items() if n}})
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    archive.import_(copy.database, file)
    later = open_store(url)
    assert isinstance(later, SqlStore)
    assert later.database.version() == HEAD
    assert repr(everything(copy)) == repr(everything(later))
    later.close()
