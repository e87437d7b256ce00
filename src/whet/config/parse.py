"""A sweep file or mapping to a `SweepConfig`."""

from __future__ import annotations

import contextlib
import difflib
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from whet import plugins
from whet.config.conditions import condition, expression
from whet.config.distributions import read_parameter
from whet.config.earlier import read_earlier, read_names
from whet.config.keys import KEPT, LIMIT, METRIC, PARAMETER, RESOURCES, SWEEP, TERMINATE, check, check_keys
from whet.config.names import nest
from whet.config.place import Place
from whet.config.read import kind, plain, read
from whet.config.values import Plugin, SweepConfig, Termination
from whet.errors import ConfigError, SpaceError, UnknownName
from whet.expression import Expression
from whet.space import Parameter, Space, undefined
from whet.trial import Goal, Limit, Metric, Problem, Summary

__all__ = ["limits_from", "load", "parse", "space_from", "termination_from"]

_IMPUTE = ("impute", "impute_while_running")


def load(path: Path) -> SweepConfig:
    """Return the sweep in the file at `path`, YAML or JSON in UTF-8.

    Raises:
        ConfigError: there is no such file, it can't be read, or it holds no sweep.
    """
    place = Place(str(path))
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        folder = Path(path).parent
        there: list[str] = []
        with contextlib.suppress(OSError):  # no such folder, or one that may not be listed
            there = [p.name for p in folder.iterdir() if p.suffix in (".yaml", ".yml", ".json")]
        close = difflib.get_close_matches(Path(path).name, there, n=1)
        fix = f"did you mean {str(folder / close[0])!r}?" if close else "check the name and the current folder"
        raise place.error("there is no such file", fix) from None
    except IsADirectoryError:
        raise place.error("this is a folder", "name the sweep file in it") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise place.on(line).error(
            f"byte 0x{error.object[error.start]:02x} is not UTF-8", "save the file as UTF-8"
        ) from None
    except OSError as error:
        if os.path.isdir(
            path
        ):  # on Windows, opening a folder is a matter of permission; Path.is_dir may itself be refused
            raise place.error("this is a folder", "name the sweep file in it") from None
        raise place.error(f"it can't be read ({error.strerror})", "check its permissions") from None
    return parse(text, source=str(path))


def parse(text_or_mapping: str | Mapping[str, object], *, source: str = "<config>") -> SweepConfig:
    """Return the sweep that a text (YAML or JSON) or a mapping describes.

    Args:
        text_or_mapping: In W&B's schema or Whet's, which contains it.
        source: Where it comes from, for errors.

    Raises:
        ConfigError: it describes none; the message names source, line (of a text) and path.

    Example:
        >>> parse({"method": "grid", "parameters": {"lr": [0.1, 0.01]}}).problem.space
        Space({'lr': Choice([0.1, 0.01])})
    """
    if isinstance(text_or_mapping, str):
        raw, place = read(text_or_mapping, source)
    else:
        place = Place(source)
        if not isinstance(text_or_mapping, Mapping):
            raise place.error(f"got {kind(text_or_mapping)}, wanted a mapping or text", "give a sweep's configuration")
        raw = plain(text_or_mapping, place)
    # A key without a value is left out; `parameters` complains of it itself.
    given = check_keys(place, {k: v for k, v in raw.items() if v is not None or k not in SWEEP}, SWEEP)
    notices: list[str] = []
    extra: dict[str, object] = {key: given[key] for key in KEPT if key in given}
    method = _method(given, place, notices)
    stopper = (
        _plugin("stopper", given["early_terminate"], place.at("early_terminate"), "type")
        if given.get("early_terminate")
        else None
    )
    space, nested = _space(given, place, notices)
    if not space and not given.get("define_by_run"):
        raise place.at("parameters").error(
            "the space is empty", "give at least one parameter, such as lr: {min: 0.0001, max: 0.1, log: true}"
        )
    metrics, impute = _metrics(given, place)
    if impute:
        extra["impute"] = impute
    limits = _limits(given.get("limits", {}), place.at("limits"), space)
    # A function returns its value, whatever that is called; a program without a metric is run for what it leaves behind.
    compares_nothing = not metrics and not {"metrics", "program", "command"}.isdisjoint(given)
    if not metrics:
        _without_metric(given, method, place, notices)
    earlier = read_earlier(given.get("earlier", []), place.at("earlier"))
    aims: dict[str, Any] = {"metrics": metrics} if metrics or compares_nothing else {}
    return SweepConfig(
        problem=Problem(space=space, limits=limits, earlier=earlier, **aims),
        method=method,
        stopper=stopper,
        name=given.get("name"),
        project=given.get("project"),
        description=given.get("description", ""),
        program=given.get("program"),
        command=_command(given["command"], place.at("command")) if "command" in given else None,
        run_cap=given.get("run_cap"),
        terminate=_terminate(given["terminate"], place.at("terminate")) if "terminate" in given else None,
        seed=given.get("seed"),
        resources=check_keys(place.at("resources"), given.get("resources", {}), RESOURCES),
        start_from=read_names(given.get("start_from", []), place.at("start_from")),
        define_by_run=given.get("define_by_run", False),
        extra=extra,
        attrs=given.get("attrs", {}),
        nested=nested,
        notices=tuple(notices),
    )


