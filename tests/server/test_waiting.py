"""Those who wait at the server: nobody waits for another one's search, every change wakes whom it concerns, and the server's end wakes all."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3
from fastapi import FastAPI

import whet
from whet.search.base import Searcher
from whet.search.random import Random
from whet.server import guard, keys, live, questions
from whet.server.app import application
from whet.server.engines import Engines
from whet.server.pulse import Pulse
from whet.store import Store
from whet.store.base import SweepState
from whet.store.token import Scope
from whet.study.engine import Engine
from whet.testing.serving import serving
from whet.trial import Phase

SPACE = {"x": {"min": -1.0, "max": 1.0}}


@pytest.fixture
def app(behind: Store) -> FastAPI:
    return application(behind)


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    with serving(app) as url:
        yield url


def made(store: Store, metric: str = "loss", **more: Any) -> str:
    config = {"method": "random", "metric": {"name": metric}, "parameters": SPACE, **more}
    return whet.sweep(config, storage=store)


def ask(url: str, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    answer = urllib3.request(
        method, f"{url}/api/v1{path}", json=body, headers=headers or None, retries=False, timeout=15.0
    )
    return answer.status, answer.json() if answer.data else None


def wait_until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15.0
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Blocked:
    """A search that does not come to an end, of sweeps with the metric `slow`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began, self.free = threading.Semaphore(0), threading.Event()
        self.num = 0
        searched = Random.ask

        def search(searcher: Random, n: int) -> Any:
            if searcher.problem.metrics[0].name == "slow":
                self.num += 1
                self.began.release()
                assert self.free.wait(30.0)
            return searched(searcher, n)

        monkeypatch.setattr(Random, "ask", search)
        monkeypatch.setattr(Random, "at", Searcher.at)  # it looks at the others, as a search does


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Blocked]:
    made = Blocked(monkeypatch)
    yield made
    made.free.set()


def in_threads(count: int, what: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=what) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_a_search_holds_up_nobody_else(app: FastAPI, url: str, behind: Store, blocked: Blocked) -> None:
    slow, quick = made(behind, "slow"), made(behind)
    behind.trials.enqueue(slow, {"x": 0.5})
    number = ask(url, "POST", f"/sweeps/{slow}/suggest", {})[1]["trial"]["number"]
    found: list[Any] = []
    many = in_threads(45, lambda: found.append(ask(url, "POST", f"/sweeps/{slow}/suggest", {})))  # more than threads
    assert blocked.began.acquire(timeout=15.0)
    here = {"number": number, "attempt": 0}
    assert ask(url, "POST", f"/sweeps/{slow}/report", {**here, "step": 1, "values": {"slow": 0.5}})[0] == 200
    assert ask(url, "POST", f"/sweeps/{slow}/judge", {"number": number})[0] == 200
    assert ask(url, "POST", f"/sweeps/{slow}/tell", {**here, "values": {"slow": 0.25}})[1]["phase"] == "finished"
    assert ask(url, "GET", f"/sweeps/{slow}/stats")[1]["counts"]["finished"] == 1
    assert ask(url, "POST", f"/sweeps/{slow}/settle", {})[1]["state"] == "running"
    assert ask(url, "POST", f"/sweeps/{slow}/enqueue", {"params": {"x": 0.75}})[1] == {"number": 1}
    assert ask(url, "POST", f"/sweeps/{quick}/suggest", {})[1]["trial"]["number"] == 0
    assert (blocked.num, found) == (1, [])
    blocked.free.set()
    for thread in many:
        thread.join()
    trials = [answer["trial"] for _, answer in found]
    assert sorted(trial["number"] for trial in trials) == list(range(1, 46))
    assert len({json.dumps(trial["params"]) for trial in trials}) == 45


def test_what_is_told_during_a_search_is_not_what_it_was_made_from(behind: Store, blocked: Blocked) -> None:
    id = made(behind, "slow")
    engine = Engine(behind, id)
    first = behind.trials.enqueue(id, {"x": 0.5})
    behind.trials.claim(id, first, owner=engine.owner)
    before = behind.sweeps.get(id).revision
    (asking,) = in_threads(1, engine.ask)
    assert blocked.began.acquire(timeout=15.0)
    engine.tell(first, 0, (0.25,))
    assert engine.best is None or engine.best.number == first
    blocked.free.set()
    asking.join()
    origin = behind.trials.origins(id)[1]
    assert origin.seen == before
    assert behind.trials.changes(id).trials[0].phase is Phase.FINISHED


