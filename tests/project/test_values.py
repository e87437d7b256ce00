from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.errors import ConfigError, SpaceError
from whet.project.flags import UNKNOWN, Flag, Interface, Kind
from whet.project.values import parse_flag, read_batch, scalar
from whet.space import Choice, Float, Int, Normal


def flag(kind: Kind, name: str = "x", **known: object) -> Flag:
    return Flag(name=name, interface=Interface.ARGPARSE, options=(f"--{name}",), kind=kind, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "parameter"),
    [
        ("x=0.1", Choice([0.1])),
        ("x=1e-4", Choice([1e-4])),
        ("x='0.1'", Choice(["0.1"])),
        ("x=a=b", Choice(["a=b"])),
        ("x=yes", Choice([True])),
        ("x=", Choice([""])),
        ("x=1_000", Choice(["1_000"])),
        ("x=[0.1, 0.01]", Choice([0.1, 0.01])),
        ("x=[adam,sgd]", Choice(["adam", "sgd"])),
        ("x=['a,b',c]", Choice(["a,b", "c"])),
        ("x=[[64,32],[128]]", Choice([[64, 32], [128]])),
        ("x=[a:b]", Choice(["a:b"])),
        ("x=[1:9]", Int(1, 9)),
        ("x=[1:9.0]", Float(1, 9)),
        ("x=[1e-4:1e-1]", Float(1e-4, 1e-1)),
        ("x=uniform[1:9]", Int(1, 9)),
        ("x=loguniform[1e-4:1e-1]", Float(1e-4, 1e-1, log=True)),
        ("x=loguniform[16,256]", Int(16, 256, log=True)),
        ("x=normal[0:2]", Float(-math.inf, math.inf, shape=Normal(0, 2))),
        ("x=range[1:10:2]", Choice([1, 3, 5, 7, 9], ordered=True)),
        ("x=range[3:1:-1]", Choice([3, 2, 1], ordered=True)),
        ("x=range[0:0.3:0.1]", Choice([0, 0.1, 0.2, 0.3], ordered=True)),
    ],
)  # fmt: skip
def test_values(text: str, parameter: object) -> None:
    assert parse_flag(text).parameter == parameter


@given(st.floats(-5, 5), st.floats(0.1, 5), st.integers(1, 30))
def test_spaced_values_are_numpys(start: float, width: float, count: int) -> None:
    start, end = round(start, 3), round(start + width, 3)
    for name, peer in (("linspace", np.linspace), ("logspace", np.logspace)):
        parameter = parse_flag(f"x={name}[{start}:{end}:{count}]").parameter
        assert isinstance(parameter, Choice)
        assert parameter.options == pytest.approx(list(peer(start, end, count)), rel=1e-10, abs=1e-11)


