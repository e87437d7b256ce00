"""What each verb of the store needs, and how a caller who is limited to projects is kept to them: one table.

A verb that does not stand in it needs an admin who is not limited; so a new one is safe before it is thought of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from whet.errors import Conflict, NotFound, Refused
from whet.server.access import Caller
from whet.store.base import GroupQuery, NewRun, RunQuery, Store, TableQuery
from whet.store.matching import whole_runs
from whet.store.token import Scope
from whet.store.verbs import Verb

__all__ = ["RULES", "Rule", "act", "own_sweep", "scope_of"]

Arguments = dict[str, Any]
_Limited = Callable[[Verb, Store, Caller, Arguments], Any]


class Rule:
    """A verb's scope, and what it does for a caller who is limited to projects."""

    __slots__ = ("limited", "scope")

    def __init__(self, scope: Scope, limited: _Limited) -> None:
        self.scope = scope
        self.limited = limited


def act(verb: Verb, store: Store, who: Caller, given: Arguments) -> Any:
    """Do `verb` for a caller, whose scope was looked at already, and return its result.

    Raises:
        Refused, NotFound: it is about a project that is not the caller's; or what the verb raises.
    """
    if who.projects is None:
        return verb.do(store, given)
    rule = RULES.get(verb.name)
    if rule is None:
        raise Refused(f"{verb.name} spans projects, and this token is limited to some", "use one that is not")
    return rule.limited(verb, store, who, given)


def scope_of(verb: Verb) -> Scope:
    """Return the scope that a verb needs."""
    rule = RULES.get(verb.name)
    return Scope.ADMIN if rule is None else rule.scope


# -- how: each looks at what is given, and does the verb where that is the caller's


def _sweep(parameter: str) -> _Limited:
    """The verb is about the sweep of this id."""

    def limited(verb: Verb, store: Store, who: Caller, given: Arguments) -> Any:
        own_sweep(store, who, given[parameter])
        return verb.do(store, given)

    return limited


def _run(parameter: str) -> _Limited:
    """The verb is about the run of this id."""

    def limited(verb: Verb, store: Store, who: Caller, given: Arguments) -> Any:
        _own_run(store, who, given[parameter])
        return verb.do(store, given)

    return limited


def own_sweep(store: Store, who: Caller, id: str) -> None:
    """Raise NotFound unless a caller who is limited has the sweep of this id."""
    if who.projects is not None and who.sweep(store, id) != id:
        raise NotFound(f"no sweep has the id {id!r}", "give the whole id")


def _own_run(store: Store, who: Caller, id: str) -> None:
    if who.run(store, id) != id:
        raise NotFound(f"no run has the id {id!r}", "give the whole id")


def _project(verb: Verb, store: Store, who: Caller, given: Arguments) -> Any:
    who.check(given["project"])
    return verb.do(store, given)


def _find(look: Callable[[Caller, Store, str], str]) -> _Limited:
    def limited(verb: Verb, store: Store, who: Caller, given: Arguments) -> Any:
        if given.get("project") is not None:
            who.check(given["project"])
            who = replace(who, projects=frozenset({given["project"]}))
        facet, _, _ = verb.name.partition(".")
        return getattr(store, facet).get(look(who, store, given["text"]))

    return limited


def _all(verb: Verb, store: Store, who: Caller, given: Arguments) -> Any:
    if given.get("project") is not None:
        return _project(verb, store, who, given)
    return [sweep for sweep in verb.do(store, given) if who.sees(sweep.project)]


def _select(verb: Verb, store: Store, who: Caller, given: Arguments) -> Any:
    query: RunQuery = given.get("query", RunQuery())
    if query.sweep is not None:
        own_sweep(store, who, query.sweep)
        return verb.do(store, given)
    if query.project is not None:
        who.check(query.project)
        return verb.do(store, given)
    found = [
        run
        for project in sorted(who.projects or ())
        for run in verb.do(store, {**given, "query": replace(query, project=project)})
    ]
    found.sort(key=lambda run: run.created, reverse=query.newest_first)
    return found[: query.limit]


def _table(verb: Verb, store: Store, who: Caller, given: Arguments) -> Any:
    query: TableQuery | GroupQuery = given.get("query", TableQuery())
    own = tuple(sorted(who.projects or ()))
    wanted = own if query.projects is None else tuple(name for name in query.projects if name in own)
    return verb.do(store, {**given, "query": replace(query, projects=wanted)})


