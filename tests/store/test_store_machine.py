"""Any sequence of verbs has the same outcome in memory and in SQLite: the two were written apart, so each checks the other."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from whet.errors import WhetError
from whet.store import Store, open_store
from whet.store.base import Batch, Row, RunQuery, SweepState
from whet.store.check import check
from whet.trial import Goal, Phase, Report, Suggestion, Trial

NUMBERS = st.sampled_from([0, 0, 1, 1, 2, 3, 5])  # 0 and 1 are there from the beginning
ATTEMPTS = st.sampled_from([None] * 9 + [0, 1, 2])  # None: the present one
VALUES = st.sampled_from([0.0, 1.0, -1.0, math.nan, math.inf, -math.inf])
RESULTS = st.none() | st.tuples(VALUES) | st.tuples(st.sampled_from([0.0, 1.0, 2.0]))
PARAMS = st.dictionaries(st.sampled_from("xyz"), st.integers(0, 3) | VALUES | st.text(max_size=2), max_size=2)
OWNERS = st.sampled_from(["a|1|1.0", "b|2|2.0"])
REPORTS = st.lists(st.builds(Report, step=st.integers(-1, 2), values=st.tuples(VALUES)), max_size=3)
GOALS = st.sampled_from([(Goal.MINIMIZE,), (Goal.MAXIMIZE,), (Goal.MINIMIZE, Goal.MAXIMIZE)])
_TIMES = {"created", "updated", "started", "ended", "beat"}


class Life(RuleBasedStateMachine):
    """One sweep's life, lived twice."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.stores = (open_store("memory"), open_store(str(Path(self.folder.name) / "whet.db")))
        self.seen = [-1, -1]
        self.attempts: dict[int | None, int] = {}

    def teardown(self) -> None:
        for store in self.stores:
            found = check(store)
            store.close()
            assert found == []  # whatever verbs were called, a checker has nothing to say
        self.folder.cleanup()

    @initialize(
        goals=GOALS,
        cap=st.none() | st.integers(0, 6),
    )
    def create(self, goals: tuple[Goal, ...], cap: int | None) -> None:
        self.ids = [store.sweeps.create("p", {}, goals=goals, name="s", cap=cap).id for store in self.stores]
        for number in range(2):
            self.add(number, {"x": number}, "a|1|1.0", None)
            self.report(number, None, [Report(step=0, values=(1.0,) * len(goals))])

    def both(self, verb: Callable[[Store, str], object]) -> None:
        outcomes = []
        self.attempts = {run.number: run.attempt for run in self.stores[0].runs.select()}
        for store, id in zip(self.stores, self.ids, strict=True):
            try:
                outcome: object = verb(store, id)
            except WhetError as error:
                outcome = f"{type(error).__name__}: {error}"
            outcomes.append(self.plain(outcome, store))
        assert repr(outcomes[0]) == repr(outcomes[1])

    def plain(self, value: object, store: Store) -> object:
        """Return `value` with ids as trial numbers and times as whether there is one."""
        numbers = {run.id: f"run {run.number}" for run in store.runs.select()}
        numbers |= dict(zip(self.ids, ["sweep", "sweep"], strict=True))

        def walk(x: Any, key: str = "") -> Any:
            if key in _TIMES:
                return x is not None
            if isinstance(x, dict):
                return {k: walk(v, k) for k, v in x.items()}
            if isinstance(x, (list, tuple)):
                return [walk(v) for v in x]
            if isinstance(x, str):
                for id, number in numbers.items():
                    x = x.replace(id, number)
            return asdict_walk(x)

        def asdict_walk(x: Any) -> Any:
            return walk(asdict(x)) if hasattr(x, "__dataclass_fields__") else x

        return walk(value)

    def at(self, number: int, attempt: int | None) -> int:
        """Return `attempt`, or the trial's present one (as the first store had it before this verb)."""
        return attempt if attempt is not None else self.attempts.get(number, 0)

    @rule(number=NUMBERS | st.none() | st.none(), params=PARAMS, owner=OWNERS, parent=st.none() | st.none() | NUMBERS)
    def add(self, number: int | None, params: dict[str, object], owner: str, parent: int | None) -> None:
        suggestion = Suggestion(params=params, parent=parent)

        def verb(store: Store, id: str) -> object:
            next_number = store.sweeps.get(id).next_number if number is None else number
            return store.trials.add(id, next_number, suggestion, owner=owner, seen=0)

        self.both(verb)

    @rule(params=PARAMS, attrs=PARAMS, extra=st.booleans())
    def enqueue(self, params: dict[str, object], **more: Any) -> None:
        self.both(lambda store, id: store.trials.enqueue(id, params, **more))

    @rule(
        trials=st.lists(
            st.builds(
                Trial,
                number=NUMBERS,
                params=PARAMS,
                phase=st.sampled_from([Phase.FINISHED, Phase.FINISHED, Phase.FAILED, Phase.PAUSED]),
                values=RESULTS,
                stopped=st.booleans(),
                reports=st.lists(
                    st.builds(Report, step=NUMBERS, values=st.tuples(VALUES)), max_size=2, unique_by=lambda r: r.step
                ).map(lambda rs: tuple(sorted(rs, key=lambda r: r.step))),
                parent=st.none() | NUMBERS,
            ),
            max_size=3,
            unique_by=lambda trial: trial.number,
        )
    )
    def extend(self, trials: list[Trial]) -> None:
        self.both(lambda store, id: store.trials.extend(id, trials))

    @rule(number=NUMBERS, owner=OWNERS)
    def claim(self, number: int, owner: str) -> None:
        self.both(lambda store, id: store.trials.claim(id, number, owner=owner))

    @rule(number=NUMBERS, attempt=ATTEMPTS, owner=OWNERS, was=OWNERS)
    def take_over(self, number: int, attempt: int | None, owner: str, was: str) -> None:
        self.both(lambda store, id: store.trials.take_over(id, number, self.at(number, attempt), owner=owner, was=was))

    @rule(number=NUMBERS, attempt=ATTEMPTS, lost=st.booleans())
    def requeue(self, number: int, attempt: int | None, lost: bool = True) -> None:
        self.both(lambda store, id: store.trials.requeue(id, number, self.at(number, attempt), "gone", lost=lost))

    @rule(number=NUMBERS, attempt=ATTEMPTS, reports=REPORTS)
    def report(self, number: int, attempt: int | None, reports: list[Report]) -> None:
        self.both(lambda store, id: store.trials.report(id, number, self.at(number, attempt), reports))

    @rule(
        number=NUMBERS,
        attempt=ATTEMPTS,
        phase=st.sampled_from([*Phase, Phase.FINISHED, Phase.FINISHED]),
        values=RESULTS,
        stopped=st.booleans(),
        params=st.none() | PARAMS,
        attrs=st.none() | PARAMS,
    )
    def tell(self, number: int, attempt: int | None, **more: Any) -> None:
        self.both(lambda store, id: store.trials.tell(id, number, self.at(number, attempt), **more))

    @rule(number=NUMBERS, params=st.none() | PARAMS, attrs=st.none() | PARAMS)
    def annotate(self, number: int, **more: Any) -> None:
        self.both(lambda store, id: store.trials.annotate(id, number, **more))

    @rule(to=st.sampled_from([*SweepState, *[SweepState.RUNNING] * 9]), revision=st.none() | st.integers(3, 9))
    def move(self, to: SweepState, revision: int | None) -> None:
        self.both(lambda store, id: store.sweeps.move(id, to, revision=revision))

    @rule(
        version=st.integers(0, 2),
        cap=st.none() | NUMBERS,
        config=st.none() | PARAMS,
        goals=st.none() | st.none() | GOALS,
    )
    def edit(self, version: int, **more: Any) -> None:
        self.both(lambda store, id: store.sweeps.edit(id, version=version, **more))

    @rule(number=NUMBERS, attempt=ATTEMPTS, start=st.integers(0, 3), value=VALUES, summary=PARAMS)
    def ship(self, number: int, attempt: int | None, start: int, value: float, summary: dict[str, object]) -> None:
        batch = Batch(rows=[Row(step=start, time=1.0, values={"loss": value})], config=summary, summary=summary)

        def verb(store: Store, id: str) -> object:
            run = next((r.id for r in store.runs.select(RunQuery(sweep=id)) if r.number == number), "nobody")
            if run == "nobody":
                return None
            return store.runs.ship(run, self.at(number, attempt), "spool", start, start + 1, batch)

        self.both(verb)

    # Chance alone rarely gets through a whole story, so here are the common ones.

    @rule(params=PARAMS, value=st.sampled_from([0.0, 1.0, 2.0, -1.0]))
    def run_to_the_end(self, params: dict[str, object], value: float) -> None:
        number = self.stores[0].sweeps.get(self.ids[0]).next_number
        goals = len(self.stores[0].sweeps.get(self.ids[0]).goals)
        self.add(None, params, "a|1|1.0", None)
        self.report(number, None, [Report(step=0, values=(value,))])
        self.look()
        self.report(number, None, [Report(step=0, values=(value,)), Report(step=1, values=(value,))])
        self.tell(number, None, phase=Phase.FINISHED, values=(value,) * goals)

    @rule(number=NUMBERS, value=VALUES)
    def lose(self, number: int, value: float) -> None:
        self.ship(number, None, 0, value, {"x": value})
        self.report(number, None, [Report(step=0, values=(value,))])
        self.requeue(number, None)
        self.claim(number, "b|2|2.0")

    @rule(number=NUMBERS, value=VALUES)
    def pause(self, number: int, value: float) -> None:
        self.ship(number, None, 0, value, {"x": value})
        self.report(number, None, [Report(step=1, values=(value,)), Report(step=0, values=(value,))])
        self.look()
        self.tell(number, None, phase=Phase.PAUSED)
        self.claim(number, "b|2|2.0")
        self.look()

    @rule()
    def look(self) -> None:
        """What changed since the last look is the same; what is known by looks is what is there."""
        outcomes = []
        for i, (store, id) in enumerate(zip(self.stores, self.ids, strict=True)):
            changes = store.trials.changes(id, self.seen[i])
            self.seen[i] = changes.revision
            outcomes.append(self.plain(changes, store))
        assert repr(outcomes[0]) == repr(outcomes[1])

    @invariant()
    def alike(self) -> None:
        if not hasattr(self, "ids"):  # it is asked before the beginning, too
            return
        self.both(
            lambda store, id: (
                store.sweeps.get(id),
                store.trials.changes(id),
                store.trials.glance(id),
                store.trials.leases(id),
                store.runs.select(RunQuery(sweep=id)),
                [store.runs.metrics(run.id) for run in store.runs.select()],
            )
        )


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.slow
class TestLongLife(Life.TestCase):  # type: ignore[name-defined,misc]
    """The same, for more and longer ones."""

    settings = settings(
        max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
