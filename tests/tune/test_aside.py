"""An agent whose trials all fail is put aside, and says whether it is the machine or the sweep."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

import whet
from whet.errors import StoreUnavailable
from whet.launch.local import Local
from whet.server.app import application
from whet.store import Store, open_store
from whet.testing.serving import serving
from whet.trial import Phase, Suggestion
from whet.tune.agent import agent, work
from whet.tune.events import ASIDE, Event, EventKind, Tally, failed
from whet.tune.loop import drive
from whet.tune.pool import pool

if TYPE_CHECKING:
    from tests.tune.conftest import Place

QUIET = {"capture": False, "system_interval_s": 0, "stdout": False}


def fine() -> None:
    whet.log({"loss": whet.init(settings=QUIET).config["x"]})


def broken() -> None:
    raise RuntimeError("no GPU")


def elsewhere(place: Place, num: int, *, fails: bool = False) -> None:
    """Trials that an agent on another machine runs."""
    for _ in range(num):
        sweep = place.store.sweeps.get(place.sweep)
        number = sweep.next_number
        place.store.trials.add(place.sweep, number, Suggestion(params={"x": 0.5}), owner="node-7|1|1", seen=0)
        values, phase = (None, Phase.FAILED) if fails else ((1.0,), Phase.FINISHED)
        place.store.trials.tell(place.sweep, number, 0, phase=phase, values=values, reason="no disk" if fails else "")


def test_others_succeed_so_it_is_this_machine(place: Place) -> None:
    place.create(program=None, run_cap=30)
    elsewhere(place, 3)
    elsewhere(place, 1, fails=True)
    ending = work(place.store, place.sweep, broken, max_failures=4)
    assert ending.aside
    assert not ending.final
    assert ending.num_failed == 4
    assert (
        "the last 4 trials failed here (trials 4, 5, 6, 7; the last: trial 7 failed: RuntimeError: no GPU)"
        in ending.reason
    )
    assert (
        "3 of the last 4 trials of other agents finished, trial 3 failed elsewhere, too (node-7): it is likely this machine"
        in ending.reason
    )
    assert f"whet retry {place.sweep}" in ending.reason
    assert place.store.trials.leases(place.sweep) == []  # nothing is left in its hands


def test_others_fail_as_well_so_it_is_the_sweep(place: Place) -> None:
    place.create(program=None, run_cap=30)
    work(place.store, place.sweep, fine, count=1)
    elsewhere(place, 2, fails=True)
    ending = work(place.store, place.sweep, broken, max_failures=5)
    assert ending.aside
    assert (
        "trials 1, 2 failed elsewhere, too (node-7), and none finished there: it is likely the sweep" in ending.reason
    )


def test_alone_it_can_not_be_told(place: Place) -> None:
    place.create(program=None, run_cap=30)
    work(place.store, place.sweep, fine, count=1)
    ending = work(place.store, place.sweep, broken, max_failures=5)
    assert (ending.aside, ending.num_failed) == (True, 5)
    assert "can't be told" in ending.reason


def test_a_success_in_between_counts_and_0_is_never(place: Place) -> None:
    place.create(program=None, run_cap=9)

    def now_and_then() -> None:
        (fine if whet.init(settings=QUIET).number % 3 == 0 else broken)()  # type: ignore[operator]

    assert work(place.store, place.sweep, now_and_then, max_failures=3).final
    place.create(program=None, run_cap=9)
    ending = work(place.store, place.sweep, broken, max_failures=0)
    assert (ending.final, ending.aside, ending.num_failed) == (True, False, 9)


def test_a_sweep_that_can_not_run_is_another_matter(place: Place) -> None:
    """Nobody has a result after the first three: that is said of the sweep, as before."""
    place.create(program=None, run_cap=9)
    ending = work(place.store, place.sweep, broken, max_failures=5)
    assert (ending.aside, ending.num_failed) == (False, 3)
    assert ending.reason.startswith("the first 3 trials failed")


def test_results_of_others_count_behind_a_server(place: Place) -> None:
    """There an agent's engine knows no history: whether anybody has finished, before it came or since, the store knows."""
    place.script("raise SystemExit('no GPU')")

    def ending(store: Store, on_event: Callable[[Event], None]) -> tuple[bool, int]:
        executor = Local(place.folder / "jobs", grace_s=2.0)
        found = drive(store, place.sweep, executor, exclusive=False, max_failures=4, on_event=on_event)
        return found.aside, found.num_failed

    def meanwhile(event: Event) -> None:
        if event.kind is EventKind.STARTED and event.number == 1:
            elsewhere(place, 1)

    with serving(application(place.store)) as url:
        store = open_store(url)
        place.create(run_cap=30)
        assert ending(store, lambda event: None) == (False, 3)
        place.create(run_cap=30)
        assert ending(store, meanwhile) == (True, 4)


