"""`python -m exporter`: reads the configuration once, wires, serves."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing

from aiohttp import web

from exporter.app import SHUTDOWN_SECONDS, application
from exporter.audit import Audit
from exporter.ending import LastResort
from exporter.log import keep_addresses_out
from exporter.scrape import Scrape, Scraper
from exporter.sharing import Shared, Watch
from exporter.source import Source
from exporter.stores import source
from ledger import process_log
from ledger.errors import LedgerError
from serving.service import listening
from settings.arguments import OneLineParser, add_config, end_with
from settings.errors import SettingsError
from settings.lifetime import end_with_parent, set_limits, stopping_signals
from settings.load import load
from settings.model import Settings, guard, split_address

DESCRIPTION = """\
Export the ledger as Prometheus metrics, read-only: accounts by status, quota windows, spend since the weekly
reset, the estimated value of a week, and the age of the data.

  /metrics   for Prometheus; needs a bearer token if [metrics] token is set
  /healthz   200 while the process is running
  /readyz    200 while every collector can read its data, else 503

The exporter can start before the ledger exists: a collector that cannot read its data reports
codex_lb_exporter_collector_success 0 and recovers automatically.

With --store it reads the store of a running codex-lb instead, strictly read-only: it creates no files, and
codex-lb never waits longer than one statement of a few milliseconds.
"""

EPILOG = """\
examples:
  python -m exporter                                    listens on 127.0.0.1:8789, reads usage.db
  python -m exporter --config /etc/codex-usage.toml
  python -m exporter --once
  python -m exporter --store codex-lb:~/.codex-lb/store.db
  python -m exporter --store codex-lb:/var/lib/codex-lb/store.db,accounts=/var/lib/codex-lb/accounts.db
  python -m exporter --store codex-lb:postgresql://reader@host/codex_lb

relevant configuration keys:
  [exporter] listen_addr, store    [storage] database_path or database_url
  [metrics] account_identity_mode, token, public    [quota] thresholds and capacities
  [pricing.models] with --store; otherwise prices come from the ledger

exit codes: 0 stopped by SIGTERM or Ctrl-C, or --once succeeded; 1 a collector failed with --once;
2 bad configuration, or cannot listen on the address
"""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run the exporter; returns the exit code."""
    arguments = _parser().parse_args(argv)
    process_log.set_up()
    set_limits()
    end_with_parent(environ)
    try:
        settings = load(arguments.config, environ)
        mode = settings.metrics.account_identity_mode
        if mode == "account_id":
            keep_addresses_out()
        with closing(source(settings, arguments.store)) as store:
            scraper = Scraper(store, mode)
            return _print(scraper) if arguments.once else _serve(settings, store, scraper)
    except (SettingsError, LedgerError) as error:
        print(f"exporter: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the server had its own handler
        return 0


def _serve(settings: Settings, store: Source, scraper: Scraper) -> int:
    token = settings.metrics.token
    app = application(
        scraper,
        token.get_secret_value() if token else None,
        guard=guard(settings, settings.exporter.listen_addr),
        afterwards=Audit(store),
        watch=_watch(scraper),
    )
    with LastResort(interrupt=store.interrupt) as last_resort:
        asyncio.run(_until_stopped(app, settings.exporter.listen_addr, last_resort))
    return 0


def _watch(scraper: Scraper) -> Watch[Scrape]:
    return Watch(scraper.progressed, scraper.instead)


async def _until_stopped(app: web.Application, address: str, last_resort: LastResort) -> None:
    stop = asyncio.Event()
    for number in stopping_signals():
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    at = split_address(address)
    async with listening(app, "exporter", *at, shutdown_seconds=SHUTDOWN_SECONDS) as port:
        print(f"exporter: http://{address.rpartition(':')[0]}:{port}/metrics", flush=True)
        await stop.wait()
        last_resort.begin()


def _print(scraper: Scraper) -> int:
    async def once() -> Scrape:
        return await Shared(scraper, watch=_watch(scraper)).result()

    result = asyncio.run(once())
    sys.stdout.buffer.write(result.text)
    return 1 if result.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="python -m exporter",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    add_config(parser)
    parser.add_argument(
        "--store",
        metavar="STORE",
        help="store of a codex-lb (default: [exporter] store, else the ledger)",
    )
    parser.add_argument("--once", action="store_true", help="print one scrape to standard output and exit")
    return parser


if __name__ == "__main__":
    end_with(main)
