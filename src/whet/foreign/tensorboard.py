"""TensorBoard's event files: each folder with some is a run, as TensorBoard itself has it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, final

from whet.foreign.base import Claim, Facts, Folder, ForeignRun, Format, Scope, Stream, quiet_since, run_id
from whet.foreign.beside import Beside, config_in, results_in
from whet.foreign.tables import known_tables
from whet.track.readers.base import Reader
from whet.track.readers.tfevents import EventReader
from whet.trial import Phase

__all__ = ["EventRun", "TensorBoard", "event_files", "is_events"]

_EVENTS = re.compile(r"^events\.out\.tfevents\.(\d+)\.?(.*?)(?:\.\d+\.\d+)?(?:\.v2)?$")
_HPARAMS_OF = re.compile(r"^\d{9,}(\.\d+)?$")  # torch's add_hparams makes a folder named by the time


def is_events(name: str) -> bool:
    """Return whether a file of that name has events."""
    return _EVENTS.match(name) is not None


def event_files(folder: Folder) -> list[str]:
    """Return the names of the event files in a folder, oldest first."""
    return sorted(filter(is_events, folder.files), key=_in_order)


def _in_order(name: str) -> list[int | str]:
    """Return what sorts names with numbers in them: the time, and of one second the writer's count, which has no leading zeros."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))]


@final
class TensorBoard(Format):
    """Folders with event files."""

    name: ClassVar[str] = "tensorboard"
    about: ClassVar[str] = "events.out.tfevents.* files"

    def find(self, folder: Folder, scope: Scope) -> Claim:
        names = event_files(folder)
        if not names:
            return Claim()
        inner: list[str] = []
        for sub in folder.folders:
            child = folder.child(sub) if _HPARAMS_OF.match(sub) else None
            if child is not None and event_files(child) and not child.folders:
                inner.append(sub)
                names += [f"{sub}/{name}" for name in event_files(child)]
        run = EventRun(folder, names, scope)
        # What people write beside event files repeats what is in them.
        beside = [*config_in(folder), *results_in(folder)]
        taken = {*names, *inner, *(path.name for path in beside), *known_tables(folder), ".hydra"}
        return Claim(runs=(run,), taken=frozenset(taken))


@final
class EventRun(ForeignRun):
    """A folder's event files, with the configuration that lies beside them or is told for the HParams page."""

    def __init__(self, folder: Folder, names: Sequence[str], scope: Scope) -> None:
        first = names[0]
        match = _EVENTS.match(first)
        super().__init__(
            kind="tensorboard",
            path=folder.path,
            id=run_id("tensorboard", str(folder.path), first),
            project=None,
            name=scope.name(folder.path),
            began=float(match[1]) if match else None,
        )
        self._host = match[2] if match else ""
        self._names = names
        self._scope = scope
        self._beside: Beside | None = None
        self._configs = config_in(folder)
        self._readers: list[EventReader] = []

    def streams(self) -> Sequence[Stream]:
        return [
            Stream(source=f"tensorboard:{name}", path=path, open=partial(self._open, name), whole=self._is_quiet(path))
            for name in self._names
            for path in (self.path / name,)
        ]

    def _is_quiet(self, path: Path) -> bool:
        return quiet_since([path], self._scope.now) is not None

    def _open(self, name: str, offset: int) -> Reader:
        self._readers.append(EventReader(self.path / name, offset))
        return self._readers[-1]

    def facts(self) -> Facts:
        if self._beside is None:
            self._beside = Beside.of(self._configs, [])
            self.troubles += self._beside.troubles
        told = {name: value for reader in self._readers for name, value in reader.hparams.items()}
        status = next((reader.status for reader in self._readers if reader.status), "")
        group = next((reader.group for reader in self._readers if reader.group), "")
        quiet = quiet_since([self.path / name for name in self._names], self._scope.now)
        phase, reason = Phase.RUNNING, ""
        if status == "failure":
            phase, reason = Phase.FAILED, "it told TensorBoard that it failed"
        elif status == "success" or (quiet is not None and status != "running"):
            phase = Phase.FINISHED
        return Facts(
            config=self._beside.config | told,
            group=group,
            owner=self._host,
            phase=phase,
            reason=reason,
            quiet=quiet,
        )
