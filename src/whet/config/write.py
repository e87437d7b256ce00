"""A `SweepConfig` to its plain form and to YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whet.config.distributions import parameter_to_mapping
from whet.config.earlier import earlier_to_list
from whet.config.names import flatten, split
from whet.config.place import Place
from whet.config.read import plain, read_exponents
from whet.config.values import Plugin, SweepConfig, Termination
from whet.space import Space
from whet.trial import Goal, Limit, Metric, Summary

__all__ = ["dump", "space_to_mapping", "to_mapping", "written"]


def to_mapping(config: SweepConfig) -> dict[str, object]:
    """Return the plain form of `config`: what JSON can hold, W&B's words where they suffice, defaults left out.

    The law: ``parse(to_mapping(c)) == c``. The order of the parameters matters to searchers, so a store must keep it.

    Raises:
        ConfigError: a choice or knob that JSON can't hold.
    """
    space = config.problem.space
    impute = config.extra.get("impute", {})
    assert isinstance(impute, Mapping)
    metrics = [_metric(metric, impute.get(metric.name, {})) for metric in config.problem.metrics]
    stopper = config.stopper and {"type": config.stopper.name, **config.stopper.knobs}
    found: dict[str, object] = {
        "name": config.name,
        "description": config.description or None,
        "project": config.project,
        "program": config.program,
        "command": None if config.command is None else list(config.command),
        "method": _method(config.method),
        **({"metric": metrics[0]} if len(metrics) == 1 else {"metrics": metrics}),
        **_parameters(space, config.nested),
        "constraints": [rule.source for rule in space.constraints] or None,
        "limits": {limit.name: _limit(limit) for limit in config.problem.limits} or None,
        "early_terminate": stopper,
        "run_cap": config.run_cap,
        "terminate": None if config.terminate is None else _terminate(config.terminate),
        "seed": config.seed,
        "resources": dict(config.resources) or None,
        "start_from": list(config.start_from) or None,
        "earlier": earlier_to_list(config.problem.earlier) or None,
        "define_by_run": config.define_by_run or None,
        "attrs": dict(config.attrs) or None,
        **{key: value for key, value in config.extra.items() if key != "impute"},
    }
    kept: dict[str, object] = plain({key: value for key, value in found.items() if value is not None}, Place())
    return kept


def space_to_mapping(space: Space) -> dict[str, object]:
    """Return the plain form of `space`: `parameters` by dotted name and, if there are any, `constraints`."""
    found: dict[str, object] = {"parameters": {name: parameter_to_mapping(p) for name, p in space.items()}}
    return {**found, "constraints": [rule.source for rule in space.constraints]} if space.constraints else found


def dump(config: SweepConfig) -> str:
    """Return `config` as YAML text; ``parse(dump(c)) == c``."""
    return written(to_mapping(config))


def written(mapping: Mapping[str, object], *, brief: bool = False) -> str:
    """Return a plain mapping as YAML text, lists of plain values on one line.

    Args:
        mapping: What JSON can hold.
        brief: Mappings that hold nothing but plain values and such lists stand on one line as well, as people write parameters.
    """
    import yaml

    def is_leaf(data: Any) -> bool:
        return not any(isinstance(inner, (dict, list)) for inner in data)

    class Dumper(yaml.SafeDumper):
        """Mappings on lines of their own, lists of plain values on one."""

        def represent_list(self, data: Any) -> Any:
            return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=is_leaf(data))

        def represent_dict(self, data: Any) -> Any:
            inner = data.values()
            short = brief and all(is_leaf(one) if isinstance(one, list) else not isinstance(one, dict) for one in inner)
            return self.represent_mapping(
                "tag:yaml.org,2002:map", data.items(), flow_style=short and data is not mapping
            )

        def ignore_aliases(self, data: Any) -> bool:
            return True

    read_exponents(Dumper)
    Dumper.add_representer(list, Dumper.represent_list)
    Dumper.add_representer(dict, Dumper.represent_dict)
    text: str = yaml.dump(
        mapping, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=False
    )
    return text


def _method(method: Plugin) -> object:
    return {"name": method.name, **method.knobs} if method.knobs else method.name


def _terminate(terminate: Termination) -> dict[str, object]:
    found: dict[str, object] = {
        "no_improvement": terminate.no_improvement,
        "tolerance": terminate.tolerance or None,
        "expected_improvement": terminate.expected_improvement,
        "wall_clock_s": terminate.wall_clock_s,
        "cost": dict(terminate.cost) or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _limit(limit: Limit) -> dict[str, object]:
    return {word: bound for word, bound in (("min", limit.min), ("max", limit.max)) if bound is not None}


def _metric(metric: Metric, impute: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {"name": metric.name, "goal": metric.goal.value}
    if metric.target is not None:
        found["target"] = metric.target
    if metric.summary is not Summary.LAST:
        found["summary"] = metric.summary.value
    assert isinstance(metric.goal, Goal)
    return {**found, **impute}


def _parameters(space: Space, groups: frozenset[str]) -> dict[str, object]:
    """Return `parameters` with the groups nested, or flat beside `nested` where nesting would change their order."""
    flat = {name: parameter_to_mapping(p) for name, p in space.items()}
    if not groups:
        return {"parameters": flat} if flat else {}
    tree: dict[str, Any] = {}
    used: dict[str, None] = {}
    for name, form in flat.items():
        *path, last = split(name, groups)
        branch, group = tree, ""
        for key in path:
            group = f"{group}.{key}" if group else key
            used[group] = None
            branch = branch.setdefault(key, {"parameters": {}})["parameters"]
        branch[last] = form
    order = list(flatten(_names(tree)))
    if order == list(space) and used.keys() == groups:
        return {"parameters": tree}
    return {"parameters": flat, "nested": sorted(groups)}


def _names(tree: Mapping[str, Any]) -> dict[str, object]:
    """Return the names of a tree of parameters without what they hold."""
    return {key: _names(value["parameters"]) if "parameters" in value else None for key, value in tree.items()}
