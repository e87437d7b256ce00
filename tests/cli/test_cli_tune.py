from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from whet.cli.progress import Progress, headline
from whet.cli.summary import Baseline, gain, print_summary
from whet.config import load, parse
from whet.store.base import Store, SweepState
from whet.study.create import create_study
from whet.trial import Goal, Metric, Phase, Trial
from whet.tune.loop import Event, EventKind

Call = Callable[..., Any]

SCRIPT = """
import sys
lr = float(sys.argv[1].partition("=")[2])
print("loss:", (lr - 0.1) ** 2)
if lr == 0.3:
    sys.exit("out of memory")
"""
SWEEP = """
name: tiny
project: demo
program: train.py
method: grid
metric: {name: loss, goal: minimize}
parameters:
  lr: {values: [0.3, 0.1, 0.01]}
"""


@pytest.fixture
def sweep_file(workspace: Path) -> Path:
    (workspace / "train.py").write_text(SCRIPT, encoding="utf-8")
    path = workspace / "sweep.yaml"
    path.write_text(SWEEP, encoding="utf-8")
    return path


def created(whet: Call, *args: str) -> str:
    result = whet("sweep", "sweep.yaml", *args)
    assert result.exit_code == 0, result.stderr
    return str(result.stdout.strip())


# -- sweep ----------------------------------------------------------------------------------------------------------------


def test_a_new_sweep_prints_its_id_alone_and_the_command_beside(whet: Call, sweep_file: Path, store: Store) -> None:
    result = whet("sweep", "sweep.yaml", "--name", "mine", "--project", "other")
    (sweep,) = store.sweeps.all()
    assert result.stdout == f"{sweep.id}\n"
    assert result.stderr == f"sweep mine is created in project other; work on it with:\n  whet agent {sweep.id}\n"
    assert (sweep.name, sweep.project, sweep.state) == ("mine", "other", SweepState.RUNNING)
    found = json.loads(whet("sweep", "sweep.yaml", "--json").stdout)
    assert (found["name"], found["method"], found["num_trials"]) == ("tiny", "grid", 0)


def test_a_sweep_moves_through_its_life_by_legal_moves_only(whet: Call, sweep_file: Path, store: Store) -> None:
    id = created(whet)

    def move(word: str, exit_code: int = 0) -> str:
        result = whet("sweep", "tiny", f"--{word}")
        assert result.exit_code == exit_code
        return str(result.stdout + result.stderr)

    assert move("pause") == f"sweep {id} (tiny) was running and is paused now; go on with: whet sweep {id} --resume\n"
    assert move("pause") == f"sweep {id} (tiny) is paused already\n"
    assert move("resume") == f"sweep {id} (tiny) was paused and is running now; work on it with: whet agent {id}\n"
    assert move("stop") == f"sweep {id} (tiny) was running and is finished now\n"
    assert move("pause", 1).startswith("whet: sweep 'tiny' is finished and can't become paused\n  → ")
    assert move("resume").startswith(f"sweep {id} (tiny) was finished and is running now")
    assert move("cancel") == f"sweep {id} (tiny) was running and is canceled now\n"
    assert move("resume", 1) == "whet: sweep 'tiny' is canceled and can't become running\n  → create a new one\n"
    assert store.sweeps.get(id).state is SweepState.CANCELED
    assert json.loads(whet("sweep", id, "--cancel", "--json").stdout)["state"] == "canceled"


def test_a_sweeps_file(whet: Call, sweep_file: Path, store: Store) -> None:
    id = created(whet)
    whet("edit", id, "--cap", "2")
    text = whet("sweep", id, "--yaml").stdout
    again, first = parse(text), load(sweep_file)
    assert (again.problem, again.program, again.run_cap) == (first.problem, "train.py", 2)


