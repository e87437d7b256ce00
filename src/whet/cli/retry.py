"""``whet retry``: failed trials once more."""

from __future__ import annotations

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.cli.find import complete_sweeps

__all__ = ["command"]


@click.command("retry")
@click.argument("sweep", metavar="SWEEP", shell_complete=complete_sweeps)
@click.argument("numbers", metavar="[TRIAL]…", nargs=-1, type=click.IntRange(min=0))
@click.option("--project", help="Look in this project only.")
@output.json_option
def command(sweep: str, numbers: tuple[int, ...], project: str | None, as_json: bool) -> None:
    """Run the failed trials of a sweep again, or the trials named by number.

    Each is queued as a new trial with the same parameters; the old one stays, with its output. A trial is retried once: a second
    call takes only what has failed since. A run cap grows by as many, and a finished sweep is reopened. Then work on it.

    JSON: {sweep, state, cap, queued, waiting, skipped}: queued and waiting (since an earlier call) are lists of {trial, as}, skipped of
    {trial, reason}.
    """
    from whet.cli.describe import agent_command
    from whet.study.retry import retry

    store = session.store()
    found = store.sweeps.find(sweep, project)
    done = retry(store, found.id, numbers or None)
    if as_json:
        output.print_json(
            {
                "sweep": found.id,
                "state": done.state,
                "cap": done.cap,
                "queued": [{"trial": old, "as": new} for old, new in done.queued.items()],
                "waiting": [{"trial": old, "as": new} for old, new in done.waiting.items()],
                "skipped": [{"trial": number, "reason": why} for number, why in done.skipped.items()],
            }
        )
        return
    for old, new in done.queued.items():
        output.say(f"trial {old} is queued again as trial {new}")
    for old, new in done.waiting.items():
        output.say(f"trial {old} was queued again before, as trial {new}, which is not over yet")
    for number, why in done.skipped.items():
        output.say(f"trial {number} is left as it is: {why}")
    if not done.queued:
        if not done.waiting:
            output.say(f"sweep {shown.value(found.name)} has no failed trial to run again")
        return
    changes = []
    if done.state is not found.state:
        changes.append(f"was {found.state.value} and is {done.state.value} now")
    if done.cap != found.cap:
        changes.append(f"may have {done.cap} trials now, it was {found.cap}")
    if changes:
        output.tell(f"the sweep {', and '.join(changes)}")
    output.tell(f"work on it with: {agent_command(found)}")
