"""The proxy put together from its settings: ledger, metrics, log and server, with one way to start and
one to stop."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

from prometheus_client import generate_latest
from sqlalchemy import Engine

from ledger import prices, store, writes
from ledger.prices import Price, PriceBook
from ledger.values import DEFAULT_ACCOUNT, RequestEvent
from proxy import metrics
from proxy.app import Application, Server, Site
from proxy.fanout import DELIVER_SECONDS, Fanout
from proxy.log_line import LogLines
from proxy.observer import MetricsObserver
from proxy.registry import Metrics
from proxy.relay import Relay
from proxy.upstream import Limits, Upstream, base_url
from proxy.writer import LedgerWriter
from settings.model import Settings, split_address

log = logging.getLogger("quotascope.proxy")


class Service:
    """A running proxy. `async with Service(settings) as service:` serves until the block ends.

    Raises, on entering: ledger.errors.LedgerError for a ledger or a price that cannot be used,
        OSError for an address that cannot be bound.
    """

    def __init__(self, settings: Settings, log_to: TextIO = sys.stderr) -> None:
        self.settings = settings
        self.port = 0
        self._log_to = log_to

    async def __aenter__(self) -> Service:
        settings = self.settings
        book = price_book(settings)
        self._engine = await asyncio.to_thread(_open_ledger, settings, book.prices)
        self._metrics = Metrics(metrics.FAMILIES)
        self.writer = LedgerWriter(
            self._store,
            interval=max(0.01, settings.storage.flush_interval_seconds - DELIVER_SECONDS),
            most_waiting=settings.storage.buffer_size,
        )
        counted = MetricsObserver(
            self._metrics,
            book,
            most_models=settings.metrics.max_models,
            most_keys=settings.metrics.max_api_keys,
            most_codes=settings.metrics.max_error_codes,
        )
        self.events = Fanout(self.writer, counted, LogLines(self._log_to))
        self._upstream = _upstream(settings)
        await self._listen()
        self.writer.start()
        self._delivery = asyncio.create_task(self.events.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()
        await self._upstream.close()
        self._delivery.cancel()
        self.events.deliver()
        await asyncio.to_thread(self.writer.close)
        self._engine.dispose()

    def scrape(self) -> bytes:
        """The exposition text."""
        self._metrics.gauge(metrics.BUFFER_SIZE).set(self.writer.waiting)
        lost = self._metrics.counter(metrics.BUFFER_DROPPED)
        lost.inc(self.writer.dropped - lost._value.get())
        return generate_latest(self._metrics.registry)

    async def _listen(self) -> None:
        settings = self.settings
        key, token = settings.openai_api_key, settings.metrics.token
        relay = Relay(self._upstream, self.events, key.get_secret_value() if key else None)
        site = Site(
            base_path=settings.server.public_base_path,
            scrape=self.scrape,
            before_scrape=self.events.deliver,
            ready=self._problem,
            token=token.get_secret_value() if token else None,
        )
        self._server = Server(Application(relay, site), relay, grace=settings.server.shutdown_timeout_seconds)
        try:
            self.port = await self._server.start(*split_address(settings.server.listen_addr))
        except OSError:
            await self._upstream.close()
            self._engine.dispose()
            raise

    def _problem(self) -> str | None:
        return None if self.writer.healthy else "the ledger cannot be written; requests wait in memory"

    def _store(self, events: Sequence[RequestEvent], *, again: bool) -> None:
        with store.translated(self._engine.url, "cannot write"), self._engine.begin() as connection:
            writes.record(connection, events, again=again)


def price_book(settings: Settings) -> PriceBook:
    """The seeded prices under the configured ones. Raises: PriceError."""
    overrides = [
        prices.configured(name, p.prompt_per_1m, p.cached_prompt_per_1m, p.completion_per_1m)
        for name, p in settings.pricing.models.items()
    ]
    return prices.book(prices.load_seed(), overrides)


def _upstream(settings: Settings) -> Upstream:
    server = settings.server
    limits = Limits(connect=server.connect_timeout_seconds, idle=server.idle_timeout_seconds)
    return Upstream(base_url(server.upstream_base_url), limits)


def _open_ledger(settings: Settings, book: Sequence[Price]) -> Engine:
    storage = settings.storage
    url = (
        store.parse_url(storage.database_url)
        if storage.database_url
        else store.sqlite_url(storage.database_path)
    )
    engine = store.writer(url)
    store.migrate(engine)
    with store.translated(url, "cannot write"), engine.begin() as connection:
        writes.replace_prices(connection, book, settings.pricing.currency)
        writes.ensure_account(connection, id=DEFAULT_ACCOUNT, created_at=datetime.now(UTC))
    return engine
