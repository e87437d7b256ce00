"""Parts of parameters changed, and nothing else."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.config import with_parts
from whet.errors import UnknownName

CONFIG = {
    "method": "random",
    "program": "train.py",
    "seed": 2**60 + 1,
    "parameters": {
        "lr": {"min": 0.5, "max": 1.0},
        "a.b": {"values": [0.0, 1.0, True]},
        "net": {"parameters": {"width": {"min": 8, "max": 64}, "deep": {"parameters": {"x": {"value": 1.0}}}}},
        "fixed": 3,
    },
}


def test_what_is_named_is_changed_wherever_it_is() -> None:
    before = copy.deepcopy(CONFIG)
    made = with_parts(CONFIG, {"net.width": {"max": 128}, "a.b": {"values": [0, 1, True, "x"]}, "lr": {"max": 1}})
    expected = copy.deepcopy(CONFIG)
    expected["parameters"]["net"]["parameters"]["width"]["max"] = 128  # type: ignore[index]
    expected["parameters"]["a.b"]["values"] = [0.0, 1.0, True, "x"]  # type: ignore[index]
    assert json.dumps(made) == json.dumps(expected)  # types as well: 1 is not 1.0
    assert json.dumps(CONFIG) == json.dumps(before)


def test_true_is_not_one() -> None:
    assert json.dumps(
        with_parts({**CONFIG, "parameters": {"x": {"values": [1, 2]}}}, {"x": {"values": [True, 2.0]}})["parameters"]
    ) == ('{"x": {"values": [true, 2]}}')
    assert with_parts(CONFIG, {"fixed": {"values": [3, 4]}})["parameters"]["fixed"] == {"values": [3, 4]}


@pytest.mark.parametrize("name", ["gone", "net", "net.gone", "net.deep", "net.deep.y", "net.width.max", ""])
def test_an_unknown_name_is_told_with_those_there_are(name: str) -> None:
    with pytest.raises(UnknownName, match="parameter"):
        with_parts(CONFIG, {name: {"min": 1}})


@given(st.dictionaries(st.sampled_from(["lr", "net.width"]), st.dictionaries(st.sampled_from(["min", "max"]), st.floats() | st.integers())))  # fmt: skip
def test_nothing_else_changes(parts: dict[str, dict[str, float]]) -> None:
    made = with_parts(CONFIG, parts)
    for name in ("lr", "net.width"):
        for part in ("min", "max"):
            inner = made["parameters"][name] if name == "lr" else made["parameters"]["net"]["parameters"]["width"]
            old = CONFIG["parameters"][name] if name == "lr" else CONFIG["parameters"]["net"]["parameters"]["width"]  # type: ignore[index]
            wanted = parts.get(name, {}).get(part, old[part])  # type: ignore[index]
            assert inner[part] == wanted or inner[part] != inner[part]
    assert made["seed"] == CONFIG["seed"]
