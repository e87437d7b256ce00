"""`whet run` on real scripts: each interface, sweeps, single runs, going on after an interrupt, and every message."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from whet.cli.main import cli

WHET = [sys.executable, "-m", "whet.cli.main"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [n for n in os.environ if n.startswith("WHET_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def whet(*words: str) -> Done:
    """Call the command in this process (imports cost a second); what it starts are real processes."""
    result = CliRunner().invoke(cli, words, prog_name="whet", catch_exceptions=False)
    return Done(result.exit_code, result.stdout, result.stderr)


def script(text: str, name: str = "train.py") -> None:
    Path(name).write_text(text)


def tried(*words: str) -> list[dict[str, object]]:
    """Run a sweep and return the (params, values) of its finished trials, by number."""
    done = whet("run", *words, "--json", "-j", "2")
    assert done.returncode == 0, done.stderr + done.stdout
    events = [json.loads(line) for line in done.stdout.splitlines()]
    finished = {e["trial"]: {**e["params"], **e["values"]} for e in events if e["event"] == "finished"}
    return [finished[number] for number in sorted(finished)]


ARGPARSE = """
import argparse, sys
p = argparse.ArgumentParser()
p.add_argument("--lr", type=float, default=0.1)
p.add_argument("--opt", choices=["sgd", "adam"], default="sgd")
p.add_argument("--amp", action="store_true")
p.add_argument("--code", type=int, default=0)
a = p.parse_args()
for step in range(2):
    print(f"step: {step} loss: {a.lr * 10 + (a.opt == 'sgd') + 100 * a.amp + 1 - step}")
if a.code:
    print("first line", "it went wrong", sep="\\n", file=sys.stderr)
    sys.exit(a.code)
