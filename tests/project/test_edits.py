"""Words change a sweep's parameters, and nothing else of it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.config import SweepConfig, parse, to_mapping
from whet.errors import ConfigError, SpaceError, UnknownName, WhetError
from whet.parameters import Choice, Float, Int, Normal
from whet.project.edits import differences, edited, replaced
from whet.space import Space
from whet.testing.spaces import spaces
from whet.trial import Problem

CONFIG = parse(
    {
        "name": "mine",
        "program": "train.py",
        "method": {"name": "tpe", "knobs": {"num_startup": 3}},
        "metric": {"name": "loss"},
        "seed": 7,
        "constraints": ["n < 100"],
        "parameters": {
            "lr": {"min": 1e-4, "max": 0.1, "log": True},
            "n": {"min": 2, "max": 8, "step": 2},
            "opt": ["sgd", "adam"],
            "width": {"values": [8, 16.0]},
            "drop": {"distribution": "normal", "mu": 0, "sigma": 1, "min": 0, "max": 1, "when": {"opt": "sgd"}},
            "net": {"parameters": {"depth": {"min": 1, "max": 4}}},
            "share": {"values": ["a", "b"], "probabilities": [0.25, 0.75]},
        },
    }
)
OLD = CONFIG.problem.space


@pytest.mark.parametrize(
    ("word", "name", "wanted"),
    [
        ("lr=[1e-5:1]", "lr", Float(1e-5, 1.0, log=True)),
        ("lr=uniform[0:1]", "lr", Float(0.0, 1.0)),
        ("lr=0.5", "lr", Choice([0.5])),
        ("--lr=[1:2]", "lr", Float(1.0, 2.0, log=True)),
        ("n=[2:16]", "n", Int(2, 16, step=2)),
        ("n=loguniform[1:64]", "n", Int(1, 64, log=True)),
        ("net.depth=[1:9]", "net.depth", Int(1, 9)),
        ("opt=[adam,lion]", "opt", Choice(["adam", "lion"])),
        ("opt+=lion", "opt", Choice(["sgd", "adam", "lion"])),
        ("opt+=[lion,7]", "opt", Choice(["sgd", "adam", "lion", "7"])),
        ("width+=32", "width", Choice([8, 16.0, 32])),
        ("drop=[0:0.5]", "drop", Float(0.0, 0.5, shape=Normal(0.0, 1.0), when="opt == 'sgd'")),
        ("drop=[0.1,0.2]", "drop", Choice([0.1, 0.2], when="opt == 'sgd'")),
    ],
)
def test_a_word_changes_one_parameter_and_keeps_what_it_does_not_say(word: str, name: str, wanted: Any) -> None:
    made = edited(CONFIG, [word])
    assert made.problem.space[name] == wanted
    assert {n: p for n, p in made.problem.space.items() if n != name} == {n: p for n, p in OLD.items() if n != name}
    assert list(made.problem.space) == list(OLD)
    assert differences(CONFIG, made) == {name: (OLD[name], wanted)}
    assert parse(to_mapping(made)) == made


def test_an_option_that_stays_is_the_very_value_that_it_was() -> None:
    choice = edited(CONFIG, ["width=[16,8.0,32]"]).problem.space["width"]
    assert isinstance(choice, Choice)
    assert [(type(option), option) for option in choice.options] == [(float, 16.0), (int, 8), (int, 32)]


@pytest.mark.parametrize(
    ("word", "error", "said"),
    [
        ("lrr=[0:1]", UnknownName, "did you mean 'lr'"),
        ("lr", ConfigError, "changes nothing"),
        ("lr=[1:0]", SpaceError, "min > max"),
        ("lr=[0:1]", SpaceError, "log"),
        ("lr=[0.1:1:0.5]", ConfigError, "the sweep has begun"),
        ("n=[0.5:1]", SpaceError, "integers"),
        ("n+=3", ConfigError, "is Int"),
        ("opt+=sgd", ConfigError, "'sgd' is an option of opt already"),
        ("opt=[a,a]", SpaceError, "twice"),
        ("share+=c", ConfigError, "weights"),
        ("opt=what[1:2]", SpaceError, "unknown function"),
    ],
)
def test_what_cannot_be_is_refused(word: str, error: type[WhetError], said: str) -> None:
    with pytest.raises(error, match=said):
        edited(CONFIG, [word])


def test_other_keys_are_set_and_left_out() -> None:
    made = edited(CONFIG, [], {"terminate": {"no_improvement": 9}, "method": "random", "constraints": None})
    assert made.terminate is not None
    assert (made.terminate.no_improvement, made.method.name, made.problem.space.constraints) == (9, "random", ())
    assert differences(CONFIG, made) == {
        "method": (to_mapping(CONFIG)["method"], "random"),
        "constraints": (["n < 100"], None),
        "terminate": (None, {"no_improvement": 9}),
    }
    assert (
        edited(CONFIG, [], {"metrics": [{"name": "a"}, {"name": "b"}], "method": "motpe"}).problem.metrics[1].name
        == "b"
    )
    for key, said in (("parameters", "use name=value"), ("run_cap", "use --cap"), ("name", "leave it out"), ("terminat", "did you mean")):  # fmt: skip
        with pytest.raises(WhetError, match=said):
            edited(CONFIG, [], {key: 1})


def test_a_file_takes_the_place_of_all_but_what_only_the_sweep_knows() -> None:
    file = parse(
        {"name": "other", "program": "new.py", "method": "random", "parameters": {"lr": {"min": 0.0, "max": 1.0}}}
    )
    made = replaced(CONFIG, file)
    assert (made.name, made.program, made.seed, made.method.name) == ("mine", "new.py", 7, "random")
    assert dict(made.problem.space) == {"lr": Float(0.0, 1.0)}
    assert replaced(CONFIG, CONFIG) == CONFIG


@settings(max_examples=30)
@given(space=spaces(), number=st.integers(0, 99))
def test_a_part_of_any_range_is_taken_and_the_whole_of_it_changes_nothing(space: Space, number: int) -> None:
    whole = SweepConfig(problem=Problem(space=space), program="t.py")
    for name, parameter in space.items():
        if "=" in name or not isinstance(parameter, (Float, Int)) or abs(parameter.high) == float("inf") or abs(parameter.low) == float("inf"):  # fmt: skip
            continue
        assert edited(whole, [f"{name}=[{parameter.low!r}:{parameter.high!r}]"]) == whole
        inner = parameter.decode(random.Random(number).random())
        try:
            made = edited(whole, [f"{name}=[{inner!r}:{parameter.high!r}]"]).problem.space[name]
        except SpaceError:  # nothing of its shape lies there
            assert parameter.shape is not None
            continue
        assert type(made) is type(parameter)
        assert made.when == parameter.when
        assert made.low == inner
