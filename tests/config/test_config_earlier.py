"""`start_from` and `earlier` in sweep files: what they may hold, and that they come back."""

from __future__ import annotations

import pytest

from whet.config import dump, parse, to_mapping
from whet.errors import ConfigError
from whet.trial import Earlier, Past

TEXT = """
method: random
start_from: [mnist-lr, 3f2a]
earlier:
- name: mnist-lr
  trials:
  - {number: 7, loss: -0.5, params: {lr: 0.01, opt: null, widths: [8, 8]}}
  - {number: 3, params: {lr: 1}}
- {name: 3f2a, trials: []}
parameters: {lr: {min: 0.001, max: 1.0}}
"""
PARAMETERS = "parameters: {lr: {min: 0.001, max: 1.0}}\n"


def test_they_are_read_and_written():
    config = parse(TEXT)
    assert config.start_from == ("mnist-lr", "3f2a")
    best = Past(number=7, params={"lr": 0.01, "opt": None, "widths": [8, 8]}, loss=-0.5)
    failed = Past(number=3, params={"lr": 1}, loss=None)
    assert config.problem.earlier == (Earlier(name="mnist-lr", trials=(best, failed)), Earlier(name="3f2a", trials=()))
    assert parse(to_mapping(config)) == config
    assert parse(dump(config)) == config
    assert parse(PARAMETERS).problem.earlier == ()
    assert {"start_from", "earlier"}.isdisjoint(to_mapping(parse(PARAMETERS)))
    assert parse("start_from: mnist-lr\n" + PARAMETERS).start_from == ("mnist-lr",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start_from: [a, b, a]\n", r"<config>:1: start_from\[2\]: the sweep 'a' is there twice: leave one out"),
        ("start_from: []\n", r"start_from: the list is empty"),
        ("start_from: [1]\n", r"start_from\[0\]: got the number 1, wanted text: put it in quotes"),
        ("start_from: {a: 1}\n", r"start_from: got a mapping, wanted text or a list"),
        ("earlier: [{name: a}]\n", r"earlier\[0\]: trials is missing: Whet writes this block itself"),
        ("earlier: [{name: a, trials: [{number: 1}]}]\n", r"earlier\[0\].trials\[0\]: params is missing"),
        ("earlier: [{name: a, trials: [{number: 1, param: {}}]}]\n", r"unknown key 'param'.*did you mean 'params'"),
        ("earlier: [{name: a, trials: [{number: -1, params: {}}]}]\n", r"number: -1 is below 0"),
    ],
)
def test_errors(text, message):
    with pytest.raises(ConfigError, match=message):
        parse(text + PARAMETERS)
