"""`python -m simulator`: a provider that answers, callers that ask, and history that never was."""

from __future__ import annotations

import sys

from ledger.errors import LedgerError
from settings.arguments import end_with
from simulator.arguments import parser
from simulator.commands import history, traffic, upstream
from simulator.errors import SimulatorError

COMMANDS = {"upstream": upstream, "traffic": traffic, "history": history}


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns: 0 done, 1 nothing could be reached, 2 bad input.
    """
    asked = parser().parse_args(arguments)
    try:
        return COMMANDS[asked.command](asked)
    except (SimulatorError, LedgerError) as error:
        print(f"python -m simulator {asked.command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    end_with(main)
