"""What somebody pastes of a script, to its flags: a command line, what ``--help`` prints, or the script's text. Nothing is run or opened."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from whet.errors import ConfigError
from whet.project.flags import UNKNOWN, Flag, Flags, Interface, Kind, flags_in
from whet.project.inject import Passing
from whet.project.values import parse_flag, scalar
from whet.space import Parameter

__all__ = ["Pasted", "read_command", "read_pasted"]

_NO_RANGES: Mapping[str, Parameter] = MappingProxyType({})
_PYTHON = re.compile(r"(.*/)?(python[\d.]*|pypy[\d.]*)(\.exe)?")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_ENV = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_PROMPT = re.compile(r"^\s*(?:\([\w.-]+\)\s*)?[$%>]\s+")
_CODE = re.compile(
    r"[ \t]*(?:import[ \t]+[\w.]+[ \t]*(?:$|[,;#]|as\b)|from[ \t]+[\w.]+[ \t]+import\b|(?:def|class)[ \t]+\w+.*:[ \t]*$)"
)
_MOST = 200_000
_LONGEST = 2000
"""Of what is said of one option, and of a line; patterns that look again and again look at no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pasted:
    """What was read.

    Args:
        program: The script, ``-m module``, or "" where the text does not say.
        before: What stands before the script: empty for Python itself.
        extra: Arguments that are passed on as they are.
        flags: By name, with their values as defaults.
        given: Names that the command line gives: their values are passed on even where they don't vary.
        ranges: What ranges and lists of `whet run` say.
        bare: Its arguments are ``name=value``, without hyphens, as Hydra takes them.
    """

    program: str = ""
    before: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    flags: Flags
    given: frozenset[str] = frozenset()
    ranges: Mapping[str, Parameter] = field(default_factory=lambda: _NO_RANGES)
    bare: bool = False


def read_pasted(text: str) -> Pasted:
    """Return what a command line, the output of ``--help`` or a script's text says of its flags.

    Raises:
        ConfigError: it is none of these, it names no flags, or it is longer than 200,000 characters.

    Example:
        >>> read_pasted("python train.py --lr 0.1 --layers 3").flags["layers"].default
        3
    """
    if len(text) > _MOST:
        raise ConfigError(f"the text has {len(text):,} characters, more than {_MOST:,}", "paste what --help prints")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)  # colours
    text = re.sub(r"\\\r?\n", " ", text)
    if not text.strip():
        raise ConfigError("there is nothing to read", "paste a command line, or what --help prints")
    if any(_CODE.match(line[:_LONGEST]) for line in text.splitlines()):
        found = Pasted(flags=flags_in(text, Path("script.py")))
    elif any(_entries(text)):
        found = _read_help(text)
    else:
        found = _read_lines(text)
    if not found.flags:
        raise ConfigError(
            "no flags were found in it",
            "paste a command line with flags (python train.py --lr 0.1), what --help prints, or the script itself",
        )
    return found


# -- command lines ------------------------------------------------------------------------------------------------------


def _read_lines(text: str) -> Pasted:
    lines = [_PROMPT.sub("", line) for line in text.splitlines()]
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    try:
        words = shlex.split(lines[-1] if len(lines) > 1 and all(" -" in line for line in lines) else " ".join(lines))
    except ValueError as error:
        raise ConfigError(f"this is no command line: {str(error).lower()}", "close the quotes") from None
    return read_command(words)


def read_command(words: Sequence[str]) -> Pasted:
    """Return what the words of a command say of its script, flags and their values.

    Example:
        >>> read_command(["python", "train.py", "data", "--lr=0.1"]).extra
        ('data',)
    """
    rest = list(words)
    while rest and (_ENV.fullmatch(rest[0]) and len(rest) > 1 and not rest[0].startswith("-")):
        rest.pop(0)  # CUDA_VISIBLE_DEVICES=0: the agent's environment is the trial's
    if rest[:2] == ["whet", "run"]:
        return _read_values("", (), rest[2:], own=True)
    at = next((i for i, word in enumerate(rest) if word.endswith((".py", ".sh", ".pyw"))), None)
    module = next((i for i, word in enumerate(rest[:-1]) if word == "-m" and (at is None or i < at)), None)
    if module is not None:
        program, before, arguments = f"-m {rest[module + 1]}", rest[:module], rest[module + 2 :]
    elif at is not None:
        program, before, arguments = rest[at], rest[:at], rest[at + 1 :]
    elif rest and not rest[0].startswith("-") and "=" not in rest[0]:
        program, before, arguments = rest[0], [], rest[1:]
    else:
        program, before, arguments = "", [], rest
    if before and _PYTHON.fullmatch(before[0]):
        before = ["${interpreter}", *before[1:]] if len(before) > 1 else []
    return _read_values(program, tuple(before), arguments)


