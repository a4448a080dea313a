"""What this process may spend of one proxy key's budget: reserved from and charged without asking anybody.
Pure; `proxy.relay.budgets` settles it with the ledger."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Protocol

from ledger.accounts.allowances import (
    HOLD_SECONDS,
    NO_LIMIT,
    Allowance,
    Charge,
    Limits,
    Settlement,
    nano_usd,
    utc_day,
)
from ledger.accounts.budgets import Period, day_start, week_start
from ledger.pricing.table import CurrentPrices
from ledger.values import RequestEvent
from proxy.errors import BudgetReserved, BudgetSpent, Refused
from proxy.http.routes import Work
from proxy.metering.meter import Emit
from proxy.relay.access import Key
from proxy.relay.charge import Ask, charge

IDLE_SECONDS = 1.0
"""How long a key may be unused before this process gives back what it holds beyond running requests."""

DECAY = 10
"""A request that costs less than the usual one lowers that by a tenth of the difference; one that costs more
raises it at once."""

MAX_MODELS = 100
"""Models whose usual cost is known, of one key; callers choose the names."""


class KeyAllowance:
    """One key's share of its budget.

    Attributes:
        reserved: of running requests.
        used_at: epoch seconds at which a request asked for money last.
    """

    def __init__(self, key: Key, limits: Limits) -> None:
        self.key = key
        self.limits = limits
        self.reserved = 0
        self.used_at = 0.0
        self._held = self._held_before = 0
        self._booked = 0
        self._expires_at = 0.0
        self._charges: dict[str, Charge] = {}
        self._sent: dict[str, Charge] = {}
        self._owed: dict[str, Charge] = {}
        self._last: Allowance | None = None
        self._settled_at: datetime | None = None
        self._usual: OrderedDict[str | None, int] = OrderedDict()

    def room(self, now: float) -> int:
        """What requests may reserve without settling; `now` in epoch seconds."""
        if now >= self._expires_at:
            return 0  # others may have got it by now
        return self._held - self.reserved - self._unsettled()

    def charge(self, model: str | None, cost: Charge, now: datetime) -> None:
        """A request, or an attempt at one, is over."""
        day = utc_day(now)
        self._charges[day] = self._charges.get(day, Charge()) + cost
        if cost.nano > cost.estimated:
            self._learn(model, cost.nano)
            self._learn(None, cost.nano)

    def usual(self, model: str | None) -> int | None:
        """What a request of this key costs, rather more than less: of this model, else of any, else as the
        ledger has it. None where nothing is known."""
        found = self._usual.get(model, self._usual.get(None))
        return found if found is not None or self._last is None else self._last.usual

    def refusal(self, now: datetime) -> BudgetSpent | None:
        """What the key is refused with, where its budget is known to be spent. It is so for every process,
        and until its reset."""
        last, at = self._last, self._settled_at
        if last is None or at is None:
            return None
        limits, unsettled = self.limits, self._unsettled()
        week, today = last.this_week + unsettled, last.today + unsettled
        if week < (limits.weekly or NO_LIMIT) and today < (limits.daily or NO_LIMIT):
            return None
        week = self._unsettled_since(week_start(now))
        week += last.this_week if week_start(at) == week_start(now) else 0
        today = self._unsettled_since(day_start(now))
        today += last.today if day_start(at) == day_start(now) else 0
        if limits.weekly is not None and week >= limits.weekly:
            return self._spent("weekly", now)
        if limits.daily is not None and today >= limits.daily:
            return self._spent("daily", now)
        return None

    def exhausted(self, now: datetime) -> Refused | None:
        """The same, also where running requests have reserved what is left."""
        refusal = self.refusal(now)
        if refusal is not None or self._last is None or self._last.exhausted is None:
            return refusal
        return BudgetReserved(self.key.name, self._last.exhausted, self._limit(self._last.exhausted))

    def due(self, now: float) -> bool:
        """Whether there is something to settle though no request waits."""
        if self._charges or self._owed:
            return True
        renew = self._booked > 0 and self._expires_at - now < HOLD_SECONDS * 2 / 3
        return renew or self._idle(now)

    def settlement(self, wanted: list[int], now: float) -> Settlement:
        """What to settle now. What is given back, and what requests that wait may get instead, is not spent
        until `settled` or `failed` says how that went."""
        self._sent, self._charges = self._charges, {}
        sent, self._held_before = _sum(self._sent) + _sum(self._owed), self._held
        if wanted or self._idle(now) or now >= self._expires_at:
            self._held = min(self._held, self.reserved + sent)
        keep = max(self.reserved, self._held - sent)
        return Settlement(self.key.name, self.limits, self._sent, keep, wanted, spare=bool(wanted))

    def settled(self, allowance: Allowance, at: datetime) -> None:
        """The ledger took it, and what was owed before; `at`: of whose day and week it speaks."""
        self._sent, self._owed = {}, {}
        self._booked, self._held = allowance.booked, allowance.held
        self._expires_at = allowance.expires_at
        self._last, self._settled_at = allowance, at

    def failed(self, *, owed: bool = False) -> None:
        """The ledger did not take it: it is to be charged the next time.

        Args:
            owed: it is written down, and charged with what that holds.
        """
        to = self._owed if owed else self._charges
        for day, sent in self._sent.items():
            to[day] = to.get(day, Charge()) + sent
        self._sent, self._held = {}, self._held_before

    def unsettled(self) -> dict[str, Charge]:
        """What the ledger has not taken, by UTC day. Any thread may ask: rather too much than too little."""
        found: dict[str, Charge] = {}
        for some in (self._charges, self._sent, self._owed):
            for day, one in dict(some).items():
                found[day] = found.get(day, Charge()) + one
        return found

    def _unsettled(self) -> int:
        """What was spent since the ledger was last told."""
        return _sum(self._charges) + _sum(self._sent) + _sum(self._owed)

    def _unsettled_since(self, begin: datetime) -> int:
        """The same of the days since a midnight: what the ledger has not taken may be of days before."""
        first = utc_day(begin)
        days = (self._charges, self._sent, self._owed)
        return sum(_sum({day: one for day, one in some.items() if day >= first}) for some in days)

    def _idle(self, now: float) -> bool:
        unused = self._booked - self.reserved - self._unsettled()
        return unused > 0 and now - self.used_at >= IDLE_SECONDS

    def _learn(self, model: str | None, nano: int) -> None:
        before = self._usual.get(model, 0)
        self._usual[model] = max(nano, before - (before - nano) // DECAY)
        self._usual.move_to_end(model)
        if len(self._usual) > MAX_MODELS:
            self._usual.popitem(last=False)

    def _spent(self, period: Period, now: datetime) -> BudgetSpent:
        resets_at = (
            day_start(now) + timedelta(days=1) if period == "daily" else week_start(now) + timedelta(days=7)
        )
        message = (
            f"the {period} budget of ${self._limit(period)} of the proxy key {self.key.name!r} is exhausted; "
            f"it resets at {resets_at:%Y-%m-%dT%H:%M:%SZ}"
        )
        wait = max(1, -int(-(resets_at - now).total_seconds() // 1))
        return BudgetSpent(message, self.key.name, period, retry_after=wait)

    def _limit(self, period: Period) -> str:
        return str(self.key.daily if period == "daily" else self.key.weekly)


def _sum(charges: dict[str, Charge]) -> int:
    return sum(charge.nano for charge in charges.values()) if charges else 0


class Waiting:
    """A request that waits for the ledger."""

    def __init__(self, nano: int, *, reserves: bool) -> None:
        self.nano = nano
        self.reserves = reserves
        self.granted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    @property
    def reserved(self) -> int:
        """What it was granted, for who gives up at that very moment."""
        done = self.granted.done() and not self.granted.cancelled() and not self.granted.exception()
        return self.nano if self.reserves and done and self.granted.result() else 0


def limits(key: Key) -> Limits:
    """What the budgets of a key allow."""
    daily, weekly = (None if usd is None else nano_usd(usd) for usd in (key.daily, key.weekly))
    return Limits(daily, weekly)


class Payer(Protocol):
    """Who reserved it."""

    prices: CurrentPrices

    def charged(self, key: str, cost: Charge) -> None:
        """Hears what each request of a key cost."""


class Reservation:
    """Money for one request, or one turn on a WebSocket: charged by each of its events, given back at its
    end.

    Args:
        work: what the request makes the provider do.
        ask: what it asks for.
        nano: what is reserved, in 10^-9 US dollars.

    Attributes:
        unsent: the provider was not asked, so that the event to come costs nothing.
    """

    def __init__(self, payer: Payer, allowance: KeyAllowance, work: Work, ask: Ask, nano: int) -> None:
        self._payer = payer
        self._allowance = allowance
        self._work: Work = work
        self._ask = ask
        self._nano = nano
        self._open = True
        self.unsent = False

    def charging(self, emit: Emit, *, last: bool = False) -> Emit:
        """Charges each event, then passes it on; `last`: one will come, and ends it."""

        def charged(event: RequestEvent) -> None:
            book = self._payer.prices.book
            cost = Charge() if self.unsent else charge(book, event, self._work, self._ask, self._nano)
            if cost.requests or cost.nano:
                self._allowance.charge(event.model, cost, event.requested_at)
                self._payer.charged(self._allowance.key.name, cost)
            if last:
                self.close()
            emit(event)

        return charged

    def close(self) -> None:
        """Give back what was reserved; what it cost is charged."""
        if self._open:
            self._open = False
            self._allowance.reserved -= self._nano
