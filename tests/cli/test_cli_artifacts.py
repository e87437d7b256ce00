"""``whet artifacts``, ``whet db gc``, and where ``whet serve`` keeps files."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from tests.cli.test_cli_share import Server, serving

from whet.cli.sizes import num_bytes
from whet.errors import WhetError
from whet.store.base import Artifact, Batch, NewRun, Store
from whet.store.owner import here
from whet.trial import Phase

Call = Callable[..., Any]
__all__ = ["serving"]  # the fixture


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def error(result: Any) -> str:
    assert result.exit_code != 0
    return str(result.stderr)


@pytest.fixture
def kept(store: Store, workspace: Path) -> str:
    """A run that keeps three files: one in its folder, one that was sent, one that is elsewhere; its id."""
    files = {"model.pt": b"weights", "plots/loss.svg": b"<svg/>", "far.bin": b"far away"}
    store.runs.create(NewRun(id="r000000001", project="p", name="trained", owner="elsewhere|1|0"))
    kept = [Artifact(name=n, kind="model", path="/x", size=len(c), sha256=sha(c)) for n, c in files.items()]
    store.runs.ship("r000000001", 0, "spool", 0, 1, Batch(artifacts=kept))
    path = workspace / ".whet" / "runs" / "r000000001" / "files" / "model.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(files["model.pt"])
    store.files.send("r000000001", sha(b"<svg/>"), 0, b"<svg/>")
    store.files.send("r000000001", sha(b"far away"), 0, b"far ")
    store.runs.finish("r000000001", Phase.FINISHED)
    return "r000000001"


def test_listing(whet: Call, kept: str) -> None:
    lines = whet("artifacts", "ls", "trained").stdout.splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "name kind size content sha256",
        f"far.bin model 8 B 50% here {sha(b'far away')[:12]}",
        f"model.pt model 7 B here {sha(b'weights')[:12]}",
        f"plots/loss.svg model 6 B here {sha(b'<svg/>')[:12]}",
    ]
    found = json.loads(whet("artifacts", "ls", kept[:4], "--json").stdout)
    assert [(one["name"], one["here"], one["received"]) for one in found] == [
        ("far.bin", False, 4), ("model.pt", True, 7), ("plots/loss.svg", True, 6),
    ]  # fmt: skip


def test_getting(whet: Call, kept: str, workspace: Path) -> None:
    assert whet("artifacts", "get", kept, "model.pt").stdout == "model.pt  7 B\n"
    assert Path("model.pt").read_bytes() == b"weights"
    assert whet("artifacts", "get", kept, "model.pt").stdout == "model.pt  was there already\n"
    assert whet("artifacts", "get", kept, "model.pt", "-o", "best.pt").stdout == "best.pt  7 B\n"
    assert whet("artifacts", "get", kept, "model.pt", "-o", "-").stdout_bytes == b"weights"
    got = json.loads(whet("artifacts", "get", kept, "model.pt", "plots/loss.svg", "-o", "all", "--json").stdout)
    assert [(one["path"], one["new"]) for one in got] == [("all/model.pt", True), ("all/plots/loss.svg", True)]
    assert Path("all/plots/loss.svg").read_bytes() == b"<svg/>"
    Path("best.pt").write_bytes(b"mine")
    assert "is there already" in error(whet("artifacts", "get", kept, "model.pt", "-o", "best.pt"))
    assert Path("best.pt").read_bytes() == b"mine"
    whet("artifacts", "get", kept, "model.pt", "-o", "best.pt", "--force")
    assert Path("best.pt").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["model.p"], "did you mean 'model.pt'"),
        (["far.bin"], "is not here"),
        (["-o", "-"], "takes one NAME"),
        ([], "is not here"),
    ],
)
def test_what_can_not_be_had_is_told(whet: Call, kept: str, args: list[str], said: str) -> None:
    assert said in error(whet("artifacts", "get", kept, *args))


def test_no_name_leads_out_of_the_folder(whet: Call, store: Store, workspace: Path) -> None:
    """What a server says is the name of a file is no path."""
    name = "../../../escaped"
    store.runs.create(NewRun(id="evil", project="p", name="evil", owner=""))
    one = Artifact(name=name, kind="file", path="", size=1, sha256=sha(b"x"))
    store.runs.ship("evil", 0, "spool", 0, 1, Batch(artifacts=[one]))
    store.files.send("evil", sha(b"x"), 0, b"x")
    (workspace / "deep" / "er").mkdir(parents=True)
    whet("artifacts", "get", "evil", "-o", "deep/er/x")
    assert [path.relative_to(workspace).as_posix() for path in workspace.rglob("escaped")] == ["deep/er/x/escaped"]


def test_collecting(whet: Call, kept: str, store: Store) -> None:
    assert json.loads(whet("db", "gc", "--grace", "0s", "--json").stdout)["num_dropped"] == 0
    store.runs.delete([kept])
    assert whet("db", "gc").stdout.startswith("dropped 0 contents (0 B), 1 stay in")
    assert whet("db", "gc", "--grace", "0s", "--dry-run").stdout.startswith("would drop 1 content (6 B), 0 stay in")
    assert "1 content (6 B), and 0" not in whet("db", "gc", "--grace", "0s").stdout
    assert json.loads(whet("db", "gc", "--grace", "0s", "--json").stdout)["num_kept"] == 0
    assert "wanted a time" in error(whet("db", "gc", "--grace", "soon"))


def test_the_check_finds_a_file_that_is_gone(whet: Call, kept: str, store: Store, workspace: Path) -> None:
    result = whet("db", "check")
    assert (result.exit_code, result.stdout) == (0, "all is well: 0 sweeps, 1 run\n")
    assert result.stderr == "the content of 1 file is on the machines that wrote them alone\n"
    store.runs.create(NewRun(id="mine", project="p", name="mine", owner=here()))
    one = Artifact(name="gone.pt", kind="file", path=str(workspace / "gone.pt"), size=1, sha256=sha(b"x"))
    store.runs.ship("mine", 0, "spool", 0, 1, Batch(artifacts=[one]))
    result = whet("db", "check")
    assert result.exit_code == 1
    assert result.stdout == f"files      run mine ('mine') keeps 'gone.pt', which is gone ({workspace / 'gone.pt'})\n"


@pytest.mark.parametrize(
    ("text", "wanted"), [("10", 10), ("64kB", 64_000), ("5 M", 5_000_000), ("2GB", 2 * 10**9), ("1T", 10**12)]
)
def test_sizes(text: str, wanted: int) -> None:
    assert num_bytes("--quota", text) == wanted


@pytest.mark.parametrize("text", ["", "GB", "-1", "1.5GB", "10 bytes", "1PB"])
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(WhetError, match=r"--quota got .* wanted a size"):
        num_bytes("--quota", text)


def test_a_server_with_limits_and_a_place_of_its_own(
    serving: Callable[..., Server], workspace: Path, as_process: Call
) -> None:
    server = serving("--blobs", "kept/here", "--max-file", "1kB")
    program = (
        "import whet\n"
        "run = whet.init(project='p', id='r', settings={'capture': False})\n"
        "open('small', 'w').write('s' * 1000); open('large', 'w').write('l' * 1001)\n"
        "run.save('small'); run.save('large'); run.finish()\n"
    )
    environ = {**os.environ, "WHET_STORE": server.url, "WHET_DIR": str(workspace / "client")}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert (
        done.stderr.count("'large' is not sent to the store: 'large' has 1001 bytes, and this server takes 1000 a file")
        == 1
    )
    assert [path.stat().st_size for path in (workspace / "kept" / "here").rglob("*") if len(path.name) == 62] == [1000]
    listed = json.loads(as_process("artifacts", "ls", "r", "--json", env=environ).stdout)
    assert [(one["name"], one["here"]) for one in listed] == [("large", False), ("small", True)]
    left = json.loads(as_process("sync", "--json", env=environ).stdout)["runs"][0]["left"]
    assert list(left) == ["large"]
    answer = urllib3.request("GET", f"{server.url}/api/v1/runs/r/artifacts/large", retries=False)
    assert answer.status == 404
    assert urllib3.request("GET", f"{server.url}/api/v1/runs/r/artifacts/small", retries=False).data == b"s" * 1000
