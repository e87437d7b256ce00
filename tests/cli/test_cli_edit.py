"""``whet edit``: on a store here, and on a server by its URL."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from whet.config import parse
from whet.parameters import Choice, Float
from whet.server.app import application
from whet.store.base import Store, SweepState
from whet.store.open import open_store
from whet.study.create import create_study
from whet.testing.serving import serving

Call = Callable[..., Any]


@pytest.fixture
def sweep(store: Store) -> str:
    """A sweep `mine` with four finished trials of a cap of four, two of them with lr below 0.01; its id."""
    study = create_study(
        name="mine", project="demo", method="random", stopper="none", metrics=["loss"], storage=store, seed=1, run_cap=4,
        space={"lr": Float(1e-4, 0.1, log=True), "opt": Choice(["sgd", "adam"])},
    )  # fmt: skip
    for lr in (0.001, 0.002, 0.02, 0.05):
        study.enqueue_trial({"lr": lr, "opt": "sgd"})
    study.optimize(lambda trial: trial.params["lr"], n_trials=4)
    return study.id


def refused(whet: Call, *args: str) -> str:
    """What a call that fails says on stderr."""
    result = whet("edit", *args)
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    return str(result.stderr)


def test_it_says_what_changed_and_what_lies_outside(whet: Call, sweep: str, store: Store) -> None:
    result = whet("edit", "mine", "lr=[1e-2:1]", "opt+=lion", "--cap", "9", "--set", "terminate={no_improvement: 20}")
    assert result.stdout == (
        f"sweep {sweep} (mine) is changed\n"
        "  lr         Float(0.0001, 0.1, log) → Float(0.01, 1, log)\n"
        "  opt        Choice(['sgd', 'adam']) → Choice(['sgd', 'adam', 'lion'])\n"
        '  terminate  none → {"no_improvement": 20}\n'
        "  cap        4 → 9\n"
    )
    assert result.stderr == (
        "2 of 4 finished trials lie outside now: the method does not learn from them\n"
        f"it is finished; to go on: whet sweep {sweep} --resume\n"
    )
    after = store.sweeps.get(sweep)
    assert (after.cap, after.version, after.state) == (9, 1, SweepState.FINISHED)
    assert parse(dict(after.config)).problem.space["lr"] == Float(0.01, 1.0, log=True)
    assert whet("edit", "mine", "lr=[1e-2:1]", "--cap", "9").stdout == f"sweep {sweep} (mine) is so already\n"
    assert store.sweeps.get(sweep).version == 1


def test_a_parameter_that_is_called_like_a_key_is_told_from_it(whet: Call, store: Store) -> None:
    create_study(name="odd", method="random", metrics=["loss"], storage=store, run_cap=4, space={"cap": Float(1, 9), "method": Choice(["a", "b"])})  # fmt: skip
    result = whet("edit", "odd", "cap=[1:5]", "method=[a,b,c]", "--cap", "9", "--set", "method=sobol", "--json")
    assert {name: change["to"] for name, change in json.loads(result.stdout)["changes"].items()} == {
        "parameters.cap": {"min": 1.0, "max": 5.0, "distribution": "uniform"},
        "parameters.method": {"values": ["a", "b", "c"]},
        "method": "sobol",
        "cap": 9,
    }


def test_trials_lie_outside_of_a_space_alone(whet: Call, sweep: str) -> None:
    whet("edit", "mine", "lr=[1e-2:1]")
    result = whet("edit", "mine", "--set", "terminate={no_improvement: 20}")
    assert "outside" not in result.output
    assert "write --set 'terminate=" in refused(whet, "mine", "--set", "nonsense")


def test_json_has_the_plain_forms_and_a_dry_run_changes_nothing(whet: Call, sweep: str, store: Store) -> None:
    before = store.sweeps.get(sweep)
    result = whet("edit", sweep[:6], "lr=[1e-2:0.1]", "--cap", "5", "--dry-run", "--json")
    found = json.loads(result.stdout)
    assert found == {
        "sweep": sweep, "version": 0, "cap": 4, "trials": 4, "outside": 2,
        "changes": {
            "lr": {"from": {"distribution": "log_uniform_values", "min": 0.0001, "max": 0.1}, "to": {"distribution": "log_uniform_values", "min": 0.01, "max": 0.1}},
            "cap": {"from": 4, "to": 5},
        },
    }  # fmt: skip
    assert store.sweeps.get(sweep) == before
    assert refused(whet, "mine", "--cap", "2", "--dry-run").startswith("whet: cap=2 is below the 4 trials")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "whet: nothing is said about what to change\n"),
        (["lrr=[0:1]"], "whet: unknown parameter 'lrr'\n  → did you mean 'lr'?"),
        (["--cap", "2"], "whet: cap=2 is below the 4 trials"),
        (["--set", "metric={name: acc}"], "whet: sweep 'mine' has trials, whose results are of other metrics\n"),
        (
            ["--set", "method=bayse"],
            "whet: the changed sweep: method: unknown method 'bayse'\n  → did you mean 'bayes'?",
        ),
        (["--set", "parameters.lr=3"], "whet: parameters is not set as a key of the configuration\n  → use name=value"),
        (["--file", "new.yaml", "lr=3"], "whet: --file says all, and lr=3 is given, too\n"),
        (["--file", "missing.yaml"], "whet: missing.yaml"),
        (["--file", "new.yaml"], "whet: no finished trial of sweep 'mine' has a value of momentum"),
    ],
)
def test_what_cannot_be_says_why_and_changes_nothing(
    whet: Call, sweep: str, store: Store, workspace: Path, args: list[str], said: str
) -> None:
    new = "method: random\nmetric: {name: loss}\nparameters:\n  lr: {min: 0.0, max: 1.0}\n  momentum: {min: 0.0, max: 1.0}\n"
    (workspace / "new.yaml").write_text(new, encoding="utf-8")
    before = store.sweeps.get(sweep)
    assert refused(whet, "mine", *args).startswith(said)
    assert store.sweeps.get(sweep) == before


def test_a_file_that_was_printed_and_changed_is_taken_back(
    whet: Call, sweep: str, store: Store, workspace: Path
) -> None:
    text = whet("sweep", "mine", "--yaml").stdout
    (workspace / "new.yaml").write_text(text, encoding="utf-8")
    assert whet("edit", "mine", "--file", "new.yaml").stdout == f"sweep {sweep} (mine) is so already\n"
    (workspace / "new.yaml").write_text(text.replace("max: 0.1", "max: 0.5").replace("run_cap: 4", "run_cap: 6"))
    found = whet("edit", "mine", "--file", "new.yaml")
    assert "  lr   Float(0.0001, 0.1, log) → Float(0.0001, 0.5, log)\n  cap  4 → 6\n" in found.stdout
    assert store.sweeps.get(sweep).cap == 6


def test_a_parameter_more_is_fine_where_trials_have_a_place_without_it(
    whet: Call, sweep: str, store: Store, workspace: Path
) -> None:
    new = "method: random\nmetric: {name: loss}\nparameters:\n  lr: {min: 0.0, max: 1.0}\n  opt: [sgd, adam]\n  beta: {min: 0.0, max: 1.0, when: {opt: adam}}\n"
    (workspace / "new.yaml").write_text(new, encoding="utf-8")
    result = whet("edit", "mine", "--file", "new.yaml")
    assert "  beta  none → Float(0, 1, when=\"opt == 'adam'\")\n" in result.stdout
    assert "outside" not in result.stderr


def test_a_server_is_a_store_like_any_other(whet: Call, sweep: str, workspace: Path) -> None:
    with serving(application(open_store(".whet/whet.db"))) as url:
        result = whet("--store", url, "edit", "mine", "opt=[sgd,lion]", "--cap", "8")
    assert "  opt  Choice(['sgd', 'adam']) → Choice(['sgd', 'lion'])\n  cap  4 → 8\n" in result.stdout
    stored = open_store(".whet/whet.db").sweeps.get(sweep)
    assert parse(dict(stored.config)).problem.space["opt"] == Choice(["sgd", "lion"])


def test_who_is_second_is_told(whet: Call, sweep: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from whet.study import create

    def first_somebody_else(*args: Any) -> None:
        store.sweeps.edit(sweep, version=0, cap=7)

    monkeypatch.setattr(create, "check_edit", first_somebody_else)
    assert "changed meanwhile" in refused(whet, "mine", "lr=[1e-2:0.1]")
    assert store.sweeps.get(sweep).cap == 7


def test_the_shell_completes_its_parameters(sweep: str) -> None:
    from click.shell_completion import BashComplete

    from whet.cli.main import cli

    def offered(args: list[str], word: str) -> list[str]:
        return [item.value for item in BashComplete(cli, {}, "whet", "_WHET_COMPLETE").get_completions(args, word)]

    assert offered(["edit"], "mi") == ["mine"]
    assert offered(["edit", "mine"], "") == ["lr=", "opt="]
    assert offered(["edit", "nobody"], "") == []
