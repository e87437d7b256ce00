"""The hypergradient benchmark runs, and what it promises without a clock holds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.hypergrad", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=600,
        check=False,
    )


@pytest.mark.slow
def test_truth_keeps_what_it_promises(tmp_path: Path) -> None:
    done = run("truth", "--quick", "--check", "--json", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["bounds"]) > 30
    assert "MISSED" not in done.stdout


@pytest.mark.slow
def test_cost_counts_the_flops_it_promises(tmp_path: Path) -> None:
    done = run("cost", "--quick", "--check", "--json", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads((tmp_path / "found.json").read_text())["bounds"]


def test_a_command_that_does_not_exist_is_answered_with_those_that_do() -> None:
    done = run("nonsense")
    assert done.returncode == 2
    assert "truth" in done.stderr
    assert "cost" in done.stderr
