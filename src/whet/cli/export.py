"""``whet export``: the runs of a sweep or a project as files that other tools read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.cli.find import complete_sweeps
from whet.cli.output import wrong_call
from whet.errors import NotFound, StoreUnavailable

if TYPE_CHECKING:
    from whet.store.base import Run, Store, Sweep

__all__ = ["command"]

_FORMATS = ("csv", "json", "parquet", "tensorboard", "optuna")


@click.command("export")
@click.argument("what", metavar="SWEEP|PROJECT", shell_complete=complete_sweeps)
@click.option("--format", "kind", type=click.Choice(_FORMATS), help="Default: by the ending of PATH.")
@click.option("-o", "--output", "path", type=click.Path(path_type=Path), help="The file; for tensorboard the folder. CSV and JSON go to stdout without it.")  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite what is there.")
@output.json_option
def command(what: str, kind: str | None, path: Path | None, force: bool, as_json: bool) -> None:
    """Write the runs of a sweep or a project as a table, or for TensorBoard's HParams page.

    \b
    csv, parquet  a row a run: id, name, project, sweep, trial, state, …,
                  value.NAME, param.NAME, metric.NAME (the last value),
                  summary.NAME
    json          {sweep, runs}: every run as `whet show --json` has it,
                  with its curves
    tensorboard   a folder a run, with its curves and parameters; look at
                  them with: tensorboard --logdir PATH
    optuna        a sweep as an Optuna study in an SQLite file

    With --json, what was done: {format, path, num_runs}.
    """
    kind = kind or _by_ending(path)
    if path is None and kind in ("parquet", "tensorboard", "optuna"):
        raise wrong_call(
            f"{kind} can't go to the terminal", f"name a {'folder' if kind == 'tensorboard' else 'file'} with -o"
        )
    if path is None and as_json:
        raise wrong_call("the export itself and --json both want stdout", "name a file with -o, or leave --json out")
    if path is not None and not force and (any(path.iterdir()) if path.is_dir() else path.exists()):
        raise wrong_call(f"{path} is there already", "choose another, or overwrite it with --force")
    from whet.cli.hparams import write_hparams
    from whet.store.export import table_of
    from whet.store.matching import sweeps_of

    store = session.store(look=True)
    sweep, runs = _runs(store, what)
    if not runs:
        raise NotFound(f"{what!r} has no run yet", "whet ls --sweeps shows which have", name=what)
    sweeps = sweeps_of(store, runs)
    write: dict[str, Callable[[], None]] = {
        "csv": lambda: _write_csv(table_of(runs, sweeps), path),
        "json": lambda: _write_json(store, sweep, runs, sweeps, path),
        "parquet": lambda: _write_parquet(runs, sweeps, path or Path()),
        "tensorboard": lambda: write_hparams(store, runs, sweeps, path or Path()),
        "optuna": lambda: _write_optuna(store, sweep, path or Path()),
    }
    try:
        write[kind]()
    except OSError as error:
        if isinstance(error, BrokenPipeError) or path is None:
            raise
        raise StoreUnavailable(f"{path} can't be written ({error.strerror})", "choose another place with -o") from None
    if path is not None and as_json:
        output.print_json({"format": kind, "path": path, "num_runs": len(runs)})
    elif path is not None:
        output.say(f"wrote {shown.counted(len(runs), 'run')} to {path}")
        if kind == "tensorboard":
            output.tell(f"look at them with: tensorboard --logdir {path}")


def _by_ending(path: Path | None) -> str:
    if path is None:
        return "csv"
    kind = path.suffix.removeprefix(".").lower()
    if kind not in ("csv", "json", "parquet"):
        raise wrong_call(f"{path} does not say what to write", f"add --format {'|'.join(_FORMATS)}")
    return kind


def _runs(store: Store, what: str) -> tuple[Sweep | None, list[Run]]:
    """Return the runs of the sweep or project `what`, the oldest first."""
    from whet.store.base import RunQuery

    try:
        sweep = store.sweeps.find(what)
    except NotFound as error:
        projects = store.runs.projects()
        if what not in projects:
            fix = f"{error.fix}; projects: {', '.join(projects) or 'none yet'}"
            raise NotFound(f"no sweep and no project {what!r}", fix, name=what) from None
        return None, store.runs.select(RunQuery(project=what, newest_first=False))
    return sweep, store.runs.select(RunQuery(sweep=sweep.id, newest_first=False))


def _write_csv(table: Mapping[str, Sequence[Any]], path: Path | None) -> None:
    from whet.store.export import write_csv

    if path is None:
        write_csv(table, sys.stdout)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        write_csv(table, file)


def _write_json(
    store: Store, sweep: Sweep | None, runs: Sequence[Run], sweeps: Mapping[str, Sweep], path: Path | None
) -> None:
    from whet.cli.describe import sweep_as_json
    from whet.store.export import documents

    head = None if sweep is None else {**sweep_as_json(sweep), "config": sweep.config}
    document = {"sweep": head, "runs": documents(store, runs, sweeps)}
    if path is None:
        output.print_json(document)
        return
    path.write_text(json.dumps(output.plain(document), ensure_ascii=False, allow_nan=False, indent=1), encoding="utf-8")


def _write_parquet(runs: Sequence[Run], sweeps: Mapping[str, Sweep], path: Path) -> None:
    from whet.store.export import ParquetFile, row_of

    with ParquetFile(path) as file:
        file.write([row_of(run, sweeps.get(run.sweep or "")) for run in runs])


def _write_optuna(store: Store, sweep: Sweep | None, path: Path) -> None:
    if sweep is None:
        raise wrong_call("a project is no study, and Optuna keeps studies", "name a sweep (whet ls --sweeps)")
    from whet.search.optuna_study import to_optuna
    from whet.study.engine import Engine

    engine = Engine(store, sweep)
    engine.sync()
    study = to_optuna(engine.problem, engine.in_order())
    import optuna

    from whet.search.optuna import quiet

    path.unlink(missing_ok=True)
    with quiet():
        kept = optuna.create_study(study_name=sweep.name, storage=f"sqlite:///{path}", directions=study.directions)
        kept.set_metric_names(study.metric_names)
        kept.add_trials(study.get_trials(deepcopy=False))
