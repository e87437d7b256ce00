"""`Training.run`: in a sweep's function agents, in a script that an agent starts, and in a run of one's own."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests.joint.curve import SPACE, loss, network, training

import whet
from whet.config import dump, load, parse, to_mapping
from whet.hypergrad.problem import Bilevel
from whet.hypergrad.updates.sgd import SGD
from whet.launch.local import Local
from whet.store.base import Store
from whet.store.open import open_store
from whet.study.create import create_sweep
from whet.study.engine import Engine
from whet.trial import Phase, Trial
from whet.tune.agent import work
from whet.tune.loop import drive

QUIET = {"capture": False, "system_interval_s": 0, "stdout": False}

YAML = """
    method:
      name: one_pass
      search: {name: tpe, num_startup: 2}
      tune: [lr, decay]
      every: 5
      outer_lr: 0.1
    metric: val_loss
    parameters:
      lr: {min: 1e-4, max: 0.5, log: true}
      momentum: {min: 0.0, max: 0.95}
      decay: {min: 1e-6, max: 1.0, log: true}
      width: {min: 2, max: 8}
    run_cap: 3
    seed: 4
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    for name in ("WHET_DIR", "WHET_STORE", "WHET_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return open_store()


def sweep_of(store: Store, tmp_path: Path, **more: Any) -> str:
    path = tmp_path / "sweep.yaml"
    path.write_text(textwrap.dedent(YAML))
    return create_sweep(store, parse({**to_mapping(load(path)), **more}))


def trials_of(store: Store, sweep: str) -> list[Trial]:
    engine = Engine(store, sweep)
    engine.sync()
    return engine.in_order()


def test_a_sweep_file_with_a_hypergradient_method(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(textwrap.dedent(YAML))
    config = load(path)
    assert config.method.name == "one_pass"
    assert config.method.knobs == {
        "search": {"name": "tpe", "num_startup": 2}, "tune": ["lr", "decay"], "every": 5, "outer_lr": 0.1,
    }  # fmt: skip
    assert config.problem.space == SPACE
    assert parse(to_mapping(config)) == config
    path.write_text(dump(config))
    assert load(path) == config


def test_a_function_agent(store: Store, tmp_path: Path) -> None:
    sweep = sweep_of(store, tmp_path)

    def train() -> None:
        whet.init(settings=QUIET)
        training(evaluate_every=20).run()

    ending = work(store, sweep, train)
    assert ending.final
    trials = trials_of(store, sweep)
    assert [t.complete for t in trials] == [True] * 3
    study = whet.load_study(name=sweep, storage=store)
    for trial, run in zip(trials, sorted(store.runs.select(), key=lambda run: run.number or 0), strict=True):
        curves = store.runs.metrics(run.id)
        assert set(curves) == {"val_loss", "train_loss", "hyper/lr", "hyper/decay"}
        assert curves["hyper/lr"].steps == list(range(0, 41, 5))
        assert trial.intermediate_values == {20: curves["val_loss"].values[0], 40: curves["val_loss"].values[1]}
        assert trial.user_attrs["tuned"] == {n: curves[f"hyper/{n}"].values[-1] for n in ("lr", "decay")}
        assert run.summary["tuned"] == trial.user_attrs["tuned"]
        assert training().replay(study, trial).value == trial.value


def test_an_agent_is_stopped_by_its_sweeps_stopper(store: Store, tmp_path: Path) -> None:
    sweep = sweep_of(store, tmp_path, early_terminate={"type": "asha", "min_steps": 10, "eta": 2}, run_cap=8)

    def train() -> None:
        whet.init(settings=QUIET)
        training(steps=200, evaluate_every=10).run()

    def quick() -> None:
        whet.init(settings=QUIET)
        training(steps=40, evaluate_every=10).run()

    work(store, sweep, quick, count=4)
    work(store, sweep, train)
    stopped = [t for t in trials_of(store, sweep)[4:] if t.stopped]
    assert stopped
    assert all("lr" in t.user_attrs["tuned"] for t in stopped)  # type: ignore[operator]


def test_a_script_that_an_agent_starts(store: Store, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    (tmp_path / "train.py").write_text(
        f"import sys\nsys.path.insert(0, {str(root)!r})\n"
        "from tests.joint.curve import training\n"
        "import whet\n"
        f"whet.init(settings={QUIET!r})\n"
        "print(training(evaluate_every=20).run().tuned)\n"
    )
    sweep = sweep_of(store, tmp_path, program="train.py", run_cap=1)
    drive(store, sweep, Local(tmp_path / ".whet" / "jobs", grace_s=2.0))
    (trial,) = trials_of(store, sweep)
    assert trial.complete, trial.reason
    study = whet.load_study(name=sweep, storage=store)
    again = training().replay(study, trial)
    assert again.value == trial.value
    assert again.tuned == trial.user_attrs["tuned"]


def test_a_run_of_ones_own(store: Store) -> None:
    config = {"lr": 0.05, "momentum": 0.9, "decay": 1e-3, "width": 4, "name": "mine"}
    run = whet.init(config=config, settings=QUIET)
    found = training().run()
    assert whet.run is run  # it is the caller's to end
    run.log({"after": 1.0})
    run.finish()
    assert found.value == training().fit(config, seed=0).value
    (kept,) = store.runs.select()
    assert kept.stats["val_loss"].last == found.value
    assert kept.stats["val_loss"].last_step == 40


def test_without_a_run_one_is_made_and_ended(store: Store) -> None:
    fixed = Bilevel(model=network(3), train_loss=loss, val_loss=loss, update=SGD(lr=0.05))
    found = training(problem=fixed, steps=4).run()
    assert whet.run is None
    (kept,) = store.runs.select()
    assert kept.phase is Phase.FINISHED
    assert kept.stats["val_loss"].last == found.value
