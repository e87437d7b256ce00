"""Pieces of a run's output: no byte twice, no character in two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.track.output import Piece, piece


def test_a_character_that_has_come_in_part_is_left_for_the_next_piece(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(b"abc\xc3")
    first = piece(path)
    assert first == Piece(text="abc", start=0, end=3, size=4)
    path.write_bytes("abcä!".encode())
    assert piece(path, offset=first.end) == Piece(text="ä!", start=3, end=6, size=6)


@given(text=st.text(), most=st.integers(4, 20), data=st.data())
def test_pieces_of_a_growing_file_are_the_file(
    text: str, most: int, data: st.DataObject, tmp_path_factory: Any
) -> None:
    whole = text.encode()
    path = tmp_path_factory.mktemp("output") / "output.log"
    read, offset, num_there = "", 0, 0
    while num_there < len(whole) or offset < len(whole):
        num_there = data.draw(st.integers(min(num_there + 1, len(whole)), len(whole)))
        path.write_bytes(whole[:num_there])
        part = piece(path, offset=offset, most_bytes=most)
        assert (part.start, part.size) == (offset, num_there)
        assert part.end <= num_there
        read, offset = read + part.text, part.end
    assert read == text


def test_what_is_bytes_that_are_no_text_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(b"a\xffb\xc3(")
    assert piece(path) == Piece(text="a\ufffdb\ufffd(", start=0, end=5, size=5)


def test_a_file_that_grows_while_it_is_read_has_its_tail_where_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(b"one\ntwo\nthree\n")

    class Growing:
        """A file to which somebody appends after its size was asked for."""

        def __init__(self) -> None:
            self.file = open(path, "rb")  # noqa: SIM115

        def __enter__(self) -> Growing:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def read(self, count: int) -> bytes:
            return self.file.read(count)

        def seek(self, to: int, whence: int = 0) -> int:
            place = self.file.seek(to, whence)
            if whence == 2:
                with open(path, "ab") as more:
                    more.write(b"four\n")
            return place

    monkeypatch.setattr(Path, "open", lambda *_: Growing())
    part = piece(path, tail=2)
    assert (part.text, part.start, part.end, part.size) == ("two\nthree\n", 4, 14, 14)
