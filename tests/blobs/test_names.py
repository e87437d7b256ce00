"""No name leads out of a folder."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whet.blobs.names import is_safe, safe_name
from whet.errors import TrackError

WORDS = [
    "..",
    ".",
    "",
    " ",
    "a",
    "con",
    "NUL.txt",
    "Com1",
    "aux ",
    "C:",
    "~",
    "\x00",
    "...",
    ". .",
    "b. ",
    "x" * 300,
    "ü" * 150,
    "\udc80",
]
NAMES = st.one_of(
    st.text(),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map("/".join),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map("\\".join),
)


@given(NAMES)
@example("con" + " " * 250 + "x")
@example("con." + "x" * 300)
@example("a" * 199 + " b")
def test_a_safe_name_stays_inside(name: str) -> None:
    try:
        safe = safe_name(name)
    except TrackError:
        assert not is_safe(name)
        return
    assert safe_name(safe) == safe
    assert is_safe(safe)
    assert not safe.startswith("/")
    for part in safe.split("/"):
        assert part.strip(" .")
        assert part == part.rstrip(" .")  # Windows would drop them, and two names were one
        assert len(part.encode("utf-8", "surrogatepass")) <= 200
        assert not set(part) & set('\\:*?"<>|\x00\x7f')
        assert min(part) >= " "
        assert not PureWindowsPath(part).is_reserved() if hasattr(PureWindowsPath, "is_reserved") else True
    assert (Path("/base") / safe).is_relative_to("/base")
    assert not PureWindowsPath(safe).drive


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("model.pt", "model.pt"),
        ("a/b.c", "a/b.c"),
        (".gitignore", ".gitignore"),
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\x", "C_/x"),
        ("a\x00b", "a_b"),
        ("nul", "_nul"),
        ("Con.txt", "_Con.txt"),
        ("lpt1 .x", "_lpt1 .x"),
        ("model.", "model"),
        ("a/ /b", "a/b"),
    ],
)
def test_examples(name: str, safe: str) -> None:
    assert safe_name(name) == safe
    assert is_safe(name) is (name == safe)


@pytest.mark.parametrize("name", ["", ".", "..", "/", "../..", "\\", " ", "...", ". ./ .."])
def test_what_names_nothing(name: str) -> None:
    with pytest.raises(TrackError, match="names no file"):
        safe_name(name)
