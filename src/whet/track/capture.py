"""Where a run comes from: git, command line, machine, Python, packages, environment. Gathered in the background.

The uncommitted changes and the list of installed packages are kept once for all runs that share them, in ``<whet dir>/captured/``,
named by their SHA-256.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["command_line", "devices", "environment", "facts", "git", "mask", "packages"]

_DIFF_BYTES = 1 << 20
_GIT_S = 10.0
_SECRET = re.compile(r"(?i)secret|passw|passphrase|pwd|credential")
"""Names that say so."""
_MAYBE = re.compile(
    r"(?i)(?<!mon)key(?!point|word|frame|board)|token(?!i[sz])|auth(?!or(?!i))|(?<![a-z])pass(?![a-z])|cookie|private|bearer|signature"
)
"""Names that may: a number or a switch behind one of them is none (``--max-tokens 512``)."""
_PLAIN = re.compile(r"(?i)[-+]?[0-9]{1,9}(\.[0-9]*)?(e[-+]?[0-9]+)?|true|false|none|null|yes|no|on|off|")
_URL_LOGIN = re.compile(r"(?<=://)[^/\s]+@")
_URL_ANSWER = re.compile(
    r"([?&][^=&\s]*(?:token|key|secret|passw|signature|credential)[^=&\s]*=)[^&\s#]+", re.IGNORECASE
)
_KNOWN = re.compile(  # by how they begin
    r"whet_[0-9a-z]{10}_[0-9a-f]{16,}|hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|sk-[\w-]{20,}|"
    r"AKIA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|(?<=Bearer )\S+|(?<=Basic )\S+"
)
_KEPT = re.compile(
    r"^(CUDA_|NCCL_|OMP_|MKL_|OPENBLAS_|TORCH|PYTORCH_|XLA_|JAX_|TF_(?!CLI)|HF_|TOKENIZERS_|SLURM_JOB|SLURM_NODELIST|SLURM_NTASKS|"
    r"SLURM_CPUS|SLURM_GPUS|RAY_|RANK$|LOCAL_RANK$|WORLD_SIZE$|MASTER_|PYTHONHASHSEED$|CONDA_DEFAULT_ENV$|VIRTUAL_ENV$|"
    r"WHET_DIR$|WHET_STORE$|WHET_MODE$|WHET_PROJECT$|CUBLAS_)"
)
_SHORTLIST = (
    "torch", "torchvision", "tensorflow", "jax", "jaxlib", "flax", "keras", "numpy", "scipy", "scikit-learn", "pandas", "xgboost",
    "lightgbm", "lightning", "pytorch-lightning", "transformers", "datasets", "accelerate", "timm", "optuna", "whet",
)  # fmt: skip


def mask(text: str) -> str:
    """Return `text` without the secrets that show by themselves: logins and answers in URLs, tokens that begin as such.

    Example:
        >>> mask("postgresql://me:pw@host/db"), mask("https://host/x?a=1&api_key=abc")
        ('postgresql://***@host/db', 'https://host/x?a=1&api_key=***')
    """
    return _KNOWN.sub("***", _URL_ANSWER.sub(r"\1***", _URL_LOGIN.sub("***@", text)))


def _is_secret(name: str, value: str) -> bool:
    """Return whether `value` is one, by the `name` that it has."""
    return bool(_SECRET.search(name) or (_MAYBE.search(name) and not _PLAIN.fullmatch(value)))


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that change what a training does; a value whose name sounds secret becomes ``***``."""
    return {k: "***" if _is_secret(k, v) else mask(v) for k, v in sorted(environ.items()) if _KEPT.search(k)}


def command_line(argv: Sequence[str]) -> list[str]:
    """Return `argv` with the values of options whose name sounds secret masked."""
    shown: list[str] = []
    option = ""
    for word in argv:
        name, equals, value = word.partition("=")
        if option and not word.startswith("--") and _is_secret(option, word):
            shown.append("***")
        elif equals and "://" not in name and _is_secret(name, value):
            shown.append(f"{name}=***")
        else:
            shown.append(mask(word))
        option = word if word.startswith("-") and not equals else ""
    return shown


