"""``whet doctor``: is everything as it should be, and what to do where it is not."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whet.cli import format as shown
from whet.cli import output
from whet.errors import WhetError

if TYPE_CHECKING:
    from whet.store.base import Store

__all__ = ["Check", "Level", "command"]

_LEAST_FREE = 1e9  # bytes
_SLOW_MS = 20.0  # a synced write that takes longer is felt at every trial
_OPTIONAL = {
    "torch": ("torch", "hypergradients and the demo"),
    "psycopg": ("postgres", "a PostgreSQL store"),
    "tensorboard": ("tensorboard", "reading event files, export for TensorBoard"),
    "pandas": ("pandas", "study.trials_dataframe()"),
    "pyarrow": ("parquet", "export as Parquet"),
    "optuna": ("optuna", "method: optuna, importing and exporting its studies"),
    "fastapi": ("server", "whet serve"),
    "pynvml": ("gpu", "GPU metrics of runs"),
}


class Level(Enum):
    """How a check came out."""

    OK = "ok"
    NOTE = "note"  # worth knowing, nothing is wrong
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Check:
    """A check: what was looked at, how it came out, what was found, and what to do."""

    name: str
    level: Level
    found: str
    fix: str = ""


@click.command("doctor")
@output.json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Check the installation, the store and the machine, and say what to mend. Exit status 1 when something is wrong.

    JSON: a list of {name, level, found, fix}; level is ok, note or wrong.
    """
    checks: list[Check] = []
    for look in (_versions, _cores, _torch, _store, _disk, _speed, _packages):
        try:
            checks += look()
        except Exception as error:  # a check that stumbles must not hide the others
            checks.append(
                Check(
                    look.__name__.strip("_"), Level.WRONG, f"the check itself failed: {error!r}", "please report this"
                )
            )
    wrong = sum(check.level is Level.WRONG for check in checks)
    if as_json:
        output.print_json([{"name": c.name, "level": c.level, "found": c.found, "fix": c.fix} for c in checks])
    else:
        _print(checks)
        output.say()
        output.say(f"{shown.counted(wrong, 'thing')} to mend" if wrong else "all is well")
    context.exit(1 if wrong else 0)


def _print(checks: list[Check]) -> None:
    width = max(len(check.name) for check in checks)
    colours = {Level.OK: "green", Level.NOTE: "yellow", Level.WRONG: "red"}
    for check in checks:
        word = check.level.value.ljust(5)
        say = click.style(word, fg=colours[check.level]) if output.on_terminal() else word
        output.say(f"{say}  {check.name.ljust(width)}  {check.found}")
        if check.fix:
            output.say(f"       {' ' * width}  → {check.fix}")