@given(st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
def test_what_is_written_is_read(value: object) -> None:
    assert scalar(repr(value)) == value
    assert type(scalar(repr(value))) is type(value)
    assert scalar(f"'{value}'") == str(value)


@pytest.mark.parametrize(
    ("text", "initial"),
    [("x=[1:9:3]", 3), ("x=[0.0:1:0]", 0.0), ("x=loguniform[1e-4:1:1e-2]", 1e-2), ("x=normal[3:1]", 3.0)],
)
def test_initial_values(text: str, initial: object) -> None:
    assert parse_flag(text).initial == (initial,)


@pytest.mark.parametrize(
    ("text", "kind", "parameter"),
    [
        ("x=[1:9]", Kind.FLOAT, Float(1, 9)),
        ("x=[1e1:1e2]", Kind.INT, Int(10, 100)),
        ("x=1e3", Kind.INT, Choice([1000])),
        ("x=3", Kind.FLOAT, Choice([3.0])),
        ("x=[1,2]", Kind.FLOAT, Choice([1.0, 2.0])),
        ("x=1e3", Kind.STR, Choice(["1e3"])),
        ("x=[yes,off]", Kind.BOOL, Choice([True, False])),
        ("x=1", Kind.BOOL, Choice([True])),
        ("x=64", Kind.LIST, Choice([[64]])),
        ("x=linspace[0:4:3]", Kind.INT, Choice([0, 2, 4], ordered=True)),
    ],
)
def test_the_flag_says_what_kind_it_is(text: str, kind: Kind, parameter: object) -> None:
    found = parse_flag(text, flag(kind)).parameter
    assert found == parameter
    if isinstance(found, Choice) and isinstance(parameter, Choice):
        assert [type(o) for o in found.options] == [type(o) for o in parameter.options]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("x=[5:1]", Kind.ANY, "x=[5:1] has min > max: write x=[1:5]"),
        ("x=loguniform[1:0.1:0.5]", Kind.ANY, "x=loguniform[1:0.1:0.5] has min > max: write x=loguniform[0.1:1:0.5]"),
        ("x=loguniform[0:1]", Kind.ANY,
         "x=loguniform[0:1] has the minimum 0, which has no logarithm: give one above 0, such as x=loguniform[0.0001:1]"),
        ("x=[1:]", Kind.ANY, "x=[1:] lacks a bound: give numbers, such as [0.1:0.5] or loguniform[1e-4:1e-1]"),
        ("x=[1:b]", Kind.ANY, "x=[1:b] has the bound 'b': give numbers, such as [0.1:0.5] or loguniform[1e-4:1e-1]"),
        ("x=[1:2:3:4]", Kind.ANY, "x=[1:2:3:4] has 4 number(s): give two, [min:max], or three, [min:max:initial]"),
        ("x=[1:2:3]", Kind.ANY, "x=[1:2:3]: the initial value=3 is outside Int(1, 2): give a value in [1, 2]"),
        ("x=[]", Kind.ANY, "x=[] is empty: give at least one value, such as [1,2]"),
        ("x=[1,1]", Kind.ANY, "x=[1,1]: Choice has the option 1 twice: leave one out; weights prefer an option"),
        ("x=ten", Kind.INT, "x=ten: 'ten' is not what x (int), default 3 takes: give an integer"),
        ("x=0.5", Kind.INT, "x=0.5: '0.5' is not what x (int), default 3 takes: give an integer"),
        ("x=[0.5:2]", Kind.INT, "x=[0.5:2] has bounds that are no integers, as x takes: give integers"),
        ("x=[1:2]", Kind.STR, "x=[1:2] is a range, but x takes text: list its values, such as [a,b]"),
        ("x=2", Kind.BOOL, "x=2: '2' is not what x (bool), default 3 takes: give yes or no"),
        ("x=range[1:5:-1]", Kind.ANY, "x=range[1:5:-1] never gets from 1 to 5: give a step of the right sign, not 0"),
        ("x=range[0:1:1e-6]", Kind.ANY,
         "x=range[0:1:1e-6] has 1,000,001 values, more than 10,000: give fewer, or a range: [min:max]"),
        ("x=logunifrom[1:2]", Kind.ANY,
         "x=logunifrom[1:2]: unknown function 'logunifrom': did you mean 'loguniform'? known: loguniform, uniform, logspace, "
         "linspace, range, normal; put text with brackets in quotes"),
    ],
)  # fmt: skip
def test_bad_values(text: str, kind: Kind, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        parse_flag(text, flag(kind, default=3))
    assert str(caught.value) == message


def test_text_in_quotes_stays_text() -> None:
    assert parse_flag("x='1'", flag(Kind.ANY)).parameter == Choice(["1"])
    assert parse_flag("x=['1',1]", flag(Kind.ANY)).parameter == Choice(["1", 1])


def test_choices_and_none() -> None:
    known = flag(Kind.INT, choices=(16, 32), default=None)
    assert parse_flag("x=[16,32]", known).parameter == Choice([16, 32])
    with pytest.raises(SpaceError) as caught:
        parse_flag("x=[16,33]", known)
    assert str(caught.value) == "x=[16,33]: '33' is no choice of x: known: 32, 16"
    assert parse_flag("x=none", flag(Kind.INT, default=None)).parameter == Choice([None])
    with pytest.raises(SpaceError):
        parse_flag("x=none", flag(Kind.INT, default=UNKNOWN))


@pytest.mark.parametrize("ending", ["csv", "json", "yaml"])
def test_batch_files_say_the_same(tmp_path: Path, ending: str) -> None:
    rows = [{"lr": 1e-4, "opt": "sgd", "amp": True}, {"lr": 0.1, "opt": "adam", "amp": False}]
    text = {
        "csv": "lr,opt, amp\n1e-4,sgd,yes\n0.1,adam,no\n",
        "json": json.dumps(rows),
        "yaml": "- {lr: 1e-4, opt: sgd, amp: yes}\n- {lr: 0.1, opt: adam, amp: no}\n",
    }[ending]
    path = tmp_path / f"batch.{ending}"
    path.write_text(text)
    assert read_batch(path) == rows


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("b.csv", "lr\n", "holds no configurations"),
        ("b.json", "[1]", "holds no configurations"),
        ("b.json", "{", "is not JSON"),
        ("b.txt", "lr", "ends in '.txt'"),
        ("b.csv", None, "can't be read"),
    ],
)
def test_bad_batch_files(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_batch(tmp_path / name)


HUGE = "9" * 5000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "lr=logspace[1:400:3]",
            "lr=logspace[1:400:3] has a power beyond 1e308: give smaller exponents, or a smaller base",
        ),
        ("lr=range[0:1e308:1e-300]", "has 1,000,000,000,000,000,001 values, more than 10,000"),
        ("lr=[-1e308:1e308]", "Float(-1e+308, 1e+308) is too wide"),
        (f"n=[1:{HUGE[:400]}]", "has the bound '999"),
    ],
)
def test_numbers_beyond_any_float_are_refused_in_words(text, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        parse_flag(text)


def test_extremes_stay_what_they_are():
    assert parse_flag(f"n={HUGE}").parameter == Choice([HUGE])  # no number: text
    assert parse_flag("x=linspace[-1e308:1e308:3]").parameter == Choice([-1e308, 0.0, 1e308], ordered=True)
