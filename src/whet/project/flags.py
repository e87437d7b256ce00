"""The flags of a script, found by reading it: it is never run or imported.

Looked for are, in this order: options of argparse, of click and typer; keys of a YAML or JSON configuration file that it reads;
module-level constants (``lr = 0.1``). Of a name that is found twice the first counts.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import final

from whet.config import flatten
from whet.config.read import read
from whet.errors import ConfigError, UnknownName
from whet.project._options import (
    UNKNOWN,
    Found,
    Kind,
    argparse_options,
    called,
    click_options,
    constants,
    typer_options,
)
from whet.project.inject import Passing

__all__ = ["UNKNOWN", "Flag", "Flags", "Interface", "Kind", "find_flags", "find_module", "flags_in"]

# Packages that make options from classes or functions, which no reading of the script finds for sure: any name is let through.
_OPEN = {"absl", "fire", "tyro", "simple_parsing", "jsonargparse", "tap", "draccus", "pydantic_settings"}
_CONFIG_ENDINGS = (".yaml", ".yml", ".json")
_CONFIG_NAMES = ("config", "cfg", "conf", "config_file", "config_path")
_READERS = ("open", "Path", "load", "load_config", "read_config")


class Interface(Enum):
    """How a flag reaches the script."""

    ARGPARSE = "argparse"
    CLICK = "click"
    GLOBALS = "globals"
    CONFIG = "yaml"
    COMMAND = "command line"  # no Python, or Python that takes its arguments in a way that can't be read off


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag.

    Args:
        name: As shown, and as the parameter is named: the option's own spelling without its leading hyphens.
        interface: Where it was found.
        passing: How the script takes a value.
        options: The option's spelling; of a pair (``--amp/--no-amp``) both.
        kind: What its values are.
        default: The value without the flag, or `UNKNOWN`.
        choices: The only legal values, or None.
        help: The script's own words.
        aliases: Other names that the user may write.
    """

    name: str
    interface: Interface
    passing: Passing = Passing.VALUE
    options: tuple[str, ...] = ()
    kind: Kind = Kind.ANY
    default: object = UNKNOWN
    choices: tuple[object, ...] | None = None
    help: str = ""
    aliases: tuple[str, ...] = ()

    def __str__(self) -> str:
        kind = f" ({self.kind.value})" if self.kind is not Kind.ANY else ""
        return f"{self.name}{kind}" + ("" if self.default is UNKNOWN else f", default {self.default!r}")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Flags(Mapping[str, Flag]):
    """The flags of a script by name.

    Args:
        script: The file that was read.
        interface: The script's own: that of its first flag.
        flags: By name.
        closed: Whether these are all there are; otherwise unknown names are passed on as ``--name=value``.
        config: The configuration file that it reads, or None.
        config_option: The option that names it (``--config``), or "" when its path is written in the script.
    """

    script: Path
    interface: Interface
    flags: Mapping[str, Flag] = field(default_factory=lambda: MappingProxyType({}))
    closed: bool = True
    config: Path | None = None
    config_option: str = ""

    def __getitem__(self, name: str) -> Flag:
        return self.flags[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.flags)

    def __len__(self) -> int:
        return len(self.flags)

    def find(self, name: str, *, force: bool = False) -> Flag:
        """Return the flag that the user calls `name`; `-` and `_` are one.

        Args:
            name: As written on the command line.
            force: Pass an unknown name on as ``--name=value``.

        Raises:
            UnknownName: there is none; names the nearest.
        """
        if name in self.flags:
            return self.flags[name]
        plain = name.lstrip("-").replace("-", "_")
        for flag in self.flags.values():
            if plain in {text.replace("-", "_") for text in (flag.name, *flag.aliases)}:
                return flag
        if force or not self.closed:
            bare = name.lstrip("-")
            return Flag(name=bare, interface=Interface.COMMAND, options=(f"--{bare}",))
        error = UnknownName.of("flag", name, self.flags)
        fix = error.fix.replace("known:", "its flags:", 1)
        raise UnknownName(
            f"{self.script.name} has no flag {name!r}", f"{fix} (--force-flags passes it all the same)", **error.facts
        )


