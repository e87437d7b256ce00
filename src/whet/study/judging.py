"""Whether a running trial goes on, after each of its reports."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from whet.stop.base import Decision, Verdict
from whet.study import distant

if TYPE_CHECKING:
    from whet.study.engine import Engine

__all__ = ["judge"]


def judge(engine: Engine, number: int, num_judged: int, after: int | None = None) -> tuple[int, Decision | None]:
    """Judge a running trial after each of its reports but the first `num_judged`, one by one however they came in.

    Those up to step `after`, at which it was paused, were judged then.

    Of several metrics those of one step may come one by one, so a last report that lacks some is judged only once there is a later one.

    Returns:
        How many reports are judged now, and the decision that it does not go on, if there is one.
    """
    if engine.stopper is None:
        return num_judged, None
    if engine.store.server is not None:
        if not engine.paced(number, distant.JUDGE_S):
            return num_judged, None
        return distant.judge(engine, engine.store.server, number, num_judged, after)
    stopper = engine.stopper
    trial = engine.trial(number)
    num_whole = len(trial.reports)
    if num_whole and len(engine.problem.metrics) > 1 and any(map(math.isnan, trial.reports[-1].values)):
        num_whole -= 1
    if num_whole <= num_judged:
        return num_whole, None
    peers = [peer for peer in engine.in_order() if peer.number != number]
    for end in range(num_judged + 1, num_whole + 1):
        if after is not None and trial.reports[end - 1].step <= after:
            continue
        decision = stopper.decide(replace(trial, reports=trial.reports[:end]), peers)
        if decision.verdict is not Verdict.CONTINUE:
            return end, decision
    return num_whole, None
