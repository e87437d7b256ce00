"""Which trial of which sweep this code works on: told by an agent in this process, or by the environment of a started one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from whet.errors import TrackError
from whet.trial import Goal

if TYPE_CHECKING:
    from whet.store.base import Store

__all__ = ["Claim", "current"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A trial handed out to this code.

    Its run is made and ended by who handed it out; the run object only tells its story (rows, config, summary, meta).

    Args:
        run_id, attempt, sweep_id, number, project: The trial.
        params: Its configuration; nested parameters have dotted names.
        metrics: The names of what the sweep optimises, in the order of the problem's metrics.
        goals: Which way is better, one a metric; may be empty when nobody needs it.
        store: The store or its URL; None is the default store of `dir`.
        dir: The folder that holds ``runs/``; None is the default one.
        stop: Called after a row with one of `metrics` was logged; a text that it returns ends the trial (`TrialPruned`).
        logs_kept: Standard output is kept by who started this process.
        parent: The id of the run whose checkpoint the trial goes on from.
    """

    run_id: str
    attempt: int
    sweep_id: str
    number: int
    project: str
    params: Mapping[str, object] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    goals: tuple[Goal, ...] = ()
    store: Store | str | None = None
    dir: str | None = None
    stop: Callable[[], str | None] | None = None
    logs_kept: bool = False
    parent: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Claim | None:
        """Return the claim that `to_env` wrote into `environ` (default ``os.environ``), or None.

        Raises:
            TrackError: only a part of it is there.
        """
        env = os.environ if environ is None else environ
        if not env.get("WHET_RUN_ID"):
            return None
        try:
            return cls(
                run_id=env["WHET_RUN_ID"],
                attempt=int(env["WHET_ATTEMPT"]),
                sweep_id=env["WHET_SWEEP_ID"],
                number=int(env["WHET_NUMBER"]),
                project=env["WHET_PROJECT"],
                params=json.loads(env.get("WHET_PARAMS", "{}")),
                metrics=tuple(json.loads(env.get("WHET_METRICS", "[]"))),
                goals=tuple(Goal(g) for g in json.loads(env.get("WHET_GOALS", "[]"))),
                store=env.get("WHET_STORE") or None,
                dir=env.get("WHET_DIR") or None,
                logs_kept=True,
                parent=env.get("WHET_PARENT") or None,
            )
        except (KeyError, ValueError) as error:
            raise TrackError(
                f"WHET_RUN_ID={env['WHET_RUN_ID']} is set, but the trial behind it can't be read ({error!r})",
                "unset WHET_RUN_ID to start a run of its own, or set all of WHET_RUN_ID, WHET_ATTEMPT, WHET_SWEEP_ID, "
                "WHET_NUMBER, WHET_PROJECT, WHET_PARAMS, WHET_METRICS, WHET_STORE",
            ) from error

    def to_env(self) -> MutableMapping[str, str]:
        """Return the environment from which `from_env` makes this claim again (`stop` can't travel)."""
        env = {
            "WHET_RUN_ID": self.run_id,
            "WHET_ATTEMPT": str(self.attempt),
            "WHET_SWEEP_ID": self.sweep_id,
            "WHET_NUMBER": str(self.number),
            "WHET_PROJECT": self.project,
            "WHET_PARAMS": json.dumps(dict(self.params)),
            "WHET_METRICS": json.dumps(self.metrics),
            "WHET_GOALS": json.dumps([g.value for g in self.goals]),
            "WHET_PARENT": self.parent or "",  # empty rather than absent: this process may have one itself
        }
        if self.store is not None:
            env |= {"WHET_STORE": self.store} if isinstance(self.store, str) else self.store.env
        if self.dir is not None:
            env["WHET_DIR"] = self.dir
        return env


current: ContextVar[Claim | None] = ContextVar("whet.track.claim", default=None)
"""The claim of a function that an agent calls in this process."""
