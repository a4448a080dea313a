"""The collector put together from its settings, with one way to start and one to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from sqlalchemy import Engine

from collector import sums
from collector.accounts import Directory
from collector.counting import Bounds, EventCounter
from collector.decoder import Decoder
from collector.inbox import PENDING, UNDECODABLE, Inbox
from collector.scrape import scrape
from collector.server import SHUTDOWN_SECONDS, application
from collector.transport.gateway import Gateway
from ledger import store
from ledger.gateways.values import GatewayState
from ledger.pricing.files import current_book
from ledger.pricing.table import CurrentPrices, replace_prices, version
from ledger.requests import writes
from ledger.upkeep.retention import Keep, Upkeep
from ledger.values import DEFAULT_ACCOUNT
from ledger.writing import OpenLedger
from metrics.exposition import Beginnings, Exposition
from serving.service import listening
from settings.errors import SettingsError
from settings.gateways import Gateway as Table
from settings.model import Settings, guard, split_address

log = logging.getLogger("quotascope.collector")

STOP_SECONDS = 10.0


class Service:
    """A running collector. `async with Service(settings) as service:` collects until the block ends.

    Raises, on entering: SettingsError, collector.errors.InboxError, ledger.errors.PriceError. The ledger may
        come later: until then events wait in the inbox.
    """

    def __init__(self, settings: Settings, *, environ: Mapping[str, str] = os.environ) -> None:
        self.settings = settings
        self._environ = environ
        self._stack = AsyncExitStack()
        self.port = 0
        self.gateways: tuple[Gateway, ...] = ()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._beginnings = Beginnings()

    async def __aenter__(self) -> Service:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        settings, own = self.settings, self.settings.collector
        self.inbox = inbox = await asyncio.to_thread(Inbox, own.inbox_path)
        stack.callback(inbox.close)
        directory = Directory()
        prices = CurrentPrices(current_book(settings.pricing.models))
        with inbox.transaction() as connection:
            known = sums.read(connection)
        limits = settings.metrics
        bounds = Bounds(limits.max_models, limits.max_api_keys, limits.max_error_codes)
        self.decoder = Decoder(
            inbox,
            lambda: open_ledger(settings, directory, prices),
            EventCounter(bounds, known),
            prices,
            directory,
            instance=instance_name(),
            say=self.states,
            keep_seconds=own.keep_raw_days * 86_400,
            failure_days=settings.storage.failure_body_days if settings.storage.failure_bodies else None,
        )
        self.gateways = tuple(
            Gateway(
                name,
                table,
                own,
                inbox,
                directory,
                self._environ,
                arrived=self.decoder.wake,
                tls=tls_of(name, table),
            )
            for name, table in own.gateways.items()
        )
        token = limits.token
        app = application(
            self.scrape,
            self.problem,
            guard(settings, own.listen_addr),
            token.get_secret_value() if token else None,
        )
        at = split_address(own.listen_addr)
        server = listening(app, "collector", *at, shutdown_seconds=SHUTDOWN_SECONDS)
        self.port = await stack.enter_async_context(server)
        storage = settings.storage
        url = store.ledger_url(storage.database_url, storage.database_path)
        upkeep = Upkeep(url, Keep(*storage.retention.days))
        upkeep.start()
        stack.push_async_callback(asyncio.to_thread, upkeep.close)
        await asyncio.to_thread(self._look)  # what comes from now on is seen to begin
        self.decoder.start()
        stack.push_async_callback(asyncio.to_thread, self.decoder.close)
        stack.push_async_callback(self._stop)
        for gateway in self.gateways:
            self._running[gateway.name] = asyncio.create_task(self._collect(gateway))

    async def _collect(self, gateway: Gateway) -> None:
        try:
            await gateway.run()
        except Exception:  # what nobody foresaw ends one gateway, loudly, and not the others
            log.exception("%s: collecting ended", gateway.name)
            gateway.status.tell("stopped", "collecting ended with an error that the log has")

    async def _stop(self) -> None:
        for gateway in self.gateways:
            gateway.stop()
        _, slow = (
            await asyncio.wait(self._running.values(), timeout=STOP_SECONDS) if self._running else ((), ())
        )
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)

    async def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition and its content type, for a header Accept. Raises: InboxError."""
        return await asyncio.to_thread(lambda: self._look().text(accept))

    def _look(self) -> Exposition:
        return scrape(self.inbox, [gateway.status for gateway in self.gateways], self._beginnings)

    def problem(self) -> str | None:
        """What is in the way of events; None where nothing is."""
        states = ((g.name, g.status) for g in self.gateways)
        found = [f"{name}: {s.problem or s.state}" for name, s in states if s.state != "collecting"]
        if self.decoder.problem:
            found.append(f"the ledger cannot be written; events wait in the inbox: {self.decoder.problem}")
        return "; ".join(found) or None

    def states(self) -> Sequence[GatewayState]:
        """How it stands with the gateways, for the ledger. Raises: InboxError."""
        pending, wrong = self.inbox.count(PENDING), self.inbox.count(UNDECODABLE)
        with self.inbox.transaction() as connection:
            events = sums.events(connection)
            newest = dict(connection.execute("SELECT name, last_event_at FROM gateways").fetchall())
        found = []
        for gateway in self.gateways:
            name, status = gateway.name, gateway.status
            status.last_event_at = newest.get(name)
            found.append(
                status.as_stored(
                    instance_name(),
                    pending=pending.get(name, 0),
                    undecodable=wrong.get(name, 0),
                    events=events.get(name, 0),
                )
            )
        return found


def open_ledger(settings: Settings, directory: Directory, prices: CurrentPrices) -> OpenLedger:
    """The ledger, migrated; with today's prices where it has none yet. Raises: StoreError."""
    storage = settings.storage
    url = store.ledger_url(storage.database_url, storage.database_path)

    def prepare(engine: Engine) -> None:
        store.migrate(engine)
        directory.forget()
        prices.forget()
        with store.translated(url, "cannot write"), engine.begin() as connection:
            writes.ensure_account(connection, id=DEFAULT_ACCOUNT, created_at=datetime.now(UTC))
            if version(connection) == 0:
                replace_prices(connection, prices.book.prices, settings.pricing.currency)

    return OpenLedger(url, prepare)


def tls_of(name: str, table: Table) -> ssl.SSLContext | None:
    """How to reach a gateway by https; None for http. Raises: SettingsError."""
    if not table.url.startswith("https://"):
        return None
    try:
        return ssl.create_default_context(cafile=str(table.ca_file) if table.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"collector.gateways.{name}.ca_file: cannot be used: {error}") from error


def instance_name() -> str:
    return f"collector@{socket.gethostname()}"[:200]
