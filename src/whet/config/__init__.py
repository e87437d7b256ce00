"""THE textual form of a sweep: YAML and JSON, a superset of W&B's sweep schema.

`load` and `parse` read it, `to_mapping` and `dump` write it, `schema` describes it to editors. A W&B file parses unchanged;
what Whet adds is listed by `whet sweep --schema`. The law: ``parse(to_mapping(c)) == c`` and ``parse(dump(c)) == c``.

Example:
    >>> config = parse("{method: random, parameters: {lr: {min: 1e-4, max: 0.1, log: true}, seed: 7}}")
    >>> config.problem.space["lr"]
    Float(0.0001, 0.1, log)
"""

from __future__ import annotations

from whet.config.distributions import parameter_from, parameter_to_mapping
from whet.config.names import flatten, nest
from whet.config.parse import limits_from, load, parse, space_from, termination_from
from whet.config.parts import with_parts
from whet.config.schema import schema
from whet.config.values import Plugin, SweepConfig, Termination
from whet.config.write import dump, space_to_mapping, to_mapping

__all__ = [
    "Plugin",
    "SweepConfig",
    "Termination",
    "dump",
    "flatten",
    "limits_from",
    "load",
    "nest",
    "parameter_from",
    "parameter_to_mapping",
    "parse",
    "schema",
    "space_from",
    "space_to_mapping",
    "termination_from",
    "to_mapping",
    "with_parts",
]
