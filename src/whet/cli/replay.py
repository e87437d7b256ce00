"""``whet replay``: make a sweep's suggestions again from its history, and compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.cli.find import complete_sweeps, the_sweep

if TYPE_CHECKING:
    from whet.study.replay import Difference, Replay

__all__ = ["command"]

_MOST = 10


@click.command("replay")
@click.argument("sweep", metavar="[SWEEP]", required=False, shell_complete=complete_sweeps)
@click.option("--project", help="Look in this project only.")
@output.json_option
@click.pass_context
def command(context: click.Context, sweep: str | None, project: str | None, as_json: bool) -> None:
    """Make every suggestion of a sweep (default: the latest one) again from its stored history, and compare.

    The method is told what it knew at each trial (what was over, what still ran) and asked again; nothing runs, and nothing is
    changed. The exit status is 1 where a suggestion comes out otherwise.

    JSON: {sweep, method, seed, num_suggested, num_reproduced, num_given, num_continued, differences: [{number, names, kept, now, reason}]}.
    """
    from whet.cli.describe import config_of
    from whet.study.replay import replay

    store = session.store(look=True)
    found = the_sweep(store, sweep, project)
    config = config_of(found)
    result = replay(store, found)
    if as_json:
        output.print_json(
            {
                "sweep": found.id,
                "method": config.method.name,
                "seed": config.seed or 0,
                "num_suggested": result.num_suggested,
                "num_reproduced": result.num_reproduced,
                "num_given": result.num_given,
                "num_continued": result.num_continued,
                "differences": [
                    {"number": d.number, "names": d.names, "kept": d.kept, "now": d.now, "reason": d.reason}
                    for d in result.differences
                ],
            }
        )
    else:
        _say(result)
    context.exit(1 if result.differences else 0)


def _say(result: Replay) -> None:
    more = []
    if result.num_given:
        more.append(f"{result.num_given} more {'was' if result.num_given == 1 else 'were'} enqueued or added by hand")
    if result.num_continued:
        more.append(f"{result.num_continued} of them to go on from other trials")
    if not result.num_suggested:
        output.say("there is no suggestion to reproduce" + (f": {', '.join(more)}" if more else ""))
        return
    total = f"{result.num_reproduced} of {shown.counted(result.num_suggested, 'suggestion')} reproduced"
    output.say(total + (f" ({', '.join(more)})" if more else ""))
    for difference in result.differences[:1]:
        _explain(difference)
    rest = [str(d.number) for d in result.differences[1:]]
    if rest:
        listed = ", ".join(rest[:_MOST]) + (", …" if len(rest) > _MOST else "")
        output.say(f"so do {len(rest)} more: trial {listed}" if len(rest) > 1 else f"so does trial {listed}")


def _explain(difference: Difference) -> None:
    output.say(f"trial {difference.number} is the first that differs:")
    now: Mapping[str, object] = difference.now or {}
    rows = [[n, _cell(difference.kept, n), _cell(now, n)] for n in difference.names]
    output.table(["parameter", "kept", "now"], rows, keep=["parameter", "kept", "now"])
    if difference.note != difference.note_now:
        output.fields([("note", shown.value(difference.note)), ("now", shown.value(difference.note_now))])
    output.say(difference.reason)


def _cell(params: Mapping[str, object], name: str) -> str:
    if name not in params:
        return "-"
    value = params[name]
    return repr(value) if isinstance(value, float) else shown.value(value)
