"""What a searcher may be told: trials whose params fit the space as it is now."""

from __future__ import annotations

from dataclasses import replace

from whet.space import Space
from whet.trial import Phase, Trial

__all__ = ["as_told"]


def as_told(trial: Trial, space: Space) -> Trial:
    """Return `trial` with the params that are in `space`; where they do not fit it, a canceled one without any, so that it still counts."""
    known = {name: value for name, value in trial.params.items() if name in space}
    if space.contains(known):
        return trial if len(known) == len(trial.params) else replace(trial, params=known)
    return replace(trial, params={}, values=None, phase=Phase.CANCELED if trial.phase.is_over else trial.phase)
