"""Files next to the data: what a run's own folder has, where contents are kept, what is collected and what is found missing."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from whet.blobs.base import room_of
from whet.blobs.folder import Folder
from whet.blobs.remote import Remote
from whet.errors import NotFound, TooLarge
from whet.store import Store, gc, open_store
from whet.store.base import Artifact, Batch, NewRun
from whet.store.files import Limits, LocalFiles, _home, own_file
from whet.store.gc import check_files, collect
from whet.store.http.files import HttpFiles
from whet.store.owner import here
from whet.trial import Phase


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHET_DIR", str(tmp_path / ".whet"))
    monkeypatch.delenv("WHET_BLOBS", raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(open_store(str(tmp_path / ".whet" / "whet.db"))) as opened:
        yield opened


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def artifact(name: str, content: bytes, path: str = "/gone") -> Artifact:
    return Artifact(name=name, kind="file", path=path, size=len(content), sha256=sha(content))


def new_run(store: Store, id: str, *kept: Artifact, project: str = "p", owner: str = "elsewhere|1|0") -> None:
    store.runs.create(NewRun(id=id, project=project, name=id, owner=owner))
    store.runs.ship(id, 0, "spool", 0, 1, Batch(artifacts=kept))


def write(tmp_path: Path, run: str, name: str, content: bytes) -> Path:
    path = tmp_path / ".whet" / "runs" / run / "files" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def text(store: Store, run: str, name: str) -> bytes:
    return b"".join(store.files.read(run, name).pieces)


# -- a run's own folder


def test_the_runs_own_folder_is_read_and_no_byte_is_stored_twice(store: Store, tmp_path: Path) -> None:
    write(tmp_path, "r", "a/b.pt", b"weights")
    new_run(store, "r", artifact("a/b.pt", b"weights"))
    assert not store.files.collects
    assert [one.here for one in store.files.standing("r")] == [True]
    assert text(store, "r", "a/b.pt") == b"weights"
    assert b"".join(store.files.read("r", "a/b.pt", 2, 4).pieces) == b"ig"
    assert not list((tmp_path / ".whet").glob("*blobs*"))


def test_a_file_that_changed_since_is_not_what_was_kept(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path, "r", "m", b"weights")
    new_run(store, "r", artifact("m", b"weights"))
    assert text(store, "r", "m") == b"weights"
    path.write_bytes(b"WEIGHTS")
    with pytest.raises(NotFound, match="is not here"):
        text(store, "r", "m")
    path.write_bytes(b"longer than it was")
    assert [one.here for one in store.files.standing("r")] == [False]
    path.write_bytes(b"weights")
    assert text(store, "r", "m") == b"weights"


def test_a_digest_is_computed_once(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from whet.store import files

    counted = []
    digest = files.file_digest
    monkeypatch.setattr(files, "file_digest", lambda *args: counted.append(1) or digest(*args))
    write(tmp_path, "r", "m", b"weights")
    new_run(store, "r", artifact("m", b"weights"))
    for _ in range(3):
        assert text(store, "r", "m") == b"weights"
    assert len(counted) == 1


def test_what_a_client_says_is_the_path_leads_nowhere(store: Store, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    new_run(store, "r", artifact("m", b"secret", path=str(secret)))
    assert [one.here for one in store.files.standing("r")] == [False]
    with pytest.raises(NotFound, match="is not here"):
        text(store, "r", "m")


@pytest.mark.parametrize(
    "name",
    [
        "../../secret",
        "../../../.whet/secret",
        "/etc/hostname",
        "link",
        "links/secret",
        "self/secret",
        "..",
        "a\x00",
        "",
    ],
)
def test_no_name_and_no_link_leads_out_of_the_folder(store: Store, tmp_path: Path, name: str) -> None:
    """Even where somebody knows what is in the file outside."""
    (tmp_path / ".whet").mkdir(exist_ok=True)
    for path in (tmp_path / "secret", tmp_path / ".whet" / "secret", tmp_path / ".whet" / "runs" / "secret"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"secret")
    inside = write(tmp_path, "r", "x", b"x").parent
    (inside / "link").symlink_to(tmp_path / "secret")
    (inside / "links").symlink_to(tmp_path)
    (inside / "self").symlink_to(inside / "self")
    one = artifact(name, b"secret" if name != "/etc/hostname" else Path(name).read_bytes())
    assert own_file(tmp_path / ".whet" / "runs" / "r", one) is None
    new_run(store, "r", one)
    assert [standing.here for standing in store.files.standing("r")] == [False]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_pipe_in_its_place_is_no_file_and_stops_nobody(tmp_path: Path) -> None:
    path = write(tmp_path, "r", "x", b"")
    path.unlink()
    os.mkfifo(path)
    assert own_file(tmp_path / ".whet" / "runs" / "r", artifact("x", b"")) is None


# -- where contents are kept


def test_places(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.files.blobs.url == str(tmp_path / ".whet" / "whet.db.blobs")  # type: ignore[attr-defined]
    elsewhere = open_store(str(tmp_path / "other" / "x.db"))
    assert elsewhere.files.blobs.url == str(tmp_path / "other" / "x.db.blobs")  # type: ignore[attr-defined]
    elsewhere.close()
    monkeypatch.setenv("WHET_BLOBS", "memory://shared")
    shared = LocalFiles.of(store)
    assert isinstance(shared.blobs, Remote)
    assert shared.collects
    assert shared.drafts.folder == tmp_path / ".whet" / "whet.db.blobs" / ".drafts"
    monkeypatch.setenv("WHET_BLOBS", str(tmp_path / "shared"))
    assert LocalFiles.of(store).drafts.folder == tmp_path / "shared" / ".drafts"
    monkeypatch.setenv("WHET_BLOBS", f"file://{tmp_path}/shared")
    assert LocalFiles.of(store).drafts.folder == tmp_path / "shared" / ".drafts"


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_place_on_another_disk_takes_files(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:  # fmt: skip
    """Nothing can be renamed from one disk to another, so what is on its way is where it shall be."""
    disk, replace = tmp_path / "disk", os.replace

    def replace_on_a_disk(old: Path, new: Path) -> None:
        if Path(old).is_relative_to(disk) != Path(new).is_relative_to(disk):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(old, new)

    monkeypatch.setattr(os, "replace", replace_on_a_disk)
    monkeypatch.setenv("WHET_BLOBS", f"{scheme}{disk}")
    new_run(store, "r", artifact("m", b"weights"))
    assert store.files.send("r", sha(b"weights"), 0, b"weights") == 7
    assert text(store, "r", "m") == b"weights"


def test_no_two_databases_have_one_place(tmp_path: Path) -> None:
    """Whatever one drops, the other's stay. A PostgreSQL database keeps its place under a new password."""
    urls = [
        *(f"sqlite:///{tmp_path}/{file}" for file in ("whet.db", "a.db", "a.sqlite", "a", "other/a.db")),
        *(
            "postgresql://" + rest
            for rest in ("h/a", "h/b", "h:5433/a", "i/a", "me@h/a", "you@h/a", "", "h/a?options=x")
        ),
    ]
    places = {url: _home(url, tmp_path / ".whet")[0] for url in urls}
    assert len(set(places.values())) == len(urls)
    for same in (
        "postgresql://me:old@h/a",
        "postgresql://me:p%40ss@h:5432/a",
        "postgresql+psycopg://me@h/a?password=x&sslmode=require&connect_timeout=3",
    ):
        assert _home(same, tmp_path / ".whet")[0] == places["postgresql://me@h/a"]
    (tmp_path / "other").mkdir()
    (tmp_path / "a.db").touch()
    (tmp_path / "other" / "link.db").symlink_to(tmp_path / "a.db")
    assert _home(f"sqlite:///{tmp_path}/other/link.db", tmp_path)[0] == places[f"sqlite:///{tmp_path}/a.db"]


