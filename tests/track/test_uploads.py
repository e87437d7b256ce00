"""Files on their way: whatever breaks off, they arrive whole, once, and the training does not wait."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import whet
from whet.cli.main import main
from whet.errors import Damaged, NotFound, Refused, StoreUnavailable, TooLarge
from whet.server.app import application
from whet.store import Store, open_store
from whet.store.base import Artifact, Batch, NewRun
from whet.store.files import Content, Files, Limits, LocalFiles, Standing
from whet.testing.serving import serving
from whet.track import run as run_module
from whet.track import uploads
from whet.track.notices import Notices
from whet.track.uploads import Uploader, send_files

CONTENT = bytes(range(35))
SHA = hashlib.sha256(CONTENT).hexdigest()
PIECE = 10


class Faulty(Files):
    """Breaks off at a call of `send`: before it is done, in its middle, or after it, when the answer is lost."""

    collects = True  # type: ignore[assignment]

    def __init__(self, inner: Files, at: int = -1, kind: str = "before") -> None:
        self.inner, self.at, self.kind = inner, at, kind
        self.sent: list[tuple[int, int]] = []

    def standing(self, run: str) -> list[Standing]:
        return self.inner.standing(run)

    def read(self, run: str, name: str, start: int = 0, end: int | None = None) -> Content:
        return self.inner.read(run, name, start, end)

    def send(self, run: str, sha256: str, offset: int, piece: bytes) -> int:
        self.sent.append((offset, len(piece)))
        breaks = len(self.sent) - 1 == self.at
        if breaks and self.kind == "before":
            raise StoreUnavailable("it is gone", "")
        if breaks and self.kind == "middle":
            self.inner.send(run, sha256, offset, piece[: len(piece) // 2])
            raise StoreUnavailable("it broke off", "")
        now = self.inner.send(run, sha256, offset, piece)
        if breaks and self.kind == "after":
            raise StoreUnavailable("the answer is lost", "")
        return now


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WHET_STORE", raising=False)
    monkeypatch.delenv("WHET_BLOBS", raising=False)
    monkeypatch.setenv("WHET_DIR", str(tmp_path / "server"))
    monkeypatch.setattr(uploads, "_PIECE_BYTES", PIECE)


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store("memory")
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path, store: Store) -> Path:
    """A run's folder with a file, whose record the store has."""
    (tmp_path / "r" / "files").mkdir(parents=True)
    (tmp_path / "r" / "files" / "m").write_bytes(CONTENT)
    store.runs.create(NewRun(id="r", project="p", name="r", owner=""))
    keep(store, "m", CONTENT)
    return tmp_path / "r"


def keep(store: Store, name: str, content: bytes, *, size: int | None = None) -> None:
    at = store.runs.shipped("r", 0, "spool")
    sha = hashlib.sha256(content).hexdigest()
    one = Artifact(name=name, kind="file", path="", size=len(content) if size is None else size, sha256=sha)
    store.runs.ship("r", 0, "spool", at, at + 1, Batch(artifacts=[one]))


def text(store: Store, name: str = "m", run: str = "r") -> bytes:
    return b"".join(store.files.read(run, name).pieces)


# -- one after the other


@pytest.mark.parametrize("kind", ["before", "middle", "after"])
@pytest.mark.parametrize("at", range(4))
def test_whatever_breaks_off_is_gone_on_with(store: Store, folder: Path, at: int, kind: str) -> None:
    files = Faulty(store.files, at, kind)
    with pytest.raises(StoreUnavailable):
        send_files(files, "r", folder)
    done = send_files(files, "r", folder)
    assert text(store) == CONTENT
    assert done.left == {}
    assert sum(length for _, length in files.sent) <= len(CONTENT) + PIECE  # what had come is not sent again
    assert send_files(files, "r", folder).num_files == 0
    count = len(files.sent)
    assert send_files(files, "r", folder).num_bytes == 0
    assert len(files.sent) == count


def test_what_is_there_costs_one_question(store: Store, folder: Path) -> None:
    files = Faulty(store.files)
    assert send_files(files, "r", folder).num_bytes == len(CONTENT)
    assert files.sent == [(0, 10), (10, 10), (20, 10), (30, 5)]
    keep(store, "again", CONTENT)  # the same content under another name
    assert send_files(files, "r", folder).num_files == 0
    assert len(files.sent) == 4


