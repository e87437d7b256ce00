"""``python -m benchmarks.search COMMAND``."""

from __future__ import annotations

import sys

from benchmarks._harness import dispatch

_USAGE = """usage: python -m benchmarks.search COMMAND [--quick] [--json FILE] [--check] [--repeats N]

  overhead   milliseconds of a suggestion after n trials
  regret     how far the best of 25, 50, 100 and 200 trials is from the optimum, on problems of many kinds
  pareto     hypervolume after 200 trials with two and three objectives
  tables     computes the table of one of the problems anew

COMMAND --help lists what each takes."""

if __name__ == "__main__":
    sys.exit(dispatch(_USAGE, "benchmarks.search", ("overhead", "regret", "pareto", "tables")))
