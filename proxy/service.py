"""The proxy put together from its settings: ledger, metrics, logs and server, with one way to start and
one to stop."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

import aiohttp
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


@dataclass(frozen=True, slots=True)
class Writers:
    """What takes events and samples for the ledger.

    Attributes:
        observe, tell: hand them to `events` and `samples`.
        process: which writes them; None where a thread of ours does.
    """

    events: LedgerWriter[Any]
    samples: LedgerWriter[Any]
    observe: Observer
    tell: Tell
    process: WriterProcess | None = None


class Instruments:
    """What a proxy meters requests with, and what it says of itself.

    Args:
        also: counts what the choice of accounts has to say.
    """

    def __init__(
        self,
        settings: Settings,
        made: Metrics,
        writers: Writers,
        prices: CurrentPrices,
        also: Callable[[], None],
        log_to: TextIO,
    ) -> None:
        most, path = settings.metrics, settings.server.request_log_path
        self.metrics = made
        self.writers = writers
        self.body_log = BodyLog(path) if path else None
        self._counted = MetricsObserver(
            made,
            prices,
            max_models=most.max_models,
            max_keys=most.max_api_keys,
            max_codes=most.max_error_codes,
        )
        self._lines = LogLines(log_to)
        self.events = Fanout(writers.observe, self._counted, self._lines)
        self._also = also
        self._losses = 0

    def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition and its content type, for a header Accept."""
        return self.metrics.exposition(accept)

    def deliver(self) -> None:
        """Hand on what was collected: the metrics are up to date then, the ledger's queue too."""
        self.events.deliver()
        self.count()

    def count(self) -> None:
        """Count what was gathered, and what is no request; write the log's lines."""
        self._lines.deliver()
        self._counted.deliver()
        self._also()
        gauge, counter, events = self.metrics.gauge, self.metrics.counter, self.writers.events
        gauge(metrics.BUFFER_SIZE).set(events.waiting)
        gauge(metrics.BUFFER_CAPACITY).set(events.max_waiting)
        if (process := self.writers.process) is not None:
            families = (metrics.OUTBOX_SIZE, metrics.OUTBOX_BYTES, metrics.OUTBOX_REFUSED)
            for family, value in zip(families, process.outbox, strict=True):
                gauge(family).set(value)
        lost, self._losses = events.dropped - self._losses, events.dropped
        counter(metrics.BUFFER_DROPPED).inc(lost)
        if self.body_log:
            counter(metrics.BODY_LOG_DROPPED).inc(self.body_log.new_losses())

    def end(self) -> None:
        """Hand on the last events, and count them: of workers, the others show them from now on."""
        self.events.deliver()
        self._lines.deliver()
        self._counted.deliver()

    def problem(self) -> str | None:
        """What keeps the proxy from being ready, for a person."""
        healthy = self.writers.events.healthy
        return None if healthy else "the ledger cannot be written; requests wait in memory"


@dataclass(frozen=True, slots=True)
class Service:
    """A running proxy, and the port at which it serves."""

    port: int
    instruments: Instruments


