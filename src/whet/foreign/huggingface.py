"""Hugging Face's Trainer: ``trainer_state.json`` in its output folder, or in the latest of its checkpoints.

``training_args.bin`` is a pickle, so it is never read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, final

from whet.errors import TrackError
from whet.foreign.base import Claim, Facts, Folder, ForeignRun, Format, Scope, Stream, quiet_since, run_id
from whet.foreign.beside import Beside, config_in, results_in
from whet.foreign.documents import HistoryReader
from whet.foreign.reading import document
from whet.foreign.tensorboard import is_events
from whet.track.readers.base import Reader
from whet.trial import Phase

__all__ = ["HuggingFace"]

_STATE = "trainer_state.json"
_CHECKPOINT = re.compile(r"^checkpoint-(\d+)$")
_CONFIG = ("max_steps", "num_train_epochs", "train_batch_size", "eval_steps", "logging_steps", "save_steps")
_SUMMARY = ("best_metric", "best_model_checkpoint", "global_step", "epoch", "total_flos")


@final
class HuggingFace(Format):
    """Output folders of the Trainer. Event files below it repeat what it says."""

    name: ClassVar[str] = "huggingface"
    about: ClassVar[str] = "trainer_state.json of the Trainer"

    def find(self, folder: Folder, scope: Scope) -> Claim:
        checkpoints = {int(match[1]): name for name in folder.folders if (match := _CHECKPOINT.match(name))}
        states = [folder.path / _STATE] if _STATE in folder.files else []
        if checkpoints:
            last = folder.child(checkpoints[max(checkpoints)])
            if last is not None and _STATE in last.files:
                states.append(last.path / _STATE)
        if not states:
            return Claim()
        configs, results = [p for p in config_in(folder) if p.name != "config.json"], results_in(folder)
        beside = {p.name for p in [*configs, *results]}
        taken = frozenset({_STATE, "runs", *checkpoints.values(), *beside, "train_results.json", "config.json"})
        found: list[tuple[int, Path, Mapping[str, Any]]] = []
        troubles = []
        for path in states:
            try:
                state = document(path)
                if not isinstance(state, Mapping) or not isinstance(state.get("log_history"), list):
                    raise TrackError(f"{path} has no log_history", "leave it out, or name its format with --format")
                found.append((len(state["log_history"]), path, state))
            except TrackError as error:
                troubles.append((path, str(error)))
        if not found:
            return Claim(taken=taken, troubles=tuple(troubles))
        _, path, state = max(found, key=lambda f: f[0])
        told = {_STATE, "train_results.json", *beside}
        own = {name: folder.path / name for name in folder.files if name not in told and not is_events(name)}
        run = _TrainerRun(folder.path, path, state, Beside.of(configs, results), scope, own)
        return Claim(runs=(run,), taken=taken, troubles=tuple(troubles))


@final
class _TrainerRun(ForeignRun):
    def __init__(
        self,
        folder: Path,
        path: Path,
        state: Mapping[str, Any],
        beside: Beside,
        scope: Scope,
        own: Mapping[str, Path],
    ) -> None:
        history: list[Mapping[str, Any]] = [row for row in state["log_history"] if isinstance(row, Mapping)]
        first = json.dumps(history[0], default=str) if history else ""
        super().__init__(
            kind="huggingface",
            path=folder,
            id=run_id("huggingface", str(folder), first),
            project=None,
            name=str(state.get("trial_name") or scope.name(folder)),
        )
        self._state_path = path
        self._state = state
        self._history = history
        self._beside = beside
        self._scope = scope
        self._own = own
        self.troubles += beside.troubles

    def streams(self) -> Sequence[Stream]:
        return [Stream(source="huggingface:log_history", path=self._state_path, open=self._open)]

    def files(self) -> Iterator[tuple[str, Path]]:
        return iter(self._own.items())

    def _open(self, offset: int) -> Reader:
        return HistoryReader(self._state_path, offset, self._history)

    def facts(self) -> Facts:
        state = self._state
        params = state.get("trial_params")
        config = {name: state[name] for name in _CONFIG if state.get(name) is not None}
        summary = {name: state[name] for name in _SUMMARY if state.get(name) is not None}
        quiet = quiet_since([self._state_path], self._scope.now)
        ended = self._state_path.stat().st_mtime
        took = next((row["train_runtime"] for row in reversed(self._history) if "train_runtime" in row), None)
        known = isinstance(took, int | float) and 0 <= took < ended
        return Facts(
            config=config | self._beside.config | (dict(params) if isinstance(params, Mapping) else {}),
            summary=summary | self._beside.summary,
            phase=Phase.RUNNING if quiet is None and not known else Phase.FINISHED,
            started=ended - took if known and took is not None else None,
            ended=ended if known else None,
            quiet=quiet,
        )
