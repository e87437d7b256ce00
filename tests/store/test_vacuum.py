"""A vacuum changes nothing that can be read, joins what is small, and leaves alone what runs or is damaged."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from whet.store import open_store
from whet.store.base import Batch, NewRun, Row
from whet.store.check import check
from whet.store.codec import join, pack, unpack
from whet.store.sql import SqlStore
from whet.store.vacuum import vacuum
from whet.testing.store_filling import everything, fill
from whet.trial import Phase


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    url = f"sqlite:///{tmp_path}/whet.db" if request.param == "sqlite" else request.getfixturevalue("new_database")()
    opened = open_store(url)
    assert isinstance(opened, SqlStore)
    yield opened
    opened.close()


def num_chunks(store: SqlStore, run: str) -> int:
    with store.database.read() as tx:
        tx.cursor.execute(f"SELECT count(*) FROM chunks WHERE run = '{run}'")
        return int(tx.cursor.fetchall()[0][0])


def long(store: SqlStore, id: str, *, end: bool = True) -> None:
    store.runs.create(NewRun(id=id, project="p", name=id, owner="me"))
    for n in range(30):
        values = {"loss": 1 / (n + 1)} if n % 3 else {"loss": math.nan, "acc": float(n)}
        store.runs.ship(id, 0, "spool", n, n + 1, Batch(rows=[Row(step=n, time=float(n), values=values)]))
    if end:
        store.runs.finish(id, Phase.FINISHED)


def test_nothing_that_can_be_read_changes(store: SqlStore) -> None:
    for seed in range(5):
        fill(store, Random(seed), prefix=f"{seed}-")
    long(store, "long")
    long(store, "going-on", end=False)
    before = repr(everything(store))
    done = vacuum(store.database)
    assert repr(everything(store)) == before
    assert check(store) == []
    assert done.chunks_before > done.chunks_after >= done.num_runs > 1
    assert (num_chunks(store, "long"), num_chunks(store, "going-on")) == (1, 30)
    again = vacuum(store.database)
    assert (again.num_runs, again.chunks_before) == (0, 0)
    # What comes late is kept, too, and comes last.
    store.runs.ship("long", 0, "spool", 30, 31, Batch(rows=[Row(step=99, time=0.0, values={"loss": 7.0})]))
    assert store.runs.metrics("long")["loss"].steps[-2:] == [29, 99]


def test_the_room_of_what_was_deleted_is_given_back(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "whet.db"))
    assert isinstance(store, SqlStore)
    store.runs.create(NewRun(id="r", project="p", name="r", owner="me"))
    store.runs.ship("r", 0, "spool", 0, 1, Batch(meta={"diff": Random(1).randbytes(500_000).hex()}))
    store.runs.finish("r", Phase.FINISHED)
    store.runs.delete(["r"])
    done = vacuum(store.database)
    assert done.bytes_after == store.database.size() < 300_000 < 900_000 < done.bytes_before
    store.close()


def test_damaged_metrics_are_left_as_they_are(store: SqlStore) -> None:
    long(store, "bad")
    long(store, "good")
    with store.database.write() as tx:
        tx.cursor.execute("UPDATE chunks SET payload = 'x' WHERE key = (SELECT max(key) FROM chunks WHERE run = 'bad')")
    done = vacuum(store.database)
    assert (num_chunks(store, "bad"), num_chunks(store, "good"), done.num_runs) == (30, 1, 1)


def test_chunks_grow_to_a_megabyte_and_no_more(store: SqlStore) -> None:
    random = Random(1)
    store.runs.create(NewRun(id="r", project="p", name="r", owner="me"))
    for n in range(6):
        rows = [Row(step=i, time=random.random(), values={"x": random.random()}) for i in range(20_000)]
        store.runs.ship("r", 0, "spool", n, n + 1, Batch(rows=rows))
    store.runs.finish("r", Phase.FINISHED)
    before = store.runs.metrics("r")
    done = vacuum(store.database)
    assert (done.chunks_before, done.chunks_after) == (6, 3)
    assert store.runs.metrics("r") == before


def test_joined_chunks_hold_the_rows_in_their_order() -> None:
    random = Random(2)
    for _ in range(200):
        rows = [
            Row(
                step=random.randrange(-5, 5),
                time=random.random(),
                values={n: random.random() for n in "abc" if random.random() < 0.6},
            )
            for _ in range(random.randrange(1, 20))
        ]
        cuts = sorted({0, len(rows), *(random.randrange(len(rows)) for _ in range(3))})
        pieces = [pack(rows[a:b]) for a, b in pairwise(cuts)]
        whole = {n: tuple(map(list, columns)) for n, columns in unpack(pack(rows)).items()}
        joined = {n: tuple(map(list, columns)) for n, columns in unpack(join(pieces)).items()}
        assert {**joined} == {**whole}
