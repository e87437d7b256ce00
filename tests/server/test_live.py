"""Live updates: nothing is missed, however often one reconnects."""

from __future__ import annotations

import json
import threading

import urllib3

import whet
from whet.store import Store


def listen(url: str, sweep: str, *, enough, last: str = "") -> list[tuple[str, dict]]:
    """Return events as (id, data) until `enough` of them."""
    headers = {"Last-Event-ID": last} if last else {}
    answer = urllib3.request(
        "GET", f"{url}/api/v1/sweeps/{sweep}/events", headers=headers, preload_content=False, timeout=20
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    found, id = [], ""
    for line in answer.read_chunked():
        for part in line.decode().split("\n"):
            if part.startswith("id: "):
                id = part[4:]
            if part.startswith("data: "):
                found.append((id, json.loads(part[6:])))
        if enough(found):
            break
    answer.close()
    return found


def test_events_bring_what_is_new_and_who_reconnects_misses_nothing(url: str, store: Store):
    study = whet.create_study(
        space={"x": {"min": 0.0, "max": 1.0}}, method="random", storage=store, seed=0, stopper="none", name="s"
    )
    study.optimize(lambda trial: trial.params["x"], n_trials=3)

    def finished(events) -> set[int]:
        return {t["number"] for _, data in events for t in data["trials"] if t["phase"] == "finished"}

    first = listen(url, "s", enough=lambda events: len(finished(events)) == 3)
    worker = threading.Thread(target=lambda: study.optimize(lambda trial: trial.params["x"], n_trials=4))
    worker.start()
    later = listen(url, "s", enough=lambda events: len(finished(events)) == 4, last=first[-1][0])
    worker.join()
    assert finished(later) == {3, 4, 5, 6}
    seen = [data["revision"] for _, data in later]
    assert seen == sorted(set(seen))
    told = {t["number"]: t for _, data in [*first, *later] for t in data["trials"]}
    assert {n: t["values"] for n, t in told.items()} == {t.number: list(t.values) for t in study.trials}


def test_a_change_of_state_is_an_event(url: str, store: Store):
    whet.create_study(space={"x": [1, 2]}, method="grid", storage=store, name="s")
    events = []

    def pause() -> None:
        urllib3.request("POST", f"{url}/api/v1/sweeps/s/pause")

    threading.Timer(0.5, pause).start()
    events = listen(url, "s", enough=lambda found: found[-1:] and found[-1][1]["state"] == "paused")
    assert [data["state"] for _, data in events] == ["running", "paused"]
