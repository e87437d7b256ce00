"""REST for runs: the run table, one run, curves, logs, comparison, export, and answers that need not be sent again."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import whet
from whet.server.app import API, application
from whet.server.etags import Tags
from whet.space import Float
from whet.store import Store, open_store
from whet.store.base import Artifact, Batch, NewRun, Row, RunQuery
from whet.store.token import Scope
from whet.trial import Goal, Phase, Suggestion

ME = "elsewhere|1|0"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(open_store(str(tmp_path / "whet.db"))) as store:
        for i, (name, project) in enumerate([("a", "p"), ("b", "p"), ("c", "q")]):
            config = {"lr": 0.1 * (i + 1), "optimizer": "adam", "deep": {"er": i}}
            folder = tmp_path / name
            folder.mkdir()
            store.runs.create(
                NewRun(id=name, project=project, name=f"run {name}", owner=ME, config=config, folder=str(folder))
            )
            rows = [Row(step=s, time=float(s), values={"loss": 1.0 / (s + i + 1)}) for s in range(1000)]
            store.runs.ship(name, 0, "spool", 0, 1, Batch(rows=rows, meta={"git": {"commit": "c"}}))
        last = Row(step=1000, time=1000.0, values={"loss": math.nan, "gain": math.inf})
        model = Artifact(name="model", kind="model", path="/m", size=3, sha256="00")
        store.runs.ship("b", 0, "spool", 1, 2, Batch(rows=[last], artifacts=[model]))
        store.runs.finish("b", Phase.FAILED, "diverged")
        yield store


@pytest.fixture
def ask(store: Store) -> TestClient:
    return TestClient(application(store), base_url="http://127.0.0.1:8000", client=("127.0.0.1", 5))


def get(ask: TestClient, path: str, status: int = 200, **params: object) -> object:
    answer = ask.get(f"{API}{path}", params=params)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_projects(ask: TestClient) -> None:
    assert get(ask, "/projects") == [{"name": "p", "num_runs": 2}, {"name": "q", "num_runs": 1}]


def test_the_run_table(ask: TestClient) -> None:
    page = get(ask, "/runs", column=["loss", "config.lr", "gain", "loss.min"], sort="name", limit=2)
    assert (page["total"], [run["id"] for run in page["runs"]]) == (3, ["a", "b"])
    assert page["runs"][1]["cells"] == {"loss": "NaN", "config.lr": 0.2, "gain": "Infinity", "loss.min": 1 / 1001}
    assert (page["runs"][1]["state"], page["runs"][1]["reason"]) == ("failed", "diverged")
    rest = get(ask, "/runs", column=["loss"], sort="name", limit=2, cursor=page["cursor"])
    assert ([run["id"] for run in rest["runs"]], rest["cursor"]) == (["c"], None)
    assert get(ask, "/runs", filter='loss < 1 and project == "q"')["total"] == 1
    assert get(ask, "/runs", project="p")["total"] == 2
    assert get(ask, "/runs:columns") == {
        "metrics": ["loss", "gain"], "config": ["deep", "lr", "optimizer"], "summary": [], "attrs": [],
    }  # fmt: skip
    last = get(ask, "/runs", sort="name", limit=2, offset=2)
    assert ([run["id"] for run in last["runs"]], last["total"], last["cursor"]) == (["c"], 3, None)
    assert get(ask, "/runs", sort="name", offset=9)["total"] == 3
    assert get(ask, "/runs", 422, offset=-1)["status"] == 422
    assert "both a cursor and an offset" in get(ask, "/runs", 422, sort="name", offset=1, cursor=page["cursor"])["detail"]  # fmt: skip
    wrong = get(ask, "/runs", 422, filter="state == 'done'")
    assert wrong["detail"] == "in \"state == 'done'\": unknown state 'done'"
    assert "known:" in wrong["fix"]
    assert get(ask, "/runs", 422, limit=1001)["status"] == 422
    assert get(ask, "/runs", 404, sweep="nobody")["title"] == "NotFound"


def test_metrics_that_say_how_good_a_run_is_come_first(ask: TestClient, store: Store) -> None:
    values = dict.fromkeys(["a", "epoch", "eval_f1", "system/err", "val_loss", "zeal"], 1.0)
    store.runs.ship("c", 0, "spool", 1, 2, Batch(rows=[Row(step=0, time=0.0, values=values)]))
    assert get(ask, "/runs:columns", project="q")["metrics"] == ["eval_f1", "loss", "val_loss", "a", "epoch", "zeal", "system/err"]  # fmt: skip
    study = whet.create_study(name="s", storage=store, method="random", metrics=["zeal"], space={"lr": Float(0.1, 1.0)})
    trial = study.ask()
    for name, value in values.items():
        store.runs.ship(trial.run_id, 0, name, 0, 1, Batch(rows=[Row(step=0, time=0.0, values={name: value})]))
    assert get(ask, "/runs:columns", sweep=study.id)["metrics"] == ["zeal", "eval_f1", "val_loss", "a", "epoch", "system/err"]  # fmt: skip


def test_one_run(ask: TestClient, store: Store) -> None:
    run = get(ask, "/runs/b")
    assert (run["metrics"]["loss"]["last"], run["metrics"]["gain"]["max"], run["meta"]) == (
        "NaN",
        "Infinity",
        {"git": {"commit": "c"}},
    )
    assert get(ask, "/runs/run b") == run
    changed = ask.patch(f"{API}/runs/b", json={"name": "new", "tags": ["x", "y"], "notes": "n"}).json()
    assert (changed["name"], changed["tags"], changed["notes"], changed["group"]) == ("new", ["x", "y"], "n", "")
    assert ask.patch(f"{API}/runs/b", json={"name": 3}).status_code == 422
    assert ask.patch(f"{API}/runs/b", json={"nam": "x"}).status_code == 422
    assert get(ask, "/runs/b/artifacts") == [
        {"name": "model", "kind": "model", "path": "/m", "size": 3, "sha256": "00", "here": False, "received": 0}
    ]
    ended = ask.post(f"{API}/runs/a/finish", json={"state": "canceled", "reason": "enough"}).json()
    assert (ended["state"], ended["reason"]) == ("canceled", "enough")
    assert ask.post(f"{API}/runs/a/finish", json={}).status_code == 409
    assert get(ask, "/runs/nobody", 404)["title"] == "NotFound"


def test_a_trials_run_has_its_result_by_metric(ask: TestClient, store: Store) -> None:
    sweep = store.sweeps.create("p", {"metric": {"name": "loss"}}, goals=[Goal.MINIMIZE])
    run = store.trials.add(sweep.id, 0, Suggestion(params={"lr": 0.5}), owner=ME, seen=0)
    store.trials.tell(sweep.id, 0, 0, phase=Phase.FINISHED, values=(0.25,))
    assert get(ask, f"/runs/{run}")["result"] == {"loss": 0.25}
    (line,) = get(ask, "/runs", sweep=sweep.id)["runs"]
    assert (line["values"], line["number"], line["best"]) == ([0.25], 0, True)


def test_runs_are_deleted(ask: TestClient, store: Store) -> None:
    assert ask.post(f"{API}/runs:delete", json={"ids": ["b", "a"]}).status_code == 409  # a runs: neither is deleted
    assert store.runs.get("b").id == "b"
    store.runs.finish("a", Phase.FINISHED)
    assert ask.post(f"{API}/runs:delete", json={"ids": ["b"]}).json() == {"num_deleted": 1}
    assert ask.delete(f"{API}/runs/a").json() == {"num_deleted": 1}
    assert ask.delete(f"{API}/runs/a").status_code == 404


def test_curves(ask: TestClient) -> None:
    lines = get(ask, "/runs/b/metrics", name="loss", max_points=50)
    assert list(lines) == ["loss"]
    assert len(lines["loss"]["x"]) <= 50
    assert (lines["loss"]["y"][0], lines["loss"]["y"][-1]) == (0.5, "NaN")
    many = ask.post(
        f"{API}/metrics:query", json={"ids": ["a", "c", "gone"], "names": ["loss"], "max_points": 2000, "x": "time"}
    )
    assert {id: len(found["loss"]["x"]) for id, found in many.json().items()} == {"a": 1000, "c": 1000}
    assert ask.post(f"{API}/metrics:query", json={"ids": ["a"], "max_points": 2}).status_code == 422


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server's own folder."""
    monkeypatch.setenv("WHET_DIR", str(tmp_path / ".whet"))
    return tmp_path / ".whet"


