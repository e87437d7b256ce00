"""How long a user waits before anything happens: `import whet` and `whet --help`, each in a process of its own, files warm.

    python -m benchmarks.startup [--quick] [--json FILE] [--check]

What Python itself takes to start and end is shown beside them; the import is measured inside the process, the command from outside.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks._harness import Report, arguments, paired, spread

__all__ = ["main"]

_IMPORT = "import time; began = time.perf_counter(); import whet; print(time.perf_counter() - began)"
BOUNDS_MS = {"import whet": 150.0, "whet --help": 300.0}


def python() -> Mapping[str, float]:
    """Return how long an empty program takes."""
    return {"ms": _outside([sys.executable, "-c", ""])}


def importing() -> Mapping[str, float]:
    """Return how long the import takes."""
    out = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True).stdout
    return {"ms": 1000 * float(out)}


def helping() -> Mapping[str, float]:
    """Return how long the command takes, from outside."""
    return {"ms": _outside([str(Path(sys.executable).parent / "whet"), "--help"])}


def _outside(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return 1000 * (time.perf_counter() - began)


def main() -> int:
    """Run it."""
    given = arguments(__doc__, repeats=20, quick_repeats=5)
    cases = {"python -c ''": python, "import whet": importing, "whet --help": helping}
    for case in cases.values():
        case()  # brings the files into memory, and their compiled form onto the disk
    results = paired(cases, given.repeats)
    report = Report(title="Start-up, in milliseconds")
    rows = []
    for name, rounds in results.items():
        ms = spread(r["ms"] for r in rounds)
        report.data[name] = ms
        bound = BOUNDS_MS.get(name)
        rows.append([name, ms.text(), "" if bound is None else f"{bound:g}"])
        if bound is not None:
            report.bound(f"{name}: at most {bound:g} ms", ms.median, ms.median <= bound)
    report.table("Median [least … greatest]", ["", "ms", "bound"], rows)
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
