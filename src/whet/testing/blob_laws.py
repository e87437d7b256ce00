"""The laws of what keeps contents (`whet.blobs.base.Blobs`), as tests to inherit.

Example::

    class TestMine(BlobLaws):
        def make(self, tmp_path):
            return MyBlobs(...)
"""

from __future__ import annotations

import hashlib
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from whet.blobs.base import Blobs, room_of
from whet.errors import Damaged, NotFound, StoreError

__all__ = ["BlobLaws"]

ROOM, OTHER = room_of("p"), room_of("q")


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class BlobLaws(ABC):
    """What all of them do alike."""

    @abstractmethod
    def make(self, tmp_path: Path) -> Blobs:
        """Return an empty place. Called again, the same one, as another process would open it."""

    def keep(self, blobs: Blobs, tmp_path: Path, content: bytes, room: str = ROOM) -> str:
        """Keep a content, and return its SHA-256."""
        file = tmp_path / f"draft-{threading.get_ident()}"
        file.write_bytes(content)
        blobs.keep(room, _sha(content), file)
        assert not file.exists()
        return _sha(content)

    @pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 3_000_000])
    def test_what_is_kept_comes_back(self, tmp_path: Path, size: int) -> None:
        content = bytes(range(256)) * (size // 256) + bytes(size % 256)
        sha = self.keep(self.make(tmp_path), tmp_path, content)
        blobs = self.make(tmp_path)
        found = blobs.find(ROOM, sha)
        assert found is not None
        assert (found.room, found.sha256, found.size) == (ROOM, sha, size)
        assert abs(found.since - time.time()) < 60
        assert b"".join(blobs.read(ROOM, sha)) == content

    def test_any_part_of_it(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path)
        content = bytes(i * 7 % 256 for i in range(1000))
        sha = self.keep(blobs, tmp_path, content)
        for start, end in [(0, 0), (0, 1), (5, 9), (999, 1000), (1000, 1000), (3, None), (0, 2000), (1500, 2000)]:
            assert b"".join(blobs.read(ROOM, sha, start, end)) == content[start:end]

    def test_what_is_not_there_is_not_found(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path)
        assert blobs.find(ROOM, _sha(b"x")) is None
        assert list(blobs.all()) == list(blobs.all(ROOM)) == []
        with pytest.raises(NotFound):
            blobs.read(ROOM, _sha(b"x"))

    def test_another_content_is_refused_and_stays(self, tmp_path: Path) -> None:
        blobs, file = self.make(tmp_path), tmp_path / "draft"
        file.write_bytes(b"wrong")
        with pytest.raises(Damaged, match=f"has the SHA-256 {_sha(b'wrong')}, not {_sha(b'right')}"):
            blobs.keep(ROOM, _sha(b"right"), file)
        assert file.read_bytes() == b"wrong"
        assert blobs.find(ROOM, _sha(b"right")) is None
        for no_digest in ("", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"):
            with pytest.raises(StoreError, match="is no SHA-256"):
                blobs.keep(ROOM, no_digest, file)

    def test_rooms_do_not_know_each_other(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path)
        sha = self.keep(blobs, tmp_path, b"secret")
        assert blobs.find(OTHER, sha) is None
        with pytest.raises(NotFound):
            blobs.read(OTHER, sha)
        self.keep(blobs, tmp_path, b"secret", OTHER)
        found = blobs.find(ROOM, sha)
        assert found is not None
        blobs.drop(found)
        assert b"".join(blobs.read(OTHER, sha)) == b"secret"

    def test_keeping_again_changes_nothing(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path)
        for _ in range(3):
            sha = self.keep(blobs, tmp_path, b"one")
        assert [(b.room, b.sha256, b.size) for b in blobs.all()] == [(ROOM, sha, 3)]

    def test_all_of_them(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path)
        shas = {self.keep(blobs, tmp_path, bytes([i])) for i in range(20)}
        other = self.keep(blobs, tmp_path, b"other", OTHER)
        assert {b.sha256 for b in blobs.all(ROOM)} == shas
        assert {(b.room, b.sha256) for b in blobs.all()} == {*((ROOM, sha) for sha in shas), (OTHER, other)}

    def test_dropping(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path)
        sha = self.keep(blobs, tmp_path, b"x" * 10)
        found = blobs.find(ROOM, sha)
        assert found is not None
        for _ in range(2):
            blobs.drop(found)
            assert blobs.find(ROOM, sha) is None
            assert list(blobs.all()) == []
        self.keep(blobs, tmp_path, b"x" * 10)
        assert b"".join(blobs.read(ROOM, sha)) == b"x" * 10

    def test_many_keep_the_same_at_once(self, tmp_path: Path) -> None:
        content = b"same" * 100_000
        seen: list[bytes] = []
        barrier = threading.Barrier(8)

        def work() -> None:
            blobs = self.make(tmp_path)
            barrier.wait()
            sha = self.keep(blobs, tmp_path, content)
            seen.append(b"".join(blobs.read(ROOM, sha)))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [content] * 8
        assert len(list(self.make(tmp_path).all())) == 1

    def test_the_gate_opens_again(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path)
        self.keep(blobs, tmp_path, b"x")
        for _ in range(2):
            with blobs.gate():
                assert len(list(blobs.all())) == 1
