"""What is seen at a glance: the running periods against those before them, and how far each account's windows
are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from console.quota import Pace, windows_of
from ledger.accounts.pool import read_fleet
from ledger.cli.tables import standing
from ledger.columns import micros
from ledger.pricing.prices import PriceBook
from ledger.reader.meters import newest_windows
from ledger.requests import queries
from ledger.requests.answers import Totals
from ledger.requests.sums import periods
from ledger.requests.totals.overall import totals_of_all

Name = Literal["hour", "today", "week", "month", "12 months"]
NAMES: tuple[Name, ...] = get_args(Name)
HOUR = timedelta(hours=1)
OUT_OF_USE = frozenset({"paused", "reauth_required", "deactivated"})


@dataclass(frozen=True, slots=True)
class Period:
    """A running period, and as much of the one before it as had passed by the same moment.

    Attributes:
        before: None where it was not asked for.
    """

    name: Name
    since: datetime
    until: datetime
    now: Totals
    before: Totals | None = None


@dataclass(frozen=True, slots=True)
class AccountQuota:
    """One account and its usage windows, the short one first.

    Attributes:
        status: in lower case; `standing` says as well what else keeps requests away from it.
    """

    id: str
    plan: str
    status: str
    standing: str
    windows: tuple[Pace, ...]

    @property
    def fullest(self) -> float | None:
        """Percent used of its fullest window; None where no window is known, or it is out of use."""
        if self.status in OUT_OF_USE:
            return None
        return max((window.used for window in self.windows), default=None)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A ledger at one moment.

    Attributes:
        newest: when the newest request ended; None in an empty ledger.
    """

    at: datetime
    zone: ZoneInfo
    newest: datetime | None
    periods: tuple[Period, ...]
    accounts: tuple[AccountQuota, ...]

    def of(self, name: Name) -> Period:
        """One period. Raises: KeyError."""
        return {period.name: period for period in self.periods}[name]

    @property
    def fullest(self) -> AccountQuota | None:
        """The account in use whose fullest window is fullest."""
        known = [account for account in self.accounts if account.fullest is not None]
        return max(known, key=lambda account: account.fullest or 0.0, default=None)


def snapshot(
    connection: Connection,
    book: PriceBook,
    now: datetime,
    zone: ZoneInfo,
    *,
    names: Sequence[Name] = NAMES,
    compared: bool = True,
) -> Snapshot:
    """A ledger as it is now.

    Args:
        compared: with the periods before.
    """
    return Snapshot(
        now,
        zone,
        queries.newest_request(connection),
        _periods(connection, book, now, zone, names, compared),
        account_quotas(connection, now),
    )


def account_quotas(connection: Connection, now: datetime) -> tuple[AccountQuota, ...]:
    """Every account with its windows, by id."""
    accounts = queries.list_accounts(connection)
    members = {member.account.id: member for member in read_fleet(connection).members}
    windows = newest_windows(connection, [account.id for account in accounts], micros(now))
    return tuple(
        AccountQuota(
            one.id,
            one.plan_type,
            one.status,
            standing(members[one.id], now) if one.id in members else one.status,
            windows_of(windows[one.id], now),
        )
        for one in accounts
    )


def bounds(name: Name, now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """[since, until) of a running period; what is dated a little ahead of our clock belongs to it."""
    if name == "hour":
        return now - HOUR, periods.period("today", now, zone)[1]
    return periods.period(name, now, zone)


def bounds_before(name: Name, since: datetime, now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """[since, until) of as much of the period before as had passed by the same moment."""
    if name == "hour":
        return since - HOUR, since
    begin, _ = periods.period(name, since - timedelta(microseconds=1), zone)
    return begin, min(since, begin + (now - since))


def _periods(
    connection: Connection,
    book: PriceBook,
    now: datetime,
    zone: ZoneInfo,
    names: Sequence[Name],
    compared: bool,
) -> tuple[Period, ...]:
    if not names:
        return ()
    running = [bounds(name, now, zone) for name in names]
    ended = [bounds_before(n, since, now, zone) for n, (since, _) in zip(names, running, strict=True)]
    asked = [*running, *(ended if compared else ())]
    sums = totals_of_all(connection, asked, book)
    before = sums[len(names) :] if compared else (None,) * len(names)
    found = zip(names, running, sums[: len(names)], before, strict=True)
    return tuple(Period(name, *ends, sums, then) for name, ends, sums, then in found)
