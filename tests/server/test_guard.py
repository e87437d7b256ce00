"""What the guard lets through: every route with every kind of token, other sites' pages, names, floods."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hmac
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from whet.server import guard as guard_module
from whet.server import hosts
from whet.server.access import need_of
from whet.server.app import API, application
from whet.server.failures import Failures
from whet.server.guard import SESSION, Door
from whet.server.keys import Keys
from whet.store import Store, open_store
from whet.store.base import NewRun
from whet.store.token import Scope, Tokens
from whet.store.verbs import verbs
from whet.testing.serving import asking
from whet.trial import Goal

AWAY = "192.0.2.7"
NAME = "whet.example.org"


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store("memory")
    for project in ("mine", "other"):
        opened.sweeps.create(project, {}, goals=[Goal.MINIMIZE], name=f"sweep-{project}")
        opened.runs.create(NewRun(id=f"run{project}", project=project, name=f"name-{project}", owner="me"))
    yield opened
    opened.close()


@pytest.fixture
def app(store: Store) -> FastAPI:
    """An application that is reached from everywhere."""
    return application(store, Door(host="0.0.0.0", names=(NAME,)))


def ask(app: Any, secret: str = "", *, client: str = AWAY, host: str = NAME, **more: Any) -> Any:
    found = asking(app, client=client, host=host, **more)
    if secret:
        found.headers["Authorization"] = f"Bearer {secret}"
    return found


def routes_of(app: FastAPI) -> list[tuple[str, str, object]]:
    """Return (method, path, what it does) of every route, however routers are nested."""

    def walk(routes: Any, prefix: str) -> Iterator[tuple[str, str, object]]:
        for route in routes:
            if hasattr(route, "effective_route_contexts"):  # a router that was included, in newer versions
                for one in route.effective_route_contexts():
                    yield from ((method, one.path, one.endpoint) for method in one.methods)
            elif isinstance(route, Mount):
                yield from walk(route.routes, prefix + route.path)
            elif isinstance(route, Route):
                yield from ((method, prefix + route.path, route.endpoint) for method in route.methods or ())
            else:
                assert isinstance(route, BaseRoute)
                raise AssertionError(f"{route!r} is of a kind that this test can't see into")

    return sorted(walk(app.routes, ""), key=lambda one: one[:2])


ROUTES = [one for one in routes_of(application(open_store("memory"))) if one[2].__module__ != "whet.server.page"]
"""All but the page's files, which hold no data and ask for no token: see test_page.py."""
KINDS = ("nobody", "unknown", "expired", "revoked", "read", "write", "admin", "read of other")
OPEN = {SESSION}


def test_all_routes_are_seen() -> None:
    paths = {path for _, path, _ in ROUTES}
    assert {API, SESSION, f"{API}/openapi.json", f"{API}/verbs/trials.add", f"{API}/turns/take"} <= paths
    assert len([p for p in paths if p.startswith(f"{API}/verbs/")]) == len(verbs())
    for method, path, endpoint in ROUTES:
        if need_of(endpoint).scope is None:
            assert path in OPEN, f"{method} {path} is open to all: add it to OPEN if it is meant to be"


@pytest.fixture(scope="module")
def secrets() -> Iterator[tuple[FastAPI, dict[str, str]]]:
    """One application for the whole matrix, and a secret of each kind."""
    store = open_store("memory")
    store.sweeps.create("mine", {}, goals=[Goal.MINIMIZE], name="s")
    now = time.time()
    made = {
        "nobody": "",
        "unknown": f"whet_0000000000_{64 * '0'}",
        "expired": store.tokens.create(Scope.ADMIN, expires=now + 0.01)[1],
        "revoked": store.tokens.create(Scope.ADMIN, name="revoked")[1],
        **{scope.value: store.tokens.create(scope)[1] for scope in Scope},
        "read of other": store.tokens.create(Scope.READ, projects=["other"])[1],
    }
    store.tokens.revoke("revoked")
    time.sleep(0.02)
    app = application(store, Door(host="0.0.0.0", names=(NAME,)))
    yield app, made
    store.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("method", "path", "endpoint"), [pytest.param(*r, id=f"{r[0]} {r[1]}") for r in ROUTES])
