"""``whet sync``: what was logged while the store could not be reached."""

from __future__ import annotations

from pathlib import Path

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.errors import NotFound, TrackError

__all__ = ["command"]


@click.command("sync")
@click.argument("folders", metavar="[FOLDER]…", nargs=-1, type=click.Path(path_type=Path))
@output.json_option
@click.pass_context
def command(context: click.Context, folders: tuple[Path, ...], as_json: bool) -> None:
    """Bring what runs have logged into the store, where it is not there yet.

    Each run logs into a file of its own first, so nothing is lost while the store is away; this sends the rest. It may be repeated at
    any time. FOLDER: a run's folder; default: all in Whet's folder. JSON: {runs: [{run, records, damaged}], troubles: [{run, trouble}]}.
    """
    from whet.store.open import whet_dir
    from whet.track.shipper import ship_all

    for folder in folders:
        if not any(folder.glob("spool-*")):
            raise TrackError(
                f"{folder} is no run's folder: there is no spool file in it", f"they are in {whet_dir() / 'runs'}"
            )
    store = session.store()
    runs, troubles = [], []
    for folder in folders or sorted({path.parent for path in whet_dir().glob("runs/*/spool-*")}):
        try:
            done = ship_all(folder, store)
        except NotFound as error:  # its sweep was removed: the others go on
            troubles.append({"run": folder.name, "trouble": str(error)})
            continue
        runs.append({"run": folder.name, "records": done.records, "damaged": done.damaged})
    if as_json:
        output.print_json({"runs": runs, "troubles": troubles})
    else:
        sent = [run for run in runs if run["records"]]
        for run in sent:
            damaged = f", {run['damaged']} damaged ones skipped" if run["damaged"] else ""
            output.say(f"{run['run']}  {shown.counted(int(run['records']), 'record')} sent{damaged}")
        for trouble in troubles:
            output.say(f"{trouble['run']}  left where it is: {trouble['trouble']}")
        output.say(
            f"{shown.counted(len(runs), 'run')} looked at, "
            + (f"{len(sent)} had something to send" if sent else "all is in the store")
        )
    context.exit(1 if troubles else 0)
