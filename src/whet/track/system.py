"""What the machine does while the run goes on: CPU, memory, disk, network, GPU, every few seconds."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any, final

from whet.track.notices import Notices

__all__ = ["Monitor", "Sampler"]

_MB = float(1 << 20)


@final
class Sampler:
    """Reads the gauges. GPU ones need ``pynvml``; only devices that ``CUDA_VISIBLE_DEVICES`` shows are read."""

    def __init__(self) -> None:
        import psutil

        self._psutil: Any = psutil
        self._process = psutil.Process()
        self._process.cpu_percent()
        psutil.cpu_percent()
        self._gpus: list[tuple[int, Any]] = []
        self._nvml: Any = None
        with contextlib.suppress(Exception):
            import pynvml

            pynvml.nvmlInit()
            self._nvml = pynvml
            self._gpus = list(enumerate(_visible(pynvml)))

    def read(self) -> dict[str, float]:
        """Return the gauges by metric name; percentages are since the last reading."""
        memory = self._psutil.virtual_memory()
        values = {
            "system/cpu_percent": self._psutil.cpu_percent(),
            "system/memory_percent": memory.percent,
            "system/process_cpu_percent": self._process.cpu_percent(),
            "system/process_rss_mb": self._process.memory_info().rss / _MB,
        }
        with contextlib.suppress(Exception):  # containers without /proc/diskstats
            disk = self._psutil.disk_io_counters()
            values |= {"system/disk_read_mb": disk.read_bytes / _MB, "system/disk_written_mb": disk.write_bytes / _MB}
        with contextlib.suppress(Exception):
            net = self._psutil.net_io_counters()
            values |= {"system/net_sent_mb": net.bytes_sent / _MB, "system/net_received_mb": net.bytes_recv / _MB}
        for i, handle in self._gpus:
            with contextlib.suppress(Exception):
                rates = self._nvml.nvmlDeviceGetUtilizationRates(handle)
                values[f"system/gpu{i}_percent"] = float(rates.gpu)
                values[f"system/gpu{i}_memory_mb"] = self._nvml.nvmlDeviceGetMemoryInfo(handle).used / _MB
                values[f"system/gpu{i}_celsius"] = float(self._nvml.nvmlDeviceGetTemperature(handle, 0))
                values[f"system/gpu{i}_watts"] = self._nvml.nvmlDeviceGetPowerUsage(handle) / 1000.0
        return {name: round(float(value), 2) for name, value in values.items()}


def _visible(nvml: Any) -> list[Any]:
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is None:
        return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    handles: list[Any] = []
    for name in filter(None, (part.strip() for part in shown.split(","))):
        if name.lstrip("-").isdigit():
            if int(name) < 0:
                break  # CUDA ignores whatever comes after a negative one
            handles.append(nvml.nvmlDeviceGetHandleByIndex(int(name)))
        else:
            handles.append(nvml.nvmlDeviceGetHandleByUUID(name.encode()))
    return handles


@final
class Monitor:
    """The thread that samples: once after the first second, then every `interval_s`."""

    def __init__(self, keep: Callable[[int, dict[str, float]], None], notices: Notices, *, interval_s: float) -> None:
        self._keep = keep
        self._notices = notices
        self._interval_s = interval_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, name="whet-system", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it; harmless twice."""
        self._end.set()

    def _work(self) -> None:
        try:
            if self._end.wait(min(1.0, self._interval_s)):
                return  # a run this short needs no gauges, and no psutil
            sampler = Sampler()
            step = 0
            while not self._end.wait(min(1.0, self._interval_s) if step == 0 else self._interval_s):
                self._keep(step, sampler.read())
                step += 1
        except Exception as error:
            self._notices.once("system", f"system metrics stopped ({error!r}); training goes on")