def test_every_route_with_every_kind_of_token(
    method: str, path: str, endpoint: object, kind: str, secrets: tuple[FastAPI, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(Failures, "wait_s", lambda self, address: 0.0)
    app, made = secrets
    need = need_of(endpoint)
    scope = Scope.READ if path == f"{API}/openapi.json" else need.scope
    store = app.state.store
    if not store.sweeps.all():  # an admin has deleted it
        store.sweeps.create("mine", {}, goals=[Goal.MINIMIZE], name="s")
    endless = path.endswith("/events") and not kind.startswith(("read of", "nobody"))
    filled = re.sub("{[a-z_]+}", "nothing" if endless else "s", path)
    answer = ask(app, made[kind], raise_server_exceptions=False).request(method, filled, content=b"{}")
    if kind in ("unknown", "expired", "revoked"):
        assert answer.status_code == 401
    elif path in OPEN:
        assert answer.status_code not in (401, 403)
    elif kind == "nobody":
        assert answer.status_code == 401
    elif not Scope.of(kind.split()[0]).covers(scope or Scope.READ):
        assert answer.status_code == 403
    elif kind == "read of other":  # everything there belongs to another project
        assert answer.status_code in (
            (200, 422) if need.anywhere or need.checks_itself or scope is not need.scope else (403, 404)
        )
    else:
        assert answer.status_code not in (401, 403)
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"] == 'Bearer realm="whet"'
    assert answer.status_code != 500
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "access-control-allow-origin" not in answer.headers
    assert "server" not in answer.headers


# -- limited to projects: each verb of the store, about another project's things


def body_of(verb: Any, sweep: str, run: str, project: str) -> dict[str, Any]:
    values: dict[str, Any] = {
        "sweep": sweep, "project": project, "text": sweep if verb.name.startswith("sweeps") else run, "ids": [run],
        "id": sweep if verb.name.startswith("sweeps") else run, "config": {}, "goals": ["minimize"], "to": "paused",
        "version": 0, "owner": "me|1|0", "silent_s": 1.0, "number": 0, "suggestion": {"params": {}}, "seen": 0, "params": {},
        "trials": [], "attempt": 0, "was": "x", "reason": "", "reports": [], "phase": "failed", "attrs": {}, "source": "s",
        "start": 0, "end": 1, "batch": {}, "query": {"by": "project"}, "run": {"id": "new", "project": project, "name": "n", "owner": "me"},
    }  # fmt: skip
    return {name: values[name] for name in verb.needed}


SPANNING = {"sweeps.all", "runs.select", "runs.projects", "runs.table", "runs.groups"}
NAMELESS = {"runs.columns", "runs.mark", "runs.curves", "sweeps.gains"}
"""They span projects, too, or leave out what is not the caller's, and name none."""


@pytest.mark.parametrize("name", sorted(verbs()))
def test_a_limited_admin_reaches_nothing_of_another_project(name: str, app: FastAPI, store: Store) -> None:
    _, secret = store.tokens.create(Scope.ADMIN, projects=["mine"])
    _, anybody = store.tokens.create(Scope.ADMIN)
    verb = verbs()[name]
    own, other = (store.sweeps.find(f"sweep-{p}").id for p in ("mine", "other"))
    before = everything(store)
    limited = ask(app, secret)
    refused = limited.post(f"{API}/verbs/{name}", json=body_of(verb, other, "runother", "other"))
    if name in NAMELESS:
        assert refused.status_code == 200
        assert "other" not in refused.text
    elif name in SPANNING:
        assert refused.status_code == 200
        assert "other" not in refused.text
        assert "mine" in refused.text
    else:
        assert refused.status_code in (403, 404), refused.text
        assert "sweep-other" not in refused.text
        assert "name-other" not in refused.text
    unknown = limited.post(f"{API}/verbs/{name}", json=body_of(verb, "nonsense", "nonsense", "other"))
    if name not in SPANNING | NAMELESS:  # whether another project has it or nobody does is not told
        assert unknown.status_code == refused.status_code
        assert unknown.json()["fix"] == refused.json()["fix"]
    assert everything(store) == before
    allowed = limited.post(f"{API}/verbs/{name}", json=body_of(verb, own, "runmine", "mine"))
    if allowed.status_code == 404:  # it was let in, and there is no trial yet
        assert "number" in verb.needed, allowed.text
        assert allowed.json()["detail"] == "sweep 'sweep-mine' has no trial 0"
    else:
        assert allowed.status_code not in (401, 403), allowed.text
    if name not in SPANNING | NAMELESS and name != "runs.delete" and allowed.status_code == 200:
        assert (
            ask(app, anybody).post(f"{API}/verbs/{name}", json=body_of(verb, other, "runother", "other")).status_code
            == 200
        )


def everything(store: Store) -> object:
    sweep = store.sweeps.find("sweep-other")
    return store.sweeps.all(), store.runs.select(), store.trials.changes(sweep.id), store.runs.artifacts("runother")


def test_limited_tokens_filter_what_spans_projects(app: FastAPI, store: Store) -> None:
    _, secret = store.tokens.create(Scope.READ, projects=["mine", "third"])
    client = ask(app, secret)
    store.runs.create(NewRun(id="third1", project="third", name="third-1", owner="me"))

    def ids(**query: Any) -> list[str]:
        answer = client.post(f"{API}/verbs/runs.select", json={"query": query})
        return [run["id"] for run in answer.json()] if answer.status_code == 200 else [str(answer.status_code)]

    other = store.sweeps.find("sweep-other").id
    assert ids() == ["third1", "runmine"]
    assert ids(newest_first=False) == ["runmine", "third1"]
    assert ids(limit=1) == ["third1"]
    assert ids(project="mine") == ["runmine"]
    assert ids(project="other") == ["403"]
    assert ids(sweep=other) == ids(sweep=other, project="mine") == ["404"]
    assert client.post(f"{API}/verbs/runs.projects", json={}).json() == {"mine": 1, "third": 1}
    taken = {"run": {"id": "runother", "project": "mine", "name": "n", "owner": "me"}}
    _, writer = store.tokens.create(Scope.WRITE, projects=["mine"])
    answer = ask(app, writer).post(f"{API}/verbs/runs.create", json=taken)
    assert answer.status_code == 409
    assert "name-other" not in answer.text
    for name in ("take", "release"):
        for sweep, status in ((other, 404), (store.sweeps.find("sweep-mine").id, 200)):
            answer = ask(app, writer).post(f"{API}/turns/{name}", json={"sweep": sweep, "key": "k"})
            assert answer.status_code == status


def test_an_answer_is_kept_for_its_caller_and_its_question(app: FastAPI, store: Store) -> None:
    _, one = store.tokens.create(Scope.WRITE, projects=["mine"])
    _, two = store.tokens.create(Scope.WRITE, projects=["other"])
    body = {"run": {"id": "new", "project": "mine", "name": "secret name", "owner": "me"}}
    same = {"Idempotency-Key": "k"}
    assert ask(app, one).post(f"{API}/verbs/runs.create", json=body, headers=same).status_code == 200
    assert "secret name" not in ask(app, two).post(f"{API}/verbs/runs.create", json=body, headers=same).text
    edited = ask(app, one).post(f"{API}/verbs/runs.edit", json={"id": "new", "notes": "hello"}, headers=same)
    assert edited.json()["notes"] == "hello"


# -- at home


def test_the_laptop_needs_no_token_until_there_is_one(store: Store) -> None:
    app = application(store)
    at_home = ask(app, client="127.0.0.1", host="localhost:8765")
    assert at_home.get(API).status_code == 200
    assert at_home.get(SESSION).json() == {"token": None, "scope": "admin", "projects": None}
    assert ask(app, "nonsense", client="::1", host="[::1]:8765").get(API).status_code == 200
    for kind in ("forwarded", "x-forwarded-for", "x-real-ip", "via"):  # a proxy stands between: who is behind it?
        assert at_home.get(API, headers={kind: "127.0.0.1"}).status_code == 401
    assert ask(app, host="localhost").get(API).status_code == 401  # from elsewhere
    assert ask(app, client="testclient", host="localhost").get(API).status_code == 401
    assert (
        ask(application(store, Door(host="0.0.0.0")), client="127.0.0.1", host="localhost").get(API).status_code == 401
    )
    token, secret = store.tokens.create(Scope.READ)
    closed = ask(application(store), client="127.0.0.1", host="localhost")
    assert closed.get(API).status_code == 401
    assert ask(application(store), secret, client="127.0.0.1", host="localhost").get(API).status_code == 200
    store.tokens.revoke(token.id)  # a token that ends must not open what it closed
    assert ask(application(store), client="127.0.0.1", host="localhost").get(API).status_code == 401
    store.tokens.forget(token.id)
    assert ask(application(store), client="127.0.0.1", host="localhost").get(API).status_code == 200


def test_a_token_that_is_made_or_revoked_counts_within_two_seconds(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("whet.server.keys.time.monotonic", lambda: clock[0])
    app = application(store)
    at_home = ask(app, client="127.0.0.1", host="localhost")
    assert at_home.get(API).status_code == 200
    token, secret = store.tokens.create(Scope.READ)
    clock[0] += 2.1
    assert at_home.get(API).status_code == 401
    holder = ask(app, secret, client="127.0.0.1", host="localhost")
    assert holder.get(API).status_code == 200
    store.tokens.revoke(token.id)
    clock[0] += 2.1
    answer = holder.get(API)
    assert answer.status_code == 401
    assert answer.json()["detail"] == f"token {token.id} is revoked"


def test_a_token_ends_on_time_though_it_was_looked_up_a_moment_ago(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    token, secret = store.tokens.create(Scope.READ, expires=now + 60)
    keys = Keys(store.tokens, now=lambda: now)
    assert keys.look(secret) == token
    found = keys.fresh(secret)
    assert found is not None
    assert keys.is_live(found)
    now += 60
    assert not keys.is_live(found)


def test_a_token_ends_on_time_for_requests_as_well(app: FastAPI, store: Store) -> None:
    _, secret = store.tokens.create(Scope.READ, expires=time.time() + 0.5)
    client = ask(app, secret)
    assert client.get(API).status_code == 200
    time.sleep(0.6)  # within the two seconds
    answer = client.get(API)
    assert answer.status_code == 401
    assert "is expired" in answer.json()["detail"]


def test_a_door_that_is_shown_to_others_is_no_home(store: Store) -> None:
    assert Door().is_home
    assert Door(host="::1").is_home
    for door in (
        Door(proxies=("127.0.0.1",)),
        Door(names=("x.org",)),
        Door(host="gpu1"),
        Door(host="0.0.0.0"),
        Door(host=""),
    ):
        assert not door.is_home
        assert ask(application(store, door), client="127.0.0.1", host="localhost").get(API).status_code == 401


def test_a_store_that_is_away_opens_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from whet.errors import StoreUnavailable

    def away(*_: object) -> None:
        raise StoreUnavailable("the database is away")

    monkeypatch.setattr(type(store.tokens), "all", away)
    monkeypatch.setattr(type(store.tokens), "read", away)
    assert ask(application(store), client="127.0.0.1", host="localhost").get(API).status_code == 503
    assert ask(application(store), "whet_a_b").get(API).status_code == 421
    assert ask(application(store), "whet_a_b", host="localhost").get(API).status_code == 503


def test_the_secret_is_compared_in_constant_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr("whet.store.token.hmac.compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    token, secret = store.tokens.create(Scope.READ)
    assert store.tokens.check(secret) == token
    assert store.tokens.check(f"whet_0000000000_{64 * '0'}") is None  # for one that is not there as well
    assert store.tokens.check("") is None
    assert [len(a) for a, _ in compared] == [64, 64, 64]
    assert hmac.compare_digest is not None
    assert "compare_digest" in Tokens.check.__code__.co_names


def test_credentials_are_read_strictly(app: FastAPI, store: Store) -> None:
    _, secret = store.tokens.create(Scope.READ)
    client = ask(app)
    for given_, status in (
        (f"Bearer {secret}", 200), (f"bearer {secret}", 200), (f"Bearer  {secret} ", 200), (secret, 401), ("Bearer", 401),
        (f"Basic {secret}", 401), (f"Bearer {secret},{secret}", 401), ("", 401),
    ):  # fmt: skip
        assert client.get(API, headers={"Authorization": given_}).status_code == status, given_
    assert client.get(f"{API}?token={secret}&access_token={secret}").status_code == 401
    twice = client.get(API, headers=[("Authorization", f"Bearer {secret}"), ("Authorization", "Bearer x")])
    assert twice.status_code == 400


# -- names and origins


@pytest.fixture(scope="module")
def doors() -> Iterator[Callable[[str], tuple[FastAPI, str]]]:
    """Return what makes the application at an address, and a token of it."""
    with contextlib.closing(open_store("memory")) as store:
        _, secret = store.tokens.create(Scope.READ)

        @functools.cache
        def made(host: str) -> tuple[FastAPI, str]:
            return application(store, Door(host=host, names=(NAME, ".team.example.com"))), secret

        yield made


@pytest.fixture(scope="module")
def home() -> Iterator[FastAPI]:
    """An application at home, whose store has no tokens."""
    with contextlib.closing(open_store("memory")) as store:
        yield application(store)


@pytest.mark.parametrize(
    ("host", "door", "status"),
    [
        ("localhost:8765", "127.0.0.1", 200), ("127.0.0.1", "127.0.0.1", 200), ("127.9.9.9:1", "127.0.0.1", 200),
        ("[::1]:8765", "::1", 200), ("LOCALHOST.", "127.0.0.1", 200), ("gpu1", "gpu1", 200), (NAME, "0.0.0.0", 200),
        ("a.team.example.com", "0.0.0.0", 200), ("team.example.com", "0.0.0.0", 421), ("xteam.example.com", "0.0.0.0", 421),
        ("evil.org", "127.0.0.1", 421), ("localhost.evil.org", "127.0.0.1", 421), ("127.0.0.1.nip.io", "127.0.0.1", 421),
        ("0.0.0.0:8765", "0.0.0.0", 421), ("2130706433", "127.0.0.1", 421), ("0x7f.1", "127.0.0.1", 421), ("127.1", "127.0.0.1", 421),
        ("[::1", "127.0.0.1", 421), ("localhost:99999", "127.0.0.1", 421), ("localhost:8765:1", "127.0.0.1", 421),
        ("evil@localhost", "127.0.0.1", 421), ("localhost evil", "127.0.0.1", 421), ("localhost/", "127.0.0.1", 421), ("", "127.0.0.1", 421),
        ("10.0.0.5", "0.0.0.0", 421), ("10.0.0.5", "10.0.0.5", 200), ("xn--lcalhost-d0a", "127.0.0.1", 421),
    ],
)  # fmt: skip
def test_a_name_that_points_here_but_is_not_ours_is_refused(
    host: str, door: str, status: int, doors: Callable[[str], tuple[FastAPI, str]]
) -> None:
    app, secret = doors(door)
    assert ask(app, secret, host="localhost").get(API, headers={"Host": host}).status_code == status


def test_the_address_that_a_request_came_to_is_ours(store: Store) -> None:
    _, secret = store.tokens.create(Scope.READ)
    app = application(store, Door(host="0.0.0.0"))
    assert (
        ask(app, secret, host="10.0.0.5:8765").get(API).status_code == 200
    )  # the test client says it came to that address
    assert ask(app, secret, host="10.0.0.5:8765").get(API, headers={"Host": "10.0.0.6:8765"}).status_code == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200), ({"Origin": "http://localhost:8765"}, 200), ({"Origin": "https://localhost:8765"}, 200),
        ({"Origin": "http://localhost"}, 403), ({"Origin": "http://localhost:3000"}, 403), ({"Origin": "http://evil.org"}, 403),
        ({"Origin": "http://127.0.0.1:8765"}, 403), ({"Origin": "null"}, 403), ({"Origin": ""}, 403), ({"Origin": "file://"}, 403),
        ({"Origin": "http://localhost:8765.evil.org"}, 403), ({"Origin": "http://localhost:8765@evil.org"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403), ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
)  # fmt: skip
def test_another_sites_page_changes_nothing(headers: dict[str, str], status: int, home: FastAPI) -> None:
    """As a form or a script of a page could send it to a laptop that needs no token."""
    at_home, store = ask(home, client="127.0.0.1", host="localhost:8765"), home.state.store
    before = len(store.sweeps.all("p"))
    body = {"project": "p", "config": {}, "goals": ["minimize"]}
    sent = at_home.post(
        f"{API}/verbs/sweeps.create", content=json.dumps(body), headers={"Content-Type": "text/plain", **headers}
    )
    assert sent.status_code == status
    assert len(store.sweeps.all("p")) == before + (status == 200)
    assert "access-control-allow-origin" not in sent.headers
    seen = at_home.get(API, headers=headers)  # the browser shows it to nobody
    assert seen.status_code == 200
    assert "access-control-allow-origin" not in seen.headers
    asked = at_home.options(f"{API}/verbs/sweeps.create", headers={"Access-Control-Request-Method": "POST", **headers})
    assert asked.status_code == 405
    assert "access-control-allow-origin" not in asked.headers


# -- sessions


def test_a_session_is_the_browsers_way_to_show_a_token(app: FastAPI, store: Store) -> None:
    token, secret = store.tokens.create(Scope.WRITE)
    own = {"Origin": f"http://{NAME}"}
    page = ask(app)
    assert page.get(SESSION).json() == {"token": None, "scope": None, "projects": None}
    answer = page.post(SESSION, json={"token": secret}, headers=own)
    assert answer.json() == {"token": token.id, "scope": "write", "projects": None}
    cookie = answer.headers["set-cookie"]
    assert secret not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert f"Path={API}" in cookie
    assert "Secure" not in cookie
    assert page.get(API).status_code == 200
    edit = {"id": "runmine", "notes": "hi"}
    assert page.post(f"{API}/verbs/runs.edit", json=edit, headers=own).status_code == 200
    assert page.post(f"{API}/verbs/runs.edit", json=edit, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert page.post(f"{API}/verbs/runs.edit", json=edit).status_code == 403  # who knows whose page sent it
    assert page.post(f"{API}/verbs/runs.edit", json=edit, headers={"Origin": "http://evil.org"}).status_code == 403
    stolen = dict(page.cookies)
    assert page.delete(SESSION, headers=own).status_code == 204
    assert page.get(API).status_code == 401
    thief = ask(app)
    thief.cookies.update(stolen)
    assert thief.get(API).status_code == 401  # the session itself is over, not only the browser's cookie
    assert thief.get(SESSION).status_code == 200


def test_a_session_ends_with_its_token_or_by_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, now = [1000.0], [time.time()]
    monkeypatch.setattr("whet.server.keys.time.monotonic", lambda: clock[0])
    token, secret = store.tokens.create(Scope.READ)
    keys = Keys(store.tokens, now=lambda: now[0])
    for end in ("token", "time"):
        found = keys.look(secret)
        assert found is not None
        cookie = keys.open_session(found)
        assert keys.look_session(cookie) is not None
        if end == "token":
            now[0] += 7 * 86_400
            assert keys.look_session(cookie) is None
        else:
            store.tokens.revoke(token.id)
            dead = keys.look_session(cookie)
            assert dead is not None
            assert not keys.is_live(dead)
            assert keys.fresh(cookie) is None
    assert keys.look_session("nonsense") is None


def test_a_cookie_over_tls_is_for_tls(app: FastAPI, store: Store) -> None:
    _, secret = store.tokens.create(Scope.READ)
    page = ask(app)
    page.base_url = f"https://{NAME}"
    assert "Secure" in page.post(SESSION, json={"token": secret}).headers["set-cookie"]


def test_a_login_that_is_none(app: FastAPI, store: Store) -> None:
    page = ask(app)
    assert page.post(SESSION, json={"token": "whet_x"}).status_code == 401
    for body in (b"", b"[]", b"{}", b'{"token": 1}', b"{" * 3000, b"\xff"):
        assert page.post(SESSION, content=body).status_code == 422
    long = b'{"token": "' + b"x" * 5000 + b'"}'
    assert page.post(SESSION, content=long).status_code == 413
    assert page.post(SESSION, content=iter([long[:4000], long[4000:]])).status_code == 413
    assert page.post(SESSION, json={"token": "x"}, headers={"Origin": "http://evil.org"}).status_code == 403


# -- floods


def test_who_fails_often_waits(app: FastAPI, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _, secret = store.tokens.create(Scope.READ)
    _, late = store.tokens.create(Scope.READ)
    assert ask(app, secret).get(API).status_code == 200
    for n in range(12):
        answer = ask(app, f"whet_{n}").get(API)
        assert answer.status_code == (401 if n < 10 else 429)
    assert 0 < int(answer.headers["retry-after"]) <= 61
    assert ask(app).post(SESSION, json={"token": "whet_x"}).status_code == 429
    assert ask(app, late).get(API).status_code == 429  # right, but nobody knows it yet
    monkeypatch.setattr("whet.server.keys.FRESH_S", 0.0)
    assert ask(app, secret).get(API).status_code == 200  # was good a moment ago
    assert ask(app, late, client="192.0.2.8").get(API).status_code == 200


def test_logins_count_as_well(app: FastAPI) -> None:
    page = ask(app)
    statuses = [page.post(SESSION, json={"token": f"whet_{n}"}).status_code for n in range(11)]
    assert statuses == 10 * [401] + [429]


def test_a_token_that_is_no_text_is_a_failure_like_others(app: FastAPI) -> None:
    page = ask(app)
    statuses = [page.post(SESSION, content=rb'{"token": "whet_\ud800"}').status_code for _ in range(11)]
    assert statuses == 10 * [401] + [429]


def test_failures_are_forgotten_after_a_minute_and_take_little_memory() -> None:
    clock = [0.0]
    failures = Failures(now=lambda: clock[0])
    for _ in range(10):
        assert failures.wait_s("a") == 0
        failures.count("a")
        clock[0] += 1
    assert failures.wait_s("a") == 50
    clock[0] += 50
    assert failures.wait_s("a") == 0
    failures.count("a")
    assert failures.wait_s("a") == 1  # nine of the last minute, and this one
    for n in range(10_000):
        failures.count(str(n))
    assert len(failures._times) == 4096


def test_an_ipv6_client_has_one_address() -> None:
    assert hosts.subnet("2001:db8::1") == hosts.subnet("2001:db8::ffff:2")
    assert hosts.subnet("2001:db8::1") != hosts.subnet("2001:db8:0:1::1")
    assert hosts.subnet("::ffff:192.0.2.1") == hosts.subnet("192.0.2.1") == "192.0.2.1"
    assert hosts.subnet("192.0.2.1") != hosts.subnet("192.0.2.2")
    assert hosts.subnet("testclient") == "testclient"


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_body_has_an_end(store: Store, in_pieces: bool) -> None:
    _, secret = store.tokens.create(Scope.WRITE)
    app = application(store, Door(host="0.0.0.0", names=(NAME,), body_bytes=1000))
    client = ask(app, secret)

    def sent(size: int) -> int:
        body = json.dumps({"id": "runmine", "notes": ""}).encode()
        body += b" " * (size - len(body))
        content = (body[i : i + 100] for i in range(0, size, 100)) if in_pieces else body
        return int(client.post(f"{API}/verbs/runs.edit", content=content).status_code)

    assert sent(1000) == 200
    assert sent(1001) == 413


def test_a_body_that_is_announced_as_too_large_is_not_begun(app: FastAPI) -> None:
    """Nor is anybody asked who he is."""
    answer = ask(app).post(f"{API}/verbs/runs.edit", headers={"Content-Length": str(64 * 2**20 + 1)}, content=b"")
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"


def test_a_length_that_is_none(app: FastAPI, store: Store) -> None:
    _, secret = store.tokens.create(Scope.WRITE)
    for length in ("-1", "x", "1_0", "٣"):
        answer = ask(app, secret).post(
            f"{API}/verbs/runs.projects", headers={"Content-Length": length.encode()}, content=b"{}"
        )
        assert answer.status_code == 400


def test_a_body_that_stops_coming_is_not_waited_for(
    app: FastAPI, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "_SILENT_S", 0.05)
    _, secret = store.tokens.create(Scope.WRITE)
    said: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        said.append(message)

    headers = [(b"host", NAME.encode()), (b"content-length", b"10"), (b"authorization", f"Bearer {secret}".encode())]
    path = f"{API}/verbs/runs.projects"
    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": headers, "client": (AWAY, 1),
        "server": ("10.0.0.5", 8765), "scheme": "http", "query_string": b"", "root_path": "", "http_version": "1.1",
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert said[0]["status"] == 408


# -- answers


def test_a_route_that_nobody_thought_of_is_shut(app: FastAPI, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A plain route, which no dependency runs for."""

    async def leak(request: Any) -> Response:
        return Response("secret" * 500)

    app.router.routes.insert(0, Route(f"{API}/leak", leak))
    app.router.routes.insert(0, Mount(f"{API}/mount", Response("secret")))
    _, secret = store.tokens.create(Scope.ADMIN)
    for path in ("leak", "mount/x"):
        answer = ask(app, secret).get(f"{API}/{path}")
        assert answer.status_code == 403
        assert "secret" not in answer.text
        assert ask(app).get(f"{API}/{path}").status_code == 401
    assert "answers without having said what it needs" in caplog.text


def test_a_failure_is_told_without_its_inside(app: FastAPI, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("the inside")

    store.runs.projects = broken  # type: ignore[method-assign, assignment]
    _, secret = store.tokens.create(Scope.READ)
    with caplog.at_level(logging.ERROR):
        answer = ask(app, secret).post(f"{API}/verbs/runs.projects", json={})
    assert answer.status_code == 500
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "inside" not in answer.text
    assert "the inside" in caplog.text


def test_large_answers_are_squeezed_and_small_ones_are_not(app: FastAPI, store: Store) -> None:
    _, secret = store.tokens.create(Scope.ADMIN)
    client = ask(app, secret)
    assert "content-encoding" not in client.get(API).headers
    large = client.get(f"{API}/openapi.json")
    assert large.headers["content-encoding"] == "gzip"
    assert large.json()["info"]["title"] == "Whet"


def test_pages_need_no_token_and_are_strict(app: FastAPI) -> None:
    app.router.routes.append(Mount("/", Response("<p>", media_type="text/html")))
    answer = ask(app).get("/runs")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert ask(app).get(f"{API}/nothing").status_code == 401


# -- hosts, for all of them


labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
ports = st.integers(0, 65535)


@given(names, ports)
def test_names_and_ports_are_read(name: str, port: int) -> None:
    assert hosts.place(f"{name.upper()}:{port}") == (name, port)
    assert hosts.place(name) == hosts.place(f"{name}.") == (name, None)


@given(st.ip_addresses(), ports)
def test_addresses_are_read(address: Any, port: int) -> None:
    written = f"[{address}]" if address.version == 6 else str(address)
    assert hosts.place(f"{written}:{port}") == (str(address), port)
    mapped = getattr(address, "ipv4_mapped", None)
    assert hosts.is_loopback(str(address)) == (mapped or address).is_loopback


@given(st.text(max_size=40))
def test_whatever_comes_a_place_is_plain(text: str) -> None:
    found = hosts.place(text)
    if found is not None:
        host, port = found
        assert host == host.lower()
        assert not set(host) & set(" @/\\?#%[]\t\n\r\0,;")
        assert host.isascii()
        again = f"[{host}]" if ":" in host else host
        assert hosts.place(again if port is None else f"{again}:{port}") == found


@given(names, ports, names, ports)
def test_only_the_same_host_and_port_are_one_origin(a: str, p: int, b: str, q: int) -> None:
    assert hosts.is_own(f"http://{a}:{p}", f"{a}:{p}")
    assert hosts.is_own(f"https://{a}", f"{a}:443")
    assert hosts.is_own(f"https://{a}", a)
    if (a, p) != (b, q):
        assert not hosts.is_own(f"http://{a}:{p}", f"{b}:{q}")


@given(st.text(max_size=40), names)
def test_no_text_is_an_origin_but_the_hosts(text: str, host: str) -> None:
    if hosts.is_own(text, host):
        assert text.lower() in {
            f"{scheme}://{host}{port}" for scheme in ("http", "https") for port in ("", ":80", ":443", ".")
        }
