"""Contents on their way: any order of pieces, any number of senders, kills in the middle."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.blobs.drafts import Drafts
from whet.errors import Damaged, StoreUnavailable, TooLarge

SHA = 64 * "a"


def taker(place: Path, wanted: bytes, taken: list[bytes]):
    def whole(path: Path) -> None:
        found = path.read_bytes()
        if found != wanted:
            raise Damaged("another content", "")
        taken.append(found)
        path.unlink()

    return whole


@given(content=st.binary(max_size=50), data=st.data())
def test_any_pieces_in_any_order_make_the_content_or_nothing(tmp_path_factory, content, data):
    """The model: what has come is a beginning of the content, and only a piece that begins at its end makes it longer."""
    drafts, taken, have = Drafts(tmp_path_factory.mktemp("drafts")), [], b""
    size = len(content)
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, size))
        piece = content[at : data.draw(st.integers(at, size))]
        said = drafts.append("r", SHA, at, piece, size, whole=taker(drafts.folder, content, taken))
        if at == len(have):
            have += piece
        assert said == len(have)
        if len(have) == size:
            assert taken == [content]
            return
        assert taken == []
        assert drafts.size("r", SHA) == len(have)


def test_drafts_are_apart(tmp_path):
    drafts = Drafts(tmp_path / "d")
    assert drafts.size("r", SHA) == 0
    for key, sha in (("r", SHA), ("s", SHA), ("r", 64 * "b"), ("../x", SHA)):
        assert drafts.append(key, sha, 0, key.encode(), 100, whole=pytest.fail) == len(key)
    assert all(path.parent == tmp_path / "d" for path in tmp_path.rglob("*.draft"))
    assert len(list(tmp_path.rglob("*.draft"))) == 4


def test_more_than_was_said_is_refused(tmp_path):
    drafts = Drafts(tmp_path)
    with pytest.raises(TooLarge, match="4 bytes came of 3"):
        drafts.append("r", SHA, 0, b"1234", 3, whole=pytest.fail)
    assert drafts.size("r", SHA) == 0


def test_another_content_is_dropped(tmp_path):
    drafts, taken = Drafts(tmp_path), []
    with pytest.raises(Damaged):
        drafts.append("r", SHA, 0, b"123", 3, whole=taker(tmp_path, b"321", taken))
    assert drafts.size("r", SHA) == 0


def test_an_end_that_failed_is_tried_again(tmp_path):
    """All is there, but it could not be moved: the next question goes on from there."""
    drafts, taken = Drafts(tmp_path), []

    def full(path: Path) -> None:
        raise StoreUnavailable("disk full", "")

    with pytest.raises(StoreUnavailable):
        drafts.append("r", SHA, 0, b"123", 3, whole=full)
    assert drafts.size("r", SHA) == 3
    assert drafts.append("r", SHA, 3, b"", 3, whole=taker(tmp_path, b"123", taken)) == 3
    assert taken == [b"123"]


@pytest.mark.parametrize("offset", [0, 1, 3, 7])
def test_the_last_piece_sent_again_is_no_end_before_somebody_has_taken_it(tmp_path, offset):
    """Its answer was "try again", or none, for the process was killed: no number but an error may say so again."""
    drafts, taken = Drafts(tmp_path), []

    def full(path: Path) -> None:
        raise StoreUnavailable("disk full", "")

    drafts.append("r", SHA, 0, b"1", 3, whole=pytest.fail)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            drafts.append("r", SHA, 1, b"23", 3, whole=full)
    piece = b"" if offset == 3 else b"23"
    assert drafts.append("r", SHA, offset, piece, 3, whole=taker(tmp_path, b"123", taken)) == 3
    assert taken == [b"123"]


def test_more_than_there_may_be_is_no_end(tmp_path):
    """The run's record says less by now."""
    drafts, taken = Drafts(tmp_path), []
    drafts.append("r", SHA, 0, b"12345", 9, whole=pytest.fail)
    with pytest.raises(Damaged, match="5 bytes had come of 3"):
        drafts.append("r", SHA, 5, b"", 3, whole=pytest.fail)
    assert drafts.append("r", SHA, 0, b"123", 3, whole=taker(tmp_path, b"123", taken)) == 3
    assert taken == [b"123"]


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    drafts = Drafts(tmp_path)
    drafts.append("r", SHA, 0, b"12", 9, whole=pytest.fail)
    write = os.write

    def full(fd: int, data: bytes) -> int:
        if len(data) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:1])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreUnavailable, match="No space left on device"):
        drafts.append("r", SHA, 2, b"3456", 9, whole=pytest.fail)
    monkeypatch.undo()
    assert drafts.size("r", SHA) == 2


def test_a_piece_that_was_cut_by_a_kill_is_gone_on_with(tmp_path):
    """Whoever was killed left a part of his piece: the next one asks, and sends what is missing."""
    drafts, taken = Drafts(tmp_path), []
    drafts.append("r", SHA, 0, b"123", 9, whole=pytest.fail)
    (draft,) = tmp_path.glob("*.draft")
    draft.write_bytes(b"12345")
    assert drafts.append("r", SHA, 3, b"456789", 9, whole=pytest.fail) == 5
    assert drafts.append("r", SHA, 5, b"6789", 9, whole=taker(tmp_path, b"123456789", taken)) == 9
    assert taken == [b"123456789"]


def test_a_link_in_its_place_is_not_followed(tmp_path):
    drafts = Drafts(tmp_path / "d")
    drafts.append("r", SHA, 0, b"1", 9, whole=pytest.fail)
    (draft,) = (tmp_path / "d").glob("*.draft")
    draft.unlink()
    (tmp_path / "victim").write_text("")
    draft.symlink_to(tmp_path / "victim")
    with pytest.raises(StoreUnavailable):
        drafts.append("r", SHA, 0, b"1", 9, whole=pytest.fail)
    assert (tmp_path / "victim").read_text() == ""


def test_old_ones_are_dropped_and_others_stay(tmp_path):
    drafts = Drafts(tmp_path)
    drafts.append("old", SHA, 0, b"1", 9, whole=pytest.fail)
    (draft,) = tmp_path.glob("*.draft")
    os.utime(draft, (1.0, 1.0))
    drafts.append("new", SHA, 0, b"12", 9, whole=pytest.fail)
    assert drafts.drop_before(time.time() - 60) == 1
    assert (drafts.size("old", SHA), drafts.size("new", SHA)) == (0, 2)
    assert Drafts(tmp_path / "not there").drop_before(time.time()) == 0


def test_parts_are_counted_apart_and_dropped_together(tmp_path):
    drafts = Drafts(tmp_path / "d")
    assert drafts.part("p").num_bytes() == 0
    for part, content in (("p", b"12"), ("q", b"123")):
        drafts.part(part).append("r", SHA, 0, content, 9, whole=pytest.fail)
        drafts.part(part).append("s", SHA, 0, b"1", 9, whole=pytest.fail)
    assert [drafts.part(part).num_bytes() for part in "pq"] == [3, 4]
    assert drafts.part("p").size("r", SHA) == 2
    assert drafts.drop_before(time.time() + 60) == 4
    assert [drafts.part(part).num_bytes() for part in "pq"] == [0, 0]


def test_many_senders(tmp_path):
    content, taken, troubles = bytes(i % 251 for i in range(5000)), [], []

    def work() -> None:
        at, drafts = 0, Drafts(tmp_path)
        try:
            while at < len(content) and not taken:
                at = drafts.append(
                    "r", SHA, at, content[at : at + 100], len(content), whole=taker(tmp_path, content, taken)
                )
        except Exception as error:
            troubles.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert taken[0] == content
