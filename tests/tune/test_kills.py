"""The coordinator is killed again and again; afterwards every trial has run exactly once."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from whet.store.base import SweepState
from whet.trial import Phase

if TYPE_CHECKING:
    from tests.tune.conftest import Place

# It writes its number down and finishes. Every fifth one logs with Whet, so that spools are shipped by whoever comes next, too.
SCRIPT = """
    import os, sys, time
    number = int(os.environ["WHET_NUMBER"])
    time.sleep(0.02 * (number % 8))
    file = os.open("ran", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, b"%d\\n" % number)
    if number % 5:
        print(f"loss: {number}")
    else:
        import whet
        whet.init(settings={"capture": False, "system_interval_s": 0}).log({"loss": number})
"""
COORDINATOR = """
    from pathlib import Path
    from whet.launch.local import Local
    from whet.store.open import open_store
    from whet.tune.loop import drive
    store = open_store()
    print("ready", flush=True)
    drive(store, SWEEP, Local(Path(".whet/jobs")), workers=2)
"""


@pytest.mark.parametrize(
    ("kills", "cap"),
    [(2, 6), pytest.param(4, 12, marks=pytest.mark.slow), pytest.param(100, 300, marks=pytest.mark.slow)],
)
def test_kill_the_coordinator(place: Place, kills: int, cap: int) -> None:
    rng = random.Random(7)
    place.script(SCRIPT)
    place.create(run_cap=cap)
    starting = driving = at_work = 0
    told: dict[int, tuple[float, ...] | None] = {}
    began = time.monotonic()
    for kill in range(kills):
        process = place.spawn(COORDINATOR)
        if kill % 4:  # at its work: finding what was left, handing out, launching, watching
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.08 if kill % 2 else 0.6))
        else:  # at any time
            time.sleep(rng.uniform(0.05, 1.0))
        process.kill()
        process.communicate()
        sweep = place.store.sweeps.get(place.sweep)
        assert sweep.state is SweepState.RUNNING, f"the sweep was over after {kill} kills: give it a greater cap"
        if f"|{process.pid}|" not in (sweep.driver or ""):
            starting += 1
        elif place.store.trials.leases(place.sweep):
            at_work += 1
        else:
            driving += 1
        trials = {t.number: t for t in place.trials()}
        for number, values in told.items():
            assert trials[number].values == values, "a finished trial was lost"
            assert trials[number].phase is Phase.FINISHED
        told = {number: t.values for number, t in trials.items() if t.phase is Phase.FINISHED}
    _, err = place.spawn(COORDINATOR).communicate(timeout=180)
    trials_after = place.trials()
    ran = [int(line) for line in (place.folder / "ran").read_text().split()]
    again = sum(t.attempt > 0 for t in trials_after)
    print(
        f"\n{kills} kills in {time.monotonic() - began:.0f} s: {starting} while it started, {driving} between trials, {at_work} with trials "
        f"running; {len(told)} trials were finished by then. Afterwards {len(trials_after)} of {cap} trials, {len(ran)} runs, "
        f"{len(ran) - len(set(ran))} numbers twice, {cap - len(set(ran))} missing; {again} were handed out again before they had begun"
    )
    assert [t.number for t in trials_after] == list(range(cap)), err
    assert [(t.phase, t.values) for t in trials_after] == [(Phase.FINISHED, (float(n),)) for n in range(cap)]
    assert sorted(ran) == list(range(cap))
    assert place.store.sweeps.get(place.sweep).state is SweepState.FINISHED
