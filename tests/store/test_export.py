"""Runs as tables of other programs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from whet.store.export import ParquetFile

pq = pytest.importorskip("pyarrow.parquet")

PIECES: list[list[dict[str, Any]]] = [
    [{"id": "a", "summary.acc": 1, "summary.size": 3, "summary.tag": True}],
    [{"id": "b", "summary.acc": 0.5, "summary.size": 10**30, "summary.tag": "big", "summary.late": [1, 2]}],
    [{"id": "c", "summary.acc": None, "param.x": 7}],
]


def test_rows_may_be_of_other_kinds_than_those_before() -> None:
    """A sweep goes on while it is written: no value and no column of it is lost."""
    file = io.BytesIO()
    with ParquetFile(file) as made:
        for rows in PIECES:
            made.write(rows)
    table = pq.read_table(io.BytesIO(file.getvalue())).to_pydict()
    assert table == {
        "id": ["a", "b", "c"],
        "param.x": [None, None, 7],
        "summary.acc": [1.0, 0.5, None],
        "summary.size": ["3", str(10**30), None],
        "summary.tag": ["true", "big", None],
        "summary.late": [None, "[1, 2]", None],
    }
    assert list(table)[:2] == ["id", "param.x"]


def test_what_breaks_off_leaves_no_file_behind(tmp_path: Path) -> None:
    def pieces() -> Iterator[list[dict[str, Any]]]:
        yield PIECES[0]
        raise KeyError

    def write() -> None:
        with ParquetFile(tmp_path / "out.parquet") as made:
            for rows in pieces():
                made.write(rows)

    with pytest.raises(KeyError):
        write()
    assert list(tmp_path.iterdir()) == []
