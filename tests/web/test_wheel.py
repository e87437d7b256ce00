"""What is installed has the page; a copy that was made without it works, and says how to get it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest

from whet.server.page import is_built

pytest.importorskip("hatchling", reason='hatchling builds wheels: pip install -e ".[browser]"')
pytestmark = [pytest.mark.browser, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


def _wheel(source: Path, into: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (made,) = into.glob("*.whl")
    return made


def test_a_wheel_has_every_file_of_the_page(tmp_path: Path):
    assert is_built(), "the page is not built: make ui"
    with zipfile.ZipFile(_wheel(ROOT, tmp_path)) as wheel:
        names = set(wheel.namelist())
        document = wheel.read("whet/web/index.html").decode()
    built = ROOT / "src" / "whet" / "web"
    assert {name for name in names if name.startswith("whet/web/")} == {
        f"whet/web/{one.relative_to(built).as_posix()}" for one in built.rglob("*") if one.is_file()
    }
    named = re.findall(r'(?:src|href)="/([^"]+)"', document)
    assert any(one.endswith(".js") for one in named)
    assert {f"whet/web/{one}" for one in named} <= names


def test_a_wheel_that_was_made_without_the_page_serves_the_api_and_says_how_to_get_it(tmp_path: Path):
    source = tmp_path / "source"
    shutil.copytree(ROOT / "src" / "whet", source / "src" / "whet", ignore=shutil.ignore_patterns("web", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    installed = tmp_path / "installed"
    with zipfile.ZipFile(_wheel(source, tmp_path)) as wheel:
        assert not [name for name in wheel.namelist() if name.startswith("whet/web/")]
        wheel.extractall(installed)
    command = [
        sys.executable,
        "-m",
        "whet.cli.main",
        "--store",
        str(tmp_path / "whet.db"),
        "serve",
        "--port",
        "0",
        "--json",
    ]
    env = {**os.environ, "PYTHONPATH": str(installed), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=tmp_path) as server:
        try:
            assert server.stdout
            url = json.loads(server.stdout.readline())["url"]
            with urllib.request.urlopen(f"{url}/sweeps", timeout=60) as answer:
                assert "make ui" in answer.read().decode()
            with urllib.request.urlopen(f"{url}/api/v1/sweeps", timeout=60) as answer:
                assert json.load(answer) == []
        finally:
            server.kill()