def space_from(mapping: Mapping[str, object], *, source: str = "<config>") -> Space:
    """Return the space of a mapping with `parameters` and `constraints`, the inverse of `space_to_mapping`.

    Raises:
        ConfigError: it describes none.
    """
    place = Place(source)
    return _space(check_keys(place, plain(mapping, place), SWEEP), place, [])[0]


def termination_from(mapping: Mapping[str, object], *, source: str = "<config>") -> Termination:
    """Return what a mapping says under `terminate`.

    Raises:
        ConfigError: it says nothing, or what it can't.
    """
    place = Place(source).at("terminate")
    return _terminate(check(place, plain(mapping, place), SWEEP["terminate"]), place)


def limits_from(mapping: Mapping[str, object], space: Space, *, source: str = "<config>") -> tuple[Limit, ...]:
    """Return what a mapping says under `limits`.

    Raises:
        ConfigError: it describes none, or one of a parameter of `space`.
    """
    place = Place(source).at("limits")
    return _limits(check(place, plain(mapping, place), SWEEP["limits"]), place, space)


def _plugin(kind_: str, value: object, place: Place, key: str) -> Plugin:
    """Return the plug-in that a name, or a mapping with the name under `key` and its knobs, names."""
    if isinstance(value, str):
        value, here = {key: value}, place
    else:
        here = place.at(key)
    assert isinstance(value, Mapping)
    if key not in value:
        raise place.error(f"{key} is missing", f"write {{{key}: …}} and the knobs beside it")
    name = value[key]
    if not isinstance(name, str):
        raise here.error(f"got {kind(name)}, wanted text", f"give one of {', '.join(plugins.names(kind_))}")
    known = plugins.names(kind_)
    if name not in known:
        shown = {"searcher": "method"}.get(kind_, kind_)
        raise here.wrap(UnknownName.of(shown, name, known))
    return Plugin(name=name, knobs={knob: v for knob, v in value.items() if knob != key})


def _method(given: Mapping[str, Any], place: Place, notices: list[str]) -> Plugin:
    value = given.get("method", "bayes")
    if value == "custom":
        notices.append("method custom hands the search to W&B's own scheduler; Whet searches with bayes instead")
        value = "bayes"
    return _plugin("searcher", value, place.at("method"), "name")


def _terminate(value: Mapping[str, object], place: Place) -> Termination:
    given = check_keys(place, value, TERMINATE)
    if "tolerance" in given and "no_improvement" not in given:
        raise place.at("tolerance").error("it says what counts as no improvement", "add no_improvement, such as 20")
    return Termination(**given)


def _limits(value: Mapping[str, object], place: Place, space: Space) -> tuple[Limit, ...]:
    found: list[Limit] = []
    for name, bounds in value.items():
        here = place.at(name)
        if not name:
            raise here.error("the name is empty", "give the name that the trial reports, such as latency_ms")
        if name in space:
            raise here.error(
                f"{name} is a parameter, which is known beforehand",
                f'write it among the constraints, such as constraints: ["{name} <= …"], or narrow its range',
            )
        if not isinstance(bounds, Mapping):
            raise here.error(f"got {kind(bounds)}, wanted a mapping", "write {max: …}, {min: …} or both")
        given = check_keys(here, bounds, LIMIT)
        if not given:
            raise here.error("it has no bound", "write {max: …}, {min: …} or both")
        low, high = given.get("min"), given.get("max")
        if low is not None and high is not None and low > high:
            raise here.error(f"min {low!r} is above max {high!r}", "exchange them")
        found.append(
            Limit(name=name, min=None if low is None else float(low), max=None if high is None else float(high))
        )
    return tuple(found)


def _space(given: Mapping[str, Any], place: Place, notices: list[str]) -> tuple[Space, frozenset[str]]:
    parameters: dict[str, Parameter] = {}
    places: dict[str, Place] = {}
    groups: set[str] = set(given.get("nested", ()))
    for name, value, here, group_when in _leaves(given.get("parameters", {}), place.at("parameters"), "", (), groups):
        if name in parameters:
            raise here.error(f"the parameter {name} is there twice", "leave one out")
        if group_when:
            own = [condition(value["when"], here.at("when"))] if isinstance(value, Mapping) and "when" in value else []
            joined = " and ".join(f"({rule.source})" for rule in [*group_when, *own])
            value = {**(value if isinstance(value, Mapping) else _scalar(value)), "when": joined}
        parameters[name], places[name] = read_parameter(value, name, here, notices), here
    texts = given.get("constraints", [])
    rules = [(place.at("constraints"), texts)] if isinstance(texts, str) else [
        (place.at("constraints", i), text) for i, text in enumerate(texts)
    ]  # fmt: skip
    constraints = [expression(text, here) for here, text in rules]
    owned = [(places[name].at("when"), p.when) for name, p in parameters.items() if p.when is not None]
    for here, rule in [*owned, *((rules[i][0], rule) for i, rule in enumerate(constraints))]:
        for unknown in undefined(rule, parameters):
            raise here.wrap(unknown)
    try:
        nest(dict.fromkeys(parameters), groups)  # no name may be both a value and a group
        return Space(parameters, constraints=constraints), frozenset(groups)
    except (SpaceError, ConfigError) as error:
        raise place.at("parameters").wrap(error) from None


