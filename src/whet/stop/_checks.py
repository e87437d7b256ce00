"""At which reports a trial is looked at: the warm-up and the intervals that several stoppers have."""

from __future__ import annotations

from collections.abc import Sequence

from whet.trial import Report

__all__ = ["not_now"]


def not_now(reports: Sequence[Report], warmup_steps: int, interval_steps: int) -> str:
    """Return why the last of `reports` is not one to check at, in words; empty if it is.

    Checks are at steps warmup_steps, warmup_steps + interval_steps, …; where no report has exactly that step, the next report is checked.
    """
    if not reports:
        return "nothing is reported yet"
    step = reports[-1].step
    if step < warmup_steps:
        return f"step {step} is within the warm-up of {warmup_steps} steps"
    due = step - (step - warmup_steps) % interval_steps
    if any(due <= report.step < step for report in reversed(reports[-2:-1])):
        return f"step {step} is between two checks, {interval_steps} steps apart"
    return ""
