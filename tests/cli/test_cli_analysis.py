from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from whet.store.base import Store
from whet.study.create import create_study
from whet.trial import Suggestion

Call = Callable[..., Any]
SPACE = {
    "parameters": {
        "opt": {"values": ["sgd", "adam"]},
        "lr": {"min": 1e-5, "max": 1.0, "log": True},
        "momentum": {"min": 0.0, "max": 0.99, "when": "opt == 'sgd'"},
    }
}


def objective(trial: Any) -> float:
    if trial.number % 10 == 7:
        raise RuntimeError("broken")
    loss = abs(trial.params["lr"] - 0.01) + 0.1 * trial.params.get("momentum", 0.5)
    for step in range(3):
        trial.report(loss + 1 / (step + 1), step)
    return float(loss)


@pytest.fixture
def tuned(store: Store) -> str:
    study = create_study(name="tuned", space=SPACE, metrics=["loss"], storage=store, seed=1, method="tpe")
    study.enqueue_trial({"opt": "adam", "lr": 0.1})
    study.optimize(objective, n_trials=40, catch=(RuntimeError,))
    return study.id


@pytest.fixture
def pair(store: Store) -> str:
    study = create_study(
        name="pair", space=SPACE, metrics=["loss", "size"], directions=["minimize", "maximize"], storage=store, seed=1, method="random"
    )  # fmt: skip
    study.optimize(lambda t: (t.params["lr"], t.params["lr"] ** 2), n_trials=20)
    return study.id


# -- importance -----------------------------------------------------------------------------------------------------------


def test_importance_lists_the_parameters_with_their_conditions(whet: Call, tuned: str) -> None:
    found = whet("importance", "tuned")
    lines = found.stdout.splitlines()
    assert lines[0] == "loss (minimize) in tuned, 36 trials: what sets the best trials apart"
    assert lines[2].split() == ["parameter", "share", "note"]
    (momentum,) = [line for line in lines if line.startswith("momentum")]
    assert momentum.endswith("where opt == 'sgd'")
    assert whet("importance").stdout == found.stdout  # the latest sweep


def test_importance_by_variance_says_how_far_to_trust_it(whet: Call, tuned: str) -> None:
    text = whet("importance", "tuned", "--method", "fanova").stdout
    assert "shares of the variance over the space" in text
    assert "% of the variance of trials that it has not seen" in text
    data = json.loads(whet("importance", "tuned", "--method", "fanova", "--json").stdout)
    assert list(data) == ["sweep", "metric", "method", "num_trials", "importance", "pairs", "rest", "explained"]
    assert data["importance"]["lr"] > 0.3
    shares = json.loads(whet("importance", "tuned", "--json").stdout)["importance"]
    assert sum(shares.values()) == pytest.approx(1)


def test_importance_of_too_little_says_what_to_do(whet: Call, store: Store, pair: str) -> None:
    create_study(name="empty", space=SPACE, metrics=["loss"], storage=store)
    assert whet("importance", "empty").stderr == (
        "whet: importance needs 4 different complete trials, and there are 0\n  → run more trials\n"
    )
    several = whet("importance", "pair")
    assert several.exit_code == 2
    assert several.stderr == "whet: the sweep has several metrics: loss, size\n  → name one: --metric loss\n"
    assert whet("importance", "pair", "--metric", "size").exit_code == 0
    assert "did you mean 'size'" in whet("importance", "pair", "--metric", "sice").stderr
    nothing = whet("importance", "none")
    assert nothing.exit_code == 1


# -- plot -----------------------------------------------------------------------------------------------------------------


def test_plot_draws_on_the_terminal(whet: Call, tuned: str) -> None:
    text = whet("plot", "tuned").stdout
    assert text.startswith("tuned: best loss ")
    assert "loss (minimize)" in text
    assert "! failed (4)" in text
    assert "\x1b" not in text
    assert "lr" in whet("plot", "tuned", "response", "--params", "lr").stdout


