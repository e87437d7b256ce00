"""What a page asks of a sweep: its runs, its figures, files, other sweeps beside it, drafts of new ones, failed trials again."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

import whet
from whet.analysis.history import best_so_far
from whet.cli.main import cli
from whet.figures.base import FIGURES
from whet.project.templates import templates
from whet.server import exports
from whet.server.app import API, application
from whet.server.guard import Door
from whet.server.rest import answer
from whet.server.sweeps import marks_of
from whet.store import Store
from whet.store.token import Scope
from whet.study.retry import retry
from whet.testing.serving import asking
from whet.trial import Phase, Trial

SPACE = {"lr": {"min": 1e-4, "max": 1.0, "log": True}, "width": {"values": [8, 16]}, "seed": {"value": 5}}


@pytest.fixture
def ask(behind: Store) -> Any:
    return asking(application(behind))


def ran(store: Store, name: str, num: int = 14, *, broken: tuple[int, ...] = (), **more: Any) -> str:
    """A sweep that has run; its id."""
    given = {
        "space": {"parameters": SPACE},
        "method": "random",
        "seed": 1,
        "stopper": "none",
        "metrics": ["loss"],
        **more,
    }
    study = whet.create_study(name=name, storage=store, **given)

    def objective(trial: Any) -> float:
        if trial.number in broken:
            raise RuntimeError("out of memory")
        trial.report(2.0, 1)
        return float(abs(trial.params["lr"] - 0.1) + trial.params["width"] / 1000)

    study.optimize(objective, n_trials=num, catch=(RuntimeError,))
    return str(study.id)


def test_a_sweeps_runs_are_the_run_tables(ask: Any, behind: Store) -> None:
    id = ran(behind, "a", broken=(3,))
    ran(behind, "b", 3)
    mine = ask.get(
        f"{API}/sweeps/a/runs", params={"filter": 'state == "finished"', "sort": "loss", "limit": 4, "column": "loss"}
    )
    same = ask.get(
        f"{API}/runs",
        params={"sweep": id, "filter": 'state == "finished"', "sort": "loss", "limit": 4, "column": "loss"},
    )
    assert mine.json() == same.json()
    assert (mine.json()["total"], len(mine.json()["runs"])) == (13, 4)
    more = ask.get(
        f"{API}/sweeps/{id}/runs",
        params={"filter": 'state == "finished"', "sort": "loss", "limit": 4, "cursor": mine.json()["cursor"]},
    )
    assert {run["id"] for run in more.json()["runs"]}.isdisjoint(run["id"] for run in mine.json()["runs"])
    assert (
        ask.get(
            f"{API}/sweeps/a/runs", headers={"If-None-Match": ask.get(f"{API}/sweeps/a/runs").headers["etag"]}
        ).status_code
        == 304
    )


def test_a_sweeps_file_is_the_command_lines(
    ask: Any, behind: Store, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, with columns that only late runs have, it is the same file."""
    from click.testing import CliRunner

    monkeypatch.setattr(exports, "_PAGE", 4)
    id = ran(behind, "a", broken=(3,))
    last = max(behind.runs.select(), key=lambda run: run.number or 0)
    behind.trials.annotate(id, last.number or 0, attrs={"note": "x"})
    monkeypatch.setenv("WHET_STORE", behind.url)
    for format in ("csv", "parquet"):
        path = tmp_path / f"runs.{format}"
        assert CliRunner().invoke(cli, ["export", "a", "-o", str(path)]).exit_code == 0
        answer = ask.get(f"{API}/sweeps/a/export", params={"format": format})
        assert answer.headers["content-disposition"] == f'attachment; filename="{id}.{format}"'
        if format == "csv":
            assert answer.text == path.read_text()
            rows = list(csv.DictReader(io.StringIO(answer.text)))
        else:
            import pyarrow.parquet as pq

            assert pq.read_table(io.BytesIO(answer.content)).to_pylist() == pq.read_table(path).to_pylist()
    lines = [
        json.loads(line) for line in ask.get(f"{API}/sweeps/a/export", params={"format": "jsonl"}).text.splitlines()
    ]
    assert [line["trial"] for line in lines] == [int(row["trial"]) for row in rows] == list(range(14))
    assert lines[3]["state"] == "failed"
    assert "value.loss" not in lines[3]
    assert {*lines[0]} <= {*rows[0]}
    some = ask.get(f"{API}/sweeps/a/export", params={"format": "jsonl", "filter": 'state == "failed"'}).text
    assert [json.loads(line)["trial"] for line in some.splitlines()] == [3]


