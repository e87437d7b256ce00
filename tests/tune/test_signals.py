"""Signals that an agent passes on to the training."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from whet.trial import Phase
from whet.tune.signals import Signals

if TYPE_CHECKING:
    from tests.tune.conftest import Place

LISTENS = """
    import pathlib, signal, sys, time
    told = []
    for name in ("SIGTERM", "SIGUSR1"):
        signal.signal(getattr(signal, name), lambda number, frame: told.append(number))
    pathlib.Path("ready").touch()
    while signal.SIGTERM not in told:
        if signal.SIGUSR1 in told:
            pathlib.Path("saved").touch()
        time.sleep(0.02)
    END
"""


def started(place: Place, end: str) -> object:
    place.script(LISTENS.replace("END", end))
    place.create(run_cap=3)
    process = place.whet("agent", place.sweep, "--forward-signals")
    place.wait((place.folder / "ready").exists)
    return process


@pytest.mark.parametrize(
    ("end", "phase"),
    [
        ("print('loss: 0.5')", Phase.FINISHED),  # it ended in its own way
        ("sys.exit(1)", Phase.PENDING),  # it saved, and can't say more
        pytest.param("sys.exit(0)", Phase.PENDING, marks=pytest.mark.slow),
        pytest.param(
            "signal.signal(15, signal.SIG_DFL); signal.raise_signal(15)", Phase.PENDING, marks=pytest.mark.slow
        ),
    ],
)
def test_the_training_ends_in_its_own_way(place: Place, end: str, phase: Phase) -> None:
    with started(place, end) as process:  # type: ignore[attr-defined]
        process.send_signal(signal.SIGUSR1)
        place.wait((place.folder / "saved").exists)  # and goes on
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert [t.phase for t in place.trials()] == [phase]  # no other was started
    assert "SIGUSR1 goes on to trial 0\n" in out
    assert "SIGTERM goes on to trial 0, and no other is started" in out
    assert "ended: SIGTERM came" in out
    if phase is Phase.PENDING:
        assert "trial 0 is queued again: it was ended by SIGTERM" in out
    assert place.store.trials.leases(place.sweep) == []


def test_who_does_not_listen_is_queued_again(place: Place) -> None:
    """SIGUSR1 ends a program that knows nothing of it: that is not the trial's fault."""
    place.script("""
        import pathlib, time
        long = not pathlib.Path("again").exists()
        pathlib.Path("ready").touch()
        time.sleep(60 if long else 0)
        print("loss: 1")
    """)
    place.create(run_cap=1)
    with place.whet("agent", place.sweep, "--forward-signals") as process:
        place.wait((place.folder / "ready").exists)
        (place.folder / "again").touch()
        process.send_signal(signal.SIGUSR1)
        process.communicate(timeout=60)
    (trial,) = place.trials()
    assert (process.returncode, trial.phase, trial.attempt) == (0, Phase.FINISHED, 1)


def test_a_second_signal_ends_at_once(place: Place) -> None:
    place.script(
        "import pathlib, signal, time; signal.signal(2, signal.SIG_IGN); pathlib.Path('ready').touch(); time.sleep(600)"
    )
    place.create(run_cap=2)
    with place.whet("agent", place.sweep, "--forward-signals") as process:
        place.wait((place.folder / "ready").exists)
        process.send_signal(signal.SIGINT)
        while "SIGINT goes on" not in (process.stdout.readline() if process.stdout else "SIGINT goes on"):
            pass
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert [t.phase for t in place.trials()] == [Phase.PENDING]


def test_functions_get_signals_themselves(place: Place) -> None:
    place.create(program=None)
    with place.whet("agent", place.sweep, "--forward-signals", "--function", "math:sqrt") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "leave it out" in err


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with Signals(True) as signals:
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)
        assert signals.taken() == [signal.SIGUSR1, signal.SIGTERM]
        assert signals.taken() == []
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signals.taken()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGUSR1) is before
    with Signals(False):
        assert signal.getsignal(signal.SIGUSR1) is before
