"""Loops whose server goes away: they say so, wait for it, and lose nothing."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import whet
from whet.cli.main import main
from whet.errors import StoreUnavailable
from whet.launch.local import Local
from whet.server.app import application
from whet.store import Store, open_store
from whet.store.base import SweepState
from whet.store.http import HttpStore
from whet.store.http.client import Client
from whet.testing.serving import serving
from whet.trial import Phase
from whet.tune import agent, loop
from whet.tune.events import Event, EventKind
from whet.tune.patience import Patience

CONFIG = {"method": "random", "metric": {"name": "loss"}, "parameters": {"x": {"min": 0.0, "max": 1.0}}, "run_cap": 2}


class Flapping:
    """A server that goes and comes back, at one address."""

    def __init__(self, store: Store) -> None:
        self.store = store
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._up = contextlib.ExitStack()
        self.said: list[str] = []

    def start(self) -> None:
        self._up.enter_context(serving(application(self.store), self.port))

    def stop(self) -> None:
        self._up.close()

    def client(self) -> HttpStore:
        return HttpStore(f"http://127.0.0.1:{self.port}")

    def comes_back(self, event: Event) -> None:
        """Be told what the loop says; when it says that it waits, come back."""
        self.said.append(event.text)
        if "is tried again for" in event.text:
            self.start()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flapping]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(agent, "_AGAIN_S", 0.02)
    monkeypatch.setattr(loop, "_AGAIN_S", 0.02)
    monkeypatch.setitem(Client.__init__.__kwdefaults__, "patience_s", 0.02)
    monkeypatch.setattr("whet.track.run._SHIP_S", 0.1)
    with contextlib.closing(open_store(str(tmp_path / "whet.db"))) as store:
        made = Flapping(store)
        made.start()
        yield made
        made.stop()


def train() -> None:
    with whet.init() as run:
        run.log({"loss": run.config["x"]})


def test_an_agent_with_a_result_waits_for_its_server(server: Flapping) -> None:
    id = whet.sweep(CONFIG, storage=server.store)
    left = [True]

    def once_without() -> None:
        if left:
            left.clear()
            server.stop()
        train()

    ending = agent.work(server.client(), id, once_without, on_event=server.comes_back)
    assert ending.num_finished == 2
    assert ending.reason.endswith("the run cap of 2 is used up")
    waits = f"the server http://127.0.0.1:{server.port} does not answer (no connection): trial 0 is over and its result is kept"
    assert f"{waits}, and the store is tried again for 10 min" in server.said
    assert any(text.startswith("the store answers again, after ") for text in server.said)
    trials = server.store.trials.changes(id).trials
    assert [(t.number, t.attempt, t.phase) for t in trials] == [(n, 0, Phase.FINISHED) for n in range(2)]


def test_an_idle_agent_waits_for_its_server(server: Flapping) -> None:
    id = whet.sweep(CONFIG, storage=server.store)
    server.store.sweeps.move(id, SweepState.PAUSED)

    def told(event: Event) -> None:
        if "the sweep is paused" in event.text:
            server.stop()
            server.store.sweeps.move(id, SweepState.RUNNING)
        server.comes_back(event)

    ending = agent.work(server.client(), id, train, on_event=told)
    assert ending.num_finished == 2
    assert sum("tried again" in text for text in server.said) == 1


def test_a_loop_of_commands_waits_for_its_server(server: Flapping, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import time; print('loss=0.5'); time.sleep(0.1)")
    command = [sys.executable, "train.py"]
    id = whet.sweep({**CONFIG, "command": command, "program": "train.py"}, storage=server.store)
    server.store.sweeps.move(id, SweepState.PAUSED)  # at first it has nothing to do

    def told(event: Event) -> None:
        if "the sweep is paused" in event.text:
            server.stop()
            server.store.sweeps.move(id, SweepState.RUNNING)
        if event.kind is EventKind.STARTED and event.number == 0:
            server.stop()
        server.comes_back(event)

    ending = loop.drive(server.client(), id, Local(tmp_path / "jobs"), exclusive=False, on_event=told)
    assert ending.reason.endswith("the run cap of 2 is used up")
    assert sum("tried again for 10 min" in text for text in server.said) == 2
    assert sum("what runs goes on, and the store is tried again" in text for text in server.said) == 1
    assert [t.attempt for t in server.store.trials.changes(id).trials] == [0, 0]


def test_patience_has_an_end(server: Flapping, monkeypatch: pytest.MonkeyPatch) -> None:
    id = whet.sweep(CONFIG, storage=server.store)
    server.store.sweeps.move(id, SweepState.PAUSED)
    store, said = server.client(), []

    def told(event: Event) -> None:
        said.append(event.text)
        if "the sweep is paused" in event.text:
            server.stop()

    with pytest.raises(StoreUnavailable, match="does not answer"):
        agent.work(store, id, train, patience_s=0.1, on_event=told)
    assert sum("is tried again for 0 s" in text for text in said) == 1


def test_what_it_says() -> None:
    said: list[str] = []
    patience = Patience(600.0, lambda event: said.append(event.text))
    away = StoreUnavailable("the store is away", "wait")
    assert not patience.succeeded()
    patience.failed(away)
    patience.failed(away, "what runs goes on")
    assert patience.is_waiting
    assert patience.succeeded()
    assert not patience.is_waiting
    assert said == ["the store is away: the store is tried again for 10 min", "the store answers again, after 0 s"]
    with pytest.raises(StoreUnavailable):
        Patience(0.0, lambda event: None).failed(away)


def test_patience_on_the_command_line(server: Flapping, capsys: pytest.CaptureFixture[str]) -> None:
    id = whet.sweep(CONFIG, storage=server.store)
    server.stop()
    for wrong in ("soon", "10", "-1m"):
        with pytest.raises(SystemExit) as ended:
            main(["agent", f"http://127.0.0.1:{server.port}/{id}", "--patience", wrong])
        assert ended.value.code == 2
        assert f"--patience got '{wrong}', wanted a time" in capsys.readouterr().err
