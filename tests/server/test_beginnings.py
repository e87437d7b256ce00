"""What a new sweep begins with: methods, the schema, a run, a script's flags."""

from __future__ import annotations

from typing import Any

import pytest

import whet
from whet import plugins
from whet.config import parse, schema
from whet.search.random import Random
from whet.server.app import API, application
from whet.space import Float
from whet.store import Store
from whet.store.base import NewRun
from whet.store.token import Scope
from whet.testing.serving import asking
from whet.trial import Phase


@pytest.fixture
def ask(behind: Store) -> Any:
    return asking(application(behind))


def test_every_method_says_when_to_take_it(ask: Any) -> None:
    found = ask.get(f"{API}/sweeps:methods").json()
    methods = {one["name"]: one for one in found["methods"]}
    assert sorted(methods) == plugins.names("searcher")
    assert [one["name"] for one in found["stoppers"]] == plugins.names("stopper")
    for one in (*found["methods"], *found["stoppers"]):
        assert 20 < len(one["about"]) < 140, one
    assert methods["random"] == {"name": "random", "about": Random.suits, "knobs": [], "learns": False}
    assert "prior" in methods["bayes"]["knobs"]


def test_a_method_that_cant_be_loaded_says_what_it_lacks(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    find = plugins.find

    def missing(kind: str, name: str) -> Any:
        if name == "cmaes":
            raise whet.errors.MissingDependency("no cmaes", 'pip install "whet[cmaes]"')
        return find(kind, name)

    monkeypatch.setattr(plugins, "find", missing)
    found = {one["name"]: one for one in ask.get(f"{API}/sweeps:methods").json()["methods"]}
    assert 'pip install "whet[cmaes]"' in found["cmaes"]["about"]


def test_the_schema_is_that_of_sweep_files(ask: Any) -> None:
    assert ask.get(f"{API}/sweeps:schema").json() == schema()


def test_a_scripts_flags_become_a_sweep(ask: Any) -> None:
    made = ask.post(f"{API}/sweeps:flags", json={"text": "python train.py --lr 0.1 --layers 3"}).json()
    assert list(parse(made["text"]).problem.space) == ["lr", "layers"]
    assert made["notices"]
    assert ask.post(f"{API}/sweeps:preview", json={"config": made["text"]}).json()["errors"] == []
    refused = ask.post(f"{API}/sweeps:flags", json={"text": "hello"})
    assert refused.status_code == 422
    assert "--help" in refused.json()["fix"]


def test_around_a_trial_of_a_sweep(ask: Any, behind: Store) -> None:
    study = whet.create_study(
        name="a",
        storage=behind,
        space={"x": {"min": 0.0, "max": 1.0}, "n": {"min": 1, "max": 64, "log": True}},
        method="random",
        seed=1,
    )
    trial = study.ask()
    study.tell(trial, 0.5)
    run = trial.run_id
    made = ask.get(f"{API}/runs/{run[:8]}/around").json()
    space = parse(made["text"]).problem.space
    assert space.contains(trial.params)
    assert space["x"] != Float(0.0, 1.0)
    assert ask.post(f"{API}/sweeps:preview", json={"config": made["text"]}).json()["samples"][0] == pytest.approx(
        trial.params
    )


def test_around_a_run_alone_and_around_none(ask: Any, behind: Store) -> None:
    behind.runs.create(NewRun(id="alone", project="p", name="n", owner="", config={"lr": 0.1}))
    behind.runs.finish("alone", Phase.FINISHED)
    assert "lr: {min: 0.01, max: 1.0, log: true}" in ask.get(f"{API}/runs/alone/around").json()["text"]
    assert ask.get(f"{API}/runs/nosuch/around").status_code == 404


def test_readers_may_ask_and_others_projects_are_closed(behind: Store) -> None:
    for project in ("a", "b"):
        behind.runs.create(NewRun(id=f"in{project}", project=project, name="n", owner="", config={"lr": 0.1}))
    secret = behind.tokens.create(Scope.READ, projects=["a"])[1]
    ask = asking(application(behind))
    ask.headers["Authorization"] = f"Bearer {secret}"
    assert ask.get(f"{API}/sweeps:methods").status_code == 200
    assert ask.post(f"{API}/sweeps:flags", json={"text": "python t.py --lr 0.1"}).status_code == 200
    assert ask.get(f"{API}/runs/ina/around").status_code == 200
    assert ask.get(f"{API}/runs/inb/around").status_code in (403, 404)
