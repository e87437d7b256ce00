"""Every error says source, line and path, what was got, and what to do."""

import math
import os
import re

import pytest

from whet.config import load, parameter_from, parse
from whet.errors import ConfigError

LR = "parameters:\n  lr: {min: 0.1, max: 1}\n"

EXACT = {
    "unknown method": (
        "metric: loss\nmethod: baies\n" + LR,
        "sweep.yaml:2: method: unknown method 'baies': did you mean 'bayes'? known: bayes, ",
    ),
    "unknown method in a mapping": (
        "metric: loss\nmethod:\n  name: tpee\n" + LR,
        "sweep.yaml:3: method.name: unknown method 'tpee': did you mean 'tpe'? known: tpe, ",
    ),
    "misspelt key": (
        LR + "metod: bayes\n",
        "sweep.yaml:3: metod: unknown key 'metod': did you mean 'method'? known: method, ",
    ),
    "misspelt key of a parameter": (
        "parameters:\n  lr:\n    mim: 0.1\n    max: 1\n",
        "sweep.yaml:3: parameters.lr.mim: unknown key 'mim': did you mean 'min'? known: min, ",
    ),
    "misspelt key of a metric": (
        LR + "metric:\n  name: loss\n  gaol: minimize\n",
        "sweep.yaml:5: metric.gaol: unknown key 'gaol': did you mean 'goal'? known: goal, ",
    ),
    "unknown goal": (
        LR + "metric: {name: loss, goal: minimise}\n",
        "sweep.yaml:3: metric.goal: unknown value 'minimise': did you mean 'minimize'? known: minimize, maximize",
    ),
    "no parameters": (
        "method: random\n",
        "sweep.yaml:1: parameters: the space is empty: give at least one parameter, such as lr: {min: 0.0001, max: 0.1, log: true}",
    ),
    "empty parameters": (
        "method: random\nparameters:\n",
        "sweep.yaml:2: parameters: the space is empty: give at least one parameter, such as lr: {min: 0.0001, max: 0.1, log: true}",
    ),
    "min > max": (
        "parameters:\n  lr:\n    max: 0.1\n    min: 1\n",
        "sweep.yaml:4: parameters.lr.min: 1 is not below max 0.1: swap them",
    ),
    "log from 0": (
        "parameters:\n  lr: {min: 0, max: 0.1, log: true}\n",
        "sweep.yaml:2: parameters.lr.min: 0 is not above 0, which a logarithm needs: give min > 0, or leave log out",
    ),
    "log_uniform_values from a negative": (
        "parameters:\n  lr: {distribution: log_uniform_values, min: -1, max: 0.1}\n",
        "sweep.yaml:2: parameters.lr.min: -1 is not above 0, which a logarithm needs: give min > 0",
    ),
    "exponents that can't be": (
        "parameters:\n  lr: {distribution: log_uniform, min: 0, max: 1000}\n",
        "sweep.yaml:2: parameters.lr.min: 0 can only be a natural-log exponent, but e**1000 is no number to work with: "
        "give min > 0, which makes both bounds plain values",
    ),
    "text for a number": (
        "parameters:\n  lr:\n    min: abc\n    max: 1\n",
        "sweep.yaml:3: parameters.lr.min: got the text 'abc', wanted a number: give a number",
    ),
    "a number in quotes": (
        "parameters:\n  lr: {min: '0.1', max: 1}\n",
        "sweep.yaml:2: parameters.lr.min: got the text '0.1', wanted a number: take the quotes off",
    ),
    "a truth value for a number": (
        "parameters:\n  lr: {min: off, max: 1}\n",
        "sweep.yaml:2: parameters.lr.min: got the truth value False, wanted a number: give a number",
    ),
    "no max": ("parameters:\n  lr: {min: 1}\n", "sweep.yaml:2: parameters.lr: max is missing: a range needs min and max"),
    "bad indentation": (
        "parameters:\n  lr:\n  min: 0.1\n  max: 1\n",
        "sweep.yaml:2: parameters.lr: it has no value: indent its keys below it, or write {value: null} for the constant",
    ),
    "empty values": (
        "parameters:\n  opt: {values: []}\n",
        "sweep.yaml:2: parameters.opt.values: the list is empty: give at least one value",
    ),
    "probabilities that don't add up": (
        "parameters:\n  opt: {values: [a, b], probabilities: [0.5, 0.4]}\n",
        "sweep.yaml:2: parameters.opt.probabilities: they add up to 0.9, not 1: correct them, or call them weights",
    ),
    "too few probabilities": (
        "parameters:\n  opt: {values: [a, b], probabilities: [1]}\n",
        "sweep.yaml:2: parameters.opt.probabilities: there are 1 of them and 2 values: give one a value",
    ),
    "unknown distribution": (
        "parameters:\n  lr:\n    distribution: log_unifrom\n    min: 1\n    max: 2\n",
        "sweep.yaml:3: parameters.lr.distribution: unknown distribution 'log_unifrom': did you mean 'log_uniform'? known: ",
    ),
    "a key of another distribution": (
        "parameters:\n  lr: {distribution: uniform, min: 1, max: 2, mu: 3}\n",
        "sweep.yaml:2: parameters.lr.mu: mu does not go with uniform: leave it out; uniform takes min, max, log, q, step",
    ),
    "no multiple of q": (
        "parameters:\n  bs: {distribution: q_uniform, min: 1, max: 3, q: 5}",
        "sweep.yaml:2: parameters.bs.q: no multiple of 5 lies between 1 and 3: give a smaller q",
    ),
    "a condition on nobody": (
        "parameters:\n  opt: [a, b]\n  lr: {min: 0, max: 1, when: {op: a}}",
        "sweep.yaml:3: parameters.lr.when: unknown parameter 'op': did you mean 'opt'? known: opt, lr",
    ),
    "a broken constraint": (
        LR + "constraints:\n  - lr < 1\n  - lr <\n",
        "sweep.yaml:5: constraints[1]: 'lr <' is not an expression (invalid syntax): write one such as lr < 0.1 and depth >= 2",
    ),
    "a circle": (
        "parameters:\n  a: {when: 'b==1', values: [1,2]}\n  b: {when: 'a==1', values: [1,2]}",
        "sweep.yaml:1: parameters: the conditions run in a circle: a -> b -> a: break it",
    ),
    "a parameter twice": (
        "parameters:\n  a.b: 1\n  a:\n    parameters: {b: 2}",
        "sweep.yaml:4: parameters.a.parameters.b: the parameter a.b is there twice: leave one out",
    ),
    "a value and a group": (
        "parameters:\n  a: 1\n  a.b: 2\nnested: [a]",
        "sweep.yaml:1: parameters: 'a' is there twice, or is both a value and a group: rename one",
    ),
    "no metric for a program": (
        "method: bayes\nprogram: train.py\n" + LR,
        "sweep.yaml:1: metric: method bayes needs a metric, and there is none: add metric: {name: …, goal: minimize}",
    ),
    "no metric to stop by": (
        LR + "method: random\nearly_terminate: {type: hyperband, min_iter: 3}",
        "sweep.yaml:1: metric: early_terminate compares trials by a metric, and there is none: add metric: {name: …, goal: minimize}",
    ),
    "unknown stopper": (
        LR + "metric: a\nearly_terminate:\n  type: hyperbend",
        "sweep.yaml:5: early_terminate.type: unknown stopper 'hyperbend': did you mean 'hyperband'? known: hyperband, ",
    ),
    "terminate: empty": (LR + "terminate: {}", "sweep.yaml:3: terminate: the mapping is empty: give at least one key, or leave it out"),
    "terminate: unknown": (LR + "terminate: {no_improvment: 3}",
                           "sweep.yaml:3: terminate.no_improvment: unknown key 'no_improvment': did you mean 'no_improvement'? known: no_improvement, "),
    "terminate: tolerance alone": (LR + "terminate: {tolerance: 0.1}", "sweep.yaml:3: terminate.tolerance: it says what counts as no "
                                   "improvement: add no_improvement, such as 20"),
    "terminate: tolerance": (LR + "terminate: {no_improvement: 3, tolerance: 1.5}",
                             "sweep.yaml:3: terminate.tolerance: 1.5 is not below 1: give a smaller number"),
    "terminate: budget": (LR + "terminate:\n  cost: {seconds: -1}",
                          "sweep.yaml:4: terminate.cost.seconds: -1 is not above 0: give a greater number"),
    "terminate: no metric": (LR + "program: a.py\nterminate: {no_improvement: 3}", "sweep.yaml:1: metric: terminate.no_improvement goes by a metric, and there is none: add metric: "),
    "run cap": (LR + "run_cap: 0", "sweep.yaml:3: run_cap: 0 is below 1: give 1 or more"),
    "name that is a number": (LR + "name: 7", "sweep.yaml:3: name: got the number 7, wanted text: put it in quotes"),
    "resources": (
        LR + "resources: {cpu: 2}",
        "sweep.yaml:3: resources.cpu: unknown key 'cpu': did you mean 'cpus'? known: cpus, ",
    ),
    "key twice": (
        "method: random\n" + LR + "method: grid\n",
        "sweep.yaml:4: method: the key is there twice, first on line 1: leave one out",
    ),
    "key twice in JSON": (
        '{"method": "random",\n "parameters": {"a": {"min": 1,\n "min": 2}}}',
        "sweep.yaml:3: parameters.a.min: the key is there twice, first on line 2: leave one out",
    ),
    "a key that YAML takes for a truth value": (
        "parameters:\n  on: 1\n",
        "sweep.yaml:2: parameters: the key on is read as the truth value True: put it in quotes",
    ),
    "broken YAML": (
        "method: random\nparameters: {lr: [1, 2}\n",
        "sweep.yaml:2:23: this is not YAML: while parsing a flow sequence did not find expected ',' or ']': "
        "correct that line (tabs, a missing colon, bracket or quote, uneven indentation)",
    ),
    "tab": ("parameters:\n\tlr: 1\n", "sweep.yaml:2:1: this is not YAML: while scanning for the next token found character "),
    "control character": ("name: \x01", "sweep.yaml: this is not YAML: "),
    "a Python object": ("name: !!python/object:os.system x", "sweep.yaml:1:7: this is not YAML: could not determine a constructor"),
    "a list": ("- method\n", "sweep.yaml:1: got a list at the top: write keys such as method, metric and parameters"),
    "nothing": ("# only a comment\n", "sweep.yaml: there is nothing in it: give at least method and parameters"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), EXACT.values(), ids=EXACT)
