"""The run table in SQL: a `Question` as one statement, for SQLite and for PostgreSQL.

Every operand becomes a pair, its number and its text, of which one at least is NULL; what compares them is the same for both databases,
and only `_json` knows how each looks into JSON. Nothing that a user wrote is ever part of the SQL: literals and keys are parameters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from whet.filters import And, Column, Compare, Contains, Missing, Node, Not, Or, Tagged, Truth
from whet.store.database import Statement
from whet.store.table import PLACE_OF_STAT, Place, Question

__all__ = ["NAMES", "RAW", "TO_JSON", "by_key", "names_of", "statement"]

TO_JSON = r"""
CREATE OR REPLACE FUNCTION pg_temp.whet_json(t text) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
  BEGIN RETURN t::jsonb; EXCEPTION WHEN OTHERS THEN NULL; END;
  t := (SELECT string_agg(CASE WHEN m[1] IN ('NaN', 'Infinity', '-Infinity') THEN 'null' ELSE m[1] END, '' ORDER BY i)
        FROM regexp_matches(t, '("(?:[^"\\]|\\.)*"|-?[A-Za-z]+|[^"A-Za-z-]+|-)', 'g') WITH ORDINALITY AS x(m, i));
  BEGIN RETURN t::jsonb; EXCEPTION WHEN OTHERS THEN NULL; END;
  RETURN regexp_replace(t, '\\u(0000|[dD][89a-fA-F]..)', '\\ufffd', 'g')::jsonb;
END $$
"""
"""PostgreSQL's JSON holds no NaN, no infinity and no NUL: a function of the session that reads them as null and U+FFFD."""

RAW = (
    *("id", "project", "sweep", "number", "name", "phase", "params", "config", "values", "stopped", "best", "reason"),
    *("note", "attempt", "parent", "owner", "group", "tags", "notes", "folder", "attrs", "stats", "summary"),
    *("created", "started", "ended", "beat"),
)
"""The columns of `whet.store.rows.to_run`, in its order, but for the last one (meta), which may be long."""

_JSON = {"metrics": "stats", "config": "config", "params": "params", "summary": "summary", "attrs": "attrs"}
_NUMBERS = ("number", "attempt", "created", "started", "ended")


@dataclass(slots=True)
class _Pair:
    """An operand: SQL of its number and of its text, either of which may be left out."""

    number: str | None = None
    text: str | None = None