def _scalar(value: object) -> dict[str, object]:
    return {"values": value} if isinstance(value, list) else {} if value is None else {"value": value}


def _leaves(
    branch: Mapping[str, object], place: Place, prefix: str, when: tuple[Expression, ...], groups: set[str]
) -> Iterator[tuple[str, Any, Place, tuple[Expression, ...]]]:
    """Yield the parameters of `branch` by dotted name, with the conditions of the groups they are in."""
    for key, value in branch.items():
        here, name = place.at(key), prefix + key
        if not key or key.startswith(".") or key.endswith(".") or ".." in key:
            raise here.error(f"{key!r} is no name for a parameter", "give one without dots at its ends")
        if not (isinstance(value, Mapping) and "parameters" in value):
            yield name, value, here, when
            continue
        given = check_keys(here, value, PARAMETER)
        for other in given.keys() - {"parameters", "when"}:
            raise here.at(other).error(f"{other} does not go with nested parameters", "leave it out")
        if not given["parameters"]:
            raise here.at("parameters").error("the group is empty", "give it a parameter, or leave it out")
        groups.add(name)
        own = (condition(given["when"], here.at("when")),) if "when" in given else ()
        yield from _leaves(given["parameters"], here.at("parameters"), f"{name}.", (*when, *own), groups)


def _metrics(given: Mapping[str, Any], place: Place) -> tuple[tuple[Metric, ...], dict[str, object]]:
    """Return the metrics, and W&B's imputation keys by name of the metric."""
    if "metric" in given and "metrics" in given:
        raise place.at("metrics").error("there is a metric, too", "list it among the metrics, or leave one out")
    found: list[tuple[Place, object]] = [(place.at("metrics", i), m) for i, m in enumerate(given.get("metrics", []))]
    if "metric" in given:
        found = [(place.at("metric"), given["metric"])]
    metrics: list[Metric] = []
    impute: dict[str, object] = {}
    for here, value in found:
        if not isinstance(value, (str, Mapping)):
            raise here.error(f"got {kind(value)}, wanted text or a mapping", "give the metric's name")
        fields = check_keys(here, {"name": value} if isinstance(value, str) else value, METRIC)
        name = fields.get("name")
        if not name:
            raise here.error("name is missing", "give the name that the training code logs")
        if name in [m.name for m in metrics]:
            raise here.error(f"the metric {name!r} is there twice", "leave one out")
        target = fields.get("target")
        metrics.append(
            Metric(
                name=name,
                goal=Goal(fields.get("goal", "minimize")),
                target=None if target is None else float(target),
                summary=Summary(fields.get("summary", "last")),
            )
        )
        kept = {key: fields[key] for key in _IMPUTE if key in fields}
        if kept:
            impute[name] = kept
    return tuple(metrics), impute


def _without_metric(given: Mapping[str, Any], method: Plugin, place: Place, notices: list[str]) -> None:
    """Refuse a sweep that needs a metric and has none."""
    fix = "add metric: {name: …, goal: minimize}"
    if given.get("early_terminate"):
        raise place.at("metric").error("early_terminate compares trials by a metric, and there is none", fix)
    if given.get("terminate", {}).get("no_improvement") and not {"metrics", "program", "command"}.isdisjoint(given):
        raise place.at("metric").error("terminate.no_improvement goes by a metric, and there is none", fix)
    if "program" not in given and "command" not in given:
        return  # a function returns its value
    if plugins.find("searcher", method.name).learns:
        raise place.at("metric").error(f"method {method.name} needs a metric, and there is none", fix)
    if "metrics" not in given:  # an empty list says that nothing is to be compared
        notices.append(f"no metric is given, so trials are run but not compared; {fix} to compare them")


def _command(value: str | list[object], place: Place) -> tuple[str, ...]:
    words: list[str] = []
    if isinstance(value, str):
        try:
            words = shlex.split(value)
        except ValueError as error:
            raise place.error(
                f"{value!r} can't be split into words ({error})", "close the quote, or give a list"
            ) from None
    else:
        for i, word in enumerate(value):
            if isinstance(word, bool) or not isinstance(word, (str, int, float)):
                raise place.at(i).error(f"got {kind(word)}, wanted text", "put it in quotes")
            words.append(str(word))
    if not words:
        raise place.error("the command is empty", "leave it out for W&B's: ${env} ${interpreter} ${program} ${args}")
    return tuple(words)
