"""``python -m benchmarks.hypergrad truth|cost``."""

from __future__ import annotations

import sys

from benchmarks._harness import dispatch

_USAGE = """usage: python -m benchmarks.hypergrad COMMAND [--quick] [--json FILE] [--check] [--repeats N] …

  truth   relative errors on the digits problem, beside the peers' and the dense solve
  cost    FLOPs, peak memory and time of one hypergradient, beside a plain step and the peers

COMMAND --help lists what each takes."""

if __name__ == "__main__":
    sys.exit(dispatch(_USAGE, "benchmarks.hypergrad", ("truth", "cost")))
