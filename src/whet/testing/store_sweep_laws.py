"""The laws of stored searches."""

from __future__ import annotations

import math
import time

import pytest

from whet.errors import AlreadyDriven, Conflict, IllegalMove, NotFound
from whet.store import owner as owners
from whet.store.base import MOVES, Batch, Row, Store, Sweep, SweepState
from whet.testing.store_case import ME, OTHER, StoreCase
from whet.trial import Goal, Phase, Report

__all__ = ["SweepLaws"]


class SweepLaws(StoreCase):
    """What every store does alike with stored searches."""

    def test_a_sweep_comes_back_as_it_was_given(self, store: Store) -> None:
        config = {"metric": {"goal": "maximize"}, "x": [1, 2.5, None, math.inf], "ü": "\u2028"}
        before = time.time()
        made = store.sweeps.create("p", config, goals=[Goal.MAXIMIZE, Goal.MINIMIZE], name="wide", cap=7)
        assert (made.project, made.name, made.config, made.cap) == ("p", "wide", config, 7)
        assert made.goals == (Goal.MAXIMIZE, Goal.MINIMIZE)
        assert (made.state, made.next_number, made.revision, made.version) == (SweepState.RUNNING, 0, 0, 0)
        assert before <= made.created <= made.updated <= time.time()
        assert store.sweeps.get(made.id) == made
        unnamed = store.sweeps.create("q", {}, goals=[Goal.MINIMIZE])
        assert unnamed.name == unnamed.id
        assert store.sweeps.all() == [unnamed, made]
        assert store.sweeps.all("p") == [made]

    def test_a_name_is_given_once_within_a_project(self, store: Store, sweep: Sweep) -> None:
        with pytest.raises(Conflict, match="project 'p' has a sweep 's' already: load that one, or give another name"):
            store.sweeps.create("p", {}, goals=[Goal.MINIMIZE], name="s")
        assert store.sweeps.create("q", {}, goals=[Goal.MINIMIZE], name="s").name == "s"

    def test_sweeps_are_found_by_id_name_and_beginning(self, store: Store, sweep: Sweep) -> None:
        assert store.sweeps.find(sweep.id) == sweep
        assert store.sweeps.find("s") == sweep
        assert store.sweeps.find(sweep.id[:7]) == sweep
        with pytest.raises(NotFound, match="no sweep 'nobody': known: "):
            store.sweeps.find("nobody")
        with pytest.raises(NotFound, match=f"did you mean '{sweep.id}'"):
            store.sweeps.find(sweep.id + "x")
        with pytest.raises(NotFound):
            store.sweeps.find("")
        with pytest.raises(NotFound):
            store.sweeps.find("s", project="elsewhere")
        with pytest.raises(NotFound, match="no sweep 'nobody'"):
            store.sweeps.get("nobody")
        other = store.sweeps.create("q", {}, goals=[Goal.MINIMIZE], name="s")
        with pytest.raises(NotFound, match="'s' could be any of 2 sweeps") as caught:
            store.sweeps.find("s")
        assert sweep.id in str(caught.value)
        assert other.id in str(caught.value)
        assert store.sweeps.find("s", project="q") == other

    @pytest.mark.parametrize("start", list(SweepState))
    @pytest.mark.parametrize("to", list(SweepState))
    def test_a_sweep_moves_by_legal_transitions_only(
        self, store: Store, sweep: Sweep, start: SweepState, to: SweepState
    ) -> None:
        if start is SweepState.PENDING:
            return  # create makes it RUNNING, and nothing leads back
        if start is not SweepState.RUNNING:
            assert store.sweeps.move(sweep.id, start).state is start
        if to is start or to in MOVES[start]:
            assert store.sweeps.move(sweep.id, to).state is to
        else:
            with pytest.raises(IllegalMove, match=f"sweep 's' is {start.value} and can't become {to.value}"):
                store.sweeps.move(sweep.id, to)
            assert store.sweeps.get(sweep.id).state is start

    def test_a_move_may_hang_on_what_was_seen(self, store: Store, sweep: Sweep) -> None:
        move = store.sweeps.move
        self.add(store, sweep, 0)
        store.trials.tell(sweep.id, 0, 0, phase=Phase.FAILED)
        seen = store.trials.changes(sweep.id)
        store.trials.enqueue(sweep.id, {"x": 1})
        store.sweeps.edit(sweep.id, version=0, cap=5)
        now = store.trials.changes(sweep.id)
        for revision, version in ((seen.revision, None), (seen.revision, 1), (None, 0), (now.revision, 0)):
            with pytest.raises(
                Conflict, match=f"sweep 's' went on meanwhile: it is at revision {now.revision} of version 1"
            ):
                move(sweep.id, SweepState.FINISHED, revision=revision, version=version)
        assert store.sweeps.get(sweep.id).state is SweepState.RUNNING
        for _ in range(2):
            assert move(sweep.id, SweepState.FINISHED, revision=now.revision, version=1).state is SweepState.FINISHED

    def test_canceling_a_sweep_cancels_what_waits(self, store: Store, sweep: Sweep) -> None:
        t = store.trials
        t.enqueue(sweep.id, {"x": 1})
        self.add(store, sweep, 1)
        t.tell(sweep.id, 1, 0, phase=Phase.PAUSED)
        self.add(store, sweep, 2)
        self.add(store, sweep, 3)
        seen = t.changes(sweep.id).revision
        store.sweeps.move(sweep.id, SweepState.CANCELED)
        changed = t.changes(sweep.id, seen)
        assert {trial.number: trial.phase for trial in changed.trials} == {0: Phase.CANCELED, 1: Phase.CANCELED}
        assert {trial.reason for trial in changed.trials} == {"the sweep was canceled"}
        assert changed.state is SweepState.CANCELED
        t.requeue(sweep.id, 2, 0, "its worker is lost")  # nor does anything wait again
        t.tell(sweep.id, 3, 0, phase=Phase.PAUSED)
        assert {trial.phase for trial in t.changes(sweep.id).trials} == {Phase.CANCELED}

    def test_an_edit_needs_the_present_version(self, store: Store, sweep: Sweep) -> None:
        edited = store.sweeps.edit(sweep.id, version=0, cap=3)
        assert (edited.version, edited.cap, edited.config) == (1, 3, sweep.config)
        with pytest.raises(Conflict, match="sweep 's' was changed meanwhile: it is at version 1, not 0"):
            store.sweeps.edit(sweep.id, version=0, config={"late": True})
        edited = store.sweeps.edit(sweep.id, version=1, config={"new": True})
        assert (edited.version, edited.cap, edited.config) == (2, 3, {"new": True})
        assert store.trials.changes(sweep.id).version == 2
        for number in range(2):
            self.add(store, sweep, number)
        with pytest.raises(
            Conflict, match="cap=1 is below the 2 trials that sweep 's' has handed out: give at least 2"
        ):
            store.sweeps.edit(sweep.id, version=2, cap=1)
        assert store.sweeps.edit(sweep.id, version=2, cap=2).cap == 2
        assert store.trials.changes(sweep.id).cap == 2

    def test_goals_change_until_there_is_a_trial(self, store: Store, sweep: Sweep) -> None:
        both = (Goal.MAXIMIZE, Goal.MINIMIZE)
        edited = store.sweeps.edit(sweep.id, version=0, config={"new": True}, goals=both)
        assert (edited.goals, edited.config) == (both, {"new": True})
        assert store.sweeps.edit(sweep.id, version=1, cap=9).goals == both
        store.sweeps.edit(sweep.id, version=2, goals=[Goal.MAXIMIZE])
        for number, value in enumerate(
            (1.0, 3.0, 2.0)
        ):  # the best goes by what they are now, as does how many values there are
            self.add(store, sweep, number)
            store.trials.tell(sweep.id, number, 0, phase=Phase.FINISHED, values=(value,))
        assert store.sweeps.get(sweep.id).best_value == 3.0
        with pytest.raises(Conflict, match="sweep 's' has 3 trials under the goals maximize, not maximize, minimize"):
            store.sweeps.edit(sweep.id, version=3, goals=both, cap=12)
        assert store.sweeps.edit(sweep.id, version=3, goals=[Goal.MAXIMIZE]).cap == 9

    def test_one_at_the_wheel(self, store: Store, sweep: Sweep) -> None:
        here = owners.here()
        store.sweeps.drive(sweep.id, here, silent_s=60)
        store.sweeps.drive(sweep.id, here, silent_s=60)
        assert store.sweeps.get(sweep.id).driver == here
        host, pid, _ = here.split("|")
        with pytest.raises(AlreadyDriven, match=f"sweep 's' is driven by process {pid} on {host}") as caught:
            store.sweeps.drive(sweep.id, ME, silent_s=60)
        assert caught.value.facts["owner"] == here
        store.sweeps.release(sweep.id, ME)  # not his to release
        with pytest.raises(AlreadyDriven):
            store.sweeps.drive(sweep.id, ME, silent_s=60)
        store.sweeps.release(sweep.id, here)
        store.sweeps.drive(sweep.id, ME, silent_s=60)
        with pytest.raises(AlreadyDriven):  # on another machine: only silence tells
            store.sweeps.drive(sweep.id, OTHER, silent_s=60)
        store.sweeps.drive(sweep.id, OTHER, silent_s=-1)
        assert store.sweeps.get(sweep.id).driver == OTHER
        dead = f"{host}|{pid}|1.00"  # this pid, but an earlier process
        store.sweeps.drive(sweep.id, dead, silent_s=-1)
        store.sweeps.drive(sweep.id, here, silent_s=60)

    def test_a_deleted_sweep_leaves_nothing(self, store: Store, sweep: Sweep) -> None:
        run = self.add(store, sweep, 0)
        store.trials.report(sweep.id, 0, 0, [Report(step=1, values=(1.0,))])
        store.runs.ship(run, 0, "spool", 0, 9, Batch(rows=[Row(step=1, time=0.0, values={"a": 1})], meta={"git": "x"}))
        keep = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE])
        kept = self.add(store, keep, 0)
        store.sweeps.delete(sweep.id)
        for gone in (store.sweeps.get, store.sweeps.delete, store.trials.changes):
            with pytest.raises(NotFound):
                gone(sweep.id)
        with pytest.raises(NotFound):
            store.runs.metrics(run)
        assert [r.id for r in store.runs.select()] == [kept]