def test_one_content_of_several_names_is_sent_once(store: Store, folder: Path) -> None:
    shutil.copy(folder / "files" / "m", folder / "files" / "n")
    keep(store, "n", CONTENT)
    files = Faulty(store.files)
    assert send_files(files, "r", folder).num_bytes == len(CONTENT)
    assert text(store, "n") == CONTENT


def test_an_empty_file_and_a_file_of_whole_pieces(store: Store, folder: Path) -> None:
    for name, content in (("empty", b""), ("even", bytes(2 * PIECE))):
        (folder / "files" / name).write_bytes(content)
        keep(store, name, content)
    assert send_files(Faulty(store.files), "r", folder).num_files == 3
    assert (text(store, "empty"), text(store, "even")) == (b"", bytes(2 * PIECE))


def test_what_came_damaged_is_sent_again(store: Store, folder: Path) -> None:
    class Noisy(Faulty):
        def send(self, run: str, sha256: str, offset: int, piece: bytes) -> int:
            return super().send(run, sha256, offset, bytes(len(piece)) if len(self.sent) == 1 else piece)

    assert send_files(Noisy(store.files), "r", folder).num_files == 1
    assert text(store) == CONTENT


def test_a_line_that_always_damages_ends(store: Store, folder: Path) -> None:
    class Broken(Faulty):
        def send(self, run: str, sha256: str, offset: int, piece: bytes) -> int:
            self.sent.append((offset, len(piece)))
            raise Damaged("noise", "")

    files = Broken(store.files)
    assert list(send_files(files, "r", folder).left.values()) == ["it came damaged, again and again"]
    assert len(files.sent) == 3


@pytest.mark.parametrize("how", ["gone", "shorter", "other", "link", "unsafe"])
def test_what_can_not_be_sent_is_said_and_the_others_go_on(
    store: Store, folder: Path, tmp_path: Path, how: str
) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    path = folder / "files" / "m"
    if how == "gone":
        path.unlink()
    elif how == "shorter":
        path.write_bytes(CONTENT[:-1])
    elif how == "other":
        path.write_bytes(CONTENT[::-1])
    elif how == "link":  # a folder that somebody handed over must not make us send our own files
        path.unlink()
        path.symlink_to(tmp_path / "secret")
    (folder / "files" / "z").write_bytes(b"fine")
    keep(store, "z", b"fine")
    if how == "unsafe":
        keep(store, "../../secret", b"secret!")
        (tmp_path / "secret").write_bytes(b"secret!")
    files = Faulty(store.files)
    left = send_files(files, "r", folder).left
    assert [name for name, _ in left] == ["../../secret" if how == "unsafe" else "m"]
    assert all("has changed since it was kept" in why for why in left.values())
    assert text(store, "z") == b"fine"
    assert how in ("other", "unsafe") or files.sent == [(0, 4)]


@pytest.mark.parametrize("sha", ["", "x" * 300, "../../up"])
def test_a_record_without_a_digest_is_left_and_the_others_go_on(store: Store, folder: Path, sha: str) -> None:
    (folder / "files" / "a").write_bytes(b"12345")
    at = store.runs.shipped("r", 0, "spool")
    bad = Artifact(name="a", kind="file", path="", size=5, sha256=sha)
    store.runs.ship("r", 0, "spool", at, at + 1, Batch(artifacts=[bad]))
    files = Faulty(store.files)
    assert [(name, "has no SHA-256" in why) for (name, _), why in send_files(files, "r", folder).left.items()] == [
        ("a", True)
    ]
    assert text(store) == CONTENT


def test_a_record_of_another_size_stops_no_other(store: Store, folder: Path) -> None:
    keep(store, "a", CONTENT, size=7)
    (folder / "files" / "z").write_bytes(b"fine")
    keep(store, "z", b"fine")
    left = send_files(Faulty(store.files), "r", folder).left
    assert [name for name, _ in left] == ["a", "m"]
    assert "10 bytes came of 7" in left["m", SHA]
    assert text(store, "z") == b"fine"


def test_too_large_is_said(store: Store, folder: Path) -> None:
    assert isinstance(store.files, LocalFiles)
    store.files.limits = Limits(file_bytes=34)
    ((_, why),) = send_files(Faulty(store.files), "r", folder).left.items()
    assert "this server takes 34 a file" in why