@dataclass(slots=True)
class _Writer:
    """Writes conditions and collects their parameters."""

    postgres: bool
    values: dict[str, Any] = field(default_factory=dict)
    parsed: set[str] = field(default_factory=set)

    def bind(self, value: object) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def pair(self, operand: Column | float | str) -> _Pair:
        if isinstance(operand, str):
            bound = self.bind(operand)
            return _Pair(text=f'CAST({bound} AS text) COLLATE "C"' if self.postgres else bound)
        if not isinstance(operand, Column):
            bound = self.bind(float(operand))
            return _Pair(number=f"CAST({bound} AS double precision)" if self.postgres else bound)
        name = operand.name
        match operand.place:
            case "":
                return self._built_in(name)
            case "metrics" if operand.stat:
                return self._json("stats", [name, PLACE_OF_STAT[operand.stat]])
            case "metrics":
                return _first(self._json("summary", [name]), self._json("stats", [name, 0]))
            case "config":
                flat = self._json("config", [name]), self._json("params", [name])
                return _first(*flat, *self._nested("config", name), *self._nested("params", name))
            case place:
                return _first(self._json(_JSON[place], [name]), *self._nested(_JSON[place], name))

    def _nested(self, kept: str, name: str) -> list[_Pair]:
        return [self._json(kept, name.split("."))] if "." in name else []

    def _built_in(self, name: str) -> _Pair:
        if name == "value":
            return self._json("values", [0])
        if name == "state":
            return self._text("CASE WHEN phase = 'finished' AND stopped THEN 'stopped' ELSE phase END")
        if name == "duration":
            return _Pair(number="(COALESCE(ended, beat) - started)")
        if name in ("best", "stopped"):
            return _Pair(number=f"CASE WHEN {name} THEN 1 ELSE 0 END")
        return _Pair(number=name) if name in _NUMBERS else self._text(f'"{name}"')

    def _text(self, sql: str) -> _Pair:
        return _Pair(text=f'({sql}) COLLATE "C"' if self.postgres else sql)

    def _json(self, kept: str, path: Sequence[str | int]) -> _Pair:
        """Return what is at `path` in the JSON of a column."""
        if self.postgres:
            self.parsed.add(kept)
            found = f"{kept}_json"
            for key in path:
                found = f"({found} -> CAST({self.bind(key)} AS {'integer' if isinstance(key, int) else 'text'}))"
            kind, plain = f"jsonb_typeof({found})", f"({found} #>> '{{}}')"
            return _Pair(
                f"CASE {kind} WHEN 'number' THEN CAST({plain} AS double precision) "
                f"WHEN 'boolean' THEN CASE {plain} WHEN 'true' THEN 1 ELSE 0 END END",
                f"CASE {kind} WHEN 'string' THEN {plain} END COLLATE \"C\"",
            )
        whole = f'CASE WHEN json_valid("{kept}") THEN "{kept}" ELSE whet_finite("{kept}") END'
        if any(isinstance(key, str) and '"' in key for key in path):
            if len(path) > 1:
                return _Pair(number="NULL", text="NULL")
            found = f'whet_item("{kept}", {self.bind(path[0])})'
            return _Pair(
                f"CASE WHEN typeof({found}) IN ('integer', 'real') THEN {found} END",
                f"CASE typeof({found}) WHEN 'text' THEN {found} END",
            )
        steps = (f"[{key}]" if isinstance(key, int) else f".{json.dumps(key)}" for key in path)
        where = self.bind("$" + "".join(steps))
        kind, found = f"json_type({whole}, {where})", f"json_extract({whole}, {where})"
        return _Pair(
            f"CASE WHEN {kind} IN ('real', 'integer', 'true', 'false') THEN {found} END",
            f"CASE {kind} WHEN 'text' THEN {found} END",
        )

    def condition(self, node: Node) -> str:
        """Return a condition that is true or false, never NULL."""
        match node:
            case And(parts):
                return "(" + " AND ".join(map(self.condition, parts)) + ")" if parts else "TRUE"
            case Or(parts):
                return "(" + " OR ".join(map(self.condition, parts)) + ")" if parts else "FALSE"
            case Not(part):
                return f"(NOT {self.condition(part)})"
            case Missing(column):
                pair = self.pair(column)
                return "(" + " AND ".join(f"({sql}) IS NULL" for sql in (pair.number, pair.text) if sql) + ")"
            case Truth(column):
                pair = self.pair(column)
                return _either(pair.number and f"({pair.number}) <> 0", pair.text and f"({pair.text}) <> ''")
            case Contains(column, part):
                found = self.pair(column).text
                bound = self.bind(part)
                function = f"strpos({found}, CAST({bound} AS text))" if self.postgres else f"instr({found}, {bound})"
                return _either(None, found and f"{function} > 0")
            case Tagged(tag):
                # In compact JSON, these come before a tag and nowhere within one.
                kept = json.dumps(tag)
                where = "strpos" if self.postgres else "instr"
                begins = [f"{where}(tags, {self.bind(before + kept)}) > 0" for before in "[,"]
                return "(" + " OR ".join(begins) + ")"
            case Compare(left, op, right):
                a, b = self.pair(left), self.pair(right)
                sign = "=" if op == "==" else op
                return _either(
                    a.number and b.number and f"({a.number}) {sign} ({b.number})",
                    a.text and b.text and f"({a.text}) {sign} ({b.text})",
                )


def _either(*tests: str | None) -> str:
    there = [f"COALESCE({test}, FALSE)" for test in tests if test]
    return "(" + " OR ".join(there) + ")" if there else "FALSE"


def _first(*pairs: _Pair) -> _Pair:
    """Return the first of the pairs that is not nothing."""
    first, *rest = pairs
    if not rest:
        return first
    later = _first(*rest)
    return _Pair(
        f"CASE WHEN ({first.text}) IS NULL THEN COALESCE({first.number}, {later.number}) END",
        f"CASE WHEN ({first.number}) IS NULL THEN COALESCE({first.text}, {later.text}) END",
    )


