"""``flag=value`` as Guild writes it: constants, grids, ranges, functions, and files of configurations.

===========================  =============================================================================
``lr=0.1``                   a constant; ``'0.1'`` in quotes is text
``lr=[0.1,0.01]``            one of these
``lr=[1e-4:1e-1]``           between these (uniform); whole numbers when both are, or the flag's type says so
``lr=[1e-4:1e-1:1e-2]``      the same, 1e-2 tried first; so do all ranges below
``lr=uniform[0:1]``          the same as ``[0:1]``
``lr=loguniform[1e-4:1e-1]`` uniform in the logarithm
``lr=normal[0:1]``           a normal distribution: mean and deviation
``n=range[1:10:2]``          1, 3, 5, 7, 9: from, to (included), step (1)
``lr=linspace[0:1:5]``       5 values (the default) at even distances, both ends included
``lr=logspace[-4:-1:4]``     4 powers of 10 (5 is the default; a fourth number is another base)
``@batch.csv``               a file (CSV, JSON or YAML), each row one configuration to run
===========================  =============================================================================
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from whet.errors import ConfigError, SpaceError, UnknownName
from whet.project.flags import Flag, Kind
from whet.space import Choice, Float, Int, Normal, Parameter

__all__ = ["Given", "coerce", "parse_flag", "read_batch", "scalar"]

_FUNCTION = re.compile(r"([A-Za-z_]+)\[(.*)\]", re.DOTALL)
_INT = re.compile(r"[-+]?[0-9]+")
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")
_WORDS = {Kind.INT: "an integer", Kind.FLOAT: "a number", Kind.BOOL: "yes or no", Kind.LIST: "a list such as [[64,32]]"}
_MOST_VALUES = 10_000
_MOST_DIGITS = 308  # a longer integer is no float


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the user gave for one flag.

    Args:
        name: The flag, by its own name.
        text: As written, ``lr=[0.1,0.01]``.
        parameter: What it may be; a `Choice` of one is a constant.
        initial: A list with the value to try first, or an empty one.
    """

    name: str
    text: str
    parameter: Parameter
    initial: tuple[object, ...] = ()

    @property
    def is_finite(self) -> bool:
        """Whether its values were listed, and so can be tried one after the other."""
        return isinstance(self.parameter, Choice)


def parse_flag(text: str, flag: Flag | None = None) -> Given:
    """Return what ``name=value`` says.

    Args:
        text: One word of the command line.
        flag: What is known of the flag: its name, the kind of its values, its choices.

    Raises:
        SpaceError: the value is not legal; the message quotes `text`.
        ConfigError: there is no ``=`` in it.

    Example:
        >>> parse_flag("lr=loguniform[1e-4:1e-1]").parameter
        Float(0.0001, 0.1, log)
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip("- "):
        raise ConfigError(f"{text!r} is no flag", "write name=value, such as lr=0.1, lr=[0.1,0.01] or lr=[1e-4:1e-1]")
    name, value = flag.name if flag else name.strip(), value.strip()
    kind = flag.kind if flag else Kind.ANY
    matched = _FUNCTION.fullmatch(value)
    if matched and matched[1] in _FUNCTIONS:
        inner = matched[2].strip()
        numbers = [_number(part, text) for part in re.split(r"[:,]", inner)] if inner else []
        parameter, initial = _FUNCTIONS[matched[1]](text, numbers, kind)
        if isinstance(parameter, Choice):
            options = [coerce(flag, option, text) for option in parameter.options]
            parameter = _choice(text, options, ordered=True)
    elif matched:
        fix = UnknownName.of("function", matched[1], _FUNCTIONS).fix
        raise SpaceError(f"{text}: unknown function {matched[1]!r}", f"{fix}; put text with brackets in quotes")
    elif value.startswith("[") and value.endswith("]"):
        parameter, initial = _brackets(text, value[1:-1], flag)
    else:
        parameter, initial = Choice([coerce(flag, value, text)]), None
    return Given(name=name, text=text, parameter=parameter, initial=() if initial is None else (initial,))


_Parsed = tuple[Parameter, object]


def _brackets(text: str, inner: str, flag: Flag | None) -> _Parsed:
    parts = _split(inner)
    if not any(parts):
        raise SpaceError(f"{text} is empty", "give at least one value, such as [1,2]")
    if len(parts) == 1 and ":" in parts[0]:
        ends = [part.strip() for part in parts[0].split(":")]
        if any(isinstance(scalar(end), (int, float)) or not end for end in ends):
            return _uniform(text, [_number(end, text) for end in ends], flag.kind if flag else Kind.ANY)
    return _choice(text, [coerce(flag, part, text) for part in parts]), None


def _choice(text: str, options: Sequence[object], *, ordered: bool = False) -> Choice:
    try:
        return Choice(options, ordered=ordered)
    except SpaceError as error:
        raise SpaceError(f"{text}: {error.problem}", error.fix) from None


def _split(inner: str) -> list[str]:
    """Split at commas that are in no quotes and no brackets."""
    parts, depth, quote, start = [], 0, "", 0
    for i, letter in enumerate(inner):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and not inner[start:i].strip():
            quote = letter
        elif letter in "[({":
            depth += 1
        elif letter in "])}":
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append(inner[start:i].strip())
            start = i + 1
    return [*parts, inner[start:].strip()]


def scalar(text: str) -> object:
    """Return a number, truth value, null, quoted text or plain text, whichever `text` looks like; a list in brackets."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text.startswith("[") and text.endswith("]"):
        inner = text[1:-1]
        return [scalar(part) for part in _split(inner)] if inner.strip() else []
    if _INT.fullmatch(text):
        return int(text) if len(text) <= _MOST_DIGITS else text
    lowered = text.lower()
    if lowered in _TRUE or lowered in _FALSE:
        return lowered in _TRUE
    if lowered in ("null", "none", "~"):
        return None
    try:
        return text if "_" in text or lowered in ("nan", "infinity", "-infinity") else float(text)
    except ValueError:
        return text