def test_a_name_that_is_kept_anew_meanwhile(store: Store, folder: Path) -> None:
    class Slow(Faulty):
        def send(self, run: str, sha256: str, offset: int, piece: bytes) -> int:
            if len(self.sent) == 1:
                (folder / "files" / "m").write_bytes(b"new")
                keep(store, "m", b"new")
            return super().send(run, sha256, offset, piece)

    files = Slow(store.files)
    assert send_files(files, "r", folder).left == {}
    send_files(files, "r", folder)
    assert text(store) == b"new"


def test_where_files_stay_nothing_is_asked(store: Store, folder: Path) -> None:
    assert not store.files.collects
    assert send_files(store.files, "nobody", folder).num_bytes == 0


# -- beside the training


@contextlib.contextmanager
def server(files: Any = None) -> Iterator[Store]:
    """A server, whose files may be faulty."""
    with contextlib.closing(open_store("server.db")) as behind:
        behind.files = files(behind.files) if files is not None else behind.files  # whose folder is not the client's
        with serving(application(behind)) as url, pytest.MonkeyPatch.context() as patch:
            patch.setenv("WHET_STORE", url)
            patch.setenv("WHET_DIR", "client")
            yield behind


def write(name: str = "model.pt") -> Path:
    Path(name).write_bytes(CONTENT)
    return Path(name)


def test_a_run_sends_its_files_by_itself() -> None:
    with server() as behind:
        run = whet.init(project="p")
        run.save(str(write()))
        run.log_artifact(str(write("other.pt")), name="sub/other.pt")
        (Path(run.dir) / "own.txt").write_text("written by the training")
        assert run.sync()
        assert text(behind, "model.pt", run.id) == CONTENT
        run.finish()
        assert text(behind, "sub/other.pt", run.id) == CONTENT
        assert text(behind, "own.txt", run.id) == b"written by the training"
        assert (run.folder / "files" / "model.pt").read_bytes() == CONTENT  # it stays


def test_files_that_take_long_hold_up_neither_training_nor_metrics() -> None:
    opened = threading.Event()

    class Shut(Faulty):
        def send(self, run: str, sha256: str, offset: int, piece: bytes) -> int:
            assert opened.wait(20)
            return super().send(run, sha256, offset, piece)

    with server(Shut) as behind:
        run = whet.init(project="p")
        run.save(str(write()))
        for step in range(100):
            run.log({"loss": step})
        run.flush()
        shipper = run._shipper
        assert shipper is not None
        shipper.sync(1.0)
        assert behind.runs.get(run.id).stats["loss"].count == 100
        assert not behind.files.standing(run.id)[0].here
        opened.set()
        run.finish()
        assert text(behind, "model.pt", run.id) == CONTENT


def test_a_server_that_fails_for_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    class Ill(Faulty):
        def send(self, run: str, sha256: str, offset: int, piece: bytes) -> int:
            if len(self.sent) < 2:
                self.sent.append((offset, 0))
                raise NotImplementedError("ill")  # a 500
            return super().send(run, sha256, offset, piece)

    with server(Ill) as behind:
        run = whet.init(project="p")
        run.save(str(write()))
        run.finish()
        assert text(behind, "model.pt", run.id) == CONTENT
    assert capsys.readouterr().err.count("can't be sent now") == 1


def test_without_a_server_they_are_sent_later_from_a_copy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_module, "_SHIP_S", 0.1)
    monkeypatch.setenv("WHET_STORE", "http://127.0.0.1:1")
    monkeypatch.setenv("WHET_DIR", "away")
    run = whet.init(project="p", mode="offline")
    run.save(str(write()))
    run.finish()
    shutil.copytree(run.folder, "copy/x")
    shutil.rmtree("away")
    with server() as behind:
        for said in ("1 file sent, 35 B", "all is in the store"):
            with pytest.raises(SystemExit) as ended:
                main(["sync", "copy/x"])
            assert not ended.value.code
            assert said in capsys.readouterr().out
        assert text(behind, "model.pt", run.id) == CONTENT


def test_an_upload_that_was_killed_is_gone_on_with_by_the_next_process() -> None:
    """The spool is shipped; of the file a part has come. Who resumes the run sends the rest."""
    with server() as behind:
        run = whet.init(project="p", id="r")
        run.finish()
        write()
        (run.folder / "files").mkdir(exist_ok=True)
        shutil.copy("model.pt", run.folder / "files" / "m")
        keep(behind, "m", CONTENT)
        behind.files.send("r", SHA, 0, CONTENT[:7])
        again = whet.init(project="p", id="r", resume=True)
        assert again.sync()
        assert text(behind, "m") == CONTENT
        again.finish()


