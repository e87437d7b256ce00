"""Every key of a sweep file, once: what it may hold and what it is for. The parser and the JSON Schema both read this table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from whet.config.place import Place
from whet.config.read import kind
from whet.trial import Goal, Summary

__all__ = [
    "EARLIER",
    "KEPT",
    "LIMIT",
    "METRIC",
    "PARAMETER",
    "PAST",
    "RESOURCES",
    "SWEEP",
    "TERMINATE",
    "check",
    "check_keys",
]

Fragment = dict[str, Any]
Table = Mapping[str, Fragment]

_TEXT: Fragment = {"type": "string"}
_NUMBER: Fragment = {"type": "number"}
_POSITIVE: Fragment = {"type": "number", "exclusiveMinimum": 0}
_FLAG: Fragment = {"type": "boolean"}
_WEIGHTS: Fragment = {"type": "array", "minItems": 1, "items": {"type": "number", "minimum": 0}}


def _table(**rows: tuple[Fragment, str]) -> Table:
    return MappingProxyType({key: {**fragment, "description": text} for key, (fragment, text) in rows.items()})


PARAMETER = _table(
    value=({}, "A constant."),
    values=({"type": "array", "minItems": 1}, "The choices."),
    probabilities=(_WEIGHTS, "Of each of the values; they add up to 1."),
    weights=(_WEIGHTS, "Relative probabilities of the values; any sum."),
    ordered=(_FLAG, "The order of the values means something (small, medium, large)."),
    distribution=(_TEXT, "How values are drawn; inferred when left out."),
    min=(_NUMBER, "The least value, itself legal (of log_uniform with min <= 0, and of W&B's other log distributions "
                  "not ending in _values: its natural logarithm)."),
    max=(_NUMBER, "The greatest value, as min."),
    mu=(_NUMBER, "Mean, of the natural logarithm if log (default 0)."),
    sigma=({"type": "number", "minimum": 0}, "Standard deviation, as mu (default 1)."),
    a=(_POSITIVE, "First parameter of the beta distribution (default 1)."),
    b=(_POSITIVE, "Second parameter of the beta distribution (default 1)."),
    q=(_POSITIVE, "Only multiples of q; an integer q makes integers (default 1 in q_ distributions)."),
    step=(_POSITIVE, "Only min, min + step, …"),
    log=(_FLAG, "Uniform in the logarithm; needs min > 0."),
    around=({}, "A good value: Whet guesses a range around it."),
    when=({"type": ["string", "object"]}, "The parameter exists only where this holds: an expression over the others "
          "(optimizer == 'sgd'), or a mapping {optimizer: sgd} or {optimizer: [sgd, rmsprop]}."),
    parameters=({"type": "object"}, "Nested parameters: a program gets them as one nested value."),
)  # fmt: skip

METRIC = _table(
    name=(_TEXT, "As the training code logs it."),
    goal=({"enum": [goal.value for goal in Goal]}, "Which way is better (default minimize)."),
    target=(_NUMBER, "The sweep may end once a run is at least this good."),
    summary=({"enum": [summary.value for summary in Summary]}, "Which of a run's logged values counts (default last)."),
    impute=({"enum": ["latest", "best", "worst"]}, "W&B's; kept, but Whet does not act on it."),
    impute_while_running=({"enum": ["latest", "best", "worst", "false", False]}, "W&B's; kept, but not acted on."),
)

LIMIT = _table(
    min=(_NUMBER, "The least value that keeps the limit."),
    max=(_NUMBER, "The greatest value that keeps the limit."),
)

RESOURCES = _table(
    cpus=({"type": "integer", "minimum": 1}, "Cores of one trial (default 1)."),
    gpus=({"type": "integer", "minimum": 0}, "Devices of one trial (default 0)."),
    mem_gb=(_POSITIVE, "Memory of one trial."),
    timeout_s=(_POSITIVE, "A trial is ended after that many seconds."),
)

TERMINATE = _table(
    no_improvement=({"type": "integer", "minimum": 1}, "After so many finished trials without an improvement."),
    tolerance=({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "A gain counts as an improvement only above this share of the "
               "best value before (default 0); goes with no_improvement."),
    wall_clock_s=(_POSITIVE, "That many seconds after the first trial started."),
    cost=({"type": "object", "minProperties": 1, "additionalProperties": _POSITIVE}, "Once the trials together have used up a budget: "
          "of seconds, of one of the metrics, or of an attribute of the trials, by name."),
)  # fmt: skip

KEPT = ("entity", "controller", "scheduler", "job", "image_uri", "apiVersion", "kind")
"""W&B's keys that Whet keeps but does not act on."""

EARLIER = _table(
    name=(_TEXT, "The sweep's."),
    trials=({"type": "array", "items": {"type": "object"}}, "Of those that it had, the best first."),
)

PAST = _table(
    number=({"type": "integer", "minimum": 0}, "The trial's."),
    params=({"type": "object"}, "Its configuration."),
    loss=(_NUMBER, "Its result, the smaller the better; left out: it failed."),
)

