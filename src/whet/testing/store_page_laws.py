"""The laws of what is asked for piece by piece, or twice: pages of changes, and keys with which a thing is done once."""

from __future__ import annotations

import threading

import pytest

from whet.errors import NotFound, StoreError
from whet.store.base import Changes, Store, Sweep
from whet.testing.store_case import ME, PARAMS, StoreCase
from whet.trial import Goal, Phase, Report, Suggestion, Trial

__all__ = ["PageLaws"]


class PageLaws(StoreCase):
    """What every store does alike with pages and keys."""

    def pages(self, store: Store, sweep: Sweep, since: int, limit: int) -> list[Changes]:
        """Return all pages of what changed after a revision."""
        found = [store.trials.changes(sweep.id, since, limit=limit)]
        while (after := found[-1].after) is not None:
            found.append(store.trials.changes(sweep.id, since, limit=limit, after=after))
        return found

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
    def test_pages_are_the_whole_cut_by_number(self, store: Store, sweep: Sweep, limit: int) -> None:
        reports = tuple(Report(step=s, values=(float(s),)) for s in range(3))
        old = [Trial(number=i, params={"x": i}, phase=Phase.FINISHED, values=(1.0,), reports=reports) for i in range(5)]
        store.trials.extend(sweep.id, old)  # one revision for them all
        for number in (5, 6, 7):
            self.add(store, sweep, number)
        store.trials.report(sweep.id, 6, 0, [Report(step=s, values=(0.5,)) for s in range(9)])
        store.trials.report(sweep.id, 5, 0, [Report(step=1, values=(0.5,))])
        seen = store.sweeps.get(sweep.id).revision
        store.trials.tell(sweep.id, 6, 0, phase=Phase.FINISHED, values=(2.0,))
        store.trials.report(sweep.id, 7, 0, [Report(step=1, values=(0.5,))])
        for since in (-1, 0, 1, seen):
            whole = store.trials.changes(sweep.id, since)
            pages = self.pages(store, sweep, since, limit)
            assert {page.revision for page in pages} == {whole.revision}
            assert tuple(t for page in pages for t in page.trials) == whole.trials
            got = [report for page in pages for report in page.reports]
            assert sorted(got, key=repr) == sorted(whole.reports, key=repr)
            assert len({repr(report) for report in got}) == len(got)
            for page in pages:
                numbers = {t.number for t in page.trials} | {number for number, _, _ in page.reports}
                assert len(page.trials) <= limit
                assert len(page.reports) <= limit or len(numbers) == 1
                assert numbers or len(pages) == 1
            cuts = [page.after for page in pages]
            assert cuts == [*sorted(cuts[:-1]), None]  # type: ignore[type-var]
        nothing = store.trials.changes(sweep.id, whole.revision, limit=limit)
        assert (nothing.trials, nothing.reports, nothing.after) == ((), (), None)
        with pytest.raises(StoreError, match="limit=0: give 1 to 1000000"):
            store.trials.changes(sweep.id, limit=0)

    def test_what_changes_between_two_pages_is_in_one_of_them_or_comes_later(self, store: Store, sweep: Sweep) -> None:
        for number in range(6):
            self.add(store, sweep, number)
        first = store.trials.changes(sweep.id, limit=2)
        assert (first.after, [t.number for t in first.trials]) == (1, [0, 1])
        store.trials.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(1.0,))  # of a page that is read
        store.trials.tell(sweep.id, 5, 0, phase=Phase.FINISHED, values=(2.0,))  # of one that is not
        rest = [store.trials.changes(sweep.id, limit=2, after=after) for after in (1, 3)]
        assert [[(t.number, t.phase) for t in page.trials] for page in rest] == [
            [(2, Phase.RUNNING), (3, Phase.RUNNING)],
            [(4, Phase.RUNNING), (5, Phase.FINISHED)],
        ]
        later = store.trials.changes(sweep.id, first.revision, limit=2)
        assert {t.number: t.phase for t in later.trials} == {0: Phase.FINISHED, 5: Phase.FINISHED}

    def test_with_a_key_a_thing_is_done_once(self, store: Store, sweep: Sweep) -> None:
        made = store.sweeps.create("p", {"method": "random"}, goals=[Goal.MINIMIZE], once="k1")
        again = store.sweeps.create("p", {"method": "grid"}, goals=[Goal.MINIMIZE], once="k1")
        assert again == made
        assert store.sweeps.create("p", {}, goals=[Goal.MINIMIZE], once="k2").id != made.id
        named = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE], name="n", once="k3")
        assert store.sweeps.create("p", {}, goals=[Goal.MINIMIZE], name="n", once="k3") == named
        t = store.trials
        numbers = [t.enqueue(sweep.id, PARAMS, once=key) for key in ("k4", "k4", "k5", "k4")]
        assert numbers == [0, 0, 1, 0]
        done = [Trial(number=i, params={}, phase=Phase.FAILED) for i in range(3)]
        assert [t.extend(sweep.id, done, once="k6"), t.extend(sweep.id, done, once="k6")] == [[2, 3, 4]] * 2
        assert [t.extend(sweep.id, [], once="k7"), t.extend(sweep.id, [], once="k7")] == [[], []]
        assert t.claim(sweep.id, 0, owner=ME)[1] == 0
        assert t.enqueue(sweep.id, PARAMS, once="k4") == 0  # whatever became of it
        assert store.sweeps.get(sweep.id).next_number == 5

    def test_what_was_refused_may_be_asked_for_again_with_its_key(self, store: Store) -> None:
        sweep = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE], name="s", cap=1)
        store.trials.add(sweep.id, 0, Suggestion(params=PARAMS), owner=ME, seen=0)
        for _ in range(2):
            with pytest.raises(StoreError, match="run cap"):
                store.trials.enqueue(sweep.id, PARAMS, once="k")
        store.sweeps.edit(sweep.id, version=0, cap=2)
        assert [store.trials.enqueue(sweep.id, PARAMS, once="k") for _ in range(2)] == [1, 1]
        store.sweeps.delete(store.sweeps.create("p", {}, goals=[Goal.MINIMIZE], once="gone").id)
        with pytest.raises(NotFound):
            store.sweeps.create("p", {}, goals=[Goal.MINIMIZE], once="gone")

    def test_who_asks_at_the_same_time_gets_one_answer(self, store: Store, sweep: Sweep) -> None:
        numbers: list[int] = []
        made: list[str] = []

        def ask() -> None:
            numbers.append(store.trials.enqueue(sweep.id, PARAMS, once="k"))
            made.append(store.sweeps.create("p", {}, goals=[Goal.MINIMIZE], once="s").id)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (numbers, len(made), len(set(made))) == ([0] * 6, 6, 1)
