"""Every place for contents keeps the laws; and a folder is safe from kills."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from whet.blobs.base import Blobs, room_of
from whet.blobs.folder import Folder
from whet.blobs.open import open_blobs
from whet.blobs.remote import Remote, _blob
from whet.errors import MissingDependency, StoreUnavailable
from whet.testing.blob_laws import ROOM, BlobLaws


class TestFolder(BlobLaws):
    def make(self, tmp_path: Path) -> Blobs:
        return open_blobs(tmp_path / "not yet there" / "blobs")


class _InMemory(BlobLaws):
    @pytest.fixture(autouse=True)
    def _empty(self) -> None:
        fsspec.filesystem("memory").store.clear()


class TestMemory(_InMemory):
    def make(self, tmp_path: Path) -> Blobs:
        return open_blobs("memory://bucket/whet")


class TestObjects(_InMemory):
    """A place where an object appears when all of it is there, as with S3."""

    @pytest.fixture(autouse=True)
    def _whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def put_file(fs: MemoryFileSystem, local: str, path: str) -> None:
            fs.pipe_file(path, Path(local).read_bytes())

        monkeypatch.setattr(MemoryFileSystem, "put_file", put_file)
        monkeypatch.setattr(MemoryFileSystem, "mv", None)  # a copy, there
        monkeypatch.setattr(MemoryFileSystem, "protocol", "s3")

    def make(self, tmp_path: Path) -> Blobs:
        return Remote("memory://bucket/whet")


class TestFileUrl(BlobLaws):
    """A place where a file grows, as it would over SFTP."""

    def make(self, tmp_path: Path) -> Blobs:
        return Remote(f"file://{tmp_path}/far/away")


def test_places_by_name(tmp_path: Path) -> None:
    assert isinstance(open_blobs("some/folder"), Folder)
    assert isinstance(open_blobs(f"file://{tmp_path}"), Folder)
    assert isinstance(open_blobs("memory://x"), Remote)
    with pytest.raises(StoreUnavailable, match="correct WHET_BLOBS"):
        open_blobs("nobody-knows://x")


def test_without_its_package_a_place_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingDependency, match=r'pip install "whet\[s3\]"'):
        open_blobs("memory://x")


def test_rooms_are_names_of_folders_and_apart() -> None:
    names = ["p", "P", "", "..", "a/b", "\x00", "é", "\udc80", "p" * 1000]
    assert len({room_of(name) for name in names}) == len(names)
    assert all(len(room_of(name)) == 32 and room_of(name).isalnum() for name in names)


def test_what_is_no_content_is_no_content(tmp_path: Path) -> None:
    """Other files in the folder, drafts and links are not listed, nor read."""
    blobs = Folder(tmp_path / "blobs")
    inside = blobs.path / ROOM / "ab"
    inside.mkdir(parents=True)
    for path in (blobs.path / "README", inside / "x", inside / f"{62 * 'c'}.part", blobs.path / ROOM / "zz"):
        path.write_text("x")
    (inside / (62 * "d")).symlink_to("/etc/passwd")
    (inside / (62 * "e")).mkdir()
    assert list(blobs.all()) == []
    assert blobs.find(ROOM, "ab" + 62 * "d") is None


def test_a_folder_that_can_not_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file")
    blobs, file = Folder(tmp_path / "blobs"), tmp_path / "x"
    file.write_bytes(b"x")
    with pytest.raises(StoreUnavailable, match="WHET_BLOBS"):
        blobs.keep(ROOM, hashlib.sha256(b"x").hexdigest(), file)


def test_what_fails_behind_the_gate_is_not_the_gate(tmp_path: Path) -> None:
    blobs = Folder(tmp_path / "blobs")
    blobs.path.mkdir()
    with pytest.raises(OSError, match="mine") as caught, blobs.gate():
        raise OSError("mine")
    assert type(caught.value) is OSError
    (blobs.path / ".lock").unlink()
    (blobs.path / ".lock").mkdir()
    with pytest.raises(StoreUnavailable, match="can't lock"), blobs.gate():
        pass


def test_what_is_open_can_be_read_to_its_end(tmp_path: Path) -> None:
    blobs, file, content = Folder(tmp_path / "blobs"), tmp_path / "x", bytes(3 << 20)
    file.write_bytes(content)
    sha = hashlib.sha256(content).hexdigest()
    blobs.keep(ROOM, sha, file)
    reading = blobs.read(ROOM, sha)
    next(blobs.all())
    blobs.drop(next(blobs.all()))
    assert b"".join(reading) == content


@pytest.mark.parametrize(
    ("told", "since"),
    [
        ({"mtime": 12.5, "created": 3.0}, 12.5),
        ({"LastModified": datetime(1970, 1, 2, tzinfo=UTC)}, 86400.0),
        ({"updated": "1970-01-02T00:00:00+00:00"}, 86400.0),
        ({}, math.inf),
        ({"mtime": None, "modify": "20261122"}, math.inf),  # FTP's
        ({"updated": "yesterday"}, math.inf),
        ({"mtime": ()}, math.inf),
        ({"mtime": [1]}, math.inf),
    ],
)
def test_what_tells_no_time_is_never_old(told: dict[str, object], since: float) -> None:
    """Places differ in what they tell; one that tells nothing must not have young contents collected."""
    assert _blob(ROOM, 64 * "a", {"size": 1, **told}).since == since


_KILLED = """
import hashlib, itertools, json, os, pathlib, signal, sys
from whet.blobs.base import room_of
from whet.blobs.folder import Folder

os.fsync = lambda fd: None  # it takes long, and a kill is no power cut
place, was_there = pathlib.Path(sys.argv[1]), sys.argv[2] == "again"
blobs, room, content = Folder(place / "blobs"), room_of("p"), os.urandom(200_000)
sha, draft = hashlib.sha256(content).hexdigest(), place / "draft"


def dies_at(num_lines):
    def trace(frame, event, arg):
        nonlocal num_lines
        num_lines -= event == "line" and pathlib.Path(frame.f_code.co_filename).name in ("folder.py", "shutil.py")
        if num_lines < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


if was_there:
    draft.write_bytes(content)
    blobs.keep(room, sha, draft)
seen = []
for num_lines in itertools.count():
    if not (child := os.fork()):
        draft.write_bytes(content)
        sys.settrace(dies_at(num_lines))
        blobs.keep(room, sha, draft)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    with blobs.gate():  # it is free
        found = list(blobs.all())
    seen.append([b"".join(blobs.read(one.room, one.sha256)) == content for one in found])
    if os.WIFEXITED(status):
        break
    for one in found if not was_there else ():
        blobs.drop(one)
print(json.dumps(seen))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("before", ["", "again"])
def test_nobody_sees_a_part_after_a_kill(tmp_path: Path, before: str) -> None:
    """A process that keeps a content is killed at each line of ours in turn: then it is whole or, where it was not there before, missing."""
    done = subprocess.run([sys.executable, "-c", _KILLED, tmp_path, before], capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout)
    assert len(seen) > 20
    assert seen[-1] == [True]
    assert {tuple(one) for one in seen} == ({(True,)} if before else {(), (True,)})
