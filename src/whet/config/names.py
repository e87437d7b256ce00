"""Dotted names and nested mappings: `optimizer.lr` is `lr` in the group `optimizer`."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from whet.errors import ConfigError

__all__ = ["flatten", "nest", "split"]


def split(name: str, groups: Collection[str] | None = None) -> tuple[str, ...]:
    """Return the keys under which the parameter `name` is nested.

    Args:
        name: A dotted name.
        groups: The names of the groups there are; other dots are part of a key. None: every dot nests.

    Example:
        >>> split("optimizer.lr.max", {"optimizer"})
        ('optimizer', 'lr.max')
    """
    if groups is None:
        return tuple(name.split("."))
    keys, start = [], 0
    for i, letter in enumerate(name):
        if letter == "." and name[:i] in groups:
            keys.append(name[start:i])
            start = i + 1
    return (*keys, name[start:])


def nest(params: Mapping[str, object], groups: Collection[str] | None = None) -> dict[str, object]:
    """Return `params` with dotted names nested; `flatten` is the way back.

    Args:
        params: Values by dotted name.
        groups: As in `split`; `SweepConfig.nested` gives the form in which the sweep was written.

    Raises:
        ConfigError: a name is both a value and a group.

    Example:
        >>> nest({"optimizer.lr": 0.1, "epochs": 3})
        {'optimizer': {'lr': 0.1}, 'epochs': 3}
    """
    tree: dict[str, object] = {}
    inner: dict[tuple[str, ...], dict[str, object]] = {(): tree}
    for name, value in params.items():
        *path, last = split(name, groups)
        branch = tree
        for depth in range(1, len(path) + 1):
            below = inner.get(tuple(path[:depth]))
            if below is None:
                if path[depth - 1] in branch:
                    raise _clash(".".join(path[:depth]))
                below = branch[path[depth - 1]] = inner[tuple(path[:depth])] = {}
            branch = below
        if last in branch:
            raise _clash(name)
        branch[last] = value
    return tree


def flatten(values: Mapping[str, object], groups: Collection[str] | None = None) -> dict[str, object]:
    """Return nested `values` by dotted name. An empty mapping is a value; so is one that is not among `groups`, if given."""
    flat: dict[str, object] = {}

    def visit(prefix: str, branch: Mapping[str, object]) -> None:
        for key, value in branch.items():
            name = f"{prefix}{key}"
            if isinstance(value, Mapping) and value and (groups is None or name in groups):
                visit(f"{name}.", value)
            elif name in flat:
                raise _clash(name)
            else:
                flat[name] = value

    visit("", values)
    return flat


def _clash(name: str) -> ConfigError:
    return ConfigError(f"{name!r} is there twice, or is both a value and a group", "rename one", path=name)
