"""``whet agent``: a process that works on a sweep."""

from __future__ import annotations

import click

from whet.cli import output, session
from whet.cli.find import complete_sweeps

__all__ = ["command"]


@click.command("agent")
@click.argument("sweep", shell_complete=complete_sweeps)
@click.option(
    "-c",
    "-n",
    "--count",
    type=click.IntRange(min=1),
    help="The most trials to run; default: until nothing is left to do.",
)
@click.option(
    "-j", "--jobs", metavar="N", type=click.IntRange(min=1), default=1, show_default=True, help="Trials at a time."
)
@click.option("-f", "--function", metavar="MODULE:FUNCTION", help="Call this Python function for each trial, rather than the sweep's program.")  # fmt: skip
@click.option(
    "--max-failures",
    metavar="N",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="End with status 3 when N trials in a row failed here; 0: never.",
)
@click.option(
    "--forward-signals",
    is_flag=True,
    help="Pass SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 on to the program; after the first three start no other trial.",
)
@click.option("--patience", metavar="TIME", default="10m", show_default=True, help="How long to wait for a store or server that is out of reach; 0: not at all.")  # fmt: skip
@click.option("--project", help="Look in this project only.")
@output.json_option
@click.pass_context
def command(
    context: click.Context,
    sweep: str,
    count: int | None,
    jobs: int,
    function: str | None,
    max_failures: int,
    forward_signals: bool,
    patience: str,
    project: str | None,
    as_json: bool,
) -> None:
    """Work on a sweep (its id or name) until there is nothing left to do.

    Any number of agents may work on one sweep, on any machine that reaches its store: a sweep at a server (whet serve) is
    http://HOST:PORT/ID; when it is away, agents say so and wait for it. Ctrl-C puts what runs back into the queue. JSON: a
    line {event, trial, text, params, values} an event, at last {event: end, …}.
    """
    from whet.cli.times import seconds
    from whet.cli.work import exit_code, report, work_on
    from whet.store.open import split_address

    patience_s = seconds("--patience", patience, least=0, example="10m")
    url, name = split_address(sweep)
    session.apply(context, store_url=url, folder=None)
    store = session.store()
    found = store.sweeps.find(name, project)
    ending = work_on(
        store, found.id, jobs=jobs, count=count, function=function, max_failures=max_failures,
        forward_signals=forward_signals, patience_s=patience_s, as_json=as_json,
    )  # fmt: skip
    report(store, found.id, ending, as_json=as_json, function=function)
    context.exit(exit_code(ending))