SWEEP = _table(
    name=(_TEXT, "As shown to people."),
    description=(_TEXT, "As shown to people."),
    project=(_TEXT, "The project that the runs belong to."),
    program=(_TEXT, "The training script: a Python file, another program, or -m module."),
    command=({"type": ["string", "array"]}, "The command, with W&B's macros (default ${env} ${interpreter} ${program} ${args})."),
    method=({"type": ["string", "object"]}, "The search method (default bayes), or a mapping of its name and knobs."),
    metric=({"type": ["string", "object"]}, "What is optimised: its name, or a mapping."),
    metrics=({"type": "array"}, "Several metrics to optimise together, instead of metric; none: trials are not compared."),
    parameters=({"type": "object"}, "The search space: a range, choices or a constant by name."),
    constraints=({"type": ["string", "array"]}, "Expressions that every configuration must fulfil."),
    limits=({"type": "object"}, "What a trial must keep to be the best, by name of a value that the trial reports: {max: …}, {min: …}."),
    early_terminate=({"type": ["string", "object"]}, "How bad trials are stopped early: a type, or a mapping with its knobs."),
    run_cap=({"type": "integer", "minimum": 1}, "The greatest number of trials."),
    terminate=({"type": "object", "minProperties": 1, "dependentRequired": {"tolerance": ["no_improvement"]}},
               "When the sweep ends by itself: whichever of its keys comes first."),
    seed=({"type": "integer"}, "The searcher's seed."),
    resources=({"type": "object"}, "What one trial needs."),
    start_from=({"type": ["string", "array"], "minItems": 1, "items": _TEXT},
                "Names or ids of earlier sweeps to learn from; their trials are taken when the sweep is made."),
    earlier=({"type": "array", "items": {"type": "object"}}, "What was taken from them: Whet writes it into the sweep."),
    define_by_run=(_FLAG, "The space is learned from what the objective asks for; it may start empty."),
    attrs=({"type": "object"}, "The user's own attributes of the study."),
    nested=({"type": "array", "items": _TEXT}, "Groups whose dotted parameters a program gets as one nested value."),
    **{key: ({}, "W&B's; kept, but Whet does not act on it.") for key in KEPT},
)  # fmt: skip

_NAMES = {
    "string": "text", "number": "a number", "integer": "an integer", "boolean": "true or false",
    "array": "a list", "object": "a mapping",
}  # fmt: skip


def check(place: Place, value: object, fragment: Mapping[str, Any]) -> Any:
    """Return `value`, which must be as the JSON Schema `fragment` says (type, enum, minimum, exclusiveMinimum, …).

    Integers may be written as 50.0 or 1e3; numbers must be finite.
    """
    if "enum" in fragment:
        if value in fragment["enum"]:
            return value
        if isinstance(value, str):
            raise place.unknown("value", value, [v for v in fragment["enum"] if isinstance(v, str)])
        raise place.error(f"got {kind(value)}", f"give one of {', '.join(map(str, fragment['enum']))}")
    types = fragment.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(_is(value, name) for name in types):
        wanted = " or ".join(_NAMES[name] for name in types)
        raise place.error(f"got {kind(value)}, wanted {wanted}", _advice(value, types))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if types and not math.isfinite(value):
            raise place.error(f"{value} is not finite", "give a finite number")
        if "minimum" in fragment and value < fragment["minimum"]:
            raise place.error(f"{value!r} is below {fragment['minimum']}", f"give {fragment['minimum']} or more")
        if "exclusiveMinimum" in fragment and value <= fragment["exclusiveMinimum"]:
            raise place.error(f"{value!r} is not above {fragment['exclusiveMinimum']}", "give a greater number")
        if "exclusiveMaximum" in fragment and value >= fragment["exclusiveMaximum"]:
            raise place.error(f"{value!r} is not below {fragment['exclusiveMaximum']}", "give a smaller number")
        return int(value) if "integer" in types else value
    if isinstance(value, list):
        if len(value) < fragment.get("minItems", 0):
            raise place.error("the list is empty", "give at least one value")
        if "items" in fragment:
            return [check(place.at(i), inner, fragment["items"]) for i, inner in enumerate(value)]
    if isinstance(value, Mapping):
        if len(value) < fragment.get("minProperties", 0):
            raise place.error("the mapping is empty", "give at least one key, or leave it out")
        if "additionalProperties" in fragment:
            return {key: check(place.at(key), inner, fragment["additionalProperties"]) for key, inner in value.items()}
    return value


def check_keys(place: Place, given: Mapping[str, object], table: Table) -> dict[str, Any]:
    """Return `given` with every key known to `table` and every value as it says."""
    for key in given:
        if key not in table:
            raise place.at(key).unknown("key", key, table)
    return {key: check(place.at(key), value, table[key]) for key, value in given.items()}


def _is(value: object, name: str) -> bool:
    match name:
        case "string":
            return isinstance(value, str)
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "integer":
            return _is(value, "number") and float(value).is_integer()  # type: ignore[arg-type]
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list)
    return isinstance(value, Mapping)


def _advice(value: object, types: list[str]) -> str:
    if value is None:
        return "give a value, or leave the key out"
    if isinstance(value, str) and ("number" in types or "integer" in types):
        try:
            float(value)
        except ValueError:
            return "give a number"
        return "take the quotes off"
    if "string" in types and isinstance(value, (bool, int, float)):
        return "put it in quotes"
    return f"give {' or '.join(_NAMES[name] for name in types)}"