def test_who_left_gets_no_trial(app: FastAPI, url: str, behind: Store, blocked: Blocked) -> None:
    id = made(behind, "slow")
    body = json.dumps({"wait_s": 30}).encode()
    head = f"POST /api/v1/sweeps/{id}/suggest HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    host, port = url.removeprefix("http://").split(":")
    gone = [socket.create_connection((host, int(port))) for _ in range(2)]
    for one in gone:  # the one searches, the other waits behind it
        one.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        if one is gone[0]:
            assert blocked.began.acquire(timeout=15.0)
    found: list[Any] = []
    (asking,) = in_threads(1, lambda: found.append(ask(url, "POST", f"/sweeps/{id}/suggest", {"wait_s": 15})))
    for one in gone:
        one.close()
    time.sleep(0.2)  # for the server to see it
    blocked.free.set()
    asking.join()
    assert found[0][1]["trial"]["number"] == 0
    assert len(behind.trials.changes(id).trials) == 1
    assert blocked.num == 2


@pytest.fixture
def _looks_never(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a change wakes anybody."""
    monkeypatch.setattr(live, "_LOOK_S", 1000.0)
    monkeypatch.setattr(questions, "_LOOK_S", 1000.0)


@pytest.mark.usefixtures("_looks_never")
@pytest.mark.parametrize("what", ["resume", "start", "enqueue", "requeue", "finish"])
def test_a_change_wakes_who_waits_for_a_trial(app: FastAPI, url: str, behind: Store, what: str) -> None:
    id = made(behind, method="grid", parameters={"x": {"values": [1]}})
    running = ask(url, "POST", f"/sweeps/{id}/suggest", {})[1]["trial"]
    if what in ("resume", "start"):
        behind.trials.requeue(id, 0, 0, "again")
        behind.sweeps.move(id, SweepState.PAUSED)
    found: list[Any] = []
    (asking,) = in_threads(1, lambda: found.append(ask(url, "POST", f"/sweeps/{id}/suggest", {"wait_s": 30})))
    wait_until(lambda: id in app.state.pulse._waiting)
    if what == "enqueue":
        assert ask(url, "POST", f"/sweeps/{id}/enqueue", {"params": {"x": 1}})[0] == 201
    elif what == "requeue":
        body = {"sweep": id, "number": 0, "attempt": 0, "reason": "again"}
        assert ask(url, "POST", "/verbs/trials.requeue", body)[0] == 200
    else:
        assert ask(url, "POST", f"/sweeps/{id}/{what}")[0] == 200
    asking.join()
    status, answer = found[0]
    if what == "finish":
        assert (status, answer["trial"], answer["final"]) == (200, None, True)
    else:
        assert (status, answer["trial"]["number"]) == (200, 1 if what == "enqueue" else running["number"])


@contextlib.contextmanager
def listening(url: str, id: str, **headers: str) -> Iterator[Iterator[tuple[str, str, Any]]]:
    """Yield the events of a sweep as (id, event, data), as they come; a stream that is cut raises."""
    answer = urllib3.request(
        "GET", f"{url}/api/v1/sweeps/{id}/events", headers=headers or None, preload_content=False, timeout=15.0
    )
    assert answer.status == 200

    def events() -> Iterator[tuple[str, str, Any]]:
        text, num_silent = "", 0
        for part in answer.stream(2**20):
            text += part.decode()
            *whole, text = text.split("\n\n")
            for block in whole:
                fields = dict(line.split(": ", 1) for line in block.split("\n") if line)
                if "data" in fields:
                    yield fields.get("id", ""), fields["event"], json.loads(fields["data"])
                num_silent = 0 if "data" in fields else num_silent + 1
                assert num_silent < 300, "the stream does not end"

    try:
        yield events()
    finally:
        answer.close()


@pytest.mark.usefixtures("_looks_never")
def test_every_change_of_a_sweep_is_an_event_at_once(url: str, behind: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    id = made(behind)
    dropped: list[str] = []
    drop = Engines.drop
    monkeypatch.setattr(Engines, "drop", lambda self, sweep: [dropped.append(sweep), drop(self, sweep)])
    with listening(url, id) as events:
        next(events)
        assert ask(url, "PUT", f"/sweeps/{id}", {"version": 0, "cap": 7})[0] == 200
        assert next(events)[2]["cap"] == 7
        assert ask(url, "POST", f"/sweeps/{id}/pause")[0] == 200
        assert next(events)[2]["state"] == "paused"
        assert ask(url, "POST", "/verbs/sweeps.delete", {"id": id})[0] == 200  # as the store of another machine does
        assert [event for _, event, _ in events] == ["gone"]
    assert dropped == [id]


def test_the_servers_end_is_told_to_those_who_wait(behind: Store) -> None:
    id = made(behind)
    behind.sweeps.move(id, SweepState.PAUSED)
    app = application(behind)
    found: list[Any] = []
    seen: list[str] = []
    with serving(app) as url:

        def listen() -> None:
            with listening(url, id) as events:
                seen.extend(event for _, event, _ in events)
            seen.append("the end")

        asking = in_threads(1, lambda: found.append(ask(url, "POST", f"/sweeps/{id}/suggest", {"wait_s": 30})))
        hearing = in_threads(1, listen)
        wait_until(lambda: len(app.state.pulse._waiting.get(id, ())) == 2)
    for thread in (*asking, *hearing):
        thread.join()
    assert found == [(200, {"trial": None, "reason": "the sweep is paused", "final": False, "state": "paused"})]
    assert seen == ["changes", "the end"]


def test_a_pulse_that_has_ended_lets_nobody_wait() -> None:
    import asyncio

    async def wait(pulse: Pulse) -> None:
        waiting = [asyncio.ensure_future(pulse.wait(topic, 0, 1000.0)) for topic in "ab"]
        await asyncio.sleep(0)
        pulse.end()
        await asyncio.gather(*waiting)
        await pulse.wait("c", 0, 1000.0)

    asyncio.run(wait(Pulse()))


def test_one_looks_for_all_who_wait(app: FastAPI, url: str, behind: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "_LOOK_S", 1000.0)
    id = made(behind)
    behind.sweeps.move(id, SweepState.PAUSED)
    asked: list[object] = []
    ask_engine = Engine.ask_for
    monkeypatch.setattr(
        Engine, "ask_for", lambda self, owner, **given: [asked.append(given), ask_engine(self, owner, **given)][1]
    )
    waiting = in_threads(20, lambda: ask(url, "POST", f"/sweeps/{id}/suggest", {"wait_s": 30}))
    pulse = app.state.pulse
    wait_until(lambda: len(pulse._waiting.get(id, ())) == 20)
    assert len(asked) == 20
    pulse.beat(id)
    wait_until(lambda: len(pulse._waiting.get(id, ())) == 20)
    assert len(asked) == 21
    behind.sweeps.move(id, SweepState.FINISHED)
    pulse.beat(id)
    for thread in waiting:
        thread.join()


def test_a_long_history_comes_in_events_of_bounded_size(
    url: str, behind: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_PAGE", 10)
    id = made(behind)
    study = whet.load_study(name=id, storage=behind)
    for value in range(23):
        study.add_trial(whet.trial.Trial(number=0, params={"x": 0.5}, phase=Phase.FINISHED, values=(value / 100,)))
    seen: list[int] = []
    last, num_events = "", 0
    while True:  # a reader that breaks off after each event
        with listening(url, id, **({"Last-Event-ID": last} if last else {})) as events:
            last, _, data = next(events)
        num_events += 1
        assert len(data["trials"]) <= 10
        seen += [trial["number"] for trial in data["trials"]]
        if not data["more"]:
            break
    assert seen == list(range(23))
    assert (num_events, last, data["revision"]) == (3, str(behind.sweeps.get(id).revision), data["revision"])
    with listening(url, id) as events:
        assert [next(events)[2]["more"] for _ in range(3)] == [True, True, False]
    with listening(url, id, **{"Last-Event-ID": "nonsense"}) as events:
        assert len(next(events)[2]["trials"]) == 10


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_the_stream_of_a_dead_token_ends(behind: Store, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    assert live._STILL_HERE_S + guard.FRESH_S <= 5.0  # something goes out, and is looked at, within seconds
    for module, name in ((live, "_LOOK_S"), (live, "_STILL_HERE_S"), (guard, "FRESH_S"), (keys, "FRESH_S")):
        monkeypatch.setattr(module, name, 0.02)
    id = made(behind)
    token, secret = behind.tokens.create(Scope.READ, expires=time.time() + 3600.0)
    with (
        serving(application(behind, guard.Door(host="gpu1"))) as url,
        listening(url, id, Authorization=f"Bearer {secret}") as events,
    ):
        assert next(events)[1] == "changes"
        if how == "revoked":
            behind.tokens.revoke(token.id)
        else:
            monkeypatch.setattr(keys.Keys, "is_live", lambda self, token: token.is_live(time.time() + 7200.0))
        assert list(events) == []  # though nothing happens
