"""The proxy put together from its settings: ledger, metrics, logs and server, with one way to start and
one to stop."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

from sqlalchemy import URL, Engine

from ledger import store
from ledger.accounts.changes import synchronise
from ledger.pricing.files import current_book
from ledger.pricing.table import CurrentPrices
from ledger.requests import writes
from ledger.upkeep.retention import Keep, Upkeep
from ledger.values import DEFAULT_ACCOUNT
from ledger.writing import OpenLedger
from metrics import proxy as metrics
from proxy.accounts.kept import Kept
from proxy.http.upstream import Limits, Upstream, base_url
from proxy.metering.meter import Tell
from proxy.metering.once import CountedOnce
from proxy.observers.body_log import BodyLog
from proxy.observers.fanout import DELIVER_SECONDS, Fanout, Observer
from proxy.observers.ledger_writer import LedgerWriter
from proxy.observers.log_line import LogLines
from proxy.observers.loop_lag import measure
from proxy.observers.messages import Task
from proxy.observers.metrics_observer import MetricsObserver
from proxy.observers.registry import Metrics
from proxy.observers.stores import EventStore, SampleStore
from proxy.observers.writer_process import Encoded, WriterProcess
from proxy.pool import Accounts
from proxy.relay.dispatch import Dispatch
from proxy.relay.lending import Lending
from proxy.relay.relay import Relay
from proxy.relay.request import Options
from proxy.relay.uploads import Pace
from proxy.routing.configured import descriptions
from proxy.server import Application, Server, Site
from settings.model import Settings, guard, split_address

MAX_SAMPLES = 10_000
"""Quota samples that wait for the ledger."""


class Service:
    """A running proxy. `async with Service(settings) as service:` serves until the block ends.

    Args:
        shared: the address is shared with other processes like this one.
        own_writer: the ledger is written by a process of its own, else by a thread.
        environ: the process environment, which may hold credentials of accounts.
    Raises, on entering: ledger.errors.LedgerError for a ledger or a price that cannot be used,
        proxy.errors.BodyLogError, proxy.errors.CredentialError, OSError for an address that cannot be bound.
    """

    def __init__(
        self,
        settings: Settings,
        log_to: TextIO = sys.stderr,
        *,
        shared: bool = False,
        own_writer: bool = False,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.settings = settings
        self._environ = environ
        self.port = 0
        self._log_to = log_to
        self._shared = shared
        self._own_writer = own_writer
        self._stack = AsyncExitStack()
        self._losses = 0
        self._outbox = False
        self._process: WriterProcess | None = None
        self.writer: LedgerWriter[Any]
        self.samples: LedgerWriter[Any]

    async def __aenter__(self) -> Service:
        async with AsyncExitStack() as stack:  # what was started is stopped when a later step fails
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        prices = CurrentPrices(current_book(settings.pricing.models))
        self._outbox = self._own_writer and _shipped(settings)
        ledger = await asyncio.to_thread(open_ledger, settings, prices, late=self._outbox)
        stack.callback(ledger.close)
        store_events, store_samples = self._writers(stack, ledger)
        self.metrics = Metrics(metrics.FAMILIES)
        self.events = Fanout(store_events, _counted(self.metrics, prices, settings), LogLines(self._log_to))
        self._body_log = BodyLog(path) if (path := settings.server.request_log_path) else None
        if self._body_log:
            stack.callback(self._body_log.close)
        for writer in (self.writer, self.samples):
            writer.start()
            stack.push_async_callback(asyncio.to_thread, writer.close)
        kept = Kept(settings.storage.outbox_path.with_suffix(".kept")) if self._outbox else None
        self._accounts = accounts = Accounts(settings, ledger, prices, self.metrics, store_samples, kept)
        delivery = asyncio.create_task(self.events.run(self._count_own))
        stack.callback(self.events.deliver)
        lag = asyncio.create_task(measure(self.metrics.histogram(metrics.LOOP_LAG).observe))
        stack.callback(delivery.cancel)
        stack.callback(lag.cancel)
        dispatch = await accounts.start(stack, self._environ)
        await self._listen(stack, accounts, dispatch)

    def _writers(self, stack: AsyncExitStack, ledger: OpenLedger) -> tuple[Observer, Tell]:
        """The writers; what takes events and samples for them."""
        storage = self.settings.storage
        days = storage.retention.days
        interval = max(0.01, storage.flush_interval_seconds - DELIVER_SECONDS)
        if not self._own_writer:
            upkeep = Upkeep(ledger.url, Keep(*days))
            upkeep.start()
            stack.push_async_callback(asyncio.to_thread, upkeep.close)
            keep = timedelta(days=storage.failure_body_days)
            self.writer = LedgerWriter(
                EventStore(ledger.writing, keep), interval=interval, max_waiting=storage.buffer_size
            )
            self.samples = LedgerWriter(
                SampleStore(ledger.writing), interval=interval, max_waiting=MAX_SAMPLES
            )
            return self.writer, self.samples
        url = ledger.url.render_as_string(hide_password=False)
        outbox = str(storage.outbox_path.absolute()) if self._outbox else None
        task = Task(url, storage.failure_body_days, outbox, storage.outbox_max_bytes, *days)
        process = self._process = WriterProcess(ledger, task)
        stack.push_async_callback(asyncio.to_thread, process.close)
        self.writer = LedgerWriter(
            process.store("events"),
            interval=interval,
            max_waiting=storage.buffer_size,
            look=process.look,
        )
        self.samples = LedgerWriter(process.store("samples"), interval=interval, max_waiting=MAX_SAMPLES)
        return Encoded(self.writer), Encoded(self.samples)

    async def _listen(self, stack: AsyncExitStack, accounts: Accounts, dispatch: Dispatch) -> None:
        server = self.settings.server
        token = self.settings.metrics.token
        limits = Limits(connect=server.connect_timeout_seconds, idle=server.idle_timeout_seconds)
        upstream = Upstream(base_url(server.upstream_base_url, exact=server.upstream_exact_path), limits)
        stack.push_async_callback(upstream.close)
        backend = Upstream(server.backend_base_url, limits)
        stack.push_async_callback(backend.close)
        emit = CountedOnce(self.events)
        relay = Relay(emit, accounts.tell, _options(self.settings), dispatch, self._body_log)
        site = Site(
            base_path=server.public_base_path,
            upstream=upstream,
            backend=backend,
            before_scrape=self.deliver,
            scrape=self.scrape,
            ready=self._problem,
            token=token.get_secret_value() if token else None,
            guard=guard(self.settings, server.listen_addr),
        )
        listening = Server(Application(relay, site), relay, grace=server.shutdown_timeout_seconds)
        self.port = await listening.start(*split_address(server.listen_addr), shared=self._shared)
        stack.push_async_callback(listening.stop)

    def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition and its content type, for a header Accept."""
        return self.metrics.exposition(accept)

    def deliver(self) -> None:
        """Hand on what was collected: the metrics are up to date then, the ledger's queue too."""
        self.events.deliver()
        self._count_own()

    def _count_own(self) -> None:
        """What the proxy has to say of itself, not of requests."""
        self._accounts.deliver()
        self.metrics.gauge(metrics.BUFFER_SIZE).set(self.writer.waiting)
        self.metrics.gauge(metrics.BUFFER_CAPACITY).set(self.writer.max_waiting)
        dropped = self.writer.dropped
        if self._process is not None:
            families = (metrics.OUTBOX_SIZE, metrics.OUTBOX_BYTES, metrics.OUTBOX_REFUSED)
            for family, value in zip(families, self._process.outbox, strict=True):
                self.metrics.gauge(family).set(value)
        lost, self._losses = dropped - self._losses, dropped
        self.metrics.counter(metrics.BUFFER_DROPPED).inc(lost)
        if self._body_log:
            self.metrics.counter(metrics.BODY_LOG_DROPPED).inc(self._body_log.new_losses())

    def _problem(self) -> str | None:
        return None if self.writer.healthy else "the ledger cannot be written; requests wait in memory"