def test_a_token_that_may_not_is_said_once(store: Store, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Shut(Faulty):
        def send(self, run: str, sha256: str, offset: int, piece: bytes) -> int:
            raise Refused("no", "")

    uploader = Uploader(Shut(store.files), "r", folder, Notices())
    for _ in range(3):
        uploader.wake()
        assert not uploader.sync(10)
    uploader.close()
    assert capsys.readouterr().err.count("files are not sent to the store") == 1


def test_what_is_given_up_is_not_tried_again(store: Store, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Small(Faulty):
        def send(self, run: str, sha256: str, offset: int, piece: bytes) -> int:
            super().send(run, sha256, offset, b"")
            raise TooLarge("it is too large", "")

    files = Small(store.files)
    uploader = Uploader(files, "r", folder, Notices())
    for _ in range(3):
        uploader.wake()
        assert uploader.sync(10)
    uploader.close()
    assert len(files.sent) == 1
    assert capsys.readouterr().err.count("'m' is not sent to the store: it is too large") == 1


def test_a_run_that_was_deleted_ends_it(store: Store, folder: Path) -> None:
    with pytest.raises(NotFound):
        send_files(Faulty(store.files), "nobody", folder)
    uploader = Uploader(Faulty(store.files), "nobody", folder, Notices())
    uploader.wake()
    assert not uploader.sync(10)
    uploader.close()


# -- and back


def test_restore_brings_it_back(tmp_path: Path) -> None:
    with server():
        run = whet.init(project="p", name="trained")
        run.save(str(write()))
        with whet.restore("model.pt", root="mine") as file:  # the current run's
            assert file.read() == CONTENT
        run.finish()
        shutil.rmtree("client")
        with whet.restore("model.pt", run_path="me/p/trained", root="yours") as file:
            assert file.read() == CONTENT
            assert Path(file.name) == Path("yours/model.pt")
        Path("yours/model.pt").write_bytes(b"changed")
        with pytest.raises(whet.errors.Conflict, match="is there already"):
            whet.restore("model.pt", run_path=run.id, root="yours")
        with whet.restore("model.pt", run_path=run.id, root="yours", replace=True) as file:
            assert file.read() == CONTENT
        with pytest.raises(NotFound, match="keeps no file 'nope'"):
            whet.restore("nope", run_path=run.id)
    with pytest.raises(whet.errors.TrackError, match="run_path=ID"):
        whet.restore("model.pt")


def test_a_download_that_breaks_off_is_gone_on_with(store: Store, folder: Path, tmp_path: Path) -> None:
    from whet.track.fetch import fetch

    send_files(Faulty(store.files), "r", folder)
    asked = []

    class Breaking(Faulty):
        def read(self, run: str, name: str, start: int = 0, end: int | None = None) -> Content:
            asked.append(start)
            found = super().read(run, name, start, end)
            return Content(artifact=found.artifact, start=start, end=found.end, pieces=self.some(found.pieces))

        def some(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
            yield next(pieces)[:12]
            if len(asked) < 3:
                raise StoreUnavailable("it broke off", "")

    (artifact,) = store.runs.artifacts("r")
    store.files = Breaking(store.files)
    assert fetch(store, "r", artifact, tmp_path / "out" / "m")
    assert asked == [0, 12, 24]
    assert (tmp_path / "out" / "m").read_bytes() == CONTENT
    assert not fetch(store, "r", artifact, tmp_path / "out" / "m")


def test_a_download_of_something_else_is_not_kept(store: Store, folder: Path, tmp_path: Path) -> None:
    from whet.track.fetch import fetch

    send_files(Faulty(store.files), "r", folder)

    class Lying(Faulty):
        def read(self, run: str, name: str, start: int = 0, end: int | None = None) -> Content:
            found = super().read(run, name, start, end)
            return Content(artifact=found.artifact, start=0, end=35, pieces=iter([bytes(35)]))

    (artifact,) = store.runs.artifacts("r")
    store.files = Lying(store.files)
    with pytest.raises(Damaged):
        fetch(store, "r", artifact, tmp_path / "out" / "m")
    assert list((tmp_path / "out").iterdir()) == []
