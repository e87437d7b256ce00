"""Answers are made once for all who ask the same, as long as what they are made from stays."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from starlette.requests import Request

import whet
from whet.analysis import surface as forests
from whet.server import etags
from whet.server.app import API, application
from whet.server.etags import Tags
from whet.store import Store
from whet.store.token import Scope
from whet.testing.serving import asking


def asked(path: str = "/x", has: str = "") -> Request:
    scope = {"type": "http", "path": path, "query_string": b"", "method": "GET", "server": ("s", 1), "scheme": "http"}
    return Request({**scope, "headers": [(b"if-none-match", has.encode())]})


def test_who_asks_at_once_waits_for_one_answer(behind: Store) -> None:
    tags, made, begun, go = Tags(behind), [], threading.Event(), threading.Event()

    def make() -> list[str]:
        made.append(1)
        begun.set()
        go.wait(10)
        return ["same"]

    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(bytes(tags.answer(asked(), make, mark=1).body))) for _ in range(4)
    ]
    threads[0].start()
    begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert (found, len(made)) == ([b'["same"]'] * 4, 1)


def test_what_fails_is_tried_again(behind: Store) -> None:
    tags = Tags(behind)
    with pytest.raises(ZeroDivisionError):
        tags.answer(asked(), lambda: 1 / 0, mark=1)
    assert tags.answer(asked(), lambda: 5, mark=1).body == b"5"


def test_answers_are_kept_within_bounds(behind: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etags, "_MOST_BYTES", 1000)
    monkeypatch.setattr(etags, "_MOST", 5)
    tags, made = Tags(behind), []

    def ask(name: str, has: str = "", size: int = 400) -> Any:
        def make() -> str:
            made.append(name)
            return name * size

        return tags.answer(asked(name, has), make, mark=1)

    first = ask("a")
    ask("b")
    assert ask("a").body == first.body
    assert made == ["a", "b"]
    ask("c")  # the oldest one's bytes go, not its tag
    assert ask("b").status_code == 200
    assert made == ["a", "b", "c", "b"]
    assert ask("a", first.headers["etag"]).status_code == 304
    assert made == ["a", "b", "c", "b"]
    assert len(ask("d", size=5000).body) == 5002  # more than may be kept
    for name in "efghi":
        ask(name, size=10)
    assert ask("a", first.headers["etag"]).status_code == 304
    assert made[-1] == "a"  # its tag was gone, too
    assert tags._bytes == sum(len(one.body) for one in tags._kept.values()) <= 1000


def test_the_figures_of_a_sweep_are_computed_once_a_revision(behind: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    space = {"x": {"min": 0.0, "max": 1.0}, "y": {"min": 0.0, "max": 1.0}}
    study = whet.create_study(name="s", storage=behind, space=space, method="random", seed=1, stopper="none")
    study.optimize(lambda t: t.params["x"], n_trials=12)
    grown = []
    grow = forests.grow
    monkeypatch.setattr(forests, "grow", lambda *a, **k: grown.append(1) or grow(*a, **k))
    ask = asking(application(behind))
    # The forest is that of all figures, whichever parameters they are asked for.
    paths = [
        "figures/importance",
        "figures/response",
        "figures/response?param=y",
        "figures/contour",
        "stats",
        "history",
        "marks",
    ]
    first = {path: ask.get(f"{API}/sweeps/s/{path}").json() for path in paths}
    assert len(grown) == 1
    behind.runs.edit(behind.runs.select()[0].id, notes="no trial changed by this")
    assert {path: ask.get(f"{API}/sweeps/s/{path}").json() for path in paths} == first
    assert len(grown) == 1
    study.optimize(lambda t: t.params["x"], n_trials=1)
    assert ask.get(f"{API}/sweeps/s/stats").json()["counts"]["finished"] == 13
    assert ask.get(f"{API}/sweeps/s/figures/importance").status_code == 200
    assert len(grown) == 2


def test_an_answer_is_not_handed_to_who_may_not_see_it(behind: Store) -> None:
    study = whet.create_study(
        name="s", project="p", storage=behind, space={"x": [1, 2]}, method="random", stopper="none"
    )
    study.optimize(lambda t: t.params["x"], n_trials=2)
    _, secret = behind.tokens.create(Scope.ADMIN)
    _, other = behind.tokens.create(Scope.READ, projects=["q"])
    ask = asking(application(behind))
    assert ask.get(f"{API}/sweeps/s/stats", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    assert ask.get(f"{API}/sweeps/s/stats", headers={"Authorization": f"Bearer {other}"}).status_code == 404
