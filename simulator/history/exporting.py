"""An exporter's gauges over a history, tick by tick: quota windows, spend of the week, the fleet.

Written apart from the exporter on purpose, like `metering.py`. What an exporter would suppress, and the
accounts that it cannot name, are told by the caller.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from ledger.pricing.prices import PriceBook
from ledger.values import RequestEvent
from metrics import exporter as m
from metrics.family import MetricFamily
from simulator.history.counting import Counted, Key, Series
from simulator.history.fleet import SimulatedAccount
from simulator.history.history import History
from simulator.history.quota import UsageSample, cycle_start
from simulator.history.scrapes import Scrapes
from simulator.history.totals import spend_of

WEEK_CREDITS = {"pro": 50_400, "plus": 7_560, "team": 7_560, "business": 7_560, "free": 1_134}
"""What a plan's week is taken to hold."""

BYTES = Decimal(271)
"""That a ledger grows by with each request."""

_WINDOWS = {
    "primary": (m.PRIMARY_USED, m.PRIMARY_RESET, m.PRIMARY_WINDOW),
    "secondary": (m.SECONDARY_USED, m.SECONDARY_RESET, m.SECONDARY_WINDOW),
}
FAMILIES: tuple[MetricFamily, ...] = (
    *(family for window in _WINDOWS.values() for family in window),
    *(m.SECONDARY_CREDITS, m.SECONDARY_RESETS, m.USED_DELTA_7D, m.IMPLIED_QUOTA_7D),
    *(m.ACCOUNT_CYCLE_COST, m.ACCOUNT_COST_7D, m.UNEXPLAINED_7D, m.WINDOW_USED, m.WINDOW_RESET),
    *(m.ESTIMATE_SUPPRESSED, m.IDENTITY, m.ACCOUNT_STATUS, m.ACCOUNTS, m.NEWEST_REQUEST),
    m.STORE_BYTES,
    *(m.COLLECTOR_SUCCESS, m.COLLECTOR_DURATION),
)


_COLLECTORS = {"accounts": 0.004, "windows": 0.021, "spend": 0.013, "freshness": 0.002}


@dataclass(frozen=True, slots=True)
class Exporter:
    """What is true of the exporter for the whole of the history.

    Attributes:
        unnamed: accounts without an identity.
        suppressed: the reason, by account, for which there is no estimate.
        collectors: seconds that each takes; one with less than nothing fails.
    """

    unnamed: frozenset[str] = frozenset()
    suppressed: Mapping[str, str] = field(default_factory=dict)
    collectors: Mapping[str, float] = field(default_factory=lambda: _COLLECTORS)


def export(history: History, scrapes: Scrapes, book: PriceBook, exporter: Exporter) -> Counted:
    """Every gauge that has something to say."""
    accounts = {account.id: account for account in history.plan.accounts}
    series: dict[Key, Series] = {}
    for sample in history.samples:
        if (tick := scrapes.seen(sample.recorded_at)) is not None:
            _window(series, tick, sample, accounts[sample.account_id])
    for event in history.events:
        if (tick := scrapes.seen(event.requested_at)) is not None:
            newest = Decimal(str(round(event.requested_at.timestamp(), 3)))
            _at(series, m.NEWEST_REQUEST, ()).set(tick, newest)
            _at(series, m.STORE_BYTES, ()).rise(tick, BYTES)
    for account in accounts.values():
        _spend(series, account, history.events, scrapes, book, account.id in exporter.suppressed)
    for id in exporter.suppressed:
        series.pop((m.USED_DELTA_7D.name, (id,)), None)
    for family, labels, value in _standing(history.plan.accounts, exporter):
        series[family.name, labels] = Series([0], [Decimal(str(value))])
    return Counted(scrapes, FAMILIES, series)


def _window(series: dict[Key, Series], tick: int, sample: UsageSample, account: SimulatedAccount) -> None:
    used, reset, minutes = _WINDOWS[sample.window]
    label, percent = (sample.account_id,), Decimal(str(sample.used_percent))
    if sample.window == "secondary":
        _count_reset(series, tick, sample, reset)
        left = WEEK_CREDITS[account.plan_type] * (100 - percent) / 100
        _at(series, m.SECONDARY_CREDITS, label).set(tick, left)
        _at(series, m.USED_DELTA_7D, label).set(tick, percent)
    _at(series, used, label).set(tick, percent)
    _at(series, reset, label).set(tick, Decimal(sample.reset_at))
    _at(series, minutes, label).set(tick, Decimal(sample.window_minutes))
    hours = sample.window_minutes // 60
    named = (sample.account_id, f"{hours // 24}d" if hours >= 24 else f"{hours}h")
    _at(series, m.WINDOW_USED, named).set(tick, percent)
    _at(series, m.WINDOW_RESET, named).set(tick, Decimal(sample.reset_at))


def _count_reset(series: dict[Key, Series], tick: int, sample: UsageSample, reset: MetricFamily) -> None:
    counter = _at(series, m.SECONDARY_RESETS, (sample.account_id,))
    before = _at(series, reset, (sample.account_id,)).values[-1]
    if before and sample.reset_at > before:
        counter.rise(tick, Decimal(1))


def _spend(
    series: dict[Key, Series],
    account: SimulatedAccount,
    events: Sequence[RequestEvent],
    scrapes: Scrapes,
    book: PriceBook,
    suppressed: bool,
) -> None:
    """Dollars of the week so far, and what the whole week is then worth."""
    spent, began = Decimal(0), None
    used = _at(series, m.USED_DELTA_7D, (account.id,))
    for event in events:
        if event.account_id != account.id or (tick := scrapes.seen(event.requested_at)) is None:
            continue
        if (cycle := cycle_start(account, event.requested_at)) != began:
            spent, began = Decimal(0), cycle
        spent += spend_of(event, book).usd
        _at(series, m.ACCOUNT_CYCLE_COST, (account.id,)).set(tick, spent)
        if not suppressed:
            _at(series, m.ACCOUNT_COST_7D, (account.id,)).set(tick, spent)
            percent = used.values[bisect_right(used.ticks, tick) - 1]
            worth = spent * 100 / percent if percent else Decimal("NaN")
            _at(series, m.IMPLIED_QUOTA_7D, (account.id,)).set(tick, worth)


def _standing(
    accounts: Sequence[SimulatedAccount], exporter: Exporter
) -> Iterator[tuple[MetricFamily, tuple[str, ...], float]]:
    """What stays the same: who there is, in which state, and how the collectors do."""
    for account in accounts:
        if account.id not in exporter.unnamed:
            yield m.IDENTITY, (account.id, account.email, account.plan_type), 1
    for status, number in Counter(account.status for account in accounts).items():
        yield m.ACCOUNTS, (status,), number
    for account_id, reason in exporter.suppressed.items():
        yield m.ESTIMATE_SUPPRESSED, (account_id, reason), 1
    for account in accounts:
        yield m.UNEXPLAINED_7D, (account.id,), 18 if account.id in exporter.suppressed else 0
    for collector, seconds in exporter.collectors.items():
        yield m.COLLECTOR_SUCCESS, (collector,), int(seconds >= 0)
        yield m.COLLECTOR_DURATION, (collector,), abs(seconds)


def _at(series: dict[Key, Series], family: MetricFamily, labels: tuple[str, ...]) -> Series:
    return series.setdefault((family.name, labels), Series())
