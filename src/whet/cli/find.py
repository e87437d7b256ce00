"""What a user's word means: a run, a sweep or a project, by id, name or the beginning of an id. Also what the shell completes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from whet.errors import NotFound

if TYPE_CHECKING:
    from whet.store.base import Run, Store, Sweep

__all__ = [
    "complete_parameters",
    "complete_projects",
    "complete_runs",
    "complete_sweeps",
    "complete_things",
    "latest_sweep",
    "run_or_sweep",
    "the_sweep",
]

_MOST = 200  # what a shell is offered


def run_or_sweep(store: Store, text: str, project: str | None = None) -> Run | Sweep:
    """Return the run or the sweep that `text` means; an exact id or name wins over the beginning of an id.

    Raises:
        NotFound: neither, or both.
    """
    found: list[Run | Sweep] = []
    errors: list[NotFound] = []
    lookups: list[Callable[[str, str | None], Run | Sweep]] = [store.sweeps.find, store.runs.find]
    for lookup in lookups:
        try:
            found.append(lookup(text, project))
        except NotFound as error:
            errors.append(error)
    exact = [thing for thing in found if text in (thing.id, thing.name)]
    if len(exact or found) == 1 and not (not exact and any("ids" in e.facts for e in errors)):
        return (exact or found)[0]
    if found:
        raise NotFound(
            f"{text!r} could be several things: {', '.join(f'{_kind(t)} {t.id} ({t.name})' for t in found)}",
            "give its id",
        )
    ambiguous = next((e for e in errors if "ids" in e.facts), None)
    if ambiguous is not None:
        raise ambiguous
    close = [e.fix.partition("?")[0] for e in errors if e.fix.startswith("did you mean")]
    fix = f"{close[0]}? whet ls shows the runs, whet ls --sweeps the sweeps" if close else (
        "whet ls shows the runs, whet ls --sweeps the sweeps"
    )  # fmt: skip
    raise NotFound(f"no run and no sweep {text!r}", fix, name=text)


def the_sweep(store: Store, text: str | None, project: str | None = None) -> Sweep:
    """Return the sweep that `text` means, or with None the latest one.

    Raises:
        NotFound: there is none.
    """
    return latest_sweep(store, project) if text is None else store.sweeps.find(text, project)


def latest_sweep(store: Store, project: str | None = None) -> Sweep:
    """Return the sweep that was created last.

    Raises:
        NotFound: there is none yet.
    """
    sweeps = store.sweeps.all(project)
    if not sweeps:
        where = f" in project {project!r}" if project else ""
        raise NotFound(
            f"there is no sweep{where} yet", "start one: whet run train.py lr=loguniform[1e-4:1e-1] --maximize accuracy"
        )
    return sweeps[0]


def _kind(thing: Run | Sweep) -> str:
    return "run" if hasattr(thing, "phase") else "sweep"


# -- completion: never an error, never more than the shell can show -------------------------------------------------------


def _offer(incomplete: str, found: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    fitting = [CompletionItem(word, help=note) for word, note in found if word.startswith(incomplete)]
    return fitting[:_MOST]


def _quietly(look: Callable[[Store], list[tuple[str, str]]], incomplete: str) -> list[CompletionItem]:
    from whet.store.open import open_store

    try:
        store = open_store()
        try:
            return _offer(incomplete, look(store))
        finally:
            store.close()
    except Exception:  # a shell that waits for a word has no use for our troubles
        return []


def _runs(store: Store) -> list[tuple[str, str]]:
    from whet.store.base import RunQuery

    return [(r.id, f"{r.name} {r.phase.value}") for r in store.runs.select(RunQuery(limit=1000))]


def _sweeps(store: Store) -> list[tuple[str, str]]:
    found = []
    for sweep in store.sweeps.all():
        found += [(sweep.id, f"{sweep.name} {sweep.state.value}")]
        found += [(sweep.name, f"sweep {sweep.id}")] if sweep.name != sweep.id else []
    return found


def complete_runs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the ids of runs."""
    return _quietly(_runs, incomplete)


def complete_sweeps(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the ids and names of sweeps."""
    return _quietly(_sweeps, incomplete)


def complete_things(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer sweeps, then runs."""
    return _quietly(lambda store: _sweeps(store) + _runs(store), incomplete)


def complete_projects(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the names of projects."""
    return _quietly(
        lambda store: [(name, f"{count} runs") for name, count in store.runs.projects().items()], incomplete
    )


def complete_parameters(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer ``name=`` for the parameters of the sweep that is named before."""
    from whet.config import parse

    def look(store: Store) -> list[tuple[str, str]]:
        sweep = store.sweeps.find(context.params["what"], context.params.get("project"))
        space = parse(dict(sweep.config)).problem.space
        return [(f"{name}=", repr(one)) for name, one in space.items()]

    return _quietly(look, incomplete)
