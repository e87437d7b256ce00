"""Changes to a sweep that is there, from words: ``lr=[1e-5:1e-1]``, ``optimizer+=lion``; and what a change comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from whet.config import SweepConfig, parse, to_mapping
from whet.config.keys import SWEEP
from whet.errors import ConfigError, SpaceError, UnknownName
from whet.parameters import Choice, Float, Int, Parameter, identity
from whet.project._options import Kind
from whet.project.flags import Flag, Interface
from whet.project.values import parse_flag
from whet.space import Space

__all__ = ["differences", "edited", "replaced"]

_WHETS = ("seed", "earlier", "start_from", "attrs", "nested", "define_by_run")  # a file need not say them
_NAMES = ("name", "project")  # of the sweep itself, which a change of its configuration leaves as they are


def edited(config: SweepConfig, words: Sequence[str], keys: Mapping[str, object] | None = None) -> SweepConfig:
    """Return `config` with what `words` say of its parameters, and `keys` of a sweep file set; None leaves a key out.

    A range in brackets moves the bounds of a number and leaves its scale, step and condition; a function (``loguniform[…]``) says the scale as well.
    A list gives the options of a choice, ``+=`` adds to them. A condition always stays.

    Args:
        config: Of the sweep.
        words: As in `whet.project.values`, each of a parameter that it has.
        keys: Of a sweep file, but for `parameters` and what is the sweep's own.

    Raises:
        UnknownName: there is no such parameter, or no such key.
        SpaceError, ConfigError: a value that can't be.

    Example:
        >>> config = parse({"method": "random", "program": "train.py", "parameters": {"lr": {"min": 0.01, "max": 0.1, "log": True}}})
        >>> edited(config, ["lr=[1e-5:1]"]).problem.space["lr"]
        Float(1e-05, 1, log)
    """
    space = config.problem.space
    made: dict[str, Parameter] = dict(space)
    for word in words:
        name, equals, value = word.partition("=")
        adds = name.endswith("+")
        name = name.removesuffix("+").strip().lstrip("-")
        if not equals:
            raise ConfigError(
                f"{word!r} changes nothing", "write name=value, such as lr=[1e-5:1e-1] or optimizer+=lion"
            )
        if name not in made:
            raise UnknownName.of("parameter", name, made)
        made[name] = _longer(name, made[name], value, word) if adds else _changed(name, made[name], value.strip(), word)
    if made != dict(space):
        changed = Space(made, constraints=space.constraints)
        config = replace(config, problem=replace(config.problem, space=changed))
    return _with_keys(config, keys) if keys else config


def replaced(config: SweepConfig, new: SweepConfig) -> SweepConfig:
    """Return `new` in place of `config`, with what only the stored one knows: its names, its seed, and what it took from earlier sweeps, unless `new` says them."""
    old, made = to_mapping(config), to_mapping(new)
    names = {key: old[key] for key in _NAMES if key in old}
    return _parsed({**{key: old[key] for key in _WHETS if key in old}, **made, **names})


def differences(old: SweepConfig, new: SweepConfig) -> dict[str, tuple[object, object]]:
    """Return what differs, from what to what: parameters by their names (one that is called like a key: `parameters.NAME`), then the other keys of a sweep file, plain; None: it is not there."""
    found: dict[str, tuple[object, object]] = {}
    before, after = old.problem.space, new.problem.space
    was, now = to_mapping(old), to_mapping(new)
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            called = f"parameters.{name}" if name in SWEEP or name == "cap" else name
            found[called] = before.get(name), after.get(name)
    for key in dict.fromkeys([*was, *now]):
        if key not in ("parameters", "nested", "run_cap") and was.get(key) != now.get(key):
            found[key] = was.get(key), now.get(key)
    return found


# -- parameters -------------------------------------------------------------------------------------------------------


def _changed(name: str, old: Parameter, value: str, word: str) -> Parameter:
    given = parse_flag(f"{name}={value}", _flag(name, old))
    if given.initial:
        raise ConfigError(
            f"{word} says what to try first, and the sweep has begun", f"write the range alone: {name}=[min:max]"
        )
    new = given.parameter
    if isinstance(old, (Float, Int)) and isinstance(new, (Float, Int)) and value.startswith("["):
        return _of_like(old, low=new.low, high=new.high, log=old.log, step=old.step, shape=old.shape)
    if isinstance(new, (Float, Int)):
        return _of_like(new, low=new.low, high=new.high, log=new.log, step=new.step, shape=new.shape, when=old.when)
    assert isinstance(new, Choice)
    if isinstance(old, Choice):
        return _options(old, new.options, word)
    return Choice(new.options, ordered=new.ordered, when=old.when)


def _longer(name: str, old: Parameter, value: str, word: str) -> Choice:
    if not isinstance(old, Choice):
        raise ConfigError(f"{word} adds to the options of {name}, which is {old}", f"give its range: {name}=[min:max]")
    text = value.strip()
    more = parse_flag(f"{name}={text if text.startswith('[') else f'[{text}]'}", _flag(name, old)).parameter
    if not isinstance(more, Choice):
        raise ConfigError(f"{word} adds a range to the options of {name}", f"list what to add: {name}+=[a,b]")
    there = [option for option in more.options if old.index(option) >= 0]
    if there:
        raise ConfigError(f"{word}: {there[0]!r} is an option of {name} already", "leave it out")
    return _options(old, [*old.options, *more.options], word)


def _options(old: Choice, options: Sequence[object], word: str) -> Choice:
    """Return `old` with other options; those that it has stay the very values that they were."""
    if old.weights is not None:
        raise ConfigError(
            f"{word} changes the options of a choice with weights, and says none",
            "give it as in a sweep file, with --file",
        )
    there = {identity(option): option for option in old.options}
    kept = [there.get(identity(option), option) for option in options]
    return Choice(kept, ordered=old.ordered, when=old.when)


def _of_like(like: Float | Int, *, when: Any = None, **fields: Any) -> Parameter:
    if isinstance(like, Int):
        fields["step"] = int(fields["step"] or 1)
    return type(like)(**fields, when=when or like.when)


def _flag(name: str, parameter: Parameter) -> Flag:
    """Return what is known of the values of `parameter`: their kind."""
    kind = Kind.ANY
    match parameter:
        case Float():
            kind = Kind.FLOAT
        case Int():
            kind = Kind.INT
        case Choice():
            types = {type(option) for option in parameter.options}
            of = {str: Kind.STR, bool: Kind.BOOL, list: Kind.LIST}
            kind = of.get(types.pop(), Kind.ANY) if len(types) == 1 else Kind.ANY
    return Flag(name=name, interface=Interface.COMMAND, kind=kind)


# -- other keys -------------------------------------------------------------------------------------------------------


def _with_keys(config: SweepConfig, keys: Mapping[str, object]) -> SweepConfig:
    for key, instead in (("parameters", "name=value"), ("run_cap", "--cap"), ("name", ""), ("project", "")):
        if key in keys:
            fix = f"use {instead}" if instead else "leave it out"
            raise ConfigError(f"{key} is not set as a key of the configuration", fix)
    given = {**to_mapping(config), **keys}
    for one, other in (("metric", "metrics"), ("metrics", "metric")):
        if one in keys and other not in keys:
            given.pop(other, None)
    return _parsed({key: value for key, value in given.items() if value is not None})


def _parsed(mapping: Mapping[str, object]) -> SweepConfig:
    try:
        return parse(mapping, source="the changed sweep")
    except SpaceError as error:  # one that knows no place in a file
        raise ConfigError(error.problem, error.fix) from error
