"""Who may do what: what a route needs, what a caller has, and where the two meet.

A route says what it needs, below the line that says where it is::

    @routes.get("/sweeps/{sweep}")
    @needs("read")
    def sweep(sweep: str) -> ...

One that says nothing needs an admin whose token is not limited to projects, so forgetting is safe.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import Scope as Connection

from whet.errors import NotFound, Refused
from whet.store.base import Run, Store
from whet.store.matching import whole_runs
from whet.store.rules import ambiguous
from whet.store.token import Scope

__all__ = ["EVERYBODY", "NOBODY", "Caller", "Need", "Visit", "admit", "caller", "need_of", "needs", "open_to_all"]

_Route = TypeVar("_Route", bound=Callable[..., Any])
_MARK = "__whet_needs__"
_VISIT = "whet.visit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks.

    Args:
        token: The id of the token that was shown, or empty.
        scope: What it allows; None: nothing.
        projects: Those that it is limited to; None: all.
    """

    token: str = ""
    scope: Scope | None
    projects: frozenset[str] | None = None

    def require(self, scope: Scope) -> None:
        """Raise Refused unless the caller has `scope`."""
        if self.scope is None or not self.scope.covers(scope):
            has = "no token" if self.scope is None else f"a token with scope {self.scope.value}"
            raise Refused(
                f"this needs scope {scope.value}, got {has}",
                f"ask whoever keeps the server for one: whet token create --scope {scope.value}",
            )

    def sees(self, project: str) -> bool:
        """Return whether `project` is one of the caller's."""
        return self.projects is None or project in self.projects

    def check(self, project: str) -> None:
        """Raise Refused unless `project` is one of the caller's."""
        if not self.sees(project):
            raise Refused(f"this token is not for project {project!r}", f"it is for {self._in_words()}")

    def sweep(self, store: Store, text: str, first: str = "") -> str:
        """Return the id of the sweep that `text` names (by id, name or beginning) among the caller's projects, the project `first` before all.

        Raises:
            NotFound: there is none. It is the same answer whether another project has it or nobody does.
        """
        if first and self.projects is not None and self.sees(first):
            with contextlib.suppress(NotFound):
                return replace(self, projects=frozenset({first})).sweep(store, text)
        return self._find(store.sweeps.find, "sweep", text)

    def run(self, store: Store, text: str) -> str:
        """Return the id of the run that `text` names, as `sweep` does."""
        return self._find(store.runs.find, "run", text)

    def runs(self, store: Store, ids: Sequence[str]) -> list[Run]:
        """Return the runs of these ids (ids, not names), in their order, each once.

        Raises:
            NotFound: one is not among the caller's projects, or no more. It is the same answer whether another project has it or nobody does.
        """
        found = [run for run in whole_runs(store, ids) if self.sees(run.project)]
        if missing := set(ids) - {run.id for run in found}:
            where = "" if self.projects is None else f" in {self._in_words()}"
            raise NotFound(f"no run {min(missing)!r}{where}", "give ids of runs that are there")
        return found

    def check_runs(self, store: Store, ids: Sequence[str]) -> None:
        """Raise NotFound unless a caller who is limited has all the runs of these ids; of others the store tells."""
        if self.projects is not None:
            self.runs(store, ids)

    def _find(self, find: Callable[[str, str | None], Any], kind: str, text: str) -> str:
        if self.projects is None:
            return str(find(text, None).id)
        found: list[Any] = []
        begin_so: list[str] = []
        for project in sorted(self.projects):
            try:
                found.append(find(text, project))
            except NotFound as error:  # its words may name those of other projects, its ids don't
                begin_so += error.facts.get("ids", ())  # type: ignore[arg-type]
        for alike in ([one for one in found if one.id == text], [one for one in found if one.name == text]):
            if len(alike) > 1 and kind == "sweep":
                raise ambiguous(kind, text, [one.id for one in alike])
            if alike:
                return str(max(alike, key=lambda one: one.created).id)
        begin_so += [one.id for one in found]
        if not begin_so:
            raise NotFound(f"no {kind} {text!r} in {self._in_words()}", "give the id of one that is there")
        if len(begin_so) > 1:
            raise ambiguous(kind, text, sorted(begin_so, reverse=True))
        return begin_so[0]

    def _in_words(self) -> str:
        names = sorted(self.projects or ())
        return f"project{'s' * (len(names) != 1)} {', '.join(map(repr, names))}"