def open_ledger(settings: Settings, prices: CurrentPrices, *, late: bool = False) -> OpenLedger:
    """The ledger, migrated, with today's prices and accounts. Raises: StoreError, AccountError.

    Args:
        late: one that is away is made so once it is there.
    """
    url = _url(settings)
    described = descriptions(settings)

    def prepare(engine: Engine) -> None:
        store.migrate(engine)
        with store.translated(url, "cannot write"), engine.begin() as connection:
            prices.store(connection, settings.pricing.currency)
            now = datetime.now(UTC)
            writes.ensure_account(connection, id=DEFAULT_ACCOUNT, created_at=now)
            synchronise(connection, described, now)

    return OpenLedger(url, prepare, late=late)


def _url(settings: Settings) -> URL:
    return store.ledger_url(settings.storage.database_url, settings.storage.database_path)


def _shipped(settings: Settings) -> bool:
    """Whether requests wait in an outbox for a server."""
    return settings.storage.outbox and _url(settings).get_backend_name() != "sqlite"


def _counted(made: Metrics, prices: CurrentPrices, settings: Settings) -> MetricsObserver:
    most = settings.metrics
    return MetricsObserver(
        made,
        prices,
        max_models=most.max_models,
        max_keys=most.max_api_keys,
        max_codes=most.max_error_codes,
    )


def _options(settings: Settings) -> Options:
    key, server, routing = settings.openai_api_key, settings.server, settings.routing
    rule = guard(settings, server.listen_addr, pages=True)
    return Options(
        lending=Lending(rule, key.get_secret_value() if key else None),
        include_usage=server.include_usage,
        max_bytes=server.max_request_bytes,
        max_requests=server.max_concurrent_requests,
        pace=Pace(server.body_timeout_seconds, server.min_body_bytes_per_second),
        forwarded_headers=frozenset(name.encode() for name in routing.forward_headers),
        forwarded_parameters=frozenset(routing.forward_parameters),
        project_headers=settings.metering.project_headers,
        trace_headers=settings.metering.trace_headers,
        failure_bodies=settings.storage.failure_bodies,
        instance_id=settings.storage.instance_id or socket.gethostname(),
    )
