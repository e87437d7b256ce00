"""``whet db``: what a store's keeper does: versions, checks, room on the disk, and the whole of it elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.errors import Conflict, NotFound, StoreError

if TYPE_CHECKING:
    from whet.store.base import Store
    from whet.store.check import Finding
    from whet.store.copying import Copied
    from whet.store.database import Database
    from whet.store.migrate import Moved
    from whet.store.sql import SqlStore

__all__ = ["command"]


@click.group("db", no_args_is_help=True)
def command() -> None:
    """Look after the store: its version, whether it is whole, its size, and copies of it.

    All of it is about the store that --store or WHET_STORE names. Each command takes --json, too.
    """


# -- versions -------------------------------------------------------------------------------------------------------------


@command.command("upgrade", short_help="Bring an older database up to this Whet's version.")
@click.option("--to", metavar="VERSION", help="Up to this version; default the newest.")
@output.json_option
def _upgrade(to: str | None, as_json: bool) -> None:
    """Bring an older database up to this Whet's version, after a back-up.

    That happens by itself when a store is opened; this does it at a time of your choice. JSON: {was, now, backup, lost}.
    """
    from whet.store.migrate import bring_up

    with closing(_database(prepare=False)) as database:
        _say_moved(bring_up(database, to), database, as_json)


@command.command("downgrade", short_help="Bring a database down to an older Whet's version.")
@click.option("--to", metavar="VERSION", required=True, help="Down to this version.")
@click.option("--force", is_flag=True, help="Even if something is lost by it, or somebody works on it.")
@output.json_option
def _downgrade(to: str, force: bool, as_json: bool) -> None:
    """Bring a database down to the version that an older Whet wants, after a back-up.

    Refused where the older tables have no room for what is there. This Whet brings it up again when it opens it. JSON: {was, now, backup, lost}.
    """
    from whet.store.migrate import bring_down

    with closing(_database(prepare=False)) as database:
        moved = bring_down(database, to, force=force)
        _say_moved(moved, database, as_json)
        if moved.was != moved.now:
            output.tell("use it with the older Whet now: this one brings it up again when it opens it")


def _say_moved(moved: Moved, database: Database, as_json: bool) -> None:
    if as_json:
        output.print_json(asdict(moved))
        return
    if moved.was == moved.now:
        output.say(f"{database.shown} has version {moved.now} already")
        return
    output.say(f"{database.shown} is brought from version {moved.was} to {moved.now}")
    if moved.lost:
        output.say(f"lost: {', '.join(moved.lost)}")
    output.say(f"back-up  {moved.backup or 'none: a PostgreSQL database is backed up by its keeper (pg_dump)'}")


# -- check and room -------------------------------------------------------------------------------------------------------


@command.command("check", short_help="Check that all is as it should be; --repair what can be.")
@click.option("--repair", "mend", is_flag=True, help="Put right what follows from the rest: bests and statistics.")
@output.json_option
@click.pass_context
def _check(context: click.Context, mend: bool, as_json: bool) -> None:
    """Check that all in the store is as it should be, and say what is not. Exit status 1 when something is wrong.

    It reads everything: tables, rows, numbers, bests, revisions, every metric, and the files that runs keep. Others may work on the store meanwhile. JSON:
    {findings: [{rule, problem, sweep, run, repairable}], repaired}; the findings are those before repairs.
    """
    from whet.store.check import check as check_store

    _existing()
    store = session.store()
    with output.Line() as line:
        found = check_store(store, on_step=lambda what: line.show(f"checking {what}"))
        bad_files, elsewhere = _files(store, lambda what: line.show(f"checking {what}"))
    found += bad_files
    repaired = 0
    left = found
    if mend and found:
        from whet.store.check_sql import repair

        repaired = len(repair(store, found))
        left = [*check_store(store), *bad_files] if repaired else found
    if as_json:
        output.print_json({"findings": [asdict(finding) for finding in found], "repaired": repaired})
        context.exit(1 if left else 0)
    for finding in found:
        output.say(f"{finding.rule:<9}  {finding.problem}")
    if not found:
        runs, sweeps = sum(store.runs.projects().values()), len(store.sweeps.all())
        output.say(f"all is well: {shown.counted(sweeps, 'sweep')}, {shown.counted(runs, 'run')}")
    elif mend:
        output.say(f"{repaired} put right, {len(left)} left")
    elif can := sum(finding.repairable for finding in found):
        output.tell(f"--repair puts {can} of {len(found)} right")
    if elsewhere:
        output.tell(f"the content of {shown.counted(elsewhere, 'file')} is on the machines that wrote them alone")
    context.exit(1 if left else 0)


def _files(store: Store, on_step: Callable[[str], None]) -> tuple[list[Finding], int]:
    from whet.store.gc import check_files
    from whet.store.sql import SqlStore

    return check_files(store, on_step=on_step) if isinstance(store, SqlStore) else ([], 0)


@command.command("vacuum", short_help="Join small pieces of metrics, give back unused room.")
@output.json_option
def _vacuum(as_json: bool) -> None:
    """Join small pieces of the metrics of runs that are over, and give back the room of what was deleted.

    Nothing that can be read changes. JSON: {bytes_before, bytes_after, chunks_before, chunks_after, num_runs}.
    """
    from whet.store.vacuum import vacuum as tidy

    with closing(_database()) as database:
        with output.Line() as line:
            done = tidy(database, on_step=line.show)
        if as_json:
            output.print_json(asdict(done))
            return
        if done.num_runs:
            output.say(
                f"metrics of {shown.counted(done.num_runs, 'run')} joined: {done.chunks_before} pieces are {done.chunks_after} now"
            )
        output.say(f"{shown.size(done.bytes_before)} before, {shown.size(done.bytes_after)} now")
        if database.dialect.name == "postgresql":
            output.tell(
                "PostgreSQL keeps the room for later rows; VACUUM FULL gives it back, and locks the tables meanwhile"
            )


@command.command("gc", short_help="Drop the contents of files that no run keeps any more.")
@click.option("--grace", metavar="TIME", default="1d", show_default=True, help="What is younger stays: 12h, 7d, 0s.")
@click.option("--dry-run", is_flag=True, help="Only say what would be dropped.")
@output.json_option
def _gc(grace: str, dry_run: bool, as_json: bool) -> None:
    """Drop the contents of files that no run of this store keeps any more, and uploads that were given up.

    It is about what a server, or WHET_BLOBS, has collected; the files in runs' own folders go with `whet rm`. Others may upload meanwhile.
    JSON: {place, num_dropped, bytes_dropped, uploads_dropped, num_kept}.
    """
    from whet.cli.times import seconds
    from whet.store.gc import collect
    from whet.store.sql import SqlStore

    grace_s = seconds("--grace", grace, least=0)
    if not _existing().startswith(("sqlite:///", "postgres")):
        raise StoreError("a server's files are kept where its store is", "run this there, with the store's own URL")
    store = session.store()
    assert isinstance(store, SqlStore)
    with output.Line() as line:
        done = collect(store, grace_s=grace_s, now=time.time(), dry_run=dry_run, on_step=line.show)
    if as_json:
        output.print_json(asdict(done))
        return
    what = f"{shown.counted(done.num_dropped, 'content')} ({shown.size(done.bytes_dropped)})"
    given_up = (
        f", and {shown.counted(done.uploads_dropped, 'upload')} that were given up" if done.uploads_dropped else ""
    )
    output.say(f"{'would drop' if dry_run else 'dropped'} {what}{given_up}, {done.num_kept} stay in {done.place}")


# -- copies ---------------------------------------------------------------------------------------------------------------


@command.command("export", short_help="Write the store to one file.")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--project", metavar="NAME", help="Only this project.")
@click.option("--force", is_flag=True, help="Replace FILE where there is one.")
@output.json_option
def _export(file: Path, project: str | None, force: bool, as_json: bool) -> None:
    """Write the store to one file, which `whet db import` reads on SQLite and PostgreSQL alike.

    The file is gzipped JSON Lines (whet.jsonl.gz would be a name). It holds sweeps, runs, metrics and records of artifacts, not the files
    that runs keep, nor tokens. JSON: {path, bytes, rows}.
    """
    from whet.store import archive

    if file.exists() and not force:
        raise Conflict(f"{file} is there already", "choose another name, or add --force")
    with closing(_database()) as database, output.Line() as line:
        rows = archive.export(database, file, project=project, on_step=lambda what: line.show(f"writing {what}"))
    size = file.stat().st_size
    if as_json:
        output.print_json({"path": file, "bytes": size, "rows": rows})
    else:
        output.say(f"wrote {_in_words(rows)} to {file}, {shown.size(size)}")


@command.command("import", short_help="Take such a file's sweeps and runs into the store.")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@output.json_option
def _import(file: Path, as_json: bool) -> None:
    """Take the sweeps and runs of a file of `whet db export` into the store.

    What is there already with the same content is passed over; other content under the same id or name is refused, and then nothing is
    changed. An import that was interrupted may be repeated. JSON: {rows, new, known}.
    """
    from whet.store import archive

    archive.read_header(file)  # before a store is made for it
    with closing(_database(existing=False)) as database:
        with output.Line() as line:
            done = archive.import_(database, file, on_step=line.show, on_unit=lambda what: line.show(f"writing {what}"))
        _say_copied(done, f"to {database.shown}", as_json)


@command.command("move", short_help="Copy a store into another one, and compare both.")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--project", metavar="NAME", help="Only this project.")
@output.json_option
@click.pass_context
def _move(context: click.Context, source: str, target: str, project: str | None, as_json: bool) -> None:
    """Copy a store into another one, such as sqlite:///whet.db to postgresql://…, compare both, and check the copy.

    FROM is left as it is: remove it when you trust the new one. Tokens stay behind, and so do the files that runs keep. JSON: {rows, new, known,
    running, findings}; running counts the runs that were running in FROM, and go on there.
    """
    from whet.store import archive
    from whet.store.base import RunQuery
    from whet.store.check import check as check_store
    from whet.store.schema import HEAD
    from whet.trial import Phase

    there, here = _store_at(source, HEAD), _store_at(target, None)
    with closing(there), closing(here), output.Line() as line:
        if there.database.shown == here.database.shown or there.url == here.url:
            raise StoreError(f"{source} and {target} are one store", "give two")
        done = archive.copy(
            there.database,
            here.database,
            project=project,
            on_step=line.show,
            on_unit=lambda what: line.show(f"copying {what}"),
        )
        running = len(there.runs.select(RunQuery(project=project, phases=[Phase.RUNNING])))
        found = check_store(here, on_step=lambda what: line.show(f"checking {what}"))
        line.clear()
        if as_json:
            written = {"rows": done.rows, "new": done.new, "known": done.known, "running": running}
            output.print_json({**written, "findings": [asdict(finding) for finding in found]})
            context.exit(1 if found else 0)
        _say_copied(done, f"to {here.database.shown}", as_json=False)
        output.say("both compared: the same content")
        for finding in found:
            output.say(f"{finding.rule:<9}  {finding.problem}")
        output.say(f"{there.database.shown} is as it was; tokens and the files that runs keep stay where they are")
        if running:
            output.say(
                f"{shown.counted(running, 'run')} there are running: what they do from now on is not in the copy"
            )
        context.exit(1 if found else 0)


def _say_copied(done: Copied, where: str, as_json: bool) -> None:
    if as_json:
        output.print_json(asdict(done))
        return
    output.say(
        f"{_in_words(done.rows)} written {where}" if any(done.new.values()) else f"nothing new is written {where}"
    )
    if known := sum(done.known.values()):
        nouns = {"sweeps": ("sweep", "sweeps"), "runs": ("run outside sweeps", "runs outside sweeps")}
        parts = [shown.counted(count, *nouns[kind]) for kind, count in done.known.items() if count]
        output.say(f"{' and '.join(parts)} {'was' if known == 1 else 'were'} there already, with the same content")


def _in_words(rows: Mapping[str, int]) -> str:
    parts = [shown.counted(rows.get(name, 0), noun) for name, noun in (("sweeps", "sweep"), ("runs", "run"))]
    return f"{' and '.join(parts)} ({shown.counted(sum(rows.values()), 'row')})"


# -- what they share ------------------------------------------------------------------------------------------------------


def _existing(url: str | None = None) -> str:
    """Return the store's URL; it must be there."""
    from whet.store.open import store_url

    url = store_url(url)
    if url == "memory":
        raise StoreError("a store in memory has nothing to look after", "name another with --store or WHET_STORE")
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        raise NotFound(f"there is no store at {url.removeprefix('sqlite:///')}", "name it with --store or WHET_STORE")
    return url


def _database(*, prepare: bool = True, existing: bool = True, url: str | None = None) -> Database:
    from whet.store.open import store_url
    from whet.store.sql import database_at

    url = _existing(url) if existing else store_url(url)
    if not url.startswith(("sqlite:///", "postgres")):
        raise StoreError(f"{url} is not the database itself", "run this where the database is, with its own URL")
    return database_at(url, prepare=prepare)


def _store_at(url: str, version: str | None) -> SqlStore:
    """Return the store at `url`, which must have that version, since opening it would change it."""
    from whet.store.sql import SqlStore

    with closing(_database(url=url, prepare=False, existing=version is not None)) as database:
        if version is not None and (found := database.version()) != version:
            raise StoreError(
                f"{database.shown} has version {found or 'none: it is no store of Whet'}, this Whet copies {version}",
                f"whet --store {url} db upgrade",
            )
    from whet.store.open import store_url

    return SqlStore(store_url(url))