def test_a_sweep_starts_from_earlier_ones_by_the_beginning_of_an_id(whet: Call, sweep_file: Path, store: Store) -> None:
    id = created(whet, "--run", "--json") and store.sweeps.all()[0].id
    later = created(whet, "--name", "later", "--start-from", id[:6])
    config = parse(dict(store.sweeps.get(later).config))
    assert config.start_from == ("tiny",)
    (earlier,) = config.problem.earlier
    assert [(past.params["lr"], past.loss) for past in earlier.trials][:1] == [(0.1, 0.0)]
    assert earlier.trials[-1].loss is None  # it failed
    assert "starts from  tiny (3 trials)" in whet("show", later).stdout
    result = whet("sweep", "sweep.yaml", "--start-from", "nothing")
    assert result.exit_code == 1
    assert result.stderr.startswith("whet: no sweep 'nothing'")
    result = whet("sweep", later, "--pause", "--start-from", id)
    assert result.stderr.startswith("whet: --start-from goes with a new sweep's file")


def test_the_schema_is_for_editors(whet: Call, sweep_file: Path) -> None:
    import jsonschema
    import yaml

    schema = json.loads(whet("sweep", "--schema").stdout)
    jsonschema.validate(yaml.safe_load(SWEEP), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"parameters": {"lr": {"mim": 1}}}, schema)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method: [grid\n", "whet: sweep.yaml:2:1: this is not YAML: while parsing a flow sequence"),
        ("method: grod\nparameters: {lr: {values: [1]}}", "whet: sweep.yaml:1: method: unknown method 'grod'\n  → did you mean 'grid'?"),
        ("method: grid\nparametres: {}", "whet: sweep.yaml:2: parametres: unknown key 'parametres'\n  → did you mean 'parameters'?"),
        ("", "whet: sweep.yaml: there is nothing in it\n"),
    ],
)  # fmt: skip
def test_a_sweep_file_that_is_broken_is_told_with_its_line(text: str, said: str, whet: Call, workspace: Path) -> None:
    (workspace / "sweep.yaml").write_text(text, encoding="utf-8")
    result = whet("sweep", "sweep.yaml")
    assert result.exit_code == 2
    assert result.stderr.startswith(said)
    assert not (workspace / ".whet").exists()


def test_what_is_neither_file_nor_sweep_is_named(whet: Call, sweep_file: Path) -> None:
    id = created(whet)
    for args, said in (
        (["swep.yaml"], "whet: swep.yaml: there is no such file\n  → did you mean 'sweep.yaml'?\n"),
        (["tinny"], "whet: there is no sweep file and no sweep 'tinny'\n  → did you mean 'tiny'? known: "),
        (["tiny"], f"whet: 'tiny' is a sweep that is running, and nothing is said about what to do with it\n  → --pause, --resume, --stop, --cancel or --yaml; whet edit {id} changes it, whet show {id} shows it, whet agent {id} works on it\n"),
        (["sweep.yaml", "--pause"], "whet: --pause changes a sweep, and 'sweep.yaml' is a file\n  → give the sweep's id"),
        (["tiny", "--pause", "--name", "x"], "whet: --name goes with a new sweep's file, and 'tiny' is a sweep\n"),
        ([], "whet: neither a sweep file nor a sweep is named\n  → whet sweep sweep.yaml, or whet sweep ID --pause\n"),
    ):  # fmt: skip
        result = whet("sweep", *args)
        assert result.exit_code in (1, 2)
        assert result.stderr.startswith(said)


def test_a_folder_that_can_not_be_written(whet: Call, sweep_file: Path, workspace: Path) -> None:
    (workspace / "file").write_text("in the way", encoding="utf-8")
    result = whet("--dir", "file/below", "sweep", "sweep.yaml")
    assert result.exit_code == 1
    assert result.stderr == (
        "whet: file/below/whet.db can't be written (Not a directory)\n"
        "  → make its folder writable, or choose another place with $WHET_STORE or storage=…\n"
    )


# -- agents ---------------------------------------------------------------------------------------------------------------


