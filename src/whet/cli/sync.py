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
    """Bring what runs have logged into the store, where it is not there yet; to a server the files that they keep, too.

    Each run logs into a file of its own first, so nothing is lost while the store is away; this sends the rest, and goes on in the middle of
    a file. It may be repeated at any time. FOLDER: a run's folder, or a copy of one; default: all in Whet's folder. JSON: {runs: [{run, records,
    damaged, files, bytes, left}], troubles: [{run, trouble}]}; left: files that can't be sent, by name, and why.
    """
    from whet.store.open import whet_dir
    from whet.track.shipper import Shipped, ship_all
    from whet.track.uploads import Sent, send_files

    for folder in folders:
        if not any(folder.glob("spool-*")):
            raise TrackError(
                f"{folder} is no run's folder: there is no spool file in it", f"they are in {whet_dir() / 'runs'}"
            )
    found = folders or sorted({path.parent for path in whet_dir().glob("runs/*/spool-*")})
    store = session.store(look=not found)
    runs: list[tuple[str, Shipped, Sent]] = []
    troubles: list[dict[str, str]] = []
    for folder in found:
        try:
            done = ship_all(folder, store)
            sent = send_files(store.files, done.run, folder)
        except NotFound as error:  # its sweep was removed: the others go on
            troubles.append({"run": folder.name, "trouble": str(error)})
            continue
        runs.append((folder.name, done, sent))
    if as_json:
        sent_json = [
            {
                "run": name,
                "records": done.records,
                "damaged": done.damaged,
                "files": sent.num_files,
                "bytes": sent.num_bytes,
                "left": {file: why for (file, _), why in sent.left.items()},
            }
            for name, done, sent in runs
        ]
        output.print_json({"runs": sent_json, "troubles": troubles})
    else:
        for name, done, sent in runs:
            damaged = f", {done.damaged} damaged ones skipped" if done.damaged else ""
            said = [f"{shown.counted(done.records, 'record')} sent{damaged}"] if done.records else []
            said += (
                [f"{shown.counted(sent.num_files, 'file')} sent, {shown.size(sent.num_bytes)}"]
                if sent.num_files
                else []
            )
            if said:
                output.say(f"{name}  {'; '.join(said)}")
            for (file, _), why in sent.left.items():
                output.say(f"{name}  {shown.value(file)} stays where it is: {why}")
        for trouble in troubles:
            output.say(f"{trouble['run']}  left where it is: {trouble['trouble']}")
        had = sum(bool(done.records or sent.num_files) for _, done, sent in runs)
        told = [f"{had} had something to send"] if had else []
        told += [f"{len(troubles)} could not be sent"] if troubles else []
        output.say(
            f"{shown.counted(len(found), 'run')} looked at, {', '.join(told) if told else 'all is in the store'}"
        )
    context.exit(1 if troubles else 0)
