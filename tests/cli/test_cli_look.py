from __future__ import annotations

import csv
import io
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from whet.store.base import Batch, NewRun, Row, Store
from whet.store.owner import here
from whet.study.create import create_study
from whet.trial import Phase

Call = Callable[..., Any]
DEAD = here().split("|")[0] + "|999999|1.00"


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def only(rows: list[dict[str, Any]], number: int) -> dict[str, Any]:
    (found,) = [row for row in rows if row["number"] == number]
    return found


# -- ls -------------------------------------------------------------------------------------------------------------------


def test_with_nothing_there_ls_says_how_to_begin_and_makes_no_folder(whet: Call, workspace: Path) -> None:
    result = whet("ls")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == (
        f"no run yet in {Path('.whet/whet.db')}\n"
        "begin with: whet run train.py lr=loguniform[1e-4:1e-1] --maximize accuracy\n"
        "or, in Python: import whet; run = whet.init(project='first'); run.log({'loss': 0.5})\n"
    )
    assert document(whet("ls", "--json")) == []
    assert document(whet("ls", "--sweeps", "--json")) == []
    assert list(workspace.iterdir()) == []


def test_a_level_too_deep_is_noticed(whet: Call, digits: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workspace / "deep").mkdir()
    monkeypatch.chdir(workspace / "deep")
    assert f"go to {workspace}, or add --dir, as in: whet --dir {workspace / '.whet'} ls" in whet("ls").stderr


def test_ls_lists_runs_newest_first_in_aligned_columns(whet: Call, digits: str) -> None:
    found = lines(whet("ls"))
    header = found[0].split()
    assert header == ["run", "name", "state", "accuracy", "took", "params", "started"]
    assert [line.split()[1] for line in found[1:]] == [f"digits-{n}" for n in (5, 4, 3, 2, 1, 0)]
    column = found[0].index("state")
    assert {line[column:].split()[0] for line in found[1:]} == {"finished", "failed"}
    assert sum("(best)" in line for line in found) == 1


def test_a_run_of_a_sweep_without_a_metric_shows_what_it_logged(whet: Call, store: Store) -> None:
    from whet.config import parse
    from whet.study.create import create_sweep
    from whet.trial import Suggestion

    config = {"program": "train.py", "method": "grid", "metrics": [], "parameters": {"x": {"values": [1, 2]}}}
    id = create_sweep(store, parse(config))
    run = store.trials.add(id, 0, Suggestion(params={"x": 1}), owner=here(), seen=0)
    store.runs.ship(run, 0, "spool", 0, 1, Batch(rows=[Row(step=0, time=1.0, values={"loss": 0.25})]))
    store.trials.tell(id, 0, 0, phase=Phase.FINISHED, values=())
    header, line = lines(whet("ls"))
    assert (header.split()[3], line.split()[3]) == ("loss", "0.25")
    assert "result   loss=0.25" in whet("show", run).stdout


def test_ls_filters_and_says_what_it_leaves_out(whet: Call, digits: str, lone: str) -> None:
    def ids(*args: str) -> list[str]:
        return [run["name"] for run in document(whet("ls", "--json", *args))]

    assert ids("--project", "solo") == ["first"]
    assert ids("--sweep", "digits", "--state", "failed") == ["digits-3"]
    assert ids("--state", "failed", "--state", "finished", "-n", "2") == ids("-n", "2")
    assert len(ids("-n", "0")) == 7
    result = whet("ls", "-n", "3")
    assert len(lines(result)) == 4
    assert result.stderr == "only the latest 3: -n 0 lists all\n"
    assert whet("ls", "--project", "none").stderr == "no run in project 'none'; there are: demo, solo\n"
    assert whet("ls", "--state", "paused").stderr == "no run matches\n"


