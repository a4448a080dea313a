"""`python -m bench`: run the named benchmarks and print their tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench import relay


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Compare side by side in one run; medians of interleaved rounds."
    )
    parser.add_argument("what", nargs="*", default=["relay"], choices=["relay"], help="default: relay")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default: 5)")
    parser.add_argument("--seconds", type=int, default=4, help="seconds of each measurement (default: 4)")
    parser.add_argument("--connections", type=int, default=32, help="connections of the load (default: 32)")
    options = parser.parse_args(arguments)
    for title, rows in relay.compare(options.rounds, options.seconds, options.connections).items():
        print(relay.table(title, rows), end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