def _number(part: str, text: str) -> int | float:
    value = scalar(part)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        problem = f"{text} has the bound {part!r}" if part else f"{text} lacks a bound"
        raise SpaceError(problem, "give numbers, such as [0.1:0.5] or loguniform[1e-4:1e-1]")
    return value


def coerce(flag: Flag | None, value: object, text: str) -> object:
    """Return a value (text, or what a file holds) as the flag takes it.

    Args:
        flag: Its kind and choices; None: as it looks.
        value: Text is read, anything else taken as it is.
        text: What the user wrote, for the message.

    Raises:
        SpaceError: it is of another kind, or none of the choices.
    """
    if flag is None:
        return scalar(value) if isinstance(value, str) else value
    read = scalar(value) if isinstance(value, str) else value
    result: object = read
    fits = True
    match flag.kind:
        case Kind.INT:
            fits = isinstance(read, (int, float)) and not isinstance(read, bool) and float(read).is_integer()
            result = int(read) if fits and isinstance(read, (int, float)) else read
        case Kind.FLOAT:
            fits = isinstance(read, (int, float)) and not isinstance(read, bool)
            result = float(read) if fits and isinstance(read, (int, float)) else read
        case Kind.BOOL:
            fits = isinstance(read, bool) or read in (0, 1)
            result = bool(read)
        case Kind.STR:
            quoted = isinstance(value, str) and isinstance(read, str)
            result = read if quoted or not isinstance(value, str) else value.strip()
        case Kind.LIST:
            result = read if isinstance(read, list) else [read]
    if read is None and flag.default is None:
        fits, result = True, None
    if not fits:
        raise SpaceError(f"{text}: {value!r} is not what {flag} takes", f"give {_WORDS[flag.kind]}")
    if flag.choices is not None:
        allowed = {str(choice): choice for choice in flag.choices}
        picked = [allowed.get(str(each)) for each in (result if isinstance(result, list) else [result])]
        if None in picked:
            fix = UnknownName.of("choice", str(result), allowed).fix
            raise SpaceError(f"{text}: {value!r} is no choice of {flag.name}", fix)
        result = picked if isinstance(result, list) else picked[0]
    return result


# -- functions --------------------------------------------------------------------------------------------------------


def _range_of(text: str, numbers: Sequence[int | float], kind: Kind, *, log: bool) -> _Parsed:
    if len(numbers) not in (2, 3):
        raise SpaceError(f"{text} has {len(numbers)} number(s)", "give two, [min:max], or three, [min:max:initial]")
    low, high = numbers[:2]
    head = text.partition("[")[0]
    if low > high:
        raise SpaceError(
            f"{text} has min > max", f"write {head}[{high}:{low}{':' + str(numbers[2]) if numbers[2:] else ''}]"
        )
    if log and low <= 0:
        raise SpaceError(f"{text} has the minimum {low}, which has no logarithm", f"give one above 0, such as {head}[{high / 1e4:g}:{high:g}]"
                         if high > 0 else "give a range above 0, or use uniform")  # fmt: skip
    if kind in (Kind.STR, Kind.BOOL, Kind.LIST):
        raise SpaceError(f"{text} is a range, but {head.partition('=')[0]} takes {'text' if kind is Kind.STR else _WORDS[kind]}",
                         "list its values, such as [a,b]")  # fmt: skip
    if kind is Kind.INT or (kind is Kind.ANY and isinstance(low, int) and isinstance(high, int)):
        if not (float(low).is_integer() and float(high).is_integer()):
            raise SpaceError(
                f"{text} has bounds that are no integers, as {head.partition('=')[0]} takes", "give integers"
            )
        parameter: Parameter = Int(int(low), int(high), log=log)
    else:
        parameter = Float(low, high, log=log)
    if len(numbers) == 2:
        return parameter, None
    try:
        return parameter, parameter.clean("the initial value", numbers[2])
    except SpaceError as error:
        raise SpaceError(f"{text}: {error.problem}", error.fix) from None


def _uniform(text: str, numbers: Sequence[int | float], kind: Kind) -> _Parsed:
    return _range_of(text, numbers, kind, log=False)


def _loguniform(text: str, numbers: Sequence[int | float], kind: Kind) -> _Parsed:
    return _range_of(text, numbers, kind, log=True)


