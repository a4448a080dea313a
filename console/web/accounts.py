"""What the pages of accounts show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, select

from ledger.accounts import audit
from ledger.accounts.candidates import Candidate, candidates
from ledger.accounts.pool import Member, read_fleet
from ledger.cli.tables import standing
from ledger.pricing.prices import PriceBook
from ledger.quota.cycle import MINUTE
from ledger.quota.estimate import QuotaEstimate, QuotaRules, estimate
from ledger.quota.running import PICO_PER_USD, Sums
from ledger.quota.windows import Window
from ledger.reader.meters import Meters
from ledger.requests import queries
from ledger.requests.answers import RequestRow, Totals
from ledger.requests.filter import RequestFilter
from ledger.schema import accounts
from settings.model import Quota

WEEK = timedelta(days=7)
DAY = timedelta(days=1)
MIN_ELAPSED = 0.02
"""The part of a window that must have passed before its pace says something."""


@dataclass(frozen=True, slots=True)
class Pace:
    """One window, and where it leads.

    Attributes:
        title: five hours, week, or as long as it is.
        used: percent.
        reset_at: when it begins again.
        empty_at: when it is used up at the pace since it began; None where it lasts, or nobody can say.
        lasts: percent that will be left at the reset; None where nobody can say.
    """

    title: str
    used: float
    reset_at: datetime | None
    empty_at: datetime | None = None
    lasts: float | None = None


@dataclass(frozen=True, slots=True)
class AccountView:
    """One account in the list."""

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
    unlisted: tuple[tuple[str, Totals], ...]


def account_list(
    connection: Connection, book: PriceBook, now: datetime, rules: QuotaRules, *, emails: bool
) -> AccountList:
    """All accounts, and what is proposed for them."""
    members = {member.account.id: member for member in read_fleet(connection).members}
    rows = {row.id: row for row in connection.execute(select(accounts).order_by(accounts.c.id))}
    here = [row for row in rows.values() if row.delete_requested_at is None]
    meters = _meters(connection, [row.id for row in here], now, rules)
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
            windows=windows_of(meters, row.id, now),
            week=week.get(row.id, Totals()),
            day=day.get(row.id, Totals()),
        )
        for row in here
    )
    others = tuple((name, sums) for name, sums in week.items() if name is not None and name not in rows)
    return AccountList(views, candidates(connection, now), others)


@dataclass(frozen=True, slots=True)
class Detail:
    """One account's page."""

    view: AccountView | None
    history: Sequence[audit.Entry]
    failures: Sequence[RequestRow]
    models: Sequence[tuple[str | None, Totals]]


def account_detail(
    connection: Connection,
    book: PriceBook,
    name: str,
    now: datetime,
    rules: QuotaRules,
    *,
    emails: bool,
) -> Detail:
    """One account, whether it is still there or not."""
    found = account_list(connection, book, now, rules, emails=emails).views
    mine = RequestFilter(now - DAY, now, account_id=(name,))
    failed = queries.page(connection, mine.having("status", "error"), book, size=10).rows
    models = queries.by(connection, mine.between(now - WEEK, now), "model", book, top=10).groups
    return Detail(
        next((view for view in found if view.id == name), None),
        audit.entries(connection, name, most=50),
        failed,
        [(group.value, group.totals) for group in models],
    )


def quota_of(
    connection: Connection, book: PriceBook, name: str, now: datetime, rules: QuotaRules
) -> QuotaEstimate:
    """What an account's week is worth, or why that cannot be said."""
    meters = _meters(connection, [name], now, rules)
    at = micros(now)
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


def windows_of(meters: Meters, name: str, now: datetime) -> tuple[Pace, ...]:
    """The usage windows of an account, the short one first."""
    shown = meters.shown(name, micros(now))
    found = ((shown.primary, "5 hours"), (shown.secondary, "week"))
    return tuple(pace(window, title, now) for window, title in found if window is not None)


def pace(window: Window, title: str, now: datetime) -> Pace:
    """Where a window leads, at the pace since it began."""
    reset = datetime.fromtimestamp(window.reset_at, UTC) if window.reset_at else None
    title = _title(window.minutes) or title
    if reset is None or not window.minutes or reset <= now:
        return Pace(title, window.used_percent, reset)
    length = timedelta(minutes=window.minutes)
    elapsed = 1 - (reset - now) / length
    if elapsed < MIN_ELAPSED or window.used_percent >= 100:
        return Pace(title, window.used_percent, reset)
    expected = window.used_percent / elapsed
    if expected > 100:
        left = (100 - window.used_percent) / (window.used_percent / (elapsed * length.total_seconds()))
        return Pace(title, window.used_percent, reset, now + timedelta(seconds=left))
    return Pace(title, window.used_percent, reset, None, 100 - expected)


def quota_rules(quota: Quota) -> QuotaRules:
    """The configured thresholds in the ledger's units."""
    return QuotaRules(
        grace=round(quota.start_grace_minutes * MINUTE),
        start_percent=quota.start_percent,
        jump_percent=quota.jump_percent,
        gap=round(quota.jump_gap_minutes * MINUTE),
        fell_percent=quota.fell_percent,
        wobble_seconds=quota.reset_wobble_seconds,
        method=quota.method,
    )


REASONS = {
    "cycle_start_mismatch": "the window was used before the first request here",
    "mid_cycle_jump": "it was used while no request went through here",
    "no_priced_usage": "no priced request in this window",
    "unsteady_ratio": "spend and percent do not go together",
    "meter_fell": "the window was emptied early",
    "unknown_cycle": "the provider does not say when the window began",
}


def micros(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000 + at.microsecond


def moment(at: int) -> datetime:
    return datetime.fromtimestamp(at // 1_000_000, UTC) + timedelta(microseconds=at % 1_000_000)


def usd(value: float | None) -> Decimal | None:
    """A float as money that is only shown."""
    return None if value is None or value != value else Decimal(str(round(value, 2)))


def _meters(connection: Connection, names: Sequence[str], now: datetime, rules: QuotaRules) -> Meters:
    meters = Meters(rules)
    meters.refresh(connection, names, micros(now))
    return meters


def _by_account(
    connection: Connection, book: PriceBook, since: datetime, until: datetime
) -> Mapping[str | None, Totals]:
    found = queries.by(connection, RequestFilter(since, until), "account_id", book, top=1_000)
    return {group.value: group.totals for group in found.groups}


def _standing(member: Member | None, status: str, now: datetime) -> str:
    return status if member is None else standing(member, now)


def _title(minutes: int | None) -> str:
    """A window's length in words."""
    if not minutes:
        return ""
    for size, word in ((10_080, "week"), (1_440, "day"), (60, "hour")):
        if minutes % size == 0:
            number = minutes // size
            return word if number == 1 else f"{number} {word}s"
    return f"{minutes} min"
