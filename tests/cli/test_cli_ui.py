"""``whet ui``: where it says that the page is, the page is."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from whet.cli.main import main
from whet.store import open_store

HTTP = urllib3.PoolManager(retries=False, timeout=20)


@contextmanager
def ui(*args: str) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "whet.cli.main", "ui", "--no-browser", "--json", *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def test_the_page_is_where_it_says_and_begins_at_the_sweep(workspace: Path, digits: str) -> None:
    id = open_store(None).sweeps.find(digits).id
    with ui("--port", "0", digits) as said:
        assert said["url"].endswith(f"/sweeps/{id}")
        answer = HTTP.request("GET", said["url"])
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/html")


def test_where_the_port_is_taken_it_takes_another(workspace: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8765))
            taken.listen()
        except OSError:
            pass  # somebody else has it: that will do
        with ui() as said:
            assert not said["url"].startswith("http://127.0.0.1:8765/")
            assert HTTP.request("GET", said["url"]).status == 200


def test_the_page_of_a_server_is_opened(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_process: Callable[..., Any]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    with ui("--port", "0") as said, pytest.raises(SystemExit) as ended:
        main(["--store", said["url"], "ui"])
    assert not ended.value.code
    assert opened == [said["url"]]


def test_a_sweep_that_is_not_there_is_an_error_and_nothing_is_served(workspace: Path, whet: Callable[..., Any]) -> None:
    result = whet("ui", "nosuch")
    assert result.exit_code == 1
    assert "nosuch" in result.stderr