def test_a_run_whose_process_is_gone_is_lost(whet: Call, store: Store) -> None:
    store.runs.create(NewRun(id="aaaa000009", project="solo", name="gone", owner=DEAD))
    store.runs.create(NewRun(id="aaaa000008", project="solo", name="there", owner=here()))
    assert [r["name"] for r in document(whet("ls", "--state", "lost", "--json"))] == ["gone"]
    assert [r["name"] for r in document(whet("ls", "--state", "running", "--json"))] == ["there"]
    assert "whet doctor says what to do" in whet("ls").stderr


def test_the_json_of_runs_and_sweeps_is_what_the_documentation_says(whet: Call, digits: str) -> None:
    from whet.store import describe

    runs = document(whet("ls", "--json"))
    sweeps = document(whet("ls", "--sweeps", "--json"))
    words = " ".join((describe.__doc__ or "").split())
    assert "{" + ", ".join(runs[0]) + "}" in words
    assert "{" + ", ".join(sweeps[0]).replace("metrics,", "metrics: [{name, goal}],") + "}" in words
    best = only(runs, 2)
    assert (best["values"], best["params"], best["best"]) == (
        {"accuracy": 1.0},
        {"lr": 0.1, "width": 8, "epochs": 5},
        True,
    )
    assert only(runs, 3)["values"] is None
    assert only(runs, 3)["reason"] == "RuntimeError: out of memory\nTraceback below"
    assert sweeps[0] | {"created": 0, "updated": 0} == {
        "id": digits, "name": "digits", "project": "demo", "state": "running", "method": "grid",
        "metrics": [{"name": "accuracy", "goal": "maximize"}], "num_trials": 6, "cap": 8, "best_run": best["id"],
        "best_value": 1.0, "created": 0, "updated": 0,
    }  # fmt: skip


def test_json_holds_no_nan(whet: Call, store: Store) -> None:
    store.runs.create(NewRun(id="aaaa000007", project="solo", name="nan", owner=here(), config={"x": float("inf")}))
    rows = [Row(step=0, time=1.0, values={"loss": float("nan")})]
    store.runs.ship("aaaa000007", 0, "spool", 0, 1, Batch(rows=rows))
    text = whet("show", "nan", "--json").stdout
    found = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert found["metrics"]["loss"]["last"] is None
    assert found["config"] == {"x": None}


# -- show -----------------------------------------------------------------------------------------------------------------


def test_show_a_run(whet: Call, lone: str) -> None:
    text = whet("show", "aaaa0").stdout
    for words in (
        "aaaa000001",
        "solo",
        "python 'train me.py'",
        "ffffffffffff on main, with uncommitted changes",
        "a, b",
    ):
        assert words in text
    (metric,) = [line for line in text.splitlines() if line.startswith("loss ")]
    assert metric.split() == ["loss", "0.25", "0.25", "at", "3", "1", "at", "0", "4", "█▃▂▁"]
    assert "system/cpu" not in text


def test_show_a_sweep(whet: Call, digits: str) -> None:
    text = whet("show", "digits").stdout
    for words in (
        "maximize accuracy",
        "grid",
        "6 of 8 (5 finished, 1 failed)",
        "best 5 of 5 complete",
        "Choice([8, 16])",
    ):
        assert words in text
    top = text[text.index("best 5 of") :].splitlines()
    assert [line.split()[2] for line in top[2:4]] == ["1", "0.91"]
    found = document(whet("show", digits, "--json"))
    assert found["counts"]["failed"] == 1
    assert found["config"]["method"] == "grid"


def test_what_is_not_there_is_named_with_what_is_near(whet: Call, digits: str, lone: str) -> None:
    def said(*args: str) -> str:
        result = whet(*args)
        assert (result.exit_code, result.stdout) == (1, "")
        return str(result.stderr)

    assert said("show", "digitz-1") == (
        "whet: no run and no sweep 'digitz-1'\n"
        "  → did you mean 'digits'? whet ls shows the runs, whet ls --sweeps the sweeps\n"
    )
    assert said("logs", "aaaa000002").startswith("whet: no run 'aaaa000002'\n  → did you mean 'aaaa000001'? known: ")
    assert said("best", "digit5").startswith("whet: no sweep 'digit5'\n  → did you mean 'digits'? known: digits, ")


