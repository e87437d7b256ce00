"""The checker finds nothing where only verbs were at work, says in words what was broken by hand, and repairs what follows from the rest."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from whet.errors import StoreError
from whet.server.app import application
from whet.store import Store, open_store
from whet.store.base import Artifact, Batch, NewRun, Row
from whet.store.check import check, check_sweep
from whet.store.check_sql import repair
from whet.store.codec import join, pack, unpack
from whet.store.sql import SqlStore
from whet.testing.serving import serving
from whet.testing.store_filling import everything, fill
from whet.trial import Goal, Phase, Report, Suggestion


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    url = f"sqlite:///{tmp_path}/whet.db" if request.param == "sqlite" else request.getfixturevalue("new_database")()
    opened = open_store(url)
    assert isinstance(opened, SqlStore)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "kind",
    [
        "memory",
        pytest.param("http", marks=pytest.mark.slow),
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
    ],
)
def test_nothing_is_found_where_only_verbs_were_at_work(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        if kind == "http":
            behind = stack.enter_context(contextlib.closing(open_store(str(tmp_path / "behind.db"))))
            url = stack.enter_context(serving(application(behind)))
        else:
            made: dict[str, Callable[[], str]] = {
                "memory": lambda: "memory",
                "sqlite": lambda: str(tmp_path / "whet.db"),
                "postgres": lambda: request.getfixturevalue("new_database")(),
            }
            url = made[kind]()
        store = stack.enter_context(contextlib.closing(open_store(url)))
        for seed in range(6):
            fill(store, Random(seed), prefix=f"{seed}-")
        looked: list[str] = []
        assert check(store, on_step=looked.append) == []
        assert "the runs of project p" in looked


def filled(store: Store) -> tuple[str, str]:
    """Return a sweep whose best is trial 2 of 4, and the run of that."""
    sweep = store.sweeps.create("p", {"a": 1}, goals=[Goal.MINIMIZE], name="s", cap=4)
    ids = []
    for number, value in enumerate((3.0, 2.0, 1.0, 4.0)):
        ids.append(store.trials.add(sweep.id, number, Suggestion(params={"x": 1}), owner="me", seen=0, version=0))
        store.trials.report(sweep.id, number, 0, [Report(step=1, values=(value,))])
        rows = [Row(step=s, time=1.0, values={"loss": value + s}) for s in range(3)]
        art = Artifact(name="m", kind="model", path="/m", size=1, sha256="00")
        store.runs.ship(ids[-1], 0, "spool", 0, 10, Batch(rows=rows, artifacts=[art]))
        store.trials.tell(sweep.id, number, 0, phase=Phase.FINISHED, values=(value,))
    store.sweeps.edit(sweep.id, version=0, config={"a": 2})
    store.runs.create(NewRun(id="lone", project="p", name="lone", owner="me"))
    return sweep.id, ids[2]


def damage(store: SqlStore, *statements: str) -> None:
    with store.database.write() as tx:
        for statement in statements:
            tx.cursor.execute(statement.encode() if store.database.dialect.name == "postgresql" else statement)


BREAKS = {
    "a number that is missing": ("UPDATE runs SET number = 9 WHERE number = 1", {"numbers", "cap", "reports"}, "lacks trial 1"),
    "the next number": ("UPDATE sweeps SET next_number = 7", {"numbers"}, "its next trial is 7, but its last one is 3"),
    "the cap": ("UPDATE sweeps SET cap = 2", {"cap"}, "has handed out trial 2, 3, above its run cap of 2"),
    "another best": ("UPDATE sweeps SET best_value = 0.5", {"best"}, "its best value is 0.5, but that run has (1.0,)"),
    "the wrong best": (
        "UPDATE sweeps SET best_number = 0, best_value = 3.0, best_run = (SELECT id FROM runs WHERE number = 0)",
        {"best"}, "(1.0) is",
    ),
    "the best's number": ("UPDATE sweeps SET best_number = 1", {"best"}, "best trial is 1, but its best run is trial 2"),
    "a mark": ("UPDATE runs SET best = (number = 3) WHERE number IS NOT NULL", {"best"}, "but marked as best is"),
    "a late trial": ("UPDATE runs SET revision = 99 WHERE number = 1", {"revisions"}, "its trial 1 changed at 99"),
    "a late end": ("UPDATE runs SET \"over\" = 99 WHERE number = 1", {"revisions"}, "but trial 1 has 99 (over)"),
    "no end": ("UPDATE runs SET \"over\" = NULL WHERE number = 1", {"revisions"}, "no revision at which it was over"),
    "a late report": ("UPDATE reports SET revision = 99 WHERE number = 1", {"revisions"}, "has 99 (report of step 1)"),
    "a hidden report": ("UPDATE sweeps SET reports_revision = 0", {"revisions"}, "its last report came at revision 0"),
    "a late version": ("UPDATE runs SET seen_version = 9 WHERE number = 1", {"revisions"}, "trial 1 was made by 9"),
    "a former one to come": ("UPDATE former SET version = 5", {"former"}, "version 5, which is not over"),
    "a report of nothing": ("UPDATE reports SET number = 8 WHERE number = 1", {"reports"}, "a report of trial 8"),
    "a report of another attempt": ("UPDATE reports SET attempt = 2 WHERE number = 1", {"reports"}, "attempt 2 at trial 1"),
    "no result": ('UPDATE runs SET "values" = NULL WHERE number = 1', {"trials"}, "finished trial 1 with values None"),
    "a NaN": ("UPDATE runs SET \"values\" = '[NaN]' WHERE number = 1", {"trials"}, "finished trial 1 with values (nan,)"),
    "two results": ("UPDATE runs SET \"values\" = '[5, 6]' WHERE number = 1", {"trials"}, "values (5, 6), wanted 1"),
    "a phase": ("UPDATE runs SET phase = 'asleep' WHERE number = 1", {"runs", "rows"}, "nobody knows: 'asleep'"),
    "what waits": (
        "UPDATE runs SET phase = 'pending', \"over\" = NULL, \"values\" = NULL WHERE number = 1; "
        "UPDATE sweeps SET state = 'canceled'",
        {"trials"}, "is canceled, but its trial 1 is pending",
    ),
    "a parent": ("UPDATE runs SET parent_number = 17, parent = 'x' WHERE number = 1", {"parents"}, "the parent 17"),
    "a parent's run": ("UPDATE runs SET parent_number = 0, parent = 'x' WHERE number = 1", {"parents"}, "the parent x, but"),
    "JSON": ("UPDATE runs SET params = '{' WHERE number = 1", {"rows"}, "can't be read (JSONDecodeError"),
    "a sweep's configuration": ("UPDATE sweeps SET config = '{'", {"rows"}, "can't be read (JSONDecodeError"),
    "a sweep's configuration that is none": ("UPDATE sweeps SET config = '[1]'", {"rows"}, "can't be read (AttributeError"),
    "a sweep's state": ("UPDATE sweeps SET state = 'asleep'", {"rows"}, "can't be read (KeyError: 'asleep')"),
    "a sweep's goals": ("UPDATE sweeps SET goals = '[\"upwards\"]'", {"rows"}, "can't be read (ValueError"),
    "other goals than the configuration's": (
        "UPDATE sweeps SET config = '{\"metric\": {\"name\": \"acc\", \"goal\": \"maximize\"}}'",
        {"goals"}, "has the goals minimize, but its configuration says maximize",
    ),
    "an offset": ("UPDATE sources SET \"offset\" = -1 WHERE run = 'RUN'", {"offsets"}, "shipped up to -1"),
    "statistics": ("UPDATE runs SET stats = '{}' WHERE number = 1", {"stats"}, "its metrics don't bear out (loss)"),
    "no metrics": ("DELETE FROM chunks WHERE run = 'RUN'", {"stats"}, "its metrics don't bear out (loss)"),
    "an artifact": ("UPDATE artifacts SET size = -5 WHERE run = 'RUN'", {"artifacts"}, "the artifact 'm' of -5 bytes"),
    "an index": ("DROP INDEX runs_live", {"tables"}, "the tables are not those of their version: add index runs_live"),
    "a number alone": ("UPDATE runs SET number = 3 WHERE id = 'lone'", {"runs"}, "a number without a sweep"),
    "an attempt": ("UPDATE runs SET attempt = -1 WHERE number = 1", {"runs", "trials", "reports"}, "trial 1 in attempt -1"),
    "a project": (
        "INSERT INTO projects (name, created) VALUES ('z', 1); UPDATE runs SET project = 'z' WHERE number = 1",
        {"runs"}, "is in project 'p', but its run",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_said_in_words(name: str, store: SqlStore) -> None:
    sweep, run = filled(store)
    assert check(store) == []
    statements, rules, said = BREAKS[name]
    damage(store, *statements.replace("RUN", run).split("; "))
    found = check(store)
    assert {finding.rule for finding in found} == rules, found
    assert said in " / ".join(finding.problem for finding in found)
    if rules & {"numbers", "cap", "former", "trials"}:
        assert check_sweep(store, sweep) != []
    if "numbers" in rules:
        assert {finding.sweep for finding in found if finding.rule == "numbers"} == {sweep}


def test_damaged_metrics_are_found(store: SqlStore) -> None:
    _, run = filled(store)
    (payload,) = (bytes(row[0]) for row in rows_of(store, f"SELECT payload FROM chunks WHERE run = '{run}'"))
    for bad in (b"", payload[:-7], payload.replace(b'"loss",3', b'"loss",2')):
        with store.database.write() as tx:
            mark = "%(bad)s" if store.database.dialect.name == "postgresql" else ":bad"
            tx.cursor.execute(f"UPDATE chunks SET payload = {mark} WHERE run = '{run}'", {"bad": bad})
        assert {finding.rule for finding in check(store)} == {"chunks"}, bad


def test_no_byte_of_a_chunk_can_change_unseen() -> None:
    payload = pack([Row(step=s, time=1.0, values={"loss": 1.0, **({} if s else {"acc": 2.0})}) for s in range(3)])
    (size,) = struct.unpack_from("<I", payload, 1)
    header = '{"rows":%d,"columns":[["loss",%d],["acc",%d]]}'
    assert payload[5 : 5 + size].decode() == header % (3, 3, 1)
    broken = [payload[:n] for n in range(len(payload))]
    broken += [payload[:5] + b"x" * 9 + payload[14:], struct.pack("<BI", 9, 0) + payload[5:]]
    for n in (-1, 0, 1, 2, 4, 5, 10**9, 2**70):
        for numbers in ((n, 3, 1), (3, n, 1), (3, 3, n if n != 1 else 3)):
            said = (header % numbers).encode()
            broken.append(struct.pack("<BI", 1, len(said)) + said + payload[5 + size :])
    for place, flip in itertools.product(range(len(payload)), (1, 128, 255)):
        broken.append(payload[:place] + bytes([payload[place] ^ flip]) + payload[place + 1 :])
    for bad in broken:
        try:
            found = unpack(bad)
        except StoreError:
            with pytest.raises(StoreError):
                join([payload, bad])
        else:  # another name, which the statistics tell, or bits of the compression that say nothing
            assert [*found.values()] == [*unpack(payload).values()], bad


def test_a_metric_of_another_name_is_found(store: SqlStore) -> None:
    filled(store)
    for id, payload in rows_of(store, "SELECT run, payload FROM chunks"):
        with store.database.write() as tx:
            marks = ("%(bad)s", "%(id)s") if store.database.dialect.name == "postgresql" else (":bad", ":id")
            bad = bytes(payload).replace(b"loss", b"lose")  # type: ignore[call-overload]
            tx.cursor.execute("UPDATE chunks SET payload = {} WHERE run = {}".format(*marks), {"bad": bad, "id": id})
    assert {finding.rule for finding in check(store)} == {"stats"}


def rows_of(store: SqlStore, statement: str) -> list[tuple[object, ...]]:
    with store.database.read() as tx:
        tx.cursor.execute(statement)
        return list(tx.cursor.fetchall())


@pytest.mark.parametrize(
    "name", ["another best", "the wrong best", "the best's number", "a mark", "statistics", "no metrics"]
)
def test_what_follows_from_the_rest_is_repaired(name: str, store: SqlStore) -> None:
    _, run = filled(store)
    before = everything(store)
    damage(store, *BREAKS[name][0].replace("RUN", run).split("; "))
    found = check(store)
    assert all(finding.repairable for finding in found)
    assert repair(store, found) == found
    assert check(store) == []
    if name != "no metrics":
        assert {**everything(store), "runs": None} == {**before, "runs": None}


def test_what_follows_from_rows_that_cannot_be_read_is_left(store: SqlStore) -> None:
    filled(store)
    damage(store, "UPDATE sweeps SET best_number = 1, goals = '{'")
    found = check(store)
    assert {finding.rule for finding in found} == {"rows", "best"}
    assert repair(store, found) == []


def test_one_sweep_that_cannot_be_read_hides_no_other(store: SqlStore) -> None:
    filled(store)
    bad = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE], name="bad").id
    damage(store, f"UPDATE sweeps SET config = '{{' WHERE id = '{bad}'", "UPDATE sweeps SET cap = 2 WHERE name = 's'")
    assert [(finding.rule, finding.sweep == bad) for finding in check(store)] == [("rows", True), ("cap", False)]


def test_what_does_not_follow_is_left(store: SqlStore) -> None:
    filled(store)
    damage(store, "UPDATE sweeps SET cap = 2", "UPDATE runs SET stats = '{}' WHERE number = 1")
    found = check(store)
    assert [finding.rule for finding in repair(store, found)] == ["stats"]
    assert [finding.rule for finding in check(store)] == ["cap"]
    with pytest.raises(StoreError, match="can't be repaired from here"):
        repair(open_store("memory"), found)


def test_a_sweep_with_limits_may_have_a_best_that_others_beat(store: SqlStore) -> None:
    sweep = store.sweeps.create("p", {"limits": {"ms": {"max": 1}}}, goals=[Goal.MINIMIZE], name="s")
    for number, value in enumerate((3.0, 1.0)):
        store.trials.add(sweep.id, number, Suggestion(params={}), owner="me", seen=0)
        store.trials.tell(sweep.id, number, 0, phase=Phase.FINISHED, values=(value,), may_be_best=value > 2)
    assert check(store) == []
    damage(store, "UPDATE sweeps SET best_value = 7")
    (found,) = check(store)
    assert (found.rule, found.repairable) == ("best", False)
    assert repair(store, [found]) == []


def test_a_damaged_file_and_rows_that_belong_to_nothing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "whet.db"))
    assert isinstance(store, SqlStore)
    _, run = filled(store)
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "whet.db")) as others,
        others,
    ):  # these don't ask for foreign keys
        others.execute("INSERT INTO chunks (run, payload) VALUES ('nobody', x'00')")
        others.execute("DELETE FROM runs WHERE id = ?", (run,))
    found = check(store)
    assert {"damage", "rows", "numbers", "best"} <= {finding.rule for finding in found}
    said = " / ".join(finding.problem for finding in found)
    assert "2 rows of chunks belong to runs that are not there" in said
    store.close()