@cache
def packages() -> Mapping[str, str]:
    """Return name to version of every installed distribution, found by the names of their folders (a few ms)."""
    found: dict[str, str] = {}
    for folder in sys.path:
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder or "."):
                stem, suffix = os.path.splitext(entry.name)
                name, dash, version = stem.partition("-")
                if suffix == ".dist-info" and dash:
                    found.setdefault(name.lower().replace("_", "-"), version)
    return dict(sorted(found.items()))


def _git(folder: Path, *args: str, limit: int = 1 << 16) -> str | None:
    """Return the output of a git command (at most `limit` bytes), or None when it fails or takes too long."""
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        with subprocess.Popen(
            ["git", "-c", "core.fsmonitor=false", *args],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdout is not None
            end = threading.Timer(_GIT_S, process.kill)
            end.daemon = True
            end.start()
            output = process.stdout.read(limit)
            cut = len(output) == limit
            if cut:
                process.kill()
            code = process.wait()
            end.cancel()
            return output.decode(errors="replace") if code == 0 or cut else None
    except OSError:
        return None


@cache
def git(folder: Path) -> Mapping[str, Any] | None:
    """Return commit, branch, remote, root and the uncommitted changes (at most 1 MB) around `folder`; None outside git.

    Read once a process: its code is what was there when it started.
    """
    where = _git(folder, "rev-parse", "--show-toplevel", "HEAD", "--abbrev-ref", "HEAD")
    if where is None or len(where.splitlines()) != 3:
        return None  # no git, no repository, or no commit yet
    root, commit, branch = where.splitlines()
    diff = _git(folder, "diff", "--no-ext-diff", "--no-textconv", "HEAD", limit=_DIFF_BYTES) or ""
    remote = _git(folder, "config", "--get", "remote.origin.url")
    return {
        "commit": commit,
        "branch": None if branch == "HEAD" else branch,
        "remote": mask(remote.strip()) if remote else None,
        "root": root,
        "dirty": bool(diff),
        "diff": diff,
        "truncated": len(diff) >= _DIFF_BYTES,
    }


@cache
def devices() -> list[dict[str, Any]]:
    """Return the GPUs that this process sees: from torch if it is loaded, else from NVML if ``pynvml`` is installed."""
    with contextlib.suppress(Exception):
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():  # asking earlier would start CUDA, which forbids forking
            properties = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
            return [{"name": p.name, "memory_gb": round(p.total_memory / 2**30, 1)} for p in properties]
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [
            {
                "name": str(pynvml.nvmlDeviceGetName(h)),
                "memory_gb": round(int(pynvml.nvmlDeviceGetMemoryInfo(h).total) / 2**30, 1),
            }
            for h in handles
        ]
    return []


def facts(store_in: Path, cwd: Path, argv: Iterable[str]) -> dict[str, Any]:
    """Return the run's meta.

    Args:
        store_in: The folder for the diff and the list of packages.
        cwd: Where the run was started.
        argv: Its command line.
    """
    installed = packages()
    meta: dict[str, Any] = {
        "command": command_line([sys.executable, *argv]),
        "cwd": str(cwd),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "os": platform.platform(),
        "cpu_count": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: installed[name] for name in _SHORTLIST if name in installed},
        "environment": environment(os.environ),
        "requirements": _keep(store_in, "".join(f"{n}=={v}\n" for n, v in installed.items()), "txt"),
        "gpus": devices(),
    }
    found = git(cwd)
    if found is not None:
        diff = found["diff"]
        meta["git"] = {**found, "diff": _keep(store_in, diff, "patch") if diff else None}
    return meta


def _keep(folder: Path, text: str, suffix: str) -> str | None:
    data = text.encode(errors="replace")
    path = folder / f"{hashlib.sha256(data).hexdigest()[:16]}.{suffix}"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            draft.write_bytes(data)
            os.replace(draft, path)
    except OSError:
        return None
    return path.name
