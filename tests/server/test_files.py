"""Files over HTTP as a browser, curl and a hostile client see them."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.server.app import API, application
from whet.server.files import _part
from whet.server.guard import Door
from whet.store import Store, open_store
from whet.store.base import Artifact, Batch, NewRun
from whet.store.files import Limits, LocalFiles
from whet.store.token import Scope
from whet.testing.serving import asking

PAGE = b"<script>alert(document.cookie)</script>" * 100
SHA = hashlib.sha256(PAGE).hexdigest()


@pytest.fixture
def behind() -> Any:
    store = open_store("memory")
    yield store
    store.close()


@pytest.fixture
def ask(behind: Store) -> Any:
    return asking(application(behind))


def keep(store: Store, *names: str, run: str = "r", project: str = "p", content: bytes = PAGE) -> None:
    store.runs.create(NewRun(id=run, project=project, name=run, owner=""))
    sha = hashlib.sha256(content).hexdigest()
    kept = [Artifact(name=name, kind="file", path="", size=len(content), sha256=sha) for name in names]
    store.runs.ship(run, 0, "spool", 0, 1, Batch(artifacts=kept))


def send(ask: Any, content: bytes = PAGE, run: str = "r", offset: int = 0, **more: Any) -> Any:
    sha = hashlib.sha256(content).hexdigest()
    return ask.patch(f"{API}/runs/{run}/uploads/{sha}?offset={offset}", content=content[offset:], **more)


@pytest.mark.parametrize("name", ["page.html", "evil.svg", "a/b.js", 'x"; filename=y.html', "é.html", "c.pdf"])
def test_a_file_is_never_a_page(ask: Any, behind: Store, name: str) -> None:
    keep(behind, name)
    assert send(ask).json() == {"received": len(PAGE)}
    from urllib.parse import quote

    answer = ask.get(f"{API}/runs/r/artifacts/{quote(name)}")
    assert answer.status_code == 200
    assert answer.content == PAGE
    headers = answer.headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
    assert {"default-src 'none'", "sandbox"} <= {part.strip() for part in headers["content-security-policy"].split(";")}
    assert headers["etag"] == f'"{SHA}"'
    assert headers["content-length"] == str(len(PAGE))  # it is not squeezed, though the client would take that
    assert headers["content-encoding"] == "identity"
    assert headers["cache-control"] == "private, no-cache"


def test_parts(ask: Any, behind: Store) -> None:
    keep(behind, "m")
    send(ask)
    size, where = len(PAGE), f"{API}/runs/r/artifacts/m"
    for wanted, part in [
        ("bytes=0-0", PAGE[:1]), ("bytes=5-9", PAGE[5:10]), ("bytes=10-", PAGE[10:]), ("bytes=-7", PAGE[-7:]),
        (f"bytes=0-{10 * size}", PAGE), (f"bytes=-{10 * size}", PAGE),
    ]:  # fmt: skip
        answer = ask.get(where, headers={"Range": wanted})
        assert (answer.status_code, answer.content) == (206, part)
        start = PAGE.find(part) if len(part) < size and not wanted.startswith("bytes=-7") else size - len(part)
        assert answer.headers["content-range"] == f"bytes {start}-{start + len(part) - 1}/{size}"
        assert answer.headers["content-length"] == str(len(part))
    for wanted in (f"bytes={size}-", "bytes=-0", f"bytes={size + 5}-{size + 9}"):
        answer = ask.get(where, headers={"Range": wanted})
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")
    for ignored in (
        "bytes=9-5",
        "bytes=0-1,3-4",
        "lines=0-1",
        "bytes=-",
        "bytes=a-b",
        f"bytes={'9' * 30}-",
        "bytes=٣-",
    ):
        answer = ask.get(where, headers={"Range": ignored.encode()})
        assert (answer.status_code, answer.content) == (200, PAGE)
    for same, status in ((f'"{SHA}"', 206), ('"other"', 200), (f'W/"{SHA}"', 200)):
        assert ask.get(where, headers={"Range": "bytes=0-0", "If-Range": same}).status_code == status
    for has, status in ((f'"{SHA}"', 304), (f'"x", W/"{SHA}"', 304), ("*", 304), ('"x"', 200)):
        answer = ask.get(where, headers={"If-None-Match": has})
        assert answer.status_code == status
        assert status == 200 or answer.content == b""


@given(st.text(alphabet="bytes=0123456789-, ", max_size=40), st.integers(0, 1000))
def test_any_range_is_a_part_or_nothing(text: str, size: int) -> None:
    part = _part(text, size)
    assert part is None or (part[0] >= 0 and part[1] <= size)
    part = _part(f"bytes={text}", size)
    assert part is None or (part[0] >= 0 and part[1] <= size)


def test_what_is_there_is_listed(ask: Any, behind: Store) -> None:
    keep(behind, "m", "n")
    where = f"{API}/runs/r/artifacts"
    assert [(one["name"], one["here"], one["received"]) for one in ask.get(where).json()] == [
        ("m", False, 0),
        ("n", False, 0),
    ]
    ask.patch(f"{API}/runs/r/uploads/{SHA}?offset=0", content=PAGE[:10])
    assert [(one["here"], one["received"]) for one in ask.get(where).json()] == [(False, 10)] * 2
    assert send(ask, offset=10).status_code == 200
    assert [(one["here"], one["received"]) for one in ask.get(where).json()] == [(True, len(PAGE))] * 2


def test_what_is_refused(ask: Any, behind: Store) -> None:
    keep(behind, "m")
    for path, status in [
        (f"r/uploads/{SHA}", 422),  # no offset
        (f"r/uploads/{SHA}?offset=-1", 422),
        (f"r/uploads/{SHA}?offset=x", 422),
        (f"r/uploads/{SHA.upper()}?offset=0", 422),
        (f"r/uploads/{'.' * 64}?offset=0", 422),
        ("r/uploads/short?offset=0", 422),
        (f"r/uploads/{'0' * 64}?offset=0", 404),
        (f"nobody/uploads/{SHA}?offset=0", 404),
    ]:
        answer = ask.patch(f"{API}/runs/{path}", content=PAGE)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), path
    wrong = ask.patch(f"{API}/runs/r/uploads/{SHA}?offset=0", content=bytes(len(PAGE)))
    assert (wrong.status_code, wrong.json()["title"]) == (422, "Damaged")
    more = ask.patch(f"{API}/runs/r/uploads/{SHA}?offset=0", content=PAGE + b"x")
    assert (more.status_code, "bytes came of" in more.json()["detail"]) == (413, True)
    assert ask.get(f"{API}/runs/r/artifacts/m").status_code == 404
    assert ask.get(f"{API}/runs/r/artifacts/other").status_code == 404
    assert ask.get(f"{API}/runs/r/artifacts/").status_code == 404
    keep(behind, "x\r\nX-Evil: 1", run="evil")  # no header is made of it
    assert ask.get(f"{API}/runs/evil/artifacts/x%0D%0AX-Evil:%201").status_code == 404


def test_limits(behind: Store) -> None:
    assert isinstance(behind.files, LocalFiles)
    behind.files.limits = Limits(file_bytes=len(PAGE) - 1)
    ask = asking(application(behind, Door(body_bytes=1000)))
    keep(behind, "m")
    answer = ask.patch(f"{API}/runs/r/uploads/{SHA}?offset=0", content=b"x")
    assert (answer.status_code, answer.json()["title"]) == (413, "TooLarge")
    assert ask.patch(f"{API}/runs/r/uploads/{SHA}?offset=0", content=bytes(1001)).status_code == 413  # of one request
    behind.files.limits = Limits(project_bytes=len(PAGE))
    assert ask.patch(f"{API}/runs/r/uploads/{SHA}?offset=0", content=PAGE[:1000]).status_code == 200


def test_projects_are_apart(behind: Store) -> None:
    """Whoever may write in one project learns nothing of what another one keeps, and gets nothing of it, though he knows its SHA-256."""
    keep(behind, "m", run="theirs", project="q")
    keep(behind, "m", run="mine", project="p")
    behind.files.send("theirs", SHA, 0, PAGE)
    secrets = {scope: behind.tokens.create(scope, projects=["p"])[1] for scope in Scope}
    ask = asking(application(behind), client="192.0.2.7")
    writer = {"Authorization": f"Bearer {secrets[Scope.WRITE]}"}
    nobody = asking(application(behind), client="192.0.2.7").get(f"{API}/runs/nobody/artifacts", headers=writer)
    for path in ("theirs/artifacts", "theirs/artifacts/m"):
        answer = ask.get(f"{API}/runs/{path}", headers=writer)
        assert answer.status_code == 404
        assert answer.json()["detail"].replace("theirs", "nobody") == nobody.json()["detail"]
    assert send(ask, run="theirs", headers=writer).status_code == 404
    assert [one["here"] for one in ask.get(f"{API}/runs/mine/artifacts", headers=writer).json()] == [False]
    assert ask.get(f"{API}/runs/mine/artifacts/m", headers=writer).status_code == 404
    assert ask.patch(f"{API}/runs/mine/uploads/{SHA}?offset=0", content=b"x", headers=writer).json() == {"received": 1}
    reader = {"Authorization": f"Bearer {secrets[Scope.READ]}"}
    assert send(ask, run="mine", headers=reader).status_code == 403
