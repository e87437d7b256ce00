"""Small files of others: read with a limit, as text, JSON or YAML, and made plain. Nothing in them is ever run."""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Mapping
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import Any

from whet.errors import TrackError

__all__ = ["SUFFIXES", "bytes_of", "document", "opened", "tamed", "text_of", "value_of"]

SUFFIXES = (".json", ".yaml", ".yml")
"""Those of documents."""
_TEXT_BYTES = 1 << 20
_JSON_BYTES = 32 << 20
_YAML_BYTES = 4 << 20
_MOST_VALUES = 500_000
_DEEPEST = 50
_SAFE_FOR_C = 4096  # libyaml's binding overflows the stack on what is nested deeper than some ten thousand levels
_NUMBER = re.compile(r"[-+]?(?:0|[1-9]\d{0,17})(\.\d*)?([eE][-+]?\d{1,4})?|[-+]?\.\d+([eE][-+]?\d{1,4})?")
_WORDS: Mapping[str, object] = {
    "true": True, "false": False, "none": None, "null": None, "nan": math.nan, "inf": math.inf, "-inf": -math.inf,
}  # fmt: skip


def opened(path: Path) -> BufferedReader:
    """Return a regular file, open; a link is not followed.

    Raises:
        TrackError: it can't be read, or is no regular file.
    """
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise _unreadable(path, error) from error
    file = open(number, "rb")  # noqa: SIM115 - the caller closes it
    if stat.S_ISREG(os.fstat(number).st_mode):
        return file
    file.close()
    raise TrackError(f"{path} is no regular file", "leave it out")


def _unreadable(path: Path, error: OSError) -> TrackError:
    return TrackError(f"{path} can't be read ({error.strerror})", "make it readable, or leave it out")


def bytes_of(path: Path, limit: int = _TEXT_BYTES) -> bytes:
    """Return the content of a regular file; a link is not followed.

    Raises:
        TrackError: it can't be read, is no regular file, or has more than `limit` bytes.
    """
    with opened(path) as file:
        try:
            data = file.read(limit + 1)
        except OSError as error:
            raise _unreadable(path, error) from error
    if len(data) > limit:
        raise TrackError(f"{path} has more than {limit} bytes", "it is too large to be read as a whole: leave it out")
    return data


def text_of(path: Path, limit: int = _TEXT_BYTES) -> str:
    """Return the content of a small text file, stripped. Raises as `bytes_of`."""
    return bytes_of(path, limit).decode("utf-8", "replace").strip()


def document(path: Path) -> Any:
    """Return what a JSON or YAML file (by its suffix; without one it is YAML) holds, as plain data.

    Unknown YAML tags, such as ``!!python/object``, become the plain values behind them.

    Raises:
        TrackError: it can't be read; the error says where.
    """
    is_json = path.suffix.lower() == ".json"
    data = bytes_of(path, _JSON_BYTES if is_json else _YAML_BYTES)
    try:
        return tamed(json.loads(data) if is_json else _yaml(data))
    except TrackError as error:
        raise TrackError(f"{path}: {error.problem}", error.fix) from None
    except RecursionError:
        raise TrackError(f"{path} is nested too deeply", "leave it out") from None
    except Exception as error:  # a parser's own, of many kinds; they say where
        what = " ".join(str(error).split())
        raise TrackError(
            f"{path} is no {'JSON' if is_json else 'YAML'} ({what:.200})", "mend it, or leave it out"
        ) from None


@cache
def _loaders() -> tuple[Any, Any]:
    import yaml

    def plainly(loader: Any, suffix: str, node: Any) -> Any:
        if isinstance(node, yaml.MappingNode):
            return loader.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        return loader.construct_scalar(node)

    class Slow(yaml.SafeLoader):
        pass

    class Quick(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    for loader in (Slow, Quick):
        loader.add_multi_constructor("", plainly)
    return Slow, Quick


def _yaml(data: bytes) -> Any:
    import yaml

    slow, quick = _loaders()
    return yaml.load(data, Loader=quick if len(data) <= _SAFE_FOR_C else slow)  # both are SafeLoaders


def tamed(value: Any) -> Any:
    """Return `value` as plain data: keys are text, dates are text; whatever a few bytes of YAML may unfold to is refused.

    Raises:
        TrackError: it has too many values, or is nested too deeply.
    """
    left = _MOST_VALUES

    def walk(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > _DEEPEST:
            raise TrackError("it holds too much", "leave it out")
        if value is None or isinstance(value, bool | float | str):
            return value
        if isinstance(value, int):
            return value if abs(value) < 1 << 63 else float(value) if abs(value) < 1 << 1000 else str(value)[:100]
        if isinstance(value, Mapping):
            return {str(k): walk(v, depth + 1) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [walk(v, depth + 1) for v in value]
        return str(value)

    return walk(value, 0)


def value_of(text: str) -> object:
    """Return what a text in a file of texts (MLflow's params) stands for: a number, a truth value, nothing, or itself.

    Example:
        >>> value_of("1e-3"), value_of("64"), value_of("True"), value_of("007"), value_of("[1, 2]")
        (0.001, 64, True, '007', '[1, 2]')
    """
    match = _NUMBER.fullmatch(text)
    if match is not None:
        return int(text) if match[1] is None and match[2] is None and "." not in text else float(text)
    word = text.lower()
    return _WORDS.get(word, text)
