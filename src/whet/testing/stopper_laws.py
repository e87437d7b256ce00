"""What every stopper must fulfil, as tests to inherit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from whet.errors import MissingDependency
from whet.space import Float, Space
from whet.stop.base import Decision, Stopper, Verdict
from whet.trial import Goal, Metric, Phase, Problem, Report, Suggestion, Trial

try:
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st
except ImportError as error:  # the only module of Whet that needs it
    raise MissingDependency.of("hypothesis", "dev", "a conformance suite") from error

__all__ = ["StopperLaws", "histories", "problem"]

_quick = settings(
    max_examples=40,
    deadline=None,  # a slow machine is no broken law
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],  # the suite is made to be inherited
)


def problem(*goals: Goal) -> Problem:
    """Return a problem with one parameter and a metric a goal: ``val_loss``, ``val_loss_1``, …"""
    metrics = [Metric(name=f"val_loss_{i}" if i else "val_loss", goal=goal) for i, goal in enumerate(goals)]
    return Problem(space=Space({"x": Float(0, 1)}), metrics=tuple(metrics))


@st.composite
def histories(draw: st.DrawFn, *, sane: bool = False, num_metrics: int = 1) -> tuple[Trial, tuple[Trial, ...]]:
    """Draw a running trial with a report, and its peers in any phase and order.

    Args:
        draw: Hypothesis's own.
        sane: Values are finite, every step from the first one on is reported once, and some values are equal.
        num_metrics: Values a report.
    """
    values: Any = st.integers(-4, 4).map(float)
    if not sane:
        values = values | st.floats(width=32)  # NaN and both infinities among them
    first = draw(st.sampled_from([0, 1]))

    def reports(least: int) -> tuple[Report, ...]:
        drawn = draw(st.lists(st.tuples(*[values] * num_metrics), min_size=least, max_size=12))
        if sane:
            steps = list(range(first, first + len(drawn)))
        else:  # gaps, and steps reported twice
            steps = sorted(draw(st.lists(st.integers(0, 40), min_size=len(drawn), max_size=len(drawn))))
        return tuple(Report(step=step, values=told) for step, told in zip(steps, drawn, strict=True))

    count = draw(st.integers(0, 10))
    numbers = draw(st.permutations(range(count + 1)))
    trial = Trial(number=numbers[0], params={"x": 0.5}, reports=reports(1))
    peers = []
    for number in numbers[1:]:
        phase, told = draw(st.sampled_from([*Phase, Phase.FINISHED, Phase.FINISHED])), reports(0)
        over = phase is Phase.FINISHED and bool(told)
        peers.append(
            Trial(number=number, params={"x": 0.5}, phase=phase, reports=told, values=told[-1].values if over else None,
                  stopped=over and draw(st.booleans()))
        )  # fmt: skip
    return trial, tuple(peers)


class StopperLaws(ABC):
    """The laws of a stopper: inherit, say how to make one, and let pytest collect the subclass.

    Example:
        >>> from whet.stop.median import Median
        >>> class TestMedian(StopperLaws):
        ...     def make(self, problem):
        ...         return Median(problem, startup_trials=1)
    """

    most_metrics: ClassVar[int] = 1
    """With how many metrics the stopper is tested: more than 1 for one that takes several."""

    @abstractmethod
    def make(self, problem: Problem) -> Stopper:
        """Return the stopper under test; knobs with which it soon stops trials test more."""

    @_quick
    @given(history=histories(), goal=st.sampled_from(Goal))
    def test_same_arguments_give_the_same_decision(self, history: tuple[Trial, tuple[Trial, ...]], goal: Goal) -> None:
        """A decision is a pure function of its arguments, and leaves them as they are."""
        trial, peers = history
        before, stopper = repr(history), self.make(problem(goal))
        first = stopper.decide(trial, peers)
        stopper.decide(replace(trial, reports=trial.reports[:1]), peers[:1])  # it remembers nothing
        assert stopper.decide(trial, peers) == first
        assert self.make(problem(goal)).decide(trial, peers) == first
        assert repr(history) == before, "the arguments were changed"

    @_quick
    @given(history=histories(), goal=st.sampled_from(Goal), data=st.data())
    def test_the_order_of_peers_is_irrelevant(
        self, history: tuple[Trial, tuple[Trial, ...]], goal: Goal, data: st.DataObject
    ) -> None:
        """Peers come in any order."""
        trial, peers = history
        stopper = self.make(problem(goal))
        shuffled = data.draw(st.permutations(peers))
        assert stopper.decide(trial, shuffled) == stopper.decide(trial, peers)

    @_quick
    @given(history=histories(), goal=st.sampled_from(Goal))
    def test_every_decision_has_a_reason(self, history: tuple[Trial, tuple[Trial, ...]], goal: Goal) -> None:
        """Whatever was reported, NaN included, and with no peers, there is a verdict with a reason."""
        trial, peers = history
        for among in (peers, ()):
            decision = self.make(problem(goal)).decide(trial, among)
            assert isinstance(decision, Decision)
            assert isinstance(decision.verdict, Verdict)
            _assert_sentence(decision.reason)

    @_quick
    @given(history=histories(sane=True), goal=st.sampled_from(Goal))
    def test_the_goal_mirrors_the_values(self, history: tuple[Trial, tuple[Trial, ...]], goal: Goal) -> None:
        """Maximising a value is minimising its opposite."""
        trial, peers = history
        other = Goal.MAXIMIZE if goal is Goal.MINIMIZE else Goal.MINIMIZE
        decision = self.make(problem(goal)).decide(trial, peers)
        mirrored = self.make(problem(other)).decide(_mirrored([trial])[0], _mirrored(peers))
        assert mirrored.verdict is decision.verdict

    @_quick
    @given(data=st.data())
    def test_the_laws_hold_for_several_metrics(self, data: st.DataObject) -> None:
        """A stopper for several metrics is pure, has a reason, and knows no order of peers and no direction there, too."""
        if self.most_metrics == 1:
            return
        num_metrics = data.draw(st.integers(2, self.most_metrics))
        sane = data.draw(st.booleans())
        trial, peers = data.draw(histories(sane=sane, num_metrics=num_metrics))
        goals = [data.draw(st.sampled_from(Goal)) for _ in range(num_metrics)]
        stopper, before = self.make(problem(*goals)), repr((trial, peers))
        decision = stopper.decide(trial, peers)
        assert isinstance(decision, Decision)
        _assert_sentence(decision.reason)
        assert stopper.decide(trial, data.draw(st.permutations(peers))) == decision
        assert repr((trial, peers)) == before, "the arguments were changed"
        if sane:
            others = [Goal.MAXIMIZE if goal is Goal.MINIMIZE else Goal.MINIMIZE for goal in goals]
            mirrored = self.make(problem(*others)).decide(_mirrored([trial])[0], _mirrored(peers))
            assert mirrored.verdict is decision.verdict

    @_quick
    @given(history=histories(), goal=st.sampled_from(Goal))
    def test_only_a_paused_peer_is_promoted(self, history: tuple[Trial, tuple[Trial, ...]], goal: Goal) -> None:
        """What is resumed was paused, and asking twice gives the same."""
        _, peers = history
        stopper = self.make(problem(goal))
        suggestion = stopper.promote(peers)
        assert stopper.promote(peers) == suggestion
        assert suggestion is None or isinstance(suggestion, Suggestion)
        if suggestion is not None:
            assert suggestion.parent in {peer.number for peer in peers if peer.phase is Phase.PAUSED}

    def test_a_trial_keeps_its_bracket(self) -> None:
        """The bracket follows from the number alone."""
        first, second = self.make(problem(Goal.MINIMIZE)), self.make(problem(Goal.MINIMIZE))
        brackets = [first.bracket(number) for number in range(100)]
        assert all(isinstance(b, int) and b >= 0 for b in brackets)
        assert [second.bracket(number) for number in reversed(range(100))] == brackets[::-1]


def _assert_sentence(reason: str) -> None:
    assert isinstance(reason, str)
    assert reason, "a decision without a reason"
    assert reason == reason.strip(), "a reason with white space around it"
    assert "\n" not in reason, "a reason of several lines"
    assert not reason.endswith("."), "a reason goes into a sentence: no full stop"


def _mirrored(trials: Sequence[Trial]) -> list[Trial]:
    return [
        replace(
            trial,
            values=None if trial.values is None else tuple(-v for v in trial.values),
            reports=tuple(replace(r, values=tuple(-v for v in r.values)) for r in trial.reports),
        )
        for trial in trials
    ]
