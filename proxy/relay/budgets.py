"""The budgets of proxy keys: requests are reserved before they are sent and charged once they are over,
settled with the ledger and so with all other processes.

Most requests are reserved from what this process already holds. The others wait for one short transaction,
which takes all that wait at once. While the ledger does not answer, what this process holds is all there is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from functools import partial
from time import monotonic, time
from typing import Protocol, TypeVar
from uuid import uuid4

from sqlalchemy import Connection

from ledger.accounts import allowances
from ledger.accounts.allowances import Allowance, Charge, Settlement, catch_up, is_held
from ledger.accounts.budgets import read_spend
from ledger.errors import LedgerError, StoreUnavailable
from ledger.pricing.table import CurrentPrices
from proxy.accounts.kept import Kept
from proxy.errors import BudgetUnavailable, Refused
from proxy.http.routes import Work
from proxy.relay.access import Key
from proxy.relay.allowance import KeyAllowance, Reservation, Waiting, limits
from proxy.relay.charge import Ask, estimate, with_price

ANSWER_SECONDS = 3.0
"""How long a request waits for the ledger."""

LOOK_SECONDS = 0.5
"""How soon what requests cost is charged in the ledger."""

CATCH_UP_SECONDS = 2.0
"""How often it is asked whether the processes are gone that may still charge what the request log knows."""

REFUSED_SECONDS = 0.05
"""How long it holds that nothing is left of a budget: a crowd must not ask the ledger one by one."""

CLOSE_SECONDS = 5.0

log = logging.getLogger("quotascope.budgets")

Result = TypeVar("Result")
_Batch = dict[str, tuple[Settlement, list[Waiting]]]


class Ledger(Protocol):
    """Where budgets are kept."""

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction. Raises: LedgerError."""


class Owed(LedgerError):
    """The ledger did not take charges; they are written down for whoever reaches it first."""


