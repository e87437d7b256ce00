"""Migrations up and down on a filled database; tables and migrations agree; old and new versions are told apart."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from whet.errors import Conflict, StoreError, UnknownName
from whet.store import database, migrate, open_store
from whet.store.base import Artifact, Batch, NewRun, Row
from whet.store.check import check
from whet.store.owner import here
from whet.store.schema import HEAD, VERSION_TABLE, metadata
from whet.store.sql import SqlStore, database_at
from whet.store.token import Scope
from whet.testing.store_filling import fill as fill_with_all
from whet.trial import Goal, Phase, Report, Suggestion


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/whet.db"
    made: Callable[[], str] = request.getfixturevalue("new_database")
    return made()


def opened(url: str) -> SqlStore:
    store = open_store(url)
    assert isinstance(store, SqlStore)
    return store


def fill(store: SqlStore) -> str:
    """Put a row into every table."""
    sweep = store.sweeps.create("p", {"a": 1}, goals=[Goal.MINIMIZE], name="s", once="k")
    run = store.trials.add(sweep.id, 0, Suggestion(params={"x": 1}), owner="me", seen=0)
    store.trials.report(sweep.id, 0, 0, [Report(step=1, values=(0.5,))])
    art = Artifact(name="m", kind="model", path="/m", size=1, sha256="00")
    batch = Batch(rows=[Row(step=1, time=1.0, values={"loss": 0.5})], meta={"host": "h"}, artifacts=[art])
    store.runs.ship(run, 0, "spool", 0, 10, batch)
    store.trials.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(0.5,))
    store.runs.create(NewRun(id="r", project="q", name="r", owner="me"))
    store.tokens.create(Scope.READ, projects=["p"])
    return sweep.id


def tables_in_words(url: str) -> object:
    """Return what the database itself says of its tables."""
    engine = opened(url).database.engine()
    inspector = sa.inspect(engine)
    return {
        table: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)],
            inspector.get_pk_constraint(table)["constrained_columns"],
            sorted((i["name"], tuple(i["column_names"]), i["unique"]) for i in inspector.get_indexes(table)),
            sorted((u["name"], tuple(u["column_names"])) for u in inspector.get_unique_constraints(table)),
            sorted(
                (tuple(f["constrained_columns"]), f["referred_table"], str(f["options"]))
                for f in inspector.get_foreign_keys(table)
            ),
        )
        for table in sorted(inspector.get_table_names())
    }


def test_down_and_up_on_a_filled_database(url: str) -> None:
    store = opened(url)
    fill(store)
    made_at_once = tables_in_words(url)
    migrate.downgrade(store.database, "base")
    assert store.database.tables() <= {VERSION_TABLE}
    migrate.upgrade(store.database)
    assert store.database.version() == HEAD
    assert tables_in_words(url) == made_at_once  # whether made quickly or by migrations
    assert store.sweeps.all() == []
    fill(store)
    store.close()


def test_tables_and_migrations_agree(url: str) -> None:
    store = opened(url)
    migrate.downgrade(store.database, "base")
    migrate.upgrade(store.database)
    with store.database.engine().connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
    store.close()


def test_ends_of_trials_are_found_in_a_database_from_before_replays(url: str) -> None:
    store = opened(url)
    sweep = fill(store)
    store.trials.add(sweep, 1, Suggestion(params={"x": 2}), owner="me", seen=2)
    before = store.trials.origins(sweep)
    migrate.downgrade(store.database, "0001")
    store.close()
    later = opened(url)
    assert [o.over for o in before] == [o.over for o in later.trials.origins(sweep)]
    assert [o.seen for o in later.trials.origins(sweep)] == [0, 2]
    assert later.sweeps.former(sweep) == {}
    later.close()


def test_tokens_come_to_a_database_from_before_them(url: str) -> None:
    store = opened(url)
    sweep = fill(store)
    before = store.sweeps.get(sweep)
    migrate.downgrade(store.database, "0002")
    store.close()
    later = opened(url)
    assert later.tokens.all() == []
    token, secret = later.tokens.create(Scope.ADMIN)
    assert later.tokens.check(secret) == token
    assert later.sweeps.get(sweep) == before
    later.close()


NEXT_HEAD = f"{int(HEAD) + 1:04}"
NEXT = f"""
import sqlalchemy as sa
from alembic import op