def test_files_of_odd_values(ask: Any, behind: Store) -> None:
    id = ran(behind, "a", 1)
    assert ask.get(f"{API}/sweeps/a/export?format=xml").status_code == 422
    bad = ask.get(f"{API}/sweeps/a/export", params={"filter": "loss <"})
    assert (bad.status_code, bad.json()["title"]) == (422, "ExpressionError")
    for value in (10**30, float("nan"), [1, 2], "text", None):
        behind.trials.enqueue(id, {"lr": value, "width": 8})
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(ask.get(f"{API}/sweeps/a/export?format=parquet").content)).to_pylist()
    assert [row["param.lr"] for row in table][1:] == [str(10**30), "NaN", "[1, 2]", "text", None]
    lines = ask.get(f"{API}/sweeps/a/export?format=jsonl").text.splitlines()
    assert [json.loads(line)["param.lr"] for line in lines][1:] == [10**30, "NaN", [1, 2], "text", None]


def test_an_empty_sweep_has_an_empty_file(ask: Any, behind: Store) -> None:
    whet.sweep({"method": "random", "parameters": SPACE, "name": "empty"}, storage=behind)
    for format in ("csv", "jsonl", "parquet"):
        assert ask.get(f"{API}/sweeps/empty/export", params={"format": format}).status_code == 200
    assert ask.get(f"{API}/sweeps/empty/export?format=jsonl").content == b""


