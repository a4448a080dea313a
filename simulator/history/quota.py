"""Quota windows as an account's requests fill them, and the samples of them that would have been stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ledger.pricing.prices import PriceBook
from ledger.values import RequestEvent
from simulator.history.fleet import SimulatedAccount
from simulator.history.plan import Plan
from simulator.history.totals import spend_of

PRIMARY_MINUTES = 300
SECONDARY_MINUTES = 10_080

SAMPLE_EVERY = timedelta(minutes=5)
"""How much time lies between two samples of an account at least; without a request there is none."""

_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class UsageSample:
    """One row of `usage_history`: `reset_at` in epoch seconds, `used_percent` from 0 to 100."""

    account_id: str
    recorded_at: datetime
    window: str
    used_percent: float
    reset_at: int
    window_minutes: int


@dataclass(slots=True)
class QuotaWindow:
    """One quota window of an account while its requests go by.

    A weekly window ends at a fixed hour of the week; a primary one begins with the first request after
    the last one has ended.
    """

    name: str
    minutes: int
    worth_usd: float
    resets_at: datetime
    fixed: bool
    spent_usd: float = 0.0

    def take(self, usd: float, at: datetime) -> None:
        length = timedelta(minutes=self.minutes)
        if at >= self.resets_at:
            self.spent_usd = 0.0
            missed = (at - self.resets_at) // length + 1
            self.resets_at = self.resets_at + missed * length if self.fixed else at + length
        self.spent_usd += usd

    def sample(self, account_id: str, at: datetime, step: float) -> UsageSample:
        percent = min(100.0, round(100 * self.spent_usd / self.worth_usd / step) * step)
        resets_at = int(self.resets_at.timestamp())
        return UsageSample(account_id, at, self.name, percent, resets_at, self.minutes)


def usage_samples(plan: Plan, events: Sequence[RequestEvent], book: PriceBook) -> Iterator[UsageSample]:
    """Samples of both windows of every account, in the order of time; each comes with a request and
    counts it in."""
    windows = {a.id: _windows(a, plan.start) for a in plan.accounts}
    due = dict.fromkeys(windows, plan.start)
    for event in events:
        pair = windows[event.account_id]
        usd = float(spend_of(event, book).usd)
        for window in pair:
            window.take(usd, event.requested_at)
        if event.requested_at >= due[event.account_id]:
            due[event.account_id] = event.requested_at + SAMPLE_EVERY
            yield from _sampled(pair, event, plan.percent_step)


def windows_at_end(
    accounts: Iterable[SimulatedAccount], samples: Iterable[UsageSample], end: datetime
) -> dict[str, tuple[QuotaWindow, QuotaWindow]]:
    """Both windows of every account as its last samples left them."""
    found = {account.id: _windows(account, end) for account in accounts}
    last = {(sample.account_id, sample.window): sample for sample in samples}
    for account_id, pair in found.items():
        for window in pair:
            if sample := last.get((account_id, window.name)):
                window.spent_usd = sample.used_percent / 100 * window.worth_usd
                window.resets_at = datetime.fromtimestamp(sample.reset_at, UTC)
    return found


def cycle_start(account: SimulatedAccount, at: datetime) -> datetime:
    """When the account's weekly window began that holds at a moment."""
    week = timedelta(minutes=SECONDARY_MINUTES)
    first = _MONDAY + timedelta(hours=account.cycle_hour)
    return first + (at - first) // week * week


def _windows(account: SimulatedAccount, start: datetime) -> tuple[QuotaWindow, QuotaWindow]:
    week_ends = cycle_start(account, start) + timedelta(minutes=SECONDARY_MINUTES)
    return (
        QuotaWindow("primary", PRIMARY_MINUTES, account.five_hours_usd, start, fixed=False),
        QuotaWindow("secondary", SECONDARY_MINUTES, account.week_usd, week_ends, fixed=True),
    )


def _sampled(pair: Iterable[QuotaWindow], event: RequestEvent, step: float) -> Iterator[UsageSample]:
    for window in pair:
        yield window.sample(event.account_id, event.requested_at, step)
