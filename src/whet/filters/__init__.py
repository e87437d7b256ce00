"""Filters over runs: which rows of the run table are wanted, in the syntax of `whet.expression`.

``val_loss < 0.3 and config.optimizer == "adam"``: comparisons of columns with literals or columns, `in`, `and or not`, brackets.
Here they are parsed into values; a store turns them into SQL, `matches` evaluates them in Python, and both agree
(`docs/filters.md` is the language's description).

A column has a number, a text, or nothing: what is missing, a list, a mapping, NaN and the infinities are nothing. Nothing
equals nothing and is in no order; ``x == None`` asks for it. A number and a text are never equal and in no order either.
"""

from __future__ import annotations

from whet.filters.match import matches, scalar
from whet.filters.nodes import (
    BUILT_IN,
    PLACES,
    STATES,
    STATS,
    And,
    Column,
    Compare,
    Contains,
    Missing,
    Node,
    Not,
    Or,
    Tagged,
    Truth,
)
from whet.filters.read import column, parse

__all__ = [
    "And",
    "BUILT_IN",
    "Column",
    "Compare",
    "Contains",
    "Missing",
    "Node",
    "Not",
    "Or",
    "PLACES",
    "STATES",
    "STATS",
    "Tagged",
    "Truth",
    "column",
    "matches",
    "parse",
    "scalar",
]
