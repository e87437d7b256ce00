"""The laws of runs."""

from __future__ import annotations

import math

import pytest

from whet.errors import Conflict, IllegalMove, NotFound, StoreError
from whet.store.base import Artifact, Batch, NewRun, Row, RunQuery, Store, Sweep, TableQuery
from whet.testing.store_case import ME, OTHER, StoreCase
from whet.trial import Phase

__all__ = ["RunLaws"]


class RunLaws(StoreCase):
    """What every store does alike with runs."""

    @pytest.mark.parametrize("id", ["", "..", "../up", "a/b", "a\\b", "a b", "a\0", "x" * 65])
    def test_an_id_that_could_leave_its_folder_is_refused(self, store: Store, id: str) -> None:
        with pytest.raises(StoreError, match="can't be: use up to 64 letters"):
            store.runs.create(NewRun(id=id, project="p", name="n", owner=ME))

    def test_a_run_outside_any_sweep(self, store: Store) -> None:
        new = NewRun(
            id="r1",
            project="p",
            name="first",
            owner=ME,
            config={"lr": 0.1},
            group="g",
            tags=("a", "b", "a"),
            notes="n",
            folder="/f",
        )
        run = store.runs.create(new)
        assert (run.id, run.name, run.phase, run.config, run.params) == ("r1", "first", Phase.RUNNING, {"lr": 0.1}, {})
        assert (run.sweep, run.number, run.group, run.tags, run.notes, run.folder) == (
            None,
            None,
            "g",
            ("a", "b"),
            "n",
            "/f",
        )
        again = store.runs.create(NewRun(id="r1", project="q", name="other", owner=OTHER))
        assert again == run == store.runs.get("r1")
        edited = store.runs.edit("r1", name="renamed", tags=["z"])
        assert (edited.name, edited.tags, edited.notes, edited.group) == ("renamed", ("z",), "n", "g")
        with pytest.raises(IllegalMove, match="run 'r1' can't end as paused"):
            store.runs.finish("r1", Phase.PAUSED)
        with pytest.raises(Conflict, match="run 'r1' is running and can't be deleted: end it first"):
            store.runs.delete(["r1"])
        store.runs.finish("r1", Phase.FAILED, "killed")
        store.runs.finish("r1", Phase.FAILED, "repeated")
        done = store.runs.get("r1")
        assert (done.phase, done.reason) == (Phase.FAILED, "killed")
        assert done.ended is not None
        with pytest.raises(IllegalMove, match="run 'r1' is failed and can't become finished"):
            store.runs.finish("r1", Phase.FINISHED)
        assert store.runs.delete(["r1", "r1"]) == 1
        with pytest.raises(NotFound, match="no run 'r1'"):
            store.runs.delete(["r1"])

    def test_a_run_that_another_tool_wrote_keeps_its_times(self, store: Store) -> None:
        run = store.runs.create(NewRun(id="old", project="p", name="n", owner=ME, started=1000.5))
        assert run.started == 1000.5
        assert run.created > 1e9  # that is when it came here
        store.runs.finish("old", Phase.FINISHED, ended=1060.25)
        assert store.runs.get("old").ended == 1060.25
        store.runs.finish("old", Phase.FINISHED, ended=1090.0)  # it went on
        store.runs.finish("old", Phase.FINISHED, ended=1080.0)
        store.runs.finish("old", Phase.FINISHED)
        assert store.runs.get("old").ended == 1090.0
        for wrong in (math.nan, math.inf, -1.0):
            with pytest.raises(StoreError, match=r"started=.* is no time: give seconds since the epoch"):
                store.runs.create(NewRun(id="new", project="p", name="n", owner=ME, started=wrong))
            with pytest.raises(StoreError, match=r"ended=.* is no time"):
                store.runs.finish("old", Phase.FINISHED, ended=wrong)

    def test_a_run_that_goes_on_is_reopened(self, store: Store) -> None:
        store.runs.create(NewRun(id="old", project="p", name="n", owner=ME, started=1000.5))
        begun = store.runs.get("old")
        store.runs.finish("old", Phase.FAILED, "its files are quiet", ended=1060.25)
        for _ in range(2):
            store.runs.reopen("old")
            assert store.runs.get("old") == begun
        store.runs.finish("old", Phase.FINISHED, ended=1050.0)
        done = store.runs.get("old")
        assert (done.phase, done.reason, done.ended) == (Phase.FINISHED, "", 1050.0)
        with pytest.raises(NotFound, match="no run 'nobody'"):
            store.runs.reopen("nobody")

    def test_a_trials_run_is_not_ended_or_deleted_alone(self, store: Store, sweep: Sweep) -> None:
        run = self.add(store, sweep, 0)
        store.trials.tell(sweep.id, 0, 0, phase=Phase.FAILED)
        with pytest.raises(Conflict, match="can't be deleted alone: delete the sweep instead"):
            store.runs.delete([run])
        with pytest.raises(Conflict, match="can't be ended alone: tell its trial instead"):
            store.runs.finish(run, Phase.FINISHED)
        with pytest.raises(Conflict, match="can't be reopened alone"):
            store.runs.reopen(run)

    def test_runs_are_found_and_selected(self, store: Store, sweep: Sweep) -> None:
        for i, (project, group, tags) in enumerate(
            [("p", "", ()), ("q", "g", ("x,", "y")), ("q", "g", ('"y', "Y")), ("q", "", ("x",))]
        ):
            store.runs.create(NewRun(id=f"abc{i}", project=project, name=f"n{i % 2}", owner=ME, group=group, tags=tags))
        store.runs.finish("abc1", Phase.FINISHED)
        trial = self.add(store, sweep, 0)

        def ids(query: RunQuery) -> list[str]:
            return [run.id for run in store.runs.select(query)]

        assert ids(RunQuery()) == [trial, "abc3", "abc2", "abc1", "abc0"]
        assert ids(RunQuery(project="q", newest_first=False, limit=2)) == ["abc1", "abc2"]
        assert ids(RunQuery(sweep=sweep.id)) == [trial]
        assert ids(RunQuery(phases=[Phase.FINISHED, Phase.FAILED])) == ["abc1"]
        assert ids(RunQuery(tag="y")) == ["abc1"]
        assert ids(RunQuery(tag='"y')) == ["abc2"]
        assert ids(RunQuery(tag="x")) == ["abc3"]
        assert ids(RunQuery(group="g", project="q")) == ["abc2", "abc1"]
        assert store.runs.projects() == {"p": 2, "q": 3}
        assert store.runs.find("abc2").id == "abc2"
        assert store.runs.find("n0").id == "abc2"  # the newest of that name
        assert store.runs.find("n0", project="p").id == "abc0"
        assert store.runs.find(trial[:8]).id == trial
        with pytest.raises(
            NotFound, match="'abc' could be any of 4 runs: give one of their ids: abc3, abc2, abc1, abc0"
        ):
            store.runs.find("abc")
        with pytest.raises(NotFound, match="no run 'abc9': did you mean 'abc"):
            store.runs.find("abc9")
        with pytest.raises(NotFound):
            store.runs.find("abc1", project="p")

    def test_a_story_is_shipped_once(self, store: Store) -> None:
        store.runs.create(NewRun(id="r", project="p", name="r", owner=ME))
        rows = [
            Row(step=0, time=1.0, values={"loss": 0.1, "acc": 1}),
            Row(step=1, time=2.0, values={"loss": math.nan}),
            Row(step=5, time=3.0, values={"loss": -math.inf, "lr": 1e-300}),
        ]
        first = Batch(rows=rows, config={"a": 1}, summary={"s": math.nan}, meta={"git": {"commit": "c"}})
        assert store.runs.shipped("r", 0, "spool") == 0
        assert store.runs.ship("r", 0, "spool", 0, 100, first) == 100
        assert store.runs.ship("r", 0, "spool", 0, 100, first) == 100  # a repeated one changes nothing
        assert store.runs.ship("r", 0, "spool", 150, 200, first) == 100  # nor one after a gap
        later = Batch(
            rows=[Row(step=2, time=4.0, values={"loss": 7})], config={"b": 2}, summary={"t": 1}, meta={"host": "h"}
        )
        assert store.runs.ship("r", 0, "spool", 100, 120, later) == 120
        assert store.runs.ship("r", 0, "events", 0, 5, Batch(rows=[Row(step=9, time=5.0, values={"acc": 0.5})])) == 5
        assert store.runs.shipped("r", 0, "spool") == 120
        curves = store.runs.metrics("r")
        assert list(curves) == ["acc", "loss", "lr"]
        assert (curves["loss"].steps, curves["loss"].times) == ([0, 1, 5, 2], [1.0, 2.0, 3.0, 4.0])
        assert repr(curves["loss"].values) == "[0.1, nan, -inf, 7.0]"
        assert (curves["acc"].steps, curves["acc"].values) == ([0, 9], [1.0, 0.5])
        assert curves["lr"].values == [1e-300]
        assert list(store.runs.metrics("r", ["lr", "unheard"])) == ["lr"]
        run = store.runs.get("r")
        loss = run.stats["loss"]
        assert (loss.last, loss.last_step, loss.min, loss.min_step, loss.max, loss.max_step, loss.count) == (
            *(7.0, 2, -math.inf, 5, 7.0, 2),
            4,
        )
        assert (run.config, run.meta) == ({"a": 1, "b": 2}, {"git": {"commit": "c"}, "host": "h"})
        assert repr(run.summary) == "{'s': nan, 't': 1}"
        for verb in (
            lambda: store.runs.metrics("nobody"),
            lambda: store.runs.ship("nobody", 0, "spool", 0, 1, Batch()),
            lambda: store.runs.shipped("nobody", 0, "spool"),
            lambda: store.runs.artifacts("nobody"),
            lambda: store.runs.edit("nobody", name="x"),
            lambda: store.runs.finish("nobody", Phase.FINISHED),
        ):
            with pytest.raises(NotFound, match="no run 'nobody'"):
                verb()

    def test_artifacts_of_one_name_replace_each_other(self, store: Store) -> None:
        store.runs.create(NewRun(id="r", project="p", name="r", owner=ME))
        model = Artifact(name="model", kind="model", path="/a", size=1, sha256="00")
        newer = Artifact(name="model", kind="model", path="/b", size=2**40, sha256="11")
        notes = Artifact(name="a.txt", kind="file", path="/c", size=3, sha256="22")
        store.runs.ship("r", 0, "spool", 0, 1, Batch(artifacts=[model, notes]))
        store.runs.ship("r", 0, "spool", 1, 2, Batch(artifacts=[newer]))
        assert store.runs.artifacts("r") == [notes, newer]

    def test_any_text_can_be_kept(self, store: Store, sweep: Sweep) -> None:
        odd = "nul \0, half a pair \ud800, quote ' \" % :x %(x)s \\ 😀"
        kept = "nul \ufffd, half a pair \ufffd, quote ' \" % :x %(x)s \\ 😀"
        self.add(store, sweep, 0, note=odd)
        store.trials.tell(sweep.id, 0, 0, phase=Phase.FAILED, reason=odd, attrs={odd: odd})
        (trial,) = store.trials.changes(sweep.id).trials
        assert (trial.note, trial.reason, trial.attrs) == (kept, kept, {odd: odd})

    def test_no_store_returns_less_than_nothing(self, store: Store) -> None:
        store.runs.create(NewRun(id="r", project="p", name="r", owner=ME))
        assert store.runs.select(RunQuery(limit=0)) == []
        with pytest.raises(StoreError, match="limit=-1 is no count"):
            store.runs.select(RunQuery(limit=-1))

    def test_any_text_is_looked_for_and_names_a_worker(self, store: Store, sweep: Sweep) -> None:
        """What can't be kept as it is, is found as it was kept; what there can't be, is not there."""
        odd, kept = "nul \0, half a pair \ud800", "nul \ufffd, half a pair \ufffd"
        run = store.runs.create(NewRun(id="r", project=odd, name=odd, owner=odd, parent=odd, group=odd, tags=(odd,)))
        assert (run.owner, run.parent, run.name) == (kept, kept, kept)
        assert store.runs.create(NewRun(id="r", project=odd, name=odd, owner=odd)) == run
        assert store.runs.find(odd).id == "r"
        assert store.runs.table(TableQuery(filter=f"name == {odd!r}")).total <= 1
        assert store.runs.ship("r", 0, odd, 0, 5, Batch()) == store.runs.shipped("r", 0, odd) == 5
        for text in ("\udcff", "\ud800\0"):
            with pytest.raises(NotFound):
                store.runs.find(text)
            with pytest.raises(NotFound):
                store.sweeps.find(text)
            assert store.runs.select(RunQuery(project=text)) == store.runs.select(RunQuery(tag=text)) == []
            assert store.runs.table(TableQuery(filter=f"name == {text!r}")).total == 0
        with pytest.raises(StoreError):
            store.runs.get("\udcff")
        store.trials.enqueue(sweep.id, {"x": 1})
        store.trials.claim(sweep.id, 0, owner=odd, asked=odd)
        store.trials.beat(sweep.id, odd)
        (lease,) = store.trials.leases(sweep.id)
        assert (lease.owner, lease.asked) == (kept, kept)
        store.trials.take_over(sweep.id, 0, 0, owner=ME, was=odd)
        store.sweeps.drive(sweep.id, odd, silent_s=1e9)
        store.sweeps.drive(sweep.id, odd, silent_s=1e9)
        store.sweeps.release(sweep.id, odd)
