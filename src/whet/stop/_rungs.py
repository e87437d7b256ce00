"""Ladders of rungs, and when a trial gets to one: what the rung methods share."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from whet.trial import Report

__all__ = ["arrival", "done", "ladder", "ladder_down"]


def ladder(first: int, eta: float, up_to: int) -> list[int]:
    """Return the rungs first, first·eta, first·eta², … (rounded down) that are at most `up_to`."""
    rungs, rung = [], float(first)
    while rung < up_to + 1:
        rungs.append(int(rung))
        rung *= eta
    return rungs


def ladder_down(last: int, eta: float, count: int) -> list[int]:
    """Return the rungs last/eta, last/eta², … (rounded down), `count` of them or as many as are at least 1, ascending."""
    rungs, rung = [], float(last)
    for _ in range(count):
        rung /= eta
        if rung < 1:
            break
        rungs.append(int(rung))
    return rungs[::-1]


def done(reports: Sequence[Report]) -> int:
    """Return the resource that a trial has used: the number of its last step, counted from 1; 0 without a report.

    A trial whose first report has step 0 counts from 0, and has done one step more than the number says.
    """
    return reports[-1].step + (reports[0].step == 0) if reports else 0


def arrival(reports: Sequence[Report], rung: int) -> int:
    """Return the index of the first report whose resource is at least `rung`, of reports that go so far."""
    first = reports[0].step
    step = rung - (first == 0)
    guess = step - first  # where it is if every step is reported
    if 0 < guess < len(reports) and reports[guess].step >= step > reports[guess - 1].step:
        return guess
    return bisect_left(reports, step, key=lambda report: report.step)
