"""From the words ``flag=value`` and ``@file`` to what will be tried."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from whet.errors import ConfigError, SpaceError
from whet.parameters import identity
from whet.project.flags import Flag, Flags
from whet.project.values import Given, coerce, parse_flag, read_batch
from whet.space import Choice, Parameter, Space

__all__ = ["Plan", "plan"]

_MOST_LISTED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be tried.

    Args:
        space: The flags that are given, in their order.
        used: What is known of each.
        first: Configurations to run before the method is asked; those of initial values leave the others open.
        listed: `first` is all there is to run: a file's rows, with every combination of what else is listed.
        finite: Every value was listed, so that a grid can try all combinations.
    """

    space: Space
    used: Mapping[str, Flag]
    first: tuple[Mapping[str, object], ...] = ()
    listed: bool = False
    finite: bool = True

    @property
    def is_single(self) -> bool:
        """Whether there is one configuration only."""
        return len(self.first) == 1 if self.listed else self.space.size in (0, 1) or not self.space


def plan(words: Sequence[str], flags: Flags, *, force: bool = False) -> Plan:
    """Return what `words` ask for.

    Args:
        words: ``name=value`` and ``@file``, as in `whet.project.values`.
        flags: Those of the script.
        force: Pass unknown flags on.

    Raises:
        UnknownName: the script has no such flag.
        SpaceError: a value that is not legal; the message quotes the word.
        ConfigError: a word that is neither, a flag that is there twice, a file that can't be read.
    """
    givens: dict[str, Given] = {}
    used: dict[str, Flag] = {}
    rows: list[dict[str, object]] = []
    columns: dict[str, list[object]] = {}
    for word in words:
        if word.startswith("@") and "=" not in word:
            rows += _rows(Path(word[1:]), flags, force, used, columns)
            continue
        name, equals, _ = word.partition("=")
        if not equals:
            fix = "write name=value; arguments that the script gets as they are go after --"
            raise ConfigError(f"{word!r} is no flag", fix)
        flag = flags.find(name.strip(), force=force)
        if flag.name in givens:
            raise ConfigError(
                f"{flag.name} is given twice: {givens[flag.name].text} and {word}",
                "give one, or list the values: [a,b]",
            )
        givens[flag.name] = parse_flag(word, flag)
        used[flag.name] = flag
    _check_overlap(givens, columns)
    parameters: dict[str, Parameter] = {name: _column(values) for name, values in columns.items()}
    parameters |= {name: given.parameter for name, given in givens.items()}
    finite = all(given.is_finite for given in givens.values())
    space = Space(parameters)
    ordered = {name: used[name] for name in parameters}
    if rows and finite:
        first = _combined(rows, givens)
        return Plan(space=space, used=ordered, first=first, listed=True)
    initial = {name: given.initial[0] for name, given in givens.items() if given.initial}
    starts = ([initial] if initial else []) + rows
    return Plan(space=space, used=ordered, first=tuple(starts), finite=finite)


def _rows(
    path: Path, flags: Flags, force: bool, used: dict[str, Flag], columns: dict[str, list[object]]
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    raw = read_batch(path)
    names = list(dict.fromkeys(name for row in raw for name in row))
    found = {name: flags.find(name, force=force) for name in names}
    for i, row in enumerate(raw, 1):
        done: dict[str, object] = {}
        for name in names:
            flag = found[name]
            if name in row:
                done[flag.name] = coerce(flag, row[name], f"@{path}, row {i}, {name}")
            elif isinstance(flag.default, (bool, int, float, str)):
                done[flag.name] = flag.default
            else:
                raise ConfigError(f"@{path}: row {i} has no {name}", "give it in every row", source=str(path))
        rows.append(done)
    for flag in found.values():
        used[flag.name] = flag
        columns.setdefault(flag.name, []).extend(row[flag.name] for row in rows)
    return rows


def _column(values: Sequence[object]) -> Parameter:
    return Choice(list({identity(value): value for value in values}.values()))


def _check_overlap(givens: Mapping[str, Given], columns: Mapping[str, Sequence[object]]) -> None:
    for name in givens.keys() & columns.keys():
        given = givens[name]
        if given.is_finite:
            raise ConfigError(f"{name} is in a file and given, too: {given.text}", "leave one out, or give a range")
        for value in columns[name]:
            try:
                given.parameter.clean(name, value)
            except SpaceError as error:
                raise SpaceError(f"{given.text}, but a file has {error.problem}", error.fix) from None


def _combined(rows: Sequence[Mapping[str, object]], givens: Mapping[str, Given]) -> tuple[Mapping[str, object], ...]:
    options = [
        [(name, o) for o in given.parameter.options]
        for name, given in givens.items()
        if isinstance(given.parameter, Choice)
    ]
    count = len(rows)
    for each in options:
        count *= len(each)
    if count > _MOST_LISTED:
        raise ConfigError(
            f"the rows and the listed values make {count:,} configurations", f"list fewer than {_MOST_LISTED:,}"
        )
    return tuple({**row, **dict(picked)} for row in rows for picked in itertools.product(*options))
