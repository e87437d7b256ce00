"""What every stopper is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from whet.trial import Problem, Suggestion, Trial

__all__ = ["Decision", "Stopper", "Verdict"]


class Verdict(Enum):
    """What happens to a trial."""

    CONTINUE = "continue"
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and its reason, a sentence for the user ("loss 0.52 at step 9 is not among the best 3 of 9")."""

    verdict: Verdict
    reason: str


class Stopper(ABC):
    """Decides from reports whether a trial goes on, pauses or stops.

    The laws (`whet.testing.stopper_laws` checks them): a pure function of its arguments, and every decision has a reason.

    Args:
        problem: Space and metrics; reports come in the order of its metrics.
    """

    pauses: bool = False
    """Whether a verdict may be PAUSE."""

    suits: ClassVar[str] = ""
    """When to take it, in a sentence, as a searcher has it."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def bracket(self, number: int) -> int:
        """Return the bracket of trial `number` (0 for methods without brackets)."""
        return 0

    @abstractmethod
    def decide(self, trial: Trial, peers: Sequence[Trial]) -> Decision:
        """Decide about `trial` after its last report.

        Args:
            trial: Running, with at least one report.
            peers: All other trials of the sweep, in any phase and order, with their reports.
        """

    def promote(self, peers: Sequence[Trial], *, closing: bool = False) -> Suggestion | None:
        """Return a paused trial to resume (its number as `parent`), or None.

        Args:
            peers: All trials of the sweep.
            closing: None of them runs, and no new one will start, in this sweep or only in the call that asks: what does not go on now may never.
        """
        return None
