"""A server that is not there: training does not notice, nothing is lost, order is kept."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

import whet
from whet.cli.main import main
from whet.server.app import application
from whet.store import Store, open_store
from whet.store.http import HttpStore
from whet.testing.serving import serving
from whet.trial import Phase


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WHET_STORE", f"http://127.0.0.1:{port}")


def sync(folder: Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["sync", str(folder)])
    return int(ended.value.code or 0)


def test_a_run_outlives_its_server(port: int, behind: Store):
    run = whet.init(project="p", name="brave")
    for step in range(500):
        run.log({"loss": 1 / (step + 1)}, step=step)
    with serving(application(behind), port):
        assert run._shipper.sync(20.0)
    for step in range(500, 1000):  # it is gone
        run.log({"loss": 1 / (step + 1)}, step=step)
    with serving(application(behind), port):
        run.finish()
    kept = behind.runs.find("brave")
    assert kept.phase is Phase.FINISHED
    curve = behind.runs.metrics(kept.id)["loss"]
    assert list(curve.steps) == list(range(1000))
    assert list(curve.values) == [1 / (step + 1) for step in range(1000)]


def test_a_run_without_a_server_is_sent_later_from_a_copied_folder(
    port: int,
    behind: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("WHET_MODE", "offline")
    with whet.init(project="p", name="alone", config={"lr": 0.1}) as run:
        for step in range(50):
            run.log({"loss": float(step)}, step=step)
        folder = Path(run.dir).parent
    copied = shutil.copytree(folder, tmp_path / "elsewhere" / folder.name)
    shutil.rmtree(folder)
    assert sync(copied) == 1
    assert f"the server http://127.0.0.1:{port} does not answer (no connection)" in capsys.readouterr().err
    with serving(application(behind), port):
        assert [sync(copied), sync(copied)] == [0, 0]  # again changes nothing
    kept = behind.runs.find("alone")
    assert (kept.phase, kept.config["lr"], kept.stats["loss"].count) == (Phase.FINISHED, 0.1, 50)


def test_what_answers_is_no_whet_server(port: int):
    async def stranger(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"<html>hello</html>"})

    with serving(stranger, port) as url, pytest.raises(whet.errors.StoreError, match="no Whet server"):
        HttpStore(url)


def test_errors_come_back_as_they_were_raised(behind: Store):
    with serving(application(behind)) as url:
        store = open_store(url)
        with pytest.raises(whet.errors.NotFound) as here:
            behind.sweeps.get("nothing")
        with pytest.raises(whet.errors.NotFound) as afar:
            store.sweeps.get("nothing")
        assert str(here.value) == str(afar.value)
        store.close()
