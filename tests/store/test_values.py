"""The store's pure parts: statistics, the columns of metrics, JSON, ids; and how a store is named."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.errors import MissingDependency, StoreError
from whet.store import open_store, whet_dir
from whet.store.base import Row, Stat
from whet.store.codec import dump, dump_stats, load, load_stats, pack, unpack
from whet.store.ids import new_id
from whet.store.stats import merge

FLOATS = st.floats(allow_nan=True, allow_infinity=True)
ROWS = st.lists(
    st.builds(
        Row,
        step=st.integers(-(2**63), 2**63 - 1),
        time=st.floats(0, 2e9),
        values=st.dictionaries(st.text(max_size=3), FLOATS | st.integers(-(2**53), 2**53), max_size=4),
    ),
    max_size=12,
)


def bits(x: float) -> str:
    return float(x).hex() if not math.isnan(x) else "nan"


@given(ROWS)
def test_packed_rows_come_back_to_the_bit(rows: list[Row]) -> None:
    expected: dict[str, list[tuple[int, str, float]]] = {}
    for row in rows:
        for name, value in row.values.items():
            expected.setdefault(name, []).append((row.step, bits(value), row.time))
    got = unpack(pack(rows))
    assert {name: [(s, bits(v), t) for s, v, t in zip(*curve, strict=True)] for name, curve in got.items()} == expected
    some = set(list(expected)[:1])
    assert set(unpack(pack(rows), some)) == some


def test_metrics_take_little_space() -> None:
    rows = [Row(step=i, time=1.7e9 + i, values={"loss": 1 / (i + 1), "lr": 0.1}) for i in range(1000)]
    assert len(pack(rows)) < 16 * 1000
    with pytest.raises(StoreError, match="a step can't be kept"):
        pack([Row(step=2**63, time=0.0, values={"x": 1.0})])


@given(ROWS, ROWS)
def test_statistics_don_t_depend_on_batches(first: list[Row], second: list[Row]) -> None:
    at_once = merge({}, first + second)
    assert repr(merge(merge({}, first), second)) == repr(at_once)
    assert repr(load_stats(dump_stats(at_once))) == repr(at_once)
    for name, stat in at_once.items():
        logged = [(row.step, float(row.values[name])) for row in first + second if name in row.values]
        numbers = [(step, value) for step, value in logged if value == value]
        assert stat.count == len(logged)
        assert (stat.last_step, bits(stat.last)) == (logged[-1][0], bits(logged[-1][1]))
        if numbers:
            least, most = min(v for _, v in numbers), max(v for _, v in numbers)
            assert (stat.min, stat.max) == (least, most)
            assert stat.min_step == next(step for step, value in numbers if value == least)
            assert stat.max_step == next(step for step, value in numbers if value == most)
        else:
            assert math.isnan(stat.min)
            assert math.isnan(stat.max)


def test_a_statistic_by_hand() -> None:
    rows = [
        Row(step=s, time=0.0, values={"x": v}) for s, v in [(1, math.nan), (2, 5), (3, 2.0), (4, 2.0), (5, math.inf)]
    ]
    assert merge({}, rows)["x"] == Stat(
        last=math.inf, last_step=5, min=2.0, min_step=3, max=math.inf, max_step=5, count=5
    )


def test_json_keeps_what_it_can_and_says_what_it_cannot() -> None:
    import numpy as np

    assert load(dump({"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True), "d": (1, 2), "e": {3}})) == {
        "a": 0.5,
        "b": 3,
        "c": True,
        "d": [1, 2],
        "e": [3],
    }
    torch = pytest.importorskip("torch")
    assert load(dump({"a": torch.tensor(0.5), "b": torch.tensor([3])})) == {"a": 0.5, "b": 3}
    assert math.isnan(load(dump({"x": math.nan}))["x"])
    for several in (np.arange(3), torch.arange(3)):
        with pytest.raises(StoreError, match=r"type \w+ can't be kept"):
            dump({"x": several})
    with pytest.raises(StoreError, match=r"<object object at .*> of type object can't be kept"):
        dump({"x": object()})
    with pytest.raises(StoreError, match=r"can't be kept .* use text as keys, and plain values"):
        dump({(1, 2): 3})
    circle: dict[str, object] = {}
    circle["me"] = circle
    with pytest.raises(StoreError, match="Circular"):
        dump(circle)


def test_ids_are_short_and_different() -> None:
    ids = {new_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert {len(id) for id in ids} == {10}
    assert all(id.isalnum() and id == id.lower() for id in ids)


def test_where_a_store_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WHET_STORE", raising=False)
    monkeypatch.delenv("WHET_DIR", raising=False)
    assert whet_dir() == Path(".whet")
    for how, where in ((None, ".whet/whet.db"), ("runs.db", "runs.db"), ("sqlite:///sub/x.db", "sub/x.db")):
        open_store(how).close()
        assert (tmp_path / where).exists()
    monkeypatch.setenv("WHET_DIR", str(tmp_path / "elsewhere"))
    open_store().close()
    assert (tmp_path / "elsewhere" / "whet.db").exists()
    monkeypatch.setenv("WHET_STORE", "memory")
    assert open_store().url == "memory"
    assert open_store("sqlite:///:memory:").url == "memory"
    store = open_store("here.db")
    assert open_store(store) is store
    assert store.url == f"sqlite:///{tmp_path}/here.db"  # other processes get it, wherever they are
    monkeypatch.chdir("/")
    assert store.sweeps.all() == []  # a program may go elsewhere
    store.close()


def test_urls_that_are_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError) as caught:
        open_store("mysql://x")
    assert str(caught.value) == (
        "'mysql://x' is no store: give sqlite:///file.db, postgresql://user:password@host/name, http://host:port, a path that ends in .db, or memory"
    )
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(
        MissingDependency, match=r"a PostgreSQL store needs the package 'psycopg': pip install \"whet\[postgres\]\""
    ):
        open_store("postgresql://localhost/x")


def test_what_is_imported_when(tmp_path: Path) -> None:
    code = """
import json, sys
from whet.store import open_store
seen = {"import": [m for m in ("sqlalchemy", "alembic", "numpy") if m in sys.modules]}
store = open_store("memory")
seen["memory"] = [m for m in ("sqlalchemy", "alembic") if m in sys.modules]
open_store("new.db").close()
seen["new"] = [m for m in ("alembic", "psycopg") if m in sys.modules]
print(json.dumps(seen))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"import": [], "memory": [], "new": []}
