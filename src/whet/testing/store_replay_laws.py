"""The laws of what a store keeps for replays."""

from __future__ import annotations

import pytest

from whet.errors import NotFound
from whet.store.base import Store, Sweep, SweepState
from whet.testing.store_case import ME, StoreCase
from whet.trial import Phase, Report, Suggestion, Trial

__all__ = ["ReplayLaws"]


class ReplayLaws(StoreCase):
    """What every store keeps alike, so that a searcher can be told again what it knew at each suggestion."""

    def test_where_trials_came_from(self, store: Store, sweep: Sweep) -> None:
        t = store.trials
        t.add(sweep.id, 0, Suggestion(params={"x": 1}), owner=ME, seen=0, version=0)
        t.enqueue(sweep.id, {"x": 2})
        seen = t.changes(sweep.id).revision
        t.add(sweep.id, 2, Suggestion(params={"x": 3}), owner=ME, seen=seen, version=4)
        t.extend(sweep.id, [Trial(number=0, params={"x": 4}, phase=Phase.FINISHED, values=(1.0,))])
        found = t.origins(sweep.id)
        assert [(o.number, o.seen, o.version) for o in found] == [
            *((0, 0, 0), (1, None, None)),
            *((2, seen, 4), (3, None, None)),
        ]
        assert [o.over for o in found] == [None, None, None, t.changes(sweep.id).revision]
        with pytest.raises(NotFound):
            t.origins("nothere")

    def test_the_end_of_a_trial_stays_where_it_was(self, store: Store, sweep: Sweep) -> None:
        t = store.trials
        for number in range(2):
            t.add(sweep.id, number, Suggestion(params={"x": number}), owner=ME, seen=number)
        t.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(1.0,))
        over = t.changes(sweep.id).revision
        t.tell(sweep.id, 1, 0, phase=Phase.FAILED)
        t.annotate(sweep.id, 0, attrs={"kept": True})
        t.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(1.0,))  # again: harmless
        assert [o.over for o in t.origins(sweep.id)] == [over, over + 1]

    def test_what_is_put_back_or_paused_is_not_over(self, store: Store, sweep: Sweep) -> None:
        t = store.trials
        for number in range(3):
            t.add(sweep.id, number, Suggestion(params={"x": number}), owner=ME, seen=number)
        t.requeue(sweep.id, 0, 0, "its worker was lost", lost=True)
        t.tell(sweep.id, 1, 0, phase=Phase.PAUSED)
        assert [o.over for o in t.origins(sweep.id)] == [None, None, None]
        store.sweeps.move(sweep.id, SweepState.CANCELED)
        at = t.changes(sweep.id).revision
        assert [o.over for o in t.origins(sweep.id)] == [at, at, None]
        t.requeue(sweep.id, 2, 0, "interrupted")  # lands among the canceled
        assert t.origins(sweep.id)[2].over == at + 1

    def test_what_was_suggested_stays_known_when_params_are_replaced(self, store: Store, sweep: Sweep) -> None:
        t = store.trials
        t.add(sweep.id, 0, Suggestion(params={"x": 1}), owner=ME, seen=0)
        t.add(sweep.id, 1, Suggestion(params={"x": 5}), owner=ME, seen=1)
        t.annotate(sweep.id, 0, params={"x": 1, "y": 2})
        settled = t.changes(sweep.id).revision
        t.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(1.0,), params={"x": 1, "y": 2, "z": 3})
        first, second = t.origins(sweep.id)
        assert (first.suggested, first.settled, first.over) == ({"x": 1}, settled, settled + 1)
        assert (second.suggested, second.settled) == (None, None)

    def test_reports_have_the_revision_they_came_with(self, store: Store, sweep: Sweep) -> None:
        t = store.trials
        t.add(sweep.id, 0, Suggestion(params={}), owner=ME, seen=0)
        t.report(sweep.id, 0, 0, [Report(step=0, values=(1.0,))])
        first = t.changes(sweep.id).revision
        t.report(sweep.id, 0, 0, [Report(step=1, values=(0.5,))])
        assert t.origins(sweep.id)[0].reported == ((0, first), (1, first + 1))

    def test_former_configurations_are_kept(self, store: Store, sweep: Sweep) -> None:
        was = sweep.config
        assert store.sweeps.former(sweep.id) == {}
        store.sweeps.edit(sweep.id, version=0, cap=50)
        store.sweeps.edit(sweep.id, version=1, config={**was, "attrs": {"who": "me"}})
        store.sweeps.edit(sweep.id, version=2, config={**was, "seed": 2, "attrs": {"who": "me"}})
        store.sweeps.edit(sweep.id, version=3, config={**was, "seed": 3})
        assert store.sweeps.former(sweep.id) == {
            2: {**was, "attrs": {"who": "me"}},
            3: {**was, "seed": 2, "attrs": {"who": "me"}},
        }
        store.sweeps.delete(sweep.id)
        with pytest.raises(NotFound):
            store.sweeps.former(sweep.id)
