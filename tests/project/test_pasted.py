"""What is pasted of a script: command lines, what --help prints, its text."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.errors import WhetError
from whet.project import pasted
from whet.project.flags import UNKNOWN, Kind
from whet.project.inject import Passing
from whet.project.pasted import read_command, read_pasted
from whet.space import Choice, Float, Int

ARGPARSE = """
$ python -m net.train --help
usage: train.py [-h] [--lr LR] [--layers LAYERS] [--optimizer {sgd,adam}]

positional arguments:
  data                  where the data is

options:
  -h, --help            show this help message and exit
  --lr LR               learning rate (default: 0.001)
  --layers LAYERS, -l LAYERS
                        number of layers (default: 3)
  --optimizer {sgd,adam}
                        which optimizer
                        (default: adam)
  --amp                 use mixed precision (default: False)
  --units N [N ...]     units (default: [64, 32])
  --cuda, --no-cuda     use it (default: True)
  --data DATA           the folder
  --batch-size N        input batch size (default: 64)
"""

CLICK = """Usage: train.py [OPTIONS]

Options:
  --lr FLOAT                  Learning rate.  [default: 1]
  --layers INTEGER RANGE      [default: 3; 1<=x<=8]
  --opt [sgd|adam]            Which.
  -n, --epochs INTEGER
  --amp / --no-amp            Mixed precision.
  --help                      Show this message and exit.
"""

TYPER = """
 Usage: main.py [OPTIONS]

╭─ Options ──────────────────────────────────────────────────────╮
│    --lr                     FLOAT    Learning [default: 0.001] │
│    --depth    -d            INTEGER  Depth [default: 4]        │
│    --amp      --no-amp               [default: no-amp]         │
│ *  --data                   TEXT     [required]                │
│    --help                            Show this message.        │
╰────────────────────────────────────────────────────────────────╯
"""

ABSL = """
train.py:
  --[no]amp: use amp
    (default: 'false')
  --lr: learning rate
    (default: '0.1')
    (a number)
