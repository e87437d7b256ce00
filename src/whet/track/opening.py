"""`init`: from what the user, the environment or an agent says to a `Run`."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whet.checkpoints import Checkpoints
from whet.errors import TrackError, UnknownName
from whet.store.owner import alive, here
from whet.track import capture, claim, exits, stdout
from whet.track.arguments import id_of, mapping_of, mode_of, name_of, root_of
from whet.track.claim import Claim
from whet.track.mappings import Config, leaves, nested
from whet.track.notices import Notices
from whet.track.recorder import Recorder
from whet.track.run import Run
from whet.track.settings import Settings
from whet.track.shipper import Shipper, shared_store
from whet.track.spool import Kind, SpoolReader, SpoolWriter, path_of
from whet.track.system import Monitor
from whet.track.values import plain
from whet.trial import Phase

__all__ = ["abandon", "current", "init"]

_WANDB_ONLY = frozenset(
    {
        "allow_val_change", "anonymous", "entity", "force", "fork_from", "monitor_gym", "resume_from", "save_code",
        "sync_tensorboard", "tensorboard",
    }
)  # fmt: skip
_OWN = (
    "project", "config", "name", "group", "tags", "notes", "dir", "mode", "id", "resume", "settings", "job_type", "reinit",
    "config_exclude_keys", "config_include_keys",
)  # fmt: skip
_here: ContextVar[Run | None] = ContextVar("whet.track.run", default=None)


def current() -> Run | None:
    """Return the run of this context, else the latest of the process, or None.

    A function that an agent called sees its own run only: another thread's is none of its business.
    """
    run = _here.get()
    if run is not None and run.phase.is_over:
        run = None
    told = claim.current.get()
    if told is not None:
        return run if run is not None and run.id == told.run_id else None
    return run or exits.latest()


def init(
    project: str | None = None,
    config: Mapping[str, Any] | str | os.PathLike[str] | Any = None,
    *,
    name: str | None = None,
    group: str | None = None,
    tags: Sequence[str] | None = None,
    notes: str | None = None,
    dir: str | os.PathLike[str] | None = None,
    mode: str | None = None,
    id: str | None = None,
    resume: bool | str | None = None,
    settings: Settings | Mapping[str, Any] | Any = None,
    job_type: str | None = None,
    reinit: bool | str | None = None,
    config_exclude_keys: Sequence[str] | None = None,
    config_include_keys: Sequence[str] | None = None,
    **wandb_only: Any,
) -> Run:
    """Start a run and make it the current one; inside a sweep, the run of the trial at hand.

    Returns in milliseconds: git, packages and the store are looked at in the background.

    Args:
        project: What it belongs to; default ``WHET_PROJECT``, or "default".
        config: Mapping, ``argparse.Namespace``, or the path of a YAML file. What a sweep chose wins over it.
        name: Default: two words and a part of the id.
        group, tags, notes: For finding it again.
        dir: The folder that holds ``runs/``; default ``WHET_DIR``, or ``.whet``.
        mode: "online"; "offline" (kept on disk until ``whet sync``); "disabled" (nothing is kept). Default ``WHET_MODE``.
        id: Letters, digits, ``-_.``; default a new one.
        resume: Go on with the run `id`: True or "allow", "must" (it has to be there), "never" (it must not).
        settings: `Settings`, or a mapping of its arguments.
        job_type: Noted in the run's meta.
        reinit: With a run at hand: True ends it first, "create_new" leaves it; else it is returned.
        config_exclude_keys, config_include_keys: Which keys of `config` count.
        **wandb_only: W&B's other arguments are accepted and change nothing.

    Raises:
        UnknownName: an argument that neither Whet nor W&B has.
        TrackError: a mode or an id that can't be.
        StoreUnavailable: the folder can't be written.

    Example:
        >>> run = init("digits", {"lr": 0.1}, mode="disabled")
        >>> run.log({"loss": 0.5})
        >>> run.summary["loss"], run.config.lr
        (0.5, 0.1)
        >>> run.finish()
    """
    for word in wandb_only:
        if word not in _WANDB_ONLY:
            raise UnknownName.of("argument of whet.init", word, _OWN)
    told = claim.current.get() or Claim.from_env()
    at_hand = current()
    if told is None and at_hand is not None and at_hand.is_forked:
        at_hand = None  # a worker's own run is none of its parent's
    if at_hand is not None and (told is None or at_hand.id == told.run_id):
        if reinit in (True, "finish_previous"):
            at_hand.finish()
        elif reinit != "create_new":
            if config is not None:
                at_hand.config.update(mapping_of(config))
            return at_hand

    given = mapping_of(config)
    if config_include_keys:
        given = {k: v for k, v in given.items() if k in config_include_keys}
    given = {k: v for k, v in given.items() if k not in (config_exclude_keys or ())}
    root = root_of(dir, told).absolute()
    run_id = id_of(id, told)
    facts: dict[str, Any] = {
        "v": 1,
        "id": run_id,
        "attempt": told.attempt if told else 0,
        "sweep": told.sweep_id if told else None,
        "number": told.number if told else None,
        "project": told.project if told else project or os.environ.get("WHET_PROJECT") or "default",
        "name": name or (f"{told.sweep_id}-{told.number}" if told else name_of(run_id)),
        "named": name is not None,
        "group": group or "",
        "tags": [tags] if isinstance(tags, str) else [str(t) for t in tags or ()],
        "notes": notes or "",
        "folder": str(root / "runs" / run_id),
        "metrics": list(told.metrics) if told else [],
        "started": time.time(),
    }
    plan = _Plan(
        facts=facts,
        given=given,
        told=told,
        mode=mode_of(mode, told),
        resume=resume,
        root=root,
        knobs=settings
        if isinstance(settings, Settings)
        else Settings(**settings if isinstance(settings, Mapping) else {}),
        notices=Notices(),
        job_type=job_type,
    )
    run = _disabled(plan) if plan.mode == "disabled" else _open(plan)
    _here.set(run)
    exits.watch(run)
    return run


def abandon(reason: str = "") -> None:
    """End the trial's run of this context, if the function that was called for it left it open; with a reason it failed."""
    run = _here.get()
    if run is not None and run.sweep_id is not None:
        run._end(Phase.FAILED if reason else Phase.FINISHED, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What `init` made of its arguments."""

    facts: dict[str, Any]
    given: Mapping[str, Any]
    told: Claim | None
    mode: str
    resume: bool | str | None
    root: Path
    knobs: Settings
    notices: Notices
    job_type: str | None

    @property
    def stop(self) -> Any:
        return self.told.stop if self.told else None

    def checkpoints(self, *, keeps: bool) -> Checkpoints:
        """Return where the run's checkpoints are. Several processes of one trial all load them; one of them saves."""
        parent = self.told.parent if self.told else None
        runs = self.root / "runs"
        return Checkpoints(
            runs / self.facts["id"],
            attempt=self.facts["attempt"],
            parent=None if parent is None else runs / parent,
            keeps=keeps,
        )

    def config(self, runs: list[Run]) -> Config:
        """Return the config: the sweep's params, then what the user gave. Changes are told to the run in `runs`, once it is there."""
        told = self.told
        tree = nested(plain(told.params)) if told else {}
        locked = frozenset(leaves(tree))

        def keep_locked(path: str) -> bool:
            if path in locked and runs:  # the script's defaults, given to init, are no attempt to override
                self.notices.once(f"locked-{path}", f"config {path!r} was chosen by the sweep and stays (said once)")
            return path in locked

        def changed(key: str) -> None:
            if runs:
                runs[0]._put((Kind.CONFIG, {key: plain(tree[key])}))

        config = Config(tree, changed, keep_locked)
        config.update(self.given)
        return config


def _disabled(plan: _Plan) -> Run:
    recorder = Recorder(plan.facts["metrics"], plan.notices)
    runs: list[Run] = []
    config = plan.config(runs)
    saved = plan.checkpoints(keeps=False)
    run = Run(
        plan.facts, mode="disabled", recorder=recorder, notices=plan.notices, config=config, stop=plan.stop, checkpoints=saved
    )  # fmt: skip
    runs.append(run)
    return run


def _open(plan: _Plan) -> Run:
    facts, told, notices = plan.facts, plan.told, plan.notices
    folder = Path(facts["folder"])
    path = path_of(folder, facts["attempt"])
    existing = path.exists()
    if not existing and plan.resume == "must":
        raise TrackError(
            f"there is no run {facts['id']!r} in {folder.parent}", "resume='allow' starts it, or correct id"
        )
    try:
        step = _resumed(path, plan.resume, facts["id"], told) if existing else 0
    except TrackError:
        if told is None or not told.logs_kept:
            raise
        notices.once("story", "another process of this trial tells its story: what this one logs is dropped")
        return _disabled(plan)

    runs: list[Run] = []
    shippers: list[Shipper] = []
    config = plan.config(runs)
    recorder = Recorder(facts["metrics"], notices)

    def written() -> None:
        if shippers:
            shippers[0].wake(now=recorder.has_reported)  # a stopper waits for reports
            recorder.has_reported = False

    gather_s = 0.05 if facts["metrics"] else 0.1
    writer = SpoolWriter(path, prepare=recorder, notices=notices, written=written, gather_s=gather_s)
    first = config.as_dict()
    if existing:
        writer.append((Kind.CONFIG, first))
    else:
        # The owner is looked up here: a child forked while a thread imports psutil could never import it.
        writer.append((Kind.HEADER, {**facts, "config": first, "owner": here()}))
    if plan.mode == "online":
        store = (told.store if told else None) or os.environ.get("WHET_STORE")

        def open_store() -> Any:
            return shared_store(store, plan.root) if store is None or isinstance(store, str) else store

        shippers.append(Shipper(path, open_store, notices))
        shippers[0].wake()
    copy = None
    if plan.knobs.stdout and not (told and told.logs_kept):
        copy = stdout.Copy(folder / "output.log", facts["id"])
        stdout.owner.set(facts["id"])
    run = Run(
        facts,
        mode=plan.mode,
        recorder=recorder,
        notices=notices,
        config=config,
        step=step,
        writer=writer,
        shipper=shippers[0] if shippers else None,
        copy=copy,
        stop=plan.stop,
        checkpoints=plan.checkpoints(keeps=True),
    )
    runs.append(run)
    _background(run, plan)
    return run


def _background(run: Run, plan: _Plan) -> None:
    put, notices = run._put, plan.notices
    if plan.job_type:
        put((Kind.META, {"job_type": plan.job_type}))
    if plan.knobs.capture:
        cwd, argv = Path.cwd(), list(sys.argv)

        def gather() -> None:
            try:
                put((Kind.META, capture.facts(plan.root / "captured", cwd, argv)))
            except Exception as error:
                notices.once(
                    "capture", f"git, packages and environment could not be captured ({error!r}); training goes on"
                )

        run._capture = threading.Thread(target=gather, name="whet-capture", daemon=True)
        run._capture.start()
    if plan.knobs.system_interval_s > 0:
        run._monitor = Monitor(
            lambda step, values: put((Kind.ROW, step, time.time(), values, None)),
            notices,
            interval_s=plan.knobs.system_interval_s,
        )


def _resumed(path: Path, resume: bool | str | None, id: str, told: Claim | None) -> int:
    """Return the step to go on with."""
    if told is None and resume not in (True, "allow", "must", "auto"):
        raise TrackError(f"there is a run {id!r} already", "resume=True goes on with it; leave id out for a new one")
    reader = SpoolReader(path)
    step = 0
    while (piece := reader.read()).end > piece.start:
        for record in piece.records:
            if record[0] == Kind.HEADER.value and record[1]["owner"] != here() and alive(record[1]["owner"]):
                raise TrackError(
                    f"run {id!r} is being written by another process ({record[1]['owner']})",
                    "only one process may log to a run: call whet.init() in the main process only",
                )
            if record[0] == Kind.ROW.value and not all(name.startswith("system/") for name in record[3]):
                step = max(step, int(record[1]) + 1)
    return step
