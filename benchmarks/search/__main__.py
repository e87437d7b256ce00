"""``python -m benchmarks.search COMMAND``."""

from __future__ import annotations

import sys

from benchmarks._harness import dispatch

_USAGE = """usage: python -m benchmarks.search COMMAND [--quick] [--json FILE] [--check] [--repeats N]

  overhead   milliseconds of a suggestion after n trials
  regret     how far the best of 25, 50, 100 and 200 trials is from the optimum, on problems of many kinds
  ablation   what each part of the default search brings
  pareto     hypervolume after 200 trials with two and three objectives
  fidelity   how long until within 1 % of the best, where trials are stopped early, with one metric and with two
  population populations (PBT, PB2) beside fixed configurations with as many training steps
  transfer   what a sweep gains from earlier ones, and what misleading ones cost it
  limits     the best that is found within limits that only trials can tell
  parallel   how many evaluations eight workers need for the regret of one
  tables     computes the table of one of the problems anew
  curves     trains the networks of fidelity anew

COMMAND --help lists what each takes."""

if __name__ == "__main__":
    sys.exit(
        dispatch(
            _USAGE,
            "benchmarks.search",
            (
                "overhead",
                "regret",
                "ablation",
                "pareto",
                "fidelity",
                "population",
                "transfer",
                "limits",
                "parallel",
                "tables",
                "curves",
            ),
        )
    )