def _columns(verb: Verb, store: Store, who: Caller, given: Arguments) -> Any:
    if given.get("sweep") is not None:
        own_sweep(store, who, given["sweep"])
    if given.get("project") is not None:
        who.check(given["project"])
    if len(given) > list(given.values()).count(None):  # one of them is named, and the caller's
        return verb.do(store, given)
    found: dict[str, set[str]] = {}
    for project in who.projects or ():
        for place, names in verb.do(store, {"project": project}).items():
            found.setdefault(place, set()).update(names)
    return {place: sorted(names) for place, names in found.items()}


def _anything(verb: Verb, store: Store, who: Caller, given: Arguments) -> Any:
    return verb.do(store, given)


def _projects(verb: Verb, store: Store, who: Caller, given: Arguments) -> Any:
    return {project: count for project, count in verb.do(store, given).items() if who.sees(project)}


def _new_run(verb: Verb, store: Store, who: Caller, given: Arguments) -> Any:
    run: NewRun = given["run"]
    who.check(run.project)
    try:
        there = store.runs.get(run.id)  # creating it again returns what is there
    except NotFound:
        return verb.do(store, given)
    if not who.sees(there.project):
        raise Conflict(f"a run has the id {run.id!r} already", "give another id")
    return verb.do(store, given)


def _runs(verb: Verb, store: Store, who: Caller, given: Arguments) -> Any:
    who.check_runs(store, list(given["ids"]))
    return verb.do(store, given)


def _curves(verb: Verb, store: Store, who: Caller, given: Arguments) -> Any:
    own = [run.id for run in whole_runs(store, list(given["ids"])) if who.sees(run.project)]
    return verb.do(store, {**given, "ids": own})


def _gains(verb: Verb, store: Store, who: Caller, given: Arguments) -> Any:
    own = {sweep.id for sweep in store.sweeps.all() if who.sees(sweep.project)}
    return verb.do(store, {**given, "ids": [id for id in given["ids"] if id in own]})


_READ, _WRITE, _ADMIN = Scope.READ, Scope.WRITE, Scope.ADMIN

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **dict.fromkeys(("sweeps.get", "sweeps.former"), Rule(_READ, _sweep("id"))),
        **dict.fromkeys(("sweeps.move", "sweeps.edit", "sweeps.drive", "sweeps.release"), Rule(_WRITE, _sweep("id"))),
        "sweeps.create": Rule(_WRITE, _project),
        "sweeps.find": Rule(_READ, _find(lambda who, store, text: who.sweep(store, text))),
        "sweeps.all": Rule(_READ, _all),
        "sweeps.gains": Rule(_READ, _gains),
        "sweeps.delete": Rule(_ADMIN, _sweep("id")),
        **dict.fromkeys(
            ("trials.changes", "trials.glance", "trials.origins", "trials.leases"), Rule(_READ, _sweep("sweep"))
        ),
        **dict.fromkeys(
            (
                *("trials.add", "trials.enqueue", "trials.extend", "trials.claim", "trials.take_over"),
                *("trials.requeue", "trials.report", "trials.tell", "trials.annotate", "trials.beat"),
            ),
            Rule(_WRITE, _sweep("sweep")),
        ),
        **dict.fromkeys(("runs.get", "runs.shipped", "runs.metrics", "runs.artifacts"), Rule(_READ, _run("id"))),
        **dict.fromkeys(("runs.ship", "runs.finish", "runs.reopen", "runs.edit"), Rule(_WRITE, _run("id"))),
        "runs.create": Rule(_WRITE, _new_run),
        "runs.find": Rule(_READ, _find(Caller.run)),
        "runs.select": Rule(_READ, _select),
        "runs.projects": Rule(_READ, _projects),
        "runs.table": Rule(_READ, _table),
        "runs.groups": Rule(_READ, _table),
        "runs.tag": Rule(_WRITE, _runs),
        "runs.columns": Rule(_READ, _columns),
        "runs.curves": Rule(_READ, _curves),
        "runs.mark": Rule(_READ, _anything),  # a number that tells nothing but that something happened
        "runs.delete": Rule(_ADMIN, _runs),
    }
)