def statement(question: Question, *, postgres: bool) -> tuple[Statement, dict[str, Any]]:
    """Return the statement of a question, and its parameters.

    Its rows are (how many match in all, creation key, rank, number, text), one more than the page has if it goes on.
    """
    writer, query = _Writer(postgres), question.query
    conditions = []
    for name, value in (("project", query.project), ("sweep", query.sweep)):
        if value is not None:
            conditions.append(f"{name} = {writer.bind(value)}")
    here = list(conditions)
    if question.wanted is not None:
        conditions.append(writer.condition(question.wanted))
    way = "DESC" if question.descending else "ASC"
    if question.sort is None:
        place, order = "2 AS r, NULL AS n, NULL AS t", f"k {way}"
    else:
        pair = writer.pair(question.sort)
        number, words = pair.number or "NULL", pair.text or "NULL"
        if postgres:  # a bare NULL has no type there
            number, words = f"CAST({number} AS double precision)", f'CAST({words} AS text) COLLATE "C"'
        place = f"{number} AS n, {words} AS t"
        order = f"CASE WHEN n IS NOT NULL THEN 0 WHEN t IS NOT NULL THEN 1 ELSE 2 END ASC, n {way}, t {way}, k ASC"
    source = "runs"
    if postgres and writer.parsed:
        parsed = ", ".join(f'pg_temp.whet_json("{name}") AS {name}_json' for name in sorted(writer.parsed))
        source = f"(SELECT runs.*, {parsed} FROM runs{_where(here)} OFFSET 0) AS runs"
    rank = "" if question.sort is None else "CASE WHEN n IS NOT NULL THEN 0 WHEN t IS NOT NULL THEN 1 ELSE 2 END AS r, "
    after = "" if question.after is None else _where([_after(writer, question, question.after)])
    columns = "r, n, t" if question.sort is None else f"{rank}n, t"
    sql = (
        f'WITH hit AS (SELECT "key" AS k, {place} FROM {source}{_where(conditions)}) '
        f"SELECT (SELECT count(*) FROM hit), k, {columns} FROM hit{after} ORDER BY {order} LIMIT :most"
    )
    return Statement(text(sql)), {**writer.values, "most": query.limit + 1}


def _after(writer: _Writer, question: Question, place: Place) -> str:
    beyond = "<" if question.descending else ">"
    key = writer.bind(place.key)
    if question.sort is None:
        return f"k {beyond} {key}"
    if place.rank == 2:
        return f"n IS NULL AND t IS NULL AND k > {key}"
    mine, others = ("n", "n IS NULL") if place.rank == 0 else ("t", "n IS NULL AND t IS NULL")
    pair = writer.pair(place.value)  # type: ignore[arg-type]
    value = pair.number or pair.text
    return f"(({mine} IS NOT NULL AND ({mine} {beyond} {value} OR ({mine} = {value} AND k > {key}))) OR ({others}))"


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def by_key(keys: Sequence[int]) -> tuple[Statement, dict[str, Any]]:
    """Return the statement for the runs of these creation keys: key, then `RAW`."""
    binds = {f"k{i}": key for i, key in enumerate(keys)}
    columns = ", ".join(f'"{name}"' for name in ("key", *RAW))
    return Statement(
        text(f'SELECT {columns} FROM runs WHERE "key" IN ({", ".join(f":{name}" for name in binds)})')
    ), binds


NAMES: Mapping[str, tuple[str, ...]] = {
    "metrics": ("stats",),
    "config": ("config", "params"),
    "summary": ("summary",),
    "attrs": ("attrs",),
}
"""Which columns hold the names of each place."""


def names_of(kept: str, project: str | None, sweep: str | None, *, postgres: bool) -> tuple[Statement, dict[str, Any]]:
    """Return the statement for the keys of a JSON column over all runs."""
    writer = _Writer(postgres)
    here = [f"\"{kept}\" <> '{{}}'"]
    for name, value in (("project", project), ("sweep", sweep)):
        if value is not None:
            here.append(f"{name} = {writer.bind(value)}")
    if postgres:
        each = f'jsonb_object_keys(pg_temp.whet_json("{kept}"))'
        return Statement(text(f"SELECT DISTINCT {each} FROM runs{_where(here)}")), writer.values
    whole = f'CASE WHEN json_valid("{kept}") THEN "{kept}" ELSE whet_finite("{kept}") END'
    sql = f"SELECT DISTINCT kv.key FROM runs, json_each({whole}) AS kv{_where(here)}"
    return Statement(text(sql)), writer.values
