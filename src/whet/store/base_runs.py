"""The verbs of runs: see `whet.store.base`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence

from whet.store.values import (
    Artifact,
    Batch,
    Curve,
    GroupQuery,
    Groups,
    Line,
    NewRun,
    Page,
    Run,
    RunQuery,
    TableQuery,
)
from whet.trial import Phase

__all__ = ["Runs"]


class Runs(ABC):
    """Runs as the user sees them."""

    @abstractmethod
    def create(self, run: NewRun) -> Run:
        """Keep a new run, RUNNING. The same id again returns what is there (a shipper may repeat itself)."""

    @abstractmethod
    def get(self, id: str) -> Run:
        """Return the run."""

    @abstractmethod
    def find(self, text: str, project: str | None = None) -> Run:
        """Return the run whose id, name (the newest of them) or unique beginning of an id is `text`."""

    @abstractmethod
    def select(self, query: RunQuery = RunQuery()) -> list[Run]:  # noqa: B008 - frozen
        """Return the runs that match."""

    @abstractmethod
    def table(self, query: TableQuery = TableQuery()) -> Page:  # noqa: B008 - frozen
        """Return a page of the run table: filtered, sorted, of equals the older run first.

        Raises:
            ExpressionError: the filter, the sort or a column is not of the language.
            StoreError: the limit or the offset is out of range, or the cursor is of another question.
        """

    @abstractmethod
    def groups(self, query: GroupQuery) -> Groups:
        """Return the runs put together by what they have in a column, each group with its number and what another column holds there.

        Raises:
            ExpressionError: the filter or a column is not of the language.
            StoreError: the limit is out of range.
        """

    @abstractmethod
    def columns(self, project: str | None = None, sweep: str | None = None) -> Mapping[str, list[str]]:
        """Return the names that the runs have under ``metrics``, ``config`` (with params), ``summary`` and ``attrs``, sorted."""

    @abstractmethod
    def mark(self) -> str:
        """Return a text that differs from the one before if anything in the store changed in between. Cheap.

        It may differ without a change; marks of two `Store` objects can't be compared.
        """

    @abstractmethod
    def projects(self) -> Mapping[str, int]:
        """Return project names with their numbers of runs."""

    @abstractmethod
    def shipped(self, id: str, attempt: int, source: str) -> int:
        """Return the offset up to which `source` has been shipped (0 at first).

        Raises:
            Conflict: the run was handed out again since: this attempt's story is no longer wanted.
        """

    @abstractmethod
    def ship(self, id: str, attempt: int, source: str, start: int, end: int, batch: Batch) -> int:
        """Keep a batch that covers [start, end) of `source` (bytes of a spool or a file), and return the offset shipped so far.

        Idempotent: a batch whose `start` is not the offset shipped so far changes nothing. Metrics update `stats`. It is a sign of life.

        Raises:
            Conflict: as `shipped`.
        """

    @abstractmethod
    def metrics(self, id: str, names: Collection[str] | None = None) -> dict[str, Curve]:
        """Return the curves of the run's metrics, sorted by name."""

    @abstractmethod
    def curves(
        self, ids: Collection[str], names: Collection[str] | None = None, *, max_points: int = 500, x: str = "step"
    ) -> dict[str, dict[str, Line]]:
        """Return the curves of several runs to be drawn, by run and name; without runs that are no more.

        A curve with more points than `max_points` (4 at least) keeps its first and last point, and of each stretch the least, the
        greatest and the first NaN; none is made up.

        Args:
            x: ``step``, or ``time`` (seconds since the epoch); points are in its order.
        """

    @abstractmethod
    def artifacts(self, id: str) -> list[Artifact]:
        """Return the run's artifacts; of one name the latest."""

    @abstractmethod
    def finish(self, id: str, phase: Phase, reason: str = "", *, ended: float | None = None) -> None:
        """End a run outside any sweep (a trial's run is ended by `Trials.tell`).

        Args:
            ended: When that was, for a run that another tool wrote; default now. Told again with a later one, the later one counts.

        Raises:
            IllegalMove: `phase` is no end, or it has ended otherwise.
            StoreError: `ended` is no time.
        """

    @abstractmethod
    def reopen(self, id: str) -> None:
        """Set a run that has ended RUNNING again, without a reason and an end. One that runs stays as it is.

        It is for runs that another tool wrote, whose files may turn out to go on.

        Raises:
            Conflict: it is a trial's run.
        """

    @abstractmethod
    def edit(
        self,
        id: str,
        *,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
        group: str | None = None,
    ) -> Run:
        """Change what is given."""

    @abstractmethod
    def tag(self, ids: Collection[str], *, add: Collection[str] = (), remove: Collection[str] = ()) -> int:
        """Add tags to runs and take others away, from all of them or none, and return how many runs changed. Of both, `remove` goes first."""

    @abstractmethod
    def delete(self, ids: Collection[str]) -> int:
        """Delete runs with their metrics and return how many there were. Refused (Conflict) for RUNNING ones.

        A trial's run goes with its metrics, but its number, params and result stay with the sweep, whose history must not change:
        so trial runs are refused too; delete the sweep instead.
        """