def test_message(text, message):
    with pytest.raises(ConfigError) as caught:
        parse(text, source="sweep.yaml")
    assert str(caught.value).startswith(message)
    if not message.endswith((", ", ": ", "known: ", "character ", "constructor")):
        assert str(caught.value) == message
    found = re.match(r"sweep.yaml(?::(\d+))?", message)
    assert caught.value.facts["source"] == "sweep.yaml"
    assert caught.value.facts["line"] == (int(found[1]) if found[1] else None)


def test_errors_carry_their_facts():
    with pytest.raises(ConfigError) as caught:
        parse("metric: loss\nmethod: baies\n" + LR)
    facts = caught.value.facts
    assert (facts["path"], facts["line"], facts["kind"], facts["known"][0]) == ("method", 2, "method", "bayes")
    assert caught.value.exit_code == 2


def test_a_mapping_has_no_lines():
    with pytest.raises(ConfigError) as caught:
        parse({"parameters": {"lr": {"min": 1, "max": 0}}})
    assert str(caught.value) == "<config>: parameters.lr.min: 1 is not below max 0: swap them"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"min": math.nan, "max": 1}, "nan is not finite: give a finite number"),
        ({"min": 0, "max": math.inf}, "inf is not finite: give a finite number"),
        ({"distribution": "int_uniform", "min": 0.5, "max": 2}, "0.5 is not an integer: give an integer, or distribution: uniform"),
        ({"min": 1, "max": 2, "q": 1, "step": 1}, "there is a step, too: leave one out: q counts from 0, step from min"),
        ({"distribution": "normal", "sigma": -1}, "-1 is below 0: give 0 or more"),
        ({"when": {"a": [[1]]}, "value": 1}, "got a list, wanted plain values: write an expression instead"),
        ({}, "it says no values: give value, values, min and max, around, or a distribution"),
        ({1: 2}, "the key 1 is the number 1: make it text: put it in quotes"),
        ({"values": [{1, 2}]}, "got a set: give text, a number, a truth value, null, a list or a mapping of these"),
    ],
)  # fmt: skip
def test_a_parameter_s_message(value, message):
    with pytest.raises(ConfigError, match=re.escape(message) + "$"):
        parameter_from(value)