def test_whether_others_have_results_may_not_be_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.create(program=None, run_cap=9)
    select, num_asked = place.store.runs.select, 0

    def away_at_first(*args: Any, **more: Any) -> Any:
        nonlocal num_asked
        num_asked += 1
        if num_asked == 1:
            raise StoreUnavailable("away", "again")
        return select(*args, **more)

    monkeypatch.setattr(place.store.runs, "select", away_at_first)
    ending = work(place.store, place.sweep, broken, max_failures=9)
    assert (ending.reason[:24], ending.num_failed) == ("the first 4 trials faile", 4)


def test_a_training_that_diverges_is_not_the_machines_fault(place: Place) -> None:
    place.create(program=None, run_cap=12)
    work(place.store, place.sweep, fine, count=1)

    def diverges() -> None:
        whet.init(settings=QUIET)
        whet.log({"loss": float("nan")})

    ending = work(place.store, place.sweep, diverges, max_failures=3)
    assert (ending.aside, ending.final, ending.num_failed) == (False, True, 11)
    tally = Tally()
    for number, is_result in enumerate([False, True, False]):
        tally.add(failed(number, "r", is_result=is_result))
    assert tally.broke == [0, 2]
    tally.add(Event(EventKind.PAUSED, 3, "paused"))
    assert tally.broke == []


def test_programs(place: Place) -> None:
    place.script("raise SystemExit('no GPU')")
    place.create(run_cap=30)
    elsewhere(place, 1)
    ending = place.drive(max_failures=2)
    assert (ending.aside, ending.num_failed) == (True, 2)
    assert place.drive(max_failures=None, count=4).num_failed == 4  # a coordinator goes on: some have succeeded
    place.script("print('loss: 1.0')")
    assert place.drive(max_failures=2, count=1).num_finished == 1


def test_a_pool_of_agents(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    (place.folder / "bad.py").write_text("def train():\n    raise RuntimeError('no GPU')\n")
    place.create(program=None, run_cap=30)
    elsewhere(place, 1)
    ending = pool(place.store, place.sweep, "bad:train", workers=1, max_failures=2)
    assert (ending.aside, ending.num_failed) == (True, 2)
    assert "whet: put aside: the last 2 trials failed here" in capfd.readouterr().err


def test_the_command_ends_with_a_status_of_its_own(place: Place) -> None:
    place.script("raise SystemExit('no GPU')")
    place.create(run_cap=30)
    elsewhere(place, 1)
    with place.whet("agent", place.sweep, "--max-failures", "2", "--json") as process:
        out, _ = process.communicate(timeout=60)
    last: Any = json.loads(out.splitlines()[-1])
    assert (process.returncode, last["event"], last["aside"], last["num_failed"]) == (ASIDE, "end", True, 2)


def test_from_python(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.create(program=None, run_cap=30)
    elsewhere(place, 1)
    agent(place.sweep, broken)
    assert "put aside: the last 5 trials failed here" in capsys.readouterr().out