def test_logs(ask: TestClient, own: Path) -> None:
    assert get(ask, "/runs/a/logs", 404)["title"] == "NotFound"
    text = "one\ntwo ä\nthree"
    for name in "ac":
        (own / "runs" / name).mkdir(parents=True)
    (own / "runs" / "a" / "output.log").write_text(text, encoding="utf-8")
    size = len(text.encode())
    assert get(ask, "/runs/a/logs") == {"stream": "stdout", "text": text, "start": 0, "end": size, "size": size}
    assert get(ask, "/runs/a/logs", tail=2)["text"] == "two ä\nthree"
    assert get(ask, "/runs/a/logs", tail=0)["text"] == ""
    assert get(ask, "/runs/a/logs", offset=4)["text"] == "two ä\nthree"
    assert get(ask, "/runs/a/logs", offset=99) == {
        "stream": "stdout",
        "text": "",
        "start": size,
        "end": size,
        "size": size,
    }
    (own.parent / "secret").write_text("secret")
    (own / "runs" / "c" / "output.log").symlink_to(own.parent / "secret")
    assert get(ask, "/runs/c/logs", 404)["title"] == "NotFound"


def test_runs_side_by_side(ask: TestClient) -> None:
    table = get(ask, "/runs:compare", run=["a", "b"])
    assert (table["runs"], table["names"]) == (["a", "b"], ["run a", "run b"])
    rows = {row["key"]: (row["values"], row["differs"]) for row in table["config"]}
    assert rows["lr"] == ([0.1, 0.2], True)
    assert rows["optimizer"] == (["adam", "adam"], False)
    assert rows["deep.er"] == ([0, 1], True)
    assert {row["key"]: row["values"] for row in table["summary"]} == {
        "loss": [0.001, "NaN"],
        "gain": [None, "Infinity"],
    }


