"""The laws of the contents of runs' files (`whet.store.files.Files`), as tests to inherit. The same next to the data and over HTTP."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from whet.errors import Damaged, NotFound, StoreError, StoreUnavailable, TooLarge
from whet.store.base import Artifact, Batch, NewRun, Store
from whet.store.files import LocalFiles
from whet.testing.store_case import ME, StoreCase

__all__ = ["FileLaws"]

_CONTENT = bytes(range(256)) * 40


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class FileLaws(StoreCase):
    """What a store does with files, however far it is."""

    def run_with(self, store: Store, id: str = "r", project: str = "p", **files: bytes) -> None:
        """Make a run that says that it keeps files with these contents."""
        store.runs.create(NewRun(id=id, project=project, name=id, owner=ME))
        kept = [
            Artifact(name=name, kind="file", path="/gone", size=len(content), sha256=_sha(content))
            for name, content in files.items()
        ]
        store.runs.ship(id, 0, "spool", 0, 1, Batch(artifacts=kept))

    def near(self, store: Store) -> LocalFiles:
        """Return the store's files as they are next to the data: behind the server, where there is one."""
        assert isinstance(store.files, LocalFiles)
        return store.files

    def where(self, store: Store, id: str = "r") -> dict[str, tuple[bool, int]]:
        """Return what is known of each file: (is it here, how much of it has come)."""
        return {one.artifact.name: (one.here, one.received) for one in store.files.standing(id)}

    def text(self, store: Store, id: str, name: str, start: int = 0, end: int | None = None) -> bytes:
        """Return a file's content."""
        return b"".join(store.files.read(id, name, start, end).pieces)

    def test_piece_by_piece(self, store: Store) -> None:
        self.run_with(store, model=_CONTENT, empty=b"")
        assert self.where(store) == {"model": (False, 0), "empty": (False, 0)}
        with pytest.raises(NotFound, match="is not here"):
            self.text(store, "r", "model")
        sha = _sha(_CONTENT)
        assert store.files.send("r", sha, 0, _CONTENT[:1000]) == 1000
        assert self.where(store)["model"] == (False, 1000)
        with pytest.raises(NotFound):
            self.text(store, "r", "model")
        assert store.files.send("r", sha, 1000, _CONTENT[1000:]) == len(_CONTENT)
        assert store.files.send("r", _sha(b""), 0, b"") == 0
        assert self.where(store) == {"model": (True, len(_CONTENT)), "empty": (True, 0)}
        assert self.text(store, "r", "model") == _CONTENT
        assert self.text(store, "r", "empty") == b""

    def test_a_piece_elsewhere_changes_nothing(self, store: Store) -> None:
        self.run_with(store, model=_CONTENT)
        sha = _sha(_CONTENT)
        store.files.send("r", sha, 0, _CONTENT[:100])
        for offset, piece in [(0, b"again"), (99, b"x"), (101, b"x"), (len(_CONTENT), b""), (2**40, b"far")]:
            assert store.files.send("r", sha, offset, piece) == 100
        assert store.files.send("r", sha, 100, b"") == 100
        store.files.send("r", sha, 100, _CONTENT[100:])
        assert store.files.send("r", sha, 100, _CONTENT[100:]) == len(_CONTENT)  # its answer was lost
        assert store.files.send("r", sha, 0, b"something else") == len(_CONTENT)
        assert self.text(store, "r", "model") == _CONTENT

    @pytest.mark.parametrize("num_failing", [1, 2])
    def test_what_is_said_to_be_here_is_here(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, num_failing: int
    ) -> None:
        """The last piece has come, and can't be kept: whoever sends it again is not told that all is well until it is."""
        self.run_with(store, model=_CONTENT)
        blobs, sha = self.near(store).blobs, _sha(_CONTENT)
        failed: list[int] = []
        keep = blobs.keep

        def failing(room: str, sha256: str, file: Path) -> None:
            if len(failed) < num_failing:
                failed.append(1)
                raise StoreUnavailable("the place does not answer", "try again")
            keep(room, sha256, file)

        monkeypatch.setattr(blobs, "keep", failing)
        store.files.send("r", sha, 0, _CONTENT[:100])
        said = 0
        while said < len(_CONTENT):
            try:
                said = store.files.send("r", sha, 100, _CONTENT[100:])
            except StoreUnavailable:  # over HTTP the client itself asks again
                continue
        assert len(failed) == num_failing
        assert self.where(store) == {"model": (True, len(_CONTENT))}
        assert self.text(store, "r", "model") == _CONTENT

    def test_another_content_is_found_out_in_the_end(self, store: Store) -> None:
        self.run_with(store, model=_CONTENT)
        sha = _sha(_CONTENT)
        store.files.send("r", sha, 0, bytes(100))
        with pytest.raises(Damaged):
            store.files.send("r", sha, 100, _CONTENT[100:])
        assert self.where(store)["model"] == (False, 0)
        with pytest.raises(NotFound):
            self.text(store, "r", "model")
        store.files.send("r", sha, 0, _CONTENT)
        assert self.text(store, "r", "model") == _CONTENT

    def test_no_more_than_was_said(self, store: Store) -> None:
        self.run_with(store, model=_CONTENT)
        store.files.send("r", _sha(_CONTENT), 0, _CONTENT[:10])
        with pytest.raises(TooLarge, match="bytes came of"):
            store.files.send("r", _sha(_CONTENT), 10, _CONTENT)
        assert self.where(store)["model"] == (False, 10)

    def test_only_what_the_run_keeps(self, store: Store) -> None:
        self.run_with(store, model=_CONTENT)
        with pytest.raises(NotFound, match="keeps no file with the SHA-256"):
            store.files.send("r", _sha(b"mine"), 0, b"mine")
        with pytest.raises(NotFound, match="keeps no file 'other'"):
            store.files.read("r", "other")
        for ask in (
            store.files.standing,
            lambda id: store.files.read(id, "x"),
            lambda id: store.files.send(id, _sha(b""), 0, b""),
        ):
            with pytest.raises(NotFound):
                ask("nobody")

    @pytest.mark.parametrize("sha256", ["", "x" * 300, "../../up", "0" * 63 + "\n"])
    def test_a_record_without_a_digest_spoils_no_other(self, store: Store, sha256: str) -> None:
        """Nothing can come for it: what the run keeps besides is told, comes and is read."""
        self.run_with(store, model=_CONTENT)
        bad = Artifact(name="bad", kind="file", path="", size=5, sha256=sha256)
        store.runs.ship("r", 0, "spool", 1, 2, Batch(artifacts=[bad]))
        assert self.where(store) == {"bad": (False, 0), "model": (False, 0)}
        with pytest.raises(StoreError) as caught:
            store.files.send("r", sha256, 0, b"12345")
        assert not isinstance(caught.value, StoreUnavailable)
        with pytest.raises(NotFound, match="is not here"):
            store.files.read("r", "bad")
        store.files.send("r", _sha(_CONTENT), 0, _CONTENT)
        assert self.where(store) == {"bad": (False, 0), "model": (True, len(_CONTENT))}
        assert self.text(store, "r", "model") == _CONTENT

    @pytest.mark.parametrize("wrong", [-1, 1])
    def test_records_that_disagree_about_a_size(self, store: Store, wrong: int) -> None:
        """One of them is wrong: nobody is told that all is here before it is."""
        self.run_with(store, model=_CONTENT)
        bad = Artifact(name="bad", kind="file", path="", size=len(_CONTENT) + wrong, sha256=_sha(_CONTENT))
        store.runs.ship("r", 0, "spool", 1, 2, Batch(artifacts=[bad]))
        if wrong < 0:
            with pytest.raises(TooLarge, match="bytes came of"):
                store.files.send("r", _sha(_CONTENT), 0, _CONTENT)
            assert self.where(store) == {"bad": (False, 0), "model": (False, 0)}
        else:
            store.files.send("r", _sha(_CONTENT), 0, _CONTENT)
            assert self.where(store) == {"bad": (False, 0), "model": (True, len(_CONTENT))}

    def test_any_part(self, store: Store) -> None:
        self.run_with(store, model=_CONTENT)
        store.files.send("r", _sha(_CONTENT), 0, _CONTENT)
        size = len(_CONTENT)
        for start, end in [(0, 1), (7, 9), (size - 1, size), (0, size), (5, None), (size, None), (9, 9), (0, 2 * size)]:
            found = store.files.read("r", "model", start, end)
            assert b"".join(found.pieces) == _CONTENT[start:end]
            assert (found.start, found.end) == (start, size if end is None else min(end, size))

    def test_what_a_project_has_comes_once(self, store: Store) -> None:
        self.run_with(store, model=_CONTENT)
        store.files.send("r", _sha(_CONTENT), 0, _CONTENT)
        self.run_with(store, "s", again=_CONTENT)
        assert self.where(store, "s") == {"again": (True, len(_CONTENT))}
        assert self.text(store, "s", "again") == _CONTENT

    def test_other_projects_have_nothing_of_it(self, store: Store) -> None:
        """Who knows the SHA-256 of another project's file, and says that he keeps it, learns nothing and gets nothing."""
        self.run_with(store, model=_CONTENT)
        store.files.send("r", _sha(_CONTENT), 0, _CONTENT)
        self.run_with(store, "s", "q", mine=_CONTENT)
        assert self.where(store, "s") == {"mine": (False, 0)}
        with pytest.raises(NotFound, match="is not here"):
            store.files.read("s", "mine")
        assert store.files.send("s", _sha(_CONTENT), 0, _CONTENT[:5]) == 5

    def test_a_name_that_is_kept_anew_has_the_new_content(self, store: Store) -> None:
        self.run_with(store, model=_CONTENT)
        store.files.send("r", _sha(_CONTENT), 0, _CONTENT)
        new = Artifact(name="model", kind="file", path="/gone", size=3, sha256=_sha(b"new"))
        store.runs.ship("r", 0, "spool", 1, 2, Batch(artifacts=[new]))
        assert self.where(store) == {"model": (False, 0)}
        with pytest.raises(NotFound):
            store.files.read("r", "model")
        store.files.send("r", _sha(b"new"), 0, b"new")
        assert self.text(store, "r", "model") == b"new"

    @pytest.mark.parametrize(
        "name", ["../up", "/etc/passwd", "a/../../b", "C:\\x", "nul", "a\x00b", "?#%2e%2e/x", "é ü", "x" * 900]
    )
    def test_any_name(self, store: Store, name: str) -> None:
        self.run_with(store, "r", "p", **{name: b"harmless"})
        stored = store.runs.artifacts("r")[0].name
        assert store.files.standing("r")[0].here is False
        store.files.send("r", _sha(b"harmless"), 0, b"harmless")
        try:
            assert b"".join(store.files.read("r", stored).pieces) == b"harmless"
        except NotFound:  # no address leads to it, and no run of ours has such a name
            assert ".." in name

    def test_many_send_the_same_at_once(self, store: Store) -> None:
        """Each asks what is there and sends the next few bytes, whoever sent those before."""
        self.run_with(store, model=_CONTENT)
        sha, troubles = _sha(_CONTENT), []

        def work() -> None:
            at = 0
            try:
                while at < len(_CONTENT):
                    at = store.files.send("r", sha, at, _CONTENT[at : at + 999])
            except Exception as error:
                troubles.append(error)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert troubles == []
        assert self.text(store, "r", "model") == _CONTENT
