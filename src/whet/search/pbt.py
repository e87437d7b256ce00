"""Population-based training: hyperparameters that change while a population trains."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import final

from whet.errors import ConfigError
from whet.plugins import knob_number
from whet.search.perturb import perturbed
from whet.search.population import Population
from whet.trial import Problem, Trial

__all__ = ["PBT"]


@final
class PBT(Population):
    """Trains a population in stretches; after each, the worst go on from checkpoints of the best, with a configuration near theirs.

    A trial is one stretch of training: it begins with its parent's checkpoint (`load_checkpoint`), trains for as long as the training code says,
    saves one, and its result is the metric at its end. So the result of the search is a schedule, the configurations from a founder to
    the best trial, and its weights.

    After a stretch the worst `truncation` of the population are replaced by copies of the best `truncation` (exploit), whose parameters
    move (explore): numbers by a factor of `factor` or 2 − `factor`, ordered choices to a neighbour, and each with probability `resample` to a
    draw from its distribution. The others go on with what they have. See `Population` for what that means with trials that run at once.

    Args:
        population: Members, >= 2.
        truncation: Share that is replaced, in [0, 0.5].
        resample: Probability that a parameter is drawn anew, in [0, 1].
        factor: In (1, 2).
        quorum: Share of a generation that must be over before the next one begins, in [0, 1].
        generations: It ends after so many stretches; default: never by itself (a run cap of population × stretches does the same).

    Raises:
        StudyError: the problem has several metrics.
        ConfigError: a knob outside its range.

    Example:
        >>> from whet.space import Float, Space
        >>> from whet.trial import Phase
        >>> pbt = PBT(Problem(space=Space({"lr": Float(1e-4, 1.0, log=True)})), seed=1, population=2, truncation=0.5)
        >>> for number, loss in enumerate([3.0, 1.0]):
        ...     params = pbt.ask(1)[0].params
        ...     pbt.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(loss,))], [])
        >>> [suggestion.parent for suggestion in pbt.ask(2)]  # both go on from the better one
        [1, 1]

    Source: Jaderberg et al., Population Based Training of Neural Networks, 2017, arXiv 1711.09846 (truncation selection, perturb and resample).
    """

    suits = "Schedules, found while a population trains: needs checkpoints."

    def __init__(self, problem: Problem, *, seed: int, population: int = 10, truncation: float = 0.2, resample: float = 0.25,
                 factor: float = 1.2, quorum: float = 0.5, generations: int | None = None) -> None:  # fmt: skip
        super().__init__(
            problem, seed=seed, name="pbt", population=population, truncation=truncation, quorum=quorum, generations=generations
        )  # fmt: skip
        self._resample = knob_number("pbt", "resample", resample, 0, 1)
        self._factor = knob_number("pbt", "factor", factor, 1, 2)
        if self._factor in (1, 2):
            raise ConfigError(f"pbt has factor={factor!r}", "give a factor between 1 and 2, such as 1.2")

    def _explored(self, parent: Trial, level: int, levels: dict[int, int], pending: Sequence[Trial],
                  rng: random.Random) -> dict[str, object]:  # fmt: skip
        return perturbed(self.problem.space, parent.params, rng, factor=self._factor, resample=self._resample)
