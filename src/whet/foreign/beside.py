"""Documents that lie beside the metrics of a run: its configuration and its results, under the names that people give them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from whet.errors import TrackError
from whet.foreign.base import Folder
from whet.foreign.reading import SUFFIXES, document
from whet.track.readers.files import STEPS, rows_in

__all__ = ["Beside", "config_in", "is_result", "results_in", "told_by"]

_CONFIGS = (
    "config", "hparams", "params", "args", "arguments", "hyperparameters", "hyperparams", "flags", "opts", "opt", "training_args",
)  # fmt: skip
_RESULTS = (
    "summary",
    "results",
    "all_results",
    "metrics",
    "scores",
    "final",
    "history",
    "eval_results",
    "wandb-summary",
)
_RESULT_WORDS = re.compile(
    r"(?i)(?<![a-z])(loss|acc(uracy)?|err(or)?|score|auc|auroc|f1|rmse|mae|mse|map|perplexity|ppl|reward|return|recall|precision|"
    r"bleu|rouge\w*|iou|psnr|fid|wer|r2|value|result|objective|best|final|val|valid|validation|test|eval)(?![a-z])"
)
_OF_CONFIG = ("config", "params", "hparams", "hyperparameters", "args", "flags", "trial_params")
_OF_SUMMARY = ("summary", "metrics", "results", "final", "eval", "scores")


def _documents(folder: Folder, stems: tuple[str, ...]) -> list[Path]:
    return [
        folder.path / name
        for stem in stems
        for name in folder.files
        if Path(name).suffix.lower() in SUFFIXES and Path(name).stem.lower() == stem
    ]


def config_in(folder: Folder) -> list[Path]:
    """Return the documents of a folder that hold a configuration, by their names; Hydra's in ``.hydra``, too."""
    hydra = folder.child(".hydra")
    inner = [hydra.path / "config.yaml"] if hydra is not None and "config.yaml" in hydra.files else []
    return _documents(folder, _CONFIGS) + inner


def results_in(folder: Folder) -> list[Path]:
    """Return the documents of a folder that hold results, by their names."""
    return _documents(folder, _RESULTS)


def is_result(name: str) -> bool:
    """Return whether the name of a number says that it is a result rather than a setting.

    Example:
        >>> is_result("val_loss"), is_result("test/accuracy"), is_result("lr"), is_result("dropout")
        (True, True, False, False)
    """
    return _RESULT_WORDS.search(name.replace("_", " ")) is not None


@final
@dataclass(slots=True, kw_only=True)
class Beside:
    """What documents tell of a run: histories by the document that has them; what could not be read is in `troubles`."""

    config: dict[str, object] = field(default_factory=dict)
    summary: dict[str, object] = field(default_factory=dict)
    histories: dict[Path, list[Mapping[str, Any]]] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, configs: list[Path], results: list[Path]) -> Beside:
        """Read documents; of several the first one's word counts."""
        told = cls()
        for path in reversed(configs):
            found = told._read(path)
            if isinstance(found, Mapping):
                told.config |= _unwrapped(found)
        known: set[str] = set()  # a metric that several tell is the first one's
        for path in results:
            found = told._read(path)
            rows = rows_in(found)
            if rows:
                rows = [{k: v for k, v in row.items() if k not in known or k.lower() in STEPS} for row in rows]
                known |= {name for row in rows for name in row}
                told.histories[path] = rows
            elif isinstance(found, Mapping):
                told.summary = {k: v for k, v in found.items() if _is_small(v)} | told.summary
        return told

    def _read(self, path: Path) -> Any:
        try:
            return document(path)
        except TrackError as error:
            self.troubles.append(str(error))
            return None


def told_by(path: Path) -> Beside:
    """Return what one document alone tells.

    A list of mappings is a history, and so is a mapping of lists. Of one mapping, ``config``, ``params`` and the like are configuration,
    ``summary``, ``metrics`` and the like are results, ``history`` and ``log_history`` are curves. Of what is left numbers whose names say
    so (loss, accuracy, val, test …) are results, all else is configuration.

    Raises:
        TrackError: it can't be read.
    """
    found = document(path)
    told = Beside()
    if rows := rows_in(found):
        told.histories[path] = rows
        return told
    if not isinstance(found, Mapping):
        return told
    for name, value in found.items():
        if name in _OF_CONFIG and isinstance(value, Mapping):
            told.config |= _unwrapped(value)
        elif name in _OF_SUMMARY and isinstance(value, Mapping):
            told.summary |= value
        elif name in ("history", "log_history", "log", "logs", "curves") and (rows := rows_in(value)):
            told.histories[path] = [*told.histories.get(path, ()), *rows]
        elif is_result(name) and _is_measured(value):
            told.summary[name] = value
        else:
            told.config[name] = value
    return told


def _unwrapped(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration; W&B's ``config.yaml`` has a mapping with ``value`` for each."""
    kept = {k: v for k, v in config.items() if k not in ("_wandb", "wandb_version")}
    if kept and all(isinstance(v, Mapping) and "value" in v and v.keys() <= {"value", "desc"} for v in kept.values()):
        return {k: v["value"] for k, v in kept.items()}
    return dict(kept)


def _is_measured(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_is_measured, value.values()))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_small(value: Any) -> bool:
    return not isinstance(value, list) or len(value) <= 100
