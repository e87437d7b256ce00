"""The search benchmark runs, its problems are what they say, and both tools see the same spaces."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from benchmarks.search.problems import PROBLEMS, suggested

ROOT = Path(__file__).parents[2]
AT = {
    "branin": {"x0": math.pi, "x1": 2.275},
    "hartmann6": dict(zip([f"x{i}" for i in range(6)], [0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573], strict=True)),
    "rosenbrock10": {f"x{i}": 1.0 for i in range(10)},
    "ackley20": {f"x{i}": 0.0 for i in range(20)},
    "levy8": {f"x{i}": 1.0 for i in range(8)},
    "branches": {"kind": "wide", "lr": 1e-3, "dropout": 0.3, "width": 128},
    "pipeline": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "schedule": "cosine", "warmup": 0.1, "decay": 1e-4},
}  # fmt: skip


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.search", *arguments],
        capture_output=True, text=True, cwd=ROOT, timeout=600, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", AT)
def test_the_published_minimum_is_one(name: str) -> None:
    problem = PROBLEMS[name]
    problem.space.clean(AT[name])
    assert problem.loss(AT[name]) == pytest.approx(problem.best, abs=1e-4)
    rng = random.Random(0)
    assert all(problem.loss(problem.space.sample(rng)) >= problem.best - 1e-9 for _ in range(200))


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_trial_of_optunas_kind_sees_the_space(name: str) -> None:
    class Trial:
        rng = random.Random(1)

        def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> float:
            return low * (high / low) ** self.rng.random() if log else self.rng.uniform(low, high)

        def suggest_int(self, name: str, low: int, high: int, log: bool = False) -> int:
            return self.rng.randint(low, high)

        def suggest_categorical(self, name: str, options: list[object]) -> object:
            return self.rng.choice(options)

    space = PROBLEMS[name].space
    for _ in range(20):
        params = suggested(Trial(), space)
        assert space.clean(params).keys() == params.keys()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("optuna") is None, reason="Optuna is not installed")
def test_both_commands_run(tmp_path: Path) -> None:
    for command in ("regret", "overhead"):
        path = tmp_path / f"{command}.json"
        done = run(command, "--quick", "--repeats", "1", "--json", str(path))
        assert done.returncode == 0, done.stderr
        assert json.loads(path.read_text())["data"]


def test_a_command_that_does_not_exist_is_answered_with_those_that_do() -> None:
    done = run("nonsense")
    assert done.returncode == 2
    assert "regret" in done.stderr
