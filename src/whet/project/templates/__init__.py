"""Sweep files to begin with: each a file beside this one, named as it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import final

from whet.config import SweepConfig, parse
from whet.config.read import read
from whet.errors import ConfigError, UnknownName

__all__ = ["Template", "changed", "template", "templates"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A sweep file to begin with: its name, what it is for, and its text (YAML)."""

    name: str
    about: str
    text: str


def templates() -> list[Template]:
    """Return all of them, by name."""
    files = [file for file in resources.files(__name__).iterdir() if file.name.endswith(".yaml")]
    return [
        _read(file.name.removesuffix(".yaml"), file.read_text(encoding="utf-8"))
        for file in sorted(files, key=lambda f: f.name)
    ]


def template(name: str) -> Template:
    """Return the one of that name.

    Raises:
        UnknownName: there is none.
    """
    known = {one.name: one for one in templates()}
    if name not in known:
        raise UnknownName.of("template", name, known)
    return known[name]


def changed(name: str, changes: Mapping[str, object]) -> SweepConfig:
    """Return the sweep of a template with some of its keys changed.

    Args:
        name: The template's.
        changes: Keys of a sweep file with what they are to be; None leaves one out. What stands under `parameters` is changed name by name.

    Raises:
        UnknownName: there is no such template.
        ConfigError: what comes out is no sweep.

    Example:
        >>> changed("gradient-boosting", {"run_cap": 9, "parameters": {"max_depth": 4, "subsample": None}}).run_cap
        9
    """
    found = template(name)
    given, _ = read(found.text, name)
    for key, value in changes.items():
        old = given.get(key)
        if key == "parameters" and isinstance(old, dict):
            if not isinstance(value, Mapping):
                raise ConfigError(
                    f"parameters={value!r:.80} is no mapping", "give parameters by name, None for one to leave out"
                )
            given[key] = _without_none({**old, **value})
        else:
            given[key] = value
    return parse(_without_none(given), source=f"template {name}")


def _without_none(mapping: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in mapping.items() if value is not None}


def _read(name: str, text: str) -> Template:
    return Template(name=name, about=parse(text, source=name).description, text=text)
