"""The accounts of a running proxy: read from the ledger, kept in step with it, polled for their quota."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import aiohttp

from ledger.accounts.affinity import Stay
from ledger.accounts.marks import Mark
from ledger.errors import StoreUnavailable
from ledger.pricing.table import CurrentPrices
from ledger.values import UsageSample
from ledger.writing import OpenLedger
from proxy.accounts.credential_cache import Vault
from proxy.accounts.kept import Kept
from proxy.accounts.ledger_sync import MarkStore, StayStore, Watch
from proxy.accounts.quota_poller import Polling
from proxy.http.upstream import Limits, Upstream, base_url
from proxy.metering.meter import Tell
from proxy.metering.place import provider_of_url
from proxy.observers.ledger_writer import LedgerWriter
from proxy.observers.registry import Metrics
from proxy.relay.admission import Admission
from proxy.relay.budgets import Budgets
from proxy.relay.dispatch import Dispatch
from proxy.routing.affinity import Memory, Shared, Sticky
from proxy.routing.configured import descriptions, key_ring, rules
from proxy.routing.counters import Counting
from proxy.routing.router import Router
from settings.model import Settings, is_loopback

MAX_WAITING = 10_000
WRITE_SECONDS = 0.2
"""How soon a mark is in the ledger, where other processes see it."""


class Accounts:
    """Everything that choosing accounts needs, started and stopped with the proxy.

    Args:
        tell: takes quota samples for the ledger.
        client: for what is asked beside requests: quotas, new tokens.
        environ: may hold credentials.
        kept: what is used while the ledger is away; None: it has to be there.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: OpenLedger,
        prices: CurrentPrices,
        metrics: Metrics,
        tell: Tell,
        client: aiohttp.ClientSession,
        environ: Mapping[str, str],
        kept: Kept | None = None,
    ) -> None:
        routing = settings.routing
        self._settings = settings
        self._store = tell
        self._keys = key_ring(settings)
        self._counting = Counting(metrics, routing.sticky, self._keys.limits)
        self._marks: LedgerWriter[Mark] = LedgerWriter(
            MarkStore(ledger.engine), interval=WRITE_SECONDS, max_waiting=MAX_WAITING
        )
        self._stays: LedgerWriter[Stay] = LedgerWriter(
            StayStore(ledger.engine), interval=WRITE_SECONDS, max_waiting=MAX_WAITING
        )
        self._router = Router(
            rules(settings), self._counting, lambda mark: self._marks([mark]), sticky=self._sticky()
        )
        self._ledger = ledger
        self._kept = kept
        self._prices = prices
        self._client = client
        self._upstreams: dict[str, Upstream] = {}
        self._vault = Vault(environ, client, routing.token_url, self._counting.token_refused)
        self._watch = Watch(
            ledger.engine,
            self._router,
            self._vault,
            prices,
            refresh_seconds=routing.snapshot_refresh_seconds,
            sticky_hours=routing.sticky_hours if routing.sticky == "db" else None,
            ready=ledger.ready if kept else lambda: None,
            keep=kept.keep_accounts if kept else lambda _: None,
        )

    async def start(self, stack: AsyncExitStack) -> Dispatch:
        """Read the accounts and keep in step with the ledger until the stack unwinds.

        Raises: StoreError; CredentialError for a configured account whose credential cannot be read.
        """
        stack.push_async_callback(self._vault.close)
        await self._look()
        for writer in (self._marks, self._stays):
            writer.start()
            stack.push_async_callback(asyncio.to_thread, writer.close)
        stack.push_async_callback(self._close_upstreams)
        stack.push_async_callback(_end, asyncio.create_task(self._watch.run()))
        if self._settings.routing.poll_seconds:
            stack.push_async_callback(_end, asyncio.create_task(self._polling().run()))
        return Dispatch(
            self._router,
            self._vault,
            Admission(
                self._keys,
                await self._budgeted(stack),
                self._counting,
                exposed=not is_loopback(self._settings.server.listen_addr),
            ),
            self._counting,
            self._upstream_of,
            self._settings.routing.max_attempts,
        )

    def tell(self, samples: Sequence[UsageSample]) -> None:
        """Take what a provider said of quota: for the ledger and for choosing at once."""
        self._store(samples)
        self._router.learn(samples)

    def deliver(self) -> None:
        """Count what was collected; brings the metrics up to date."""
        self._counting.deliver()

    async def _budgeted(self, stack: AsyncExitStack) -> Budgets:
        """The budgets, settled until the stack unwinds. Raises: StoreError."""
        routing = self._settings.routing
        budgets = Budgets(
            self._keys.budgeted,
            self._ledger,
            self._prices,
            self._counting.charged,
            open_without_ledger=routing.budget_without_ledger == "allow",
            unpriced=routing.budget_unpriced_models == "allow",
            kept=self._kept,
            elsewhere=self._elsewhere,
        )
        await budgets.start()
        stack.push_async_callback(budgets.close)
        stack.push_async_callback(_end, asyncio.create_task(budgets.run()))
        return budgets

    def _elsewhere(self) -> list[str]:
        """The providers that accounts have for themselves."""
        bases = (member.account.upstream_base_url for member in self._router.members.values())
        return sorted({provider for base in bases if base and (provider := provider_of_url(base))})

    async def _look(self) -> None:
        """The first look at the accounts. Raises: StoreError, CredentialError."""
        try:
            await self._watch.look()
        except StoreUnavailable:
            if self._kept is None:
                raise
            await self._watch.load(self._kept.accounts(descriptions(self._settings), datetime.now(UTC)))
        for member in self._router.members.values():
            if member.origin == "config":
                self._vault.credential(member)

    def _polling(self) -> Polling:
        return Polling(
            self._router,
            self._vault,
            self._client,
            self._counting,
            self.tell,
            base=self._settings.server.backend_base_url,
            seconds=self._settings.routing.poll_seconds,
        )

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
        base = own_base if backend else base_url(own_base, exact=self._settings.server.upstream_exact_path)
        found = self._upstreams.get(base)
        if found is None:
            server = self._settings.server
            limits = Limits(connect=server.connect_timeout_seconds, idle=server.idle_timeout_seconds)
            found = self._upstreams[base] = Upstream(base, limits)
        return found

    async def _close_upstreams(self) -> None:
        for upstream in self._upstreams.values():
            await upstream.close()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
