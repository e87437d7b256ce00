"""What `whet run` was asked to do: its options, read once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whet.errors import ConfigError
from whet.trial import Goal, Limit, Metric

__all__ = ["Asked", "asked"]

_LIMIT = re.compile(
    r"\s*(?P<name>[^<>=]*[^<>=\s])\s*(?P<sign><=|>=)\s*(?P<bound>[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?)\s*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of one call of ``whet run``, in the words of its help.

    Args:
        arguments: What came after ``--``.
        resources: Those of `whet.launch.base.Resources` that are given.
    """

    arguments: tuple[str, ...]
    module: str | None
    method: str | None
    knobs: Mapping[str, object]
    count: int | None
    jobs: int
    stopper: str | None
    stop_knobs: Mapping[str, object]
    metrics: tuple[Metric, ...]
    limits: tuple[Limit, ...]
    name: str | None
    project: str | None
    seed: int | None
    resources: Mapping[str, object]
    config_file: Path | None
    force_flags: bool
    list_flags: bool
    print_trials: bool
    stage: bool
    yes: bool
    as_json: bool


def asked(given: Mapping[str, Any], arguments: tuple[str, ...]) -> Asked:
    """Return the options as click gives them.

    Raises:
        ConfigError: a knob without a value, a metric that is to be both minimized and maximized, a limit that can't be read.
    """
    named = dict(given)
    resources = {name: named.pop(name) for name in ("timeout_s", "gpus")}
    named["knobs"] = _knobs("-Fo", named["knobs"])
    named["stop_knobs"] = _knobs("-Fs", named["stop_knobs"])
    metrics = _metrics(named.pop("minimize"), named.pop("maximize"))
    named["limits"] = _limits(named["limits"])
    kept = {name: value for name, value in resources.items() if value is not None}
    return Asked(arguments=arguments, metrics=metrics, resources=kept, **named)


def _knobs(option: str, words: tuple[str, ...]) -> dict[str, object]:
    from whet.project.values import scalar

    found: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"{option} {word} has no value", f"write {option} KNOB=VALUE")
        found[name.strip()] = scalar(value)
    return found


def _metrics(minimize: tuple[str, ...], maximize: tuple[str, ...]) -> tuple[Metric, ...]:
    both = [name for name in minimize if name in maximize]
    if both:
        raise ConfigError(f"{both[0]!r} is to be both minimized and maximized", "give one of them")
    found = [Metric(name=name, goal=Goal.MINIMIZE) for name in dict.fromkeys(minimize)]
    return (*found, *(Metric(name=name, goal=Goal.MAXIMIZE) for name in dict.fromkeys(maximize)))


def _limits(words: tuple[str, ...]) -> tuple[Limit, ...]:
    found: dict[str, dict[str, float]] = {}
    for word in words:
        parts = _LIMIT.fullmatch(word)
        if parts is None:
            raise ConfigError(f"--limit {word} can't be read", "write NAME<=NUMBER or NAME>=NUMBER in quotes: --limit 'latency_ms<=20'")  # fmt: skip
        bounds, side = found.setdefault(parts["name"], {}), {"<=": "max", ">=": "min"}[parts["sign"]]
        if side in bounds:
            raise ConfigError(f"--limit gives {parts['name']} two bounds {parts['sign']}", "give one of them")
        bounds[side] = float(parts["bound"])
    return tuple(Limit(name=name, **bounds) for name, bounds in found.items())
