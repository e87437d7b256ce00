"""The two halves of the search benchmark."""

from __future__ import annotations

import sys

from benchmarks.search import overhead, regret

_USAGE = """usage: python -m benchmarks.search COMMAND [--quick] [--json FILE] [--check] [--repeats N]

  overhead   milliseconds of a suggestion after n trials
  regret     how far the best of 25, 50 and 100 trials is from the optimum, on problems of many kinds"""

_COMMANDS = {"overhead": overhead.main, "regret": regret.main}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in _COMMANDS:
        print(_USAGE, file=sys.stdout if sys.argv[1:] in (["-h"], ["--help"]) else sys.stderr)
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    sys.exit(_COMMANDS[sys.argv.pop(1)]())
