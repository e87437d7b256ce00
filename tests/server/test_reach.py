"""What limited and ended tokens reach by the routes of sweeps: answers kept, sweeps learned from, streams."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import urllib3

from whet.server.app import API, application
from whet.server.guard import Door
from whet.store import Store, open_store
from whet.store.token import Scope
from whet.study.create import create_study
from whet.testing.serving import asking, serving

SPACE = {"x": {"min": 0.0, "max": 1.0}}


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store("memory")
    yield opened
    opened.close()


def study(store: Store, project: str, name: str) -> str:
    made = create_study(
        name=name, project=project, space=SPACE, method="random", storage=store, seed=1, metrics=["loss"]
    )
    made.optimize(lambda trial: trial.params["x"], n_trials=3)
    return made.id


def test_a_limited_token_learns_from_its_own_sweeps_only(store: Store) -> None:
    study(store, "mine", "old")
    other = study(store, "other", "secret")
    _, secret = store.tokens.create(Scope.WRITE, projects=["mine", "third"])
    client = asking(application(store, Door(host="gpu1")), host="gpu1", headers={"Authorization": f"Bearer {secret}"})
    config = {
        "parameters": SPACE,
        "method": "random",
        "metric": {"name": "loss", "goal": "minimize"},
        "project": "mine",
    }
    for text in ("secret", other, other[:9]):
        answer = client.post(f"{API}/sweeps", json={"config": {**config, "start_from": text}})
        assert answer.status_code == 404
        assert other not in answer.text.replace(text, "")
    taken = client.post(f"{API}/sweeps", json={"config": {**config, "start_from": "old"}})
    assert taken.status_code == 201, taken.text
    (earlier,) = taken.json()["config"]["earlier"]
    assert len(earlier["trials"]) == 3
    study(store, "third", "old")  # the name is looked for in the new sweep's project first
    assert client.post(f"{API}/sweeps", json={"config": {**config, "start_from": "old"}}).status_code == 201
    elsewhere = client.post(f"{API}/sweeps", json={"config": config, "project": "other"})
    assert elsewhere.status_code == 403


def test_a_suggestion_that_is_kept_is_its_sweeps(store: Store) -> None:
    one, two = study(store, "mine", "one"), study(store, "other", "two")
    client = asking(application(store))
    same = {"Idempotency-Key": "k"}
    for sweep in (one, one, two):
        assert client.post(f"{API}/sweeps/{sweep}/suggest", json={}, headers=same).json()["trial"] is not None
    assert [store.sweeps.get(sweep).next_number for sweep in (one, two)] == [4, 4]


@pytest.mark.parametrize("how", ["token", "session"])
def test_a_stream_ends_with_its_token(store: Store, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whet.server.live._STILL_HERE_S", 0.1)
    monkeypatch.setattr("whet.server.live._LOOK_S", 0.1)
    monkeypatch.setattr("whet.server.guard.FRESH_S", 0.2)
    sweep = study(store, "mine", "s")
    token, secret = store.tokens.create(Scope.READ)
    http = urllib3.PoolManager(retries=False, timeout=10)
    with serving(application(store, Door(host="gpu1"))) as url:
        headers = {"Authorization": f"Bearer {secret}"}
        if how == "session":
            answer = http.request("POST", f"{url}{API}/session", json={"token": secret})
            headers = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
        stream = http.request("GET", f"{url}{API}/sweeps/{sweep}/events", headers=headers, preload_content=False)
        assert stream.status == 200
        ended = threading.Event()

        def read() -> None:
            for _ in stream.stream(64):
                pass
            ended.set()

        threading.Thread(target=read, daemon=True).start()
        time.sleep(0.6)
        assert not ended.is_set()
        store.tokens.revoke(token.id)
        assert ended.wait(5)
