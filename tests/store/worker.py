"""What the processes of the store's tests do: ``worker.py VERB URL …``, started together by the file GO."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from whet.errors import CapReached, NumberTaken
from whet.store import open_store, owner
from whet.trial import Phase, Suggestion


def fill(url: str, sweep: str, go: str) -> None:
    """Hand out trials until the cap, and print their numbers."""
    store = open_store(url)
    store.sweeps.get(sweep)
    wait(go)
    while True:
        number = store.sweeps.get(sweep).next_number
        try:
            store.trials.add(sweep, number, Suggestion(params={"x": number}), owner=owner.here(), seen=0)
        except NumberTaken:
            continue
        except CapReached:
            return
        store.trials.tell(sweep, number, 0, phase=Phase.FINISHED, values=(float(number % 7),))
        print(number, flush=True)


def open_(url: str, project: str, go: str) -> None:
    """Open a store that nobody has opened before, and use it."""
    from whet.trial import Goal

    wait(go)
    print(open_store(url).sweeps.create(project, {}, goals=[Goal.MINIMIZE]).id)


def acknowledge(url: str, sweep: str, go: str) -> None:
    """Tell trials for ever, and print each number once it is told."""
    store = open_store(url)
    number = store.sweeps.get(sweep).next_number
    while True:
        store.trials.add(sweep, number, Suggestion(params={"x": number}), owner=owner.here(), seen=0)
        store.trials.tell(sweep, number, 0, phase=Phase.FINISHED, values=(float(number),))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        number += 1


def brood(url: str, sweep: str, go: str) -> None:
    """For each line read, fork a child that acknowledges; print its pid, and when it is dead. (A start from nothing takes far longer.)"""
    import whet.store.sql  # noqa: F401

    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            acknowledge(url, sweep, go)
        print(f"pid {pid}", flush=True)
        os.waitpid(pid, 0)
        print("dead", flush=True)


def hold(url: str, sweep: str, go: str) -> None:
    """Take the turn and die with it."""
    with open_store(url).trials.turn(sweep):
        print("mine", flush=True)
        time.sleep(60)


def wait(go: str) -> None:
    print("ready", flush=True)
    while not Path(go).exists():
        time.sleep(0.001)


if __name__ == "__main__":
    verbs = {"fill": fill, "open": open_, "brood": brood, "hold": hold}
    verbs[sys.argv[1]](*sys.argv[2:])