def test_an_exact_name_wins_over_the_beginning_of_an_id_and_two_are_never_guessed_between(
    whet: Call, store: Store, lone: str
) -> None:
    store.runs.create(NewRun(id="aaaa000003", project="solo", name="aaaa", owner=here()))
    assert document(whet("show", "aaaa", "--json"))["id"] == "aaaa000003"
    assert "'aaaa00' could be any of 2 runs" in whet("show", "aaaa00").stderr
    create_study(name="first", storage=store, space={"parameters": {"x": {"values": [1]}}})
    result = whet("show", "first")
    assert result.exit_code == 1
    assert result.stderr.startswith("whet: 'first' could be several things: sweep ")
    assert "run aaaa000001 (first)" in result.stderr


# -- best -----------------------------------------------------------------------------------------------------------------


def test_best_shows_the_best_run_of_the_latest_sweep(whet: Call, digits: str) -> None:
    found = document(whet("best", "--json"))
    assert list(found) == ["sweep", "run", "command"]
    assert (found["run"]["number"], found["command"]) == (2, None)
    text = whet("best").stdout
    assert text.splitlines()[0] == "best   accuracy=1 (goal: maximize)"
    assert "in Python: params = {'lr': 0.1, 'width': 8, 'epochs': 5}" in text


def test_best_gives_the_exact_command(whet: Call, store: Store, workspace: Path) -> None:
    from whet.config import parse
    from whet.study.create import create_sweep
    from whet.trial import Suggestion

    config = {"program": "my train.py", "command": ["python", "${program}", "${args}"], "name": "s", "method": "random",
              "metric": {"name": "loss", "goal": "minimize"}, "parameters": {"opt": {"values": ["a b"]}}}  # fmt: skip
    id = create_sweep(store, parse(config))
    assert (
        whet("best").stderr
        == f"whet: sweep {id} (s) has no best run: it has no trial\n  → work on it: whet agent {id}\n"
    )
    store.trials.add(id, 0, Suggestion(params={"opt": "a b"}), owner=here(), seen=0)
    assert "none of its 1 trial has ended with a result" in whet("best").stderr
    store.trials.tell(id, 0, 0, phase=Phase.FINISHED, values=(0.5,))
    assert document(whet("best", "--json"))["command"] == ["python", "my train.py", "--opt=a b"]
    assert whet("best").stdout.splitlines()[-1] == "  python 'my train.py' '--opt=a b'"


