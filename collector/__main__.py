"""`python -m collector`: collects, imports, and decodes again."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from collector.errors import CollectorError
from collector.importing.run import Wish, import_files
from collector.inbox import Inbox
from collector.service import Service
from ledger import process_log
from ledger.cli.moments import moment
from ledger.errors import LedgerError
from settings.arguments import OneLineParser, add_config
from settings.errors import SettingsError
from settings.gateways import GATEWAY_NAME
from settings.lifetime import end_with_parent, set_limits, stopping_signals
from settings.load import load
from settings.model import Settings, split_address

DESCRIPTION = """\
Collect the usage events of CLIProxyAPI gateways and store them in the ledger, as if the requests had passed
through the proxy. Each batch is committed to the inbox before the next one is requested. Without a command it
runs until Ctrl-C.
"""

EPILOG = """\
examples:
  python -m collector                                collect from the gateways in codex-usage.toml
  python -m collector replay                         retry undecodable items
  python -m collector import usage.jsonl store.db    import usage of other programs
  python -m collector import --dry-run usage.db      show what an import would add

exit codes: 0 stopped by SIGTERM or Ctrl-C, or done; 1 some input could not be read; 2 bad configuration
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(argv)
    process_log.set_up()
    set_limits()
    end_with_parent(os.environ)
    try:
        settings = load(options.config, os.environ)
        if options.command == "replay":
            return replay(settings)
        if options.command == "import":
            return import_all(settings, Wish(options.files, options.gateway, options.until, options.dry_run))
        return collect(settings)
    except (SettingsError, LedgerError, CollectorError) as error:
        print(f"collector: {error}", file=sys.stderr)
        return 2


def collect(settings: Settings) -> int:
    if not settings.collector.gateways:
        raise SettingsError('no [collector.gateways."NAME"] is configured: there is nothing to collect from')
    asyncio.run(_until_stopped(settings))
    return 0


def replay(settings: Settings) -> int:
    """Let undecodable items be decoded again; a running collector does it, or the next one."""
    inbox = Inbox(settings.collector.inbox_path)
    try:
        for number, gateway, problem in inbox.problems(20):
            print(f"{number}  {gateway}  {problem}")
        print(
            f"{inbox.again()} undecodable items are decoded again by the running collector, or the next one"
        )
    finally:
        inbox.close()
    return 0


def import_all(settings: Settings, wish: Wish) -> int:
    unreadable = 0
    for summary in import_files(settings, wish, sys.stderr if sys.stderr.isatty() else None):
        print(summary.line(dry=wish.dry), flush=True)
        unreadable += sum(summary.problems.values())
    return 1 if unreadable else 0


async def _until_stopped(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in stopping_signals():
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Service(settings) as service:
        host, _ = split_address(settings.collector.listen_addr)
        names = ", ".join(settings.collector.gateways)
        print(f"collector: {names}; http://{host}:{service.port}/metrics", flush=True)
        await stop.wait()


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="python -m collector",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    config = OneLineParser(add_help=False)
    add_config(config)
    parser.add_argument("--config", metavar="FILE", type=Path, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("replay", help="retry undecodable items", parents=[config])
    importing = commands.add_parser(
        "import",
        help="import requests from CPA-Manager-Plus, codex-usage or codex-lb; safe to repeat",
        parents=[config],
    )
    importing.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="CPA-Manager-Plus's JSONL export or SQLite file, codex-usage's usage.db, codex-lb's store.db "
        "or its postgresql:// URL",
    )
    importing.add_argument("--dry-run", action="store_true", help="write nothing; show what would be added")
    importing.add_argument(
        "--gateway",
        metavar="NAME",
        type=_gateway,
        help="what the gateway behind CPA-Manager-Plus is called in the ledger (cpamp); give the name under "
        "[collector.gateways] where it is collected from, too",
    )
    importing.add_argument(
        "--until",
        metavar="MOMENT",
        type=moment,
        help="leave out what ended then or later, like 2026-11-01T00:00Z: what was collected already",
    )
    return parser


def _gateway(text: str) -> str:
    if not GATEWAY_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are letters, digits and . _ -, at most 60")
    return text


if __name__ == "__main__":
    sys.exit(main())
