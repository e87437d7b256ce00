"""Population-based training from end to end: checkpoints go from parents to children."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import whet
from whet.store.base import Store
from whet.trial import Phase

H = {"h": {"min": 0.01, "max": 1.0}}
METHOD = {"name": "pbt", "population": 4, "truncation": 0.25, "generations": 5}


def stretch(trial: whet.Trial) -> float:
    found = trial.load_checkpoint()
    weight, start = (1.0, 0) if found is None else (float((found / "weight").read_text()), (found.step or 0) + 1)
    for step in range(start, start + 3):
        weight *= 1 - 0.1 * trial.params["h"]
        trial.report(weight, step)
    with trial.save_checkpoint(start + 2) as folder:
        (folder / "weight").write_text(repr(weight))
    return weight


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_children_go_on_from_the_weights_of_their_parents(
    store: Store, n_jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHET_DIR", str(tmp_path))
    study = whet.create_study(storage=store, space=H, method=METHOD, seed=2)
    study.optimize(stretch, n_jobs=n_jobs)
    trials = study.trials
    assert len(trials) == 20
    assert study._engine.config.stopper is None  # pieces of trainings are not stopped
    for trial in trials:
        weight = 1.0 if trial.parent is None else trials[trial.parent].values[0]  # type: ignore[index]
        assert trial.values == pytest.approx([weight * (1 - 0.1 * trial.params["h"]) ** 3])  # type: ignore[operator]
        assert trial.reports[0].step == (0 if trial.parent is None else trials[trial.parent].reports[-1].step + 1)
    assert Counter(t.reports[0].step for t in trials) == dict.fromkeys(range(0, 15, 3), 4)
    assert [t.number for t in study.lineage()][-1] == study.best_trial.number
    assert [t.reports[0].step for t in study.lineage()] == list(range(0, 15, 3))
    played = study.replay()
    assert (played.differences, played.num_suggested, played.num_continued) == ((), 20, 16)


def test_a_child_whose_worker_was_lost_goes_on_from_its_own_checkpoint_else_its_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHET_DIR", str(tmp_path))
    study = whet.create_study(storage=f"sqlite:///{tmp_path / 'whet.db'}", space=H, method=METHOD, seed=2)
    study.optimize(stretch, n_trials=4)
    child = study.ask()
    parent = study.trials[child.number].parent
    before = child.load_checkpoint()
    assert before is not None
    assert (before / "weight").read_text() == repr(study.trials[parent].values[0])  # type: ignore[index]
    study._engine.give_back(child.number, 0, "it was interrupted")
    again: Any = study.ask()
    assert (again.number, again.attempt, again.load_checkpoint()) == (child.number, 1, before)
    with again.save_checkpoint(4) as folder:
        (folder / "weight").write_text("0.5")
    study._engine.give_back(child.number, 1, "it was interrupted")
    assert study.ask().load_checkpoint().step == 4  # type: ignore[union-attr]
    assert study.trials[child.number].phase is Phase.RUNNING
