"""The example and the experiment of a hybrid run, and the plot shows what was found."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from experiments.hypergrad import hybrid as experiment
from experiments.hypergrad.hybrid import Point

from examples import hybrid as example

pytestmark = pytest.mark.filterwarnings("ignore::whet.hypergrad.optimizers.base.HypergradWarning")


@pytest.mark.parametrize("method", ["tpe", "one_pass"])
def test_the_example(method: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["hybrid", "--method", method, "--trials", "2", "--steps", "40"])
    assert example.main() == 0
    out = capsys.readouterr().out
    assert re.match(r"best of 2 trials: val_loss \d", out)
    assert len(re.findall(r"^  (lr|momentum|decay) = \S+, tuned to \S+$", out, flags=re.M)) == (
        3 if method == "one_pass" else 0
    )
    assert re.search(r"test error of its model: \d+\.\d\d%", out)


@pytest.mark.parametrize("name", experiment.TASKS)
def test_a_study_of_the_experiment(name: str) -> None:
    task = experiment.TASKS[name]
    for method in task.methods().values():
        points = experiment.study(task, method, 0, 3600.0, 11, limit=2)
        assert len(points) == 2
        assert all(p.validation > 0 and p.test > 0 and p.test != p.validation for p in points)
        assert 0 < points[0].seconds < points[1].seconds


def test_the_best_is_chosen_by_validation_among_those_that_had_ended() -> None:
    points = [Point(seconds=s, validation=v, test=t) for s, v, t in [(1, 0.5, 9.0), (2, 0.3, 8.0), (3, 0.4, 1.0)]]
    assert experiment.best(points, 0.5) is None
    assert experiment.best(points, 1.5) == points[0]
    assert experiment.best(points, 3.0) == points[1]


def test_the_plot_has_a_line_a_method_from_its_first_median_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "PLOT", tmp_path / "images" / "hybrid.svg")
    runs = {
        name: [
            [Point(seconds=2.0 + i, validation=scale * (1 + i), test=1.0), Point(seconds=8.0, validation=0.1, test=1.0)]
            for i in range(3)
        ]
        for name, scale in (("TPE", 0.4), ("hybrid", 0.2))
    }
    experiment.draw(runs, 10.0)
    root = ET.fromstring(experiment.PLOT.read_text())
    lines = [e.attrib["points"].split() for e in root.iter() if e.tag.endswith("polyline")]
    assert len(lines) == 2
    for line in lines:
        places = [tuple(map(float, p.split(","))) for p in line]
        assert [x for x, _ in places] == sorted(x for x, _ in places)
        assert places[0][1] < places[-1][1]  # downwards: better
        assert places[-1][0] == pytest.approx(620)
    assert lines[0][-1] == lines[1][-1]