def test_plot_writes_files(whet: Call, tuned: str, workspace: Path) -> None:
    pytest.importorskip("matplotlib")
    for name, magic in (("a.png", b"\x89PNG"), ("deep/b.svg", b"<?xml"), ("c.pdf", b"%PDF")):
        assert whet("plot", "tuned", "importance", "-o", name).stdout == f"wrote {Path(name)}\n"
        assert (workspace / name).read_bytes().startswith(magic)
    assert "momentum" in (workspace / "deep/b.svg").read_text()


def test_plot_gives_its_data(whet: Call, tuned: str) -> None:
    data = json.loads(whet("plot", "tuned", "history", "--json").stdout)
    assert (data["sweep"], data["figure"], data["metric"]) == (tuned, "history", "loss")
    assert data["data"]["failed"] == [7, 17, 27, 37]


def test_plot_of_several_metrics(whet: Call, pair: str) -> None:
    assert "on the front" in whet("plot", "pair", "pareto").stdout
    assert "size (maximize)" in whet("plot", "pair", "history", "--metric", "size").stdout
    assert "hypervolume of the front" in whet("plot", "pair", "hypervolume").stdout


def test_plots_that_can_not_be(whet: Call, tuned: str, store: Store) -> None:
    wrong = whet("plot", "tuned", "-o", "a.jpeg")
    assert (wrong.exit_code, wrong.stderr) == (
        *(2, "whet: a.jpeg does not end in .png, .svg, .pdf\n  → name it a.png, say\n"),
    )
    assert whet("plot", "tuned", "-o", "a.png", "--json").exit_code == 2
    assert "no pareto of sweep tuned: a Pareto front needs several metrics" in whet("plot", "tuned", "pareto").stderr
    forgotten = whet("plot", "history")
    assert "no sweep 'history'" in forgotten.stderr
    assert "whet plot SWEEP history" in forgotten.stderr
    assert "did you mean 'history'" in whet("plot", "tuned", "histroy").stderr
    create_study(name="empty", space=SPACE, metrics=["loss"], storage=store)
    assert whet("plot", "empty").stderr == (
        "whet: no history of sweep empty: this needs a complete trial with a finite result, and there is no trial\n"
        "  → run more trials\n"
    )


def test_plot_without_matplotlib_says_what_to_install(whet: Call, tuned: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = whet("plot", "tuned", "-o", "a.png")
    assert found.exit_code == 1
    assert 'pip install "whet[plot]"' in found.stderr
    assert whet("plot", "tuned").exit_code == 0


# -- replay ---------------------------------------------------------------------------------------------------------------


def test_replay_reproduces_a_sweep(whet: Call, tuned: str) -> None:
    found = whet("replay", "tuned")
    assert (found.exit_code, found.stdout) == (
        *(0, "39 of 39 suggestions reproduced (1 more was enqueued or added by hand)\n"),
    )
    data = json.loads(whet("replay", "tuned", "--json").stdout)
    assert (data["num_suggested"], data["num_reproduced"], data["num_given"], data["differences"]) == (39, 39, 1, [])


def test_replay_names_what_differs_and_exits_with_1(whet: Call, tuned: str, store: Store) -> None:
    for number in (40, 41):
        forged = Suggestion(params={"opt": "adam", "lr": 0.5}, note="mine")
        store.trials.add(tuned, number, forged, owner="me", seen=store.trials.changes(tuned).revision, version=0)
    found = whet("replay", "tuned")
    assert found.exit_code == 1
    lines = found.stdout.splitlines()
    assert lines[0].startswith("39 of 41 suggestions reproduced")
    assert lines[1] == "trial 40 is the first that differs:"
    assert lines[2].split() == ["parameter", "kept", "now"]
    assert any(line.split()[:2] == ["lr", "0.5"] for line in lines)
    assert lines[-1] == "so does trial 41"
    data = whet("replay", "tuned", "--json")
    assert data.exit_code == 1
    assert [d["number"] for d in json.loads(data.stdout)["differences"]] == [40, 41]


def test_replay_of_nothing(whet: Call, store: Store) -> None:
    create_study(name="empty", space=SPACE, metrics=["loss"], storage=store)
    assert whet("replay", "empty").stdout == "there is no suggestion to reproduce\n"