EVERYBODY = Caller(scope=Scope.ADMIN)
"""Who asks where no token is needed: from the machine itself, as long as there are no tokens."""
NOBODY = Caller(scope=None)
"""Who shows no token where one is needed."""


@dataclass(slots=True)
class Visit:
    """What is known of a request beside itself: who asks, and whether what it needs has been looked at."""

    caller: Caller
    admitted: bool = False

    @staticmethod
    def of(connection: Connection) -> Visit:
        """Return that of a connection; a server without a guard knows nobody."""
        visit: Visit = connection.setdefault(_VISIT, Visit(NOBODY))
        return visit

    def enter(self, connection: Connection) -> None:
        """Make it that of a connection."""
        connection[_VISIT] = self


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a route needs: see `needs`."""

    scope: Scope | None = Scope.ADMIN
    sweep: str = "sweep"
    run: str = "run"
    project: str = "project"
    anywhere: bool = False
    checks_itself: bool = False


_UNDECLARED = Need()


def needs(
    scope: str,
    *,
    sweep: str = "sweep",
    run: str = "run",
    project: str = "project",
    anywhere: bool = False,
    checks_itself: bool = False,
) -> Callable[[_Route], _Route]:
    """Say what a route needs.

    A token that is limited to projects is checked against the sweep, the run and the project that the request names by these
    parameters, in its path or its query. A name or beginning in the path is replaced by the id that was found, so that what was checked
    is what is acted upon; in a query a limited token gives ids. Where the request names nothing, a limited token is refused.

    Args:
        scope: "read", "write" or "admin".
        sweep: The parameter that names a sweep (by id, name or beginning),
        run: a run,
        project: and a project.
        anywhere: The route is about no project, so every token of that scope may use it.
        checks_itself: The route keeps to ``caller(request).projects`` itself where the request names nothing: it leaves out what others have,
            or calls ``caller(request).check(project)`` with what is in the body.
    """
    need = Need(
        scope=Scope.of(scope), sweep=sweep, run=run, project=project, anywhere=anywhere, checks_itself=checks_itself
    )
    return lambda route: _marked(route, need)


def open_to_all(route: _Route) -> _Route:
    """Say that a route needs no token: what it answers is no secret, or it checks a token itself."""
    return _marked(route, Need(scope=None, anywhere=True))


def _marked(route: _Route, need: Need) -> _Route:
    setattr(route, _MARK, need)
    return route


def need_of(route: object) -> Need:
    """Return what a route needs; an admin where it does not say."""
    need: Need = getattr(route, _MARK, _UNDECLARED)
    return need


def caller(request: Request) -> Caller:
    """Return who asks."""
    return Visit.of(request.scope).caller


async def admit(request: Request) -> None:
    """Let the request in, or raise Refused or NotFound. A dependency of every route."""
    visit = Visit.of(request.scope)
    need = need_of(request.scope.get("endpoint"))
    if need.scope is not None:
        visit.caller.require(need.scope)
        if visit.caller.projects is not None and not need.anywhere:
            await run_in_threadpool(_check_projects, request, visit.caller, need)
    visit.admitted = True


def _check_projects(request: Request, who: Caller, need: Need) -> None:
    store: Store = request.app.state.store
    path, query = request.path_params, request.query_params
    named = False
    for text in _all_of(need.project, path, query):
        who.check(text)
        named = True
    for parameter, find in ((need.sweep, who.sweep), (need.run, who.run)):
        if parameter in path:
            path[parameter] = find(store, str(path[parameter]))
            named = True
        for text in query.getlist(parameter):
            if find(store, text) != text:
                raise NotFound(f"{parameter}={text!r} is no id", "a token that is limited to projects gives ids here")
            named = True
    if not named and not need.checks_itself:
        example = f"{need.project}={min(who.projects or ('',))}"
        raise Refused("this token is limited to projects, and the request names none", f"add {example} to the query")


def _all_of(name: str, path: Any, query: Any) -> Iterable[str]:
    return [*([str(path[name])] if name in path else []), *query.getlist(name)]
