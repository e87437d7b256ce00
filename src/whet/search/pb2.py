"""PB2: population-based training that explores by a model of what has helped lately."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from whet.search.one_thread import in_one_thread
from whet.search.perturb import perturbed
from whet.search.population import Population
from whet.trial import Problem, Trial

if TYPE_CHECKING:
    import numpy as np

    from whet.search.gaussian import Features
    from whet.search.parzen import Layout

    Array = np.ndarray[Any, Any]

__all__ = ["PB2"]

_LEAST = 4  # improvements before the model is asked
_MOST = 100  # of them in the model, the latest ones
_DRAWS, _NEAR, _GOOD, _WIDTH = 300, 20, 5, 0.08
_LENGTHS = (0.15, 0.3, 0.6, 1.2)  # length scales in one dimension; in D, √D times that
_FORGETS = (0.01, 0.1, 0.3)
_NOISES = (0.01, 0.1, 0.5)


@final
class PB2(Population):
    """As `PBT`, but a configuration that is explored is where a model expects the greatest improvement of the next stretch.

    The model is a Gaussian process over configuration and time: y is the gain of a stretch over the one before it, the kernel
    exp(−|x − x′|² / 2ℓ²) · (1 − ε)^(|t − t′| / 2) with t the generation, so that what helped long ago counts less. ℓ, ε and the noise are
    those of a small grid with the greatest marginal likelihood. The next configuration maximises μ + √β σ, with β = 0.2 + max(0, log 0.4 N) of N
    gains, as in the authors' code; those that are pending count as if they brought what is expected of them. All parameters are modelled, choices
    too; before there are 4 gains it explores as PBT does.

    It is made for small populations (4 to 8), in which random perturbations find little.

    Args:
        population, truncation, quorum, generations: As in `PBT`.

    Raises:
        StudyError: the problem has several metrics.
        ConfigError: a knob outside its range.

    Source: Parker-Holder, Nguyen & Roberts, Provably Efficient Online Hyperparameter Optimization with Population-Based Bandits, NeurIPS 2020.
    """

    suits = "As pbt, for a small population: needs checkpoints."

    def __init__(self, problem: Problem, *, seed: int, population: int = 4, truncation: float = 0.25, quorum: float = 0.5,
                 generations: int | None = None) -> None:  # fmt: skip
        super().__init__(
            problem, seed=seed, name="pb2", population=population, truncation=truncation, quorum=quorum, generations=generations
        )  # fmt: skip
        self._tools: tuple[Layout, Features] | None = None

    def _explored(self, parent: Trial, level: int, levels: dict[int, int], pending: Sequence[Trial],
                  rng: random.Random) -> dict[str, object]:  # fmt: skip
        gains = [
            (levels[number], number, before - loss)
            for number, loss in self._losses.items()
            if (before := self._losses.get(self._trials[number].parent, math.nan)) == before  # type: ignore[arg-type]
        ]
        gains = [gain for gain in sorted(gains) if math.isfinite(gain[2])][-_MOST:]
        if len(gains) < _LEAST or not self.problem.space:
            return perturbed(self.problem.space, parent.params, rng)
        return self._best(gains, level + 1, [t for t in pending if levels[t.number] == level + 1], parent, rng)

    @in_one_thread
    def _best(self, gains: Sequence[tuple[int, int, float]], now: int, pending: Sequence[Trial], parent: Trial,
              rng: random.Random) -> dict[str, object]:  # fmt: skip
        import numpy as np

        space = self.problem.space
        x = self._features([self._trials[number].params for _, number, _ in gains])
        t = np.array([level for level, _, _ in gains], dtype=float)
        y = np.array([gain for _, _, gain in gains])
        y /= np.abs(y).max() or 1.0  # so that no difference overflows, nor a square vanishes
        low, high = np.quantile(y, [0.05, 0.95])
        y = np.clip(y, low - (high - low), high + (high - low))  # a training that explodes must not drown all else
        y = (y - y.mean()) / (y.std() or 1.0)
        model = _Model.fitted(x, t, y, len(space))
        if pending:
            more = self._features([trial.params for trial in pending])
            model = model.believing(more, now)
        bonus = math.sqrt(0.2 + max(0.0, math.log(0.4 * len(gains))))

        def ranked(points: Sequence[Sequence[float]]) -> list[tuple[float, int, Sequence[float], dict[str, object]]]:
            legal = [(point, params) for point in points if not space.broken(params := space.decode(point))]
            if not legal:
                return []
            mean, deviation = model(self._features([params for _, params in legal]), now)
            scores = (mean + bonus * deviation).tolist()
            return sorted((-s, i, *one) for i, (s, one) in enumerate(zip(scores, legal, strict=True)))

        good = ranked([[rng.random() for _ in space] for _ in range(_DRAWS)])[:_GOOD]
        near = [
            [min(max(u + rng.gauss(0.0, _WIDTH), 0.0), 1.0) for u in point]
            for _, _, point, _ in good
            for _ in range(_NEAR)
        ]
        found = ranked([*(point for _, _, point, _ in good), *near])
        return found[0][3] if found else dict(parent.params)

    def _features(self, params: Sequence[Mapping[str, object]]) -> Array:
        import numpy as np

        from whet.search.gaussian import Features
        from whet.search.parzen import Layout

        if self._tools is None:
            layout = Layout(self.problem.space)
            self._tools = layout, Features(layout)
        layout, features = self._tools
        return features.of_rows(np.array([layout.row(one) for one in params]))


@final
class _Model:
    """The posterior of the gain over configurations x [N, F] and generations t [N]."""

    def __init__(self, x: Array, t: Array, y: Array, length: float, forget: float, noise: float) -> None:
        import numpy as np
        from scipy.linalg import cho_solve, cholesky

        self._x, self._t, self._y = x, t, y
        self._knobs = length, forget, noise
        gram = self._kernel(x, t)
        gram[np.diag_indices_from(gram)] += noise + 1e-8
        self._root = cholesky(gram, lower=True)
        self._alpha = cho_solve((self._root, True), y)
        self._scale = float(y @ self._alpha + 1.0) / (len(y) + 1.0)  # of the variance, known in closed form

    @classmethod
    def fitted(cls, x: Array, t: Array, y: Array, num_dims: int) -> _Model:
        """Return the model of the grid with the greatest marginal likelihood, the first of equals."""
        root = math.sqrt(num_dims)
        grid = [(length * root, forget, noise) for length in _LENGTHS for forget in _FORGETS for noise in _NOISES]
        return max((cls(x, t, y, *knobs) for knobs in grid), key=lambda model: model.evidence)

    @property
    def evidence(self) -> float:
        """The log marginal likelihood, but for a constant."""
        import numpy as np

        return -float(np.log(np.diagonal(self._root)).sum()) - 0.5 * len(self._y) * math.log(self._scale)

    def believing(self, x: Array, t: float) -> _Model:
        """Return the posterior if these points, too, brought what is expected of them."""
        import numpy as np

        mean, _ = self(x, t)
        return _Model(
            np.concatenate([self._x, x]), np.append(self._t, [t] * len(x)), np.append(self._y, mean), *self._knobs
        )

    def _kernel(self, x: Array, t: Array) -> Array:
        import numpy as np

        length, forget, _ = self._knobs
        apart = ((x[:, None, :] - self._x[None, :, :]) ** 2).sum(-1)
        found: Array = np.exp(-0.5 * apart / length**2) * (1.0 - forget) ** (
            0.5 * np.abs(t[:, None] - self._t[None, :])
        )
        return found

    def __call__(self, x: Array, t: float) -> tuple[Array, Array]:
        """Return mean and deviation of the gain at `x` in generation `t`."""
        import numpy as np
        from scipy.linalg import solve_triangular

        cross = self._kernel(x, np.full(len(x), float(t)))
        v = solve_triangular(self._root, cross.T, lower=True)
        variance = np.maximum(1.0 - np.einsum("mn,mn->n", v, v), 1e-12) * self._scale
        return cross @ self._alpha, np.sqrt(variance)
