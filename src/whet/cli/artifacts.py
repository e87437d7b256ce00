"""``whet artifacts``: the files that a run keeps, and how to get them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.cli.find import complete_runs
from whet.errors import NotFound

if TYPE_CHECKING:
    from whet.store.base import Artifact

__all__ = ["command"]


@click.group("artifacts", no_args_is_help=True)
def command() -> None:
    """List the files that a run keeps (run.save, run.log_artifact), and get them. Both commands take --json."""


@command.command("ls")
@click.argument("run", shell_complete=complete_runs)
@click.option("--project", help="Look in this project only.")
@output.json_option
def _ls(run: str, project: str | None, as_json: bool) -> None:
    """List the files that a run keeps, and whether their content can be had from the store.

    A file that can't lies on the machine where the run was logged, until its run or `whet sync` has sent it. JSON: a list of {name, kind,
    size, sha256, path, here, received}.
    """
    store = session.store(look=True)
    found = store.files.standing(store.runs.find(run, project).id)
    if as_json:
        output.print_json(
            [
                {
                    "name": one.artifact.name,
                    "kind": one.artifact.kind,
                    "size": one.artifact.size,
                    "sha256": one.artifact.sha256,
                    "path": one.artifact.path,
                    "here": one.here,
                    "received": one.received,
                }
                for one in found
            ]
        )
        return
    if not found:
        output.tell("this run keeps no files: run.save(path) or run.log_artifact(path) would")
        return
    rows = []
    for one in found:
        a = one.artifact
        share = "here" if one.here else f"{100 * one.received // max(1, a.size)}% here" if one.received else "not here"
        rows.append([shown.value(a.name), shown.value(a.kind), shown.size(a.size), share, a.sha256[:12]])
    output.table(["name", "kind", "size", "content", "sha256"], rows, right=["size"], keep=["name"])


@command.command("get")
@click.argument("run", shell_complete=complete_runs)
@click.argument("names", metavar="[NAME]…", nargs=-1)
@click.option("-o", "--output", "place", metavar="PATH", help="The file to write (one NAME; -: to stdout), or the folder; default: this one.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace files that are there with other content.")
@click.option("--project", help="Look in this project only.")
@output.json_option
def _get(run: str, names: tuple[str, ...], place: str | None, force: bool, project: str | None, as_json: bool) -> None:
    """Get files that a run keeps, by their names; without a NAME all of them.

    What comes is compared with the SHA-256 that was kept, and a file appears whole or not at all. JSON: a list of {name, path, size, new}.
    """
    from whet.blobs.names import safe_name
    from whet.track.fetch import fetch, pieces

    store = session.store(look=True)
    id = store.runs.find(run, project).id
    kept = {artifact.name: artifact for artifact in store.runs.artifacts(id)}
    wanted = [_named(kept, name, id) for name in dict.fromkeys(names)] if names else list(kept.values())
    if place == "-":
        if len(wanted) != 1 or not names:
            raise output.wrong_call("-o - takes one NAME", f"whet artifacts get {id} NAME -o -")
        for piece in pieces(store, id, wanted[0]):
            sys.stdout.buffer.write(piece)
        return
    done = []
    for artifact in wanted:
        is_file = place is not None and len(names) == 1 and not Path(place).is_dir() and not place.endswith("/")
        target = Path(place) if is_file and place is not None else Path(place or ".") / safe_name(artifact.name)
        new = fetch(store, id, artifact, target, replace=force)
        done.append({"name": artifact.name, "path": target, "size": artifact.size, "new": new})
        if not as_json:
            said = shown.size(artifact.size) if new else "was there already"
            output.say(f"{shown.value(str(target))}  {said}")
    if as_json:
        output.print_json(done)
    elif not done:
        output.tell(f"run {id} keeps no files")


def _named(kept: dict[str, Artifact], name: str, run: str) -> Artifact:
    from whet.errors import nearest

    if name in kept:
        return kept[name]
    hint = f"did you mean {nearest(name, kept)[0]!r}? " if kept else ""
    raise NotFound(f"run {run} keeps no file {name!r}", f"{hint}whet artifacts ls {run}")