def test_export(ask: TestClient) -> None:
    answer = ask.get(f"{API}/runs:export", params={"filter": "config.lr > 0.15"})
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["id"], row["param.deep.er"]) for row in rows] == [("b", "1"), ("c", "2")]
    (run,) = get(ask, "/runs:export", format="json", id="b")["runs"]
    assert (run["id"], len(run["curves"]["loss"]["steps"]), run["curves"]["gain"]["values"]) == (
        "b",
        1001,
        ["Infinity"],
    )


def test_what_did_not_change_is_not_sent_again(ask: TestClient, store: Store) -> None:
    for path in ("/runs", "/runs/a", "/projects", "/runs/a/metrics", "/runs:columns", "/runs:compare?run=a&run=b"):
        first = ask.get(f"{API}{path}")
        tag = first.headers["etag"]
        again = ask.get(f"{API}{path}", headers={"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        store.runs.edit("c", notes=f"{path}")  # something else changed
        assert ask.get(f"{API}{path}", headers={"If-None-Match": tag}).status_code == 304
        store.runs.ship("a", 0, path, 0, 1, Batch(rows=[Row(step=1, time=1.0, values={path: 1.0})]))
        store.runs.edit("a", name=path)
        if path != "/projects":
            assert ask.get(f"{API}{path}", headers={"If-None-Match": tag}).status_code == 200


def test_nothing_is_computed_while_nothing_changes(store: Store) -> None:
    from starlette.requests import Request

    now, made = [0.0], []
    tags = Tags(store, lambda: now[0])

    def poll(tag: str = "") -> object:
        scope = {
            "type": "http",
            "path": "/x",
            "query_string": b"",
            "method": "GET",
            "server": ("s", 1),
            "scheme": "http",
        }
        request = Request({**scope, "headers": [(b"if-none-match", tag.encode())]})
        return tags.answer(request, lambda: made.append(1) or ["same"])

    tag = poll().headers["etag"]
    assert [poll(tag).status_code for _ in range(3)] == [304] * 3
    assert len(made) == 1
    store.runs.edit("a", notes="x")
    assert (poll(tag).status_code, len(made)) == (304, 2)
    now[0] = 60.0  # ages may have changed
    assert (poll(tag).status_code, len(made)) == (304, 3)
    assert (poll('"old"').status_code, len(made)) == (200, 3)  # it was kept for others


def test_a_token_for_one_project_sees_its_runs_only(store: Store) -> None:
    _, secret = store.tokens.create(Scope.READ, projects=["q"])
    store.tokens.create(Scope.ADMIN)
    ask = TestClient(application(store), base_url="http://127.0.0.1:8000", client=("127.0.0.1", 5))
    ask.headers["Authorization"] = f"Bearer {secret}"
    assert get(ask, "/projects") == [{"name": "q", "num_runs": 1}]
    assert [run["id"] for run in get(ask, "/runs")["runs"]] == ["c"]
    assert get(ask, "/runs", filter='project == "p" or loss < 9')["total"] == 1
    get(ask, "/runs", 403, project="p")
    get(ask, "/runs/a", 404)
    get(ask, "/runs:compare", 404, run=["a", "c"])
    get(ask, "/runs:columns", 403)
    assert list(ask.post(f"{API}/metrics:query", json={"ids": ["a", "c"]}).json()) == ["c"]
    assert "run a" not in ask.get(f"{API}/runs:export").text
    assert "run a" not in ask.get(f"{API}/runs:export", params={"id": ["a", "c"]}).text
    assert ask.patch(f"{API}/runs/c", json={"name": "x"}).status_code == 403


def test_a_token_for_one_project_acts_on_the_runs_of_these_ids_and_no_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is called as another one's id is not meant by it; what others have is as if it were not there."""
    _, secret = store.tokens.create(Scope.ADMIN, projects=["q"])
    store.tokens.create(Scope.ADMIN)
    ask = TestClient(application(store), base_url="http://127.0.0.1:8000", client=("127.0.0.1", 5))
    ask.headers["Authorization"] = f"Bearer {secret}"
    for id, project, name in (("d", "q", "a"), ("e", "q", "plain"), ("f", "q", "plain"), ("g", "p", "e")):
        store.runs.create(NewRun(id=id, project=project, name=name, owner=""))
        store.runs.finish(id, Phase.FINISHED)

    def post(what: str, ids: list[str], **more: object) -> int:
        return ask.post(f"{API}/runs:{what}", json={"ids": ids, **more}).status_code

    def export(*ids: str) -> object:
        answer = ask.get(f"{API}/runs:export", params={"id": ids, "format": "json"})
        return [run["id"] for run in answer.json()["runs"]] if answer.status_code == 200 else answer.status_code

    for ids in (["a"], ["plain"], ["e", "a"], ["e", "nobody"], ["ffff"]):
        assert (post("tag", ids, add=["x"]), post("delete", ids), export(*ids)) == (404, 404, 404), ids
        assert not any(run.tags for run in store.runs.select(RunQuery()))
    said = [ask.post(f"{API}/runs:tag", json={"ids": [id], "add": ["x"]}).json()["detail"] for id in ("a", "0")]
    assert said[0].replace("'a'", "'0'") == said[1]  # one that others have, and one that nobody has
    assert export("f", "e", "d") == ["f", "e", "d"]
    asked = []
    for verb in ("select", "find", "get"):
        told = getattr(store.runs, verb)
        monkeypatch.setattr(store.runs, verb, lambda *a, told=told, verb=verb: asked.append(verb) or told(*a))
    assert (post("tag", ["d", "e"], add=["x"]), post("delete", ["d", "f"])) == (200, 200)
    assert asked == ["select", "select"]
    assert {run.id: run.tags for run in store.runs.select(RunQuery(project="q"))}["e"] == ("x",)
    assert store.runs.get("a").tags == ()


def test_the_description_names_the_shapes(ask: TestClient) -> None:
    document = json.loads(ask.get(f"{API}/openapi.json").text)
    shapes = document["components"]["schemas"]
    assert {"PageView", "RunLine", "RunView", "Lines", "ComparisonView", "Names", "LogPiece"} <= shapes.keys()
    assert set(shapes["RunLine"]["required"]) == set(shapes["RunLine"]["properties"])
    assert "lost" in shapes["RunLine"]["properties"]["state"]["enum"]


def test_a_state_is_called_the_same_everywhere(ask: TestClient, store: Store) -> None:
    sweep = store.sweeps.create("p", {"metric": {"name": "gain", "goal": "minimize"}}, goals=[Goal.MAXIMIZE], name="s")
    id = store.trials.add(sweep.id, 0, Suggestion(params={}), owner=ME, seen=0)
    store.trials.tell(sweep.id, 0, 0, phase=Phase.FINISHED, stopped=True, values=(1.0,))
    (row,) = get(ask, "/runs", filter='state == "stopped"', column=["state"])["runs"]
    assert (row["state"], row["cells"], row["values"]) == ("stopped", {"state": "stopped"}, [1.0])
    assert get(ask, f"/runs/{id}")["state"] == "stopped"
    assert get(ask, f"/sweeps/{sweep.id}")["metrics"] == [
        {"name": "gain", "goal": "maximize"}
    ]  # as its results are read


@pytest.mark.parametrize(
    "config", [{}, {"method": {}, "metrics": [{}]}, {"method": 3, "metric": 5}, {"metrics": "x", "limits": 1}]
)
def test_sweeps_of_any_configuration_are_listed(ask: TestClient, store: Store, config: dict[str, object]) -> None:
    store.sweeps.create("p", config, goals=[Goal.MINIMIZE], name="s")
    (line,) = get(ask, "/sweeps")
    assert (line["name"], len(line["metrics"])) == ("s", 1)


def test_an_export_goes_out_in_pieces_of_any_format(ask: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = ["c", "b", "a"]
    asked = {"sort": "-config.lr"}
    whole = {
        form: ask.get(f"{API}/runs:export", params={**asked, "format": form}).content
        for form in ("csv", "jsonl", "json")
    }
    monkeypatch.setattr("whet.server.exports._PAGE", 1)
    monkeypatch.setattr("whet.server.exports._FEW", 1)
    for form in whole:
        assert ask.get(f"{API}/runs:export", params={**asked, "format": form}).content == whole[form]
    assert [row["id"] for row in csv.DictReader(io.StringIO(whole["csv"].decode()))] == ids
    assert [json.loads(line)["id"] for line in whole["jsonl"].splitlines()] == ids
    assert [run["id"] for run in json.loads(whole["json"])["runs"]] == ids
    assert get(ask, "/runs:export", format="json", filter="config.lr > 5") == {"runs": []}
    two = ask.get(f"{API}/runs:export", params={"id": ["b", "a"], "format": "jsonl"}).content
    assert [json.loads(line)["id"] for line in two.splitlines()] == ["b", "a"]
    get(ask, "/runs:export", 404, id=["b", "nobody"])


def test_parquet_is_made_of_pages_too(ask: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    def table() -> dict[str, list[object]]:
        content = ask.get(f"{API}/runs:export", params={"sort": "-config.lr", "format": "parquet"}).content
        found: dict[str, list[object]] = pq.read_table(io.BytesIO(content)).to_pydict()
        return found

    whole = table()
    assert whole["id"] == ["c", "b", "a"]
    monkeypatch.setattr("whet.server.exports._PAGE", 1)
    assert repr(table()) == repr(whole)  # with NaN


def test_a_client_cannot_name_the_folder_whose_output_it_reads(own: Path, store: Store, tmp_path: Path) -> None:
    _, secret = store.tokens.create(Scope.WRITE, projects=["mine"])
    ask = TestClient(application(store), base_url="http://127.0.0.1:8000", client=("127.0.0.1", 5))
    ask.headers["Authorization"] = f"Bearer {secret}"
    for id in ("files", "spy"):
        foreign = tmp_path / "wandb" / id
        foreign.mkdir(parents=True)
        (foreign / "output.log").write_text("nobody's business")
        run = {
            "id": id,
            "project": "mine",
            "name": id,
            "owner": ME,
            "folder": str(foreign if id == "files" else foreign.parent),
        }
        made = ask.post(f"{API}/verbs/runs.create", json={"run": run})
        assert made.status_code == 200, made.text
        get(ask, f"/runs/{id}/logs", 404)
    (own / "runs").mkdir(parents=True)
    (own / "runs" / "files").symlink_to(tmp_path / "wandb" / "files")
    get(ask, "/runs/files/logs", 404)


def test_runs_in_groups(ask: TestClient, store: Store) -> None:
    found = get(ask, "/runs:groups", by="config.optimizer", of="loss")
    assert isinstance(found, dict)
    assert (found["total"], found["goal"]) == (1, "minimize")
    (one,) = found["groups"]
    assert (one["value"], one["num_runs"], one["num_values"]) == ("adam", 3, 2)  # the last loss of one is NaN
    assert one["least"] == pytest.approx(1 / 1002)
    assert get(ask, "/runs:groups", by="project", of="gain")["goal"] is None  # type: ignore[index, call-overload]
    get(ask, "/runs:groups", 422, by="project", filter="loss <")
    get(ask, "/runs:groups", 422)
    get(ask, "/runs:groups", 404, by="state", sweep="nobody")
    _, secret = store.tokens.create(Scope.READ, projects=["q"])
    door = TestClient(application(store), base_url="http://127.0.0.1:8000", client=("127.0.0.1", 5))
    limited = door.get(f"{API}/runs:groups", params={"by": "project"}, headers={"Authorization": f"Bearer {secret}"})
    assert [(one["value"], one["num_runs"]) for one in limited.json()["groups"]] == [("q", 1)]


def test_the_goal_of_a_sweep_goes_before_a_name(ask: TestClient, store: Store) -> None:
    metric = {"name": "score", "goal": "minimize"}
    sweep = store.sweeps.create("p", {"method": "random", "metric": metric}, goals=[Goal.MINIMIZE], name="s")
    for number, value in enumerate((3.0, 1.0)):
        id = store.trials.add(sweep.id, number, Suggestion(params={"x": number}), owner=ME, seen=0)
        rows = [Row(step=step, time=1.0, values={"score": value, "speed": 1.0}) for step in range(2)]
        store.runs.ship(id, 0, "spool", 0, 1, Batch(rows=rows))
        store.trials.tell(sweep.id, number, 0, phase=Phase.FINISHED, values=(value,))
    ids = [run.id for run in store.runs.select(RunQuery(sweep=sweep.id, newest_first=False))]
    assert get(ask, "/runs:groups", by="state", of="metrics.score", sweep="s")["goal"] == "minimize"  # type: ignore[index, call-overload]
    assert get(ask, "/runs:groups", by="state", of="value", sweep="s")["goal"] == "minimize"  # type: ignore[index, call-overload]
    found = ask.get(f"{API}/runs:compare", params={"run": [*ids, "a"]}).json()
    rows = {row["key"]: row["best"] for row in found["summary"]}
    assert (rows["score"], rows["speed"], rows["loss"]) == ([1], [], [])  # of one value none is the best
    assert found["curves"] == ["score", "loss", "speed"]


def test_tags_of_many_runs(ask: TestClient, store: Store) -> None:
    def tag(status: int = 200, **body: object) -> object:
        answer = ask.post(f"{API}/runs:tag", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    assert tag(ids=["a", "b"], add=["x", "y"]) == {"num_changed": 2}
    assert tag(ids=["a", "c"], remove=["x"]) == {"num_changed": 1}
    assert [store.runs.get(one).tags for one in "abc"] == [("y",), ("x", "y"), ()]
    tag(404, ids=["a", "nobody"], add=["z"])
    tag(422, ids=["a"], add=[""])
    assert store.runs.get("a").tags == ("y",)
    for scope, projects, status in ((Scope.READ, ["p"], 403), (Scope.WRITE, ["q"], 404), (Scope.WRITE, ["p"], 200)):
        _, secret = store.tokens.create(scope, projects=projects)
        door = TestClient(application(store), base_url="http://127.0.0.1:8000", client=("127.0.0.1", 5))
        headers = {"Authorization": f"Bearer {secret}"}
        answer = door.post(f"{API}/runs:tag", json={"ids": ["a"], "add": ["z"]}, headers=headers)
        assert answer.status_code == status
