"""`python -m console` without more: reads the configuration once, wires, serves the page."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import sys
from collections.abc import Mapping, Sequence

from console.errors import ConsoleError
from console.store import Ledger
from console.web.app import application
from console.web.passwords import hashed
from ledger import process_log
from ledger.errors import LedgerError
from serving.service import listening
from settings.arguments import OneLineParser, add_config
from settings.errors import SettingsError
from settings.lifetime import end_with_parent, set_limits, stopping_signals
from settings.load import load
from settings.model import Settings, split_address

DESCRIPTION = """\
Serve the monitoring page: find the failing account, key or model, and act on it. In a terminal:

  python -m console top       full-screen, live
  python -m console status    printed once, also as a status line or JSON

  /               requests: summary, failures, accounts, keys, models, live list
  /accounts       quota windows, spend, suggestions; pause, resume, reauth, remove, add
  /keys  /prices  spend against budgets; prices in force and missing ones
  /export.jsonl   /export.csv    the requests of a page, by the same query string
  /health         live checks; /health/checks as JSON
  /healthz        200 while the process is running
"""

EPILOG = """\
examples:
  python -m console                                     listens on 127.0.0.1:8788, reads usage.db
  python -m console --config /etc/codex-usage.toml
  python -m console --hash-password                     prompts for a password and prints its hash

exit codes: 0 stopped by SIGTERM or Ctrl-C; 2 bad configuration, or cannot listen on the address
"""


SHUTDOWN_SECONDS = 3.0


def main(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Serve the page; returns the exit code."""
    arguments = _parser().parse_args(argv)
    process_log.set_up()
    set_limits()
    end_with_parent(environ)
    try:
        if arguments.hash_password:
            print(hashed(_password()))
            return 0
        settings = load(arguments.config, environ)
        asyncio.run(_serve(settings, Ledger(settings)))
    except (SettingsError, LedgerError, ConsoleError, ValueError) as error:
        print(f"console: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the server had its own handler
        return 0
    return 0


async def _serve(settings: Settings, ledger: Ledger) -> None:
    stop = asyncio.Event()
    for number in stopping_signals():
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    address = settings.console.listen_addr
    app, at = application(settings, ledger), split_address(address)
    async with listening(app, "console", *at, shutdown_seconds=SHUTDOWN_SECONDS, cancels=True) as port:
        print(f"console: http://{address.rpartition(':')[0]}:{port}/", flush=True)
        await stop.wait()


def _password() -> str:
    """Typed twice on a terminal, or the first line of what is piped in."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    try:
        password = getpass.getpass("Password: ")
        again = getpass.getpass("Again: ")
    except EOFError as error:
        raise ConsoleError("no password was given") from error
    if again != password:
        raise ConsoleError("the two are not the same")
    return password


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="python -m console",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    add_config(parser)
    parser.add_argument(
        "--hash-password", action="store_true", help="prompt for a password, print its hash and exit"
    )
    return parser
