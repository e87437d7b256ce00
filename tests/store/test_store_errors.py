"""What goes wrong with a disk or a file comes as an error that says what to do; the database lives on."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from whet import locks
from whet.errors import StoreError, StoreUnavailable
from whet.server.app import application
from whet.store import open_store
from whet.store.base import Batch, NewRun
from whet.store.sql import SqlStore
from whet.testing.serving import serving
from whet.trial import Goal, Suggestion


def test_a_full_disk(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "whet.db"))
    assert isinstance(store, SqlStore)
    store.runs.create(NewRun(id="r", project="p", name="r", owner="me"))
    store.runs.ship("r", 0, "spool", 0, 1, Batch(meta={"kept": True}))
    cursor = store.database.link().tx.cursor
    pages = cursor.execute("PRAGMA page_count").fetchone()[0]
    cursor.execute(f"PRAGMA max_page_count={pages}")  # SQLite's own limit: it fails as a disk does, with SQLITE_FULL
    big = Batch(meta={"diff": "x" * 1_000_000}, summary={"late": True})
    with pytest.raises(StoreUnavailable) as caught:
        store.runs.ship("r", 0, "spool", 1, 2, big)
    assert str(caught.value) == (
        f"the disk that holds {tmp_path}/whet.db is full: "
        "free some space and repeat: what was acknowledged is kept, this call changed nothing"
    )
    run = store.runs.get("r")
    assert (run.meta, run.summary, store.runs.shipped("r", 0, "spool")) == ({"kept": True}, {}, 1)
    cursor.execute("PRAGMA max_page_count=1000000")
    assert store.runs.ship("r", 0, "spool", 1, 2, big) == 2
    store.close()


@pytest.fixture
def locked_folder() -> Iterator[Path]:
    """A folder in which an ordinary user may not write."""
    folder = Path(tempfile.mkdtemp())
    open_store(str(folder / "old.db")).close()
    for name in os.listdir(folder):
        (folder / name).chmod(0o444)
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no such rights")
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("new.db", "can't be opened (unable to open database file): check the path and the rights of its folder, "),
        ("sub/new.db", "can't be written (Permission denied): make its folder writable, "),
        (
            "old.db",
            "can't be written (attempt to write a readonly database): make the file and its folder writable, ",
        ),
    ],
)
def test_a_read_only_folder(locked_folder: Path, name: str, problem: str) -> None:
    path = locked_folder / name
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # rights don't bind root, so be nobody for a moment
    try:
        with pytest.raises(StoreUnavailable) as caught:
            open_store(str(path)).sweeps.create("p", {}, goals=[Goal.MINIMIZE])
    finally:
        if root:
            os.seteuid(0)
    assert str(caught.value) == f"{path} {problem}or choose another place with $WHET_STORE or storage=…"


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreUnavailable) as caught:
        open_store(f"sqlite:///{tmp_path}/file/whet.db")
    assert str(caught.value).startswith(f"{tmp_path}/file/whet.db can't be written (")
    with pytest.raises(StoreUnavailable, match=r"can't be opened \(unable to open database file\)"):
        open_store(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "whet.db"
    path.write_bytes(b"lr,loss\n0.1,0.2\n" * 100)
    with pytest.raises(StoreError) as caught:
        open_store(str(path))
    assert str(caught.value) == (
        f"{path} is damaged or no SQLite database (file is not a database): "
        f"move it away and start anew, or save what can be read with `sqlite3 {path} .recover`"
    )
    assert path.read_bytes().startswith(b"lr,loss")


def test_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "whet.db"
    store = open_store(str(path))
    sweep = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE])
    for number in range(50):
        store.trials.add(sweep.id, number, Suggestion(params={"x": "y" * 500}), owner="me", seen=0)
    store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    with pytest.raises(StoreError, match="is damaged or no SQLite database"):
        open_store(str(path)).trials.changes(sweep.id)


def test_somebody_elses_database(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE studies (x)")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match=r"holds tables that are not Whet's \(studies\): choose another database"):
        open_store(str(path))


def test_a_database_that_another_program_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from whet.store import sqlite

    monkeypatch.setattr(sqlite, "_BUSY_S", 0.05)
    path = tmp_path / "whet.db"
    store = open_store(str(path))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match=r"has been locked by another program for 0\.05 s: end what holds it"):
        store.sweeps.create("p", {}, goals=[Goal.MINIMIZE])
    other.execute("ROLLBACK")
    store.sweeps.create("p", {}, goals=[Goal.MINIMIZE])
    other.close()
    store.close()


def test_an_interrupted_verb_changes_nothing(tmp_path: Path) -> None:
    """Ctrl-C may come at any moment: the transaction goes back, the lock is free, the next verb works."""
    code = textwrap.dedent("""
        import os, signal, sys
        from whet.store import open_store, rules
        from whet.trial import Goal, Suggestion
        store = open_store(sys.argv[1])
        sweep = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE])
        add = lambda: store.trials.add(sweep.id, 0, Suggestion(params={}), owner="me", seen=0)
        check, rules.check_number = rules.check_number, lambda *a: os.kill(os.getpid(), signal.SIGINT)
        try:
            add()
        except KeyboardInterrupt:
            print("interrupted", store.sweeps.get(sweep.id).next_number)
        rules.check_number = check
        add()
        print(store.sweeps.get(sweep.id).next_number)
    """)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.db")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["interrupted", "0", "1"]


class Interrupted:
    """A cursor at which Ctrl-C comes right after the statement."""

    def __init__(self, cursor: sqlite3.Cursor, after: str) -> None:
        self.cursor, self.after = cursor, after

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        done = self.cursor.execute(sql, *values)
        if sql.startswith(self.after):
            raise KeyboardInterrupt
        return done

    def __getattr__(self, name: str) -> object:
        return getattr(self.cursor, name)


def test_ctrl_c_right_after_a_transaction_has_begun(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "whet.db"))
    assert isinstance(store, SqlStore)
    sweep = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE])
    link: Any = store.database.link()
    cursor = link.cursor
    for verb in (lambda: store.trials.beat(sweep.id, "me"), lambda: store.trials.changes(sweep.id)):
        link.cursor = link.tx.cursor = Interrupted(cursor, "BEGIN")
        with pytest.raises(KeyboardInterrupt):
            verb()
        link.cursor = link.tx.cursor = cursor
        verb()
    store.close()


def test_ctrl_c_while_it_waits_for_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, other = (locks.FileLock(tmp_path / "x") for _ in range(2))
    take = locks._lock

    def interrupted(file: int) -> None:
        take(file)
        raise KeyboardInterrupt

    monkeypatch.setattr(locks, "_lock", interrupted)
    with pytest.raises(KeyboardInterrupt), lock:
        pass
    monkeypatch.setattr(locks, "_lock", take)
    taken = threading.Thread(target=other.__enter__, daemon=True)
    taken.start()
    taken.join(20)
    assert not taken.is_alive()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not show open files")
def test_turns_of_many_sweeps_leave_no_files_open(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "whet.db"))
    sweeps = [store.sweeps.create("p", {}, goals=[Goal.MINIMIZE]).id for _ in range(20)]
    before = len(os.listdir("/proc/self/fd"))
    with store.trials.turn(sweeps[0]):
        for sweep in sweeps[1:]:
            with store.trials.turn(sweep):
                pass
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    store.close()


@pytest.mark.postgres
def test_a_server_that_is_not_there() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreUnavailable) as caught:
        open_store("postgresql://me:secret@127.0.0.1:9/x")
    assert "postgresql://me:***@127.0.0.1:9/x does not answer" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_server_of_another_api_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path / "whet.db"))
    with serving(application(store)) as url:
        open_store(url).close()
        monkeypatch.setattr("whet.store.http.client.API_VERSION", 99)
        with pytest.raises(StoreError, match=r"whose API has version \d+, wanted 99: use the same Whet on both sides"):
            open_store(url)
    store.close()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://localhost:abc", "'http://localhost:abc' is no address"),
        ("http://localhost:99999", "'http://localhost:99999' is no address"),
        ("http://[::1", "'http://[::1' is no address"),
        ("http://:8765", "'http://:8765' has no host"),
        ("postgresql://u:secret@h:abc/db", "what follows postgresql:// is no address"),
        ("postgresql://", "does not answer"),
    ],
)
def test_an_address_that_is_none(url: str, problem: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(url)
    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)
