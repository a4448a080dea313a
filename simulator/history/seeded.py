"""What a Prometheus would hold after some days: what proxy and exporter said, and what it says of its own
scrapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal

from ledger.pricing.prices import PriceBook
from ledger.values import RequestEvent
from metrics import proxy
from metrics import recorded as names
from simulator.failures import error_class
from simulator.history.counting import COUNTED, Counted, Key, Series, count
from simulator.history.exporting import Exporter, export
from simulator.history.fleet import FLEET, SimulatedAccount
from simulator.history.history import History
from simulator.history.metering import Step
from simulator.history.quota import SECONDARY_MINUTES, cycle_start
from simulator.history.scrapes import Scrapes

WEIGHTS = {"pro": 1.0, "plus": 0.72, "team": 0.72, "business": 0.72, "free": 0.512}
MARKS = {"rate_limit": "rate_limit", "quota": "quota_exceeded", "auth": "permanent_failure"}
"""The event of each class of error that is held against the account."""

_ACCOUNTS: Mapping[str, SimulatedAccount] = {account.id: account for account in FLEET}
_ONE = Decimal(1)


def steps(event: RequestEvent, _: PriceBook) -> Iterator[Step]:
    """Every step that one request makes; an account that is not of the fleet makes none."""
    account = _ACCOUNTS.get(event.account_id)
    if account is None:
        return
    how = ("full", "memory" if event.session_id else "none", "false")
    yield Step(proxy.LB_SELECT, (*how, "selected"), _ONE)
    yield Step(proxy.LB_SELECTED_TIER, (*how, account.plan_type), _ONE)
    yield Step(proxy.LB_TIER_SCORE, (*how, account.plan_type), Decimal(str(score(account, event))))
    if event.status == "error":
        yield from _failed(event)


def score(account: SimulatedAccount, event: RequestEvent) -> float:
    """The tier's weight by the second until the account's week ends, from its last minute on by 60 s."""
    since = event.requested_at - cycle_start(account, event.requested_at)
    return WEIGHTS[account.plan_type] / max(60.0, SECONDARY_MINUTES * 60 - since.total_seconds())


def _failed(event: RequestEvent) -> Iterator[Step]:
    kind = error_class(event.error_code)
    if kind not in MARKS:
        return
    yield Step(proxy.RETRIES, (event.api, kind), _ONE)
    yield Step(proxy.ACCOUNT_RETRIES, (event.account_id, event.api, kind), _ONE)
    yield Step(proxy.LB_MARK, (MARKS[kind], event.account_id), _ONE)
    if MARKS[kind] == "permanent_failure":
        yield Step(proxy.LB_PERMANENT, (event.error_code or "unknown",), _ONE)


ROUTING = (
    *(proxy.LB_SELECT, proxy.LB_SELECTED_TIER, proxy.LB_MARK, proxy.LB_PERMANENT),
    *(proxy.RETRIES, proxy.ACCOUNT_RETRIES),
)
EXPORTER_ADDRESS = "127.0.0.1:8789"


def undisturbed(
    history: History, scrapes: Scrapes, book: PriceBook, exporter: Exporter, exporter_at: str
) -> Iterator[Counted]:
    """All that is scraped in days in which requests fail, but no service.

    Args:
        scrapes: of the proxy.
        exporter_at: HOST:PORT.
    """
    told = replace(scrapes, job="quotascope-exporter", instance=exporter_at)
    routing = (*ROUTING, proxy.LB_TIER_SCORE)
    yield count(history.events, scrapes, book, tuple(f for f in COUNTED if f not in routing))
    yield count(history.events, scrapes, book, routing, steps)
    yield export(history, told, book, exporter)
    for each in (scrapes, told):
        yield of_prometheus(each, begin=scrapes.count)


def of_prometheus(scrapes: Scrapes, begin: int | None = None) -> Counted:
    """What Prometheus says of its scrapes: for two hours, from this one on, they failed."""
    begin, hours = scrapes.count // 5 if begin is None else begin, 2 * 3_600 // scrapes.interval_seconds
    series: dict[Key, Series] = {
        (names.UP.name, ()): held((0, 1), (begin, 0), (begin + hours, 1)),
        (names.SCRAPE_SECONDS.name, ()): Series([0], [Decimal("0.012")]),
        (names.SCRAPE_SAMPLES.name, ()): Series([0], [Decimal(431)]),
    }
    return Counted(scrapes, (names.UP, names.SCRAPE_SECONDS, names.SCRAPE_SAMPLES), series)


def held(*steps: tuple[int, int]) -> Series:
    """A series that holds each value from its tick on."""
    return Series([tick for tick, _ in steps], [Decimal(value) for _, value in steps])