def _versions() -> Iterator[Check]:
    def of(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "?"

    base = ", ".join(f"{name} {of(name)}" for name in ("numpy", "scipy", "sqlalchemy", "click", "rich"))
    yield Check("whet", Level.OK, f"{of('whet')} in {Path(__file__).parents[1]}")
    yield Check("python", Level.OK, f"{platform.python_version()} ({sys.executable}), {base}")


def _cores() -> Iterator[Check]:
    import psutil

    memory = psutil.virtual_memory()
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = f"{shown.counted(allowed or 1, 'core')}, {shown.size(memory.available)} of {shown.size(memory.total)} memory free"
    few = memory.available < 1e9
    fix = "end other programs, or run fewer trials at a time (-j)" if few else ""
    yield Check("machine", Level.NOTE if few else Level.OK, f"{text}, {platform.platform(terse=True)}", fix)


def _torch() -> Iterator[Check]:
    if importlib.util.find_spec("torch") is None:
        return  # it is among the optional packages
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        yield Check("torch", Level.OK, f"{torch.__version__} with CUDA {torch.version.cuda}: {names}")
    elif torch.version.cuda is not None:
        yield Check("torch", Level.NOTE, f"{torch.__version__} is built for CUDA {torch.version.cuda}, but finds no GPU", "if there is one, look at nvidia-smi and its driver")  # fmt: skip
    else:
        yield Check("torch", Level.OK, f"{torch.__version__}, CPU only")


def _store() -> Iterator[Check]:
    from whet.cli.session import missing
    from whet.store.open import open_store

    if missing() is not None and os.access(_existing(), os.W_OK):
        yield Check("store", Level.OK, f"none yet; it will be made at {missing()}")
        return
    began = time.perf_counter()
    try:
        store = open_store()
    except WhetError as error:
        yield Check("store", Level.WRONG, error.problem, error.fix)
        return
    try:
        projects = store.runs.projects()
        took_ms = (time.perf_counter() - began) * 1e3
        sweeps = store.sweeps.all()
        count = shown.counted(sum(projects.values()), "run")
        yield Check(
            "store",
            Level.OK,
            f"{store.shown}: {shown.counted(len(sweeps), 'sweep')}, {count}, opened in {took_ms:.0f} ms",
        )
        yield from _integrity(store)
        yield from _lost(store)
    except WhetError as error:
        yield Check("store", Level.WRONG, error.problem, error.fix)
    finally:
        store.close()
    yield from _unsent()


def _integrity(store: Store) -> Iterator[Check]:
    if not store.url.startswith("sqlite:///"):
        return
    path = Path(store.url.removeprefix("sqlite:///"))
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        said = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.Error as error:
        said = [str(error)]
    finally:
        connection.close()
    if said == ["ok"]:
        yield Check("database", Level.OK, f"whole, {shown.size(path.stat().st_size)}")
    else:
        fix = f"save what can be read: sqlite3 {path} .recover | sqlite3 {path}.new, then put it in its place"
        yield Check("database", Level.WRONG, f"it is damaged: {said[0]}", fix)


def _lost(store: Store) -> Iterator[Check]:
    from whet.cli.describe import is_lost
    from whet.store.base import RunQuery
    from whet.trial import Phase

    lost = [run for run in store.runs.select(RunQuery(phases=(Phase.RUNNING,))) if is_lost(run)]
    if not lost:
        yield Check("workers", Level.OK, "no run is lost")
        return
    sweeps = sorted({run.sweep for run in lost if run.sweep})
    alone = [run.id for run in lost if not run.sweep]
    named = ", ".join(run.id for run in lost[:3]) + (" …" if len(lost) > 3 else "")
    ways = [f"whet agent {id} hands its lost trials out again" for id in sweeps[:3]]
    ways += [f"whet sync sends what is left of {', '.join(alone[:3])} and ends it"] if alone else []
    said = f"{shown.counted(len(lost), 'run')} called running, whose process is gone: {named}"
    yield Check("workers", Level.WRONG, said, "; ".join(ways))


def _unsent() -> Iterator[Check]:
    from whet.store.open import whet_dir

    folder = whet_dir() / "runs"
    if folder.is_dir() and not os.access(folder, os.W_OK):
        yield Check(
            "runs", Level.WRONG, f"{folder} can't be written", "make it writable, or choose another place with WHET_DIR"
        )


def _disk() -> Iterator[Check]:
    place = _existing()
    free = shutil.disk_usage(place).free
    text = f"{shown.size(free)} free at {place}"
    if free < _LEAST_FREE:
        yield Check("disk", Level.WRONG, text, "free some space, or keep runs elsewhere with WHET_DIR")
    else:
        yield Check("disk", Level.OK, text)


def _speed() -> Iterator[Check]:
    """How long a small synced write takes, the median of 20: every finished trial waits for one."""
    place = _existing()
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            times = sorted(_timed(lambda: _write_synced(file.fileno())) for _ in range(20))
    except OSError as error:
        yield Check("writing", Level.WRONG, f"{place} can't be written ({error.strerror})", "make it writable, or choose another place with WHET_DIR")  # fmt: skip
        return
    median_ms = times[10] * 1e3
    text = f"a synced write takes {median_ms:.2g} ms"
    slow = median_ms > _SLOW_MS
    yield Check(
        "writing", Level.NOTE if slow else Level.OK, text, "keep .whet on a local disk (WHET_DIR)" if slow else ""
    )


def _timed(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _write_synced(descriptor: int) -> None:
    os.write(descriptor, b"x" * 512)
    os.fsync(descriptor)


def _packages() -> Iterator[Check]:
    for name, (extra, purpose) in _OPTIONAL.items():
        if importlib.util.find_spec(name) is None:
            yield Check("optional", Level.NOTE, f"{name} is not installed: {purpose}", f'if you want that: pip install "whet[{extra}]"')  # fmt: skip


def _existing() -> Path:
    """Return Whet's folder, or the nearest one around it that is there."""
    from whet.store.open import whet_dir

    place = whet_dir().absolute()
    return next(folder for folder in (place, *place.parents) if folder.is_dir())
