"""Sweep files to begin with."""

from __future__ import annotations

import pytest

from whet.config import parse
from whet.errors import ConfigError, UnknownName
from whet.project.templates import changed, template, templates
from whet.study.create import check


def test_each_is_a_sweep_that_can_be_made() -> None:
    for one in templates():
        config = parse(one.text)
        check(config)
        assert one.about == config.description != ""
        assert config.program == "train.py"
        assert config.run_cap


def test_a_speed_recipe_says_what_must_be_kept() -> None:
    config = parse(template("speed-recipe").text)
    assert [(limit.name, limit.min) for limit in config.problem.limits] == [("val_accuracy", 0.9)]


def test_changes() -> None:
    plain = template("gradient-boosting")
    config = changed(
        "gradient-boosting",
        {"name": "mine", "description": None, "parameters": {"subsample": None, "max_depth": {"values": [2, 3]}}},
    )
    was = parse(plain.text)
    assert (config.name, config.description) == ("mine", "")
    assert {*was.problem.space} - {*config.problem.space} == {"subsample"}
    assert str(config.problem.space["max_depth"]) == "Choice([2, 3])"
    assert config.problem.space["reg_alpha"] == was.problem.space["reg_alpha"]
    assert changed("gradient-boosting", {}) == was


def test_what_is_wrong() -> None:
    with pytest.raises(UnknownName, match="did you mean 'fine-tuning'"):
        template("finetuning")
    with pytest.raises(ConfigError, match="give parameters by name"):
        changed("fine-tuning", {"parameters": [1]})
    with pytest.raises(ConfigError, match="template fine-tuning"):
        changed("fine-tuning", {"metod": "tpe"})
