"""A user's belief about good values, which results outweigh in time: the knob `prior` of the methods that have a model.

Each believed value makes a density over its parameter: a normal around the value's quantile, truncated to [0, 1] (a choice: the option
itself), mixed with the parameter's own distribution, so that nothing is ruled out. Parameters are independent.

Shape suffixes: N points, D numeric and B unordered parameters with C options in all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, final

from whet.errors import ConfigError, SpaceError, UnknownName
from whet.parameters import Choice, Parameter
from whet.search.startup import hypercube

if TYPE_CHECKING:
    import numpy as np

    from whet.search.parzen import Candidates, Layout, Mixture
    from whet.space import Space

    Array = np.ndarray[Any, Any]

__all__ = ["Belief", "Mixed"]

_CONFIDENCES = {"low": (0.5, 0.25), "medium": (0.75, 0.15), "high": (0.9, 0.08)}  # the density's share, and its width
_USUAL = "medium"
_WORTH = 10.0  # results beside which a belief counts once, β
_ASIDE = 3


@dataclass(frozen=True, slots=True)
class _One:
    """The belief about one parameter."""

    value: object
    unit: float
    share: float
    width: float
    is_option: bool


@final
class Belief:
    """Where good values are believed to be.

    Args:
        owner: The method's name, for errors.
        space: Of the parameters.
        given: A value by name, or ``{"value": …, "confidence": "low" | "medium" | "high"}``. None: no belief.

    Raises:
        UnknownName: a name that the space has not got.
        ConfigError: a value that is not legal there, or what says nothing.

    Example:
        >>> from whet.space import Float, Space
        >>> belief = Belief("tpe", Space({"lr": Float(1e-5, 1.0, log=True)}), {"lr": 0.01})
        >>> [round(u, 3) for u in belief.startup(seed=0, count=10, number=0)]
        [0.6]

    Source: Hvarfner et al., πBO: Augmenting Acquisition Functions with User Beliefs for Bayesian Optimization, ICLR 2022; there the
    power is β/n, whose square forgets sooner.
    """

    def __init__(self, owner: str, space: Space, given: Mapping[str, object] | None) -> None:
        if given is not None and not isinstance(given, Mapping):
            raise ConfigError(f"{owner} has prior={given!r}, not a mapping", "give good values by name: {lr: 0.01}")
        self._space = space
        self._ones = {name: _one(owner, space, name, said) for name, said in (given or {}).items()}
        self._compiled: _Compiled | None = None

    def __bool__(self) -> bool:
        return bool(self._ones)

    @staticmethod
    def weight(num_results: int) -> float:
        """Return the power that the density is raised to beside `num_results` results: (β/n)²."""
        return (_WORTH / max(num_results, 1)) ** 2

    def startup(self, seed: int, count: int, number: int) -> list[float]:
        """Return point `number` of the first `count` in the unit cube: the believed values, the middle, then draws.

        Every third draw is not from the belief, so that a model learns what lies elsewhere.
        """
        if not self:
            return hypercube(seed, count, self._space, number)
        if number % _ASIDE == 1:  # the hypercube's own first point, the middle, is trial 1
            return hypercube(seed, count, self._space, number if number > 1 else 0)
        return self._drawn(number, hypercube(seed, count, self._space, number))

    def _drawn(self, number: int, unit_P: Sequence[float]) -> list[float]:
        """Return the point drawn from the belief by the uniform variates `unit_P`; as trial 0 the believed values."""
        found = list(unit_P)
        for place, name in enumerate(self._space):
            one = self._ones.get(name)
            if one is None:
                continue
            u = found[place]
            if number == 0 or (one.is_option and u < one.share):
                found[place] = one.unit
            elif u < one.share:
                normal = NormalDist(one.unit, one.width)
                low, high = normal.cdf(0.0), normal.cdf(1.0)
                quantile = low + (u / one.share) * (high - low)
                found[place] = min(max(normal.inv_cdf(min(max(quantile, 1e-12), 1 - 1e-12)), 0.0), 1.0)
            else:
                found[place] = (u - one.share) / (1 - one.share)
        return found

    def mixed_into(self, good: Mixture, layout: Layout, num_results: int) -> Mixed:
        """Return the density of good trials with the belief in it, beside `num_results` results."""
        return Mixed(good, self.on(layout), self.weight(num_results))

    def on(self, layout: Layout) -> _Compiled:
        """Return the density over the points of `layout`."""
        if self._compiled is None or self._compiled.layout is not layout:
            self._compiled = _Compiled(layout, self._ones)
        return self._compiled


@final
class _Compiled:
    """The density in arrays."""

    def __init__(self, layout: Layout, ones: Mapping[str, _One]) -> None:
        import numpy as np
        from scipy.special import ndtr

        self.layout = layout
        self._share_D, self._unit_D, self._width_D = np.zeros(layout.D), np.full(layout.D, 0.5), np.ones(layout.D)
        self._share_B = np.zeros(len(layout.place_B))
        self._option_B = np.zeros(len(layout.place_B), dtype=np.intp)
        self._log_C = np.zeros(layout.C)
        for name, parameter, column, count in layout.spec:
            one = ones.get(name)
            if one is None:
                continue
            if not count:
                self._share_D[column], self._unit_D[column], self._width_D[column] = one.share, one.unit, one.width
                continue
            assert isinstance(parameter, Choice)
            b, option = layout.start_B.index(column), parameter.index(one.value)
            self._share_B[b], self._option_B[b] = one.share, option
            held = np.full(count, 1.0 - one.share)
            held[option] += one.share / layout.prior_C[column + option]
            self._log_C[column : column + count] = np.log(held)
        self._low_D = ndtr(-self._unit_D / self._width_D)
        self._mass_D = ndtr((1.0 - self._unit_D) / self._width_D) - self._low_D

    def _parts(self, x_ND: Array) -> tuple[Array, Array]:
        """Return the density of each number, and that of its normal alone."""
        import numpy as np

        z = (x_ND - self._unit_D) / self._width_D
        normal = np.exp(-0.5 * z * z) * (self._share_D / (np.sqrt(2 * np.pi) * self._width_D * self._mass_D))
        return 1.0 - self._share_D + normal, normal

    def log_density(self, x_ND: Array, m_ND: Array, h_NC: Array) -> Array:
        """Return the log-density of N points, relative to the parameters' own distributions.

        Args:
            x_ND: Quantiles of numbers.
            m_ND: 1 where they are active.
            h_NC: The indicator of active options.
        """
        import numpy as np

        found: Array = (m_ND * np.log(self._parts(x_ND)[0])).sum(axis=1) + h_NC @ self._log_C
        return found

    def slope(self, x_D: Array, m_D: Array) -> Array:
        """Return the derivatives of `log_density` of one point by its numbers."""
        whole, normal = self._parts(x_D)
        found: Array = -m_D * normal / whole * (x_D - self._unit_D) / self._width_D**2
        return found

    def draw(self, uniform_NU: Array) -> Candidates:
        """Return N points drawn by the uniform variates `uniform_NU`, U = D + B."""
        import numpy as np
        from scipy.special import ndtri

        layout, D = self.layout, self.layout.D
        u_ND, u_NB = uniform_NU[:, :D], uniform_NU[:, D:]
        inside = self._low_D + u_ND / np.where(self._share_D > 0, self._share_D, 1.0) * self._mass_D
        near = self._unit_D + self._width_D * ndtri(np.clip(inside, 1e-12, 1 - 1e-12))
        x_ND = np.where(u_ND < self._share_D, near, (u_ND - self._share_D) / (1.0 - self._share_D)).clip(0.0, 1.0)
        for column, (edges, middles) in layout.cells.items():
            x_ND[:, column] = middles[edges.searchsorted(x_ND[:, column])]
        index_NB = np.empty(u_NB.shape, dtype=np.intp)
        for b, cumulative in enumerate(layout.cumulative_B):
            fresh = (u_NB[:, b] - self._share_B[b]) / (1.0 - self._share_B[b])
            other = np.minimum(cumulative.searchsorted(fresh, side="right"), len(cumulative) - 1)
            index_NB[:, b] = np.where(u_NB[:, b] < self._share_B[b], self._option_B[b], other)
        return layout.candidates(x_ND, index_NB)


@final
class Mixed:
    """((1 − p) · l + p · π) · πʷ with p = w/(1 + w): a mixture of kernels and a belief of weight w. Its methods are those of `Mixture`.

    The sum is what is drawn from; the power makes the belief count beside kernels that are much narrower than it.
    """

    def __init__(self, good: Mixture, belief: _Compiled, weight: float) -> None:
        self._good, self._belief, self._weight, self._portion = good, belief, weight, weight / (1.0 + weight)

    def log_density(self, features_NF: Array) -> Array:
        """Return the log-density of N points, relative to the parameters' own distributions and up to a constant."""
        import numpy as np

        D = self._belief.layout.D
        x_ND, m_ND, h_NC = features_NF[:, D : 2 * D], features_NF[:, 2 * D : 3 * D], features_NF[:, 3 * D :]
        believed_N = self._belief.log_density(x_ND, m_ND, h_NC)
        good_N = np.log1p(-self._portion) + self._good.log_density(features_NF)
        found: Array = np.logaddexp(good_N, np.log(self._portion) + believed_N) + self._weight * believed_N
        return found

    def draw(self, uniform_NU: Array) -> Candidates:
        """Return N points drawn with the uniform variates `uniform_NU`, U = `Layout.num_draws`."""
        import numpy as np

        from whet.search.parzen import Candidates

        layout = self._belief.layout
        first = uniform_NU[:, 0]
        believed = self._belief.draw(uniform_NU[:, 1 : 1 + layout.D + len(layout.place_B)])
        rest = np.maximum((first - self._portion) / (1.0 - self._portion), 0.0)
        good = self._good.draw(np.concatenate([rest[:, None], uniform_NU[:, 1:]], axis=1))
        takes = (first < self._portion)[:, None]
        return Candidates(
            unit_NP=np.where(takes, believed.unit_NP, good.unit_NP),
            features_NF=np.where(takes, believed.features_NF, good.features_NF),
        )


def _one(owner: str, space: Space, name: str, said: object) -> _One:
    if name not in space:
        error = UnknownName.of("parameter", name, space)
        fix = error.fix if len(space) else "declare the space: a prior is about parameters that are known beforehand"
        raise ConfigError(f"{owner} has a prior for {name!r}, which is no parameter of the space", fix)
    parameter: Parameter = space[name]
    value, confidence = said, _USUAL
    if isinstance(said, Mapping) and "value" in said and said.keys() <= {"value", "confidence"}:
        value, confidence = said["value"], said.get("confidence", _USUAL)
    if not isinstance(confidence, str) or confidence not in _CONFIDENCES:
        raise ConfigError(
            f"{owner} has a prior for {name} with confidence={confidence!r}", f"give one of {', '.join(_CONFIDENCES)}"
        )
    try:
        value = parameter.clean(name, value)
    except SpaceError as error:
        raise ConfigError(f"{owner} has a prior that is not legal: {error.problem}", error.fix) from None
    share, width = _CONFIDENCES[confidence]
    is_option = isinstance(parameter, Choice) and not parameter.ordered
    return _One(value, parameter.encode(value), share, width, is_option)
