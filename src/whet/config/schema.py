"""JSON Schema (2020-12) of the textual form, so that editors complete and check it. Made from the tables the parser reads."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from whet import plugins
from whet.config.distributions import DISTRIBUTIONS
from whet.config.keys import EARLIER, LIMIT, METRIC, PARAMETER, PAST, RESOURCES, SWEEP, TERMINATE

__all__ = ["schema"]


def schema() -> dict[str, Any]:
    """Return the schema. What it can't say, the parser checks: min <= max, expressions, the knobs of plug-ins.

    Source:
        JSON Schema, draft 2020-12, https://json-schema.org/draft/2020-12/schema
    """
    sweep = _object(SWEEP)
    keys: dict[str, Any] = sweep["properties"]
    keys["method"] = _named("name", [*plugins.names("searcher"), "custom"], keys["method"]["description"])
    keys["early_terminate"] = _named("type", plugins.names("stopper"), keys["early_terminate"]["description"])
    metric = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/metric"}]}
    keys["metric"] = {**metric, "description": keys["metric"]["description"]}
    keys["metrics"]["items"] = metric
    keys["resources"] |= _object(RESOURCES)
    keys["terminate"] |= _object(TERMINATE)
    keys["limits"]["additionalProperties"] = {**_object(LIMIT), "minProperties": 1}
    keys["earlier"]["items"] = _object(EARLIER)
    keys["earlier"]["items"]["properties"]["trials"]["items"] = _object(PAST)
    for key in keys:
        if key not in ("parameters", "nested") and "type" in keys[key]:
            keys[key]["type"] = [*_list(keys[key]["type"]), "null"]
    keys["parameters"] = {"$ref": "#/$defs/parameters", "description": keys["parameters"]["description"]}
    number = _object(PARAMETER)
    number["properties"]["distribution"]["enum"] = list(DISTRIBUTIONS)
    number["properties"]["parameters"] = {
        "$ref": "#/$defs/parameters", "description": number["properties"]["parameters"]["description"],
    }  # fmt: skip
    number["allOf"] = [_rule(name) for name in DISTRIBUTIONS]
    number["minProperties"] = 1
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Whet sweep",
        "description": "A sweep: what varies, what is optimised, and how. Every sweep file of Weights & Biases is one.",
        **sweep,
        "$defs": {
            "parameters": {"type": "object", "additionalProperties": {"$ref": "#/$defs/parameter"}},
            "parameter": {
                "anyOf": [
                    {"type": ["string", "number", "boolean"], "description": "A constant."},
                    {"type": "array", "minItems": 1, "description": "Choices."},
                    number,
                ]
            },
            "metric": {**_object(METRIC), "required": ["name"]},
        },
    }


def _object(table: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {"type": "object", "properties": copy.deepcopy(dict(table)), "additionalProperties": False}


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _named(key: str, names: list[str], description: str) -> dict[str, Any]:
    choice = {"enum": names}
    knobs = {"type": "object", "properties": {key: choice}, "required": [key]}
    return {"description": description, "anyOf": [choice, knobs, {"type": "null"}]}


def _rule(name: str) -> dict[str, Any]:
    row = DISTRIBUTIONS[name]
    said = {"properties": {"distribution": {"const": name}}, "required": ["distribution"]}
    keys = ["distribution", "when", *row.needs, *row.takes]
    return {"if": said, "then": {"required": list(row.needs), "propertyNames": {"enum": keys}}}
