"""``python -m benchmarks.hypergrad truth|cost``."""

from __future__ import annotations

import sys

_USAGE = """usage: python -m benchmarks.hypergrad COMMAND [--quick] [--json FILE] [--check] [--repeats N] …

  truth   relative errors on the digits problem, beside the peers' and the dense solve
  cost    FLOPs, peak memory and time of one hypergradient, beside a plain step and the peers

COMMAND --help lists what each takes."""


def main() -> int:
    """Run the named benchmark."""
    if len(sys.argv) < 2 or sys.argv[1] not in ("truth", "cost"):
        asked = len(sys.argv) > 1 and sys.argv[1] in ("-h", "--help")
        print(_USAGE, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    command = sys.argv.pop(1)
    if command == "truth":
        from benchmarks.hypergrad import truth

        return truth.main()
    from benchmarks.hypergrad import cost

    return cost.main()


if __name__ == "__main__":
    sys.exit(main())
