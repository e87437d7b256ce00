"""The earlier sweeps of a sweep: their names, as the user writes them, and what was taken from them, as Whet does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from whet.config.keys import EARLIER, PAST, check_keys
from whet.config.place import Place
from whet.trial import Earlier, Past

__all__ = ["earlier_to_list", "read_earlier", "read_names"]


def read_names(value: str | Sequence[str], place: Place) -> tuple[str, ...]:
    """Return what `start_from` names.

    Raises:
        ConfigError: a name that is there twice.
    """
    names = (value,) if isinstance(value, str) else tuple(value)
    for i, name in enumerate(names):
        if name in names[:i]:
            raise place.at(i).error(f"the sweep {name!r} is there twice", "leave one out")
    return names


def read_earlier(value: Sequence[Mapping[str, Any]], place: Place) -> tuple[Earlier, ...]:
    """Return what `earlier` holds.

    Raises:
        ConfigError: a key is missing or unknown.
    """
    found = []
    for i, given in enumerate(value):
        sweep = _whole(given, EARLIER, place.at(i), ("name", "trials"))
        rows = [
            _whole(row, PAST, place.at(i, "trials", j), ("number", "params")) for j, row in enumerate(sweep["trials"])
        ]
        trials = tuple(Past(number=row["number"], params=row["params"], loss=_float(row.get("loss"))) for row in rows)
        found.append(Earlier(name=sweep["name"], trials=trials))
    return tuple(found)


def earlier_to_list(earlier: Sequence[Earlier]) -> list[object]:
    """Return the plain form of what was taken; `read_earlier` is the way back."""
    return [{"name": sweep.name, "trials": [_past(past) for past in sweep.trials]} for sweep in earlier]


def _past(past: Past) -> dict[str, object]:
    loss = {} if past.loss is None else {"loss": past.loss}
    return {"number": past.number, **loss, "params": dict(past.params)}


def _whole(given: Mapping[str, Any], table: Mapping[str, Any], place: Place, needs: Sequence[str]) -> dict[str, Any]:
    found = check_keys(place, given, table)
    for key in needs:
        if key not in found:
            raise place.error(f"{key} is missing", "Whet writes this block itself: leave it out, and name start_from")
    return found


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
