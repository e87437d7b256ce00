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
    from whet.track.shipper import Shipped, ship_all

    for folder in folders:
        if not any(folder.glob("spool-*")):
            raise TrackError(
                f"{folder} is no run's folder: there is no spool file in it", f"they are in {whet_dir() / 'runs'}"
            )
    found = folders or sorted({path.parent for path in whet_dir().glob("runs/*/spool-*")})
    store = session.store(look=not found)
    runs: list[tuple[str, Shipped]] = []
    troubles: list[dict[str, str]] = []
    for folder in found:
        try:
            done = ship_all(folder, store)
        except NotFound as error:  # its sweep was removed: the others go on
            troubles.append({"run": folder.name, "trouble": str(error)})
            continue
        runs.append((folder.name, done))
    if as_json:
        sent_json = [{"run": name, "records": done.records, "damaged": done.damaged} for name, done in runs]
        output.print_json({"runs": sent_json, "troubles": troubles})
    else:
        sent = [(name, done) for name, done in runs if done.records]
        for name, done in sent:
            damaged = f", {done.damaged} damaged ones skipped" if done.damaged else ""
            output.say(f"{name}  {shown.counted(done.records, 'record')} sent{damaged}")
        for trouble in troubles:
            output.say(f"{trouble['run']}  left where it is: {trouble['trouble']}")
        told = [f"{len(sent)} had something to send"] if sent else []
        told += [f"{len(troubles)} could not be sent"] if troubles else []
        output.say(
            f"{shown.counted(len(found), 'run')} looked at, {', '.join(told) if told else 'all is in the store'}"
        )
    context.exit(1 if troubles else 0)
