"""Workers that have nothing but the server."""

from __future__ import annotations

import threading
import time

import pytest
import urllib3

import whet
from whet.server.app import application
from whet.store import Store, open_store
from whet.store.base import SweepState
from whet.store.http.client import Client
from whet.testing.serving import serving
from whet.trial import Phase
from whet.tune.agent import work

SPACE = {"x": {"min": -1.0, "max": 1.0}, "kind": ["a", "b"]}


def objective(trial):
    return (trial.suggest_float("x", -1, 1) - 0.3) ** 2


def test_a_study_behind_a_server(store: Store, behind: Store):
    study = whet.create_study(space=SPACE, storage=store, seed=1)
    study.optimize(lambda trial: (trial.params["x"] - 0.3) ** 2 + (trial.params["kind"] == "a"), n_trials=25)
    assert study.best_value < 0.01
    twin = whet.create_study(space=SPACE, storage="memory", seed=1)
    twin.optimize(lambda trial: (trial.params["x"] - 0.3) ** 2 + (trial.params["kind"] == "a"), n_trials=25)
    assert [t.params for t in twin.trials] == [t.params for t in study.trials]
    assert len(behind.runs.select()) == 25


@pytest.mark.slow
def test_the_server_sees_that_little_is_to_be_gained(store: Store, behind: Store):
    given = {"space": SPACE, "seed": 1, "method": "gp", "stopper": "none", "terminate": {"expected_improvement": 0.001}}
    study = whet.create_study(storage=store, **given)
    study.optimize(lambda trial: (trial.params["x"] - 0.3) ** 2, n_trials=60)
    assert 20 <= len(study.trials) < 60
    assert behind.sweeps.get(study.id).state is SweepState.FINISHED
    assert study.end_reason.startswith("the next trial is expected to improve value ")
    twin = whet.create_study(storage="memory", **given)
    twin.optimize(lambda trial: (trial.params["x"] - 0.3) ** 2, n_trials=60)
    assert [t.params for t in twin.trials] == [t.params for t in study.trials]


def test_a_study_that_learns_its_space_behind_a_server(store: Store):
    study = whet.create_study(storage=store, seed=1)
    study.optimize(objective, n_trials=15)
    assert study.best_value < 0.05


def test_stopping_is_judged_at_the_server(store: Store, behind: Store):
    def train(trial):
        for step in range(1, 10):
            trial.report(trial.params["x"] * step, step)
            if trial.should_prune():
                raise whet.TrialPruned
        return trial.params["x"]

    study = whet.create_study(
        space={"x": [1, 2, 3, 4]}, method="grid", storage=store, stopper={"name": "median", "startup_trials": 1}, seed=0
    )
    study.enqueue_trial({"x": 1})
    study.optimize(train, n_trials=8)
    stopped = [trial for trial in study.trials if trial.stopped]
    assert stopped
    assert all("median" in trial.reason for trial in stopped)


def test_agents_share_a_sweep(url: str, behind: Store, monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config = {"method": "random", "metric": {"name": "loss"}, "parameters": SPACE, "run_cap": 24, "name": "shared"}
    id = whet.sweep(config, storage=url)
    seen: list[str] = []

    def run() -> None:
        with whet.init() as run:
            run.log({"loss": (run.config["x"] - 0.3) ** 2})
            seen.append(run.id)

    def agent() -> None:
        work(open_store(url), id, run)

    threads = [threading.Thread(target=agent) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trials = behind.trials.changes(id).trials
    assert sorted(t.number for t in trials) == list(range(24))
    assert len(set(seen)) == 24
    assert all(t.phase is Phase.FINISHED for t in trials)
    assert behind.sweeps.get(id).state is SweepState.FINISHED


def test_a_question_is_answered_once_though_the_server_was_killed_after_it(behind: Store):
    id = whet.sweep({"method": "random", "metric": {"name": "loss"}, "parameters": SPACE, "run_cap": 3}, storage=behind)
    with serving(application(behind)) as url:
        first = Client(url).post(f"/sweeps/{id}/suggest", {"owner": "me"}, key="k1")["trial"]
    with serving(application(behind)) as url:  # another process: it remembers nothing
        client = Client(url)
        again = client.post(f"/sweeps/{id}/suggest", {"owner": "me"}, key="k1")["trial"]
        other = client.post(f"/sweeps/{id}/suggest", {"owner": "me"}, key="k2")["trial"]
    assert (again["number"], again["run_id"], again["params"]) == (first["number"], first["run_id"], first["params"])
    assert other["number"] == 1
    assert len(behind.trials.changes(id).trials) == 2


def post(url: str, path: str, body: object) -> tuple[int, dict]:
    answer = urllib3.request("POST", f"{url}/api/v1{path}", json=body, retries=False)
    return answer.status, answer.json()


def test_bodies_that_would_ruin_a_sweep_are_refused(url: str, behind: Store):
    id = whet.sweep({"method": "random", "metric": {"name": "loss"}, "parameters": SPACE}, storage=behind)
    deep: object = []
    for _ in range(100):
        deep = [deep]
    for path, body in (
        (f"/sweeps/{id}/enqueue", {"params": {"x": deep}}),
        ("/verbs/trials.enqueue", {"sweep": id, "params": {"x": deep}}),
    ):
        status, problem = post(url, path, body)
        assert (status, "nested" in problem["detail"]) == (422, True)
    assert post(url, f"/sweeps/{id}/judge", {"number": 0, "num_judged": -5})[0] == 422
    number = post(url, f"/sweeps/{id}/suggest", {})[1]["trial"]["number"]
    assert post(url, f"/sweeps/{id}/tell", {"number": number, "failed": True, "stopped": True})[0] == 422
    assert post(url, f"/sweeps/{id}/tell", {"number": number, "values": {"loss": 0.5}})[0] == 200
    other = {"method": "random", "metrics": ["a", "b"], "parameters": SPACE}
    answer = urllib3.request("PUT", f"{url}/api/v1/sweeps/{id}", json={"version": 0, "config": other}, retries=False)
    assert (answer.status, "other metrics" in answer.json()["detail"]) == (422, True)


def test_a_server_that_was_away_takes_nobodys_trial(behind: Store, monkeypatch: pytest.MonkeyPatch):
    id = whet.sweep({"method": "random", "metric": {"name": "loss"}, "parameters": SPACE}, storage=behind)
    with serving(application(behind)) as url:
        first = post(url, f"/sweeps/{id}/suggest", {"owner": "far|1|1"})[1]["trial"]
    hours = time.time() + 7200.0
    monkeypatch.setattr(time, "time", lambda: hours)
    with serving(application(behind)) as url:  # whose worker could give no sign of life meanwhile
        second = post(url, f"/sweeps/{id}/suggest", {"owner": "other|1|1"})[1]["trial"]
        assert (first["number"], second["number"]) == (0, 1)
        told = post(url, f"/sweeps/{id}/tell", {"number": 0, "attempt": 0, "values": {"loss": 1.0}})
    assert told == (200, {"phase": "finished", "reason": ""})
