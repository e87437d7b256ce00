"""What earlier sweeps say about a new one, to a Gaussian process: a mean that is theirs, where they have ranked well.

Each earlier sweep has a process of its own, over its results made about normal, so that only their order and shape count. How much each
is heeded is decided by how well it ranks the new sweep's results, beside the new sweep's own process, which has to do without the result
that it ranks. The new sweep's process then learns what is left: y = c·Σ wₛ·μₛ(x) + f(x) + noise.

Shape suffixes: N points, M trials, F features, S bootstraps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from whet.search.gaussian import Features, Process, fitted
from whet.search.normal import normalised
from whet.search.overlap import overlap
from whet.search.parzen import Layout
from whet.trial import Earlier

__all__ = ["Expectation", "Experience", "ranking_weights"]

Array = np.ndarray[Any, np.dtype[Any]]

_BOOTSTRAPS = 64
_SURE = 0.95  # a sweep whose median loss is above this quantile of the own process's is left out
_TRUSTED = 2.0  # results that the scale 1 of the earlier sweeps counts


@final
class Expectation:
    """A weighted sum of processes: what is expected before the first result.

    Args:
        processes: One of each earlier sweep.
        weight_S: Theirs; zeros make it nothing.
    """

    def __init__(self, processes: Sequence[Process], weight_S: Array) -> None:
        self._parts = [(float(w), p) for w, p in zip(weight_S, processes, strict=True) if w > 0]

    def __bool__(self) -> bool:
        return bool(self._parts)

    def __call__(self, z_NF: Array) -> Array:
        """Return the expectation at points."""
        found = np.zeros(len(z_NF))
        for weight, process in self._parts:
            found += weight * process.mean(z_NF)
        return found

    def slope(self, z_F: Array) -> tuple[float, Array]:
        """Return the expectation at one point, and its gradient."""
        value, gradient_F = 0.0, np.zeros(len(z_F))
        for weight, process in self._parts:
            own, own_F = process.mean_slope(z_F)
            value += weight * own
            gradient_F += weight * own_F
        return value, gradient_F


@final
class Experience:
    """The processes of earlier sweeps in a space: an ensemble in the manner of RGPE, with its mean as a prior.

    A trial with a value that is not legal here is left out. A parameter that an earlier sweep had not got makes no difference to its process.

    Args:
        earlier: The sweeps.
        layout, features: Of the new space.

    Source: Feurer et al., Practical Transfer Learning for Bayesian Optimization, arXiv 1802.02219v4 (2022): ranking loss, bootstraps and
    the rule against dilution. There the ensemble's posterior is the mixture's; as a prior mean it can be corrected where it is wrong.
    """

    def __init__(self, earlier: Sequence[Earlier], layout: Layout, features: Features) -> None:
        self.processes: list[Process] = []
        for sweep in earlier:
            process = _process(sweep, layout, features)
            if process is not None:
                self.processes.append(process)

    def expectation(self, z_MF: Array, y_M: Array, own: Process) -> Expectation:
        """Return what is to be expected, given the new sweep's results and its own process.

        Args:
            z_MF: The new sweep's trials.
            y_M: Their results, about standard.
            own: The process of these.
        """
        if not self.processes:
            return Expectation([], np.zeros(0))
        mean_KM = np.stack([process.mean(z_MF) for process in self.processes])
        weight_K, share = ranking_weights(y_M, mean_KM, own.left_out())
        mean_M = weight_K @ mean_KM
        x, y = mean_M - mean_M.mean(), y_M - y_M.mean()
        # Near an optimum results differ less than all over the space: of the scale, only what the results confirm.
        scale = max(0.0, float(x @ y + _TRUSTED) / float(x @ x + _TRUSTED))
        return Expectation(self.processes, weight_K * (min(scale, 2.0) * share))


def _process(sweep: Earlier, layout: Layout, features: Features) -> Process | None:
    """Return the process of what an earlier sweep has found within the space; None where it is nothing."""
    known = [(overlap(layout.space, past.params), past.loss) for past in sweep.trials]
    pairs = [(params, np.nan if loss is None else loss) for params, loss in known if params is not None]
    y_M = np.array([loss for _, loss in pairs])
    if np.isfinite(y_M).sum() < 2:
        return None
    y_M = normalised(y_M)
    z_MF = features.of_rows(np.array([layout.row(params) for params, _ in pairs]))
    scale_F, noise = fitted(z_MF, y_M, features.group_F, features.H)
    had = set().union(*(params for params, _ in pairs))
    return Process(z_MF, y_M, np.where(features.of_names(had), scale_F, 0.0), noise)


def ranking_weights(y_M: Array, mean_KM: Array, own_M: Array) -> tuple[Array, float]:
    """Return the weights of K earlier sweeps, of sum 1 or all 0, and their share beside the new sweep's own process.

    The loss of a sweep is the number of pairs of trials that it ranks wrongly; in each of 64 bootstraps of the trials, the one with the
    least loss wins (a tie is an earlier sweep's, for more trials are behind it). Left out, lest many that know little outweigh one: a sweep
    that does no better than chance, or whose median loss is above the 95 % quantile of the own process's.

    Args:
        y_M: The new sweep's results.
        mean_KM: What the earlier sweeps expect there.
        own_M: What the new sweep's own process expects of each without it.
    """
    M = len(y_M)
    below_MM, tied_MM = y_M[:, None] < y_M[None, :], y_M[:, None] == y_M[None, :]
    generator = np.random.Generator(np.random.PCG64(M))  # the same for the same number of results
    count_SM = generator.multinomial(M, np.full(M, 1.0 / M), size=_BOOTSTRAPS).astype(float)

    def losses(guess_MM: Array) -> Array:
        wrong_MM = (guess_MM != below_MM) & ~tied_MM
        found: Array = np.einsum("sm,mn,sn->s", count_SM, wrong_MM.astype(float), count_SM, optimize=True)
        return found

    pairs_S = np.einsum("sm,mn,sn->s", count_SM, (~tied_MM).astype(float), count_SM, optimize=True)
    loss_KS = np.stack([losses(mean_M[:, None] < mean_M[None, :]) for mean_M in mean_KM])
    own_S = losses(own_M[:, None] < y_M[None, :])
    median_K = np.median(loss_KS, axis=1)
    useful_K = (median_K <= np.quantile(own_S, _SURE)) & (median_K < 0.5 * np.median(pairs_S))
    if M < 2 or not pairs_S.any():
        return np.full(len(mean_KM), 1.0 / len(mean_KM)), 1.0
    if not useful_K.any():
        return np.zeros(len(mean_KM)), 0.0
    loss_KS = np.where(useful_K[:, None], loss_KS, np.inf)
    least_S = loss_KS.min(axis=0)
    wins_KS = (loss_KS == least_S) & (least_S <= own_S)
    weight_K = (wins_KS / np.maximum(wins_KS.sum(axis=0), 1)).mean(axis=1)
    share = float(weight_K.sum())
    return (weight_K / share if share > 0 else weight_K), share
