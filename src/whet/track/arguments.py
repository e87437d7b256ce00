"""The arguments of `init`, each brought to its own form."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whet.errors import ConfigError, TrackError
from whet.store.rules import is_run_id
from whet.track.claim import Claim

__all__ = ["id_of", "mapping_of", "mode_of", "name_of", "root_of"]

_MODES = ("online", "offline", "disabled")
_ADJECTIVES = (
    "amber", "bold", "brisk", "calm", "clear", "crisp", "deft", "eager", "fair", "fleet", "fresh", "glad", "keen", "kind", "light",
    "lucid", "mellow", "nimble", "quick", "quiet", "sharp", "sunny", "swift", "warm",
)  # fmt: skip
_NOUNS = (
    "birch", "brook", "cedar", "comet", "crane", "delta", "ember", "falcon", "fern", "finch", "heron", "lark", "lynx", "maple",
    "otter", "pine", "raven", "river", "sparrow", "spruce", "swan", "tern", "willow", "wren",
)  # fmt: skip


def mode_of(mode: str | None, told: Claim | None) -> str:
    """Return "online", "offline" or "disabled"."""
    chosen = mode or os.environ.get("WHET_MODE") or "online"
    if chosen not in _MODES:
        raise TrackError(f"mode {chosen!r} is not known", f"give one of {', '.join(_MODES)}")
    if (
        told is not None
        and told.logs_kept
        and any(os.environ.get(v, "0") not in ("", "0") for v in ("RANK", "LOCAL_RANK"))
    ):
        return "disabled"  # of a trial's several processes (torchrun) the first one tells the story
    return chosen


def root_of(dir: str | os.PathLike[str] | None, told: Claim | None) -> Path:
    """Return the folder that holds ``runs/``."""
    if told is not None and told.dir is not None:
        return Path(told.dir)
    if dir is not None:
        return Path(dir)
    from whet.store.open import whet_dir

    return whet_dir()


def id_of(id: str | None, told: Claim | None) -> str:
    """Return the run's id: the trial's, the one given, or a new one."""
    if told is not None:
        return told.run_id
    if id is None:
        return "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(8))
    if not is_run_id(id):
        raise TrackError(f"run id {id!r} can't be", "use up to 64 letters, digits, '-', '_' and '.'")
    return id


def name_of(run_id: str) -> str:
    """Return a name that people can say."""
    return f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}-{run_id[:3]}"


def mapping_of(config: Any) -> dict[str, Any]:
    """Return a config as a mapping, from whatever holds one."""
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return {str(k): v for k, v in config.items()}
    if isinstance(config, str | os.PathLike):
        return _from_file(Path(config))
    if hasattr(config, "__dict__"):  # argparse.Namespace, a dataclass, a plain object
        return dict(vars(config))
    with contextlib.suppress(TypeError, ValueError):
        return dict(config)
    raise TrackError(
        f"config is a {type(config).__name__}", "give a mapping, an argparse.Namespace, or the path of a YAML file"
    )


def _from_file(path: Path) -> dict[str, Any]:
    import yaml

    try:
        loaded = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(
            f"can't read the config {path} ({error})", "give a mapping, or the path of a YAML file", source=str(path)
        ) from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path} holds no mapping", "write 'key: value' lines", source=str(path))
    return {str(k): v for k, v in loaded.items()}
