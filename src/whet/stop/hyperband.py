"""Hyperband as W&B's sweep files write it, and with brackets as the paper has it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import final

from whet.errors import ConfigError
from whet.plugins import knob_flag, knob_number, knob_whole
from whet.stop._places import best_standing, losses_by, metrics_of, missing, nan_words, shown
from whet.stop._rungs import ladder, ladder_down
from whet.stop.base import Decision, Stopper, Verdict
from whet.trial import Problem, Trial

__all__ = ["Hyperband"]


@final
class Hyperband(Stopper):
    """W&B's ``early_terminate: {type: hyperband, …}``: stops trials that are not in the top 1/eta at a rung.

    Rungs (which W&B calls brackets) count *reports*, whatever steps they have: the rung r is a trial's r-th report. They lie at
    min_iter, min_iter·eta, min_iter·eta², … without end, or at max_iter/eta, max_iter/eta², …, max_iter/eta^s (rounded down,
    those of at least 1). On the highest rung that a trial has reached, together with n - 1 others, it is stopped if more than
    ⌊n / eta⌋ of the others' reports there are strictly better than its best report so far or, if `strict`, than its own
    report there. That is W&B's rule, so an existing sweep file decides as before. One difference: W&B drops NaN, here a NaN is a
    report, worse than any number, so that a trial which reports nothing else is stopped.

    How it relates to its neighbours: one such ladder is successive halving, the same as `ASHA` (which counts steps and keeps
    ⌊n / eta⌋, one fewer). Hyperband proper hedges over several ladders, because a ladder that starts early stops what starts
    slowly. With ``brackets=B`` trial `number` belongs to one of B brackets; bracket b leaves out the lowest b rungs and
    compares only with trials of the same bracket. The brackets share the trials as in the paper, ⌈B/(s + 1)·eta^s⌉ to each with
    s = B - 1 - b, spread evenly over the numbers.

    With several metrics "strictly better" is: on an earlier front of the values on the rung, or on the same one and earlier in the spread
    over it, as in `ASHA`.

    Args:
        problem: Space and metrics.
        min_iter: The first rung, >= 1.
        max_iter: The reports of a whole trial, >= 1; needs `s`. As in W&B it goes before `min_iter`.
        s: How many rungs, >= 1; plays no part without `max_iter`.
        eta: One in eta goes on, >= 2.
        strict: Judge by the report on the rung instead of the best so far.
        brackets: How many brackets share the trials; 1 is W&B's.

    Raises:
        ConfigError: a knob is out of its range, or there is no rung at all.
        StudyError: the problem has no metric.

    Source: Li, Jamieson, DeSalvo et al., Hyperband, JMLR 2018; W&B's sweep reference, ``early_terminate``.
    """

    suits = "As asha, where it is not known how early bad trials can be told."

    def __init__(self, problem: Problem, *, min_iter: int | None = None, max_iter: int | None = None, s: int | None = None,
                 eta: float = 3, strict: bool = False, brackets: int = 1) -> None:  # fmt: skip
        super().__init__(problem)
        self.metrics = metrics_of(problem)
        self.eta = knob_number("hyperband", "eta", eta, 2)
        self.strict = knob_flag("hyperband", "strict", strict)
        self.min_iter = None if min_iter is None else knob_whole("hyperband", "min_iter", min_iter, 1)
        self.max_iter = None if max_iter is None else knob_whole("hyperband", "max_iter", max_iter, 1)
        self.s = None if s is None else knob_whole("hyperband", "s", s, 1)
        self.brackets = knob_whole("hyperband", "brackets", brackets, 1)
        self._rungs: list[int] | None = None  # without an end
        if self.max_iter is not None:
            if self.s is None:
                raise ConfigError(
                    f"hyperband has max_iter={self.max_iter} without s",
                    "give s, the number of rungs below max_iter, or min_iter instead of both",
                )
            self._rungs = ladder_down(self.max_iter, self.eta, self.s)
            if not self._rungs:
                raise ConfigError(
                    f"hyperband has no rung: max_iter / eta is {self.max_iter / self.eta:.4g}, less than one report",
                    "give a greater max_iter, or a smaller eta",
                )
            if self.brackets > len(self._rungs) + 1:
                raise ConfigError(
                    f"hyperband has brackets={self.brackets} for {len(self._rungs)} rungs ({self._rungs})",
                    f"give at most {len(self._rungs) + 1}, the last of which stops no trial",
                )
        elif self.min_iter is None:
            raise ConfigError(
                "hyperband has neither min_iter nor max_iter and s", "give min_iter, such as 3, or both of the others"
            )
        rungs_left = range(self.brackets - 1, -1, -1)
        shares = [math.ceil(self.brackets / (left + 1) * self.eta**left) for left in rungs_left]
        self._shares = [share / sum(shares) for share in accumulate(shares)]

    def bracket(self, number: int) -> int:
        return 0 if self.brackets == 1 else min(bisect_right(self._shares, _spread(number)), self.brackets - 1)

    def decide(self, trial: Trial, peers: Sequence[Trial]) -> Decision:
        metrics, losses, count = self.metrics, losses_by(self.metrics), len(trial.reports)
        bracket = self.bracket(trial.number)
        rungs = [rung for rung in self._ladder(count)[bracket:] if rung <= count]
        if not rungs:
            return Decision(Verdict.CONTINUE, f"report {count} is before the first rung{self._in(bracket)}")
        rung = rungs[-1]
        index = rung - 1
        own = [trial.reports[index].values] if self.strict else [report.values for report in trial.reports]
        where = f"at report {rung}" if self.strict else f"(best of {count} reports)"
        numbers = [values for values in own if not missing(values)]
        if not numbers:
            what = f"at report {rung}" if self.strict else f"in all of {count} reports"
            which = nan_words(metrics, own[-1])
            return Decision(Verdict.STOP, f"{which} {what}, and a trial without a number never goes on")
        if self.brackets > 1:
            peers = [peer for peer in peers if self.bracket(peer.number) == bracket]
        others = [losses(peer.reports[index].values) for peer in peers if len(peer.reports) > index]
        best, place = best_standing([losses(values) for values in numbers], others)
        keep = int(place.size / self.eta) + 1
        verdict = Verdict.CONTINUE if place.ahead < keep else Verdict.STOP
        among = "is among" if verdict is Verdict.CONTINUE else "is not among"
        return Decision(
            verdict,
            f"{shown(metrics, numbers[best])} {where} {place.words}{among} the best {keep} of {place.size} "
            f"at report {rung}{self._in(bracket)}",
        )

    def _ladder(self, up_to: int) -> list[int]:
        if self._rungs is not None:
            return self._rungs
        assert self.min_iter is not None
        return ladder(self.min_iter, self.eta, up_to)

    def _in(self, bracket: int) -> str:
        return f" in bracket {bracket}" if self.brackets > 1 else ""


@cache  # every decision asks for every peer's
def _spread(number: int) -> float:
    """Return member `number` of van der Corput's sequence: any run of successive ones fills [0, 1) nearly evenly."""
    place, weight = 0.0, 0.5
    while number:
        place += weight * (number & 1)
        number, weight = number >> 1, weight / 2
    return place
