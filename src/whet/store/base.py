"""The verbs of the store: the same ones on SQLite, PostgreSQL, in memory and over HTTP.

Three facets: `Store.sweeps` (stored searches), `Store.trials` (what searchers and stoppers see, and who works on what) and
`Store.runs` (what the user sees: config, metrics, summary, files). A sweep's run and its trial are one row. Beside them `Store.tokens`
(`whet.store.token`) says who may reach the store through a server.

Laws (`whet.testing.store_laws` checks them on every implementation):

- A trial number is given once, without gaps, under any number of processes; a cap is never passed.
- Every verb is one transaction: after `kill -9` it has happened whole or not at all, and an acknowledged one is not lost.
- What changed is found by revision: every change of a sweep's trials bumps the sweep's `revision`, and
  `trials.changes(id, since)` returns exactly the trials and reports that changed after `since`.
- A worker is known by (number, attempt): once a trial was handed out again, verbs of an earlier attempt raise `Conflict`.
- Unknown ids raise `NotFound`, naming the nearest; illegal transitions raise `IllegalMove`; a full disk, a read-only folder
  and a lost connection raise `StoreUnavailable`. No database error escapes.
- Times are seconds since the epoch. Mappings hold what JSON can hold, and floats that JSON can't (nan, inf) come back as they went in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from whet.store.base_runs import Runs
from whet.store.token import Tokens
from whet.store.values import (
    MOVES,
    Artifact,
    Batch,
    Changes,
    Curve,
    Glance,
    Group,
    GroupQuery,
    Groups,
    Lease,
    Line,
    NewRun,
    Origin,
    Page,
    Row,
    Run,
    RunQuery,
    Stat,
    Sweep,
    SweepState,
    TableQuery,
    TableRow,
)
from whet.trial import Goal, Phase, Report, Suggestion, Trial

if TYPE_CHECKING:
    from whet.store.files import Files

__all__ = [
    "MOVES", "NOTHING", "Artifact", "Batch", "Changes", "Curve", "Group", "GroupQuery", "Groups", "Lease", "Line",
    "NewRun", "Origin", "Page", "Row", "Run", "RunQuery", "Runs", "Server", "Glance", "Stat", "Store", "Sweep", "SweepState",
    "Sweeps", "TableQuery", "TableRow", "Trials",
]  # fmt: skip

NOTHING: Mapping[str, object] = MappingProxyType({})


class Sweeps(ABC):
    """The stored searches."""

    @abstractmethod
    def create(
        self,
        project: str,
        config: Mapping[str, object],
        *,
        goals: Sequence[Goal],
        name: str | None = None,
        cap: int | None = None,
        once: str | None = None,
    ) -> Sweep:
        """Keep a new sweep, RUNNING; without a `name` it gets its id as name.

        Args:
            project, config, goals, name, cap: The sweep's.
            once: A key: asked for again with it, within a day, this is done no more, and returns what it returned.

        Raises:
            Conflict: the project has a sweep of that name.
        """

    @abstractmethod
    def get(self, id: str) -> Sweep:
        """Return the sweep."""

    @abstractmethod
    def find(self, text: str, project: str | None = None) -> Sweep:
        """Return the sweep whose id, name or unique beginning of an id is `text`.

        Raises:
            NotFound: none, or several (then they are named).
        """

    @abstractmethod
    def all(self, project: str | None = None) -> list[Sweep]:
        """Return the sweeps, newest first."""

    @abstractmethod
    def gains(self, ids: Collection[str]) -> Mapping[str, list[tuple[int, float]]]:
        """Return how the best of sweeps came about, by their ids: (number, value) of each complete trial that was better than all before it.

        It is the first metric that counts, and limits are not looked at. What is infinite is left out, and so are sweeps that are no more.
        """

    @abstractmethod
    def move(self, id: str, to: SweepState, *, revision: int | None = None, version: int | None = None) -> Sweep:
        """Bring the sweep to a state, by `MOVES`. Canceling cancels its pending and paused trials too.

        Args:
            id, to: The sweep, and where it goes.
            revision, version: Where given, only if the sweep is still at them: what speaks for it was seen there.

        Raises:
            IllegalMove: there is no such transition.
            Conflict: its trials or its configuration changed since: look again.
        """

    @abstractmethod
    def edit(
        self,
        id: str,
        *,
        version: int,
        config: Mapping[str, object] | None = None,
        goals: Sequence[Goal] | None = None,
        cap: int | None = None,
    ) -> Sweep:
        """Change what is given, if the sweep's version is still `version`. A cap may grow or shrink, never below what was handed out.

        Goals may change until there is a trial: results were measured by them.

        A store does not read configurations: `whet.study.create.edit_sweep` is what sees that this one can be.
        The configuration that was is kept (see `former`), unless they differ in the user's ``attrs`` only.

        Raises:
            Conflict: somebody else changed it: read it again; or it has trials, and other goals.
        """

    @abstractmethod
    def former(self, id: str) -> Mapping[int, Mapping[str, object]]:
        """Return the configurations that were replaced, each by the last version that had it."""

    @abstractmethod
    def drive(self, id: str, owner: str, *, silent_s: float) -> None:
        """Make `owner` the sweep's coordinator; again: a sign of life.

        It succeeds where there is none, where it is `owner` already, where the present one is dead on this machine
        (`whet.store.owner.alive`), or has given no sign of life for `silent_s`.

        Raises:
            AlreadyDriven: another one is at it.
        """

    @abstractmethod
    def release(self, id: str, owner: str) -> None:
        """Let go of the wheel; harmless for anybody else."""

    @abstractmethod
    def delete(self, id: str) -> None:
        """Delete the sweep, its trials, runs and metrics."""


class Trials(ABC):
    """A sweep's trials: numbers, leases, reports, results. `owner` is text of `whet.store.owner`."""

    @abstractmethod
    def changes(self, sweep: str, since: int = -1, *, limit: int | None = None, after: int = -1) -> Changes:
        """Return what changed after revision `since` (-1: everything). Cheap when nothing did.

        With a `limit` it comes in pages by trial number: as long as the answer has `after`, the next page is that of the same `since` and that
        `after`, and once there is none, what is asked for next is what changed since the revision of the *first* page. Each page is the sweep
        of its own moment, so what changes meanwhile may come twice.

        Args:
            sweep: Its id.
            since: A revision.
            limit: The most trials of a page, and the most reports, 1 or more. A trial comes with all its reports, however many.
            after: Only trials with greater numbers.
        """

    @abstractmethod
    def glance(self, sweep: str) -> Glance:
        """Return how the sweep stands. It costs the same however many trials there are, and however much is new."""

    @abstractmethod
    def turn(self, sweep: str, *, brief: bool = False) -> AbstractContextManager[None]:
        """Hold the sweep's turn to suggest: at most one holder among all processes that can be made to wait.

        It saves work (two processes suggesting the same number); correctness rests on `add` alone. Freed when its holder dies.

        Args:
            brief: It is held for moments alone, so a store may make all who write wait for it: then what is read within is what `add` will find. Who
                holds the turn for long may hold it at the same time.
        """

    @abstractmethod
    def add(
        self,
        sweep: str,
        number: int,
        suggestion: Suggestion,
        *,
        owner: str,
        seen: int,
        version: int | None = None,
        name: str | None = None,
        asked: str | None = None,
    ) -> str:
        """Hand out a new trial to `owner`, RUNNING, and return its run's id.

        Args:
            number: Must be the sweep's next number.
            seen: The revision that the suggestion was made from, and
            version: the sweep's version, that is the configuration, that it was made by (both for replays: see `origins`).
            name: The run's; default ``<sweep name>-<number>``.
            asked: The key of the question that it answers: who lost the answer finds it again among the leases.

        Raises:
            NumberTaken: `number` is not the next one any more.
            CapReached, SweepClosed: none is handed out any more.
        """

    @abstractmethod
    def enqueue(
        self,
        sweep: str,
        params: Mapping[str, object],
        *,
        attrs: Mapping[str, object] = NOTHING,
        extra: bool = False,
        once: str | None = None,
    ) -> int:
        """Add a PENDING trial with the next number; it counts towards the cap. Raises as `add` (but for NumberTaken).

        Args:
            sweep: Its sweep.
            params: May be partial: who claims it completes them.
            attrs: The user's.
            extra: It comes on top of what the sweep was to have: with it a cap grows by one, and a finished sweep is reopened.
            once: See `Sweeps.create`.
        """

    @abstractmethod
    def extend(
        self, sweep: str, trials: Sequence[Trial], *, barred: Collection[int] = (), once: str | None = None
    ) -> list[int]:
        """Add trials that ran elsewhere (any phase that is over, reports included), renumbered, and return their numbers. No cap applies.

        Args:
            barred: Places of those in `trials` that can't be the sweep's best, as in `tell`.
            once: See `Sweeps.create`.
        """

    @abstractmethod
    def claim(self, sweep: str, number: int, *, owner: str, asked: str | None = None) -> tuple[str, int]:
        """Hand out a PENDING or PAUSED trial to `owner`, RUNNING, and return (run id, attempt). For `asked` see `add`.

        A PAUSED one goes on with its reports and metrics, but as the next attempt: its sources are shipped from 0 again, and whatever
        the worker that paused it still says is refused.

        Raises:
            Conflict: it is neither any more.
            SweepClosed: as `add`.
        """

    @abstractmethod
    def take_over(self, sweep: str, number: int, attempt: int, *, owner: str, was: str) -> str:
        """Make `owner` the owner of a RUNNING trial whose owner `was` is gone, and return the run's id; the attempt stays.

        Raises:
            Conflict: it is not running under `was` any more.
        """

    @abstractmethod
    def requeue(self, sweep: str, number: int, attempt: int, reason: str, *, lost: bool = False) -> None:
        """Take a RUNNING trial back from its worker: PENDING, attempt + 1, its reports and metrics dropped.

        Args:
            lost: The worker was lost, which the trial's leases count from now on (`Lease.num_lost`); an interrupt is no loss.

        Raises:
            Conflict: somebody else did, or it is over.
        """

    @abstractmethod
    def report(self, sweep: str, number: int, attempt: int, reports: Sequence[Report]) -> None:
        """Keep reports of a RUNNING trial; a step that was reported before is overwritten."""

    @abstractmethod
    def tell(
        self,
        sweep: str,
        number: int,
        attempt: int,
        *,
        phase: Phase,
        values: tuple[float, ...] | None = None,
        stopped: bool = False,
        reason: str = "",
        params: Mapping[str, object] | None = None,
        attrs: Mapping[str, object] | None = None,
        may_be_best: bool = True,
    ) -> None:
        """End (or pause) a RUNNING trial, or stop a PAUSED one for good. Updates the sweep's best.

        Args:
            phase: FINISHED, FAILED, CANCELED or PAUSED.
            values: One a metric, none NaN, when FINISHED and not stopped.
            params: The whole configuration, where it was only now complete (define-by-run).
            attrs: The user's, merged.
            may_be_best: False where it does not keep the sweep's limits: it is never the best then.

        Raises:
            Conflict: it does not run in this attempt (nor is it paused in it and now `stopped`). Telling the same again (same phase and values) is harmless.
        """

    @abstractmethod
    def annotate(
        self,
        sweep: str,
        number: int,
        *,
        params: Mapping[str, object] | None = None,
        attrs: Mapping[str, object] | None = None,
    ) -> None:
        """Replace a running trial's params, or merge into the attrs of any trial."""

    @abstractmethod
    def origins(self, sweep: str) -> list[Origin]:
        """Return where the trials came from, by number."""

    @abstractmethod
    def leases(self, sweep: str) -> Sequence[Lease]:
        """Return the leases of all RUNNING trials."""

    @abstractmethod
    def beat(self, sweep: str, owner: str) -> None:
        """Give a sign of life for all RUNNING trials of `owner`."""


class Server(Protocol):
    """A Whet server: it searches and judges itself, so that its clients need not know a sweep's history."""

    def post(self, path: str, body: object, *, key: str | None = None) -> Any:
        """Return its answer to `body`; however often a request has to be sent, it is acted upon once, and so are calls with the same `key`."""


class Store(ABC):
    """A store: its facets and an end. Safe to use from several threads; not to be carried over a fork (it reopens by itself)."""

    sweeps: Sweeps
    trials: Trials
    runs: Runs
    tokens: Tokens
    url: str
    server: Server | None = None
    """The server that it is behind; None where this process is next to the data."""

    @cached_property
    def files(self) -> Files:
        """The contents of the files that runs keep."""
        from whet.store.files import LocalFiles

        return LocalFiles.of(self)

    @property
    def shown(self) -> str:
        """Its address for people to read: `url` without a password."""
        return self.url

    @property
    def env(self) -> Mapping[str, str]:
        """The environment in which another process finds this store."""
        return {"WHET_STORE": self.url}

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections; harmless twice."""
