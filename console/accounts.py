"""What the pages of accounts show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, select

from console.quota import Pace, windows_of
from ledger.accounts import audit
from ledger.accounts.candidates import Candidate, candidates
from ledger.accounts.pool import Member, read_fleet
from ledger.cli.tables import standing
from ledger.columns import micros, moment
from ledger.pricing.prices import PriceBook
from ledger.quota.estimate import QuotaEstimate, QuotaRules, estimate
from ledger.quota.running import PICO_PER_USD, Sums
from ledger.reader.meters import Meters, newest_windows
from ledger.requests import queries
from ledger.requests.answers import RequestRow, Totals
from ledger.requests.filter import RequestFilter
from ledger.schema import accounts

WEEK = timedelta(days=7)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class AccountView:
    id: str
    email: str
    plan: str
    pool: str
    status: str
    standing: str
    origin: str
    credential: str
    upstream: str
    windows: tuple[Pace, ...]
    week: Totals
    day: Totals

    @property
    def dead(self) -> bool:
        return self.status in ("reauth_required", "deactivated")


@dataclass(frozen=True, slots=True)
class AccountList:
    views: tuple[AccountView, ...]
    queue: tuple[Candidate, ...]
    unlisted: tuple[tuple[str, Totals, Totals], ...]
    """Accounts that have requests alone: their week and their day."""


def account_list(connection: Connection, book: PriceBook, now: datetime, *, emails: bool) -> AccountList:
    members = {member.account.id: member for member in read_fleet(connection).members}
    rows = {row.id: row for row in connection.execute(select(accounts).order_by(accounts.c.id))}
    here = [row for row in rows.values() if row.delete_requested_at is None]
    windows = newest_windows(connection, [row.id for row in here], micros(now))
    week = _by_account(connection, book, now - WEEK, now)
    day = _by_account(connection, book, now - DAY, now)
    views = tuple(
        AccountView(
            id=row.id,
            email=row.email if emails else "",
            plan=row.plan_type.casefold(),
            pool=row.pool,
            status=row.status.casefold(),
            standing=_standing(members.get(row.id), row.status.casefold(), now),
            origin=row.origin,
            credential=row.credential or "",
            upstream=row.upstream_base_url or "",
            windows=windows_of(windows[row.id], now),
            week=week.get(row.id, Totals()),
            day=day.get(row.id, Totals()),
        )
        for row in here
    )
    others = tuple(
        (name, sums, day.get(name, Totals()))
        for name, sums in week.items()
        if name is not None and name not in rows
    )
    return AccountList(views, candidates(connection, now), others)


@dataclass(frozen=True, slots=True)
class Detail:
    """One account's page.

    Attributes:
        view: None for an account that was removed, or that has requests alone.
        known: it is, or was, listed, or a request names it.
    """

    view: AccountView | None
    known: bool
    history: Sequence[audit.Entry]
    failures: Sequence[RequestRow]
    models: Sequence[tuple[str | None, Totals]]


def account_detail(
    connection: Connection,
    book: PriceBook,
    name: str,
    now: datetime,
    *,
    emails: bool,
) -> Detail:
    found = account_list(connection, book, now, emails=emails).views
    mine = RequestFilter(now - DAY, now, account_id=(name,))
    failed = queries.page(connection, mine.having("status", "error"), book, size=10).rows
    models = queries.by(connection, mine.between(now - WEEK, now), "model", book, top=10).groups
    view = next((view for view in found if view.id == name), None)
    history = audit.entries(connection, name, most=50)
    ever = RequestFilter(account_id=(name,))
    return Detail(
        view,
        bool(view or history or models) or bool(queries.page(connection, ever, book, size=1).rows),
        history,
        failed,
        [(group.value, group.totals) for group in models],
    )


def quota_of(
    connection: Connection, book: PriceBook, name: str, now: datetime, rules: QuotaRules
) -> QuotaEstimate:
    """What an account's week is worth, or why that cannot be said."""
    at, meters = micros(now), Meters(rules)
    meters.refresh(connection, [name], at)
    shown = meters.shown(name, at)
    requests = LoggedRequests(connection, book, name, now)
    return estimate(shown.cycle, requests, at, rules, metered=shown.secondary is not None)


class LoggedRequests:
    """An account's requests, asked for as the estimate asks. Times are microseconds since 1970."""

    def __init__(self, connection: Connection, book: PriceBook, name: str, now: datetime) -> None:
        self._connection, self._book, self._now = connection, book, now
        self._mine = RequestFilter(account_id=(name,))

    def since(self, start: int) -> Sums:
        return self.between(start, micros(self._now) + 1)

    def between(self, start: int, end: int) -> Sums:
        where = self._mine.between(moment(start), moment(end))
        sums = queries.totals(self._connection, where, self._book, durations=False)
        priced = max(0, sums.metered + sums.unmetered - sums.unpriced)
        return Sums(int(sums.usd * PICO_PER_USD), priced, sums.unpriced)

    def any_between(self, start: int, end: int) -> bool:
        where = self._mine.between(moment(start), moment(end))
        return bool(queries.page(self._connection, where, self._book, size=1).rows)


REASONS = {
    "cycle_start_mismatch": "the window was used before the first request here",
    "mid_cycle_jump": "it was used while no request went through here",
    "no_priced_usage": "no priced request in this window",
    "unsteady_ratio": "spend and percent do not go together",
    "meter_fell": "the window was emptied early",
    "unknown_cycle": "the provider does not say when the window began",
}


def usd(value: float | None) -> Decimal | None:
    """A float as money that is only shown."""
    return None if value is None or value != value else Decimal(str(round(value, 2)))


def _by_account(
    connection: Connection, book: PriceBook, since: datetime, until: datetime
) -> Mapping[str | None, Totals]:
    found = queries.by(connection, RequestFilter(since, until), "account_id", book, top=None)
    return {group.value: group.totals for group in found.groups}


def _standing(member: Member | None, status: str, now: datetime) -> str:
    return status if member is None else standing(member, now)


def is_known(connection: Connection, name: str) -> bool:
    """Whether there is such an account now."""
    found = select(accounts.c.id).where(accounts.c.id == name, accounts.c.delete_requested_at.is_(None))
    return connection.execute(found).first() is not None
