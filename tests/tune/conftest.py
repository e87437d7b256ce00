"""A sweep of a script in a folder of its own, driven for real."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from whet.config import parse
from whet.launch.local import Local
from whet.store.base import Store
from whet.store.open import open_store
from whet.study.create import create_sweep
from whet.study.engine import Engine
from whet.trial import Trial
from whet.tune.loop import Ending, Event, drive


class Place:
    """A folder with a script, a store, and what happened in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: Store = open_store(f"sqlite:///{folder / '.whet' / 'whet.db'}")
        self.events: list[Event] = []
        self.sweep = ""

    def script(self, text: str, name: str = "train.py") -> None:
        (self.folder / name).write_text(textwrap.dedent(text))

    def create(self, **more: Any) -> str:
        content = {
            "program": "train.py", "method": "random", "metric": {"name": "loss", "goal": "minimize"}, "seed": 1,
            "parameters": {"x": {"min": 0.0, "max": 1.0}}, "run_cap": 4, **more,
        }  # fmt: skip
        self.sweep = create_sweep(self.store, parse({k: v for k, v in content.items() if v is not None}))
        return self.sweep

    def drive(self, **more: Any) -> Ending:
        executor = Local(self.folder / ".whet" / "jobs", grace_s=2.0)
        return drive(self.store, self.sweep, executor, on_event=self.events.append, **more)

    def trials(self) -> list[Trial]:
        engine = Engine(self.store, self.sweep)
        engine.sync()
        return engine.in_order()

    def texts(self, kind: Any) -> list[str]:
        return [e.text for e in self.events if e.kind is kind]

    def spawn(self, code: str, **more: Any) -> subprocess.Popen[str]:
        """Start a Python process here; `SWEEP` in `code` is the sweep's id."""
        text = textwrap.dedent(code).replace("SWEEP", repr(self.sweep))
        return subprocess.Popen(
            [sys.executable, "-c", text], cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more
        )  # fmt: skip

    def whet(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command `whet` here."""
        command = [sys.executable, "-m", "whet.cli.main", *arguments]
        return subprocess.Popen(command, cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wait(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "it never came to that"
            time.sleep(0.02)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name in [n for n in os.environ if n.startswith("WHET_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    here = Place(tmp_path)
    yield here
    here.store.close()
