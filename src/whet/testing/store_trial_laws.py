"""The laws of a sweep's trials."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

import pytest

from whet.errors import CapReached, Conflict, IllegalMove, NotFound, NumberTaken, StoreError, SweepClosed
from whet.store.base import Batch, Row, Store, Sweep, SweepState
from whet.testing.store_case import ME, OTHER, PARAMS, StoreCase
from whet.trial import Goal, Phase, Report, Suggestion, Trial

__all__ = ["TrialLaws"]


class TrialLaws(StoreCase):
    """What every store does alike with a sweep's trials."""

    def test_a_trial_from_hand_out_to_result(self, store: Store, sweep: Sweep) -> None:
        t, before = store.trials, time.time()
        run_id = self.add(store, sweep, 0, note="why not")
        (trial,) = t.changes(sweep.id).trials
        assert (trial.number, trial.params, trial.phase, trial.note) == (0, PARAMS, Phase.RUNNING, "why not")
        assert trial.started is not None
        assert before <= trial.started <= time.time()
        t.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(0.5,), reason="done", attrs={"epochs": 3})
        (trial,) = t.changes(sweep.id).trials
        assert (trial.phase, trial.values, trial.reason, trial.attrs) == (Phase.FINISHED, (0.5,), "done", {"epochs": 3})
        assert trial.ended is not None
        assert trial.ended >= trial.started  # type: ignore[operator]
        run = store.runs.get(run_id)
        assert (run.sweep, run.number, run.name, run.project) == (sweep.id, 0, "s-0", "p")
        assert (run.params, run.config, run.best, run.owner) == (PARAMS, PARAMS, True, ME)
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

    @pytest.mark.parametrize("race", ["told twice", "told and lost", "claimed twice"])
    def test_of_two_at_once_one_comes_late(self, store: Store, race: str) -> None:
        """Whoever waited for the other sees what that one did."""
        t, sweep = store.trials, store.sweeps.create("p", {}, goals=[Goal.MINIMIZE], name="s")

        def tell(number: int, value: float) -> None:
            t.tell(sweep.id, number, 0, phase=Phase.FINISHED, values=(value,))

        for number in range(8):
            if race == "claimed twice":
                t.enqueue(sweep.id, PARAMS)
            else:
                self.add(store, sweep, number)
            both: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
                "told twice": (lambda n=number: tell(n, 0.5), lambda n=number: tell(n, 0.9)),  # type: ignore[misc]
                "told and lost": (lambda n=number: tell(n, 0.5), lambda n=number: t.requeue(sweep.id, n, 0, "lost")),  # type: ignore[misc]
                "claimed twice": (
                    lambda n=number: t.claim(sweep.id, n, owner=ME),  # type: ignore[misc]
                    lambda n=number: t.claim(sweep.id, n, owner=OTHER),  # type: ignore[misc]
                ),
            }
            gate = threading.Barrier(2)
            late: list[str] = []

            def run(act: Callable[[], object], gate: threading.Barrier = gate, late: list[str] = late) -> None:
                gate.wait()
                try:
                    act()
                except Conflict as error:
                    late.append(str(error))

            threads = [threading.Thread(target=run, args=(act,)) for act in both[race]]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(late) == 1

    def test_how_a_sweep_stands(self, store: Store) -> None:
        t, sweep = store.trials, store.sweeps.create("p", {}, goals=[Goal.MINIMIZE], name="s", cap=5)

        def stands() -> tuple[bool, tuple[int, float] | None]:
            now, kept = t.glance(sweep.id), store.sweeps.get(sweep.id)
            assert (now.revision, now.version, now.state) == (kept.revision, kept.version, kept.state)
            assert (now.cap, now.next_number) == (kept.cap, kept.next_number)
            return now.is_waiting, now.best

        assert stands() == (False, None)
        self.add(store, sweep, 0)
        assert stands() == (False, None)
        t.enqueue(sweep.id, {"x": 1})
        assert stands() == (True, None)
        t.claim(sweep.id, 1, owner=ME)
        t.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(0.5,))
        assert stands() == (False, (0, 0.5))
        t.tell(sweep.id, 1, 0, phase=Phase.PAUSED)
        assert stands() == (True, (0, 0.5))
        t.claim(sweep.id, 1, owner=ME)
        assert stands() == (False, (0, 0.5))
        t.requeue(sweep.id, 1, 1, "lost")
        assert stands() == (True, (0, 0.5))
        t.claim(sweep.id, 1, owner=ME)
        t.tell(sweep.id, 1, 2, phase=Phase.FINISHED, values=(0.25,))
        assert stands() == (False, (1, 0.25))
        t.enqueue(sweep.id, {"x": 2})
        store.sweeps.edit(sweep.id, version=0, cap=7)
        assert stands() == (True, (1, 0.25))
        store.sweeps.move(sweep.id, SweepState.CANCELED)
        assert stands() == (False, (1, 0.25))
        with pytest.raises(NotFound):
            t.glance("nobody")

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
        t = store.trials
        runs: list[int] = []
        steps: list[Callable[[], object]] = [
            lambda: self.add(store, sweep, 0),
            lambda: t.enqueue(sweep.id, {"x": 1}),
            lambda: t.claim(sweep.id, 1, owner=ME),
            lambda: t.report(sweep.id, 1, 0, [Report(step=0, values=(1.0,))]),
            lambda: t.annotate(sweep.id, 1, params={"x": 2}),
            lambda: t.annotate(sweep.id, 1, attrs={"k": 1}),
            lambda: t.tell(sweep.id, 1, 0, phase=Phase.PAUSED),
            lambda: t.claim(sweep.id, 1, owner=ME),
            lambda: t.requeue(sweep.id, 1, 1, "lost"),
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
        quiet: list[Callable[[], object]] = [
            lambda: t.beat(sweep.id, ME),
            lambda: t.annotate(sweep.id, 0),
            lambda: t.extend(sweep.id, []),
        ]
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
        assert (after.stats, after.summary, after.config) == ({}, {}, {**PARAMS, "batch": 8})
        late = "attempt 0 at trial 0 is over: it was handed out again"
        verbs: list[Callable[[], object]] = [
            lambda: t.report(sweep.id, 0, 0, [Report(step=1, values=(1.0,))]),
            lambda: t.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(1.0,)),
            lambda: t.requeue(sweep.id, 0, 0, "again"),
        ]
        for verb in verbs:
            with pytest.raises(Conflict, match=late):
                verb()
        verbs = [
            lambda: store.runs.shipped(run, 0, "spool"),
            lambda: store.runs.ship(run, 0, "spool", 10, 20, Batch()),
        ]
        for verb in verbs:
            with pytest.raises(Conflict, match=r"attempt 0 at run '\w+' is over"):
                verb()
        assert store.runs.shipped(run, 1, "spool") == 0
        assert t.claim(sweep.id, 0, owner=OTHER) == (run, 1)
        with pytest.raises(Conflict, match="trial 0 is running, neither pending nor paused"):
            t.claim(sweep.id, 0, owner=ME)
        t.tell(sweep.id, 0, 1, phase=Phase.FINISHED, values=(1.0,))
        with pytest.raises(Conflict, match="trial 0 is finished, not running"):
            t.requeue(sweep.id, 0, 1, "too late")

    def test_a_paused_trial_can_be_stopped_for_good(self, store: Store, sweep: Sweep) -> None:
        t = store.trials
        self.add(store, sweep, 0)
        t.tell(sweep.id, 0, 0, phase=Phase.PAUSED, reason="rung 1")
        with pytest.raises(Conflict, match="is paused, not running"):
            t.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(1.0,))
        store.sweeps.move(sweep.id, SweepState.FINISHED)  # as nobody could resume it
        t.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(9.0,), stopped=True, reason="it never went on")
        (trial,) = t.changes(sweep.id).trials
        assert (trial.phase, trial.stopped, trial.values) == (Phase.FINISHED, True, (9.0,))
        assert trial.ended is not None

    def test_a_paused_trial_goes_on_with_its_reports(self, store: Store, sweep: Sweep) -> None:
        t = store.trials
        run = self.add(store, sweep, 0)
        t.report(sweep.id, 0, 0, [Report(step=1, values=(9.0,))])
        t.report(sweep.id, 0, 0, [Report(step=0, values=(8.0,))])
        store.runs.ship(run, 0, "spool", 0, 10, Batch(rows=[Row(step=0, time=1.0, values={"loss": 8.0})]))
        t.tell(sweep.id, 0, 0, phase=Phase.PAUSED, values=(9.0,), reason="rung 1")
        (paused,) = t.changes(sweep.id).trials
        assert (paused.phase, paused.values, paused.ended) == (Phase.PAUSED, (9.0,), None)
        seen = t.changes(sweep.id).revision
        assert t.claim(sweep.id, 0, owner=OTHER) == (
            run,
            1,
        )  # a new job may have its name, and the old one is not heard
        changes = t.changes(sweep.id, seen)
        (trial,) = changes.trials
        assert (trial.phase, trial.values, trial.reason, trial.started) == (Phase.RUNNING, None, "", paused.started)
        assert [(n, attempt, r.step) for n, attempt, r in changes.reports] == [(0, 1, 0), (0, 1, 1)]
        assert changes.reports == t.changes(sweep.id).reports
        with pytest.raises(Conflict, match="attempt 0 at trial 0 is over"):
            t.report(sweep.id, 0, 0, [])
        assert store.runs.metrics(run)["loss"].values == [8.0]
        assert store.runs.shipped(run, 1, "spool") == 0  # of a spool of its own
        assert store.runs.ship(run, 1, "spool", 0, 5, Batch(rows=[Row(step=2, time=2.0, values={"loss": 7.0})])) == 5
        assert store.runs.metrics(run)["loss"].values == [8.0, 7.0]

    def test_an_extra_trial_comes_on_top(self, store: Store) -> None:
        """A cap grows with it, and a finished sweep is reopened, in the one transaction that queues it."""
        t, s = store.trials, store.sweeps
        id = s.create("p", {}, goals=[Goal.MINIMIZE], cap=1).id
        assert t.enqueue(id, {"x": 0}) == 0
        with pytest.raises(CapReached):
            t.enqueue(id, {"x": 1})
        assert t.enqueue(id, {"x": 1}, extra=True) == 1
        s.move(id, SweepState.FINISHED)
        assert [t.enqueue(id, {"x": 2}, extra=True, once="k") for _ in range(2)] == [2, 2]
        found = s.get(id)
        assert (found.state, found.cap, found.version, found.next_number) == (SweepState.RUNNING, 3, 2, 3)
        assert t.changes(id).cap == 3
        t.extend(id, [Trial(number=i, params={}, phase=Phase.FAILED) for i in range(2)])  # under no cap
        assert (t.enqueue(id, {"x": 5}, extra=True), s.get(id).cap) == (5, 6)
        for state in (SweepState.PAUSED, SweepState.CANCELED):
            s.move(id, state)
            with pytest.raises(SweepClosed):
                t.enqueue(id, {"x": 6}, extra=True)
        endless = s.create("p", {}, goals=[Goal.MINIMIZE]).id
        t.enqueue(endless, {"x": 0}, extra=True)
        assert (s.get(endless).cap, s.get(endless).version) == (None, 0)

    def test_losses_are_counted_and_interrupts_are_not(self, store: Store, sweep: Sweep) -> None:
        t = store.trials
        self.add(store, sweep, 0)
        for attempt, (lost, num_lost) in enumerate([(False, 0), (True, 1), (False, 1), (True, 2)]):
            t.requeue(sweep.id, 0, attempt, "gone", lost=lost)
            t.claim(sweep.id, 0, owner=ME)
            assert [(lease.attempt, lease.num_lost) for lease in t.leases(sweep.id)] == [(attempt + 1, num_lost)]

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

        def tell(value: float, stopped: bool = False) -> str | None:
            runs.append(self.add(store, sweep, len(runs)))
            store.trials.tell(sweep.id, len(runs) - 1, 0, phase=Phase.FINISHED, values=(sign * value,), stopped=stopped)
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

    def test_what_does_not_keep_the_limits_is_never_the_best(self, store: Store, sweep: Sweep) -> None:
        runs = [self.add(store, sweep, number) for number in range(2)]
        store.trials.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(1.0,), may_be_best=False)
        assert store.sweeps.get(sweep.id).best_run is None
        store.trials.tell(sweep.id, 1, 0, phase=Phase.FINISHED, values=(5.0,))
        more = [Trial(number=i, params={}, phase=Phase.FINISHED, values=(v,)) for i, v in enumerate([0.0, 4.0])]
        assert store.sweeps.get(sweep.id).best_run == runs[1]
        numbers = store.trials.extend(sweep.id, more, barred=[0])
        assert store.runs.get(store.sweeps.get(sweep.id).best_run or "").number == numbers[1]
        assert [run.number for run in store.runs.select() if run.best] == [numbers[1]]

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

    def test_a_lease_tells_the_question_it_answers(self, store: Store, sweep: Sweep) -> None:
        t = store.trials
        t.add(sweep.id, 0, Suggestion(params=PARAMS), owner=ME, seen=0, asked="first")
        assert [lease.asked for lease in t.leases(sweep.id)] == ["first"]
        t.requeue(sweep.id, 0, 0, "lost")
        t.claim(sweep.id, 0, owner=OTHER, asked="second")
        self.add(store, sweep, 1)
        assert [lease.asked for lease in t.leases(sweep.id)] == ["second", None]

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
