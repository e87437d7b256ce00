from __future__ import annotations

from pathlib import Path

import pytest

from whet.config import SweepConfig
from whet.errors import ConfigError, SpaceError
from whet.project.command import expand
from whet.project.flags import Flags, find_flags
from whet.project.invocation import command_for
from whet.project.plan import plan
from whet.space import Choice, Float
from whet.trial import Problem

SCRIPT = """
import argparse
EPOCHS = 3
p = argparse.ArgumentParser()
p.add_argument("--learning-rate", dest="lr", type=float, default=0.1)
p.add_argument("--opt", default="sgd")
p.add_argument("--amp", action="store_true")
p.add_argument("--pin", type=bool, default=False)
p.add_argument("--units", nargs="+", type=int)
"""


@pytest.fixture
def flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flags:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(SCRIPT)
    return find_flags(Path("train.py"))


def test_a_plan(flags: Flags) -> None:
    made = plan(["lr=[1e-4:1e-1:1e-2]", "opt=[sgd,adam]"], flags)
    assert dict(made.space) == {"learning-rate": Float(1e-4, 1e-1), "opt": Choice(["sgd", "adam"])}
    assert made.first == ({"learning-rate": 1e-2},)
    assert not made.finite
    assert not made.is_single
    assert plan(["lr=0.1"], flags).is_single
    assert plan([], flags).is_single
    assert plan(["lr=[0.1,1]"], flags).finite


def test_rows_and_listed_values_are_all_combined(flags: Flags) -> None:
    Path("b.csv").write_text("lr,opt\n0.1,sgd\n0.2,\n")
    made = plan(["@b.csv", "amp=[yes,no]"], flags)
    assert made.listed
    assert [tuple(row.values()) for row in made.first] == [
        (0.1, "sgd", True), (0.1, "sgd", False), (0.2, "sgd", True), (0.2, "sgd", False),
    ]  # fmt: skip
    assert all(made.space.contains(row) for row in made.first)


def test_rows_within_a_range_are_tried_first(flags: Flags) -> None:
    Path("b.json").write_text('[{"lr": 0.01}, {"lr": 0.02}]')
    made = plan(["@b.json", "lr=[0.0:1]", "opt=[a,b]"], flags)
    assert made.first == ({"learning-rate": 0.01}, {"learning-rate": 0.02})
    assert not made.listed
    with pytest.raises(SpaceError, match=r"lr=\[0.5:1\], but a file has learning-rate=0.01 is outside"):
        plan(["@b.json", "lr=[0.5:1]"], flags)
    with pytest.raises(ConfigError, match="learning-rate is in a file and given, too: lr=1"):
        plan(["@b.json", "lr=1"], flags)


def test_words_that_are_no_plan(flags: Flags) -> None:
    for words, message in (
        (["data/"], "'data/' is no flag: write name=value; arguments that the script gets as they are go after --"),
        (
            ["lr=1", "learning_rate=2"],
            "learning-rate is given twice: lr=1 and learning_rate=2: give one, or list the values: [a,b]",
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            plan(words, flags)
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("words", "values", "command"),
    [
        ([], {}, ["py", "train.py", "fit"]),
        (["lr=0.1", "opt=a"], {"learning-rate": 0.1, "opt": "a"}, ["py", "train.py", "fit", "--learning-rate=0.1", "--opt=a"]),
        (["lr=0.1", "amp=yes"], {"learning-rate": 0.1, "amp": True}, ["py", "train.py", "fit", "--learning-rate=0.1", "--amp"]),
        (["amp=no"], {"amp": False}, ["py", "train.py", "fit"]),
        (["units=[[1,2]]"], {"units": [1, 2]},
         ["py", "-m", "whet.project.inject", "--whet-set", '{"units": [1, 2]}', "--whet-pass", '{"units": ["list", "--units"]}', "train.py", "fit"]),
        (["EPOCHS=1", "opt=a"], {"EPOCHS": 1, "opt": "a"},
         ["py", "-m", "whet.project.inject", "--whet-set", '{"EPOCHS": 1, "opt": "a"}', "--whet-pass", '{"opt": ["value", "--opt"]}', "train.py", "fit"]),
    ],
)  # fmt: skip
def test_the_command_is_as_plain_as_can_be(
    flags: Flags, words: list[str], values: dict[str, object], command: list[str]
) -> None:
    made = plan(words, flags)
    template = command_for(flags, made.used, made.space, extra=["fit"])
    config = SweepConfig(problem=Problem(space=made.space), program="train.py", command=template)
    assert expand(config, values, interpreter="py") == command
