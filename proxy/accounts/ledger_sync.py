"""The router and the ledger, kept together: marks and conversations out, accounts in.

A look every half second at one number tells whether anything has changed, so that what a person or another
process decides holds here well within two seconds. All reading and writing happens in threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic

from sqlalchemy import Engine

from ledger import store
from ledger.accounts import affinity as sticky
from ledger.accounts import marks, versions
from ledger.accounts.affinity import Stay
from ledger.accounts.marks import Mark
from ledger.accounts.pool import Fleet, read_fleet
from ledger.errors import LedgerError
from ledger.pricing.table import CurrentPrices
from proxy.accounts.credential_cache import Vault
from proxy.routing.router import Router

LOOK_SECONDS = 0.5
FORGET_SECONDS = 3_600.0

log = logging.getLogger("quotascope.routing")


class Watch:
    """Keeps a router in step with the ledger, and the accounts' credentials with their references.

    Args:
        refresh_seconds: how often everything is read even if nothing seems to have changed.
        sticky_hours: how long the ledger keeps a conversation; None where it keeps none.
        ready: makes a ledger ready that was away; called before it is read.
        keep: takes the accounts that were read.
    """

    def __init__(
        self,
        engine: Engine,
        router: Router,
        vault: Vault,
        prices: CurrentPrices,
        *,
        refresh_seconds: float,
        sticky_hours: float | None = None,
        ready: Callable[[], object] = lambda: None,
        keep: Callable[[Fleet], None] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._router = router
        self._vault = vault
        self._prices = prices
        self._refresh = refresh_seconds
        self._sticky_hours = sticky_hours
        self._ready = ready
        self._keep = keep
        self._away = False
        self._loaded = self._forgot = float("-inf")

    async def run(self) -> None:
        """Look again and again, until cancelled; what goes wrong is told once, and tried again."""
        failing: type[Exception] | None = None
        while True:
            self._vault.tell()
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
                failing = None
            except Exception as error:
                if type(error) is not failing:
                    _tell(error)
                failing = type(error)

    async def look(self) -> None:
        """Read what has changed. Raises: StoreError."""
        due = monotonic() - self._loaded >= self._refresh
        try:
            fleet = await asyncio.to_thread(self._changed, None if due else self._router.version)
            self._away = False
        except LedgerError:
            self._away = True
            raise
        if fleet is not None:
            await self.load(fleet)
            self._loaded = monotonic()
        if self._sticky_hours and monotonic() - self._forgot >= FORGET_SECONDS:
            await asyncio.to_thread(self._forget, datetime.now(UTC))
            self._forgot = monotonic()

    async def load(self, fleet: Fleet) -> None:
        """Take over accounts, with their credentials."""
        self._router.load(fleet, await self._vault.load(fleet.members))

    async def account_of(self, conversation: str) -> str | None:
        """The account that the ledger keeps for a conversation; None too where it cannot be read now."""
        if self._away:  # a server that does not answer would be waited for
            return None
        try:
            return await asyncio.to_thread(self._find, conversation, datetime.now(UTC))
        except LedgerError:
            return None

    def _changed(self, version: int | None) -> Fleet | None:
        """The accounts, where they are not of this version any more."""
        engine = self._engine
        self._ready()
        with store.translated(engine.url, "cannot read"), engine.begin() as connection:
            self._prices.follow(connection)
            if version is not None and versions.current(connection) == version:
                return None
            marks.restore(connection, datetime.now(UTC))
            fleet = read_fleet(connection)
        self._keep(fleet)
        return fleet

    def _find(self, conversation: str, now: datetime) -> str | None:
        since = now - timedelta(hours=self._sticky_hours or 0)
        with store.translated(self._engine.url, "cannot read"), self._engine.connect() as connection:
            return sticky.find(connection, conversation, since)

    def _forget(self, now: datetime) -> None:
        before = now - timedelta(hours=self._sticky_hours or 0)
        with store.translated(self._engine.url, "cannot write"), self._engine.begin() as connection:
            sticky.forget(connection, before)


def _tell(error: Exception) -> None:
    """A ledger that cannot be read now says all there is to say; anything else is a fault in here."""
    why = None if isinstance(error, LedgerError) else error
    log.error("accounts cannot be read, those of before stay in use: %s", error, exc_info=why)


class MarkStore:
    """Stores batches of marks, for a `proxy.observers.ledger_writer.LedgerWriter`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, items: Sequence[Mark], *, again: bool) -> None:
        with store.translated(self._engine.url, "cannot write"), self._engine.begin() as connection:
            marks.record_marks(connection, items, datetime.now(UTC))


class StayStore:
    """Stores batches of conversations' accounts, for a `proxy.observers.ledger_writer.LedgerWriter`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, items: Sequence[Stay], *, again: bool) -> None:
        with store.translated(self._engine.url, "cannot write"), self._engine.begin() as connection:
            sticky.keep(connection, items)
