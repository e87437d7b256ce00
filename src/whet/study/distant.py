"""What an engine leaves to a server: to suggest, to judge, to see whether the sweep is over. The server has the history and the searcher."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import TYPE_CHECKING

from whet.stop.base import Decision, Verdict
from whet.store.base import Server, SweepState
from whet.store.wire import decoder
from whet.study.assignment import Assignment, Nothing

if TYPE_CHECKING:
    from whet.study.engine import Engine

__all__ = ["JUDGE_S", "WAIT_S", "WATCH_S", "ask", "judge", "settle"]

WATCH_S, JUDGE_S = 1.0, 0.5
"""How long a client waits before it asks again whether the sweep goes on, and whether a trial does."""
WAIT_S = 1.0
"""How long a server waits for a trial to hand out before it says that there is none."""


def ask(engine: Engine, server: Server, mine: Collection[int] | None) -> Assignment | Nothing:
    """Return the trial that the server hands out to this process.

    Until an answer comes it is the same question, which a server that was killed after handing out a trial answers with that one.
    """
    key = engine.question = engine.question or secrets.token_hex(16)
    body = {"owner": engine.owner, "mine": None if mine is None else sorted(mine), "wait_s": WAIT_S}
    answer = server.post(f"/sweeps/{engine.id}/suggest", body, key=key)
    engine.question = None
    if answer["trial"] is not None:
        return decoder(Assignment)(answer["trial"])  # type: ignore[no-any-return]
    engine.state = SweepState(answer["state"])
    return Nothing(answer["reason"], final=answer["final"])


def judge(
    engine: Engine, server: Server, number: int, num_judged: int | None, after: int | None
) -> tuple[int, Decision | None]:
    """Have the server judge a running trial (see `whet.study.judging.judge`); without `num_judged` by its last report alone."""
    body = {"number": number, "num_judged": num_judged, "after": after}
    answer = server.post(f"/sweeps/{engine.id}/judge", body)
    if answer["verdict"] is None:
        return answer["num_judged"], None
    return answer["num_judged"], Decision(Verdict(answer["verdict"]), answer["reason"])


def settle(engine: Engine, server: Server, *, exhausted: bool, may_search: bool) -> SweepState:
    """Have the server finish the sweep where there is a reason to, and return its state."""
    body = {"exhausted": exhausted, "may_search": may_search}
    return SweepState(server.post(f"/sweeps/{engine.id}/settle", body)["state"])
