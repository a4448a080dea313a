"""`python -m exporter`: reads the configuration once, wires, serves."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from exporter.app import application, listening
from exporter.audit import Audit
from exporter.errors import ExporterError
from exporter.scrape import Scrape, collectors, scrape
from exporter.source import Source
from exporter.stores import source
from ledger.errors import LedgerError
from settings.errors import SettingsError
from settings.load import load
from settings.model import Settings, split_address

DESCRIPTION = """\
Reads the ledger, never writes to it, and answers Prometheus: accounts by status, who they are, how full
their quota windows are, what each has spent since its weekly reset and what its week is worth by that, and
how fresh the data is.

  /metrics   for Prometheus; asks for a bearer token where [metrics] token is set
  /healthz   200 while the process runs
  /readyz    200 while every collector can read its data, else 503

The ledger may come later than the exporter: what cannot be read is reported as
codex_lb_exporter_collector_success 0, and is read as soon as it can be.

With --store it reads the store of a running codex-lb instead, strictly read-only: no file is made beside
it, and its owner never waits for more than one statement of some milliseconds.
"""

EPILOG = """\
examples:
  python -m exporter                                    listens on 127.0.0.1:8789, reads usage.db
  python -m exporter --config /etc/codex-usage.toml
  python -m exporter --once | promtool check metrics
  python -m exporter --store codex-lb:~/.codex-lb/store.db
  python -m exporter --store codex-lb:/var/lib/codex-lb/store.db,accounts=/var/lib/codex-lb/accounts.db
  python -m exporter --store codex-lb:postgresql://reader@host/codex_lb

keys of the file that matter here:
  [exporter] listen_addr, store    [storage] database_path or database_url
  [metrics] account_identity_mode, token, public    [quota] thresholds and capacities
  [pricing.models] with --store; the ledger brings its own prices

exit codes: 0 ended by SIGTERM or Ctrl-C, or --once read everything; 1 --once found a collector failing;
2 bad configuration, or the address cannot be listened on
"""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run the exporter; returns the exit code."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = load(arguments.config, environ)
        with closing(source(settings, arguments.store)) as store:
            take = scraper(settings, store)
            return _print(take()) if arguments.once else _serve(settings, take, Audit(store))
    except (SettingsError, LedgerError, ExporterError) as error:
        print(f"exporter: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the server had its own handler
        return 0


def scraper(settings: Settings, store: Source) -> Callable[[], Scrape]:
    """A function that scrapes the store, as it is at that moment."""
    subjects = collectors(store, settings.metrics.account_identity_mode)
    return lambda: scrape(subjects, datetime.now(UTC))


def _serve(settings: Settings, take: Callable[[], Scrape], audit: Audit) -> int:
    token = settings.metrics.token
    app = application(take, token.get_secret_value() if token else None, afterwards=audit)
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
    parser.add_argument(
        "--store",
        metavar="STORE",
        help="the store of a codex-lb; without it [exporter] store, else the ledger",
    )
    parser.add_argument("--once", action="store_true", help="print one scrape to standard output and end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
