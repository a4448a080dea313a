"""The accounts of a running proxy: read from the ledger, kept in step with it, polled for their quota."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from time import time

import aiohttp

from ledger.marks import Mark
from ledger.prices import PriceBook
from ledger.sticky import Stay
from ledger.values import UsageSample
from proxy.dispatch import Dispatch
from proxy.errors import CredentialError, PollFailed
from proxy.meter import Tell
from proxy.open_ledger import OpenLedger
from proxy.registry import Metrics
from proxy.routing.configured import key_ring, rules
from proxy.routing.counting import Counting
from proxy.routing.poll import poll
from proxy.routing.router import Router
from proxy.routing.sticky import Memory, Shared, Sticky
from proxy.routing.vault import Vault
from proxy.routing.watch import MarkStore, StayStore, Watch
from proxy.upstream import Limits, Upstream, base_url
from proxy.writer import LedgerWriter
from settings.model import Settings, is_loopback

log = logging.getLogger("quotascope.accounts")

MOST_WAITING = 10_000
WRITE_SECONDS = 0.2
"""How soon a mark is in the ledger, where other processes see it."""


class Accounts:
    """Everything that choosing accounts needs, started and stopped with the proxy.

    Args:
        tell: takes quota samples for the ledger.
    """

    def __init__(
        self, settings: Settings, ledger: OpenLedger, book: PriceBook, metrics: Metrics, tell: Tell
    ) -> None:
        routing = settings.routing
        self._settings = settings
        self._store = tell
        self._keys = key_ring(settings)
        self._counting = Counting(metrics, routing.sticky, self._keys.limits)
        self._marks: LedgerWriter[Mark] = LedgerWriter(
            MarkStore(ledger.engine), interval=WRITE_SECONDS, most_waiting=MOST_WAITING
        )
        self._stays: LedgerWriter[Stay] = LedgerWriter(
            StayStore(ledger.engine), interval=WRITE_SECONDS, most_waiting=MOST_WAITING
        )
        self._router = Router(
            rules(settings), self._counting, lambda mark: self._marks([mark]), sticky=self._sticky()
        )
        self._watch = Watch(
            ledger.engine,
            self._router,
            book,
            refresh_seconds=routing.snapshot_refresh_seconds,
            budgeted=self._keys.budgeted,
            sticky_hours=routing.sticky_hours if routing.sticky == "db" else None,
        )
        self._upstreams: dict[str, Upstream] = {}

    async def start(self, stack: AsyncExitStack, environ: Mapping[str, str]) -> Dispatch:
        """Read the accounts and keep in step with the ledger until the stack unwinds.

        Raises: StoreError; CredentialError for a configured account whose credential cannot be read.
        """
        client = await stack.enter_async_context(aiohttp.ClientSession())
        self._vault = Vault(environ, client, self._settings.routing.token_url, self._counting.token_refused)
        await self._watch.look()
        for member in self._router.members.values():
            if member.origin == "config":
                self._vault.credential(member)
        for writer in (self._marks, self._stays):
            writer.start()
            stack.push_async_callback(asyncio.to_thread, writer.close)
        stack.push_async_callback(self._close_upstreams)
        tasks = [asyncio.create_task(self._watch.run())]
        if self._settings.routing.poll_seconds:
            tasks.append(asyncio.create_task(self._poll(client)))
        for task in tasks:
            stack.callback(task.cancel)
        return Dispatch(
            self._router,
            self._vault,
            self._watch,
            self._keys,
            self._counting,
            self._upstream_of,
            self._settings.routing.most_attempts,
            exposed=not is_loopback(self._settings.server.listen_addr),
        )

    def tell(self, samples: Sequence[UsageSample]) -> None:
        """Take what a provider said of quota: for the ledger and for choosing at once."""
        self._store(samples)
        self._router.learn(samples)

    def deliver(self) -> None:
        """Count what was collected; brings the metrics up to date."""
        self._counting.deliver()

    def _sticky(self) -> Sticky | None:
        routing = self._settings.routing
        if routing.sticky == "none":
            return None
        if routing.sticky == "memory":
            return Memory(routing.sticky_hours * 3600)
        return Shared(
            lambda key: self._watch.account_of(key),
            lambda key, account, at: self._stays([Stay(key, account, datetime.fromtimestamp(at, UTC))]),
        )

    def _upstream_of(self, default: Upstream, own_base: str | None) -> Upstream:
        if own_base is None:
            return default
        backend = default.base == self._settings.server.backend_base_url
        base = own_base if backend else base_url(own_base)
        found = self._upstreams.get(base)
        if found is None:
            server = self._settings.server
            limits = Limits(connect=server.connect_timeout_seconds, idle=server.idle_timeout_seconds)
            found = self._upstreams[base] = Upstream(base, limits)
        return found

    async def _close_upstreams(self) -> None:
        for upstream in self._upstreams.values():
            await upstream.close()

    async def _poll(self, client: aiohttp.ClientSession) -> None:
        """Ask for the quota of logins that no answer has told of for a while."""
        pause = self._settings.routing.poll_seconds
        while True:
            for member in list(self._router.members.values()):
                told = member.secondary or member.primary
                fresh = told is not None and time() - told.at.timestamp() < pause
                if member.status in ("paused", "deactivated", "reauth_required") or fresh:
                    continue
                try:
                    credential = self._vault.credential(member)
                    if credential.can_refresh:
                        base = member.account.upstream_base_url or self._settings.server.backend_base_url
                        self.tell(await poll(client, base, member.account.id, credential))
                except PollFailed as error:
                    self._counting.poll_failed(error.status)
                    log.warning("the quota of account %r cannot be asked for: %s", member.account.id, error)
                except CredentialError as error:
                    log.warning("%s", error)
            await asyncio.sleep(pause)
