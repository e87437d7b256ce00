import importlib
import sys

import pytest

from whet import plugins
from whet.errors import ConfigError, MissingDependency, UnknownName
from whet.plugins import build, find, knobs, names
from whet.space import Float, Space
from whet.stop.asha import ASHA
from whet.trial import Problem

PROBLEM = Problem(space=Space({"x": Float(0, 1)}))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that installs a distribution with one stopper: its entry point's name, its module's source."""

    def install(name, source, value=None):
        module = f"plugin_{name}"
        (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(
            f"[whet.stoppers]\n{name} = {value or f'{module}:Mine'}\n", encoding="utf-8"
        )
        importlib.invalidate_caches()
        plugins._registered.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    plugins._registered.cache_clear()
    for module in [m for m in sys.modules if m.startswith("plugin_")]:
        del sys.modules[module]


def test_what_ships_is_registered():
    searchers = {
        "auto",
        "ax",
        "bayes",
        "bohb",
        "cmaes",
        "de",
        "ehvi",
        "evolution",
        "gp",
        "grid",
        "motpe",
        "nevergrad",
        "nsga2",
        "optuna",
        "pb2",
        "pbt",
        "random",
    }
    assert searchers | {"sobol", "tpe"} <= set(names("searcher"))
    assert {"asha", "curve", "hyperband", "median", "pasha", "patience", "threshold", "wilcoxon"} <= set(
        names("stopper")
    )
    assert {"inline", "local"} <= set(names("executor"))
    assert find("stopper", "asha") is ASHA
    assert knobs(ASHA) == ["min_steps", "eta", "max_steps", "pause"]


def test_an_unknown_name_lists_the_nearest_first():
    with pytest.raises(UnknownName) as caught:
        find("stopper", "meridian")
    others = "hyperband, patience, wilcoxon, threshold, asha, curve, pasha"
    assert str(caught.value) == f"unknown stopper 'meridian': did you mean 'median'? known: median, {others}"
    with pytest.raises(UnknownName, match="unknown method 'bayse': did you mean 'bayes'"):
        find("searcher", "bayse")


def test_an_unknown_knob_lists_the_nearest_first():
    with pytest.raises(UnknownName) as caught:
        build("stopper", "asha", PROBLEM, knobs_given={"min_step": 3})
    assert str(caught.value) == (
        "unknown knob of asha 'min_step': did you mean 'min_steps'? known: min_steps, max_steps, pause, eta"
    )


def test_a_bad_knob_says_what_it_wants():
    with pytest.raises(ConfigError) as caught:
        build("stopper", "hyperband", PROBLEM, knobs_given={"min_iter": 3, "eta": 1})
    assert str(caught.value) == "hyperband has eta=1, not a number at least 2: give eta a number at least 2"


def test_somebody_elses_plugin_is_found_built_and_blamed(installed):
    installed(
        "patient",
        "from whet.stop.base import Decision, Stopper, Verdict\n"
        "class Mine(Stopper):\n"
        "    def __init__(self, problem, *, patience=3):\n"
        "        super().__init__(problem)\n"
        "        self.patience = patience + 0\n"
        "    def decide(self, trial, peers):\n"
        "        return Decision(Verdict.CONTINUE, 'patience')\n",
    )
    assert "patient" in names("stopper")
    assert build("stopper", "patient", PROBLEM, knobs_given={"patience": 7}).patience == 7
    with pytest.raises(ConfigError, match=r"stopper 'patient' refuses \{'patience': 'x'\} .*: its knobs: patience"):
        build("stopper", "patient", PROBLEM, knobs_given={"patience": "x"})


def test_a_plugin_is_imported_only_when_it_is_asked_for_and_names_what_it_lacks(installed):
    installed("needy", "import a_package_that_nobody_has\nclass Mine: pass\n")
    assert "needy" in names("stopper")
    assert "plugin_needy" not in sys.modules
    with pytest.raises(MissingDependency) as caught:
        find("stopper", "needy")
    assert "stopper 'needy' can't be loaded (No module named 'a_package_that_nobody_has')" in str(caught.value)
    assert "plugin_needy:Mine" in caught.value.fix


def test_a_plugin_may_say_itself_what_it_lacks(installed):
    installed(
        "polite",
        "from whet.errors import MissingDependency\nraise MissingDependency.of('rocket', 'rockets', 'going to the moon')\n",
    )
    with pytest.raises(MissingDependency) as caught:
        find("stopper", "polite")
    assert str(caught.value) == "going to the moon needs the package 'rocket': pip install \"whet[rockets]\""


def test_a_plugin_that_takes_any_knob_gets_any(installed):
    installed(
        "greedy",
        "class Mine:\n    def __init__(self, problem, **knobs):\n        self.knobs = knobs\n",
    )
    assert build("stopper", "greedy", PROBLEM, knobs_given={"anything": 1}).knobs == {"anything": 1}


def test_an_entry_point_to_nothing_names_the_class_that_is_missing(installed):
    installed("absent", "x = 1\n")
    with pytest.raises(MissingDependency, match=r"stopper 'absent' can't be loaded .*Mine"):
        find("stopper", "absent")
