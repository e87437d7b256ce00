"""The laws of a store, as tests to inherit.

Example:
    >>> class TestMine(StoreLaws):
    ...     def make(self) -> Store:
    ...         return MyStore(...)
"""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator

import pytest

from whet.errors import (
    AlreadyDriven,
    CapReached,
    Conflict,
    IllegalMove,
    NotFound,
    NumberTaken,
    StoreError,
    SweepClosed,
)
from whet.store import owner as owners
from whet.store.base import MOVES, Artifact, Batch, NewRun, Row, RunQuery, Store, Sweep, SweepState
from whet.trial import Goal, Phase, Report, Suggestion, Trial

__all__ = ["StoreLaws"]

ME, OTHER = "a machine|1|0.00", "a machine|2|0.00"
_PARAMS = {"lr": 0.1, "layers": 3, "opt": "adam", "bias": True, "sizes": [1, 2], "none": None}


class StoreLaws(ABC):
    """What every store does alike. Inherit, and say how to make an empty one."""

    @abstractmethod
    def make(self) -> Store:
        """Return a new, empty store."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = self.make()
        yield store
        store.close()
        store.close()  # harmless twice

    @pytest.fixture
    def sweep(self, store: Store) -> Sweep:
        return store.sweeps.create("p", {"method": "random"}, goals=[Goal.MINIMIZE], name="s")

    # -- sweeps -------------------------------------------------------------------------------------------------------

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

    # -- trials -------------------------------------------------------------------------------------------------------

    def add(self, store: Store, sweep: Sweep, number: int, owner: str = ME, **more: object) -> str:
        suggestion = Suggestion(params=_PARAMS, **more)  # type: ignore[arg-type]
        return store.trials.add(sweep.id, number, suggestion, owner=owner, seen=0)

    def test_a_trial_from_hand_out_to_result(self, store: Store, sweep: Sweep) -> None:
        t, before = store.trials, time.time()
        run_id = self.add(store, sweep, 0, note="why not")
        (trial,) = t.changes(sweep.id).trials
        assert (trial.number, trial.params, trial.phase, trial.note) == (0, _PARAMS, Phase.RUNNING, "why not")
        assert trial.started is not None
        assert before <= trial.started <= time.time()
        t.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(0.5,), reason="done", attrs={"epochs": 3})
        (trial,) = t.changes(sweep.id).trials
        assert (trial.phase, trial.values, trial.reason, trial.attrs) == (Phase.FINISHED, (0.5,), "done", {"epochs": 3})
        assert trial.ended is not None
        assert trial.ended >= trial.started  # type: ignore[operator]
        run = store.runs.get(run_id)
        assert (run.sweep, run.number, run.name, run.project) == (sweep.id, 0, "s-0", "p")
        assert (run.params, run.config, run.best, run.owner) == (_PARAMS, _PARAMS, True, ME)
        with pytest.raises(NotFound, match="sweep 's' has no trial 1: it has 1, counted from 0"):
            t.report(sweep.id, 1, 0, [])

    def test_numbers_are_given_once_and_the_cap_binds(self, store: Store) -> None:
        sweep = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE], name="s", cap=3)
        self.add(store, sweep, 0)
        for wrong in (0, 2):
            with pytest.raises(NumberTaken, match=f"trial {wrong} of sweep 's' is not the next one, 1 is"):
                self.add(store, sweep, wrong)
        assert store.trials.enqueue(sweep.id, {"x": 1}, attrs={"by": "hand"}) == 1
        self.add(store, sweep, 2)
        full = "sweep 's' has handed out all 3 trials of its run cap: raise the cap for more"
        with pytest.raises(CapReached, match=full):
            self.add(store, sweep, 3)
        with pytest.raises(CapReached, match=full):
            store.trials.enqueue(sweep.id, {})
        done = Trial(number=9, params={}, phase=Phase.FINISHED, values=(1.0,))
        assert store.trials.extend(sweep.id, [done]) == [3]  # no cap applies
        assert store.sweeps.get(sweep.id).next_number == 4

    @pytest.mark.parametrize("state", [SweepState.PAUSED, SweepState.FINISHED, SweepState.CANCELED])
    def test_a_closed_sweep_hands_out_nothing(self, store: Store, sweep: Sweep, state: SweepState) -> None:
        self.add(store, sweep, 0)
        self.add(store, sweep, 1)
        store.trials.tell(sweep.id, 1, 0, phase=Phase.PAUSED)
        store.sweeps.move(sweep.id, state)
        for verb in (
            lambda: self.add(store, sweep, 2),
            lambda: store.trials.enqueue(sweep.id, {}),
            lambda: store.trials.claim(sweep.id, 1, owner=ME),
        ):
            with pytest.raises(SweepClosed, match=f"sweep 's' is {state.value} and hands out no trial"):
                verb()
        store.trials.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(1.0,))  # but what runs may end

    def test_changes_are_exactly_what_changed(self, store: Store, sweep: Sweep) -> None:
        t = store.trials
        for number in range(3):
            self.add(store, sweep, number)
        first = t.changes(sweep.id)
        assert [trial.number for trial in first.trials] == [0, 1, 2]
        nothing = t.changes(sweep.id, first.revision)
        assert (nothing.revision, nothing.trials, nothing.reports) == (first.revision, (), ())
        t.report(sweep.id, 2, 0, [Report(step=2, values=(math.nan,)), Report(step=1, values=(math.inf,))])
        t.report(sweep.id, 0, 0, [Report(step=1, values=(0.25,))])
        t.tell(sweep.id, 1, 0, phase=Phase.FAILED, reason="out of memory")
        second = t.changes(sweep.id, first.revision)
        assert second.revision > first.revision
        assert [(trial.number, trial.phase) for trial in second.trials] == [(1, Phase.FAILED)]
        assert [(n, a, r.step) for n, a, r in second.reports] == [(2, 0, 1), (2, 0, 2), (0, 0, 1)]
        assert second.reports[0][2].values == (math.inf,)
        assert math.isnan(second.reports[1][2].values[0])
        t.report(sweep.id, 2, 0, [Report(step=2, values=(7.0,))])  # overwrites
        assert t.changes(sweep.id, second.revision).reports == ((2, 0, Report(step=2, values=(7.0,))),)
        everything = t.changes(sweep.id)
        assert len(everything.trials) == 3
        assert [(n, r.step, r.values) for n, _, r in everything.reports] == [
            (2, 1, (math.inf,)),
            (0, 1, (0.25,)),
            (2, 2, (7.0,)),
        ]

    def test_every_change_moves_the_revision(self, store: Store, sweep: Sweep) -> None:
        t, runs = store.trials, []
        steps = [
            lambda: self.add(store, sweep, 0),
            lambda: t.enqueue(sweep.id, {"x": 1}),
            lambda: t.claim(sweep.id, 1, owner=ME),
            lambda: t.report(sweep.id, 1, 0, [Report(step=0, values=(1.0,))]),
            lambda: t.annotate(sweep.id, 1, params={"x": 2}),
            lambda: t.annotate(sweep.id, 1, attrs={"k": 1}),
            lambda: t.tell(sweep.id, 1, 0, phase=Phase.PAUSED),
            lambda: t.claim(sweep.id, 1, owner=ME),
            lambda: t.requeue(sweep.id, 1, 0, "lost"),
            lambda: t.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(1.0,)),
            lambda: t.extend(sweep.id, [Trial(number=0, params={}, phase=Phase.FAILED)]),
        ]
        for step in steps:
            seen = t.changes(sweep.id).revision
            step()
            after = t.changes(sweep.id, seen)
            assert after.revision > seen
            assert after.trials or after.reports
            runs.append(after.revision)
        quiet = [lambda: t.beat(sweep.id, ME), lambda: t.annotate(sweep.id, 0), lambda: t.extend(sweep.id, [])]
        for step in quiet:
            step()
            assert t.changes(sweep.id).revision == runs[-1]

    def test_a_lost_trial_is_handed_out_again(self, store: Store, sweep: Sweep) -> None:
        t = store.trials
        run = self.add(store, sweep, 0)
        t.report(sweep.id, 0, 0, [Report(step=0, values=(9.0,))])
        rows = [Row(step=0, time=1.0, values={"loss": 9.0})]
        store.runs.ship(run, 0, "spool", 0, 10, Batch(rows=rows, config={"batch": 8}, summary={"note": "old"}))
        t.requeue(sweep.id, 0, 0, "its worker is lost")
        seen = t.changes(sweep.id)
        assert [(x.phase, x.attempt, x.reason, x.started) for x in seen.trials] == [
            (Phase.PENDING, 1, "its worker is lost", None)
        ]
        assert seen.reports == ()
        assert store.runs.metrics(run) == {}
        after = store.runs.get(run)
        assert (after.stats, after.summary, after.config) == ({}, {}, {**_PARAMS, "batch": 8})
        late = "attempt 0 at trial 0 is over: it was handed out again"
        for verb in (
            lambda: t.report(sweep.id, 0, 0, [Report(step=1, values=(1.0,))]),
            lambda: t.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(1.0,)),
            lambda: t.requeue(sweep.id, 0, 0, "again"),
        ):
            with pytest.raises(Conflict, match=late):
                verb()
        for verb in (
            lambda: store.runs.shipped(run, 0, "spool"),
            lambda: store.runs.ship(run, 0, "spool", 10, 20, Batch()),
        ):
            with pytest.raises(Conflict, match=r"attempt 0 at run '\w+' is over"):
                verb()
        assert store.runs.shipped(run, 1, "spool") == 0
        assert t.claim(sweep.id, 0, owner=OTHER) == (run, 1)
        with pytest.raises(Conflict, match="trial 0 is running, neither pending nor paused"):
            t.claim(sweep.id, 0, owner=ME)
        t.tell(sweep.id, 0, 1, phase=Phase.FINISHED, values=(1.0,))
        with pytest.raises(Conflict, match="trial 0 is finished, not running"):
            t.requeue(sweep.id, 0, 1, "too late")

    def test_a_paused_trial_goes_on_with_its_reports(self, store: Store, sweep: Sweep) -> None:
        t = store.trials
        run = self.add(store, sweep, 0)
        t.report(sweep.id, 0, 0, [Report(step=0, values=(9.0,))])
        t.tell(sweep.id, 0, 0, phase=Phase.PAUSED, values=(9.0,), reason="rung 1")
        (paused,) = t.changes(sweep.id).trials
        assert (paused.phase, paused.values, paused.ended) == (Phase.PAUSED, (9.0,), None)
        assert t.claim(sweep.id, 0, owner=OTHER) == (run, 0)
        (trial,) = t.changes(sweep.id).trials
        assert (trial.phase, trial.values, trial.reason, trial.started) == (Phase.RUNNING, None, "", paused.started)
        assert len(t.changes(sweep.id).reports) == 1

    def test_leases_and_signs_of_life(self, store: Store, sweep: Sweep) -> None:
        t = store.trials
        runs = [self.add(store, sweep, number, owner) for number, owner in enumerate([ME, OTHER, ME])]
        t.enqueue(sweep.id, {})
        before = t.leases(sweep.id)
        assert [(x.run_id, x.number, x.attempt, x.owner) for x in before] == [
            (runs[0], 0, 0, ME),
            (runs[1], 1, 0, OTHER),
            (runs[2], 2, 0, ME),
        ]
        time.sleep(0.002)
        t.beat(sweep.id, ME)
        after = t.leases(sweep.id)
        assert [b.beat < a.beat for b, a in zip(before, after, strict=True)] == [True, False, True]
        time.sleep(0.002)
        t.report(sweep.id, 1, 0, [])
        assert t.leases(sweep.id)[1].beat > after[1].beat
        assert t.take_over(sweep.id, 0, 0, owner=OTHER, was=ME) == runs[0]
        with pytest.raises(Conflict, match=r"trial 0 is in the hands of 'a machine\|2\|0.00'"):
            t.take_over(sweep.id, 0, 0, owner=ME, was=ME)
        t.tell(sweep.id, 0, 0, phase=Phase.FAILED)
        assert [lease.number for lease in t.leases(sweep.id)] == [1, 2]
        with pytest.raises(Conflict):
            t.take_over(sweep.id, 0, 0, owner=ME, was=OTHER)

    def test_telling_twice_is_harmless_and_otherwise_a_conflict(self, store: Store, sweep: Sweep) -> None:
        t = store.trials
        self.add(store, sweep, 0)
        t.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(math.nan,), stopped=True, params={"x": 1})
        revision = t.changes(sweep.id).revision
        t.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(math.nan,), stopped=True)
        assert t.changes(sweep.id).revision == revision
        assert t.changes(sweep.id).trials[0].params == {"x": 1}
        for phase, values in ((Phase.FINISHED, (1.0,)), (Phase.FAILED, None)):
            with pytest.raises(Conflict, match="trial 0 is finished, not running: ask for another one"):
                t.tell(sweep.id, 0, 0, phase=phase, values=values)
        with pytest.raises(Conflict):
            t.annotate(sweep.id, 0, params={})
        t.annotate(sweep.id, 0, attrs={"seen": True})
        assert t.changes(sweep.id).trials[0].attrs == {"seen": True}

    def test_results_are_numbers(self, store: Store, sweep: Sweep) -> None:
        self.add(store, sweep, 0)
        for values in (None, (), (1.0, 2.0), (math.nan,)):
            with pytest.raises(StoreError, match="wanted 1 number, none of them NaN"):
                store.trials.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=values)
        for phase in (Phase.PENDING, Phase.RUNNING):
            with pytest.raises(IllegalMove, match=f"trial 0 can't be told as {phase.value}"):
                store.trials.tell(sweep.id, 0, 0, phase=phase)
        store.trials.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(-math.inf,))
        assert store.sweeps.get(sweep.id).best_value == -math.inf

    @pytest.mark.parametrize("goal", list(Goal))
    def test_the_best_is_kept_up_to_date(self, store: Store, goal: Goal) -> None:
        sweep = store.sweeps.create("p", {}, goals=[goal])
        sign = 1.0 if goal is Goal.MINIMIZE else -1.0
        runs: list[str] = []

        def tell(value: float, **more: bool) -> str | None:
            runs.append(self.add(store, sweep, len(runs)))
            store.trials.tell(sweep.id, len(runs) - 1, 0, phase=Phase.FINISHED, values=(sign * value,), **more)
            now = store.sweeps.get(sweep.id)
            flagged = [run.id for run in store.runs.select() if run.best]
            assert flagged == ([] if now.best_run is None else [now.best_run])
            return now.best_run

        assert tell(-9.0, stopped=True) is None
        assert tell(3.0) == runs[1]
        assert tell(4.0) == runs[1]
        assert tell(2.0) == runs[3]
        assert tell(2.0) == runs[3]
        numbers = store.trials.extend(
            sweep.id,
            [
                Trial(number=0, params={}, phase=Phase.FINISHED, values=(sign * 1.0,)),
                Trial(number=1, params={}, phase=Phase.FINISHED, values=(sign * 1.0,)),
                Trial(number=2, params={}, phase=Phase.FINISHED, values=(-sign,), stopped=True),
            ],
        )
        best = store.runs.get(store.sweeps.get(sweep.id).best_run or "")
        assert (best.number, best.best) == (numbers[0], True)
        assert sum(run.best for run in store.runs.select()) == 1

    def test_among_equals_the_smaller_number_is_best(self, store: Store, sweep: Sweep) -> None:
        runs = [self.add(store, sweep, number) for number in range(3)]
        for number in (2, 1, 0):
            store.trials.tell(sweep.id, number, 0, phase=Phase.FINISHED, values=(1.0,))
            assert store.sweeps.get(sweep.id).best_run == runs[number]
        several = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE, Goal.MAXIMIZE])
        self.add(store, several, 0)
        store.trials.tell(several.id, 0, 0, phase=Phase.FINISHED, values=(1.0, 2.0))
        assert store.sweeps.get(several.id).best_run is None

    def test_trials_from_elsewhere_keep_their_story(self, store: Store, sweep: Sweep) -> None:
        self.add(store, sweep, 0)
        reports = (Report(step=0, values=(3.0,)), Report(step=1, values=(2.0,)))
        first = Trial(
            number=4,
            params={"x": 1},
            phase=Phase.FINISHED,
            values=(2.0,),
            reports=reports,
            reason="r",
            note="n",
            attrs={"a": [1]},
            started=1.0,
            ended=2.0,
        )
        second = Trial(number=6, params={"x": 2}, phase=Phase.FAILED, parent=4)
        orphan = Trial(number=7, params={}, phase=Phase.CANCELED, parent=5)
        assert store.trials.extend(sweep.id, [first, second, orphan]) == [1, 2, 3]
        changes = store.trials.changes(sweep.id)
        got = changes.trials[1]
        assert (got.params, got.values, got.reason, got.note, got.attrs) == ({"x": 1}, (2.0,), "r", "n", {"a": [1]})
        assert (got.started, got.ended, got.parent) == (1.0, 2.0, None)
        assert [(n, r) for n, _, r in changes.reports] == [(1, report) for report in reports]
        assert [trial.parent for trial in changes.trials[2:]] == [1, None]
        with pytest.raises(IllegalMove, match="a running trial can't be added from elsewhere"):
            store.trials.extend(sweep.id, [Trial(number=0, params={})])
        assert store.sweeps.get(sweep.id).next_number == 4

    def test_parents_are_trials_of_the_sweep(self, store: Store, sweep: Sweep) -> None:
        first = self.add(store, sweep, 0)
        second = self.add(store, sweep, 1, parent=0)
        assert store.trials.changes(sweep.id).trials[1].parent == 0
        assert store.runs.get(second).parent == first
        with pytest.raises(NotFound, match="sweep 's' has no trial 7"):
            self.add(store, sweep, 2, parent=7)
        assert store.sweeps.get(sweep.id).next_number == 2

    def test_one_turn_at_a_time(self, store: Store, sweep: Sweep) -> None:
        inside: list[int] = []
        most: list[int] = []

        def suggest(number: int) -> None:
            for _ in range(5):
                with store.trials.turn(sweep.id):
                    inside.append(number)
                    most.append(len(inside))
                    time.sleep(0.001)
                    inside.remove(number)

        threads = [threading.Thread(target=suggest, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == [1] * 20

    def test_threads_share_a_cap(self, store: Store) -> None:
        sweep = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE], cap=24)
        mine: list[int] = []

        def work() -> None:
            while True:
                number = store.sweeps.get(sweep.id).next_number
                try:
                    self.add(store, sweep, number)
                except NumberTaken:
                    continue
                except CapReached:
                    return
                mine.append(number)
                store.trials.tell(sweep.id, number, 0, phase=Phase.FINISHED, values=(float(number),))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(mine) == list(range(24))
        assert store.sweeps.get(sweep.id).best_value == 0.0

    # -- runs ---------------------------------------------------------------------------------------------------------

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

    def test_a_trials_run_is_not_ended_or_deleted_alone(self, store: Store, sweep: Sweep) -> None:
        run = self.add(store, sweep, 0)
        store.trials.tell(sweep.id, 0, 0, phase=Phase.FAILED)
        with pytest.raises(Conflict, match="can't be deleted alone: delete the sweep instead"):
            store.runs.delete([run])
        with pytest.raises(Conflict, match="can't be ended alone: tell its trial instead"):
            store.runs.finish(run, Phase.FINISHED)

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
