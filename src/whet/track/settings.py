"""Knobs of tracking that have nothing to do with one metric or another."""

from __future__ import annotations

from typing import Any, final

__all__ = ["Settings"]


@final
class Settings:
    """How much a run captures. W&B's own settings are accepted and ignored, so that its scripts run.

    Args:
        system_interval_s: How often the gauges of the machine are read; 0: never.
        capture: Whether git, packages, command line and environment are kept.
        stdout: Whether a copy of the output is kept.
        **ignored: Anything else.
    """

    __slots__ = ("capture", "ignored", "stdout", "system_interval_s")

    def __init__(
        self, *, system_interval_s: float = 15.0, capture: bool = True, stdout: bool = True, **ignored: Any
    ) -> None:
        no_stats = ignored.get("_disable_stats") or ignored.get("x_disable_stats")  # W&B's
        self.system_interval_s = 0.0 if no_stats else system_interval_s
        self.capture = capture
        self.stdout = stdout and ignored.get("console") != "off"
        self.ignored = ignored

    def __repr__(self) -> str:
        return f"Settings(system_interval_s={self.system_interval_s}, capture={self.capture}, stdout={self.stdout})"
