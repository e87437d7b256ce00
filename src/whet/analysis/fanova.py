"""How much of the metric's variance each parameter and each pair of them explains (fANOVA), by a random forest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

from whet.analysis.surface import Surface, surface
from whet.trial import Problem, Trial

__all__ = ["Fanova", "fanova", "shares"]

_PAIRED = 6  # parameters, the most important ones, whose pairs are looked at


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Fanova:
    """Shares of the variance of what the forest predicts over the whole space.

    Args:
        main: By parameter, the greatest first: what it explains by itself. They sum to at most 1, but for errors of estimation.
        pairs: By two parameters, the greatest first, for the six most important ones: what the two explain together beyond each alone.
        explained: How much of the variance of trials that a tree has not seen the forest predicts, at most 1; 0 and less: the shares mean
            nothing. None where that could not be told.
        num_trials: How many trials it rests upon.
    """

    main: dict[str, float]
    pairs: dict[tuple[str, str], float]
    explained: float | None
    num_trials: int

    @property
    def rest(self) -> float:
        """What neither single parameters nor the pairs shown explain: interactions of more of them."""
        return max(0.0, 1.0 - math.fsum(self.main.values()) - math.fsum(self.pairs.values()))


def fanova(problem: Problem, trials: Iterable[Trial], *, metric: str | None = None, num_trees: int = 64) -> Fanova:
    """Return what shares of the variance of the metric over the space the parameters explain.

    A random forest f is fitted to the complete trials. Over the parameters' own distributions (log-uniform, say), the marginal of
    parameter j is f_j(v) = E[f | x_j = v], and of a pair f_jk(v, w). With V = Var f the shares are::

        S_j = Var f_j / V          S_jk = Var f_jk / V - S_j - S_k

    f is constant on the boxes of its leaves, so the marginals are sums over leaves, and their variances exact; V comes from 4,096 fixed
    draws. A conditional parameter is judged where it is active, S_j = P(active) · Var(E[f | x_j, active]) / V: that it is there at all is
    credited to the parameter that decides it. In contrast to PED-ANOVA (`whet.analysis.importance`) this is about the
    whole space, bad regions included, and about complete trials only.

    Where the metric never varies, all shares are 0. A result that lies beyond the middle half of all, on the worse side, by more than five
    times its width counts as if it lay there, so that a few diverged runs are not all the variance there is; infinite ones too.

    Args:
        problem: Space and metrics.
        trials: In any phase and order; the complete ones count, however they were chosen.
        metric: Whose values; needed with several metrics.
        num_trees: Of the forest, at least 1.

    Raises:
        StudyError: there are fewer than eight different complete trials, or several metrics and none is named.
        UnknownName: no such metric.

    Source: Hutter, Hoos, Leyton-Brown, An Efficient Approach for Assessing Hyperparameter Importance, ICML 2014.
    """
    return shares(surface(problem, trials, metric=metric, num_trees=num_trees))


def shares(fitted: Surface) -> Fanova:
    """Return the shares of a forest that is fitted already (see `fanova`)."""
    zeros = dict.fromkeys(fitted.cells.space, 0.0)
    if fitted.forest is None:
        return Fanova(main=zeros, pairs={}, explained=None, num_trials=fitted.num_trials)
    names, total = fitted.cells.names, fitted.variance
    if total <= 0:
        return Fanova(main=zeros, pairs={}, explained=fitted.forest.explained, num_trials=fitted.num_trials)
    main = {**zeros, **{name: fitted.spread(name) / total for name in names}}
    main = dict(sorted(main.items(), key=lambda item: -item[1]))
    leading = [name for name in main if name in names][:_PAIRED]
    pairs = {}
    for a, b in itertools.combinations(leading, 2):
        both = fitted.pair_spread(a, b)
        if both is not None:
            pairs[a, b] = max(both / total, 0.0)
    pairs = dict(sorted(pairs.items(), key=lambda item: -item[1]))
    return Fanova(main=main, pairs=pairs, explained=fitted.forest.explained, num_trials=fitted.num_trials)
