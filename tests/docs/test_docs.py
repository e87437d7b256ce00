"""What README and docs say runs: each block of Python, each sweep file, each command's options, each link."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import pytest

import whet
from whet.cli.main import cli
from whet.config import parse
from whet.plugins import KINDS, knobs
from whet.plugins import find as find_plugin

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def pages_with(language: str) -> list[Any]:
    return [pytest.param(page, id=page.name) for page in PAGES if blocks(page, language)]


def run_blocks(page: Path) -> dict[str, Any]:
    """Run the Python of a page from top to bottom, in one namespace, and return it."""
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), namespace)
    return namespace


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WHET_STORE", raising=False)
    monkeypatch.setenv("WHET_DIR", str(tmp_path / ".whet"))
    yield
    whet.finish()


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_runs(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_blocks(page)
    said = re.search(r"print\(.*\)  # (.*)", page.read_text(encoding="utf-8"))
    assert said is None or said[1] in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("page", pages_with("yaml"))
def test_sweep_files_are_read(page: Path) -> None:
    for block in blocks(page, "yaml"):
        assert len(parse(block).problem.space) > 0


@pytest.mark.parametrize("page", pages_with("console"))
def test_commands_have_these_options(page: Path) -> None:
    for block in blocks(page, "console"):
        for line in re.findall(r"^\$ (.*)", block, flags=re.M):
            program, name, *arguments = shlex.split(line)
            assert program == "whet"
            command = cli.get_command(click.Context(cli), name)
            assert command is not None, line
            command.make_context(name, arguments)  # parses, runs nothing
            with pytest.raises(click.UsageError):
                command.make_context(name, ["--no-such-option"])


def test_every_command_is_described() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    headings = " ".join(re.findall(r"^### whet (.*)", text, flags=re.M))
    assert set(re.findall(r"\w+", headings)) == set(cli.list_commands(click.Context(cli)))


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_key_method_stopper_and_distribution_is_in_sweep_files() -> None:
    from whet.config.distributions import DISTRIBUTIONS
    from whet.config.keys import METRIC, PARAMETER, RESOURCES, SWEEP, TERMINATE

    text = (ROOT / "docs" / "sweep-files.md").read_text(encoding="utf-8")
    said = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]*)`", text))))
    own = {
        kind: {p.name for p in metadata.distribution("whet").entry_points if p.group == KINDS[kind]} for kind in KINDS
    }
    stoppers = {knob for name in own["stopper"] for knob in knobs(find_plugin("stopper", name))}
    wanted = {
        *SWEEP,
        *METRIC,
        *PARAMETER,
        *RESOURCES,
        *TERMINATE,
        *DISTRIBUTIONS,
        *own["searcher"],
        *own["stopper"],
        *stoppers,
    }
    assert wanted - said == set()


def test_the_plug_ins_keep_their_laws() -> None:
    namespace = run_blocks(ROOT / "docs" / "plugins.md")
    laws = namespace["TestClimb"]()
    names = [name for name in dir(laws) if name.startswith("test_")]
    assert len(names) > 3
    for name in names:
        getattr(laws, name)()

    from whet.testing.stopper_laws import StopperLaws

    class Laws(StopperLaws):
        def make(self, problem: Any) -> Any:
            return namespace["Plateau"](problem, patience=2)

    for name in [name for name in dir(Laws) if name.startswith("test_")]:
        getattr(Laws(), name)()


def test_the_plug_in_is_found_by_its_entry_point(tmp_path: Path) -> None:
    """An installed package is a module and its metadata: the same is written here."""
    page = ROOT / "docs" / "plugins.md"
    (tmp_path / "climb.py").write_text(blocks(page, "python")[0])
    (info := tmp_path / "climb-1.0.dist-info").mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: climb\nVersion: 1.0\n")
    (section,) = blocks(page, "toml")
    group, name, target = re.findall(r'"([\w.]+)"\]\n(\w+) = "([\w:]+)"', section)[0]
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    program = (
        "import whet\n"
        "space = {'x': {'min': -1.0, 'max': 1.0}}\n"
        "study = whet.create_study(space=space, method={'name': 'climb', 'share': 0.5}, storage='memory', seed=1)\n"
        "study.optimize(lambda trial: trial.params['x'] ** 2, n_trials=20)\n"
        "assert len(study.trials) == 20 and study.best_value < 0.1\n"
    )
    environ = os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environ, capture_output=True)
