"""What is to be trained: by a trial of a study, by the run at hand, or by whoever asks."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whet import plugins
from whet.config import Plugin, parse
from whet.errors import StudyError
from whet.joint.desk import Desk, OfRun, OfTrial
from whet.joint.method import Gradient, Settings
from whet.space import Space
from whet.store.base import Store
from whet.track import claim as claims
from whet.track import opening
from whet.track.mappings import leaves
from whet.track.shipper import shared_store

if TYPE_CHECKING:
    from whet.study.live import LiveTrial
    from whet.track.run import Run

__all__ = ["METRIC", "Assigned", "by_run", "by_trial", "seed_of"]

METRIC = "val_loss"
"""What the metric is called where no study gives it a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """A configuration to train, and how.

    Args:
        params: The configuration.
        method: The name and knobs of the study's method.
        space: The study's.
        seed: Of the weights and the batches.
        desk: Where the training tells what it does.
    """

    params: Mapping[str, Any]
    method: Plugin
    space: Space
    seed: int
    desk: Desk

    def gradient(self) -> tuple[type[Gradient], Settings] | None:
        """Return the hypergradient method and its settings; None for a method that only searches.

        Raises:
            UnknownName: there is no such method.
        """
        found = plugins.find("searcher", self.method.name)
        return (found, found.read(self.method.knobs, self.space)) if issubclass(found, Gradient) else None


def seed_of(seed: int, number: int) -> int:
    """Return the seed of a trial's training."""
    return random.Random(f"{seed}/{number}/training").getrandbits(31)


def by_trial(trial: LiveTrial) -> Assigned:
    """Return what a running trial of a study is to train.

    Raises:
        StudyError: it is over, or the study has no declared space or several metrics.
    """
    if not hasattr(trial, "study"):
        raise StudyError(f"{trial!r:.100} is no running trial", "use fit(trial.params), or replay(study, trial)")
    study = trial.study
    _ = study.problem.metric
    if trial.asked() is not None:
        raise StudyError("the study has no declared space", "give create_study(space=…): a Training asks for nothing")
    return Assigned(
        params=trial.params, method=study.method, space=study.problem.space, seed=seed_of(study.seed, trial.number),
        desk=OfTrial(trial),
    )  # fmt: skip


@contextmanager
def by_run() -> Iterator[Assigned]:
    """Within it, train what the run at hand says; without one, a run is started for as long as that."""
    at_hand = opening.current()
    if at_hand is not None:
        yield _of_run(at_hand)
        return
    with opening.init() as run:
        yield _of_run(run)


def _of_run(run: Run) -> Assigned:
    claim = claims.current.get() or claims.Claim.from_env()
    if claim is None or claim.run_id != run.id:
        config = {name: _leaf(run.config, name) for name in leaves(dict(run.config))}
        return Assigned(params=config, method=Plugin(name="random"), space=Space(), seed=0, desk=OfRun(run, METRIC))
    store = _store(claim)
    sweep = parse(dict(store.sweeps.get(claim.sweep_id).config), source=f"sweep {claim.sweep_id}")
    return Assigned(
        params=dict(claim.params), method=sweep.method, space=sweep.problem.space,
        seed=seed_of(sweep.seed or 0, claim.number), desk=OfRun(run, sweep.problem.metric.name, claim, store),
    )  # fmt: skip


def _store(claim: claims.Claim) -> Store:
    if isinstance(claim.store, Store):
        return claim.store
    return shared_store(claim.store, Path(claim.dir or ".whet").absolute())


def _leaf(tree: Any, name: str) -> Any:
    for part in name.split("."):
        tree = tree[part]
    return tree