def test_a_collection_leaves_what_the_database_beside_keeps(store: Store, tmp_path: Path) -> None:
    new_run(store, "r", artifact("m", b"one"))
    store.files.send("r", sha(b"one"), 0, b"one")
    with contextlib.closing(open_store(str(tmp_path / ".whet" / "beside.db"))) as beside:
        new_run(beside, "s", artifact("m", b"two"), artifact("n", b"half"))
        beside.files.send("s", sha(b"two"), 0, b"two")
        beside.files.send("s", sha(b"half"), 0, b"ha")
        assert collected(store) == (0, 0, 1)
        assert text(beside, "s", "m") == b"two"
        assert [one.received for one in beside.files.standing("s")] == [3, 2]


def test_what_was_kept_in_the_folder_of_former_times_is_read_and_never_dropped(tmp_path: Path) -> None:
    """All databases of a folder shared `blobs` once: nobody knows whose it is."""
    for name, run in (("a.db", "r"), ("b.db", "s")):
        with contextlib.closing(open_store(str(tmp_path / name))) as store:
            new_run(store, run, artifact("m", run.encode()))
            draft = tmp_path / "draft"
            draft.write_bytes(run.encode())
            Folder(tmp_path / "blobs").keep(room_of("p"), sha(run.encode()), draft)
    for name, run in (("a.db", "r"), ("b.db", "s")):
        with contextlib.closing(open_store(str(tmp_path / name))) as store:
            assert collected(store) == (0, 0, 0)
            assert [one.here for one in store.files.standing(run)] == [True]
            assert store.files.send(run, sha(run.encode()), 0, b"") == 1
            assert text(store, run, "m") == run.encode()
            assert check_files(store) == ([], 0)  # type: ignore[arg-type]
            new_run(store, f"{run}2", artifact("m", b"new"))
            store.files.send(f"{run}2", sha(b"new"), 0, b"new")
    assert len(list(Folder(tmp_path / "blobs").all())) == 2


