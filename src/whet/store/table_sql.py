"""The run table in SQL: a `Question` as one statement, for SQLite and for PostgreSQL.

In PostgreSQL an operand that may be anything is a pair, its number and its text, of which one at least is NULL; SQLite has values of any
type. Nothing that a user wrote is ever part of the SQL: literals and keys are parameters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from whet.filters import And, Column, Compare, Contains, Missing, Node, Not, Or, Tagged, Truth
from whet.store import codec
from whet.store.database import Statement
from whet.store.rows import RUN_COLUMNS, tag_begins
from whet.store.table import LARGEST, PLACE_OF_STAT, Division, Place, Question

__all__ = ["NAMES", "TO_JSON", "by_key", "gains", "groups", "names_of", "statement"]

TO_JSON = r"""
CREATE OR REPLACE FUNCTION pg_temp.whet_json(t text) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
  IF strpos(t, '\') = 0 THEN -- then every second piece between quotes is a string
    RETURN (SELECT string_agg(CASE i % 2 WHEN 1 THEN regexp_replace(part, 'NaN|-?Infinity', 'null', 'g') ELSE part END, '"' ORDER BY i)
            FROM unnest(string_to_array(t, '"')) WITH ORDINALITY AS x(part, i))::jsonb;
  END IF;
  BEGIN RETURN t::jsonb; EXCEPTION WHEN OTHERS THEN NULL; END;
  t := (SELECT string_agg(CASE WHEN m[1] IN ('NaN', 'Infinity', '-Infinity') THEN 'null' ELSE m[1] END, '' ORDER BY i)
        FROM regexp_matches(t, '("(?:[^"\\]|\\.)*"|-?[A-Za-z]+|[^"A-Za-z-]+|-)', 'g') WITH ORDINALITY AS x(m, i));
  BEGIN RETURN t::jsonb; EXCEPTION WHEN OTHERS THEN NULL; END;
  RETURN regexp_replace(t, '\\u(0000|[dD][89a-fA-F]..)', '\\ufffd', 'g')::jsonb;
END $$
"""
"""PostgreSQL's JSON holds no NaN, no infinity and no NUL: a function of the session that reads them as null and U+FFFD."""

_JSON = {"metrics": "stats", "config": "config", "params": "params", "summary": "summary", "attrs": "attrs"}
_GREATEST = (
    "1.7976931348623158e308"  # numbers beyond no 64-bit float holds, and PostgreSQL would refuse the whole question
)
_NUMBERS = ("number", "attempt", "created", "started", "ended")


@dataclass(slots=True)
class _Value:
    """An operand: SQL of its number or of its text, either or both; or, in SQLite, of whatever it is (`either`)."""

    number: str | None = None
    text: str | None = None
    either: str | None = None

    @property
    def sql(self) -> str:
        """What SQLite sorts by, which has columns of mixed types."""
        return self.either or self.number or self.text or "NULL"


@dataclass(slots=True)
class _Writer:
    """Writes conditions and collects their parameters."""

    postgres: bool
    values: dict[str, Any] = field(default_factory=dict)
    parsed: set[str] = field(default_factory=set)

    def bind(self, value: object) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = codec.text(value) if isinstance(value, str) else value
        return f":{name}"

    def operand(self, operand: Column | float | str) -> _Value:
        if isinstance(operand, str):
            bound = self.bind(operand)
            return _Value(text=f'CAST({bound} AS text) COLLATE "C"' if self.postgres else bound)
        if not isinstance(operand, Column):
            bound = self.bind(float(operand))
            return _Value(number=f"CAST({bound} AS double precision)" if self.postgres else bound)
        name = operand.name
        match operand.place:
            case "":
                return self._built_in(name)
            case "metrics" if operand.stat:
                return self._stat(name, PLACE_OF_STAT[operand.stat])
            case "metrics":
                own = self._json("summary", [name], numbers=True)
                return _Value(number=f"COALESCE({own.sql}, {self._stat(name, 0).number})")
            case "config":
                flat = self._json("config", [name]), self._json("params", [name])
                return self._first(*flat, *self._nested("config", name), *self._nested("params", name))
            case place:
                return self._first(self._json(_JSON[place], [name]), *self._nested(_JSON[place], name))

    def _nested(self, kept: str, name: str) -> list[_Value]:
        return [self._json(kept, name.split("."))] if "." in name else []

    def _stat(self, name: str, place: int) -> _Value:
        found = self._json("stats", [name, place], numbers=True)
        return _Value(number=found.sql)

    def _built_in(self, name: str) -> _Value:
        if name == "value":
            return _Value(number=self._json("values", [0], numbers=True).sql)
        if name == "state":
            return self._text("CASE WHEN phase = 'finished' AND stopped THEN 'stopped' ELSE phase END")
        if name == "duration":
            return _Value(number="(COALESCE(ended, beat) - started)")
        if name in ("best", "stopped"):
            return _Value(number=f"CASE WHEN {name} THEN 1 ELSE 0 END")
        return _Value(number=name) if name in _NUMBERS else self._text(f'"{name}"')

    def _text(self, sql: str) -> _Value:
        return _Value(text=f'({sql}) COLLATE "C"' if self.postgres else sql)

    def _json(self, kept: str, path: Sequence[str | int], *, numbers: bool = False) -> _Value:
        """Return what is at `path` in the JSON of a column; only if it is a number (and no truth value) with `numbers`."""
        if self.postgres:
            self.parsed.add(kept)
            found = f"{kept}_json"
            for key in path:
                found = f"({found} -> CAST({self.bind(key)} AS {'integer' if isinstance(key, int) else 'text'}))"
            kind, plain = f"jsonb_typeof({found})", f"({found} #>> '{{}}')"
            finite = f"CASE WHEN abs(CAST({found} AS numeric)) < {_GREATEST} THEN CAST({found} AS double precision) END"
            number = f"CASE {kind} WHEN 'number' THEN {finite}"
            if numbers:
                return _Value(number=f"{number} END")
            return _Value(
                f"{number} WHEN 'boolean' THEN CASE {plain} WHEN 'true' THEN 1 ELSE 0 END END",
                f"CASE {kind} WHEN 'string' THEN {plain} END COLLATE \"C\"",
            )
        mine, function = f'"{kept}"', "whet_number" if numbers else "whet_item"
        slowly = f"{function}({mine}, {self.bind(json.dumps(path))})"
        if any(isinstance(key, str) and '"' in key for key in path):  # which SQLite's paths can't say
            return _Value(either=slowly)
        steps = (f"[{key}]" if isinstance(key, int) else f".{json.dumps(key)}" for key in path)
        where = self.bind("$" + "".join(steps))
        plain = f"json_extract({mine}, {where})"
        number = f"NULLIF(NULLIF({plain} + 0.0, 9e999), -9e999)"  # integers become floats, and those too large nothing
        quickly = f"CASE json_type({mine}, {where}) WHEN 'integer' THEN {number} WHEN 'real' THEN {plain}"
        if kept == "stats":  # which holds nothing but numbers there
            quickly = f"({plain} + 0.0)"
        elif numbers:
            quickly += " END"
        else:
            quickly += f" WHEN 'text' THEN {plain} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END"
        # SQLite parses a text once for all these calls; what holds NaN is no JSON to it.
        return _Value(
            either=f"CASE WHEN {mine} = '{{}}' THEN NULL WHEN json_valid({mine}) THEN {quickly} ELSE {slowly} END"
        )

    def _first(self, *values: _Value) -> _Value:
        """Return the first of them that is not nothing."""
        first, *rest = values
        if not rest:
            return first
        later = self._first(*rest)
        if not self.postgres:
            return _Value(either=f"COALESCE({first.sql}, {later.sql})")
        return _Value(
            f"CASE WHEN ({first.text}) IS NULL THEN COALESCE({first.number}, {later.number}) END",
            f"CASE WHEN ({first.number}) IS NULL THEN COALESCE({first.text}, {later.text}) END",
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
                value = self.operand(column)
                return (
                    "("
                    + " AND ".join(f"({sql}) IS NULL" for sql in (value.number, value.text, value.either) if sql)
                    + ")"
                )
            case Truth(column):
                value = self.operand(column)
                if value.either:
                    return _any(f"({value.either}) <> 0 AND ({value.either}) <> ''")
                return _any(value.number and f"({value.number}) <> 0", value.text and f"({value.text}) <> ''")
            case Contains(column, part):
                return self._contains(self.operand(column), self.bind(part))
            case Tagged(tag):
                where = "strpos" if self.postgres else "instr"
                begins = [f"{where}(tags, {self.bind(begin)}) > 0" for begin in tag_begins(tag)]
                return "(" + " OR ".join(begins) + ")"
            case Compare(left, op, right):
                return self._compare(self.operand(left), "=" if op == "==" else op, self.operand(right))

    def _contains(self, whole: _Value, part: str) -> str:
        if self.postgres:
            return _any(whole.text and f"strpos({whole.text}, CAST({part} AS text)) > 0")
        text = whole.either or whole.text
        return _any(text and f"typeof({text}) = 'text' AND instr({text}, {part}) > 0")

    def _compare(self, a: _Value, sign: str, b: _Value) -> str:
        if not a.either and not b.either:
            return _any(
                a.number and b.number and f"({a.number}) {sign} ({b.number})",
                a.text and b.text and f"({a.text}) {sign} ({b.text})",
            )
        test = f"({a.sql}) {sign} ({b.sql})"
        if b.number and b.number.startswith(
            ":"
        ):  # in SQLite any text is greater than any number: most tests say no by themselves
            return _any(f"{test} AND ({a.sql}) < ''" if sign in (">", ">=") else test)
        if b.text and b.text.startswith(":"):
            return _any(f"{test} AND ({a.sql}) >= ''" if sign in ("<", "<=") else test)
        return _any(f"(typeof({a.sql}) = 'text') = (typeof({b.sql}) = 'text') AND {test}")


def _any(*tests: str | None) -> str:
    there = [f"COALESCE({test}, FALSE)" for test in tests if test]
    return "(" + " OR ".join(there) + ")" if there else "FALSE"


def statement(question: Question, *, postgres: bool) -> tuple[Statement, dict[str, Any]]:
    """Return the statement of a question, and its parameters.

    Its rows are (how many match in all, creation key, rank, value), one more than the page has if it goes on; in PostgreSQL there may
    be two values, of which one is None.
    """
    writer, query = _Writer(postgres), question.query
    here = _here(writer, query.project, query.sweep, query.projects)
    conditions = list(here)
    if question.wanted is not None:
        conditions.append(writer.condition(question.wanted))
    way = "DESC" if question.descending else "ASC"
    most, page = {"most": query.limit + 1}, "LIMIT :most"
    if query.offset:
        page += f" OFFSET {writer.bind(query.offset)}"
    if question.sort is None and question.wanted is None:  # counting and reading walk an index each
        after = (
            []
            if question.after is None
            else [f'"key" {"<" if way == "DESC" else ">"} {writer.bind(question.after.key)}']
        )
        count = f"(SELECT count(*) FROM runs{_where(here)})"
        sql = f'SELECT {count}, "key", 2, NULL FROM runs{_where([*here, *after])} ORDER BY "key" {way} {page}'
        return Statement(text(sql)), {**writer.values, **most}
    columns, order = "NULL AS n, NULL AS t", f"k {way}"
    if question.sort is not None:
        sorted_by = writer.operand(question.sort)
        order = f"{_RANK} ASC, n {way}, t {way}, k ASC"
        if postgres:  # a bare NULL has no type there
            number, words = sorted_by.number or "NULL", sorted_by.text or "NULL"
            columns = f'CAST({number} AS double precision) AS n, CAST({words} AS text) COLLATE "C" AS t'
        else:
            columns, order = f"{sorted_by.sql} AS v", f"{_RANK_OF_EITHER} ASC, v {way}, k ASC"
    source = "runs"
    if postgres and writer.parsed:
        parsed = ", ".join(f"{_parsed(name)} AS {name}_json" for name in sorted(writer.parsed))
        source = f"(SELECT runs.*, {parsed} FROM runs{_where(here)} OFFSET 0) AS runs"
    place = "2, NULL"
    if question.sort is not None:
        place = f"{_RANK}, n, t" if postgres else f"{_RANK_OF_EITHER}, v"
    after = [] if question.after is None else [_after(writer, question, question.after)]
    sql = (
        f'WITH hit AS (SELECT "key" AS k, {columns} FROM {source}{_where(conditions)}) '
        f"SELECT (SELECT count(*) FROM hit), k, {place} FROM hit{_where(after)} ORDER BY {order} {page}"
    )
    return Statement(text(sql)), {**writer.values, **most}


def groups(division: Division, *, postgres: bool) -> tuple[Statement, dict[str, Any]]:
    """Return the statement of a division, and its parameters.

    Its rows are (number of groups in all, value, number of runs, of values, least, greatest, mean, mean square of the distances from it);
    in PostgreSQL there are two values, of which one at least is None.
    """
    writer, query = _Writer(postgres), division.query
    here = _here(writer, query.project, query.sweep, query.projects)
    conditions = [*here, *([] if division.wanted is None else [writer.condition(division.wanted)])]
    of = _Value(number="NULL") if division.of is None else writer.operand(division.of)
    value = _Value(text="tags") if division.by is None else writer.operand(division.by)
    if postgres:
        number, words = value.number or "NULL", value.text or "NULL"
        named = f'CAST({number} AS double precision) AS n, CAST({words} AS text) COLLATE "C" AS t'
        keys, order = "n, t", "n, t"
        measured = f"CAST({of.number or 'NULL'} AS double precision)"
    else:
        named, keys = f"{value.sql} AS v", "v"
        order = f"{_RANK_OF_EITHER}, v"
        measured = f"CASE WHEN typeof({of.sql}) <> 'text' THEN {of.sql} + 0.0 END"
    source = "runs"
    if postgres and writer.parsed:
        parsed = ", ".join(f"{_parsed(name)} AS {name}_json" for name in sorted(writer.parsed))
        source = f"(SELECT runs.*, {parsed} FROM runs{_where(here)} OFFSET 0) AS runs"
    able, hit = f"CASE WHEN abs(m) <= {LARGEST!r} THEN m END", "hit"
    if division.by is None:  # a row a tag, and one for no tag
        each = f"LATERAL jsonb_array_elements_text({_parsed('t')})" if postgres else "json_each(hit.v)"
        one = 'NULL AS n, tag.value COLLATE "C" AS t' if postgres else "tag.value AS v"
        hit = f"(SELECT {one}, m FROM hit LEFT JOIN {each} AS tag{'(value)' if postgres else ''} ON TRUE) AS hit"
    sql = (
        f"WITH hit AS (SELECT {named}, {measured} AS m FROM {source}{_where(conditions)}), "
        f"able AS (SELECT {keys}, {able} AS m FROM {hit}), "
        f"far AS (SELECT {keys}, m, m - avg(m) OVER (PARTITION BY {keys}) AS d FROM able) "
        f"SELECT count(*) OVER (), {keys}, count(*), count(m), min(m), max(m), avg(m), avg(d * d) FROM far "
        f"GROUP BY {keys} ORDER BY count(*) DESC, {order} LIMIT :most"
    )
    return Statement(text(sql)), {**writer.values, "most": query.limit}


def gains(ids: Sequence[str], *, postgres: bool) -> tuple[Statement, dict[str, Any]]:
    """Return the statement for `Sweeps.gains`: rows are (sweep, number, value)."""
    writer = _Writer(postgres)
    value = writer._json("values", [0], numbers=True).sql
    listed = ", ".join(map(writer.bind, ids)) or "NULL"
    here = f"sweep IN ({listed}) AND phase = 'finished' AND NOT stopped AND \"values\" IS NOT NULL"
    kept = f", {_parsed('values')} AS values_json" if postgres else ', "values"'
    goals = "(SELECT id AS its, CASE WHEN goals LIKE '[\"maximize%' THEN -1.0 ELSE 1.0 END AS sign FROM sweeps) AS s"
    before = "min(v * sign) OVER (PARTITION BY sweep ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    sql = (
        f"WITH hit AS (SELECT sweep, number{kept} FROM runs WHERE {here}), "
        f"able AS (SELECT sweep, number, {value} AS v FROM hit), "
        f"all_of AS (SELECT sweep, number, v, v * sign AS loss, {before} AS before FROM able JOIN {goals} ON its = sweep WHERE v IS NOT NULL) "
        "SELECT sweep, number, v FROM all_of WHERE before IS NULL OR loss < before ORDER BY sweep, number"
    )
    return Statement(text(sql)), writer.values


def _here(writer: _Writer, project: str | None, sweep: str | None, projects: Sequence[str] | None) -> list[str]:
    """Return the conditions that need no column that is parsed."""
    found = [
        f"{name} = {writer.bind(value)}"
        for name, value in (("project", project), ("sweep", sweep))
        if value is not None
    ]
    if projects is not None:
        listed = ", ".join(map(writer.bind, projects))
        found.append(f"project IN ({listed})" if listed else "FALSE")
    return found


def _parsed(kept: str) -> str:
    """Return the column as PostgreSQL's JSON; what needs no function goes without one."""
    odd = " OR ".join(f"strpos(\"{kept}\", '{part}') > 0" for part in ("NaN", "Infinity", "\\u"))
    return f'CASE WHEN {odd} THEN pg_temp.whet_json("{kept}") ELSE CAST("{kept}" AS jsonb) END'


_RANK = "CASE WHEN n IS NOT NULL THEN 0 WHEN t IS NOT NULL THEN 1 ELSE 2 END"
_RANK_OF_EITHER = "CASE typeof(v) WHEN 'null' THEN 2 WHEN 'text' THEN 1 ELSE 0 END"


def _after(writer: _Writer, question: Question, place: Place) -> str:
    beyond = "<" if question.descending else ">"
    key = writer.bind(place.key)
    if question.sort is None:
        return f"k {beyond} {key}"
    rank = _RANK if writer.postgres else _RANK_OF_EITHER
    if place.value is None:
        return f"({rank} = 2 AND k > {key})"
    value = writer.operand(place.value).sql
    mine = ("n" if place.rank == 0 else "t") if writer.postgres else "v"
    return f"({rank} > {place.rank} OR ({rank} = {place.rank} AND ({mine} {beyond} {value} OR ({mine} = {value} AND k > {key}))))"


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def by_key(keys: Sequence[int]) -> tuple[Statement, dict[str, Any]]:
    """Return the statement for the runs of these creation keys: key, then `RUN_COLUMNS`."""
    binds = {f"k{i}": key for i, key in enumerate(keys)}
    columns = ", ".join(f'"{name}"' for name in ("key", *RUN_COLUMNS))
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
        each = f"jsonb_object_keys({_parsed(kept)})"
        return Statement(text(f"SELECT DISTINCT {each} FROM runs{_where(here)}")), writer.values
    whole = f'CASE WHEN json_valid("{kept}") THEN "{kept}" ELSE whet_finite("{kept}") END'
    sql = f"SELECT DISTINCT kv.key FROM runs, json_each({whole}) AS kv{_where(here)}"
    return Statement(text(sql)), writer.values