def find_flags(script: Path, *, config: Path | None = None) -> Flags:
    """Return the flags of `script`, found without running it.

    Args:
        script: A Python file; of any other file nothing is known, and every name is passed on as ``--name=value``.
        config: The configuration file that it reads; None: an option's default or a path in the script may name one.

    Raises:
        ConfigError: the script is not Python, or `config` can't be read.

    Example:
        >>> find_flags(Path("train.py"))["lr"].default  # doctest: +SKIP
        0.1
    """
    if script.suffix not in (".py", ".pyw") and not _is_python(script):
        return Flags(script=script, interface=Interface.COMMAND, closed=False)
    tree = _parse(script)
    named = constants(tree)
    found, closed = _gathered(_own_options(script, tree, named))
    closed = (
        closed
        and not _imports(tree) & _OPEN
        and not any(isinstance(n, ast.Name) and n.id == "HfArgumentParser" for n in ast.walk(tree))
    )
    path, option = _config_file(script, tree, found, config)
    if path is not None:
        for name, value in _config_values(path, required=config is not None).items():
            flag = Flag(
                name=name, interface=Interface.CONFIG, passing=Passing.CONFIG, kind=Kind.of(value), default=value
            )
            found.setdefault(name, flag)
    found |= _globals(named, {name.replace("-", "_") for name in found})
    unread = Interface.GLOBALS if closed else Interface.COMMAND
    return Flags(
        script=script, interface=_first(found, unread), flags=MappingProxyType(found), closed=closed, config=path, config_option=option
    )  # fmt: skip


def flags_in(text: str, script: Path) -> Flags:
    """Return the flags of a script whose text is `text`; nothing beside it is looked for, no file is opened.

    Raises:
        ConfigError: it is not Python.
    """
    tree = _parsed(text, str(script))
    named = constants(tree)
    found, _ = _gathered(_options_in(tree, named))
    found = found or _globals(named, set())
    interface = _first(found, Interface.COMMAND)
    return Flags(script=script, interface=interface, flags=MappingProxyType(found), closed=False)


def _gathered(options: Iterable[tuple[Interface, Found | None]]) -> tuple[dict[str, Flag], bool]:
    """Return the options as flags by name, the first of each, and whether they are all known."""
    found: dict[str, Flag] = {}
    closed = True
    for interface, each in options:
        if each is None:
            closed = False
        else:
            flag = _as_flag(interface, each)
            found.setdefault(flag.name, flag)
    return found, closed


def _globals(named: Mapping[str, object], taken: Collection[str]) -> dict[str, Flag]:
    """Return the constants of a script that may be flags, but for names that are `taken`."""
    return {
        name: Flag(name=name, interface=Interface.GLOBALS, passing=Passing.GLOBAL, kind=Kind.of(value), default=value)
        for name, value in named.items()
        if not name.startswith("_") and name not in taken and Kind.of(value) is not Kind.ANY
    }


def _first(found: Mapping[str, Flag], none: Interface) -> Interface:
    return next((flag.interface for flag in found.values()), none)


def find_module(name: str, folder: Path | None = None) -> Path:
    """Return the file of the module `name` (its ``__main__`` for a package) without importing anything.

    Raises:
        ConfigError: there is none in `folder` (default: the working directory) or on `sys.path`.
    """
    places = [folder or Path.cwd(), *(Path(entry) for entry in sys.path if entry)]
    below = Path(*name.split("."))
    for place in places:
        for path in (place / below / "__main__.py", (place / below).with_suffix(".py")):
            if path.is_file():
                return path
    raise ConfigError(
        f"there is no module {name!r}", f"looked in {places[0]} and on sys.path: run it from its project's folder"
    )


def _is_python(script: Path) -> bool:
    try:
        with script.open("rb") as file:
            first = file.readline(200)
    except OSError:
        return False
    return first.startswith(b"#!") and b"python" in first


def _parse(script: Path) -> ast.Module:
    try:
        return _parsed(script.read_bytes(), str(script))
    except OSError as error:
        raise ConfigError(f"{script} can't be read: {error.strerror}", "give a script that you may read") from None


