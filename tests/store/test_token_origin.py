"""A token is shown to the server that it is for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from whet.cli import session
from whet.errors import Refused
from whet.server.app import application
from whet.store import open_store
from whet.store.open import token_for
from whet.store.token import Scope
from whet.testing.serving import serving


@pytest.mark.parametrize(
    ("named", "url", "is_shown"),
    [
        (None, "http://a:1", True),
        ("whet.db", "http://a:1", True),
        ("postgresql://u:p@h/db", "https://a", True),
        ("http://a:1", "http://a:1", True),
        ("http://A:1/", "http://a:1/sub", True),
        ("https://a", "https://a:443", True),
        ("https://x@a", "https://a", True),
        ("https://a", "http://a", False),
        ("http://a:1", "http://a:2", False),
        ("https://a", "https://a.evil.org", False),
        ("https://a", "https://a@evil.org", False),
        ("https://a", "https://a:port", False),
    ],
)
def test_which_server_is_shown_the_token(
    named: str | None, url: str, is_shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHET_TOKEN", "whet_secret")
    monkeypatch.delenv("WHET_STORE", raising=False)
    if named is not None:
        monkeypatch.setenv("WHET_STORE", named)
    assert token_for(url) == ("whet_secret" if is_shown else None)
    monkeypatch.setenv("WHET_TOKEN", "")
    assert token_for(url) is None


@pytest.fixture
def team(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A server that wants a token, and one that is good there."""
    with contextlib.closing(open_store(str(tmp_path / "whet.db"))) as store:
        _, secret = store.tokens.create(Scope.READ)
        with serving(application(store)) as url:
            yield url, secret


def test_another_server_gets_no_token_and_the_error_says_so(
    team: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, secret = team
    monkeypatch.setenv("WHET_TOKEN", secret)
    monkeypatch.setenv("WHET_STORE", "https://elsewhere.example.org")
    with pytest.raises(
        Refused, match="WHET_TOKEN is for the server that WHET_STORE names: give this one's as http://TOKEN@"
    ):
        open_store(url)
    with contextlib.closing(open_store(url.replace("//", f"//{secret}@"))) as store:
        assert store.env == {"WHET_STORE": url, "WHET_TOKEN": secret}
    monkeypatch.setenv("WHET_STORE", url)
    with contextlib.closing(open_store()) as store:
        assert store.runs.select() == []


def test_a_server_without_tokens_is_told_none_to_hand_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHET_TOKEN", "whet_secret")
    monkeypatch.setenv("WHET_STORE", "https://elsewhere.example.org")
    with (
        contextlib.closing(open_store(str(tmp_path / "whet.db"))) as behind,
        serving(application(behind)) as url,
        contextlib.closing(open_store(url)) as store,
    ):
        assert store.env == {"WHET_STORE": url, "WHET_TOKEN": ""}


def test_commands_drop_another_servers_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import os

    monkeypatch.setenv("WHET_TOKEN", "whet_secret")
    monkeypatch.setenv("WHET_STORE", "https://team.example.org")
    with click.Context(click.Command("whet")) as context:
        session.apply(context, store_url="http://elsewhere:1", folder=None)
        assert (os.environ["WHET_STORE"], os.environ["WHET_TOKEN"]) == ("http://elsewhere:1", "")
    assert (os.environ["WHET_STORE"], os.environ["WHET_TOKEN"]) == ("https://team.example.org", "whet_secret")
    assert "WHET_TOKEN is not shown to http://elsewhere:1" in capsys.readouterr().err
    with click.Context(click.Command("whet")) as context:
        session.apply(context, store_url="https://team.example.org/", folder=None)
        assert os.environ["WHET_TOKEN"] == "whet_secret"
