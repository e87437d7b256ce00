"""The run's config and summary: mappings with attribute access that tell the run what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, final

from whet.errors import TrackError, nearest
from whet.store.base import Stat
from whet.track.values import plain

__all__ = ["Config", "Summary", "leaves", "nested"]


def nested(params: Mapping[str, object]) -> dict[str, Any]:
    """Return `params` with dotted names unfolded: ``{"model.lr": 1}`` → ``{"model": {"lr": 1}}``."""
    tree: dict[str, Any] = {}
    for name, value in params.items():
        branch, *deeper = name.split(".")
        here = tree
        for part in deeper:
            child = here.setdefault(branch, {})
            if not isinstance(child, dict):  # "a" and "a.b" both: the dotted one stays as it is
                here, branch = tree, name
                break
            here, branch = child, part
        here[branch] = value
    return tree


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all values in `tree`."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


class _Face(MutableMapping[str, Any]):
    """Items as attributes; names with an underscore are the object's own."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            known = nearest(name, self)
            raise AttributeError(
                f"no {name!r} here; known, nearest first: {', '.join(known[:10]) or 'nothing yet'}"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]


@final
class Config(_Face):
    """The run's configuration.

    ``config.lr``, ``config["lr"]``, ``config.model.width`` and ``config["model.width"]`` all work. What a sweep chose is locked:
    setting it does nothing but a notice, so a script's defaults don't undo the search.
    """

    def __init__(
        self,
        data: dict[str, Any],
        changed: Callable[[str], None],
        locked: Callable[[str], bool] = lambda path: False,
        prefix: str = "",
    ) -> None:
        self._data = data
        self._changed = changed
        self._locked = locked
        self._prefix = prefix

    def __getitem__(self, key: str) -> Any:
        if key not in self._data and "." in key:
            first, _, rest = key.partition(".")
            child = self[first]
            if isinstance(child, Config):
                return child[rest]
        value = self._data[key]
        if isinstance(value, dict):
            return Config(value, self._changed, self._locked, f"{self._prefix}{key}.")
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str) or not key:
            raise TrackError(f"config key {key!r} is no text", 'name it: run.config["lr"] = 0.1')
        first, _, rest = key.partition(".")
        if rest and key not in self._data and isinstance(self._data.get(first), dict):
            self[first][rest] = value
            return
        if isinstance(value, Mapping) and isinstance(self._data.get(key), dict):
            self[key].update(value)  # key by key, so that locked ones stay
            return
        if not self._locked(f"{self._prefix}{key}"):
            self._data[key] = plain(value)
            self._changed(f"{self._prefix}{key}".partition(".")[0])

    def __delitem__(self, key: str) -> None:
        raise TrackError(f"config {key!r} can't be deleted", "what a run recorded stays; set it to None instead")

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return repr(self._data)

    def update(self, other: Any = (), allow_val_change: bool = False, **more: Any) -> None:  # type: ignore[override]
        """Set several keys, from a mapping, an ``argparse.Namespace``, or pairs."""
        if not isinstance(other, Mapping) and hasattr(other, "__dict__"):
            other = vars(other)
        for key, value in {**dict(other), **more}.items():
            self[key] = value

    def as_dict(self) -> dict[str, Any]:
        """Return a copy as plain dictionaries."""
        copied: dict[str, Any] = plain(self._data)
        return copied


@final
class Summary(_Face):
    """What the run comes to: of each logged metric its last value (or what `define_metric` chose), and what the user sets himself."""

    def __init__(self, stats: Callable[[], Mapping[str, Stat]], changed: Callable[[Mapping[str, Any]], None]) -> None:
        self._stats = stats
        self._changed = changed
        self._own: dict[str, Any] = {}
        self._rules: dict[str, str] = {}

    def last(self, name: str) -> float:
        """Return the last logged value of a metric."""
        return self._stat(name).last

    def min(self, name: str) -> float:
        """Return the least logged value of a metric."""
        return self._stat(name).min

    def max(self, name: str) -> float:
        """Return the greatest logged value of a metric."""
        return self._stat(name).max

    def best(self, name: str, goal: str = "minimize") -> float:
        """Return the least, or for the goal "maximize" the greatest value."""
        return self.max(name) if goal.startswith("max") else self.min(name)

    def rules(self) -> dict[str, float]:
        """Return the values of the metrics that have a rule."""
        stats = self._stats()
        return {name: getattr(stats[name], rule) for name, rule in self._rules.items() if name in stats}

    def set_rule(self, name: str, rule: str) -> None:
        """Make "min", "max" or "last" of the metric its summary."""
        self._rules[name] = rule

    def __getitem__(self, key: str) -> Any:
        if key in self._own:
            return self._own[key]
        stats = self._stats()
        if key in stats:
            return getattr(stats[key], self._rules.get(key, "last"))
        raise KeyError(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._own[key] = plain(value)
        self._changed({key: self._own[key]})

    def __delitem__(self, key: str) -> None:
        del self._own[key]
        self._changed({key: None})

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys([*self._stats(), *self._own])

    def __len__(self) -> int:
        return len({*self._stats(), *self._own})

    def __repr__(self) -> str:
        return repr(dict(self))

    def update(self, other: Any = (), **more: Any) -> None:  # type: ignore[override]
        """Set several keys with one record."""
        new = {str(k): plain(v) for k, v in {**dict(other), **more}.items()}
        self._own |= new
        if new:
            self._changed(new)

    def _stat(self, name: str) -> Stat:
        stats = self._stats()
        if name not in stats:
            raise TrackError(
                f"no metric {name!r} was logged in this run",
                f"logged so far, nearest first: {', '.join(nearest(name, stats)[:10]) or 'nothing'}",
            )
        return stats[name]