def _normal(text: str, numbers: Sequence[int | float], kind: Kind) -> _Parsed:
    if len(numbers) != 2 or numbers[1] <= 0:
        raise SpaceError(f"{text} is no normal distribution", "give normal[mean:deviation], the deviation above 0")
    if kind not in (Kind.FLOAT, Kind.ANY):
        raise SpaceError(
            f"{text} is of real numbers", f"{text.partition('=')[0]} takes none: list its values, such as [a,b]"
        )
    return Float(-math.inf, math.inf, shape=Normal(*map(float, numbers))), float(numbers[0])


def _range(text: str, numbers: Sequence[int | float], kind: Kind) -> _Parsed:
    if len(numbers) not in (2, 3):
        raise SpaceError(f"{text} has {len(numbers)} number(s)", "give range[from:to] or range[from:to:step]")
    start, end, step = *numbers[:2], numbers[2] if len(numbers) == 3 else 1
    if step == 0 or (end - start) * step < 0:
        raise SpaceError(f"{text} never gets from {start} to {end}", "give a step of the right sign, not 0")
    count = math.floor(min((end - start) / step, 1e18) + 1e-9) + 1
    return _listed(text, [start + i * step for i in range(_checked(text, count))])


def _linspace(text: str, numbers: Sequence[int | float], kind: Kind) -> _Parsed:
    start, end, count = _spaced(text, numbers[:3], len(numbers) > 3)
    return _listed(text, _between(start, end, count))


def _logspace(text: str, numbers: Sequence[int | float], kind: Kind) -> _Parsed:
    start, end, count = _spaced(text, numbers[:3], len(numbers) > 4)
    base = numbers[3] if len(numbers) > 3 else 10
    if base <= 0:
        raise SpaceError(f"{text} has the base {base}", "give a base above 0")
    try:
        return _listed(text, [base**power for power in _between(start, end, count)])
    except OverflowError:
        raise SpaceError(f"{text} has a power beyond 1e308", "give smaller exponents, or a smaller base") from None


def _between(start: float, end: float, count: int) -> list[float]:
    shares = [i / max(count - 1, 1) for i in range(count)]
    return [start * (1 - share) + end * share for share in shares]  # end - start might be beyond any float


def _spaced(text: str, numbers: Sequence[int | float], too_many: bool) -> tuple[float, float, int]:
    count = numbers[2] if len(numbers) > 2 else 5
    if len(numbers) < 2 or too_many or count != int(count) or count < 1:
        raise SpaceError(
            f"{text} does not say how many values from where to where", "give from:to:count, such as linspace[0:1:5]"
        )
    return numbers[0], numbers[1], _checked(text, int(count))


def _checked(text: str, count: int) -> int:
    if count > _MOST_VALUES:
        raise SpaceError(
            f"{text} has {count:,} values, more than {_MOST_VALUES:,}", "give fewer, or a range: [min:max]"
        )
    return count


def _listed(text: str, values: Sequence[int | float]) -> _Parsed:
    neat = [
        value if isinstance(value, int) else float(f"{value:.12g}") for value in values
    ]  # 0.3, not 0.30000000000000004
    return _choice(text, list(dict.fromkeys(neat)), ordered=True), None


_FUNCTIONS: Mapping[str, Callable[[str, Sequence[int | float], Kind], _Parsed]] = {
    "uniform": _uniform, "loguniform": _loguniform, "normal": _normal,
    "range": _range, "linspace": _linspace, "logspace": _logspace,
}  # fmt: skip


# -- files ------------------------------------------------------------------------------------------------------------


def read_batch(path: Path) -> list[dict[str, object]]:
    """Return the configurations in a file, one a row: CSV with a header, or JSON or YAML with a list of mappings.

    Raises:
        ConfigError: it can't be read, or has no rows.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"@{path} can't be read ({error})", "give a CSV, JSON or YAML file", source=str(path)
        ) from None
    rows: object
    match path.suffix.lower():
        case ".csv":
            rows = [
                {str(k).strip(): scalar(v) for k, v in row.items() if v is not None and v.strip()}
                for row in csv.DictReader(io.StringIO(text))
            ]
        case ".json":
            try:
                rows = json.loads(text)
            except ValueError as error:
                raise ConfigError(f"@{path} is not JSON ({error})", "mend it", source=str(path)) from None
        case ".yaml" | ".yml":
            import yaml

            try:
                rows = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise ConfigError(f"@{path} is not YAML ({error})", "mend it", source=str(path)) from None
        case other:
            raise ConfigError(f"@{path} ends in {other!r}", "give a .csv, .json or .yaml file", source=str(path))
    rows = [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and row for row in rows):
        raise ConfigError(
            f"@{path} holds no configurations",
            "give a list of mappings from flags to values, one a trial",
            source=str(path),
        )
    return [{str(k): scalar(v) if isinstance(v, str) and _is_number(v) else v for k, v in row.items()} for row in rows]


def _is_number(text: str) -> bool:
    """Return whether YAML left a number such as 1e-4 as text."""
    return re.fullmatch(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+", text) is not None
