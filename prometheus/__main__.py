"""`python -m prometheus`: writes what Prometheus reads, and checks what is asked of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from prometheus import build_command
from prometheus.errors import WatchroomError
from prometheus.lint import command as lint_command
from settings.arguments import OneLineParser
from settings.errors import SettingsError


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command; returns the exit code."""
    parser = OneLineParser(prog="python -m prometheus", description="Prometheus as code.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    build_command.add(commands)
    lint_command.add(commands)
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "lint":
            return lint_command.run(arguments)
        return build_command.run(arguments, environ)
    except (SettingsError, WatchroomError) as error:
        print(f"prometheus: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