def _read_values(program: str, before: tuple[str, ...], words: Sequence[str], *, own: bool = False) -> Pasted:
    """Return the flags in the arguments of a script; `own`: they are written as for ``whet run``."""
    if own:
        program, words = next((w for w in words if "=" not in w and not w.startswith("-")), ""), words
    pairs = [word for word in words if re.match(r"[A-Za-z_][\w.]*=", word)]
    bare = bool(pairs) and not any(word.startswith("--") and "=" in word for word in words)
    flags: dict[str, Flag] = {}
    ranges: dict[str, Parameter] = {}
    extra: list[str] = []
    for option, values in (
        [(word.partition("=")[0], [word.partition("=")[2]]) for word in pairs] if bare else _options(words, extra)
    ):
        name = option.lstrip("-")
        if len(values) > 1:
            extra += [option, *values]
            continue
        flags[name] = _flag_of(f"--{name}" if own else option, name, values)
        if values and "[" in values[0]:
            try:
                given = parse_flag(f"{name}={values[0]}")
            except ConfigError:
                continue
            if given.parameter.size != 1:
                ranges[name] = given.parameter
    if bare and not own:
        extra = [word for word in words if word not in pairs]
    return Pasted(
        program=program, before=before, extra=tuple(extra), given=frozenset(flags), ranges=ranges, bare=bare and not own,
        flags=Flags(script=_script(program), interface=Interface.COMMAND, flags=flags, closed=False),
    )  # fmt: skip


def _script(program: str) -> Path:
    """Return what stands for the file: of a module, and where the text does not say, one of Python's."""
    return Path("script.py" if not program or program.startswith("-m ") else program)


