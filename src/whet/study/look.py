"""Looking at a study: what mattered, figures, replays, and what a notebook shows of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from whet.analysis.best import best_trial
from whet.trial import Problem, Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from whet.store.base import Store, Sweep
    from whet.study.engine import Engine
    from whet.study.replay import Replay

__all__ = ["Look"]


class Look(ABC):
    """What a study can show of itself."""

    _store: Store
    _engine: Engine

    @property
    @abstractmethod
    def problem(self) -> Problem:
        """The space and the metrics."""

    @property
    @abstractmethod
    def trials(self) -> list[Trial]:
        """All trials, by number."""

    @property
    @abstractmethod
    def study_name(self) -> str:
        """The name."""

    def stored(self) -> tuple[Store, Sweep]:
        """Return the sweep as it is stored, and where."""
        return self._store, self._store.sweeps.get(self._engine.id)

    def replay(self) -> Replay:
        """Make all suggestions again from the stored history, and compare (see `whet.study.replay.replay`)."""
        from whet.study.replay import replay

        return replay(*self.stored())

    def lineage(self, number: int | None = None) -> list[Trial]:
        """Return the trials from a founder to trial `number` (default the best), each of which went on from the one before: a schedule.

        Raises:
            StudyError: none is complete yet.
            NotFound: there is no such trial.
        """
        trials = {trial.number: trial for trial in self.trials}
        trial = self._engine.trial(number) if number is not None else best_trial(self.problem, list(trials.values()))
        found = [trial]
        while (parent := found[-1].parent) is not None and parent in trials:
            found.append(trials[parent])
        return found[::-1]

    def importance(self, method: str = "ped-anova", *, metric: str | None = None) -> dict[str, float]:
        """Return how much each parameter matters, the greatest first.

        Args:
            method: ``"ped-anova"``: what sets the best tenth apart (`whet.analysis.importance`); ``"fanova"``: what share of the variance
                over the space it explains by itself (`whet.analysis.fanova`, which has pairs of parameters, too).
            metric: Whose values count; needed with several metrics.

        Raises:
            StudyError: there are too few trials.
            UnknownName: no such method or metric.
        """
        from whet.analysis.fanova import fanova
        from whet.analysis.importance import importance
        from whet.errors import UnknownName

        if method == "fanova":
            return fanova(self.problem, self.trials, metric=metric).main
        if method != "ped-anova":
            raise UnknownName.of("method of importance", method, ["ped-anova", "fanova"])
        return importance(self.problem, self.trials, metric=metric)

    def plot(self, figure: str = "history", *, metric: str | None = None, params: Sequence[str] = ()) -> Figure:
        """Return a figure of matplotlib's; a notebook shows it, `savefig` writes it.

        Args:
            figure: One of ``whet plot``'s: history, importance, parallel, response, contour, correlation, edf, pareto, hypervolume, regret,
                stopping, timeline.
            metric: Of several metrics this one; default the first.
            params: These parameters; default the most important ones.

        Raises:
            StudyError: there are too few trials.
            UnknownName: no such figure, metric or parameter.
            MissingDependency: matplotlib is not installed.
        """
        from whet.figures.base import chart
        from whet.figures.sheet import Sheet
        from whet.figures.style import new_figure, style

        made = chart(figure, Sheet(self.study_name, self.problem, self.trials, metric=metric, params=params))
        with style():
            drawn = new_figure(*made.size)
            made.draw(drawn)
            drawn.canvas.draw()  # what is laid out in this style stays so
        return drawn

    def _repr_html_(self) -> str:
        from whet.figures.words import number
        from whet.study.notebook import html_of, tally

        trials, engine = self.trials, self._engine  # which brings it up to date
        goals = ", ".join(f"{m.goal.value} {m.name}" for m in self.problem.metrics)
        facts = [
            ("state", engine.state.value),
            ("goal", goals),
            ("method", engine.config.method.name),
            ("trials", tally(trials)),
        ]
        if engine.best is not None and engine.best.values:
            facts.append(("best", f"{number(engine.best.values[0])} (trial {engine.best.number})"))
        return html_of(self.problem, trials, self.study_name, facts)
