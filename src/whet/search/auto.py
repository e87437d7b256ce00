"""The default search: the method that does best in a space of this kind with this many results, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import final

from whet.errors import ConfigError
from whet.plugins import knob_whole
from whet.search.base import Searcher
from whet.search.belief import Belief
from whet.search.bohb import BOHB
from whet.search.costs import check_cost
from whet.search.ehvi import EHVI
from whet.search.gp import GP
from whet.search.tpe import TPE
from whet.trial import Problem, Suggestion, Trial

__all__ = ["Auto"]

_MOST_DIMS = 40
_MOST_METRICS = 4
_ALONE = 12  # trials that are the Gaussian process's own
_EVERY = 8
_EVERY_STOPPED = 2  # the same with several metrics, once trials were stopped
_FIRST = 10  # results before TPE's densities are used


@final
class Auto(Searcher):
    """Takes a Gaussian process (`gp`) while results are few, and TPE (`tpe`) once there are many, or in spaces of many parameters.

    A Gaussian process makes more of each result, and each of its suggestions costs some 10 to 30 ms; TPE's cost under a millisecond
    however many results there are. Every eighth trial is TPE's even so: on plateaus and where there are many optima it sees what a smooth
    model does not. Both are told everything, so that a change costs nothing. Every suggestion says whose it is, and why.

    With several metrics the two are their counterparts `ehvi` and `motpe`; with more than four it is `motpe` alone, for the volumes that
    `ehvi` works with become dear. Once trials were stopped early the place of `motpe` is `bohb`'s, and every second trial is: what `ehvi`
    thinks promising may be stopped time and again, and `bohb` learns from that.

    Args:
        num_startup: Results before a model is used, >= 2; None: the methods' own defaults, for `bohb` that of `motpe`.
        switch_at: Results from which on TPE suggests, >= 1.
        prior: Good values that the user believes in, by name of the parameter, as in `gp`: ``{"lr": 0.01}``.

        cost, budget: What trials cost, and may cost in all, as in `gp`, whose suggestions they change; one metric only.

    Raises:
        ConfigError: a knob outside its range, or costs with several metrics.

    Example:
        >>> from whet.space import Float, Space
        >>> auto = Auto(Problem(space=Space({"x": Float(0, 1)})), seed=0)
        >>> auto.ask(1)[0].note
        'gp: a Gaussian process makes the most of few results (0 so far)'
    """

    suits = "Where in doubt: makes the most of few trials, and stays quick with many."

    def __init__(self, problem: Problem, *, seed: int, num_startup: int | None = None, switch_at: int = 500,
                 prior: Mapping[str, object] | None = None, cost: str | None = None, budget: float | None = None) -> None:  # fmt: skip
        super().__init__(problem, seed=seed)
        self._switch_at = knob_whole("bayes", "switch_at", switch_at, 1)
        # Checked here, so that errors name the method that was asked for.
        if num_startup is not None:
            num_startup = knob_whole("bayes", "num_startup", num_startup, 2)
        Belief("bayes", problem.space, prior)
        self._several = len(problem.metrics) > 1
        self._unweighed = ""  # said of TPE's suggestions
        if cost is not None or budget is not None:
            check_cost("bayes", cost, budget)
            if self._several:
                why = f"it weighs improvements of one metric only, and there are {len(problem.metrics)}"
                raise ConfigError(f"bayes has cost={cost!r}, but {why}", "leave cost out, or name one metric")
            self._unweighed = "; nothing is known of costs here"
        self._are_stopped = False
        if self._several:  # where nothing is stopped this is `motpe`
            self._tpe: Searcher = BOHB(problem, seed=seed, prior=prior, num_results=num_startup or _FIRST)
        else:
            self._tpe = TPE(problem, seed=seed, prior=prior, num_startup=num_startup or _FIRST)
        self._gp: Searcher | None = None
        if len(problem.space) <= _MOST_DIMS and len(problem.metrics) <= _MOST_METRICS:
            if self._several:
                self._gp = EHVI(problem, seed=seed, num_startup=num_startup, prior=prior)
            else:
                self._gp = GP(problem, seed=seed, num_startup=num_startup, prior=prior, cost=cost, budget=budget)

    def tell(self, finished: Sequence[Trial], pending: Sequence[Trial]) -> None:
        super().tell(finished, pending)
        self._are_stopped = self._are_stopped or any(trial.stopped for trial in finished)
        self._tpe.tell(finished, pending)
        if self._gp is not None:
            self._gp.tell(finished, pending)

    @property
    def foresees(self) -> bool:
        return self._gp is not None and self._gp.foresees

    def expected_gain(self) -> float | None:
        return None if self._gp is None else self._gp.expected_gain()

    def ask(self, n: int) -> list[Suggestion]:
        if not self.problem.space:
            return self._tpe.ask(n)
        found: list[Suggestion] = []
        for number in range(self.next_number, self.next_number + n):
            searcher, why = self._chosen(number)
            handed = [Trial(number=self.next_number + i, params=s.params) for i, s in enumerate(found)]
            searcher.pending = [*self.pending, *handed]
            made = searcher.ask(1)[0]
            found.append(replace(made, note=f"{why}; {made.note}" if made.note else why))
            searcher.pending = self.pending
        return found

    def _chosen(self, number: int) -> tuple[Searcher, str]:
        tpe, gp = ("bohb" if self._are_stopped else "motpe", "ehvi") if self._several else ("tpe", "gp")
        process = "a Gaussian process for each metric" if self._several else "a Gaussian process"
        if self._gp is None and len(self.problem.space) > _MOST_DIMS:
            why = f"{len(self.problem.space)} parameters are many for a Gaussian process"
            return self._tpe, f"{tpe}: {why}{self._unweighed}"
        if self._gp is None:
            return self._tpe, f"{tpe}: {len(self.problem.metrics)} metrics are many for expected hypervolume"
        if self.num_told >= self._switch_at:
            why = f"after {self._switch_at} results it costs less than {process} and knows as much"
            return self._tpe, f"{tpe}: {why}{self._unweighed}"
        if self._several and self._are_stopped and number % _EVERY_STOPPED == 0:
            return self._tpe, f"{tpe}: every second trial, for it sees which trials are stopped early"
        if number >= _ALONE and number % _EVERY == 0:
            why = f"every {_EVERY}th trial, lest a Gaussian process that is wrong go unnoticed"
            return self._tpe, f"{tpe}: {why}{self._unweighed}"
        return self._gp, f"{gp}: {process} makes the most of few results ({self.num_told} so far)"