def _options(words: Sequence[str], extra: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each option with its values; what belongs to none goes to `extra`."""
    i = 0
    while i < len(words):
        word = words[i]
        i += 1
        if word == "--":
            extra += words[i:]
            return
        if not word.startswith("-") or word == "-" or _NUMBER.fullmatch(word):
            extra.append(word)
            continue
        option, equals, value = word.partition("=")
        values = [value] if equals else []
        while not equals and i < len(words) and (not words[i].startswith("-") or _NUMBER.fullmatch(words[i])):
            values.append(words[i])
            i += 1
        yield option, values


def _flag_of(option: str, name: str, values: Sequence[str]) -> Flag:
    if not values:
        return Flag(name=name, interface=Interface.COMMAND, passing=Passing.SWITCH, options=(option,), kind=Kind.BOOL, default=True)  # fmt: skip
    value = scalar(values[0])
    return Flag(name=name, interface=Interface.COMMAND, options=(option,), kind=Kind.of(value), default=value)


# -- what --help prints --------------------------------------------------------------------------------------------------

_OPTION = re.compile(r"\s*(--?(?:\[no-?\])?[A-Za-z0-9][\w.\-]*)")
_VALUE = re.compile(
    r"[ =](\{[^}]*\}|\[[^\]]*\](?: \.\.\.)?|<[^>]*>|[A-Z][A-Z0-9_.]*(?: RANGE)?(?=[\s,]|$)|[A-Za-z][\w.]*(?=\s\s|,|$))"
)
_LATER = re.compile(
    r"\s+(INTEGER(?: RANGE)?|FLOAT(?: RANGE)?|TEXT|BOOLEAN|PATH|FILE|DIRECTORY|\[[^\]\s|]+(?:\|[^\]\s|]+)+\])(?=\s|$)"
)
_DEFAULT = re.compile(r"\bdefault(s? to\b|s? is\b|:|=)?", re.IGNORECASE)
_BOUNDS = re.compile(r"(?<![\d.e+-])([\d.e+-]{1,30})\s{0,3}<=?\s{0,3}x\s{0,3}<=?\s{0,3}([\d.e+-]{1,30})")
_USAGE = re.compile(r"[ \t]*usage:[ \t]+(?:\S*python[\d.]*[ \t]+)?(-m[ \t]+\S+|\S+)", re.IGNORECASE)
_FRAME = "│┃|╭╰╮╯─━ "
_SKIPPED: Final = {"help", "h", "version", "V", "install-completion", "show-completion", "helpfull", "helpshort"}


def _entries(text: str) -> Iterator[str]:
    """Yield what is said of each option, in one line: its own line and those below that are indented more."""
    entry, depth = "", 0
    for line in text.splitlines():
        if line.strip()[:1] in ("│", "┃"):
            line = f"  {line.strip()[1:].rstrip(_FRAME).lstrip('* ')}"
        indent = len(line) - len(line.lstrip())
        if re.match(r"\s{1,12}--?[A-Za-z0-9\[]", line):
            if entry:
                yield entry[:_LONGEST]
            entry, depth = line.strip(), indent
        elif entry and line.strip() and indent > depth:
            entry = f"{entry}  {line.strip()}" if len(entry) < _LONGEST else entry
        elif entry:
            yield entry[:_LONGEST]
            entry = ""
    if entry:
        yield entry[:_LONGEST]


def _read_help(text: str) -> Pasted:
    flags: dict[str, Flag] = {}
    ranges: dict[str, Parameter] = {}
    for entry in _entries(text):
        options, value, said = _spelled(entry)
        named = sorted(options, key=lambda option: not option.startswith("--"))
        if not named or named[0].lstrip("-") in _SKIPPED:
            continue
        flag = _told(named, value, said)
        flags.setdefault(flag.name, flag)
        bounds = _BOUNDS.search(said)
        low, high = (scalar(bounds[1]), scalar(bounds[2])) if bounds else (None, None)
        if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low < high:
            whole = flag.kind is Kind.INT
            ranges[flag.name] = parse_flag(f"{flag.name}=[{low}:{high}]", None if whole else replace(flag, kind=Kind.FLOAT)).parameter  # fmt: skip
    lines = [line[:_LONGEST] for line in text.splitlines()]
    asked = next(
        (_PROMPT.sub("", line).split()[:-1] for line in lines if line.split()[-1:] in (["--help"], ["-h"])), []
    )
    usage = next(filter(None, map(_USAGE.match, lines)), None)
    script = read_command(asked) if asked and not asked[0].startswith("-") else None
    program = script.program if script else " ".join(usage[1].split()) if usage else ""
    return Pasted(
        program=program, before=script.before if script else (), ranges=ranges,
        flags=Flags(script=_script(program), interface=Interface.COMMAND, flags=flags, closed=False),
    )  # fmt: skip


def _spelled(entry: str) -> tuple[list[str], str, str]:
    """Return the spellings of an option, what it calls its value ("" for a switch), and what else is said."""
    options: list[str] = []
    value, at = "", 0
    while found := _OPTION.match(entry, at):
        options.append(found[1])
        at = found.end()
        named = _VALUE.match(entry, at)
        if named:
            value, at = named[1], named.end()
            while more := re.match(r" \[[^\]]*\.\.\.\]| \.\.\.", entry[at:]):
                value, at = f"{value} ...", at + more.end()
        separator = re.match(r"\s*[,/]\s*(?=-)" if value else r"\s*[,/]?\s*(?=-)", entry[at:])  # typer has blanks only
        if separator is None:
            break
        at += separator.end()
    later = None if value else _LATER.match(entry, at)
    if later:
        value, at = later[1], later.end()
    return options, value, entry[at:].lstrip(": ")


def _default(said: str) -> str:
    """Return what is said to be the default: in brackets (``(default: 0.1)``, ``[lr; default=0.1]``), or as ``defaults to 0.1``; else ""."""
    for found in _DEFAULT.finditer(said):
        before = said[: found.start()]
        if max(before.rfind("("), before.rfind("[")) > max(before.rfind(")"), before.rfind("]")):
            end = _end_of(said, found.end())
            if end >= 0:
                return said[found.end() : end].strip()
        elif (found[1] or "").endswith(("to", "is")):
            return (said[found.end() :].split() or [""])[0]
    return ""


def _end_of(said: str, at: int) -> int:
    """Return where the bracket ends that is open at `at`, or -1; within, square ones may stand."""
    depth = 0
    for place in range(at, len(said)):
        if said[place] == "(":
            return -1
        depth += {"[": 1, "]": -1}.get(said[place], 0)
        if depth < 0 or (said[place] == ")" and depth == 0):
            return place
    return -1


def _told(named: Sequence[str], value: str, said: str) -> Flag:
    option = named[0]
    name = re.sub(r"^\[no-?\]", "", option.lstrip("-"))
    told = _default(said).split(";")[0].strip(" .,'\"`") or None
    default: object = UNKNOWN if told is None or told == "None" or told.startswith("(") else scalar(told)
    off = next((one for one in named[1:] if one.lstrip("-") in (f"no-{name}", f"no_{name}", f"no{name}")), None)
    if "[no" in option:
        option, off = f"--{name}", f"--no{name}"
    if off:
        on = told in ("True", "true", name)
        return Flag(name=name, interface=Interface.COMMAND, passing=Passing.PAIR, options=(option, off), kind=Kind.BOOL, default=on, help=said)  # fmt: skip
    if (
        not value
        and not re.search(r"\(an? (number|integer|string|comma)", said)
        and not isinstance(default, (float, str))
    ):
        return Flag(name=name, interface=Interface.COMMAND, passing=Passing.SWITCH, options=(option,), kind=Kind.BOOL, default=False, help=said)  # fmt: skip
    if value.endswith("..."):
        return Flag(name=name, interface=Interface.COMMAND, passing=Passing.LIST, options=(option,), kind=Kind.LIST, help=said)  # fmt: skip
    listed = value[1:-1] if value.startswith(("{", "[")) else ""
    choices = tuple(scalar(one) for one in re.split(r"[,|]", listed) if one.strip()) or None
    word = value.split()[0].strip("<>").lower() if value and not listed else ""
    kind = {"integer": Kind.INT, "int": Kind.INT, "float": Kind.FLOAT, "boolean": Kind.BOOL, "text": Kind.STR}.get(word)
    if kind is Kind.FLOAT and isinstance(default, int) and not isinstance(default, bool):
        default = float(default)
    return Flag(
        name=name, interface=Interface.COMMAND, options=(option,), default=default, choices=choices, help=said,
        kind=kind or (Kind.of(default) if default is not UNKNOWN else Kind.ANY),
    )  # fmt: skip
