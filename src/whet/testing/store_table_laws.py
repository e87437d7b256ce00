"""The laws of the run table and of curves to be drawn."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest

from whet.errors import ExpressionError, NotFound, StoreError
from whet.store.base import Batch, Group, GroupQuery, NewRun, Row, Store, Sweep, TableQuery
from whet.testing.store_case import ME, StoreCase
from whet.trial import Goal, Phase

__all__ = ["TableLaws"]

_INF = math.inf
_RUNS: list[tuple[str, dict[str, object], list[float], dict[str, object]]] = [
    ("a", {"lr": 0.1, "optimizer": "adam", "model": {"depth": 3}}, [0.5, 0.4], {}),
    ("b", {"lr": 0.01, "optimizer": "sgd", "model": {"depth": 5}, "flag": True}, [0.2, 0.3], {}),
    ("c", {"lr": "auto", "optimizer": "adam", "a.b": 1, "batch-size": 8}, [0.9, math.nan], {"note": "NaN, Infinity"}),
    ("d", {"lr": 1, 'odd"key': "x", "gamma": math.nan}, [_INF], {"acc": 0.5}),
    ("e", {"optimizer": "Adam", "flag": False, "list": [1, 2], "é\\": "ü"}, [], {"loss": 0.35, "acc": -_INF}),
]


class TableLaws(StoreCase):
    """What every store does alike with the run table."""

    @pytest.fixture
    def table(self, store: Store) -> Store:
        """Return the store with five runs, a to e."""
        for i, (id, config, losses, summary) in enumerate(_RUNS):
            tags = ("best", "x,y") if id in "ad" else ('"best', "be")
            new = NewRun(id=id, project="q" if id == "e" else "p", name=f"run {id}", owner=ME, config=config, tags=tags)
            store.runs.create(new)
            rows = [Row(step=s, time=1.0 + s, values={"loss": v, "val/loss": v / 2}) for s, v in enumerate(losses)]
            store.runs.ship(id, 0, "spool", 0, 9, Batch(rows=rows, summary=summary))
            if i % 2:
                store.runs.finish(id, Phase.FINISHED if id == "b" else Phase.FAILED, "out of memory")
        return store

    @pytest.mark.parametrize(
        ("condition", "wanted"),
        [
            ("", "abcde"),
            ("loss < 0.35", "b"),
            ("loss <= 0.35", "be"),
            ("0.3 <= loss < 0.4", "be"),
            ("loss.min < 0.5", "ab"),
            ("loss.max > 0.4", "ac"),
            ("loss.last_step == 1 and loss.count == 2", "abc"),
            ("loss == None", "cd"),
            ("loss != None", "abe"),
            ("loss == loss", "abe"),
            ("not loss > 0.3", "bcd"),
            ('metrics["val/loss"] < 0.16', "b"),
            ('metrics["val/loss"].min < 0.3', "ab"),
            ('config.optimizer == "adam"', "ac"),
            ('config.optimizer != "adam"', "bde"),
            ('config.optimizer in ["sgd", "Adam"]', "be"),
            ('config.optimizer not in ["sgd", "Adam"]', "acd"),
            ('"da" in config.optimizer', "ace"),
            ('"Ad" in config.optimizer', "e"),
            ("config.lr > 0", "abd"),
            ("config.lr == True", "d"),
            ('config.lr == "auto"', "c"),
            ('config.lr >= "a"', "c"),
            ("config.model.depth > 3", "b"),
            ("config.a.b == 1", "c"),
            ('config["batch-size"] == 8', "c"),
            ("config['odd\"key'] == 'x'", "d"),
            (r'config["é\\"] == "ü"', "e"),
            ("config.gamma == None", "abcde"),
            ("config.list == None", "abcde"),
            ("config.flag", "b"),
            ("config.flag == 0", "e"),
            ("summary.acc > 0", "d"),
            ("summary.note", "c"),
            ("loss < config.lr", ""),
            ("loss > config.lr", "ab"),
            ('"best" in tags', "ad"),
            ('"be" in tags', "bce"),
            ('"x,y" in tags and not "be" in tags', "ad"),
            ('"x" in tags', ""),
            ('state == "failed"', "d"),
            ('state in ["finished", "failed"]', "bd"),
            ('state != "running"', "bd"),
            ('name == "run c" or id == "a"', "ac"),
            ('"run" in name and project == "q"', "e"),
            ('name > "run c"', "de"),
            ("sweep == None and number == None", "abcde"),
            ('"memory" in reason', "bd"),
            ('created > "1h"', "abcde"),
            ('created > "2001-01-01"', "abcde"),
            ('created < "2001-01-01T10:00:00Z"', ""),
            ('duration < "1h" and duration >= 0', "abcde"),
            ("ended == None", "ace"),
            ("best or stopped", ""),
            ('params.lr != None or attrs.x == "y"', ""),
            ("loss in []", ""),
        ],
    )
    def test_runs_are_filtered(self, table: Store, condition: str, wanted: str) -> None:
        page = table.runs.table(TableQuery(filter=condition, sort="created"))
        assert "".join(row.id for row in page.rows) == wanted
        assert (page.total, page.cursor) == (len(wanted), None)

    @pytest.mark.parametrize(
        ("sort", "wanted"),
        [
            ("created", "abcde"),
            ("-created", "edcba"),
            ("loss", "beacd"),
            ("-loss", "aebcd"),
            ("loss.min", "bacde"),
            ("-val/loss.min", "cabde"),
            ("config.lr", "badce"),
            ("-config.lr", "dabce"),
            ("config.optimizer", "eacbd"),
            ("-config.optimizer", "baced"),
            ("config.model.depth", "abcde"),
            ("-config.model.depth", "bacde"),
            ("state", "dbace"),
            ("-name", "edcba"),
            ("ended", "bdace"),
            ("config.nothing", "abcde"),
        ],
    )
    def test_runs_are_sorted_and_paged(self, table: Store, sort: str, wanted: str) -> None:
        assert "".join(row.id for row in table.runs.table(TableQuery(sort=sort)).rows) == wanted
        for limit in (1, 2, 4):
            found, cursor = "", None
            while True:
                page = table.runs.table(TableQuery(sort=sort, limit=limit, cursor=cursor))
                found += "".join(row.id for row in page.rows)
                assert page.total == 5
                cursor = page.cursor
                if cursor is None:
                    break
                assert len(page.rows) == limit
            assert found == wanted

    @pytest.mark.parametrize("sort", ["created", "-created", "loss", "-config.lr", "config.optimizer", "ended"])
    @pytest.mark.parametrize("condition", ["", "loss > 0"])
    def test_any_part_of_the_table_is_a_part_of_the_whole(self, table: Store, sort: str, condition: str) -> None:
        whole = [row.id for row in table.runs.table(TableQuery(sort=sort, filter=condition)).rows]
        for offset in range(len(whole) + 2):
            for limit in (1, 2, 9):
                query = TableQuery(sort=sort, filter=condition, offset=offset, limit=limit)
                page = table.runs.table(query)
                assert [row.id for row in page.rows] == whole[offset : offset + limit]
                assert page.total == len(whole)
                assert (page.cursor is None) is (offset + limit >= len(whole))
                if page.cursor is not None:  # which goes on from there
                    rest = table.runs.table(replace(query, offset=0, cursor=page.cursor, limit=9))
                    assert [row.id for row in rest.rows] == whole[offset + limit :]
        with pytest.raises(StoreError, match="offset=-1"):
            table.runs.table(TableQuery(offset=-1))
        cursor = table.runs.table(TableQuery(limit=1)).cursor
        with pytest.raises(StoreError, match="both a cursor and an offset"):
            table.runs.table(TableQuery(limit=1, cursor=cursor, offset=1))

    def test_pages_go_on_while_runs_come(self, table: Store) -> None:
        first = table.runs.table(TableQuery(limit=2))
        table.runs.create(NewRun(id="f", project="p", name="run f", owner=ME))
        rest = table.runs.table(TableQuery(limit=9, cursor=first.cursor))
        assert "".join(row.id for row in (*first.rows, *rest.rows)) == "edcba"
        last = table.runs.table(TableQuery(sort="name", limit=5, projects=("p", "q")))
        table.runs.finish("f", Phase.FINISHED)
        table.runs.delete(["f"])
        none = table.runs.table(TableQuery(sort="name", cursor=last.cursor, projects=("p", "q")))
        assert (none.rows, none.total, none.cursor) == ((), 5, None)
        for projects, sort, total in ((("q",), "-loss", 1), ((), "created", 0), (("q", "p"), "created", 5)):
            assert table.runs.table(TableQuery(projects=projects, sort=sort)).total == total
        assert table.runs.table(TableQuery(projects=("q",), project="p")).total == 0

    def test_columns_are_returned_as_asked(self, table: Store) -> None:
        names = ("config.lr", "loss", "val/loss.max", "duration", "config.list", "state", "summary.acc", "config.model")
        a, *_, d, e = table.runs.table(TableQuery(sort="created", columns=names)).rows
        assert {k: v for k, v in a.cells.items() if k != "duration"} == {
            "config.lr": 0.1,
            "loss": 0.4,
            "val/loss.max": 0.25,
            "state": "running",
            "config.model": {"depth": 3},
        }
        assert (d.cells["loss"], e.cells["loss"], e.cells["config.list"], e.cells["state"]) == (
            _INF,
            0.35,
            [1, 2],
            "running",
        )
        assert (e.cells["summary.acc"], d.tags, d.phase) == (-_INF, ("best", "x,y"), Phase.FAILED)
        assert table.runs.table(TableQuery(limit=1)).rows[0].cells == {}
        known = table.runs.columns("p")
        assert known["metrics"] == ["loss", "val/loss"]
        assert known["config"] == ["a.b", "batch-size", "flag", "gamma", "lr", "model", 'odd"key', "optimizer"]
        assert (known["summary"], known["attrs"]) == (["acc", "note"], [])
        assert "é\\" in table.runs.columns()["config"]
        assert table.runs.columns("nobody")["config"] == []

    def test_numbers_are_those_of_64_bit_floats(self, store: Store) -> None:
        """Integers that a float can't tell apart are equal; what is beyond all floats is nothing, and harms no page."""
        seeds = [10**400, 2**53 + 1, -(10**400), 2**53 + 1, 2**63 - 1, 2**53 + 1, 2**64]
        for i, seed in enumerate(seeds):
            store.runs.create(NewRun(id=f"s{i}", project="p", name="s", owner=ME, config={"seed": seed}))
        for sort, wanted in (("config.seed", "1354602"), ("-config.seed", "6413502")):
            read, cursor = "", None
            for _ in seeds:
                query = TableQuery(sort=sort, limit=2, cursor=cursor, columns=("config.seed",))
                page = store.runs.table(query)
                read, cursor = read + "".join(row.id[1] for row in page.rows), page.cursor
                if cursor is None:
                    break
            assert read == wanted
        for condition, num_found in (("== 9007199254740993", 3), ("> 9007199254740994", 2), ("!= None", 5)):
            assert store.runs.table(TableQuery(filter=f"config.seed {condition}")).total == num_found
        assert store.runs.table(TableQuery(sort="created", columns=("config.seed",))).rows[0].cells == {
            "config.seed": 10**400
        }

    def test_trials_are_in_the_table(self, table: Store, sweep: Sweep) -> None:
        for number in range(3):
            self.add(table, sweep, number)
        table.trials.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(0.5,), attrs={"who": "me"})
        table.trials.tell(sweep.id, 1, 0, phase=Phase.FINISHED, stopped=True, reason="too slow")

        def numbers(condition: str, sort: str = "number") -> list[int | None]:
            page = table.runs.table(TableQuery(filter=condition, sort=sort, sweep=sweep.id))
            return [row.number for row in page.rows]

        assert numbers("") == [0, 1, 2]
        assert numbers("", "-number") == [2, 1, 0]
        assert numbers('state == "stopped"') == numbers("stopped") == [1]
        assert numbers('state == "finished"') == numbers("best") == numbers("value == 0.5") == [0]
        assert numbers("", "value") == [0, 1, 2]
        assert numbers('attrs.who == "me"') == [0]
        assert numbers("params.layers == 3 and config.layers == 3 and config.opt == params.opt") == [0, 1, 2]
        assert table.runs.table(TableQuery(filter=f'sweep == "{sweep.id}"')).total == 3
        assert table.runs.table(TableQuery(filter="sweep == None")).total == 5

    @pytest.mark.parametrize(
        ("by", "wanted"),
        [
            ("config.optimizer", {"adam": 2, "Adam": 1, "sgd": 1, None: 1}),
            ("config.lr", {0.01: 1, 0.1: 1, 1.0: 1, "auto": 1, None: 1}),
            ("config.flag", {None: 3, 0.0: 1, 1.0: 1}),
            ("config.list", {None: 5}),
            ("state", {"running": 3, "failed": 1, "finished": 1}),
            ("project", {"p": 4, "q": 1}),
            ("sweep", {None: 5}),
            ("tags", {'"best': 3, "be": 3, "best": 2, "x,y": 2}),
        ],
    )
    def test_runs_are_put_together(self, table: Store, by: str, wanted: dict[object, int]) -> None:
        found = table.runs.groups(GroupQuery(by=by))
        assert [(one.value, one.num_runs) for one in found.groups] == list(wanted.items())
        assert found.total == len(wanted)
        first = table.runs.groups(GroupQuery(by=by, limit=1))
        assert (first.groups, first.total) == (found.groups[:1], len(wanted))

    def test_a_group_says_what_its_runs_have(self, table: Store) -> None:
        adam, upper, *_ = table.runs.groups(GroupQuery(by="config.optimizer", of="loss.min")).groups
        assert (adam.num_values, adam.least, adam.greatest) == (2, 0.4, 0.9)
        assert adam.mean == pytest.approx(0.65)
        assert adam.deviation == pytest.approx(math.sqrt(0.125))
        assert upper == Group(
            value="Adam", num_runs=1, num_values=0, least=None, greatest=None, mean=None, deviation=None
        )
        some = table.runs.groups(GroupQuery(by="tags", of="config.lr", filter='id in ["a", "b", "c"]', projects=("p",)))
        assert [(one.value, one.num_runs, one.num_values, one.mean) for one in some.groups] == [
            ('"best', 2, 1, 0.01),
            ("be", 2, 1, 0.01),
            ("best", 1, 1, 0.1),
            ("x,y", 1, 1, 0.1),
        ]
        assert some.groups[0].deviation is None
        assert table.runs.groups(GroupQuery(by="tags", project="nobody")).groups == ()
        for query in (GroupQuery(by="state", limit=0), GroupQuery(by="state", filter="loss <")):
            with pytest.raises((StoreError, ExpressionError)):
                table.runs.groups(query)

    def test_numbers_too_large_to_be_summed_up_are_left_out(self, store: Store) -> None:
        for i, x in enumerate((1e308, 1e308, -1e70, 1e70, 1e9, math.inf, math.nan, "1", True)):
            store.runs.create(NewRun(id=f"r{i}", project="p", name="r", owner=ME, config={"x": x}))
        (one,) = store.runs.groups(GroupQuery(by="name", of="config.x")).groups
        assert (one.num_runs, one.num_values, one.least, one.greatest) == (9, 4, -1e70, 1e70)
        assert one.deviation == pytest.approx(1e70 * math.sqrt(2 / 3))

    def test_tags_come_and_go(self, table: Store) -> None:
        assert table.runs.tag(["a", "b", "a"], add=["new", "best"], remove=["x,y", "nobody"]) == 2
        assert table.runs.get("a").tags == ("best", "new")
        assert table.runs.get("b").tags == ('"best', "be", "new", "best")
        assert table.runs.tag(["a", "b"], add=["new"]) == 0
        assert table.runs.tag(["a"], add=["new"], remove=["new", "best"]) == 1
        assert table.runs.get("a").tags == ("new",)
        with pytest.raises(NotFound):
            table.runs.tag(["a", "gone"], add=["other"])
        assert table.runs.get("a").tags == ("new",)
        assert table.runs.tag([]) == 0

    def test_how_the_best_of_sweeps_came_about(self, store: Store, sweep: Sweep) -> None:
        up = store.sweeps.create("p", {"method": "random"}, goals=[Goal.MAXIMIZE, Goal.MINIMIZE], name="up")
        for one in (sweep, up):
            for number, value in enumerate((math.inf, 3.0, -math.inf, 3.0, 2.0, 5.0, 0.5)):
                self.add(store, one, number)
                stopped = number == 6
                values = (value, 1.0)[: len(one.goals)]
                store.trials.tell(one.id, number, 0, phase=Phase.FINISHED, values=values, stopped=stopped)
        self.add(store, sweep, 7)
        store.trials.tell(sweep.id, 7, 0, phase=Phase.FAILED)
        assert store.sweeps.gains([sweep.id, up.id, "gone"]) == {
            sweep.id: [(1, 3.0), (4, 2.0)],
            up.id: [(1, 3.0), (5, 5.0)],
        }
        assert store.sweeps.gains([]) == {}

    def test_bad_questions_are_refused(self, table: Store) -> None:
        cursor = table.runs.table(TableQuery(limit=1)).cursor
        assert cursor
        for query, match in (
            (TableQuery(filter='state == "lost"'), "unknown state 'lost'"),
            (TableQuery(filter="loss <"), "is not an expression"),
            (TableQuery(filter="exit()"), r"'exit\(\)' \(at character 1\) is not allowed"),
            (TableQuery(sort="tags"), "in no order"),
            (TableQuery(columns=("",)), "a column without a name"),
        ):
            with pytest.raises(ExpressionError, match=match):
                table.runs.table(query)
        for query, match in (
            (TableQuery(limit=0), "limit=0 is out of range"),
            (TableQuery(cursor="nonsense"), "is no cursor"),
            (TableQuery(cursor=cursor, sort="name"), "the cursor is of another filter or sort"),
        ):
            with pytest.raises(StoreError, match=match):
                table.runs.table(query)

    def test_marks_differ_after_every_change(self, table: Store, sweep: Sweep) -> None:
        seen = {table.runs.mark()}

        def changed() -> None:
            mark = table.runs.mark()
            assert mark not in seen
            seen.add(mark)

        table.runs.edit("a", name="other")
        changed()
        table.runs.ship("a", 0, "spool", 9, 10, Batch(rows=[Row(step=9, time=1.0, values={"loss": 1.0})]))
        changed()
        self.add(table, sweep, 0)
        changed()
        table.trials.beat(sweep.id, ME)
        changed()

    def test_curves_of_many_runs_are_drawn(self, store: Store) -> None:
        for id in ("r", "s"):
            store.runs.create(NewRun(id=id, project="p", name=id, owner=ME))
        loss = [math.sin(i / 50) for i in range(2000)]
        loss[777], loss[1234], loss[1500] = 9.0, -9.0, math.nan
        rows = [
            Row(step=i, time=5000.0 - i, values={"loss": v, **({"acc": 1} if i < 3 else {})})
            for i, v in enumerate(loss)
        ]
        store.runs.ship("r", 0, "spool", 0, 1, Batch(rows=rows[1000:]))
        store.runs.ship("r", 0, "spool", 1, 2, Batch(rows=rows[:1000]))
        drawn = store.runs.curves(["r", "s", "nobody", "r"], max_points=100)
        assert (list(drawn), list(drawn["r"]), drawn["s"]) == (["r", "s"], ["acc", "loss"], {})
        line = drawn["r"]["loss"]
        assert 50 < len(line.x) == len(line.y) <= 100
        assert line.x == sorted(line.x)
        assert (line.x[0], line.x[-1]) == (0, 1999)
        points = dict(zip(line.x, line.y, strict=True))
        assert (points[777], points[1234], math.isnan(points[1500])) == (9.0, -9.0, True)
        assert all(loss[int(x)] == y or x == 1500 for x, y in points.items())
        assert (drawn["r"]["acc"].x, drawn["r"]["acc"].y) == ([0, 1, 2], [1.0, 1.0, 1.0])
        whole = store.runs.curves(["r"], ["loss"], max_points=2000, x="time")["r"]["loss"]
        assert (len(whole.x), whole.x[0], whole.y[-1]) == (2000, 3001.0, loss[0])
        assert store.runs.curves([], ["loss"]) == {}
        for wrong in ({"max_points": 3}, {"x": "epoch"}):
            with pytest.raises(StoreError):
                store.runs.curves(["r"], **wrong)

    def test_ages_count_from_now(self, table: Store) -> None:
        time.sleep(0.01)
        assert table.runs.table(TableQuery(filter='created > "0s"')).total == 0
        assert table.runs.table(TableQuery(filter='created < "0s"')).total == 5
