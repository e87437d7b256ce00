import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet import errors
from whet.errors import ConfigError, MissingDependency, TrialPruned, UnknownName, WhetError, nearest

TREE = [getattr(errors, name) for name in errors.__all__ if name not in ("TrialPruned", "nearest")]


def test_an_error_says_what_is_wrong_and_what_to_do():
    error = ConfigError("lr is -1, and wants to be positive", "give lr > 0", source="a.yaml", line=3)
    assert str(error) == "lr is -1, and wants to be positive: give lr > 0"
    assert (error.problem, error.fix) == ("lr is -1, and wants to be positive", "give lr > 0")
    assert error.facts == {"source": "a.yaml", "line": 3}
    assert str(WhetError("the disk is full")) == "the disk is full"


@pytest.mark.parametrize("cls", TREE)
def test_every_error_is_whets_and_travels_between_processes(cls):
    assert issubclass(cls, WhetError)
    error = cls("the problem", "the fix", source="a.yaml", numbers=(1, 2))
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is cls
    assert (back.problem, back.fix, back.facts, str(back)) == (error.problem, error.fix, error.facts, str(error))
    assert back.exit_code == error.exit_code > 0


def test_the_tree_is_the_one_that_the_module_draws():
    drawn = re.findall(r"^(?:    |\W*── )([A-Z]\w+)\b", errors.__doc__, re.MULTILINE)
    assert sorted(drawn) == sorted(cls.__name__ for cls in TREE)
    bases = {errors.SpaceError: ValueError, errors.UnknownName: LookupError, errors.MissingDependency: ImportError}
    bases |= {errors.NotFound: LookupError, errors.ConfigError: ValueError, errors.NumberTaken: errors.Conflict}
    assert all(issubclass(cls, base) for cls, base in bases.items())
    assert not issubclass(TrialPruned, WhetError)  # a signal


def test_an_unknown_name_lists_the_nearest_first():
    error = UnknownName.of("method", "Bays", ["random", "grid", "bayes"])
    assert str(error) == "unknown method 'Bays': did you mean 'bayes'? known: bayes, random, grid"
    assert error.facts == {"kind": "method", "name": "Bays", "known": ("bayes", "random", "grid")}
    assert UnknownName.of("key", "zzz", ["alpha"]).fix == "known: alpha"
    assert UnknownName.of("key", "zzz", []).fix == "known: none"
    assert UnknownName.of("key", "k", [f"key{i}" for i in range(30)]).fix.endswith("…")


@given(st.text(), st.lists(st.text()))
def test_nearest_keeps_every_name_once_and_ignores_the_order(name, known):
    ranked = nearest(name, known)
    assert sorted(ranked) == sorted(set(known))
    assert nearest(name, reversed(known)) == ranked


def test_a_missing_package_says_how_to_get_it():
    error = MissingDependency.of("optuna", "optuna", "the bridge to Optuna")
    assert str(error) == "the bridge to Optuna needs the package 'optuna': pip install \"whet[optuna]\""
    assert error.facts == {"package": "optuna", "extra": "optuna"}