"""
SCRIPTS = {
    "argparse": ARGPARSE,
    "click": "import click\n@click.command()\n@click.option('--lr', default=0.1)\n@click.option('--opt', default='sgd')\n"
             "@click.option('--amp/--no-amp', default=False)\ndef main(lr, opt, amp):\n"
             "    print('loss:', lr * 10 + (opt == 'sgd') + 100 * amp)\nmain()\n",
    "globals": "lr = 0.1\nopt = 'sgd'\namp = False\nif __name__ == '__main__':\n    print(f'loss: {lr * 10 + (opt == \"sgd\") + 100 * amp}')\n",
    "yaml": "import yaml\nc = yaml.safe_load(open('c.yaml'))\nprint(f\"loss: {c['lr'] * 10 + (c['opt'] == 'sgd') + 100 * c['amp']}\")\n",
}  # fmt: skip


@pytest.mark.parametrize("interface", SCRIPTS)
def test_a_grid_over_every_interface(interface: str) -> None:
    Path("c.yaml").write_text("lr: 0.1\nopt: sgd\namp: no\n")
    script(SCRIPTS[interface])
    assert tried("train.py", "lr=[0.1,0.2]", "opt=[sgd,adam]", "amp=[no,yes]", "--minimize", "loss") == [
        {"lr": lr, "opt": opt, "amp": amp, "loss": pytest.approx(lr * 10 + (opt == "sgd") + 100 * amp)}
        for lr in (0.1, 0.2)
        for opt in ("sgd", "adam")
        for amp in (False, True)
    ]


def test_shell_scripts_and_modules() -> None:
    script('echo "loss: ${1#--lr=}"\n', "train.sh")
    assert tried("train.sh", "lr=[1,2]", "--minimize", "loss") == [{"lr": 1, "loss": 1}, {"lr": 2, "loss": 2}]
    Path("pkg").mkdir()
    script("lr = 1\nprint('loss:', lr)\n", "pkg/fit.py")
    assert tried("-m", "pkg.fit", "lr=[3,4]", "--minimize", "loss") == [{"lr": 3, "loss": 3}, {"lr": 4, "loss": 4}]


def test_metrics_by_whet_log_and_by_tensorboard() -> None:
    pytest.importorskip("tensorboard")
    script(
        "import whet\nlr = 1.0\nrun = whet.init()\nfor i in range(3):\n    whet.log({'loss': lr * i})\nwhet.finish()\n",
        "logs.py",
    )
    assert tried("logs.py", "lr=[1.0,2.0]", "--minimize", "loss") == [{"lr": 1, "loss": 2}, {"lr": 2, "loss": 4}]
    script(
        "import os\nfrom torch.utils.tensorboard import SummaryWriter\nlr = 1.0\n"
        "w = SummaryWriter(f'runs/{os.getpid()}')\nw.add_scalar('loss', lr, 0)\nw.close()\n",
        "events.py",
    )
    pytest.importorskip("torch")
    assert tried("events.py", "lr=[1.0,2.0]", "--minimize", "loss") == [{"lr": 1, "loss": 1}, {"lr": 2, "loss": 2}]


def test_a_range_is_searched_from_its_initial_value_on() -> None:
    script(ARGPARSE)
    done = tried("train.py", "lr=loguniform[1e-3:1:0.5]", "amp=no", "--minimize", "loss", "-n", "4", "--seed", "1")
    assert len(done) == 4
    assert done[0]["lr"] == 0.5
    assert all(1e-3 <= float(str(d["lr"])) <= 1 for d in done)


def test_a_batch_file() -> None:
    script(ARGPARSE)
    Path("b.csv").write_text("lr,opt\n0.1,sgd\n0.3,adam\n")
    assert [(d["lr"], d["opt"]) for d in tried("train.py", "@b.csv", "--minimize", "loss")] == [
        (0.1, "sgd"),
        (0.3, "adam"),
    ]


def test_one_run_is_a_run_of_the_script() -> None:
    script(ARGPARSE)
    done = whet("run", "train.py", "lr=0.2")
    assert done.returncode == 0
    assert done.stdout == "step: 0 loss: 4.0\nstep: 1 loss: 3.0\n"
    failed = whet("run", "train.py", "code=7")
    assert failed.returncode == 7
    assert failed.stderr.startswith("first line\nit went wrong\nrun ")
    assert "failed: exit status 7; whet logs" in failed.stderr
    shown = whet("run", "train.py", "--", "--lr", "0.3")
    assert shown.stdout.startswith("step: 0 loss: 5.0")


def test_a_grid_needs_no_metric() -> None:
    script(ARGPARSE)
    done = whet("run", "train.py", "lr=[0.1,0.2]")
    assert done.returncode == 0, done.stderr
    assert "2 trials finished" in done.stdout
    assert done.stdout.splitlines()[1] == "[0/2] trial 0 started lr=0.1"


def test_the_end_says_what_was_best_and_what_to_do_next() -> None:
    script(ARGPARSE)
    done = whet("run", "train.py", "lr=[0.3,0.1]", "--maximize", "loss", "--name", "mine")
    assert "best: trial 0, loss = 4" in done.stdout
    assert "whet best mine" in done.stdout
    again = whet("run", "train.py", "lr=[0.3,0.1]", "--maximize", "loss", "--name", "mine")
    assert again.returncode == 0
    assert again.stdout.startswith("sweep mine is finished: it had 2 trials\n")


def test_going_on_with_more_trials() -> None:
    script(ARGPARSE)
    words = ["run", "train.py", "lr=[0.1:0.9]", "--minimize", "loss", "--name", "more", "-o", "random", "--seed", "3"]
    whet(*words, "-n", "2")
    done = whet(*words, "-n", "4")
    assert "going on with sweep more: it has 2 trials" in done.stdout
    assert [line.split()[3] for line in done.stdout.splitlines() if " started" in line] == [
        "2",
        "3",
    ] or "trial 3 finished" in done.stdout
    other = whet("run", "train.py", "lr=[0.1:0.8]", "--minimize", "loss", "--name", "more", "-o", "random")
    assert (other.returncode, other.stderr) == (
        2,
        "whet: there is a sweep more with other flags\n  → give another --name, or go on with it as it is: whet run --name more\n",
    )


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a process of one's own there")
def test_an_interrupted_sweep_goes_on() -> None:
    script("import time\nlr = 0.1\ntime.sleep(0.3)\nprint('loss:', lr, flush=True)\n")
    words = ["run", "train.py", "lr=[1,2,3,4]", "--minimize", "loss", "--name", "s"]
    process = subprocess.Popen([*WHET, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "trial 1 started" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "interrupted after 1 trial; go on with: whet run --name s" in out
    done = whet("run", "--name", "s")
    assert done.returncode == 0, done.stderr
    assert "trial 0 started" not in done.stdout
    listed = json.loads(whet("ls", "--sweep", "s", "--json").stdout)
    assert sorted((r["number"], r["values"]["loss"]) for r in listed) == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_nothing_is_run_by_looking() -> None:
    script("raise SystemExit('run!')\nlr = 0.1\n")
    assert "lr" in whet("run", "train.py", "--flags").stdout
    shown = whet("run", "train.py", "lr=[1,2]", "--print-trials", "--json")
    assert json.loads(shown.stdout) == [{"lr": 1.0}, {"lr": 2.0}]
    assert not Path(".whet").exists()
    staged = whet("run", "train.py", "lr=[1,2]", "--stage", "--name", "later")
    assert "start it with: whet run --name later" in staged.stderr
    assert json.loads(whet("ls", "--json").stdout) == []


def test_what_is_shown_beforehand_begins_with_what_earlier_sweeps_found(capsys: pytest.CaptureFixture[str]) -> None:
    from whet.cli.preview import print_trials
    from whet.config import Plugin, SweepConfig
    from whet.project.plan import Plan
    from whet.space import Float, Space
    from whet.trial import Earlier, Past, Problem

    space = Space({"lr": Float(0, 1)})
    earlier = (Earlier(name="old", trials=(Past(number=7, params={"lr": 0.125}, loss=0.0),)),)
    config = SweepConfig(problem=Problem(space=space, earlier=earlier), method=Plugin(name="random"), seed=1)
    print_trials(config, Plan(space=space, used={}), 2, as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown[0] == {"lr": 0.125}
    assert shown[1] != shown[0]


def test_a_terminal_is_asked_and_a_no_runs_nothing() -> None:
    pty = pytest.importorskip("pty")
    script(ARGPARSE)
    ours, theirs = pty.openpty()
    words = ["run", "train.py", "lr=[0.1,0.2]", "opt=adam", "--minimize", "loss"]
    process = subprocess.Popen(
        [*WHET, *words], stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    seen, deadline = b"", time.monotonic() + 30
    while b"Continue?" not in seen and time.monotonic() < deadline:
        seen += os.read(ours, 1000)
    os.write(ours, b"n\n")
    assert process.wait(timeout=30) == 1
    os.close(ours)
    assert b"You are about to run train.py as a sweep of 2 trials (grid)" in seen
    assert b"lr   [0.1, 0.2]" in seen.replace(b"\x1b[2m", b"").replace(b"\x1b[0m", b"")
    assert not Path(".whet").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian.py"], "there is no script 'trian.py'\n  → did you mean train.py? there are also other.py"),
        (["lr=0.1"], "there is no script 'lr=0.1'\n  → name the script first: whet run train.py lr=0.1"),
        (["train.py", "lrr=1"], "train.py has no flag 'lrr'\n  → did you mean 'lr'? its flags: lr, amp, code, opt (--force-flags passes it all the same)"),
        (["train.py", "lr=[5:1]"], "lr=[5:1] has min > max\n  → write lr=[1:5]"),
        (["train.py", "lr=loguniform[0:1]"],
         "lr=loguniform[0:1] has the minimum 0, which has no logarithm\n  → give one above 0, such as lr=loguniform[0.0001:1]"),
        (["train.py", "lr=[1e-4:1]"],
         "method bayes needs a metric to go by, and none is given\n  → give --minimize or --maximize METRIC; train.py seems to report loss, or -o random to try without"),
        (["train.py", "lr=[1,2]", "--stop", "asha"],
         "--stop asha needs a metric to go by, and none is given\n  → give --minimize or --maximize METRIC; train.py seems to report loss"),
        (["train.py", "lr=[1,2]", "-o", "gird"], "unknown method 'gird'\n  → did you mean 'grid'? known: "),
        (["train.py", "lr=1", "--minimize", "a", "--maximize", "a"], "'a' is to be both minimized and maximized\n  → give one of them"),
        ([], "no script is named\n  → "),
    ],
)  # fmt: skip
def test_messages(words: list[str], message: str) -> None:
    script(ARGPARSE)
    script("", "other.py")
    result = whet("run", *words)
    assert result.returncode == 2
    assert result.stderr.startswith(f"whet: {message}")
    assert not Path(".whet").exists()


def test_a_script_that_crashes() -> None:
    script(ARGPARSE)
    done = whet("run", "train.py", "code=[3,4,5,6]", "--minimize", "loss")
    assert done.returncode == 1
    problem, *lines, fix = done.stderr.splitlines()
    assert problem == "whet: all 3 trials failed, the last: exit status 5"  # it gave up before the fourth
    assert lines == ["    first line", "    it went wrong"]
    assert fix.startswith("  → whet logs ")
    assert fix.endswith(" --stderr shows all of it")


def test_a_metric_that_is_misspelt_or_never_reported() -> None:
    script(ARGPARSE)
    done = whet("run", "train.py", "lr=[1,2]", "--minimize", "los")
    assert done.returncode == 1
    assert done.stderr == (
        "whet: all 2 trials failed, the last: it never reported 'los': it reported loss\n  → did you mean --minimize loss? a metric is what is "
        'logged by whet.log, written for TensorBoard, or printed as "los: 0.5"\n'
    )
    script("lr = 1\n")
    done = whet("run", "train.py", "lr=1", "--maximize", "acc")
    assert done.returncode == 1
    assert done.stderr == (
        "whet: the run failed: it never reported 'acc': it reported no metric at all\n  → a metric is what is logged by whet.log, written for "
        'TensorBoard, or printed as "acc: 0.5"\n'
    )