revision = "{NEXT_HEAD}"
down_revision = "{HEAD}"

def upgrade():
    op.add_column("sweeps", sa.Column("color", sa.Text))

def downgrade():
    op.drop_column("sweeps", "color")
"""


def test_an_older_database_is_brought_up_to_date(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(url)
    sweep = fill(store)
    before = store.sweeps.get(sweep)
    store.close()
    scripts = tmp_path / "migrations"  # as a later release will have them
    shutil.copytree(migrate.SCRIPTS, scripts)
    (scripts / "versions" / f"{NEXT_HEAD}_color.py").write_text(NEXT)
    monkeypatch.setattr(migrate, "SCRIPTS", scripts)
    monkeypatch.setattr(database, "HEAD", NEXT_HEAD)
    later = opened(url)
    assert later.database.version() == NEXT_HEAD
    assert later.sweeps.get(sweep) == before
    assert later.runs.metrics(str(before.best_run))["loss"].values == [0.5]
    later.close()
    monkeypatch.setattr(database, "HEAD", HEAD)
    with pytest.raises(
        StoreError,
        match=rf"was written by a newer Whet \(its tables have version {NEXT_HEAD}, this one knows {HEAD}\)",
    ) as caught:
        opened(url)
    assert caught.value.fix == "upgrade this one with `pip install -U whet`, or use another store"
    if url.startswith("sqlite"):
        path = Path(f"{url.removeprefix('sqlite:///')}.bak-{HEAD}")
        copy = sqlite3.connect(path)
        assert copy.execute("SELECT name FROM sweeps").fetchall() == [("s",)]
        assert "color" not in [row[1] for row in copy.execute("PRAGMA table_info(sweeps)")]
        copy.close()


def test_a_migration_that_fails_changes_nothing(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(url)
    sweep = fill(store)
    scripts = tmp_path / "migrations"
    shutil.copytree(migrate.SCRIPTS, scripts)
    (scripts / "versions" / f"{NEXT_HEAD}_color.py").write_text(
        NEXT.replace("\ndef downgrade", "    1 / 0\n\ndef downgrade")
    )
    monkeypatch.setattr(migrate, "SCRIPTS", scripts)
    with pytest.raises(ZeroDivisionError):
        migrate.upgrade(store.database)
    assert store.database.version() == HEAD
    assert store.sweeps.get(sweep).name == "s"
    store.close()


def raw(url: str) -> dict[str, list[dict[str, object]]]:
    """Return all rows of all tables, whatever their version."""
    kept = database_at(url, prepare=False)
    found: dict[str, list[dict[str, object]]] = {}
    with kept.engine().connect() as connection:
        for name in sorted(kept.tables() - {VERSION_TABLE}):
            table = sa.Table(name, sa.MetaData(), autoload_with=connection)
            rows = connection.execute(sa.select(table).order_by(*table.primary_key))
            found[name] = [dict(row._mapping) for row in rows]
    kept.close()
    return found


def common(a: dict[str, list[dict[str, object]]], b: dict[str, list[dict[str, object]]]) -> list[object]:
    """Return what `a` holds of what both have room for."""
    rows = [(name, row, b[name][0] if b[name] else row) for name in a if name in b for row in a[name]]
    return [
        (name, {c: value for c, value in row.items() if c in like and value is not None}) for name, row, like in rows
    ]


@pytest.mark.parametrize("version", migrate.versions())
def test_from_each_version_up_and_down_again(version: str, url: str) -> None:
    """Going up loses nothing, and going down then loses nothing that the older tables have room for."""
    store = opened(url)
    for seed in (2, 8):
        fill_with_all(store, Random(seed), prefix=f"{seed}-")
    now = raw(url)
    store.close()
    kept = database_at(url, prepare=False)
    down = migrate.bring_down(kept, version, force=True)
    then = raw(url)
    assert (down.was, down.now, kept.version()) == (HEAD, version, version)
    assert common(then, now) == common(now, then)
    assert bool(down.lost) is (common(now, now) != common(now, then))
    if url.startswith("sqlite"):
        assert down.backup is None if version == HEAD else down.backup is not None
        if down.backup is not None:
            assert raw(f"sqlite:///{down.backup}") == now
    for step in migrate.versions():
        if step >= version:
            up = migrate.bring_up(kept, step)
            assert (up.now, kept.version(), up.lost) == (step, step, ())
            assert common(then, raw(url)) == common(raw(url), then)
    kept.close()
    later = opened(url)
    assert check(later) == []
    later.close()
    kept = database_at(url, prepare=False)
    migrate.bring_down(kept, version, force=True)
    assert raw(url) == then
    kept.close()


def test_going_down_is_refused_where_something_would_be_lost(url: str) -> None:
    store = opened(url)
    sweep = fill(store)
    store.sweeps.edit(sweep, version=0, config={"a": 2})
    before = raw(url)
    with pytest.raises(Conflict) as caught:
        migrate.bring_down(store.database, "0001")
    assert "loses 1 row of former, 1 value of runs.over" in str(caught.value)
    assert store.database.version() == HEAD
    assert raw(url) == before
    moved = migrate.bring_down(store.database, "0001", force=True)
    assert {"1 row of former", "1 value of runs.over"} <= set(moved.lost)
    store.close()
    empty = opened(url)
    empty.sweeps.delete(sweep)
    empty.runs.finish("r", Phase.FINISHED)
    assert migrate.bring_down(empty.database, "0001").lost == ()
    empty.close()


def test_going_down_is_refused_while_somebody_works_there(url: str) -> None:
    store = opened(url)
    store.runs.create(NewRun(id="mine", project="p", name="r", owner=here()))
    with pytest.raises(Conflict, match=f"is being worked on by process {os.getpid()} on "):
        migrate.bring_down(store.database, "0001")
    assert migrate.bring_down(store.database, "0001", force=True).now == "0001"
    store.close()


def test_back_ups_never_replace_each_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/whet.db"
    store = opened(url)
    sweep = fill(store)
    names = []
    for _ in range(2):
        names.append(str(migrate.bring_down(store.database, "0001", force=True).backup))
        names.append(str(migrate.bring_up(store.database).backup))
    store.close()
    ends = [f".bak-{HEAD}", ".bak-0001", f".bak-{HEAD}-2", ".bak-0001-2"]
    assert names == [f"{tmp_path}/whet.db{end}" for end in ends]
    for name in names:
        with contextlib.closing(sqlite3.connect(name)) as copy:
            assert copy.execute("SELECT id FROM sweeps").fetchall() == [(sweep,)]
    assert list(tmp_path.glob("*.part")) == []


def test_versions_that_do_not_fit(url: str) -> None:
    kept = database_at(url, prepare=False)
    with pytest.raises(StoreError, match="has no tables of Whet's"):
        migrate.bring_up(kept)
    kept.close()
    store = opened(url)
    with pytest.raises(UnknownName, match="unknown version '7'"):
        migrate.bring_down(store.database, "7")
    with pytest.raises(UnknownName, match="unknown version 'base'"):
        migrate.bring_down(store.database, "base", force=True)
    with pytest.raises(StoreError, match=f"has version {HEAD}, which is above 0001"):
        migrate.bring_up(store.database, "0001")
    assert migrate.bring_up(store.database) == migrate.Moved(was=HEAD, now=HEAD)
    migrate.downgrade(store.database, "0001")
    with pytest.raises(StoreError, match=f"has version 0001, which is below {HEAD}"):
        migrate.bring_down(store.database, HEAD)
    with store.database.write() as tx:
        tx.cursor.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(StoreError, match=f"has version 9999, this Whet knows 0001 to {HEAD}"):
        migrate.bring_up(store.database)
    store.close()


def test_what_goes_wrong_on_the_way_comes_as_a_store_error(url: str) -> None:
    store = opened(url)
    fill(store)
    with pytest.raises(StoreError, match="nothing"), store.database.connected() as connection:
        connection.exec_driver_sql("SELECT * FROM nothing")
    with store.database.write() as tx:  # a migration down finds something else than it wants
        tx.cursor.execute(b"DROP TABLE tokens" if "postgres" in url else "DROP TABLE tokens")
    with pytest.raises(StoreError, match="tokens"):
        migrate.bring_down(store.database, migrate.versions()[0], force=True)
    store.close()
