"""All that a Prometheus would hold after some days: what proxy and exporter said, what Prometheus says of its
scrapes, and what the recording rules make of it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from ledger.pricing.prices import PriceBook
from ledger.values import RequestEvent
from metrics import collector, proxy
from metrics import recorded as names
from prometheus.build import RECORDING_FILE, files, write
from prometheus.config import RuleConfig
from prometheus.scrape import Targets
from simulator.errors import OutputError
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
HISTOGRAMS = (proxy.LATENCY, proxy.TIME_TO_FIRST_TOKEN, proxy.HTTP_DURATION)
EXPORTER_ADDRESS = "127.0.0.1:8789"
COLLECTOR_ADDRESS = "127.0.0.1:8790"

RECORDED_SECONDS = 162 * 3_600

LOST = 7
"""Requests that the buffer drops."""


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


def everything(history: History, scrapes: Scrapes, book: PriceBook, exporter: Exporter) -> Iterator[Counted]:
    """All that was scraped. Histograms, which are most of the series, and what the services say of
    themselves begin a day and an hour before the end."""
    recent = replace(
        scrapes, start=max(scrapes.start, scrapes.at(scrapes.count - 1) - timedelta(hours=25)), restarts=()
    )
    sums = tuple(f for f in COUNTED if f.kind == "counter" and f not in (*ROUTING, proxy.BUFFER_DROPPED))
    yield count(history.events, scrapes, book, sums)
    yield count(history.events, recent, book, HISTOGRAMS)
    yield count(history.events, scrapes, book, ROUTING, steps)
    yield count(history.events, recent, book, (proxy.LB_TIER_SCORE,), steps)
    yield of_the_process(recent)
    told = replace(scrapes, job="quotascope-exporter", instance=EXPORTER_ADDRESS, restarts=())
    yield of_prometheus(recent)
    yield of_prometheus(told, begin=scrapes.count - 4 * recent.count // 5)
    yield export(history, told, book, exporter)
    collected = replace(recent, job="quotascope-collector", instance=COLLECTOR_ADDRESS)
    yield of_prometheus(collected)
    yield of_the_collector(collected)


def of_the_process(scrapes: Scrapes) -> Counted:
    """What the proxy says of itself: for an hour its buffer fills, because the ledger cannot be written."""
    begin, hour = scrapes.count * 2 // 5, 3_600 // scrapes.interval_seconds
    read = [Decimal(int(scrapes.at(tick).timestamp()) - 4) for tick in range(scrapes.count)]
    series: dict[Key, Series] = {
        (proxy.BUFFER_SIZE.name, ()): _steps((0, 2), (begin, 500), (begin + hour, 0)),
        (proxy.BUFFER_CAPACITY.name, ()): _steps((0, 500)),
        (proxy.BUFFER_DROPPED.name, ()): _steps((0, 0), (begin + 10, LOST)),
        (proxy.LB_UPDATED_AT.name, ()): Series(list(range(scrapes.count)), read),
    }
    families = (proxy.BUFFER_SIZE, proxy.BUFFER_CAPACITY, proxy.BUFFER_DROPPED, proxy.LB_UPDATED_AT)
    return Counted(scrapes, families, series)


def of_the_collector(scrapes: Scrapes) -> Counted:
    """What a collector says of one gateway: an event at each scrape, and once the gateway was restarted."""
    ticks, gateway = list(range(scrapes.count)), ("cpa",)
    begin, hour = scrapes.count * 2 // 5, 3_600 // scrapes.interval_seconds
    restart = (*gateway, "restart")
    series: dict[Key, Series] = {
        (collector.EVENTS.name, (*gateway, "subscribe")): Series(ticks, [Decimal(tick) for tick in ticks]),
        (collector.PENDING.name, ()): _steps((0, 0), (begin, 40), (begin + hour, 0)),
        (collector.UNDECODABLE.name, gateway): _steps((0, 0), (begin, 1)),
        (collector.CONNECTED.name, gateway): _steps((0, 1), (begin, 0), (begin + 1, 1)),
        (collector.GAPS.name, restart): _steps((0, 0), (begin + 1, 1)),
        (collector.GAP_SECONDS.name, restart): _steps((0, 0), (begin + 1, 12)),
        (collector.LAST_EVENT.name, gateway): Series(
            ticks, [Decimal(int(scrapes.at(tick).timestamp()) - 2) for tick in ticks]
        ),
    }
    return Counted(scrapes, collector.OWN, series)


def of_prometheus(scrapes: Scrapes, begin: int | None = None) -> Counted:
    """What Prometheus says of its scrapes: for two hours, from this one on, they failed."""
    begin, hours = scrapes.count // 5 if begin is None else begin, 2 * 3_600 // scrapes.interval_seconds
    series: dict[Key, Series] = {
        (names.UP.name, ()): _steps((0, 1), (begin, 0), (begin + hours, 1)),
        (names.SCRAPE_SECONDS.name, ()): Series([0], [Decimal("0.012")]),
        (names.SCRAPE_SAMPLES.name, ()): Series([0], [Decimal(431)]),
    }
    return Counted(scrapes, (names.UP, names.SCRAPE_SECONDS, names.SCRAPE_SAMPLES), series)


def _steps(*steps: tuple[int, int]) -> Series:
    """A series that holds each value from its tick on."""
    return Series([tick for tick, _ in steps], [Decimal(value) for _, value in steps])


def record(promtool: str, url: str, data: Path, folder: Path, start: datetime, end: datetime) -> None:
    """Evaluate the recording rules over a part of the history. A Prometheus sees new blocks at its start.

    Args:
        url: of a Prometheus on the data directory.
        folder: where the rule file may be written.
    Raises: OutputError where promtool is missing or refuses.
    """
    write(files(RuleConfig(), Targets("127.0.0.1:8787", EXPORTER_ADDRESS)), folder)
    command = [promtool, "tsdb", "create-blocks-from", "rules", f"--url={url}", f"--output-dir={data}"]
    # With its default of two hours it would write a block for every rule and two hours. Prometheus answers
    # with 11,000 points at most: a block may span a week of minutes.
    # It gives up on a rule that is not evaluated in what is left of the first block, so that begins whole.
    first = datetime.fromtimestamp(start.timestamp() // RECORDED_SECONDS * RECORDED_SECONDS, UTC)
    command += [f"--start={first.isoformat()}", f"--end={end.isoformat()}"]
    command += [f"--max-block-duration={RECORDED_SECONDS // 3_600}h"]
    try:
        done = subprocess.run([*command, str(folder / RECORDING_FILE)], capture_output=True, text=True)
    except OSError as error:
        raise OutputError(f"cannot run {promtool}: {error.strerror}; apt-get install prometheus") from error
    if done.returncode:
        raise OutputError(f"promtool cannot evaluate the rules: {' '.join(done.stderr.split())[:300]}")
