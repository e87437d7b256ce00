"""The module's face: `init`, `log` and the rest act on the current run, as in ``import whet as wandb``.

`run` is looked up anew at every access (``face.run``): the current run, or None.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from whet.checkpoints import Checkpoint
from whet.errors import TrackError
from whet.track.artifact import Artifact
from whet.track.fetch import restore
from whet.track.opening import abandon, current, init
from whet.track.run import Run
from whet.track.settings import Settings

if TYPE_CHECKING:
    run: Run | None

__all__ = [
    "Artifact",
    "Run",
    "Settings",
    "abandon",
    "alert",
    "config",
    "define_metric",
    "finish",
    "init",
    "load_checkpoint",
    "log",
    "log_artifact",
    "restore",
    "run",
    "save",
    "save_checkpoint",
    "summary",
    "unwatch",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name == "run":
        return current()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _needed(what: str) -> Run:
    found = current()
    if found is None:
        raise TrackError(f"{what} needs a run, and there is none", "call whet.init() first")
    return found


@final
class _Proxy(MutableMapping[str, Any]):
    """The current run's mapping `which`, whichever run that is."""

    def __init__(self, which: str) -> None:
        object.__setattr__(self, "_which", which)

    def _target(self) -> Any:
        return getattr(_needed(f"whet.{self._which}"), self._which)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python itself looks for must not need a run
            raise AttributeError(name)
        return getattr(self._target(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._target(), name, value)

    def __getitem__(self, key: str) -> Any:
        return self._target()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._target()[key] = value

    def __delitem__(self, key: str) -> None:
        del self._target()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._target())

    def __len__(self) -> int:
        return len(self._target())

    def update(self, *args: Any, **more: Any) -> None:
        """Set several keys."""
        self._target().update(*args, **more)

    def __repr__(self) -> str:
        found = current()
        return f"<whet.{self._which}: no run>" if found is None else repr(getattr(found, self._which))


config = _Proxy("config")
"""The current run's config."""
summary = _Proxy("summary")
"""The current run's summary."""


def log(
    metrics: Mapping[str, Any], step: int | None = None, commit: bool | None = None, sync: bool | None = None
) -> None:
    """Log to the current run: see `Run.log`."""
    _needed("whet.log").log(metrics, step, commit)


def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
    """End the current run; without one, nothing happens."""
    found = current()
    if found is not None:
        found.finish(exit_code)


def save(path: str | os.PathLike[str], base_path: str | None = None, policy: str = "live") -> list[str]:
    """Keep a copy of files: see `Run.save`."""
    return _needed("whet.save").save(path, base_path, policy)


def save_checkpoint(step: int) -> AbstractContextManager[Path]:
    """Save what the training needs to go on: see `Run.save_checkpoint`."""
    return _needed("whet.save_checkpoint").save_checkpoint(step)


def load_checkpoint() -> Checkpoint | None:
    """Return the checkpoint to go on from, or None: see `Run.load_checkpoint`."""
    return _needed("whet.load_checkpoint").load_checkpoint()


def log_artifact(
    artifact_or_path: Artifact | str | os.PathLike[str],
    name: str | None = None,
    type: str = "file",
    aliases: Sequence[str] = (),
) -> Artifact:
    """Keep an artifact: see `Run.log_artifact`."""
    return _needed("whet.log_artifact").log_artifact(artifact_or_path, name, type, aliases)


def define_metric(
    name: str, step_metric: str | None = None, summary: str | None = None, goal: str | None = None, **more: object
) -> None:
    """Choose a metric's summary: see `Run.define_metric`."""
    _needed("whet.define_metric").define_metric(name, step_metric, summary, goal, **more)


def watch(*models: object, **options: object) -> None:
    """Accepted for W&B's sake: see `Run.watch`."""
    _needed("whet.watch").watch(*models, **options)


def unwatch(*models: object) -> None:
    """Accepted for W&B's sake."""


def alert(title: str, text: str = "", **options: object) -> None:
    """Tell the user something now: see `Run.alert`."""
    _needed("whet.alert").alert(title, text, **options)
