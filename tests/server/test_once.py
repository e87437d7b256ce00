"""What is asked for with a key is done once, whatever becomes of the server, and is nobody else's."""

from __future__ import annotations

from typing import Any

import urllib3

import whet
from whet.server.app import application
from whet.server.guard import Door
from whet.store import Store
from whet.store.http.client import Client
from whet.store.token import Scope
from whet.testing.serving import serving

CONFIG = {"method": "random", "metric": {"name": "loss"}, "parameters": {"x": {"min": -1.0, "max": 1.0}}}


def post(url: str, path: str, body: object, key: str, token: str = "") -> Any:
    headers = {"Idempotency-Key": key, **({"Authorization": f"Bearer {token}"} if token else {})}
    answer = urllib3.request("POST", f"{url}/api/v1{path}", json=body, headers=headers, retries=False, timeout=15.0)
    assert answer.status in (200, 201), answer.data
    return answer.json()


def test_a_server_that_was_killed_does_nothing_twice(behind: Store) -> None:
    id = whet.sweep(CONFIG, storage=behind)
    done = {"number": 0, "params": {"x": 0.5}, "phase": "finished", "values": [1.0]}
    asked = [
        ("/sweeps", {"config": CONFIG}),
        (f"/sweeps/{id}/enqueue", {"params": {"x": 0.5}}),
        ("/verbs/trials.enqueue", {"sweep": id, "params": {"x": 0.25}}),
        ("/verbs/trials.extend", {"sweep": id, "trials": [done, done]}),
        ("/verbs/sweeps.create", {"project": "p", "config": {}, "goals": ["minimize"]}),
    ]
    found = []
    for _ in range(2):  # each is a process of its own as far as it remembers anything
        with serving(application(behind)) as url:
            found.append([post(url, path, body, "k") for path, body in asked])
    assert found[0] == found[1]
    assert found[0][1:4] == [{"number": 0}, 1, [2, 3]]
    assert len(behind.sweeps.all()) == 3
    assert behind.sweeps.get(id).next_number == 4
    with serving(application(behind)) as url:
        assert post(url, f"/sweeps/{id}/enqueue", {"params": {"x": 0.5}}, "another") == {"number": 4}


def test_a_stores_own_key_holds_at_the_server(store: Store, behind: Store) -> None:
    id = whet.sweep(CONFIG, storage=behind)
    assert [store.trials.enqueue(id, {"x": 0.5}, once="mine") for _ in range(2)] == [0, 0]
    assert behind.trials.enqueue(id, {"x": 0.5}, once="mine") == 1  # which are not the names of others


def test_the_same_key_of_two_tokens_is_two_keys(behind: Store) -> None:
    id = whet.sweep(CONFIG, storage=behind)
    tokens = [behind.tokens.create(Scope.WRITE)[1] for _ in range(2)]
    numbers: dict[str, list[int]] = {token: [] for token in tokens}
    made: dict[str, set[str]] = {token: set() for token in tokens}
    queued: dict[str, set[int]] = {token: set() for token in tokens}
    for _ in range(2):  # from memory, and from the store
        with serving(application(behind, Door(host="gpu1"))) as url:
            for token in tokens * 2:
                answer = post(url, f"/sweeps/{id}/suggest", {"owner": "far|1|1"}, "k", token)
                numbers[token].append(answer["trial"]["number"])
                made[token].add(post(url, "/sweeps", {"config": CONFIG}, "k", token)["id"])
                queued[token].add(post(url, "/verbs/trials.enqueue", {"sweep": id, "params": {"x": 0.5}}, "q", token))
    one, two = tokens
    assert {len(set(found)) for found in numbers.values()} == {1}
    assert set(numbers[one]).isdisjoint(numbers[two])
    assert [len(made[one]), len(made[two]), len(made[one] | made[two])] == [1, 1, 2]
    assert [len(queued[one]), len(queued[two]), len(queued[one] | queued[two])] == [1, 1, 2]


def test_a_client_asks_again_with_its_key(behind: Store) -> None:
    id = whet.sweep(CONFIG, storage=behind)
    with serving(application(behind)) as url:
        first = Client(url).post(f"/sweeps/{id}/enqueue", {"params": {"x": 0.5}}, key="k")
    with serving(application(behind)) as url:
        assert Client(url).post(f"/sweeps/{id}/enqueue", {"params": {"x": 0.5}}, key="k") == first


def test_a_question_sent_again_gets_its_trial_only_while_it_has_it(behind: Store) -> None:
    """What it was answered a moment ago may be somebody else's now."""
    id = whet.sweep(CONFIG, storage=behind)
    with serving(application(behind)) as url:

        def ask(key: str, owner: str) -> tuple[int, int]:
            trial = post(url, f"/sweeps/{id}/suggest", {"owner": owner}, key)["trial"]
            return trial["number"], trial["attempt"]

        assert ask("k", "a|1|1") == ask("k", "a|1|1") == (0, 0)
        behind.trials.requeue(id, 0, 0, "its worker was lost", lost=True)
        assert ask("l", "b|1|1") == (0, 1)
        assert ask("k", "a|1|1") == (1, 0)
        assert {lease.number: lease.owner for lease in behind.trials.leases(id)} == {0: "b|1|1", 1: "a|1|1"}