@asynccontextmanager
async def serving(
    settings: Settings,
    log_to: TextIO = sys.stderr,
    *,
    shared: bool = False,
    own_writer: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> AsyncIterator[Service]:
    """Serve until the block ends.

    Args:
        shared: the address is shared with other processes like this one.
        own_writer: the ledger is written by a process of its own, else by a thread.
        environ: the process environment, which may hold credentials of accounts.
    Raises: ledger.errors.LedgerError for a ledger or a price that cannot be used, proxy.errors.BodyLogError,
        proxy.errors.CredentialError, OSError for an address that cannot be bound.
    """
    async with AsyncExitStack() as stack:  # what was started is stopped when a later step fails
        prices = CurrentPrices(current_book(settings.pricing.models))
        outbox = own_writer and _shipped(settings)
        ledger = await asyncio.to_thread(open_ledger, settings, prices, late=outbox)
        stack.callback(ledger.close)
        make = _in_process if own_writer else _in_thread
        writers = make(stack, settings, ledger)
        client = await stack.enter_async_context(aiohttp.ClientSession())
        made = Metrics(metrics.FAMILIES)
        kept = Kept(settings.storage.outbox_path.with_suffix(".kept")) if outbox else None
        accounts = Accounts(settings, ledger, prices, made, writers.tell, client, environ, kept)
        instruments = Instruments(settings, made, writers, prices, accounts.deliver, log_to)
        if instruments.body_log:
            stack.callback(instruments.body_log.close)
        for writer in (writers.events, writers.samples):
            writer.start()
            stack.push_async_callback(asyncio.to_thread, writer.close)
        stack.callback(instruments.end)
        lag = instruments.metrics.histogram(metrics.LOOP_LAG).observe
        for running in (instruments.events.run(instruments.count), measure(lag)):
            stack.callback(asyncio.create_task(running).cancel)
        dispatch = await accounts.start(stack)
        server = _server(stack, settings, instruments, accounts, dispatch)
        port = await server.start(*split_address(settings.server.listen_addr), shared=shared)
        stack.push_async_callback(server.stop)
        yield Service(port, instruments)


def _in_thread(stack: AsyncExitStack, settings: Settings, ledger: OpenLedger) -> Writers:
    storage = settings.storage
    upkeep = Upkeep(ledger.url, Keep(*storage.retention.days))
    upkeep.start()
    stack.push_async_callback(asyncio.to_thread, upkeep.close)
    store_events = EventStore(ledger.writing, timedelta(days=storage.failure_body_days))
    interval = _interval(settings)
    events = LedgerWriter(store_events, interval=interval, max_waiting=storage.buffer_size)
    samples = LedgerWriter(SampleStore(ledger.writing), interval=interval, max_waiting=MAX_SAMPLES)
    return Writers(events, samples, events, samples)


def _in_process(stack: AsyncExitStack, settings: Settings, ledger: OpenLedger) -> Writers:
    storage = settings.storage
    url = ledger.url.render_as_string(hide_password=False)
    outbox = str(storage.outbox_path.absolute()) if _shipped(settings) else None
    days = storage.retention.days
    process = WriterProcess(
        ledger, Task(url, storage.failure_body_days, outbox, storage.outbox_max_bytes, *days)
    )
    stack.push_async_callback(asyncio.to_thread, process.close)
    process.start()
    interval, most = _interval(settings), storage.buffer_size
    events = LedgerWriter(process.store("events"), interval=interval, max_waiting=most, look=process.look)
    samples = LedgerWriter(process.store("samples"), interval=interval, max_waiting=MAX_SAMPLES)
    return Writers(events, samples, Encoded(events), Encoded(samples), process)


def _interval(settings: Settings) -> float:
    return max(0.01, settings.storage.flush_interval_seconds - DELIVER_SECONDS)


def _server(
    stack: AsyncExitStack,
    settings: Settings,
    instruments: Instruments,
    accounts: Accounts,
    dispatch: Dispatch,
) -> Server:
    server, token = settings.server, settings.metrics.token
    limits = Limits(connect=server.connect_timeout_seconds, idle=server.idle_timeout_seconds)
    upstream = Upstream(base_url(server.upstream_base_url, exact=server.upstream_exact_path), limits)
    backend = Upstream(server.backend_base_url, limits)
    for one in (upstream, backend):
        stack.push_async_callback(one.close)
    emit = CountedOnce(instruments.events)
    relay = Relay(emit, accounts.tell, _options(settings), dispatch, instruments.body_log)
    site = Site(
        base_path=server.public_base_path,
        upstream=upstream,
        backend=backend,
        before_scrape=instruments.deliver,
        scrape=instruments.scrape,
        ready=instruments.problem,
        token=token.get_secret_value() if token else None,
        guard=guard(settings, server.listen_addr),
    )
    return Server(Application(relay, site), relay, grace=server.shutdown_timeout_seconds)


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