def test_a_sweep_runs_to_its_end_in_plain_lines(whet: Call, sweep_file: Path, store: Store) -> None:
    result = whet("sweep", "sweep.yaml", "--run", "-j", "2")
    assert result.exit_code == 0, result.output
    (sweep,) = store.sweeps.all()
    found = result.stdout.splitlines()
    assert found[0] == f"sweep {sweep.id} (tiny) in project demo"
    assert found[1] == "[0] trial 0 started lr=0.3"
    assert any(line.endswith("trial 0 failed: exit status 1: out of memory") for line in found)
    assert any(line.endswith("trial 1 finished loss=0 lr=0.1  best so far") for line in found)
    assert any(line.startswith("3 trials · best loss 0 (trial 1) · 1 failed · ") for line in found)
    text = result.stdout
    assert "best: trial 1, loss = 0\n  lr  0.1\n" in text
    assert f"  whet best {sweep.id} " in text
    assert sweep.state is SweepState.FINISHED
    logs = whet("logs", "tiny-0")
    assert logs.stdout.startswith("loss: 0.0")
    assert logs.stderr.startswith("it wrote to stderr, too: whet logs ")
    assert whet("logs", "tiny-0", "--stderr").stdout == "out of memory\n"


def test_agents_tell_programs_what_happens_line_by_line(whet: Call, sweep_file: Path) -> None:
    id = created(whet)
    first = whet("agent", id, "--count", "1", "--json")
    rest = whet("agent", "tiny", "-j", "2", "--json")
    assert (first.exit_code, rest.exit_code) == (1, 0)  # nothing but a failure; then two that succeed
    events = [json.loads(line) for line in [*first.stdout.splitlines(), *rest.stdout.splitlines()]]
    assert {(e["event"], e["trial"]) for e in events if e["event"] != "end"} == {
        ("started", 0), ("failed", 0), ("started", 1), ("started", 2), ("finished", 1), ("finished", 2),
    }  # fmt: skip
    done = next(e for e in events if e["event"] == "finished" and e["trial"] == 1)
    assert list(done) == ["event", "trial", "text", "params", "values"]
    assert (done["params"], done["values"]) == ({"lr": 0.1}, {"loss": 0.0})
    ends = [e for e in events if e["event"] == "end"]
    assert [e["num_failed"] for e in ends] == [1, 0]
    assert (ends[1]["final"], ends[1]["num_finished"], ends[1]["best_value"]) == (True, 2, 0.0)


