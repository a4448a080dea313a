"""`python -m runbooks`: the tasks that pages name."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from prometheus.errors import ApiError
from runbooks import grafana_password
from runbooks.cleanup import command as cleanup
from runbooks.errors import TaskError
from settings.arguments import OneLineParser, end_with


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = OneLineParser(prog="python -m runbooks", description="Tasks for whoever runs Quotascope.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    cleanup.add(commands)
    grafana_password.add(commands)
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "cleanup-series":
            return cleanup.run(arguments, _confirm)
        return grafana_password.run(arguments, sys.stdin)
    except (TaskError, ApiError) as error:
        print(f"runbooks: {error}", file=sys.stderr)
        return 2


def _confirm(question: str) -> bool:
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


if __name__ == "__main__":
    end_with(main)
