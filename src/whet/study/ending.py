"""When a sweep ends by itself, and why: its target, its cap, and what `terminate` says, from the stored trials alone."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from typing import TYPE_CHECKING, final

from whet.config import SweepConfig, Termination
from whet.trial import Phase, Trial

if TYPE_CHECKING:
    from whet.study.history import History

__all__ = ["Ending"]

Losses = tuple[float, ...]

_FIRST = 10  # complete trials whose spread gains are measured in
_LEAST = 20  # finished trials before a method's word that there is little to gain is heeded
_LATEST = 10  # of them may not have brought as much, either


@final
class Ending:
    """Says whether a sweep is over. Derived from its history, it needs no state that would have to survive a restart.

    Trials count in the order of their ends. What a trial has cost is taken in once, when it ends; asking costs the same however many there are
    (with several metrics and `no_improvement` it grows with the number of trials).
    """

    def __init__(self, config: SweepConfig) -> None:
        self._config = config
        self._rules = config.terminate or Termination()
        self._num_taken = 0
        self._ends: list[tuple[float, int, Losses | None]] = []  # end, number, losses if complete
        self._bests: list[tuple[float, int]] = []  # with one metric the least loss of the first 1, 2, … ends, and whose
        self._first: list[tuple[int, float]] = []  # the first complete trials by number, and their results
        self._started = math.inf
        self._spent = dict.fromkeys(self._rules.cost, 0.0)

    def is_possible(self, cap: int | None) -> bool:
        """Return whether the sweep may end by itself at all."""
        return cap is not None or not self.is_by_cap_alone

    @property
    def is_by_cap_alone(self) -> bool:
        """Whether nothing but a cap may end it."""
        is_aimed = any(metric.target is not None for metric in self._config.problem.metrics)
        return self._config.terminate is None and not is_aimed

    @property
    def may_foresee(self) -> bool:
        """Whether the sweep may end because its method foresees little gain."""
        return self._rules.expected_improvement is not None

    def why(self, history: History, cap: int | None, now: float) -> str:
        """Return why the sweep is over, in words; empty while it goes on. With a reason no trial is handed out any more.

        Where the method may know one more (`asks_for_gain`), ask `little_to_gain`, too.

        Args:
            history: Its trials.
            cap: Its cap.
            now: Seconds since the epoch: the present, or when the sweep was last changed, if that is finished.
        """
        for trial in history.ended_since(self._num_taken):
            self._num_taken += 1
            self._take(trial)
        return (
            self._target(history.best)
            or ("" if cap is None or len(history.trials) < cap or history.open else f"the run cap of {cap} is used up")
            or self._no_improvement()
            or self._cost(history, now)
            or self._wall_clock(history, now)
        )

    def _take(self, trial: Trial) -> None:
        if trial.started is not None:
            self._started = min(self._started, trial.started)
        for name in self._spent:
            self._spent[name] += self._cost_of(name, trial)
        if trial.phase is Phase.FINISHED:
            problem = self._config.problem
            if trial.complete and trial.values and math.isfinite(trial.values[0]):
                insort(self._first, (trial.number, trial.values[0]))
                del self._first[_FIRST:]
            losses = problem.losses(trial.values) if trial.values is not None and problem.counts(trial) else None
            end = (-math.inf if trial.ended is None else trial.ended, trial.number)
            place = bisect_left(self._ends, end, key=lambda e: e[:2])  # nearly always the last one
            self._ends.insert(place, (*end, losses))
            del self._bests[place:]

    def _cost_of(self, name: str, trial: Trial) -> float:
        value = self._config.problem.measured(name, trial)
        return value if value is not None and math.isfinite(value) else 0.0

    def _target(self, best: Trial | None) -> str:
        if best is None or best.values is None:
            return ""
        metric, value = self._config.problem.metric, best.values[0]
        if metric.target is None or metric.goal.loss(value) > metric.goal.loss(metric.target):
            return ""
        return f"the target is reached: {metric.name} is {value:.6g} in trial {best.number}"

    def _no_improvement(self) -> str:
        window = self._rules.no_improvement
        if window is None or len(self._ends) <= window:
            return ""
        if len(self._config.problem.metrics) > 1:
            return self._no_better_front(window)
        bests = self._bests_so_far()
        (before, number), (after, _) = bests[-window - 1], bests[-1]
        if before == math.inf or after < before - self._rules.tolerance * abs(before):
            return ""
        metric = self._config.problem.metric
        was = f"{metric.name} {metric.goal.loss(before):.6g} of trial {number}"  # a goal's loss undoes itself
        if after < before:
            gain = f"by less than {self._rules.tolerance:.3g} of itself, to {metric.goal.loss(after):.6g}"
            return f"the last {window} trials improved the best, {was}, {gain}"
        return f"the last {window} trials brought no improvement: the best is still {was}"

    def _bests_so_far(self) -> list[tuple[float, int]]:
        for _, number, losses in self._ends[len(self._bests) :]:
            best = (math.inf, -1) if losses is None else (losses[0], number)
            self._bests.append(min(self._bests[-1], best) if self._bests else best)
        return self._bests

    def asks_for_gain(self, best: Trial | None) -> bool:
        """Return whether the sweep may be over because little is to be gained: its method has to be asked, which takes as long as a search."""
        share = self._rules.expected_improvement
        if share is None or best is None or best.values is None or not math.isfinite(best.values[0]):
            return False
        if len(self._ends) < _LEAST or len(self._first) < _FIRST:
            return False
        # What the last trials have gained beyond what the model foresees says that it is wrong.
        bests = self._bests_so_far()
        return bests[-_LATEST - 1][0] - bests[-1][0] < share * self._spread()

    def little_to_gain(self, best: Trial | None, expected: float | None) -> str:
        """Return that little is to be gained, in words, or an empty text. For sweeps where `asks_for_gain`, after `why`.

        Args:
            best: The best trial.
            expected: By how much the method expects the next one to improve on it (`Searcher.expected_gain`).
        """
        share, spread = self._rules.expected_improvement, self._spread()
        if share is None or expected is None or best is None or best.values is None or expected >= share * spread:
            return ""
        was = f"{self._config.problem.metric.name} {best.values[0]:.6g}"
        return f"the next trial is expected to improve {was} by {expected:.2g}, less than {100 * share:.3g} % of the spread {spread:.3g}"

    def _spread(self) -> float:
        """Return the interquartile range of the first results, or where that is 0 their range."""
        values = sorted(value for _, value in self._first)
        return values[(3 * len(values)) // 4] - values[len(values) // 4] or values[-1] - values[0]

    def _no_better_front(self, window: int) -> str:
        import numpy as np

        from whet.fronts import nondominated

        before = [losses for _, _, losses in self._ends[:-window] if losses is not None]
        if not before:
            return ""
        front_NM = np.array(before)
        front_NM = front_NM[nondominated(front_NM)]
        bars_NM = np.where(np.isfinite(front_NM), front_NM - self._rules.tolerance * np.abs(front_NM), front_NM)
        for _, _, losses in self._ends[-window:]:
            if losses is not None and (np.array(losses) < bars_NM).any(axis=1).all():
                return ""
        return f"the last {window} trials brought no improvement: the front of {len(front_NM)} trials is as it was"

    def _cost(self, history: History, now: float) -> str:
        for name, budget in self._rules.cost.items():
            spent = self._spent[name]
            if name == "seconds":
                spent += sum(
                    max(0.0, now - t.started)
                    for t in history.open.values()
                    if t.phase is Phase.RUNNING and t.started is not None
                )
            if spent >= budget:
                what = f"{budget:.6g} seconds" if name == "seconds" else f"{name}={budget:.6g}"
                return f"the trials have used up the budget of {what}"
        return ""

    def _wall_clock(self, history: History, now: float) -> str:
        limit = self._rules.wall_clock_s
        if limit is None:
            return ""
        first = min([self._started, *(t.started for t in history.open.values() if t.started is not None)])
        return f"{limit:.6g} seconds have passed since the first trial started" if now - first >= limit else ""