def test_aliases_can_t_fill_the_memory():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    with pytest.raises(ConfigError, match="unfolds to more than 100,000 values"):
        parse(bomb)
    with pytest.raises(ConfigError, match="stands within its own anchor"):
        parse("method: &m [*m]")
    merged = "a0: &a0 {x: 1}\n" + "".join(
        f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
    )
    with pytest.raises(ConfigError, match="unfolds to more than 100,000 values"):
        parse(merged)


@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 100_000, "- " * 100_000 + "1", '{"a":' * 100_000])
def test_depth_can_t_overflow_the_stack(text):
    with pytest.raises(ConfigError, match="nested more than 50 deep"):
        parse(text)


def test_a_mapping_that_holds_itself():
    loop = {}
    loop["method"] = loop
    with pytest.raises(ConfigError, match="nested more than 50 deep"):
        parse(loop)


def test_files_that_can_t_be_read(tmp_path):
    (tmp_path / "sweep.yaml").write_text(LR)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "sweeep.yaml")
    missing, there = tmp_path / "sweeep.yaml", tmp_path / "sweep.yaml"
    assert str(caught.value) == f"{missing}: there is no such file: did you mean {str(there)!r}?"
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "nowhere" / "x")
    assert str(caught.value).endswith("there is no such file: check the name and the current folder")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{tmp_path}: this is a folder: name the sweep file in it"
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(b"method: random\nname: caf\xe9\n")
    with pytest.raises(ConfigError) as caught:
        load(bad)
    assert str(caught.value) == f"{bad}:2: byte 0xe9 is not UTF-8: save the file as UTF-8"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no such rights")
def test_a_file_without_permission(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(LR)
    load(path)  # so that nothing is left to import by who may not
    path.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # rights don't bind root, so be nobody for a moment
    try:
        with pytest.raises(ConfigError, match=r"it can't be read \(Permission denied\): check its permissions"):
            load(path)
    finally:
        if root:
            os.seteuid(0)


def test_what_a_metric_is_not_needed_for():
    assert parse(LR).problem.metric.name == "value"  # a function returns its value
    config = parse("method: grid\nprogram: train.py\n" + LR)
    assert config.notices == (
        "no metric is given, so trials are run but not compared; add metric: {name: …, goal: minimize} to compare them",
    )
    assert len(parse({"define_by_run": True}).problem.space) == 0


def test_keys_without_a_value_are_left_out():
    assert parse("name:\nmetric:\nearly_terminate: null\n" + LR) == parse(LR)