"""


def defaults(text: str) -> dict[str, Any]:
    return {name: flag.default for name, flag in read_pasted(text).flags.items()}


def test_argparse() -> None:
    found = read_pasted(ARGPARSE)
    assert found.program == "-m net.train"
    assert defaults(ARGPARSE) == {
        "lr": 0.001, "layers": 3, "optimizer": "adam", "amp": False, "units": UNKNOWN, "cuda": True, "data": UNKNOWN, "batch-size": 64,
    }  # fmt: skip
    assert found.flags["optimizer"].choices == ("sgd", "adam")
    assert found.flags["amp"].passing is Passing.SWITCH
    assert (found.flags["cuda"].passing, found.flags["cuda"].options) == (Passing.PAIR, ("--cuda", "--no-cuda"))
    assert found.flags["units"].kind is Kind.LIST


def test_click() -> None:
    found = read_pasted(CLICK)
    assert found.program == "train.py"
    assert defaults(CLICK) == {"lr": 1.0, "layers": 3, "opt": UNKNOWN, "epochs": UNKNOWN, "amp": False}
    assert found.ranges == {"layers": Int(1, 8)}
    assert found.flags["opt"].choices == ("sgd", "adam")
    assert found.flags["epochs"].options == ("--epochs",)


def test_typer_draws_boxes() -> None:
    assert defaults(TYPER) == {"lr": 0.001, "depth": 4, "amp": False, "data": UNKNOWN}
    assert read_pasted(TYPER).flags["amp"].passing is Passing.PAIR


def test_absl() -> None:
    assert defaults(ABSL) == {"amp": False, "lr": 0.1}


def test_a_scripts_text_is_read_and_no_file_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*given: object, **named: object) -> None:
        raise AssertionError("a file was opened")

    text = 'import argparse, yaml\nconfig = yaml.safe_load(open("/etc/whet.yaml"))\np = argparse.ArgumentParser()\np.add_argument("--lr", type=float, default=0.1)\nopen("/tmp/ran", "w")\n'
    monkeypatch.setattr(Path, "read_bytes", never)
    monkeypatch.setattr("builtins.open", never)
    assert defaults(text) == {"lr": 0.1}
    assert defaults("from net import train\nlr = 0.1\nDEPTH = 3\ntrain(lr)\n") == {"lr": 0.1, "DEPTH": 3}


@pytest.mark.parametrize(
    ("line", "program", "before", "extra", "values"),
    [
        ("python train.py --lr 0.1 --layers=3", "train.py", (), (), {"lr": 0.1, "layers": 3}),
        ("$ SEED=1 python3 -u train.py data --amp --mom -0.5", "train.py", ("${interpreter}", "-u"), ("data",), {"amp": True, "mom": -0.5}),
        ("torchrun --nproc_per_node 4 train.py --lr 1e-3", "train.py", ("torchrun", "--nproc_per_node", "4"), (), {"lr": 1e-3}),
        ("python -m net.train \\\n  --lr 0.1 \\\n  --units 64 32", "-m net.train", (), ("--units", "64", "32"), {"lr": 0.1}),
        ("./train --name 'two words' --lr 1", "./train", (), (), {"name": "two words", "lr": 1}),
        ("python train.py lr=0.1 model.depth=3", "train.py", (), (), {"lr": 0.1, "model.depth": 3}),
    ],
)  # fmt: skip
def test_command_lines(line: str, program: str, before: Any, extra: Any, values: Any) -> None:
    found = read_pasted(line)
    assert (found.program, found.before, found.extra) == (program, before, extra)
    assert {name: flag.default for name, flag in found.flags.items()} == values
    assert found.bare == ("lr=0.1" in line)


def test_what_is_written_for_whet_run_keeps_its_ranges() -> None:
    found = read_pasted("whet run train.py lr=loguniform[1e-4:1e-1] opt=[sgd,adam] depth=3")
    assert found.ranges == {"lr": Float(1e-4, 1e-1, log=True), "opt": Choice(["sgd", "adam"])}
    assert (found.program, found.bare) == ("train.py", False)
    assert found.flags["depth"].options == ("--depth",)


@pytest.mark.parametrize(
    "text",
    ["", "   \n", "python train.py", "hello world", "python 'train.py --lr 0.1", "x" * 200_001, "import a\ndef f(:"],
)
def test_what_names_no_flags_says_what_to_paste(text: str) -> None:
    with pytest.raises(WhetError) as caught:
        read_pasted(text)
    assert caught.value.fix


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=" \n-=[]{}()|,:.'\"\\$ablrINT019│", max_size=80) | st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(WhetError):
        assert read_pasted(text).flags


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True),
        st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        min_size=1,
        max_size=5,
    )
)
def test_a_command_gives_back_its_values(values: dict[str, float]) -> None:
    words = ["python", "train.py", *(f"--{name}={value}" for name, value in values.items())]
    assert {name: flag.default for name, flag in read_command(shlex.split(shlex.join(words))).flags.items()} == values


@pytest.mark.parametrize(
    "text",
    [
        "  --a A  (" + "default " * 23_000,
        "  --a A  (default: " + "a" * 180_000,
        "\n" * 190_000 + "x --lr 1",
        "  --a A  " + "1" * 190_000,
        "  --a A  [" + "a|" * 90_000,
        "  " + "-a{ " * 45_000,
        "x" + " " * 190_000 + "--lr 1",
        "usage: " + "python" * 30_000 + " --a 1",
        "".join(f"  --flag{i} FLAG{i}   {'word ' * 5}(default: {i})\n" for i in range(3000))[:190_000],
    ],
    ids=["defaults", "open", "lines", "digits", "choices", "braces", "blanks", "usage", "flags"],
)
def test_no_text_keeps_a_process_busy_for_minutes(text: str) -> None:
    # What would take minutes, not what takes a little longer: any text of that length is read in a second or two.
    script = "import sys; from whet.project.pasted import read_pasted; from whet.errors import WhetError\ntry: read_pasted(sys.stdin.read())\nexcept WhetError: pass"
    subprocess.run([sys.executable, "-c", script], input=text, text=True, check=True, timeout=60)


@pytest.mark.parametrize(
    ("said", "default"),
    [
        ("(default: 0.1)", "0.1"),
        ("rate [lr; default=0.1]", "0.1"),
        ("it defaults to 3 here", "3"),
        ("(the default is [1, 2])", "[1, 2]"),
        ("the default is 5", "5"),
        ("(default: (0.9, 0.99))", ""),
        ("(default: 1", ""),
        ("by default nothing", ""),
    ],
)
def test_what_is_said_to_be_the_default(said: str, default: str) -> None:
    assert pasted._default(said) == default


def test_help_whose_words_look_like_code_is_help() -> None:
    text = "usage: train.py [-h]\n\noptions:\n  --resume     whether to start\n               from scratch or go on\n  --lr LR      rate (default: 0.1)\n"
    assert read_pasted(text).flags["lr"].default == 0.1