def test_best_calls_the_python_of_this_shell_by_its_short_name(
    whet: Call, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from whet.config import parse
    from whet.study.create import create_sweep
    from whet.trial import Suggestion

    config = {"program": "train.py", "command": ["/usr/bin/env", sys.executable, "${program}"], "name": "s", "method": "random",
              "metric": {"name": "loss", "goal": "minimize"}, "parameters": {"x": {"values": [1]}}}  # fmt: skip
    id = create_sweep(store, parse(config))
    store.trials.add(id, 0, Suggestion(params={"x": 1}), owner=here(), seen=0)
    store.trials.tell(id, 0, 0, phase=Phase.FINISHED, values=(0.5,))
    monkeypatch.setattr("shutil.which", lambda name: str(Path(sys.executable).parent / name))
    assert whet("best").stdout.splitlines()[-1] == "  python train.py"
    monkeypatch.setattr("shutil.which", lambda name: f"/elsewhere/bin/{name}")
    assert whet("best").stdout.splitlines()[-1] == f"  /usr/bin/env {sys.executable} train.py"


def test_best_of_several_metrics_is_the_front(whet: Call, store: Store) -> None:
    study = create_study(directions=["minimize", "maximize"], metrics=["a", "b"], storage=store, method="random", seed=1,
                         space={"parameters": {"x": {"values": [0, 1, 2, 3]}}})  # fmt: skip
    for values in ((1.0, 1.0), (2.0, 0.5), (0.5, 0.2)):
        study.tell(study.ask(), values)
    assert [run["number"] for run in document(whet("best", "--json"))["front"]] == [0, 2]
    assert [line.split()[1] for line in whet("best").stdout.splitlines()[3:]] == ["0", "2"]


def test_a_sweep_of_functions_that_nobody_ran_says_how(whet: Call, store: Store) -> None:
    id = create_study(name="new", storage=store, space={"parameters": {"x": {"values": [1]}}}).id
    assert whet("best", "new").stderr.endswith(f"  → work on it: whet agent {id} --function module:function\n")
    assert (whet("compare", "new").stdout, whet("compare", "new").stderr) == ("", "no run yet\n")
    assert document(whet("compare", "new", "--json")) == []


# -- compare --------------------------------------------------------------------------------------------------------------


def test_compare_ranks_a_sweep_and_tells_what_is_the_same_once(whet: Call, digits: str) -> None:
    result = whet("compare", "digits")
    table = lines(result)
    assert table[0].split() == ["run", "name", "state", "took", "accuracy", "lr", "width"]
    assert [line.split()[1] for line in table[1:]] == [f"digits-{n}" for n in (2, 4, 5, 0, 1, 3)]
    assert result.stderr == "the same in all: epochs=5\n"
    assert [r["name"] for r in document(whet("compare", "digits", "--top", "2", "--json"))] == ["digits-2", "digits-4"]
    turned = document(whet("compare", "digits", "--sort", "-accuracy", "--columns", "name,accuracy", "--json"))
    assert [row["accuracy"] for row in turned] == [0.8, 0.8, 0.91, 0.91, 1.0, None]
    assert list(turned[0]) == ["run", "name", "accuracy"]


def test_compare_as_csv_has_all_digits(whet: Call, digits: str, lone: str) -> None:
    rows = list(csv.DictReader(io.StringIO(whet("compare", "digits-0", "aaaa000001", "--csv").stdout)))
    assert [row["name"] for row in rows] == ["digits-0", "first"]
    assert float(rows[0]["accuracy"]) == 1 - abs(0.3 - 0.1)
    assert (rows[0]["loss"], float(rows[1]["loss"])) == ("", 0.25)


def test_compare_knows_its_columns(whet: Call, digits: str) -> None:
    for args in (["--columns", "lr,widht"], ["--sort", "widht"]):
        result = whet("compare", "digits", *args)
        assert result.exit_code == 2
        assert result.stderr.startswith("whet: unknown column 'widht'\n  → did you mean 'width'? known: width,")


def test_sweeps_against_each_other(whet: Call, store: Store) -> None:
    for name, high, values in (("wide", 1.0, (0.9, 0.4, 0.6)), ("other", 1.0, (0.8, 0.5)), ("narrow", 0.5, (0.3,))):
        method = "random" if high == 1.0 else "sobol"
        space = {"parameters": {"x": {"min": 0.0, "max": high}}}
        study = create_study(name=name, storage=store, method=method, metrics=["loss"], stopper="none", space=space)
        for value in values:
            study.tell(study.ask(), value)
    table = lines(whet("compare", "--sweeps", "wide", "narrow"))
    assert table[0] == "loss (minimize) of 2 sweeps"
    assert table[2].split()[-4:] == ["loss", "to", "reach", "0.4"]
    assert [line.split()[0] for line in table[3:5]] == ["wide", "narrow"]
    assert table[3].split()[-3:] == ["0.4", "2", "trials"]
    assert table[-1].split() == ["x", "0", "…", "1", "0", "…", "0.5", "50%"]
    assert (
        "random: 0.45 is the median of 2 sweeps after 2 trials" in whet("compare", "--sweeps", "wide", "other").stdout
    )
    found = document(whet("compare", "--sweeps", "wide", "other", "narrow", "--json"))
    assert (found["metric"], found["target"]) == ("loss", 0.5)
    assert [(one["name"], one["best"], one["num_needed"]) for one in found["sweeps"]] == [
        ("wide", 0.4, 2), ("other", 0.5, 2), ("narrow", 0.3, 1),
    ]  # fmt: skip
    assert [(one["name"], one["sweeps"]) for one in found["teams"]] == [("random", ["wide", "other"])]
    assert found["shared"][0]["share"] == 0.5
    for args in (["--sweeps", "--csv"], ["--metric", "loss"], ["--sweeps", "--top", "3"]):
        assert whet("compare", "wide", *args).exit_code == 2
    assert "has no metric 'acc'" in whet("compare", "--sweeps", "wide", "--metric", "acc").stderr


# -- logs -----------------------------------------------------------------------------------------------------------------


def test_logs_of_a_run_that_kept_its_own(whet: Call, store: Store, workspace: Path) -> None:
    folder = workspace / ".whet" / "runs" / "aaaa000005"
    folder.mkdir(parents=True)
    store.runs.create(NewRun(id="aaaa000005", project="solo", name="own", owner=here(), folder=str(folder)))
    assert whet("logs", "own").stderr.startswith("whet: run aaaa000005 has left no output here\n")
    (folder / "output.log").write_text("one\ntwo\nthree", encoding="utf-8")
    assert lines(whet("logs", "own", "-n", "2")) == ["two", "three"]
    told = [json.loads(line) for line in lines(whet("logs", "own", "--json", "-n", "1"))]
    assert told == [{"stream": "stdout", "line": "three"}]


def test_logs_follow_until_the_run_ends(whet: Call, store: Store, workspace: Path) -> None:
    folder = workspace / ".whet" / "runs" / "aaaa000006"
    folder.mkdir(parents=True)
    store.runs.create(NewRun(id="aaaa000006", project="solo", name="own", owner=here(), folder=str(folder)))
    log = folder / "output.log"
    log.write_text("one\n", encoding="utf-8")

    def go_on() -> None:
        with log.open("a", encoding="utf-8") as file:
            for text in ("tw", "o\n", "last"):
                time.sleep(0.15)
                file.write(text)
                file.flush()
        store.runs.finish("aaaa000006", Phase.FINISHED)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        assert lines(whet("logs", "own", "--follow")) == ["one", "two", "last"]
    finally:
        thread.join()


def test_logs_of_a_lost_run_end(whet: Call, store: Store, workspace: Path) -> None:
    folder = workspace / ".whet" / "runs" / "aaaa000007"
    folder.mkdir(parents=True)
    store.runs.create(NewRun(id="aaaa000007", project="solo", name="own", owner=DEAD, folder=str(folder)))
    (folder / "output.log").write_text("one\ntw", encoding="utf-8")
    result = whet("logs", "own", "--follow")
    assert lines(result) == ["one", "tw"]
    assert result.stderr == "the run is lost: its process is gone without an end; whet doctor says what to do\n"


def test_show_says_why_a_sweep_ended(whet: Call, store: Store) -> None:
    study = create_study(
        name="still", space={"x": {"min": 0.0, "max": 1.0}}, method="random", stopper="none", storage=store, seed=1,
        terminate={"no_improvement": 2, "wall_clock_s": 3600},
    )  # fmt: skip
    assert document(whet("show", study.id, "--json"))["ended"] is None
    study.optimize(lambda trial: 1.0)
    why = "the last 2 trials brought no improvement: the best is still value 1 of trial 0"
    text = whet("show", "still").stdout
    assert f"finished: {why}" in " ".join(text.split())
    assert "no_improvement=2 wall_clock_s=3600" in " ".join(text.split())
    assert document(whet("show", "still", "--json"))["ended"] == why
