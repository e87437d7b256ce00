"""BOHB: TPE for sweeps whose trials are stopped early, which compares trials at a step that enough of them have reached."""

from __future__ import annotations

import math
import random
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, final

from whet.plugins import knob_number, knob_whole
from whet.search.base import Searcher
from whet.search.belief import Belief
from whet.search.course import reach, resource
from whet.search.motpe import MOTPE
from whet.search.tpe import TPE
from whet.trial import Problem, Suggestion, Trial

__all__ = ["BOHB"]

_APART = 1.2  # budgets within this factor count as one, or every farther trial would make the model anew


@final
class BOHB(Searcher):
    """Takes TPE's densities from the trials at one budget: the greatest one that at least `num_results` trials have reached.

    A trial's budget is the resource of its last report, counted from 1 (step + 1 where the first report has step 0, the step itself
    otherwise), and without limit if it is complete. So at first trials are compared by their values at an early step, those that were
    stopped later and the complete ones by what they had reported there; as more of them come far, the step moves on, and in the end it
    is results that are compared. Trials that did not get there rank below, by how far they came, then by their last report. Whether trials
    keep the sweep's limits is seen from what they were in the end. Where nothing is stopped this is `tpe`. With several metrics it does the same for `motpe`, in which only trials that came so far can be good.

    The budgets are those at which trials ended, so any stopper will do, and no rungs need be said; of those within a factor of 1.2 it is
    the least. Where a trial reported NaN at the budget, its next report that is a number counts, else its own result. Hyperband, with which it was
    published, is ``early_terminate: {type: hyperband, max_iter: 27, s: 3, brackets: 4}``.

    It differs from what is published in three ways: trials that were stopped before the budget count as bad ones instead of being left out,
    the densities are those of `TPE` (of bounded cost, with pending trials as bad ones), and no share of the trials is drawn at random unless
    `random_share` says so, for the prior in TPE's densities already sees to that.

    Args:
        num_results: Trials that must have reached a budget, and results before the model is used, >= 1; None: one more than there are
            parameters, at least 4.
        random_share: Of the trials, in [0, 1]: drawn at random from the space (a third in the publication).
        gamma: Share of good trials, in (0, 1].
        num_candidates: Drawn for each suggestion, >= 1.
        prior: The user's belief about good values, as in `tpe`.

    Raises:
        ConfigError: a knob outside its range.

    Example:
        >>> from whet.space import Float, Space
        >>> from whet.trial import Phase, Report
        >>> bohb = BOHB(Problem(space=Space({"x": Float(-5, 5)})), seed=3)
        >>> for number in range(60):  # every second trial is stopped at its first report
        ...     params, early = bohb.ask(1)[0].params, number % 2 == 1
        ...     reports = [Report(step=s, values=(params["x"] ** 2 + 1 / s,)) for s in ((1,) if early else (1, 2, 3))]
        ...     bohb.tell([Trial(number=number, params=params, phase=Phase.FINISHED, reports=tuple(reports), stopped=early,
        ...                      values=reports[-1].values)], [])
        >>> abs(bohb.ask(1)[0].params["x"]) < 1
        True

    Source: Falkner, Klein & Hutter, BOHB: Robust and Efficient Hyperparameter Optimization at Scale, ICML 2018.
    """

    suits = "With early stopping: compares trials at a step that enough of them have reached."

    def __init__(self, problem: Problem, *, seed: int, num_results: int | None = None, random_share: float = 0.0,
                 gamma: float = 0.1, num_candidates: int = 24, prior: Mapping[str, object] | None = None) -> None:  # fmt: skip
        super().__init__(problem, seed=seed)
        usual = max(4, len(problem.space) + 1)
        self._num_results = usual if num_results is None else knob_whole("bohb", "num_results", num_results, 1)
        self._random_share = knob_number("bohb", "random_share", random_share, 0, 1)
        self._knobs: dict[str, Any] = {"gamma": knob_number("bohb", "gamma", gamma, 1e-6, 1),
                       "num_candidates": knob_whole("bohb", "num_candidates", num_candidates, 1),
                       "prior": prior}  # fmt: skip
        Belief("bohb", problem.space, prior)  # so that errors name this method
        self._told: list[Trial] = []
        self._farthest: list[float] = []  # budgets of the `num_results` trials that came farthest, descending by sign
        self._least: dict[int, float] = {}  # of the budgets within a factor, by its power
        self._budget = 0.0
        self._model = self._anew()

    def _anew(self) -> Searcher:
        kind = MOTPE if len(self.problem.metrics) > 1 else TPE
        model = kind(self.problem, seed=self.seed, num_startup=self._num_results, **self._knobs)
        model.ranking.view = self._compared
        return model

    def tell(self, finished: Sequence[Trial], pending: Sequence[Trial]) -> None:
        super().tell(finished, pending)
        self._told += finished
        for trial in finished:
            if budget := reach(trial):
                insort(self._farthest, -budget)
                if budget < math.inf:
                    self._least[_power(budget)] = min(budget, self._least.get(_power(budget), budget))
        del self._farthest[self._num_results :]
        budget = -self._farthest[-1] if self._farthest else 0.0
        if 0 < budget < math.inf:
            budget = self._least[_power(budget)]
        if budget != self._budget:  # as often as there are rungs
            self._budget, self._model, finished = budget, self._anew(), self._told
        self._model.tell(finished, pending)

    def _compared(self, trial: Trial) -> Trial:
        """Return `trial` as it was at the budget, as a complete one; as it is if it did not get there."""
        if not self._budget or reach(trial) < self._budget:
            return trial
        for report in trial.reports:
            is_there = resource(trial.reports, report) >= self._budget
            if is_there and not any(math.isnan(value) for value in report.values):
                return replace(trial, values=report.values, stopped=False)
        return trial  # complete, or without a number there

    def ask(self, n: int) -> list[Suggestion]:
        found: list[Suggestion] = []
        while len(found) < n:
            number = self.next_number + len(found)
            rng = random.Random(f"{self.seed}/{number}/random")  # not the model's own stream
            if rng.random() < self._random_share:
                found.append(Suggestion(params=self.problem.space.sample(rng)))
                continue
            handed = [Trial(number=self.next_number + i, params=s.params) for i, s in enumerate(found)]
            self._model.pending = [*self.pending, *handed]
            found += self._model.ask(1)
            self._model.pending = self.pending
        return found


def _power(budget: float) -> int:
    return math.floor(math.log(budget, _APART))
