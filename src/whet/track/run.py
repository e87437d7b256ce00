"""A run as the training code sees it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, final

from whet.checkpoints import Checkpoint, Checkpointed, Checkpoints
from whet.errors import TrackError, TrialPruned
from whet.store.base import Stat
from whet.track import exits
from whet.track.artifact import Artifact, Shelf
from whet.track.mappings import Config, Summary
from whet.track.notices import Notices
from whet.track.recorder import Item, Recorder
from whet.track.shipper import Shipper
from whet.track.spool import Kind, SpoolWriter
from whet.track.stdout import Copy
from whet.track.system import Monitor
from whet.track.values import PLAIN, TEXT, settle, whole
from whet.trial import Phase

__all__ = ["Run"]

_SHIP_S = 30.0  # how long the end of a run waits for the store
_CAPTURE_S = 5.0


@final
class Run(Checkpointed):
    """One run: `log` metrics, read and set `config` and `summary`, keep files, `finish`. Made by `whet.track.opening.init`.

    It has more methods than a class of ours should, since it answers to the names that W&B's run has. As a context manager it
    ends failed when its block raises, canceled at Ctrl-C.

    A process that was forked off (a data loader's worker) keeps the object, but what it logs is dropped, with one notice; `init`
    gives it a run of its own.
    """

    def __init__(
        self,
        facts: dict[str, Any],
        *,
        mode: str,
        recorder: Recorder,
        notices: Notices,
        config: Config,
        step: int = 0,
        writer: SpoolWriter | None = None,
        shipper: Shipper | None = None,
        copy: Copy | None = None,
        stop: Callable[[], str | None] | None = None,
        checkpoints: Checkpoints,
    ) -> None:
        self.id: str = facts["id"]
        self.project: str = facts["project"]
        self.sweep_id: str | None = facts["sweep"]
        self.number: int | None = facts["number"]
        self.folder = Path(facts["folder"])
        self.mode = mode
        self.phase = Phase.RUNNING
        self.is_forked = False  # here, in a process that was forked off the run's own
        self.config = config
        self.summary = Summary(self._stats, self._summarise)
        self._facts = facts
        self._recorder = recorder
        self._notices = notices
        self._writer = writer
        self._shipper = shipper
        self._copy = copy
        self._stop = stop
        self._saved = checkpoints
        self._watched = frozenset(facts["metrics"]) if stop is not None else frozenset()
        self._step = step
        self._pending: dict[str, Any] = {}
        self._texts: dict[str, str] = {}
        self._lock = threading.RLock()
        self._capture: threading.Thread | None = None
        self._monitor: Monitor | None = None
        self._put: Callable[[Item], Any] = writer.append if writer is not None else recorder
        self._shelf = Shelf(
            self.folder / "files",
            put=lambda kept: self._put((Kind.ARTIFACT, kept)),
            is_on=lambda: self.mode != "disabled",
        )

    # -- logging -----------------------------------------------------------------------------------------------------------

    def log(
        self, metrics: Mapping[str, Any], step: int | None = None, commit: bool | None = None, sync: bool | None = None
    ) -> None:
        """Keep metrics at a step. Returns in microseconds; a thread writes them to the run's file and sends them to the store.

        Steps are W&B's: without `step` each call is a step of its own, unless ``commit=False`` adds to the step at hand. With `step`,
        calls of one step add up; steps may only grow, and what comes late is dropped with a notice.

        Args:
            metrics: Names to numbers (NumPy and torch scalars too, read without waiting for a GPU). A nested mapping gets dotted names.
                A text goes to the summary. What is no number (an image, a table) is left out with a notice.
            step: The step, ≥ 0.
            commit: Whether the step is complete. Default: yes without `step`, no with it.
            sync: Accepted for W&B's sake.

        Raises:
            TrialPruned: the sweep's stopper ended this trial.
            TrackError: `metrics` is no mapping of texts, or `step` no whole number.
        """
        if self.phase is not Phase.RUNNING:
            raise TrackError(
                f"run {self.name!r} is over", "log before run.finish(), or start another run with whet.init()"
            )
        if not isinstance(metrics, Mapping):
            raise TrackError(
                f"log got {type(metrics).__name__}, not a mapping of names to numbers", 'run.log({"loss": 0.5})'
            )
        values = dict(metrics)
        if not (
            PLAIN.issuperset(map(type, values.values())) and TEXT.issuperset(map(type, values)) and "" not in values
        ):
            values = self._settled(values)
        with self._lock:
            if step is None:
                if self._pending:
                    values = self._pending = {**self._pending, **values}
                if commit is False:
                    self._pending = values
                    return
                self._emit(self._step, values, False)
                self._step += 1
            else:
                values = self._at(step, values)
                if commit:
                    self._step += 1
        if not self._watched.isdisjoint(values):
            reason = self._stop() if self._stop is not None else None
            if reason is not None:
                raise TrialPruned(reason)

    def _at(self, step: Any, values: dict[str, Any]) -> dict[str, Any]:
        try:
            step = step.__index__()
        except (AttributeError, TypeError):
            step = whole(step)
        if step < self._step:
            self._notices.once(
                "step-back",
                f"step {step} comes after step {self._step} was reached: it is dropped (said once); steps may only grow",
            )
            return {}
        if step > self._step:
            self._commit()
            self._step = step
        elif self._pending:
            values = {**self._pending, **values}
            self._pending = {}
        self._emit(step, values, True)
        return values

    def _emit(self, step: int, values: dict[str, Any], given: bool) -> None:
        self._pending = {}
        if values:
            self._put((Kind.ROW, step, time.time(), values, given))

    def _commit(self) -> None:
        if self._pending:
            self._emit(self._step, self._pending, False)
            self._step += 1

    def _settled(self, values: dict[str, Any]) -> dict[str, Any]:
        settled = settle(values)
        for name, kind in settled.skipped.items():
            self._notices.once(
                f"skipped-{name}",
                f"{name!r} is a {kind}, no number: it is left out (said once); keep files with run.save(path)",
            )
        fresh = {k: v for k, v in settled.texts.items() if self._texts.get(k) != v}
        if fresh:
            self._texts |= fresh
            self.summary.update(fresh)
        return settled.numbers

    def flush(self) -> bool:
        """Return once everything logged so far is in the run's file, safe from `kill -9`; False when the disk refuses it."""
        with self._lock:
            if self._pending:
                self._emit(self._step, self._pending, False)
        return self._writer is None or self._writer.flush()

    def sync(self, timeout_s: float = 30.0) -> bool:
        """Flush, then return once the store has it too; False when it has not after `timeout_s`, or in offline mode."""
        return self.flush() and self._shipper is not None and self._shipper.sync(timeout_s)

    # -- what it is ------------------------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """The step at hand."""
        return self._step

    @property
    def name(self) -> str:
        """The run's name; may be set."""
        return str(self._facts["name"])

    @name.setter
    def name(self, name: str) -> None:
        self._edit(name=str(name))

    @property
    def tags(self) -> tuple[str, ...]:
        """The run's tags; may be set."""
        return tuple(self._facts["tags"])

    @tags.setter
    def tags(self, tags: Sequence[str]) -> None:
        self._edit(tags=[tags] if isinstance(tags, str) else [str(t) for t in tags])

    @property
    def notes(self) -> str:
        """The run's notes; may be set."""
        return str(self._facts["notes"])

    @notes.setter
    def notes(self, notes: str) -> None:
        self._edit(notes=str(notes))

    @property
    def group(self) -> str:
        """The run's group; may be set."""
        return str(self._facts["group"])

    @group.setter
    def group(self, group: str) -> None:
        self._edit(group=str(group))

    @property
    def dir(self) -> str:
        """A folder of the run's own: files written there are kept as artifacts when it ends."""
        files = self.folder / "files"
        files.mkdir(parents=True, exist_ok=True)
        return str(files)

    @property
    def url(self) -> str:
        """Where its files are, as a URL."""
        return self.folder.absolute().as_uri()

    def _edit(self, **changed: Any) -> None:
        self._facts |= changed
        self._put((Kind.EDIT, changed))

    # -- files -------------------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], base_path: str | None = None, policy: str = "live") -> list[str]:
        """Keep a copy of a file (or of all that a pattern matches) and return where the copies are.

        A file that changes until the run ends is copied again then, unless `policy` is "now".

        Args:
            path: File or glob pattern.
            base_path: Names are relative to it; default: the file's own folder.
        """
        return self._shelf.save(path, base_path, again=policy != "now")

    def log_artifact(
        self,
        artifact_or_path: Artifact | str | os.PathLike[str],
        name: str | None = None,
        type: str = "file",
        aliases: Sequence[str] = (),
    ) -> Artifact:
        """Keep copies of a file, a folder, or an `Artifact`'s files; `aliases` are accepted for W&B's sake."""
        return self._shelf.bundle(artifact_or_path, name, type)

    def _checkpoints(self) -> Checkpoints:
        return self._saved

    def load_checkpoint(self) -> Checkpoint | None:
        found = self._saved.load()
        if found is not None and found.step is not None:
            with self._lock:  # steps that are counted go on from there
                self._step = max(self._step, found.step + 1)
            self._recorder.goes_on(found.step + 1)
        return found

    # -- W&B's other names -------------------------------------------------------------------------------------------------------

    def define_metric(
        self,
        name: str,
        step_metric: str | None = None,
        summary: str | None = None,
        goal: str | None = None,
        **more: object,
    ) -> None:
        """Choose what the summary shows of a metric: "min", "max", "last", or "best" with a `goal`. `step_metric` is noted for plots."""
        for rule in (summary or "").split(","):
            if rule == "best":
                rule = "max" if str(goal).startswith("max") else "min"
            if rule in ("min", "max", "last"):
                self.summary.set_rule(name, rule)
        if step_metric is not None:
            self._put((Kind.META, {f"step_metric.{name}": str(step_metric)}))

    def watch(self, *models: object, **options: object) -> None:
        """Accepted for W&B's sake: gradients and weights are not logged by themselves."""
        self._notices.once("watch", "watch() logs no gradients; log what you want to see: run.log({'grad_norm': …})")

    def unwatch(self, *models: object) -> None:
        """Accepted for W&B's sake."""

    def alert(self, title: str, text: str = "", **options: object) -> None:
        """Tell the user something now, on stderr."""
        self._notices.once(f"alert-{title}-{text}", f"{title}: {text}" if text else title)

    # -- the end -----------------------------------------------------------------------------------------------------------------

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:
        """End the run: write and send what is left. Harmless twice. An `exit_code` other than 0 makes it failed."""
        self._end(*((Phase.FAILED, f"exit status {exit_code}") if exit_code else (Phase.FINISHED, "")))

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(*((Phase.FINISHED, str(error)) if isinstance(error, TrialPruned) else exits.outcome_of(error)))

    def __repr__(self) -> str:
        return f"<Run {self.name!r} ({self.id}) of {self.project!r}, {self.phase.value}>"

    def _end(self, phase: Phase, reason: str) -> None:
        with self._lock:
            if self.phase is not Phase.RUNNING:
                return
            self._commit()
            self.phase = phase
        exits.forget(self)
        if self._monitor is not None:
            self._monitor.close()
        if self._capture is not None:
            self._capture.join(_CAPTURE_S)
        try:
            self._shelf.keep_late()
        except Exception as error:
            self._notices.once("files", f"some files of the run could not be kept ({error})")
        if self._copy is not None:
            self._copy.close()
        if self._writer is None:
            return
        chosen = self.summary.rules()
        if chosen:
            self._put((Kind.SUMMARY, chosen))
        if self.sweep_id is not None and reason:
            self._put((Kind.META, {"exit": {"phase": phase.value, "reason": reason}}))
        self._put((Kind.FINISH, (phase.value, reason)))
        self._writer.close()
        if self.mode == "offline":
            self._notices.once(
                "offline", f"run {self.name!r} is kept in {self.folder}; send it with: whet sync {self.folder}"
            )
        elif self._shipper is not None and not self._shipper.close(_SHIP_S):
            self._notices.once(
                "unshipped", f"not all of run {self.name!r} reached the store; later: whet sync {self.folder}"
            )

    def _disown(self) -> None:
        """In a forked child: drop what is logged here, without touching locks that a thread of the parent may hold."""
        notices, self._notices = self._notices, Notices()
        self._notices.said |= notices.said
        self.mode = "disabled"
        self.is_forked = True
        self._lock = threading.RLock()
        self._writer = self._shipper = self._monitor = self._copy = self._capture = None
        self._pending = {}
        self._put = lambda item: self._notices.once(
            "forked", "a forked process logged something; it is dropped: log in the process that called whet.init()"
        )

    def _stats(self) -> Mapping[str, Stat]:
        self.flush()
        return self._recorder.stats()

    def _summarise(self, changed: Mapping[str, Any]) -> None:
        self._put((Kind.SUMMARY, dict(changed)))