def test_through_a_url(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHET_BLOBS", "memory://through")
    new_run(store, "r", artifact("m", b"weights"))
    assert store.files.send("r", sha(b"weights"), 0, b"wei") == 3
    assert store.files.send("r", sha(b"weights"), 3, b"ghts") == 7
    assert text(store, "r", "m") == b"weights"


def test_limits(store: Store) -> None:
    files = store.files
    assert isinstance(files, LocalFiles)
    files.limits = Limits(file_bytes=10, project_bytes=15)
    new_run(
        store, "r", artifact("a", bytes(10)), artifact("b", bytes(11)), artifact("c", bytes(6)), artifact("d", bytes(5))
    )
    new_run(store, "s", artifact("a", bytes(10)), project="q")
    assert files.send("r", sha(bytes(10)), 0, bytes(10)) == 10
    with pytest.raises(TooLarge, match="has 11 bytes, and this server takes 10 a file"):
        files.send("r", sha(bytes(11)), 0, bytes(1))
    with pytest.raises(TooLarge, match="of the 15 of its project 10 are used"):
        files.send("r", sha(bytes(6)), 0, bytes(6))
    assert files.send("r", sha(bytes(5)), 0, bytes(5)) == 5
    assert files.send("s", sha(bytes(10)), 0, bytes(10)) == 10  # each project has its own


def test_no_limit_is_got_around_by_another_record_midway(store: Store) -> None:
    """A record says 5 bytes until the first has come, then what it likes."""
    files, content = store.files, bytes(1000)
    assert isinstance(files, LocalFiles)
    files.limits = Limits(file_bytes=10)
    new_run(store, "r", replace(artifact("m", content), size=5))
    assert files.send("r", sha(content), 0, content[:1]) == 1
    store.runs.ship("r", 0, "spool", 1, 2, Batch(artifacts=[artifact("m", content)]))
    for offset in (1, 999):
        with pytest.raises(TooLarge, match="has 1000 bytes, and this server takes 10 a file"):
            files.send("r", sha(content), offset, content[offset:])
    assert [(one.here, one.received) for one in files.standing("r")] == [(False, 0)]
    assert files.drafts.part(room_of("p")).num_bytes() == 0


def test_a_quota_counts_what_is_on_its_way(store: Store) -> None:
    files = store.files
    assert isinstance(files, LocalFiles)
    contents = [bytes([i]) * 8 for i in range(4)]
    new_run(store, "r", *(artifact(str(i), content) for i, content in enumerate(contents)))
    new_run(store, "s", artifact("m", contents[0]), project="q")
    files.limits = Limits(project_bytes=20)
    assert files.send("r", sha(contents[0]), 0, contents[0]) == 8
    assert files.send("r", sha(contents[1]), 0, contents[1][:6]) == 6
    assert files.send("r", sha(contents[1]), 0, contents[1][:6]) == 6  # it is not counted against itself
    with pytest.raises(TooLarge, match="has 8 bytes, and of the 20 of its project 14 are used"):
        files.send("r", sha(contents[2]), 0, contents[2][:1])
    assert files.send("s", sha(contents[0]), 0, contents[0][:7]) == 7  # of another project
    assert files.send("r", sha(contents[1]), 6, contents[1][6:]) == 8
    with pytest.raises(TooLarge, match="16 are used"):
        files.send("r", sha(contents[2]), 0, contents[2])


def test_uploads_that_began_together_stay_within_a_quota(store: Store) -> None:
    """Each had room when it began; what does not fit in the end is refused, and its draft is gone."""
    files = store.files
    assert isinstance(files, LocalFiles)
    files.limits = Limits(project_bytes=20)
    contents = [bytes([i]) * 8 for i in range(6)]
    new_run(store, "r", *(artifact(str(i), content) for i, content in enumerate(contents)))
    drafts = files.drafts.part(room_of("p"))
    for at in range(8):
        for content in contents:
            with contextlib.suppress(TooLarge):
                files.send("r", sha(content), at, content[at : at + 1])
            assert drafts.num_bytes() <= 20
    here = [one.here for one in files.standing("r")]
    assert here.count(True) == 2
    assert drafts.num_bytes() == 0


# -- collection


def collected(store: Store, grace_s: float = 0.0, **more: bool) -> tuple[int, int, int]:
    done = collect(store, grace_s=grace_s, now=time.time() + 1, **more)  # type: ignore[arg-type]
    return done.num_dropped, done.uploads_dropped, done.num_kept


def test_what_no_run_keeps_is_dropped_when_it_is_old(store: Store) -> None:
    new_run(store, "r", artifact("m", b"one"), artifact("n", b"two"))
    new_run(store, "s", artifact("m", b"one"))
    new_run(store, "t", artifact("m", b"one"), project="q")
    for run in ("r", "t"):
        store.files.send(run, sha(b"one"), 0, b"one")
    store.files.send("r", sha(b"two"), 0, b"two")
    assert collected(store) == (0, 0, 3)
    for run in ("r", "t"):
        store.runs.finish(run, Phase.FINISHED)
    store.runs.delete(["r"])
    assert collected(store, 3600.0) == (0, 0, 3)  # it is young
    assert collected(store, dry_run=True) == (1, 0, 2)
    assert collected(store) == (1, 0, 2)
    assert text(store, "s", "m") == b"one"
    store.runs.delete(["t"])
    assert collected(store) == (1, 0, 1)  # of the other project alone
    assert text(store, "s", "m") == b"one"


def test_a_content_that_a_name_has_no_more_goes_and_uploads_that_stopped(store: Store) -> None:
    new_run(store, "r", artifact("m", b"one"), artifact("n", b"two"))
    store.files.send("r", sha(b"one"), 0, b"one")
    store.files.send("r", sha(b"two"), 0, b"t")
    assert collected(store, 3600.0) == (0, 0, 1)
    assert store.files.send("r", sha(b"two"), 0, b"") == 1
    store.runs.ship("r", 0, "spool", 1, 2, Batch(artifacts=[artifact("m", b"new")]))
    assert collected(store, dry_run=True) == (1, 0, 0)
    assert store.files.send("r", sha(b"two"), 0, b"") == 1
    assert collected(store) == (1, 1, 0)
    assert store.files.send("r", sha(b"two"), 9, b"") == 0


def test_where_a_place_tells_no_times_nothing_is_dropped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """There nothing is known to be older than the grace, which is all that protects uploads behind a URL."""
    monkeypatch.setenv("WHET_BLOBS", "memory://timeless")
    info = MemoryFileSystem.info

    def timeless(fs: MemoryFileSystem, path: str, **more: object) -> dict[str, object]:
        return {key: value for key, value in info(fs, path, **more).items() if key != "created"}

    new_run(store, "r", artifact("m", b"one"))
    store.files.send("r", sha(b"one"), 0, b"one")
    store.runs.finish("r", Phase.FINISHED)
    store.runs.delete(["r"])
    with monkeypatch.context() as patched:
        patched.setattr(MemoryFileSystem, "info", timeless)
        patched.setattr(MemoryFileSystem, "ls", _timeless_list(MemoryFileSystem.ls))
        assert collected(store) == (0, 0, 1)
    assert collected(store) == (1, 0, 0)


def _timeless_list(ls: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    def timeless(*args: Any, **given: Any) -> list[Any]:
        found = ls(*args, **given)
        return [{k: v for k, v in one.items() if k != "created"} if isinstance(one, dict) else one for one in found]

    return timeless


@pytest.mark.parametrize("late", [False, True])
def test_a_run_that_comes_to_keep_it_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    """Who ships a record, then asks, is seen by the collector (the record came before it looked again), or sees that the content is gone."""
    new_run(store, "r", artifact("m", b"one"))
    store.files.send("r", sha(b"one"), 0, b"one")
    store.runs.finish("r", Phase.FINISHED)
    store.runs.delete(["r"])
    said: list[bool] = []
    kept, looks = gc._kept, []

    def client() -> None:
        said.append(store.files.standing("s")[0].here)
        if not said[0]:
            store.files.send("s", sha(b"one"), 0, b"one")

    asking = threading.Thread(target=client)

    def look(database: object) -> object:
        looks.append(1)
        if len(looks) == 1:
            return kept(database)  # type: ignore[arg-type]
        found = kept(database) if late else None  # type: ignore[arg-type]
        new_run(store, "s", artifact("m", b"one"))
        asking.start()
        asking.join(0.1)
        assert said == []  # he is held off until the collector is through
        return found if late else kept(database)  # type: ignore[arg-type]

    monkeypatch.setattr(gc, "_kept", look)
    assert collected(store)[0] == (1 if late else 0)
    asking.join()
    assert said == [not late]
    assert text(store, "s", "m") == b"one"


def test_collecting_while_others_send(store: Store) -> None:
    """Runs come and go with the same few contents; what one was told is there, is there as long as he keeps it."""
    over, troubles = threading.Event(), []
    contents = [bytes([i]) * 100 for i in range(3)]

    def work(me: int) -> None:
        try:
            for turn in range(25):
                content, id = contents[turn % 3], f"r{me}-{turn}"
                new_run(store, id, artifact("m", content))
                if not store.files.standing(id)[0].here:
                    at = 0
                    while at < 100:
                        at = store.files.send(id, sha(content), at, content[at : at + 60])
                assert text(store, id, "m") == content
                store.runs.finish(id, Phase.FINISHED)
                store.runs.delete([id])
        except Exception as error:
            troubles.append(error)

    def sweep() -> None:
        try:
            while not over.is_set():
                collected(store)
        except Exception as error:
            troubles.append(error)

    collector = threading.Thread(target=sweep)
    workers = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in (collector, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    over.set()
    collector.join()
    assert troubles == []
    collected(store)
    assert collected(store) == (0, 0, 0)


# -- the check


def test_the_check_reads_every_file(store: Store, tmp_path: Path) -> None:
    mine = here()
    assert mine.startswith(socket.gethostname())
    path = write(tmp_path, "r", "m", b"weights")
    new_run(store, "r", artifact("m", b"weights", str(path)), owner=mine)
    new_run(store, "s", artifact("m", b"one"), owner=mine)
    store.files.send("s", sha(b"one"), 0, b"one")
    new_run(store, "far", artifact("m", b"never sent"))
    assert check_files(store) == ([], 1)  # type: ignore[arg-type]

    blob = tmp_path / ".whet" / "whet.db.blobs" / room_of("p") / sha(b"one")[:2] / sha(b"one")[2:]
    blob.write_bytes(b"eno")
    path.write_bytes(b"WEIGHTS!")
    found, elsewhere = check_files(store)  # type: ignore[arg-type]
    assert elsewhere == 1
    assert [(one.rule, one.run) for one in found] == [("files", "r"), ("files", "s")]
    assert "is not the same any more" in found[0].problem
    assert "is damaged" in found[1].problem

    blob.unlink()
    path.unlink()
    found, _ = check_files(store)  # type: ignore[arg-type]
    assert ["which is gone" in one.problem for one in found] == [True, True]


def test_a_server_collects(store: Store) -> None:
    assert HttpFiles(None).collects  # type: ignore[arg-type]
