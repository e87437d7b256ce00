"""``whet db``: what it says, what it refuses, and that what it makes is a store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from whet.server.app import application
from whet.store import open_store
from whet.store.base import Store
from whet.store.schema import HEAD
from whet.testing.serving import serving
from whet.testing.store_filling import everything

Call = Callable[..., Any]


@pytest.fixture
def db(whet: Call, digits: str, lone: str, store: Store) -> Call:
    """Calls ``whet db`` on a store with a sweep of six trials and a run."""
    store.close()
    return lambda *args: whet("db", *args)


def error(result: Any) -> str:
    assert result.exit_code != 0
    return str(result.stderr)


def sql(statement: str, path: str = ".whet/whet.db") -> list[Any]:
    with sqlite3.connect(path) as connection:
        return connection.execute(statement).fetchall()


def test_check_finds_and_repairs(db: Call) -> None:
    assert db("check").stdout == "all is well: 1 sweep, 7 runs\n"
    assert json.loads(db("check", "--json").stdout) == {"findings": [], "repaired": 0}
    sql("UPDATE runs SET stats = '{}' WHERE id = 'aaaa000001'")
    result = db("check")
    assert result.exit_code == 1
    said = "run aaaa000001 ('first') has statistics that its metrics don't bear out (loss, system/cpu)"
    assert result.stdout == f"stats      {said}\n"
    assert result.stderr == "--repair puts 1 of 1 right\n"
    found = json.loads(db("check", "--json").stdout)["findings"]
    assert found == [{"rule": "stats", "problem": said, "sweep": None, "run": "aaaa000001", "repairable": True}]
    result = db("check", "--repair")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "1 put right, 0 left")
    assert db("check").exit_code == 0
    sql("UPDATE sweeps SET next_number = 77")
    result = db("check", "--repair")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (1, "0 put right, 1 left")


def test_versions(db: Call, workspace: Path) -> None:
    assert db("upgrade").stdout == f".whet/whet.db has version {HEAD} already\n"
    refused = db("downgrade", "--to", "0001")
    assert "values of runs.seen_version" in error(refused)
    assert not list(workspace.glob(".whet/*.bak*"))
    result = db("downgrade", "--to", "0001", "--force")
    lines = result.stdout.splitlines()
    assert lines[0] == f".whet/whet.db is brought from version {HEAD} to 0001"
    assert lines[1].startswith("lost: ")
    assert lines[2] == f"back-up  {workspace}/.whet/whet.db.bak-{HEAD}"
    assert "this one brings it up again" in result.stderr
    assert sql("SELECT version_num FROM whet_version") == [("0001",)]
    result = json.loads(db("upgrade", "--json").stdout)
    assert result == {"was": "0001", "now": HEAD, "backup": f"{workspace}/.whet/whet.db.bak-0001", "lost": []}
    assert "did you mean" in error(db("upgrade", "--to", "0009"))


def test_vacuum(db: Call) -> None:
    assert db("vacuum").stdout.endswith(" now\n")
    assert set(json.loads(db("vacuum", "--json").stdout)) == {
        "bytes_before", "bytes_after", "chunks_before", "chunks_after", "num_runs",
    }  # fmt: skip


def test_export_and_import(db: Call, whet: Call, workspace: Path) -> None:
    result = db("export", "all.jsonl.gz")
    assert result.stdout.startswith("wrote 1 sweep and 7 runs (")
    assert "is there already" in error(db("export", "all.jsonl.gz"))
    written = json.loads(db("export", "all.jsonl.gz", "--force", "--json").stdout)
    assert (written["path"], written["rows"]["runs"]) == ("all.jsonl.gz", 7)
    result = whet("--store", "copy.db", "db", "import", "all.jsonl.gz")
    assert result.stdout.startswith("1 sweep and 7 runs (")
    result = whet("--store", "copy.db", "db", "import", "all.jsonl.gz")
    assert result.stdout == (
        "nothing new is written to copy.db\n"
        "1 sweep and 1 run outside sweeps were there already, with the same content\n"
    )
    assert repr(everything(open_store("copy.db"))) == repr(everything(open_store()))
    assert db("export", "solo.jsonl.gz", "--project", "solo").stdout.startswith("wrote 0 sweeps and 1 run (")
    assert "there is no project 'nobody'" in error(db("export", "x", "--project", "nobody"))
    assert "can't be read" in error(whet("--store", "none.db", "db", "import", "nothing.gz"))
    assert not (workspace / "none.db").exists()


def test_move(db: Call, whet: Call, workspace: Path) -> None:
    result = db("move", ".whet/whet.db", "new/whet.db")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[1:] == [
        "both compared: the same content",
        ".whet/whet.db is as it was; tokens and the files that runs keep stay where they are",
    ]
    assert repr(everything(open_store("new/whet.db"))) == repr(everything(open_store()))
    done = json.loads(db("move", ".whet/whet.db", "new/whet.db", "--json").stdout)
    assert (done["known"], done["findings"], done["running"]) == ({"sweeps": 1, "runs": 1}, [], 0)
    assert "are one store" in error(db("move", ".whet/whet.db", str(workspace / ".whet" / "whet.db")))
    assert "there is no store at nowhere.db" in error(db("move", "nowhere.db", "x.db"))
    assert not (workspace / "x.db").exists()
    db("downgrade", "--to", "0001", "--force")
    assert f"has version 0001, this Whet copies {HEAD}" in error(db("move", ".whet/whet.db", "x.db"))
    assert sql("SELECT version_num FROM whet_version") == [("0001",)]  # it is left as it is


@pytest.mark.parametrize(
    "command", [("upgrade",), ("downgrade", "--to", "0001"), ("check",), ("vacuum",), ("export", "x")]
)
def test_where_there_is_no_database(command: tuple[str, ...], whet: Call, workspace: Path) -> None:
    assert "there is no store at .whet/whet.db" in error(whet("db", *command))
    assert "nothing to look after" in error(whet("--store", "memory", "db", *command))
    assert list(workspace.iterdir()) == []


def test_over_http_a_store_is_checked_and_nothing_else(db: Call, whet: Call, store: Store) -> None:
    with serving(application(open_store(".whet/whet.db"))) as url:
        assert whet("--store", url, "db", "check").stdout == "all is well: 1 sweep, 7 runs\n"
        sql("UPDATE runs SET stats = '{}' WHERE id = 'aaaa000001'")
        assert "run it where the database is" in error(whet("--store", url, "db", "check", "--repair"))
        for command in (("vacuum",), ("export", "x"), ("upgrade",)):
            assert "is not the database itself" in error(whet("--store", url, "db", *command))
