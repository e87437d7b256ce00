"""Whet tunes PyTorch models: search and hypergradients in one study, on any machine, with every run kept.

Every name below is loaded when it is first used, so that `import whet` costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whet import errors, study, trial
    from whet.config import SweepConfig
    from whet.errors import TrialPruned, WhetError
    from whet.joint.training import Training
    from whet.launch.base import Executor
    from whet.search.base import Searcher
    from whet.space import Beta, Choice, Float, Int, Normal, Space
    from whet.stop.base import Stopper
    from whet.study.create import create_study, delete_study, get_all_study_names, load_study, sweep
    from whet.study.live import LiveTrial as Trial
    from whet.study.names import distributions, exceptions, importance, logging
    from whet.study.samplers import pruners, samplers
    from whet.study.study import Study
    from whet.track.face import (
        Artifact,
        Run,
        Settings,
        config,
        define_metric,
        finish,
        init,
        load_checkpoint,
        log,
        log_artifact,
        run,
        save,
        save_checkpoint,
        summary,
        watch,
    )
    from whet.trial import Goal, Metric, Problem, Report, Suggestion, TrialState, create_trial
    from whet.trial import Trial as FrozenTrial
    from whet.tune.agent import agent

__version__ = "0.1.0"

_HOMES = {
    "whet.config": ("SweepConfig",),
    "whet.errors": ("TrialPruned", "WhetError"),
    "whet.joint.training": ("Training",),
    "whet.launch.base": ("Executor",),
    "whet.search.base": ("Searcher",),
    "whet.space": ("Beta", "Choice", "Float", "Int", "Normal", "Space"),
    "whet.stop.base": ("Stopper",),
    "whet.study.create": ("create_study", "delete_study", "get_all_study_names", "load_study", "sweep"),
    "whet.study.names": ("distributions", "exceptions", "importance", "logging"),
    "whet.study.samplers": ("pruners", "samplers"),
    "whet.study.study": ("Study",),
    "whet.track.face": (
        "Artifact", "Run", "Settings", "config", "define_metric", "finish", "init", "load_checkpoint", "log", "log_artifact",
        "restore", "run", "save", "save_checkpoint", "summary", "watch",
    ),
    "whet.trial": ("Goal", "Metric", "Problem", "Report", "Suggestion", "TrialState", "create_trial"),
    "whet.tune.agent": ("agent",),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_RENAMED = {"Trial": ("whet.study.live", "LiveTrial"), "FrozenTrial": ("whet.trial", "Trial")}  # Optuna's names
_MODULES = ("errors", "study", "trial")
_NEVER_CACHED = ("run",)  # the current run changes

__all__ = [
    "Artifact",
    "Beta",
    "Choice",
    "Executor",
    "Float",
    "FrozenTrial",
    "Goal",
    "Int",
    "Metric",
    "Normal",
    "Problem",
    "Report",
    "Run",
    "Searcher",
    "Settings",
    "Space",
    "Stopper",
    "Study",
    "Suggestion",
    "SweepConfig",
    "Training",
    "Trial",
    "TrialPruned",
    "TrialState",
    "WhetError",
    "agent",
    "config",
    "create_study",
    "create_trial",
    "define_metric",
    "delete_study",
    "distributions",
    "errors",
    "exceptions",
    "finish",
    "get_all_study_names",
    "importance",
    "init",
    "load_checkpoint",
    "load_study",
    "log",
    "log_artifact",
    "logging",
    "pruners",
    "restore",
    "run",
    "samplers",
    "save",
    "save_checkpoint",
    "study",
    "summary",
    "sweep",
    "trial",
    "watch",
]


class _Package(ModuleType):
    """This package. `whet.config` is the current run's configuration, as in W&B, though a room of that name exists too:
    importing the room must not put it in the other's place. Inside Whet it is imported by ``from whet.config import …``."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name == "config" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name in _MODULES:
            return importlib.import_module(f"whet.{name}")
        home, own = _RENAMED.get(name) or (_HOME.get(name), name)
        if home is None:
            raise AttributeError(f"module 'whet' has no attribute {name!r}")
        value = getattr(importlib.import_module(home), own)
        if name not in _NEVER_CACHED:
            super().__setattr__(name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
