"""The page's files as the server sends them, with and without a page that was built."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from whet.server import page
from whet.server.app import application
from whet.store import Store
from whet.store.token import Scope
from whet.testing.serving import asking

SCRIPT = "console.log('whet');" * 100


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "web"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>the page</title>")
    (folder / "theme.js").write_text("1")
    (folder / "secret.txt").write_text("not for anybody")
    (folder / "assets" / "index-abc.js").write_text(SCRIPT)
    (tmp_path / "outside.js").write_text("not for anybody")
    monkeypatch.setattr(page, "_folder", lambda: folder)
    return folder


@pytest.mark.parametrize("path", ["/", "/runs", "/runs/abc", "/sweeps/x/y", "/compare"])
def test_a_pages_address_is_the_document_which_nobody_keeps(behind: Store, built: Path, path: str):
    with asking(application(behind)) as client:
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
        assert "the page" in answer.text
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert client.head(path).status_code == 200
        assert client.post(path).status_code == 405


def test_files_with_a_digest_in_their_names_are_kept_for_good_and_sent_compressed(behind: Store, built: Path):
    with asking(application(behind)) as client:
        answer = client.get("/assets/index-abc.js", headers={"Accept-Encoding": "gzip"})
        assert answer.text == SCRIPT
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Vary"] == "Accept-Encoding"  # what is between keeps it for good, and others take no gzip
        assert answer.headers["Content-Length"] == str(len(gzip.compress(SCRIPT.encode(), 9, mtime=0)))
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["Content-Type"].startswith("text/javascript")
        plain = client.get("/assets/index-abc.js", headers={"Accept-Encoding": "identity"})
        assert (plain.text, plain.headers.get("Content-Encoding"), plain.headers["Vary"]) == (
            SCRIPT,
            None,
            "Accept-Encoding",
        )
        assert client.get("/theme.js").headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("BR;q=0.5", "br"),
        ("br;q=0, gzip", "gzip"),
        ("br; q=0.000", None),
        ("gzip;q=1.0", "gzip"),
        ("brotli", None),
        ("", None),
    ],
)
def test_who_takes_brotli_gets_what_the_build_made(behind: Store, built: Path, accepted: str, coding: str | None):
    made = built / "assets" / "index-abc.js.br"
    made.write_bytes(b"short")
    with asking(application(behind)) as client:
        request = client.build_request("GET", "/assets/index-abc.js", headers={"Accept-Encoding": accepted})
        answer = client.send(request, stream=True)
        raw = b"".join(answer.iter_raw())
        assert answer.headers.get("Content-Encoding") == coding
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert (raw == b"short") == (coding == "br")
        assert client.get("/assets/index-abc.js.br").status_code == 404
        os.utime(made, (1, 1))  # of an older build
        (built / "assets" / "index-abc.js").write_text(SCRIPT + " ")
        answer = client.get("/assets/index-abc.js", headers={"Accept-Encoding": "br, gzip"})
        assert (answer.headers["Content-Encoding"], answer.text) == ("gzip", SCRIPT + " ")


def test_a_new_build_is_sent_at_once(behind: Store, built: Path):
    with asking(application(behind)) as client:
        assert client.get("/theme.js").text == "1"
        (built / "theme.js").write_text(SCRIPT)
        assert client.get("/theme.js").text == SCRIPT
        changed = SCRIPT.replace("whet", "Whet")
        (built / "theme.js").write_text(changed)
        os.utime(built / "theme.js", (1, 1))  # of the same length, and younger or older
        assert client.get("/theme.js", headers={"Accept-Encoding": "identity"}).text == changed


@pytest.mark.parametrize("path", ["/assets/../../outside.js", "/assets/..%2f..%2foutside.js", "/assets/%2e%2e/index.html", "/secret.txt", "/assets/", "/assets/none.js", "/index.html", "/nowhere", "/assets/a%00b", "/run"])  # fmt: skip
def test_nothing_else_is_sent(behind: Store, built: Path, path: str):
    with asking(application(behind)) as client:
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_an_address_of_the_api_is_never_the_page(behind: Store, built: Path):
    with asking(application(behind)) as client:
        assert client.get("/api/v1/nothing").status_code == 404
        assert client.post("/api/v1/nothing").status_code == 404


def test_where_the_page_is_not_built_it_says_how_and_the_api_runs(behind: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    monkeypatch.setattr(page, "_folder", lambda: tmp_path / "none")
    with asking(application(behind)) as client:
        answer = client.get("/")
        assert answer.status_code == 200
        assert "make ui" in answer.text
        assert client.get("/assets/x.js").status_code == 404
        assert client.get("/api/v1").json()["whet"]


def test_the_files_ask_for_no_token_and_the_data_does(behind: Store, built: Path):
    behind.tokens.create(Scope.READ)
    with asking(application(behind)) as client:
        assert client.get("/sweeps").status_code == 200
        assert client.get("/assets/index-abc.js").status_code == 200
        assert client.get("/api/v1/sweeps").status_code == 401