def test_every_figure_as_data(ask: Any, behind: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    id = ran(behind, "a", 24, broken=(3,))
    assert [one["name"] for one in ask.get(f"{API}/figures").json()] == list(FIGURES)
    monkeypatch.setenv("WHET_STORE", behind.url)
    for name in FIGURES:
        answer = ask.get(f"{API}/sweeps/a/figures/{name}")
        printed = CliRunner().invoke(cli, ["plot", "a", name, "--json"])
        if name in ("pareto", "hypervolume", "regret") and answer.status_code == 422:
            assert printed.exit_code != 0
            continue
        assert answer.status_code == 200, (name, answer.text)
        found = answer.json()
        assert (found["sweep"], found["figure"], found["metric"]) == (id, name, "loss")
        assert found["data"] == json.loads(printed.stdout)["data"], name
    chosen = ask.get(f"{API}/sweeps/a/figures/contour", params={"param": ["width", "lr"]}).json()["data"]
    assert (chosen["x"]["name"], chosen["y"]["name"]) == ("width", "lr")
    assert (
        ask.get(
            f"{API}/sweeps/a/figures/response",
            headers={"If-None-Match": ask.get(f"{API}/sweeps/a/figures/response").headers["etag"]},
        ).status_code
        == 304
    )
    parallel = f"{API}/sweeps/a/parallel-coordinates"
    for params, num in [({"most": 1}, 2), ({"param": ["width", "lr"]}, 3)]:
        axes = [axis["name"] for axis in ask.get(parallel, params=params).json()["axes"]]
        assert len(axes) == num
        assert axes[-1] == "loss"
    assert ask.get(parallel, params={"param": ["widht"]}).status_code == 422
    unknown = ask.get(f"{API}/sweeps/a/figures/histroy")
    assert (unknown.status_code, "did you mean 'history'" in unknown.json()["fix"]) == (422, True)
    assert ask.get(f"{API}/sweeps/a/figures/history?metric=acc").status_code == 422
    whet.sweep({"method": "random", "metric": {"name": "loss"}, "parameters": SPACE, "name": "empty"}, storage=behind)
    assert ask.get(f"{API}/sweeps/empty/figures/response").status_code == 422


def test_sweeps_against_each_other(ask: Any, behind: Store) -> None:
    first, second = ran(behind, "a", 20), ran(behind, "b", 12, method="sobol", broken=(1,))
    found = ask.get(f"{API}/sweeps:compare", params={"ids": "a,b"}).json()
    assert (found["metric"], found["goal"]) == ("loss", "minimize")
    assert [(one["sweep"], one["method"], one["num_trials"], one["num_failed"]) for one in found["sweeps"]] == [
        (first, "random", 20, 0), (second, "sobol", 12, 1),
    ]  # fmt: skip
    bests = [one["best"] for one in found["sweeps"]]
    assert found["target"] == max(bests)
    for one in found["sweeps"]:
        assert one["best"] == behind.sweeps.get(one["sweep"]).best_value
        reached = [n for n, value in one["curve"] if value <= found["target"]]
        assert one["num_needed"] == reached[0]
        assert one["curve"][-1] == [one["best_number"] + 1, one["best"]]
    assert [(one["name"], one["sweeps"]) for one in found["teams"]] == []
    assert [row["key"] for row in found["configs"]] == ["lr", "width", "seed"]
    assert [(row["name"], row["share"]) for row in found["shared"]] == [("lr", 1.0), ("width", 1.0), ("seed", 1.0)]
    third = ran(behind, "c", 10, seed=2)
    (team,) = ask.get(f"{API}/sweeps:compare", params={"ids": "a,b,c"}).json()["teams"]
    assert (team["name"], team["sweeps"]) == ("random", [first, third])
    assert team["curve"][-1]["num_trials"] == 10
    assert all(one["low"] <= one["median"] <= one["high"] for one in team["curve"])
    ran(behind, "other", 2, metrics=["acc"], directions=["maximize"])
    refused = ask.get(f"{API}/sweeps:compare", params={"ids": "a,other"})
    assert (refused.status_code, "sweep 'other' has no metric 'loss'" in refused.json()["detail"]) == (422, True)
    partly = ask.get(f"{API}/sweeps:compare", params={"ids": "a,nothing"}).json()
    assert ([one["sweep"] for one in partly["sweeps"]], partly["missing"]) == ([first], ["nothing"])
    assert ask.get(f"{API}/sweeps:compare", params={"ids": "nothing,nobody"}).status_code == 404
    assert ask.get(f"{API}/sweeps:compare", params={"ids": ","}).status_code == 422
    assert ask.get(f"{API}/sweeps:compare").status_code == 422


def best_so_far_of(store: Store, name: str) -> list[Any]:
    study = whet.load_study(study_name=name, storage=store)
    return [one for one in best_so_far(study.problem, study.trials) if one.improved]


def test_the_list_says_how_the_best_came_about_at_the_cost_of_what_is_new(behind: Store, monkeypatch: Any) -> None:
    first = ran(behind, "a", 80, broken=(3,))
    more: dict[str, Any] = {"storage": behind, "method": "random", "space": {"parameters": SPACE}}
    several = whet.create_study(name="several", metrics=["a", "b"], directions=["minimize", "minimize"], **more)
    several.tell(several.ask(), [1.0, 2.0])
    ran(behind, "limited", 3, limits={"loss": {"max": 9}})
    ran(behind, "failed", 2, broken=(0, 1))
    asked: list[list[str]] = []
    gains = type(behind.sweeps).gains
    monkeypatch.setattr(type(behind.sweeps), "gains", lambda self, ids: asked.append(sorted(ids)) or gains(self, ids))
    ask = asking(application(behind))

    def sparks(**query: str) -> dict[str, list[list[float]]]:
        return {one["name"]: one["spark"] for one in ask.get(f"{API}/sweeps", params=query).json()}

    found = sparks()
    assert found["failed"] == []
    assert [len(found[name]) for name in ("several", "limited")] == [1, len(best_so_far_of(behind, "limited"))]
    assert found["a"][0][0] == 0
    values = [value for _, value in found["a"]]
    assert len(values) > 2
    assert values == sorted(values, reverse=True)
    assert values[-1] == behind.sweeps.get(first).best_value
    assert [len(ids) for ids in asked] == [2]
    assert sparks() == found
    assert len(asked) == 1
    study = whet.load_study(study_name="a", storage=behind)
    study.tell(study.ask(), -5.0)
    assert sparks(method="random")["a"][-1] == [80, -5.0]
    assert asked[1:] == [[first]]


def test_who_is_limited_compares_no_sweep_of_others(behind: Store) -> None:
    ran(behind, "of mine", 2, project="mine")
    ran(behind, "of theirs", 2, project="other")  # no name that an id may begin with
    _, secret = behind.tokens.create(Scope.READ, projects=["mine"])
    ask = asking(application(behind, Door(host="0.0.0.0")), headers={"Authorization": f"Bearer {secret}"})
    assert ask.get(f"{API}/sweeps:compare", params={"ids": "of mine"}).status_code == 200
    for other in ("of theirs", "nobody"):  # it is the same answer whether others have it or nobody does
        found = ask.get(f"{API}/sweeps:compare", params={"ids": f"of mine,{other}"}).json()
        assert ([one["name"] for one in found["sweeps"]], found["missing"]) == (["of mine"], [other])
        assert ask.get(f"{API}/sweeps:compare", params={"ids": other}).status_code == 404
    for path in ("runs", "export", "figures/history"):
        assert [ask.get(f"{API}/sweeps/{name}/{path}").status_code for name in ("of mine", "of theirs")] == [
            200,
            404,
        ], path


def test_templates(ask: Any, behind: Store) -> None:
    found = {one["name"]: one for one in ask.get(f"{API}/templates").json()}
    assert {"image-classifier", "fine-tuning", "gradient-boosting", "one-pass-hypergradient"} <= found.keys()
    assert all(one["about"] and one["config"]["parameters"] for one in found.values())
    body = {
        "template": "image-classifier",
        "changes": {"run_cap": 7, "parameters": {"dropout": None, "epochs": 3}},
        "project": "demo",
    }
    made = ask.post(f"{API}/sweeps", json=body)
    assert (made.status_code, made.json()["cap"], made.json()["project"]) == (201, 7, "demo")
    parameters = made.json()["config"]["parameters"]
    assert ("dropout" in parameters, parameters["epochs"]) == (False, {"value": 3})
    for wrong in (
        {}, {"template": "image-classifier", "config": {}}, {"config": {}, "changes": {}},
        {"template": "image", "changes": {}}, {"template": "image-classifier", "changes": {"parameters": 3}},
        {"template": "image-classifier", "changes": {"run_cap": "many"}},
    ):  # fmt: skip
        answer = ask.post(f"{API}/sweeps", json=wrong)
        assert (answer.status_code, bool(answer.json()["fix"])) == (422, True), wrong
    assert len(behind.sweeps.all()) == 1


@pytest.mark.parametrize("name", [one.name for one in templates()])
def test_every_template_makes_a_sweep(name: str, behind: Store, ask: Any) -> None:
    preview = ask.post(f"{API}/sweeps:preview", json={"template": name}).json()
    assert preview["errors"] == []
    assert len(preview["samples"]) == min(20, preview["num_trials"])
    assert ask.post(f"{API}/sweeps", json={"template": name}).status_code == 201


def test_a_preview_says_what_a_sweep_would_do(ask: Any, behind: Store) -> None:
    grid = {
        "method": "grid",
        "parameters": {"a": {"values": [1, 2, 3]}, "b": {"values": ["x", "y"]}},
        "constraints": ["a < 3"],
        "seed": 0,
    }
    found = ask.post(f"{API}/sweeps:preview", json={"config": grid}).json()
    assert (found["errors"], found["grid_size"], found["num_trials"], len(found["samples"])) == ([], 4, 4, 4)
    found = ask.post(f"{API}/sweeps:preview", json={"config": {**grid, "run_cap": 3}}).json()
    assert (found["grid_size"], found["num_trials"], found["samples"][0]) == (4, 3, {"a": 1, "b": "x"})
    endless = "method: random\nseed: 3\nparameters: {x: {min: 0.0, max: 1.0}}\n"
    found = ask.post(f"{API}/sweeps:preview", json={"config": endless}).json()
    assert (found["grid_size"], found["num_trials"], len(found["samples"])) == (None, None, 20)
    study = whet.create_study(space={"x": {"min": 0.0, "max": 1.0}}, method="random", seed=3, storage="memory")
    study.optimize(lambda trial: 0.0, n_trials=20)
    assert found["samples"] == [trial.params for trial in study.trials]
    assert behind.sweeps.all() == []


def test_a_preview_says_what_is_wrong_and_where(ask: Any) -> None:
    text = "method: random\nparameters:\n  lr:\n    min: 1.0\n    max: 0.1\n"
    (fault,) = ask.post(f"{API}/sweeps:preview", json={"config": text}).json()["errors"]
    assert fault["path"].startswith("parameters.lr")
    assert fault["line"] in (3, 4, 5)
    assert fault["fix"]
    for config, path in (
        ({"method": "rondom", "parameters": SPACE}, "method"),
        ({"method": "random", "parameters": SPACE, "constraints": ["lr > 1", "lr < 0.5"]}, ""),
        (
            {
                "method": "random",
                "metric": {"name": "loss"},
                "parameters": SPACE,
                "early_terminate": {"type": "asha", "eta": 0},
            },
            "",
        ),
        ({"method": "cmaes", "parameters": SPACE, "early_terminate": {"type": "nothing"}}, "early_terminate"),
    ):
        (fault,) = ask.post(f"{API}/sweeps:preview", json={"config": config}).json()["errors"]
        assert fault["path"].startswith(path), fault
    assert ask.post(f"{API}/sweeps:preview", json={"config": "a: 1\nb: [1, 2"}).json()["errors"][0]["line"] in (2, 3)
    assert ask.post(f"{API}/sweeps:preview", json={}).json()["errors"][0]["fix"]


def test_a_grid_that_nobody_walks_through_is_not_counted(ask: Any) -> None:
    names = [f"p{i}" for i in range(12)]
    huge = {
        "method": "grid",
        "parameters": {n: {"min": 0, "max": 99} for n in names},
        "constraints": [f"{' + '.join(names)} < 2000"],
    }
    found = ask.post(f"{API}/sweeps:preview", json={"config": huge}).json()
    assert (found["errors"], found["grid_size"], len(found["samples"])) == ([], None, 20)
    del huge["constraints"]
    assert ask.post(f"{API}/sweeps:preview", json={"config": huge}).json()["grid_size"] == 100**12


def test_failed_trials_again(ask: Any, behind: Store) -> None:
    id = ran(behind, "a", broken=(2, 4), run_cap=14)
    assert behind.sweeps.get(id).state.value == "finished"
    done = ask.post(f"{API}/sweeps/a/retry", json={})
    queued = [{"number": 2, "as_number": 14}, {"number": 4, "as_number": 15}]
    assert (done.status_code, done.json()) == (
        200, {"queued": queued, "waiting": [], "skipped": [], "state": "running", "cap": 16}
    )  # fmt: skip
    again = ask.post(f"{API}/sweeps/a/retry", json={}).json()
    assert (again["queued"], again["waiting"]) == ([], queued)
    first = ask.post(f"{API}/sweeps/a/suggest", json={}).json()["trial"]
    assert (first["number"], first["params"]) == (14, dict(behind.trials.changes(id).trials[2].params))
    assert ask.post(f"{API}/sweeps/a/retry", json={"numbers": [0]}).json()["queued"] == [{"number": 0, "as_number": 16}]
    running = ask.post(f"{API}/sweeps/a/retry", json={"numbers": [14]})
    assert (running.status_code, "is running, not over" in running.json()["detail"]) == (422, True)
    assert ask.post(f"{API}/sweeps/a/retry", json={"numbers": [99]}).status_code == 404
    ask.post(f"{API}/sweeps/a/cancel")
    assert ask.post(f"{API}/sweeps/a/retry", json={"numbers": [1]}).status_code == 409


def test_failed_trials_again_from_afar(store: Store, behind: Store) -> None:
    """The command line does the same through a server."""
    id = ran(behind, "a", broken=(2,), run_cap=14)
    assert retry(store, id).queued == {2: 14}
    assert retry(store, id).waiting == {2: 14}
    assert behind.sweeps.get(id).cap == 15


def test_parts_of_parameters_are_changed_and_all_else_stays(ask: Any, behind: Store) -> None:
    id = ran(behind, "a", 2)
    before = json.dumps(behind.sweeps.get(id).config)

    def put(**body: Any) -> Any:
        return ask.put(f"{API}/sweeps/{id}", json={"version": behind.sweeps.get(id).version, **body})

    assert put(parameters={"lr": {"max": 2}}).status_code == 200
    config = behind.sweeps.get(id).config
    assert config["parameters"]["lr"]["max"] == 2.0
    assert put(parameters={"lr": {"max": 1}}).status_code == 200
    assert json.dumps(behind.sweeps.get(id).config) == before
    for body, said in (
        ({"parameters": {"lrr": {"max": 1}}}, "lrr"),
        ({"parameters": {"lr": {"max": 0}}}, "lr"),
        ({"parameters": {"lr": {"max": "much"}}}, "much"),
        ({"parameters": {}, "config": {}}, "both"),
    ):
        answer = put(**body)
        assert 400 <= answer.status_code < 500
        assert said in answer.text
    stale = ask.put(f"{API}/sweeps/{id}", json={"version": 0, "parameters": {"lr": {"max": 3}}})
    assert stale.status_code == 409
    assert json.dumps(behind.sweeps.get(id).config) == before


def test_all_that_stopped_or_failed_is_marked_in_few_bytes(ask: Any, behind: Store) -> None:
    study = whet.create_study(
        name="s", storage=behind, space={"parameters": SPACE}, method="random", stopper="none", metrics=["loss"]
    )
    for value in (1 / 3, None, float("inf"), 2.0):
        trial = study.ask()
        if value is not None:
            trial.report(value, 1)
        study.tell(trial, state=whet.TrialState.PRUNED)
    study.tell(study.ask(), 0.5)
    study.tell(study.ask(), state=whet.TrialState.FAIL)
    assert ask.get(f"{API}/sweeps/s/marks").json() == {"stopped": [[0, 0.333333], [3, 2.0]], "failed": [5]}
    many = [
        Trial(number=i, params={"lr": 0.1}, phase=Phase.FINISHED, stopped=True, values=(1 / (i + 7),))
        for i in range(10_000)
    ]
    body = answer(marks_of(many)).body
    assert len(json.loads(body)["stopped"]) == 10_000
    assert len(body) < 20 * 10_000
