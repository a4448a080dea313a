"""`python -m exporter`: reads the configuration once, wires, serves."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from sqlalchemy.engine import URL

from exporter.app import application, listening
from exporter.errors import ExporterError
from exporter.scrape import Scrape, collectors, reading, scrape
from ledger.errors import StoreError
from ledger.store import parse_url, reader, sqlite_url
from settings.errors import SettingsError
from settings.load import load
from settings.model import Settings, split_address

DESCRIPTION = """\
Reads the ledger, never writes to it, and answers Prometheus: accounts by status, who they are, what each
has spent in the last seven days, and how fresh the data is.

  /metrics   for Prometheus; asks for a bearer token where [metrics] token is set
  /healthz   200 while the process runs
  /readyz    200 while every collector can read its data, else 503

The ledger may come later than the exporter: what cannot be read is reported as
codex_lb_exporter_collector_success 0, and is read as soon as it can be.
"""

EPILOG = """\
examples:
  python -m exporter                                    listens on 127.0.0.1:8789, reads usage.db
  python -m exporter --config /etc/codex-usage.toml
  python -m exporter --once | promtool check metrics

keys of the file that matter here:
  [exporter] listen_addr    [storage] database_path or database_url
  [metrics] account_identity_mode, token, public

exit codes: 0 ended by SIGTERM or Ctrl-C, or --once read everything; 1 --once found a collector failing;
2 bad configuration, or the address cannot be listened on
"""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run the exporter; returns the exit code."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = load(arguments.config, environ)
        take = scraper(settings, ledger_url(settings))
        return _print(take()) if arguments.once else _serve(settings, take)
    except (SettingsError, StoreError, ExporterError) as error:
        print(f"exporter: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the server had its own handler
        return 0


def ledger_url(settings: Settings) -> URL:
    """Where the ledger is; `database_url` goes before `database_path`.

    Raises: StoreError.
    """
    storage = settings.storage
    return parse_url(storage.database_url) if storage.database_url else sqlite_url(storage.database_path)


def scraper(settings: Settings, url: URL) -> Callable[[], Scrape]:
    """A function that reads the ledger once, as it is at that moment."""
    engine = reader(url)
    subjects = collectors(settings.metrics.account_identity_mode)
    return lambda: scrape(subjects, lambda: reading(engine, url), datetime.now(UTC))


def _serve(settings: Settings, take: Callable[[], Scrape]) -> int:
    token = settings.metrics.token
    app = application(take, token.get_secret_value() if token else None)
    asyncio.run(_until_stopped(app, settings.exporter.listen_addr))
    return 0


async def _until_stopped(app: web.Application, address: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with listening(app, *split_address(address)) as port:
        print(f"exporter: http://{address.rpartition(':')[0]}:{port}/metrics", flush=True)
        await stop.wait()


def _print(result: Scrape) -> int:
    sys.stdout.buffer.write(result.text)
    return 1 if result.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m exporter",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="TOML file; without it codex-usage.toml, if there is one"
    )
    parser.add_argument("--once", action="store_true", help="print one scrape to standard output and end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
