"""Commands of a population: an exploited trial gets its parent's checkpoint."""

from __future__ import annotations

from tests.tune.conftest import Place

SCRIPT = """
import os, sys
from pathlib import Path
h = float(sys.argv[1].partition("=")[2])
found = os.environ["WHET_CHECKPOINT"]
weight = float((Path(found) / "weight").read_text()) if found else 1.0
for _ in range(3):
    weight *= 1 - 0.1 * h
(Path(os.environ["WHET_CHECKPOINT_DIR"]) / "weight").write_text(repr(weight))
print(f"loss: {weight!r}")
"""

WITH_WHET = """
import whet
run = whet.init(settings={"capture": False, "system_interval_s": 0})
found = run.load_checkpoint()
weight = float((found / "weight").read_text()) if found else 1.0
step = found.step + 1 if found else 0
for _ in range(3):
    weight *= 1 - 0.1 * run.config["h"]
    whet.log({"loss": weight})
with run.save_checkpoint(run.step - 1) as folder:
    (folder / "weight").write_text(repr(weight))
assert run.step == step + 3
"""


def check(place: Place) -> None:
    trials = place.trials()
    assert len(trials) == 6
    assert sum(t.parent is not None for t in trials) == 4
    for trial in trials:
        weight = 1.0 if trial.parent is None else trials[trial.parent].values[0]  # type: ignore[index]
        for _ in range(3):
            weight *= 1 - 0.1 * trial.params["h"]  # type: ignore[operator]
        assert trial.values == (weight,)


METHOD = {"name": "pbt", "population": 2, "truncation": 0.5, "generations": 3}
H = {"h": {"min": 0.1, "max": 1.0}}


def test_an_unchanged_script_gets_paths(place: Place) -> None:
    place.script(SCRIPT)
    place.create(method=METHOD, parameters=H, run_cap=None)
    assert place.drive(workers=2).final
    check(place)


def test_a_script_that_logs_goes_on_counting(place: Place) -> None:
    place.script(WITH_WHET)
    place.create(method=METHOD, parameters=H, run_cap=None)
    assert place.drive(workers=2).final
    check(place)
    trials = place.trials()
    for trial in trials:
        first = 0 if trial.parent is None else trials[trial.parent].reports[-1].step + 1
        assert [r.step for r in trial.reports] == [first, first + 1, first + 2]