FUNCTION = """
import whet
def main():
    run = whet.init()
    print("what the function prints")
    run.log({"loss": (run.config.lr - 0.1) ** 2})
    run.finish()
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_function_is_called_for_each_trial(jobs: int, as_process: Call, sweep_file: Path, store: Store) -> None:
    (sweep_file.parent / "work.py").write_text(FUNCTION, encoding="utf-8")
    sweep_file.write_text(SWEEP.replace("program: train.py\n", ""), encoding="utf-8")
    id = as_process("sweep", "sweep.yaml").stdout.strip()
    done = as_process("agent", id, "--function", "work:main", "-j", str(jobs), "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(e["trial"] for e in events if e["event"] == "finished") == [0, 1, 2]
    assert events[-1]["event"] == "end"
    assert store.sweeps.get(id).best_value == 0.0


def test_an_agent_says_what_it_lacks(whet: Call, sweep_file: Path) -> None:
    sweep_file.write_text(SWEEP.replace("program: train.py\n", ""), encoding="utf-8")
    id = created(whet)
    for args, said in (
        (["nobody"], "whet: no sweep 'nobody'\n"),
        ([id], f"whet: sweep 'tiny' has no program to run\n  → add program: to its file, or run its trials as a Python function: whet agent {id} --function module:function\n"),
        ([id, "-f", "work"], "whet: 'work' names no function\n  → write module:function,"),
        ([id, "-f", "nowhere:main"], "whet: there is no module 'nowhere' here\n"),
        ([id, "-f", "work:main", "-c", "3", "-j", "2"], "whet: 3 trials can't be shared evenly by 2 processes\n  → give -c 2, or -j 1\n"),
    ):  # fmt: skip
        result = whet("agent", *args)
        assert result.exit_code in (1, 2)
        assert result.stderr.startswith(said)
    result = whet("sweep", "sweep.yaml", "--run")
    assert result.stderr.startswith("whet: sweep.yaml has no program to run\n  → add program: train.py")


# -- what is seen ---------------------------------------------------------------------------------------------------------

METRICS = (Metric(name="accuracy", goal=Goal.MAXIMIZE),)


def _trial(number: int, value: float | None, phase: Phase = Phase.FINISHED, **more: Any) -> Trial:
    return Trial(
        number=number, params={"lr": 0.1 * number}, phase=phase, values=None if value is None else (value,), **more
    )


def test_the_headline_counts_and_foretells() -> None:
    trials = [_trial(0, 0.5), _trial(1, 0.9), _trial(2, 0.95, stopped=True), _trial(3, None, Phase.FAILED), _trial(4, None, Phase.RUNNING)]  # fmt: skip
    told = headline(METRICS, trials, total=10, elapsed_s=20.0, over_before=2)
    assert told == [
        "4/10 trials", "best accuracy 0.9 (trial 1)", "1 running", "1 stopped early", "1 failed", "20s, about 1m 00s left",
    ]  # fmt: skip
    assert headline(METRICS, [], total=None, elapsed_s=0.5) == ["0 trials", "0 running", "0 failed", "500ms"]
    assert headline(METRICS, trials[:2], total=2, elapsed_s=3.0, ended=True)[-2:] == ["0 failed", "3.0s"]


@pytest.mark.parametrize("width", [80, 120])
def test_the_live_display_fits_and_shows_what_runs(width: int, store: Store) -> None:
    from rich.console import Console

    study = create_study(name="live", storage=store, space={"parameters": {"lr": {"values": [0.1, 0.2, 0.3]}}}, method="grid",
                         direction="maximize", metrics=["accuracy"], stopper="none", run_cap=3, seed=1)  # fmt: skip
    done, running = study.ask(), study.ask()
    study.tell(done, 0.75)
    for step in range(3):
        running.report(step / 2, step)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, height=30, markup=False, highlight=False, legacy_windows=False, color_system=None)  # fmt: skip
    with Progress(METRICS, console=console) as progress:
        progress.tick(study._engine)
        progress.event(Event(EventKind.FINISHED, 0, "trial 0 finished: accuracy=0.75"))
        progress.event(Event(EventKind.FAILED, 0, "trial 9 failed: a\nb"))
        progress.tick(study._engine)
        seen = screen.getvalue()
    assert "1/3 trials · best accuracy 0.75 (trial 0) · 1 running" in seen
    assert "trial 1  step 2  accuracy 1  ▁▅█" in seen
    assert "trial 0 finished accuracy=0.75 lr=0.3  best so far" in seen or "best so far" in seen
    assert "trial 9 failed: a b" in seen
    printed = [line.split("\x1b[2K")[-1].rstrip() for line in seen.splitlines()]
    assert max(len(line) for line in printed if "\x1b" not in line) <= width


def test_the_summary_tells_gain_importance_and_what_next(store: Store) -> None:
    from rich.console import Console

    space = {"parameters": {"lr": {"min": 0.0, "max": 1.0}, "noise": {"min": 0.0, "max": 1.0}}}
    study = create_study(
        storage=store, space=space, method="random", direction="maximize", metrics=["accuracy"], stopper="none", seed=3
    )
    study.optimize(lambda trial: trial.params["lr"], n_trials=30)

    def told(**more: Any) -> str:
        out = io.StringIO()
        console = Console(file=out, width=80, markup=False, highlight=False)
        print_summary(study.problem, study.trials, sweep=study.id, console=console, **more)
        return out.getvalue()

    text = told()
    best = study.best_trial
    assert f"best: trial {best.number}, accuracy = {study.best_value:.4g}" in text
    assert "from the median of 30 complete trials" in text
    bars = [line.split() for line in text.splitlines() if "█" in line]
    assert bars[0][0] == "lr"
    assert len(bars[0][2]) == 24
    assert text.rstrip().splitlines()[-3:][0].startswith(f"  whet best {study.id}")
    text = told(baseline=Baseline(label="the default", value=0.8, best=0.9, metric="test accuracy"), commands=[])
    assert "gain: test accuracy 0.8 → 0.9, +0.1 (12.5 % better)\n  from the default" in text
    assert "next" not in text


def test_a_gain_has_a_sign_and_a_word() -> None:
    assert gain(Goal.MINIMIZE, 2.0, 1.0) == "-1 (50.0 % better)"
    assert gain(Goal.MINIMIZE, 1.0, 2.0) == "+1 (100.0 % worse)"
    assert gain(Goal.MAXIMIZE, 0.0, 1.0) == "+1 (better)"
    assert gain(Goal.MAXIMIZE, 1.0, 1.0) == "no change"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send there")
def test_ctrl_c_puts_what_runs_back_into_the_queue(whet: Call, sweep_file: Path, store: Store) -> None:

    (sweep_file.parent / "train.py").write_text("import time\ntime.sleep(60)\n", encoding="utf-8")
    id = created(whet)
    command = [sys.executable, "-m", "whet.cli.main", "agent", id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == "[0] trial 0 started lr=0.3\n"
        agent.send_signal(signal.SIGINT)
        rest, errors = agent.communicate(timeout=60)
    assert agent.returncode == 130, errors
    assert rest.endswith(f"interrupted: what ran goes back into the queue; go on with: whet agent {id}\n")
    assert errors == ""
    assert [trial.phase for trial in store.trials.changes(id).trials] == [Phase.PENDING]


def test_retry(whet: Call, digits: str, store: Store) -> None:
    done = whet("retry", "digits")
    assert done.exit_code == 0
    assert done.stdout == "trial 3 is queued again as trial 6\n"
    assert "may have 9 trials now, it was 8" in done.stderr
    assert f"whet agent {digits}" in done.stderr
    assert "was queued again before, as trial 6" in whet("retry", "digits").stdout
    found = json.loads(whet("retry", digits, "0", "3", "--json").stdout)
    assert found == {
        "sweep": digits, "state": "running", "cap": 10, "queued": [{"trial": 0, "as": 7}],
        "waiting": [{"trial": 3, "as": 6}], "skipped": [],
    }  # fmt: skip
    assert "running" in whet("ls", "--sweeps").stdout
    refused = whet("retry", "digits", "6")
    assert (refused.exit_code, "trial 6 is pending, not over" in refused.stderr) == (1, True)


def test_templates(whet: Call, workspace: Path) -> None:
    listed = json.loads(whet("sweep", "--templates", "--json").stdout)
    assert "fine-tuning" in [one["name"] for one in listed]
    assert "fine-tuning" in whet("sweep", "--templates").stdout
    text = whet("sweep", "--template", "fine-tuning", "--yaml").stdout
    assert text.startswith("# Fine-tuning")
    (workspace / "mine.yaml").write_text(text)
    made = json.loads(whet("sweep", "mine.yaml", "--json").stdout)
    same = json.loads(whet("sweep", "--template", "fine-tuning", "--set", "run_cap=7", "--name", "ft", "--json").stdout)
    assert (made["cap"], same["cap"], same["name"]) == (30, 7, "ft")
    changed = whet(
        "sweep", "--template", "fine-tuning", "--yaml", "--set", "parameters.weight_decay=0", "--set", "terminate="
    )
    assert "weight_decay:\n    value: 0" in changed.stdout
    assert "\nterminate" not in changed.stdout
    for wrong in (
        ("--template", "x"), ("--set", "a=1"), ("mine.yaml", "--template", "fine-tuning"),
        ("--template", "fine-tuning", "--set", "run_cap"), ("--template", "fine-tuning", "--set", "metric.name=a"),
        ("--template", "fine-tuning", "--set", "run_cap=["),
    ):  # fmt: skip
        failed = whet("sweep", *wrong)
        assert (failed.exit_code, "→" in failed.stderr) == (2, True), wrong


def test_a_sweep_without_a_metric_runs_and_says_so(whet, workspace, store):
    (workspace / "train.py").write_text("print('done')")
    (workspace / "sweep.yaml").write_text(
        "program: train.py\nmethod: random\nmetrics: []\nrun_cap: 2\nparameters: {x: {values: [1, 2]}}\n"
    )
    result = whet("sweep", "sweep.yaml", "--run")
    assert result.exit_code == 0, result.output
    assert "2 complete trials; the sweep has no metric to say which is the best" in result.output
