"""What routes need is looked at, and a route that does not say needs the most."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.testclient import TestClient

from whet.errors import WhetError
from whet.server.access import EVERYBODY, NOBODY, Caller, Visit, admit, caller, needs, open_to_all
from whet.server.problems import problem
from whet.server.verb_rules import RULES
from whet.store import Store, open_store
from whet.store.base import NewRun
from whet.store.token import Scope
from whet.store.verbs import verbs
from whet.trial import Goal

READ, WRITE, ADMIN = (Caller(token="t", scope=scope) for scope in Scope)


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store("memory")
    for project in ("mine", "other"):
        opened.sweeps.create(project, {}, goals=[Goal.MINIMIZE], name=f"sweep-{project}")
        opened.runs.create(NewRun(id=f"run{project}", project=project, name=f"name-{project}", owner="me"))
    yield opened
    opened.close()


def asking(store: Store, who: Caller) -> TestClient:
    """Return a client whose requests come from `who`, of a server with one route of each kind."""
    routes = APIRouter()

    @routes.get("/silent")
    def silent() -> None:
        return

    @routes.get("/open")
    @open_to_all
    def free() -> None:
        return

    @routes.get("/write")
    @needs("write", anywhere=True)
    def write() -> None:
        return

    @routes.get("/sweeps/{sweep}")
    @needs("read")
    def sweep(sweep: str) -> str:
        return sweep

    @routes.get("/runs/{id}")
    @needs("read", run="id")
    def run(id: str) -> str:
        return id

    @routes.get("/list")
    @needs("read")
    def listed(project: str | None = None, sweep: str | None = None) -> None:
        return

    @routes.get("/filters")
    @needs("read", checks_itself=True)
    def filters(request: Request, project: str | None = None) -> list[str]:
        return sorted(caller(request).projects or ())

    app = FastAPI(dependencies=[Depends(admit)])
    app.include_router(routes, prefix="/x")
    app.state.store = store

    @app.exception_handler(WhetError)
    async def refused(request: Request, error: WhetError) -> object:
        return problem(error)

    async def entered(scope, receive, send):
        if scope["type"] == "http":
            Visit(who).enter(scope)
        await app(scope, receive, send)

    return TestClient(entered)


@pytest.mark.parametrize(
    ("path", "least"),
    [("/x/open", NOBODY), ("/x/list", READ), ("/x/filters", READ), ("/x/write", WRITE), ("/x/silent", ADMIN)],
)
def test_a_route_is_open_to_its_scope_and_those_above(store: Store, path: str, least: Caller) -> None:
    everyone = [NOBODY, READ, WRITE, ADMIN]
    for place, who in enumerate(everyone):
        status = asking(store, who).get(path).status_code
        assert status == (200 if place >= everyone.index(least) else 403), who


def test_a_limited_token_sees_its_projects_only(store: Store) -> None:
    mine = asking(store, Caller(token="t", scope=Scope.READ, projects=frozenset({"mine"})))
    own, other = (store.sweeps.find(f"sweep-{p}").id for p in ("mine", "other"))
    for text in (own, own[:9], "sweep-mine"):
        assert mine.get(f"/x/sweeps/{text}").json() == own  # the route gets what was checked
    for text in (other, other[:9], "sweep-other", "nonsense"):
        answer = mine.get(f"/x/sweeps/{text}")
        assert answer.status_code == 404
        assert answer.json()["detail"] == f"no sweep {text!r} in project 'mine'"  # whether there is one is not told
        assert "other" not in answer.json()["fix"]
    assert mine.get("/x/runs/name-mine").json() == "runmine"
    assert mine.get("/x/runs/runother").status_code == 404
    assert mine.get("/x/list").status_code == 403
    assert mine.get("/x/list?project=mine").status_code == 200
    assert mine.get("/x/list?project=other").status_code == 403
    assert mine.get("/x/list?project=mine&project=other").status_code == 403
    assert mine.get(f"/x/list?project=mine&sweep={other}").status_code == 404
    assert mine.get(f"/x/list?sweep={own}").status_code == 200
    assert mine.get("/x/list?sweep=sweep-mine").status_code == 404
    assert mine.get("/x/filters").json() == ["mine"]
    assert mine.get("/x/filters?project=other").status_code == 403
    assert mine.get("/x/silent").status_code == 403


def test_a_limited_admin_is_kept_out_of_what_does_not_say(store: Store) -> None:
    who = Caller(token="t", scope=Scope.ADMIN, projects=frozenset({"mine"}))
    assert asking(store, who).get("/x/silent").status_code == 403
    assert asking(store, EVERYBODY).get("/x/silent").status_code == 200


def test_every_verb_says_what_it_needs() -> None:
    assert RULES.keys() == verbs().keys()
    for name, verb in verbs().items():
        wanted = Scope.READ if verb.reads else Scope.ADMIN if name.endswith(".delete") else Scope.WRITE
        assert RULES[name].scope is wanted, name