class Budgets:
    """All budgets, as one process knows them.

    Args:
        charged: hears what each request of a key cost.
        open_without_ledger: whether requests go on while the ledger does not answer.
        unpriced: whether models without a known price may be used.
        kept: where it is written down what cannot be charged while the ledger is away, for whoever reaches it
            first; with it the ledger need not be there at the start.
        elsewhere: providers that accounts have for themselves.
    """

    def __init__(
        self,
        keys: Iterable[Key],
        ledger: Ledger,
        prices: CurrentPrices,
        charged: Callable[[str, Charge], None],
        *,
        open_without_ledger: bool = False,
        unpriced: bool = False,
        kept: Kept | None = None,
        elsewhere: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._kept = kept
        self._elsewhere = elsewhere
        self.prices = prices
        self.charged = charged
        self._ledger = ledger
        self._open = open_without_ledger
        self._priced = not unpriced
        self._keys = {key.name: KeyAllowance(key, limits(key)) for key in keys if key.periods}
        self._behind = set(self._keys)  # the request log may know of costs that nobody has charged
        self._looks_at = 0.0
        self._waiting: dict[str, list[Waiting]] = {name: [] for name in self._keys}
        self._refused_at: dict[str, float] = {}
        self._holder = uuid4().hex
        self._thread = ThreadPoolExecutor(1, "budgets")
        self._settling: asyncio.Task[None] | None = None
        self._asked_at: float | None = None
        self._gave_up = False  # a request has, on what is being settled
        self._failing = False

    async def start(self) -> None:
        """Take over what the request log knows. Raises: LedgerError where the ledger has to be there."""
        if self._keys:
            try:
                await self._in_thread(self._catch_up)
            except StoreUnavailable as error:
                if self._kept is None:
                    raise
                self._tell(error)

    async def run(self) -> None:
        """Charge what was spent and renew what is held, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._behind and monotonic() >= self._looks_at:
                self._looks_at = monotonic() + CATCH_UP_SECONDS
                with suppress(LedgerError):
                    await self._in_thread(self._catch_up)
            if any(one.due(time()) for one in self._keys.values()):
                self._settle_soon()

    async def close(self) -> None:
        """Charge what is left and give back what is held."""
        if self._settling is not None:
            await asyncio.wait([self._settling], timeout=CLOSE_SECONDS)
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                if self._keys:
                    await self._in_thread(self._leave)
        except Owed:
            log.warning("what proxy keys spent last is charged to their budgets once the ledger is back")
        except (LedgerError, TimeoutError) as error:
            log.error("what proxy keys spent last could not be charged to their budgets: %s", error)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def reserve(self, key: Key, work: Work, ask: Ask) -> Reservation:
        """Let a request begin.

        Raises: BudgetSpent, BudgetReserved where nothing is left; BudgetUnavailable where the ledger does
            not answer; Refused for a model without a price.
        """
        one, now = self._keys[key.name], datetime.now(UTC)
        ask = with_price(self.prices.book, ask, now, self._elsewhere(), key.name if self._priced else None)
        nano = self._estimate(one, ask, now)
        one.used_at = now.timestamp()
        if one.room(one.used_at) < nano:
            await self._ask(one, Waiting(nano, reserves=True), now)
        else:
            one.reserved += nano
        return Reservation(self, one, work, ask, nano)

    async def ready(self, key: Key) -> None:
        """Get ready for a turn that may begin, so that `standing` knows. Never raises."""
        one, now = self._keys[key.name], datetime.now(UTC)
        one.used_at = now.timestamp()
        if one.room(one.used_at) <= 0:
            try:
                await self._ask(one, Waiting(self._estimate(one, Ask(), now), reserves=False), now)
            except Refused:
                return

    def standing(self, key: Key) -> Refused | None:
        """What stands against a turn that begins now; None where nothing does."""
        one, now = self._keys[key.name], datetime.now(UTC)
        refusal = one.refusal(now)
        if refusal is not None or one.room(now.timestamp()) > 0:
            return refusal
        if self._failing or self._stuck:
            return None if self._open else BudgetUnavailable()
        return one.exhausted(now)

    def spent(self, key: Key) -> Refused | None:
        """What a request is refused with whose budget is known to be spent, whatever it asks for."""
        one = self._keys.get(key.name)
        return one.refusal(datetime.now(UTC)) if one is not None else None

    def take(self, key: Key, ask: Ask) -> Reservation:
        """Reserve for a turn against which nothing stands."""
        one, now = self._keys[key.name], datetime.now(UTC)
        nano = self._estimate(one, ask, now)
        one.reserved += nano
        one.used_at = now.timestamp()
        return Reservation(self, one, "generates", ask, nano)

    def unreserved(self, key: Key, work: Work) -> Reservation:
        """Charge what a request costs after all that should cost nothing."""
        return Reservation(self, self._keys[key.name], work, Ask(), 0)

    @property
    def _stuck(self) -> bool:
        """Whether the ledger has been asked and does not answer."""
        if self._asked_at is None:
            return False
        return self._gave_up or monotonic() - self._asked_at > ANSWER_SECONDS

    def _estimate(self, one: KeyAllowance, ask: Ask, now: datetime) -> int:
        return estimate(self.prices.book, ask, one.usual(ask.model), now)

    async def _ask(self, one: KeyAllowance, waiting: Waiting, now: datetime) -> None:
        """Wait for the ledger's word. Raises: as `reserve` does."""
        refusal: Refused | None = one.refusal(now)
        if refusal is None and monotonic() - self._refused_at.get(one.key.name, -1e9) < REFUSED_SECONDS:
            refusal = one.exhausted(now)
        if refusal is not None:
            raise refusal
        try:
            if self._stuck:
                raise TimeoutError
            self._waiting[one.key.name].append(waiting)
            self._settle_soon()
            async with asyncio.timeout(ANSWER_SECONDS):
                granted = await waiting.granted
        except asyncio.CancelledError:
            one.reserved -= waiting.reserved
            raise
        except (LedgerError, TimeoutError) as error:
            one.reserved -= waiting.reserved
            self._gave_up = self._asked_at is not None
            if not self._open:
                raise BudgetUnavailable from error
            one.reserved += waiting.nano if waiting.reserves else 0
            return
        if not granted:
            raise one.exhausted(datetime.now(UTC)) or BudgetUnavailable()

    def _settle_soon(self) -> None:
        if self._settling is None or self._settling.done():
            self._settling = asyncio.create_task(self._settle())

    async def _settle(self) -> None:
        """Settle until no request waits."""
        while batch := self._batch():
            self._asked_at = monotonic()
            try:
                found, at = await self._in_thread(partial(self._write, [one for one, _ in batch.values()]))
                self._settled(batch, found, at)
                self._tell(None)
            except LedgerError as error:
                self._not_settled(batch, error)
                self._tell(error)
            except BaseException:
                self._not_settled(batch, LedgerError("settling budgets failed"))
                raise
            finally:
                self._asked_at, self._gave_up = None, False
            if not any(self._waiting.values()):
                return

    def _batch(self) -> _Batch:
        batch: _Batch = {}
        now = time()
        for name, one in self._keys.items():
            waiting = [w for w in self._waiting[name] if not w.granted.done()]
            self._waiting[name] = []
            if waiting or one.due(now):
                batch[name] = one.settlement([w.nano for w in waiting], now), waiting
        return batch

    def _settled(self, batch: _Batch, found: Mapping[str, Allowance], at: datetime) -> None:
        for name, (_, waiting) in batch.items():
            one, allowance = self._keys[name], found[name]
            one.settled(allowance, at)
            if allowance.granted < len(waiting):
                self._refused_at[name] = monotonic()
            for number, request in enumerate(waiting):
                if request.granted.done():
                    continue  # it has given up
                if number < allowance.granted and request.reserves:
                    one.reserved += request.nano
                request.granted.set_result(number < allowance.granted)

    def _not_settled(self, batch: _Batch, error: LedgerError) -> None:
        for name, (_, waiting) in batch.items():
            self._keys[name].failed(owed=isinstance(error, Owed))
            for request in waiting:
                if not request.granted.done():
                    request.granted.set_exception(error)

    def _tell(self, error: LedgerError | None) -> None:
        if error is not None and not self._failing:
            log.error("budgets cannot be settled: %s", error)
        self._failing = error is not None

    async def _in_thread(self, do: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, do)

    def _write(self, settlements: Sequence[Settlement]) -> tuple[dict[str, Allowance], datetime]:
        """What the ledger says, and the moment that it says it of: its day may be over when that is heard."""
        now = datetime.now(UTC)
        try:
            if self._kept is not None:
                self._catch_up()
            with self._ledger.writing() as connection:
                found = {
                    one.key: allowances.settle(connection, self._holder, one, now)
                    for one in sorted(settlements, key=lambda one: one.key)
                }
            return found, now
        except LedgerError as error:
            self._owe(settlements, error)
            raise

    def _leave(self) -> None:
        now = time()
        last = [one.settlement([], now) for _, one in sorted(self._keys.items())]
        try:
            with self._ledger.writing() as connection:
                for one in last:
                    if one.charges:
                        allowances.settle(connection, self._holder, one, datetime.now(UTC))
                allowances.release(connection, self._holder, list(self._keys))
        except LedgerError as error:
            self._owe(last, error)
            raise

    def _owe(self, settlements: Sequence[Settlement], error: LedgerError) -> None:
        """Write down what could not be charged. Raises: Owed, which says so."""
        charges = {one.key: one.charges for one in settlements if one.charges}
        if self._kept is not None and charges:
            with suppress(StoreUnavailable):
                self._kept.owe(charges)
                raise Owed(str(error)) from error

    def _catch_up(self) -> None:
        """Charge what was written down, and once, what else the request log knows. Raises: LedgerError."""
        now = datetime.now(UTC)
        if self._kept is not None:
            with self._kept.owed() as owed, self._ledger.writing() as connection:
                for key, charges in owed.items():
                    allowances.charge(connection, key, charges, now)
        if not self._behind:
            return
        with self._ledger.writing() as connection:
            free = [n for n in sorted(self._behind) if not is_held(connection, n, self._holder, now)]
            spend = read_spend(connection, self.prices.book, frozenset(free), now) if free else {}
        with self._ledger.writing() as connection:
            asked = ((n, self._keys[n].unsettled()) for n in free)
            done = [n for n, own in asked if catch_up(connection, n, spend[n], now, self._holder, own)]
        self._behind.difference_update(done)
