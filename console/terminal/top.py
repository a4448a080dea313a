"""`python -m console top`: the screen that follows the ledger."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from console.errors import ConsoleError
from console.terminal.app import Top
from console.terminal.source import Source
from console.terminal.view import Look
from console.terminal.words import signs
from ledger.errors import LedgerError
from settings.arguments import OneLineParser, add_config
from settings.errors import SettingsError
from settings.load import load

EPILOG = """\
examples:
  python -m console top
  python -m console top --config /etc/codex-usage.toml --ascii
  NO_COLOR=1 python -m console top

exit codes: 0 quit with q or Ctrl-C; 2 bad configuration, or not a terminal
"""


def main(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Run the screen; returns the exit code."""
    asked = _parser().parse_args(argv)
    try:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise ConsoleError("not a terminal; use python -m console status to print once")
        settings = load(asked.config, environ)
        source = Source(settings)
    except (SettingsError, LedgerError, ConsoleError) as error:
        print(f"top: {error}", file=sys.stderr)
        return 2
    drawn = signs(sys.stdout.encoding, ascii_only=asked.ascii)
    emails = settings.metrics.account_identity_mode == "email"
    app = Top(source, Look(settings.console.zone, drawn, emails))
    app.run()
    return app.return_code or 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="python -m console top",
        description="Live usage, quota windows and requests; press ? for the keys.",
        epilog=EPILOG,
    )
    add_config(parser)
    parser.add_argument(
        "--ascii", action="store_true", help="use plain ASCII even if the terminal supports more"
    )
    return parser