def _parsed(text: str | bytes, source: str) -> ast.Module:
    try:
        return ast.parse(text, source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        where = f"{source}:{line}" if line else source
        reason = getattr(error, "msg", error)
        raise ConfigError(
            f"{where}: this is not Python: {reason}", "mend it", source=source, line=line, path=""
        ) from None


def _options_in(tree: ast.Module, named: Mapping[str, object]) -> Iterator[tuple[Interface, Found | None]]:
    """Yield the options that the text itself declares; None where some can't be known."""
    for each in argparse_options(tree, named):
        yield Interface.ARGPARSE, each
    for found in (*click_options(tree, named), *typer_options(tree, named)):
        yield Interface.CLICK, found


def _own_options(
    script: Path, tree: ast.Module, named: Mapping[str, object]
) -> Iterator[tuple[Interface, Found | None]]:
    """Yield the options of the script, else of the modules beside it that it imports; None where some can't be known."""
    options = list(_options_in(tree, named))
    if options:
        yield from options
        return
    for path in _beside(script, tree):
        try:
            inner = _parse(path)
        except ConfigError:
            continue
        for each in argparse_options(inner, constants(inner)):
            yield Interface.ARGPARSE, each


def _beside(script: Path, tree: ast.Module) -> Iterator[Path]:
    for name in sorted(_imports(tree, whole=True)):
        path = script.parent.joinpath(*name.split(".")).with_suffix(".py")
        if path.is_file() and path != script:
            yield path


def _imports(tree: ast.Module, *, whole: bool = False) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names if whole)}
    return names if whole else {name.partition(".")[0] for name in names}


def _as_flag(interface: Interface, found: Found) -> Flag:
    name = found.options[0].lstrip("-")
    return Flag(
        name=name, interface=interface, passing=found.passing, options=found.options, kind=found.kind, default=found.default,
        choices=found.choices, help=found.help, aliases=tuple(a for a in found.aliases if a != name),
    )  # fmt: skip


def _config_file(
    script: Path, tree: ast.Module, found: Mapping[str, Flag], given: Path | None
) -> tuple[Path | None, str]:
    """Return the configuration file and the option that names it ("" when the path is written in the script)."""
    for flag in found.values():
        if flag.passing is not Passing.VALUE or not flag.options:
            continue
        default = flag.default if isinstance(flag.default, str) and flag.default.endswith(_CONFIG_ENDINGS) else None
        if given is not None and (default or flag.name.replace("-", "_") in _CONFIG_NAMES):
            return given, flag.options[0]
        path = _existing(default, script) if default else None
        if path is not None:
            return path, flag.options[0]
    return (given or _opened_config(script, tree)), ""


def _existing(text: str, script: Path) -> Path | None:
    return next((path for path in (Path(text), script.parent / text) if path.is_file()), None)


def _opened_config(script: Path, tree: ast.Module) -> Path | None:
    """Return the configuration file whose path is written in the script, where it opens or loads it."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or called(node) not in _READERS:
            continue
        values = [a.value for a in (*node.args, *(k.value for k in node.keywords)) if isinstance(a, ast.Constant)]
        texts = [value for value in values if isinstance(value, str)]
        paths = [text for text in texts if text.endswith(_CONFIG_ENDINGS)]
        writes = any(len(text) <= 3 and set(text) & set("wax+") for text in texts if text not in paths)
        if paths and not writes:
            path = _existing(paths[0], script)
            if path is not None and _config_values(path, required=False):
                return path
    return None


def _config_values(path: Path, *, required: bool) -> dict[str, object]:
    """Return the values in a configuration file by dotted name; of one that is not `required` and can't be read, none."""
    try:
        return flatten(read(path.read_text(encoding="utf-8"), str(path))[0])
    except (OSError, UnicodeDecodeError) as error:
        if required:
            raise ConfigError(f"{path} can't be read ({error})", "give a YAML or JSON file", source=str(path)) from None
    except ConfigError:
        if required:
            raise
    return {}
