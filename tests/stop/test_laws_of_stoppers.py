from typing import final

import pytest

from whet.stop.asha import ASHA
from whet.stop.base import Decision, Stopper, Verdict
from whet.stop.curve import Curve
from whet.stop.hyperband import Hyperband
from whet.stop.median import Median
from whet.stop.pasha import PASHA
from whet.stop.patience import Patience
from whet.stop.threshold import Threshold
from whet.stop.wilcoxon import Wilcoxon
from whet.testing.stopper_laws import StopperLaws
from whet.trial import Goal, Report, Trial


class TestMedian(StopperLaws):
    most_metrics = 3

    def make(self, problem):
        return Median(problem, startup_trials=1)


@pytest.mark.slow
class TestQuartileAtIntervals(StopperLaws):
    def make(self, problem):
        return Median(problem, startup_trials=0, warmup_steps=1, interval_steps=3, percentile=25)


class TestASHA(StopperLaws):
    most_metrics = 4

    def make(self, problem):
        return ASHA(problem, min_steps=1, eta=2)


@pytest.mark.slow
class TestASHAThatPauses(StopperLaws):
    most_metrics = 4

    def make(self, problem):
        return ASHA(problem, min_steps=1, eta=2, pause=True)


@pytest.mark.slow
class TestHyperbandMinIter(StopperLaws):
    most_metrics = 3

    def make(self, problem):
        return Hyperband(problem, min_iter=1, eta=2)


@pytest.mark.slow
class TestHyperbandStrict(StopperLaws):
    most_metrics = 2

    def make(self, problem):
        return Hyperband(problem, max_iter=9, s=2, strict=True)


@pytest.mark.slow
class TestHyperbandBrackets(StopperLaws):
    def make(self, problem):
        return Hyperband(problem, max_iter=8, s=3, eta=2, brackets=4)


class TestThreshold(StopperLaws):
    most_metrics = 3

    def make(self, problem):
        names = [metric.name for metric in problem.metrics]
        return Threshold(problem, lower=dict.fromkeys(names, -2), upper=dict.fromkeys(names, 2))


class TestPatience(StopperLaws):
    most_metrics = 3

    def make(self, problem):
        return Patience(problem, patience_steps=2, min_delta=1)


@pytest.mark.slow
class TestPatientASHA(StopperLaws):
    most_metrics = 2

    def make(self, problem):
        return Patience(problem, patience_steps=2, stopper={"type": "asha", "eta": 2})


@pytest.mark.slow
class TestWilcoxon(StopperLaws):
    def make(self, problem):
        return Wilcoxon(problem, p_threshold=0.5)


class TestCurve(StopperLaws):
    most_metrics = 3

    def make(self, problem):
        return Curve(problem, level=0.5, min_reports=3)


@pytest.mark.slow
class TestCurveWithAHorizon(StopperLaws):
    most_metrics = 3

    def make(self, problem):
        return Curve(problem, level=0.2, max_steps=20, startup_trials=2, warmup_steps=2)


class TestPASHA(StopperLaws):
    def make(self, problem):
        return PASHA(problem, eta=2)


@pytest.mark.slow
class TestPASHAWithEpsilon(StopperLaws):
    def make(self, problem):
        return PASHA(problem, eta=2, max_steps=9, epsilon=0.5)


@final
class _Broken(Stopper):
    """Breaks one law, by name."""

    def __init__(self, problem, law):
        super().__init__(problem)
        self.law = law
        self.asked = 0

    def decide(self, trial, peers):
        self.asked += 1
        match self.law:
            case "memory":
                return Decision(Verdict.CONTINUE, f"asked {self.asked} times")
            case "order":
                return Decision(Verdict.CONTINUE, f"the first peer is {peers[0].number if peers else None}")
            case "reason":
                return Decision(Verdict.CONTINUE, "")
            case _:
                low = trial.reports[-1].values[0] < 0
                return Decision(Verdict.STOP if low else Verdict.CONTINUE, "less than 0 is always bad")


@pytest.mark.parametrize(
    ("law", "test"),
    [
        ("memory", StopperLaws.test_same_arguments_give_the_same_decision),
        ("reason", StopperLaws.test_every_decision_has_a_reason),
        ("goal", StopperLaws.test_the_goal_mirrors_the_values),
    ],
)
def test_the_suite_finds_who_breaks_a_law(law, test):
    class Suite(StopperLaws):
        def make(self, problem):
            return _Broken(problem, law)

    trial = Trial(number=0, params={}, reports=(Report(step=0, values=(1.0,)),))
    with pytest.raises(AssertionError):  # the law itself, on one history: drawing and shrinking would take seconds
        test.hypothesis.inner_test(Suite(), history=(trial, ()), goal=Goal.MINIMIZE)


def test_the_suite_finds_who_heeds_the_order_of_peers():
    class Suite(StopperLaws):
        def make(self, problem):
            return _Broken(problem, "order")

    with pytest.raises(AssertionError):
        Suite().test_the_order_of_peers_is_irrelevant()
