"""Turns over HTTP."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from whet.server.app import application
from whet.store import open_store
from whet.store.http import HttpStore
from whet.testing.serving import serving
from whet.trial import Goal


def test_those_who_wait_for_a_turn_stand_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than the server has threads for everything else."""
    monkeypatch.setattr("whet.server.verbs._WAIT_S", 10.0)
    with contextlib.closing(open_store("memory")) as behind, serving(application(behind)) as url:
        store = HttpStore(url)
        sweep = store.sweeps.create("p", {}, goals=[Goal.MINIMIZE]).id
        had = []

        def take() -> None:
            with store.trials.turn(sweep):
                had.append(time.monotonic())

        with store.trials.turn(sweep):
            threads = [threading.Thread(target=take) for _ in range(60)]
            for thread in threads:
                thread.start()
            time.sleep(0.5)
            before = time.monotonic()
            assert store.sweeps.get(sweep).id == sweep
            assert time.monotonic() - before < 5  # a turn is waited for twice as long
            assert had == []
        for thread in threads:
            thread.join(60)
        assert len(had) == 60
        store.close()
