"""Filters and orders in SQL are those in Python, whatever the runs hold."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whet.store import Store, open_store
from whet.store.base import Batch, GroupQuery, NewRun, Row, TableQuery
from whet.store.lines import thin

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.5, -1.0, 1e-300, 1e300, math.nan, math.inf, -math.inf]),
    st.sampled_from([2**53, 2**53 + 1, 2**53 + 2, -(2**53) - 1, 2**63 - 1, 2**63, 10**400, -(10**400)]),
    st.sampled_from(["", "a", "b", "NaN", "Infinity", '"NaN', "ä", "😀", "1", "a\\"]), st.lists(st.integers(0, 1), max_size=2),
)  # fmt: skip
KEYS = st.sampled_from(["x", "y", "a.b", "a", 'q"uote', "ü"])
MAPPINGS = st.dictionaries(
    KEYS, st.one_of(VALUES, st.dictionaries(st.sampled_from(["b", "c"]), VALUES, max_size=2)), max_size=4
)
RUNS = st.lists(
    st.tuples(MAPPINGS, MAPPINGS, st.lists(st.one_of(st.integers(-2, 2), st.floats(width=16)), max_size=3), st.sets(st.sampled_from(["t", "u", "t,u", '"t']))),
    max_size=6,
)  # fmt: skip
COLUMNS = st.sampled_from([
    "x", "m", "m.min", "m.max", "m.last_step", "m.count", "config.x", "config.y", "config.a.b", "config.a.c", "params.x",
    "config['q\"uote']", 'summary["ü"]', "summary.x", "summary.a.b", "attrs.x", "name", "value", "number", "best", "state",
])  # fmt: skip
LITERALS = st.sampled_from(
    [
        "0",
        "1",
        "-1",
        "0.5",
        "1e300",
        "9007199254740993",
        "-9007199254740993",
        "9223372036854775807",
        "True",
        '"a"',
        '"b"',
        '""',
        '"NaN"',
        '"ä"',
        '"1"',
        "None",
    ]
)


def _tests(column: str, literal: str, other: str, op: str) -> st.SearchStrategy[str]:
    if column in ("name", "state", "value", "number", "best"):
        return st.sampled_from([f"{column} != None", f"{column} == {other}", f"{other} {op} {column}"])
    order = [] if literal == "None" else [f"{column} {op} {literal}"]
    contains = [f"{literal} in {column}"] if literal.startswith('"') else []
    return st.sampled_from(
        [*order, *contains, f"{column} == {literal}", f"{column} != {literal}", f"{column} {op} {other}", column]
    )


LEAVES = st.one_of(
    st.tuples(COLUMNS, LITERALS, COLUMNS, st.sampled_from(["<", "<=", ">", ">="])).flatmap(lambda t: _tests(*t)),
    st.sampled_from(['"t" in tags', '"t,u" not in tags', "'\"t' in tags"]),
)
FILTERS = st.recursive(LEAVES, lambda inner: st.one_of(
    st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    inner.map(lambda text: f"(not {text})"),
), max_leaves=5)  # fmt: skip


def _fill(store: Store, runs: list[tuple[dict, dict, list[float], set[str]]]) -> None:  # type: ignore[type-arg]
    old = [row.id for row in store.runs.table(TableQuery(limit=1000)).rows]
    for id in old:
        store.runs.finish(id, _over())
    store.runs.delete(old)
    for i, (config, summary, losses, tags) in enumerate(runs):
        store.runs.create(
            NewRun(id=str(i), project="p", name=f"n{i % 2}", owner="", config=config, tags=tuple(sorted(tags)))
        )
        rows = [Row(step=s, time=0.0, values={"m": v, "x": v}) for s, v in enumerate(losses)]
        store.runs.ship(str(i), 0, "s", 0, 1, Batch(rows=rows, summary=summary))


def _over():  # type: ignore[no-untyped-def]
    from whet.trial import Phase

    return Phase.FINISHED


def _agree(
    here: Store,
    there: Store,
    runs: list,
    condition: str,
    sort: str,  # type: ignore[type-arg]
) -> None:
    for store in (here, there):
        _fill(store, runs)
    query = TableQuery(filter=condition, sort=sort)
    wanted, found = here.runs.table(query), there.runs.table(query)
    assert [row.id for row in found.rows] == [row.id for row in wanted.rows]
    paged, cursor = [], None
    while True:
        page = there.runs.table(TableQuery(filter=condition, sort=sort, limit=2, cursor=cursor))
        paged += [row.id for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            break
    assert paged == [row.id for row in wanted.rows]


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder: Path = tmp_path_factory.mktemp("table")
    with contextlib.closing(open_store(str(folder / "whet.db"))) as store:
        yield store


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RUNS, FILTERS, st.tuples(st.sampled_from(["", "-"]), COLUMNS).map("".join))
def test_sqlite_filters_and_sorts_as_python_does(sqlite: Store, runs: list, condition: str, sort: str) -> None:  # type: ignore[type-arg]
    _agree(open_store("memory"), sqlite, runs, condition, sort)


@pytest.mark.postgres
def test_postgres_filters_and_sorts_as_python_does(new_database: Callable[[], str]) -> None:
    with contextlib.closing(open_store(new_database())) as store:

        @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
        @given(RUNS, FILTERS, st.tuples(st.sampled_from(["", "-"]), COLUMNS).map("".join))
        def agree(runs: list, condition: str, sort: str) -> None:  # type: ignore[type-arg]
            _agree(open_store("memory"), store, runs, condition, sort)

        agree()


def _group_alike(here: Store, there: Store, runs: list, condition: str, by: str, of: str) -> None:  # type: ignore[type-arg]
    for store in (here, there):
        _fill(store, runs)
    query = GroupQuery(by=by, of=of, filter=condition)
    wanted, found = here.runs.groups(query), there.runs.groups(query)
    assert found.total == wanted.total == len(wanted.groups)
    for one, other in zip(found.groups, wanted.groups, strict=True):
        assert (one.value, one.num_runs, one.num_values) == (other.value, other.num_runs, other.num_values)
        assert (one.least, one.greatest) == (other.least, other.greatest)
        for mine, its in ((one.mean, other.mean), (one.deviation, other.deviation)):
            assert mine == (None if its is None else pytest.approx(its, rel=1e-9, abs=1e-9))


BY, ANY = st.one_of(COLUMNS, st.just("tags")), st.one_of(st.just(""), LEAVES)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RUNS, ANY, BY, COLUMNS)
def test_sqlite_groups_as_python_does(sqlite: Store, runs: list, condition: str, by: str, of: str) -> None:  # type: ignore[type-arg]
    _group_alike(open_store("memory"), sqlite, runs, condition, by, of)


@pytest.mark.postgres
def test_postgres_groups_as_python_does(new_database: Callable[[], str]) -> None:
    with contextlib.closing(open_store(new_database())) as store:

        @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
        @given(RUNS, ANY, BY, COLUMNS)
        def agree(runs: list, condition: str, by: str, of: str) -> None:  # type: ignore[type-arg]
            _group_alike(open_store("memory"), store, runs, condition, by, of)

        agree()


@pytest.mark.parametrize("sort", ["config.seed", "-config.seed"])
def test_seeds_that_no_float_can_tell_apart_are_paged_and_found(sqlite: Store, sort: str) -> None:
    _agree(
        open_store("memory"),
        sqlite,
        [({"seed": 2**53 + 1}, {}, [], set())] * 5,
        "config.seed == 9007199254740993",
        sort,
    )
    assert sqlite.runs.table(TableQuery(filter="config.seed == 9007199254740993")).total == 5


@given(st.lists(st.one_of(st.floats(), st.sampled_from([0.0, 1.0, math.nan])), max_size=200), st.integers(4, 40))
def test_thinning_keeps_ends_extremes_and_a_gap(values: list[float], most: int) -> None:
    ys = np.array(values, dtype=float)
    kept = thin(ys, most)
    assert len(kept) <= most
    assert (np.diff(kept) > 0).all()
    if len(ys):
        assert (kept[0], kept[-1]) == (0, len(ys) - 1)
    there = ys[~np.isnan(ys)]
    if len(there):
        assert {np.nanmin(ys[kept]), np.nanmax(ys[kept])} == {there.min(), there.max()}
    if np.isnan(ys).any() and most >= 5:
        assert np.isnan(ys[kept]).any()


def test_a_name_in_a_filter_is_never_part_of_the_sql(sqlite: Store) -> None:
    _fill(sqlite, [({"x') OR 1=1 --": 1}, {}, [], set())])
    for source, total in (
        ('config["x\') OR 1=1 --"] == 1', 1),
        ("config['a\\'; DROP TABLE runs'] == 1", 0),
        ("'%s :v0 ?' in name", 0),
    ):
        assert sqlite.runs.table(TableQuery(filter=source)).total == total
