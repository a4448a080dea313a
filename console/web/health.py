"""Is it empty? What has to be right for requests to be seen, tried out: each with its finding and fix."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
from sqlalchemy import Connection

from console import formats as f
from console.conditions import Selection
from console.store import Ledger
from ledger.errors import LedgerError
from ledger.gateways import gaps, states
from ledger.gateways.values import Check as GatewayCheck
from ledger.gateways.values import GatewayGap, GatewayState
from ledger.pricing.prices import PriceBook
from ledger.requests import queries
from ledger.requests.filter import RequestFilter
from settings.model import Settings, split_address

Result = Literal["ok", "warning", "failed", "unknown"]

TIMEOUT = aiohttp.ClientTimeout(total=2)
QUIET = timedelta(minutes=15)
COLLECTOR_GONE = timedelta(minutes=2)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing, tried out.

    Attributes:
        finding: what was found, for a person.
        fix: what to do; empty where all is well.
        address, label: where that is done, on these pages.
    """

    name: str
    title: str
    result: Result
    finding: str
    fix: str = ""
    address: str = ""
    label: str = ""

    def document(self) -> dict[str, str]:
        return {
            "name": self.name,
            "title": self.title,
            "result": self.result,
            "finding": self.finding,
            "fix": self.fix,
        }


@dataclass(frozen=True, slots=True)
class Stored:
    """What the ledger says of itself: the newest request, of all and of the proxy, and how many there are."""

    newest: datetime | None
    proxied: datetime | None
    in_range: int
    without_conditions: int
    gateways: tuple[GatewayState, ...]
    gaps: tuple[GatewayGap, ...]


async def checks(settings: Settings, ledger: Ledger, chosen: Selection | None = None) -> Sequence[Check]:
    """All checks, at once.

    Args:
        chosen: the time and conditions of a view that shows nothing.
    """
    now, console = datetime.now(UTC), settings.console
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        stored, proxy, exporter, scraped = await asyncio.gather(
            _stored(ledger, chosen, now),
            _answers(session, (console.proxy_url or _local(settings.server.listen_addr)) + "/healthz"),
            _answers(session, (console.exporter_url or _local(settings.exporter.listen_addr)) + "/healthz"),
            _targets(session, console.prometheus_url),
        )
    found = [_ledger_check(ledger, stored), _proxy_check(settings, proxy, stored, now)]
    found += [_exporter_check(settings, exporter), prometheus_check(settings, scraped)]
    if isinstance(stored, Stored):
        found += _gateway_checks(stored, now)
        found += [_range_check(stored, chosen, now)] if chosen else []
    return [*found, _zone_check(chosen, now)]


async def _stored(ledger: Ledger, chosen: Selection | None, now: datetime) -> Stored | LedgerError:
    def asked(connection: Connection, book: PriceBook) -> Stored:
        where = chosen.where if chosen else RequestFilter(now - DAY, now)
        proxied = RequestFilter(now - 90 * DAY, now + DAY, source=("proxy", None))
        last = queries.page(connection, proxied, book, size=1).rows
        of_any = RequestFilter(where.since, where.until)
        return Stored(
            newest=queries.newest_request(connection),
            proxied=last[0].requested_at if last else None,
            in_range=queries.totals(connection, where, book, durations=False).requests,
            without_conditions=queries.totals(connection, of_any, book, durations=False).requests,
            gateways=states.read(connection),
            gaps=gaps.between(connection, now - DAY, now),
        )

    try:
        return await ledger.ask(asked)
    except LedgerError as error:
        return error


async def _answers(session: aiohttp.ClientSession, url: str) -> str:
    """Nothing where it answers; else what is wrong."""
    try:
        async with session.get(url, allow_redirects=False) as response:
            return "" if response.status == 200 else f"{url} answers {response.status}"
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return f"{url} does not answer ({type(error).__name__})"


Targets = dict[str, list[tuple[str, str]]]
"""Job -> the health and the HOST:PORT of each of its targets."""


async def _targets(session: aiohttp.ClientSession, base: str) -> Targets | str:
    """What is scraped; else what is wrong."""
    url = f"{base.rstrip('/')}/api/v1/targets?state=active"
    try:
        async with session.get(url, allow_redirects=False) as response:
            if response.status != 200:
                return f"{base} answers {response.status}"
            body: Any = await response.json(content_type=None)
        found: Targets = {}
        for target in body["data"]["activeTargets"]:
            where = urlsplit(str(target["scrapeUrl"])).netloc
            found.setdefault(str(target["labels"]["job"]), []).append((str(target["health"]), where))
        return found
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return f"{base} does not answer ({type(error).__name__})"
    except (KeyError, TypeError, ValueError):
        return f"{base} is not a Prometheus server"


def _ledger_check(ledger: Ledger, stored: Stored | LedgerError) -> Check:
    name, title = "ledger_written", "Ledger receives requests"
    if not ledger.exists:
        fix = "Start the proxy (./dev -s up): it creates the ledger. Or point [storage] at an existing one."
        return Check(name, title, "failed", f"No ledger at {ledger.url.database}", fix)
    if isinstance(stored, LedgerError):
        return Check(name, title, "failed", str(stored), "See the proxy's log for details.")
    if stored.newest is None:
        fix = "Send one request through the proxy; it is stored within a second."
        return Check(name, title, "warning", "The ledger is empty", fix)
    return Check(name, title, "ok", f"Newest request {f.ago(stored.newest, datetime.now(UTC))}")


def _proxy_check(settings: Settings, problem: str, stored: Stored | LedgerError, now: datetime) -> Check:
    name, title = "traffic_reaches_proxy", "Proxy receives traffic"
    base = _local(settings.server.listen_addr) + settings.server.public_base_path
    use = f"Point your client to it: export OPENAI_BASE_URL={base}"
    if problem:
        return Check(name, title, "failed", problem, "Start it: ./dev -s up, or python -m proxy")
    newest = stored.proxied if isinstance(stored, Stored) else None
    if newest is None:
        return Check(name, title, "warning", "The proxy is running but has not received any requests", use)
    if now - newest > QUIET:
        return Check(name, title, "warning", f"Running; last request {f.ago(newest, now)}", use)
    return Check(name, title, "ok", f"Running; last request {f.ago(newest, now)}")


def _exporter_check(settings: Settings, problem: str) -> Check:
    name, title = "exporter_runs", "Exporter is running"
    if problem:
        return Check(name, title, "failed", problem, "Start it: ./dev -s up, or python -m exporter")
    return Check(name, title, "ok", f"Listening on {settings.exporter.listen_addr}")


def prometheus_check(settings: Settings, scraped: Targets | str) -> Check:
    """Whether proxy and exporter are scraped, every target of theirs."""
    name, title = "prometheus_scrapes", "Prometheus scrapes proxy and exporter"
    if isinstance(scraped, str):
        fix = "Needed for Grafana, not for this page. Start Prometheus, or set console.prometheus_url."
        return Check(name, title, "warning", scraped, fix)
    jobs = (settings.rules.proxy_job, settings.rules.exporter_job)
    down = [f"{job} is not scraped" for job in jobs if job not in scraped]
    targets = [(job, *target) for job in jobs for target in scraped.get(job, [])]
    down += [f"{job} at {where} is {health}" for job, health, where in targets if health != "up"]
    if down:
        fix = "Rebuild its configuration (./dev -s build) and reload Prometheus. See /runbooks/scrape-lost"
        return Check(name, title, "failed", "; ".join(down), fix)
    # Where it scrapes is shown: another stack on this machine has jobs of the same names.
    return Check(name, title, "ok", "up: " + ", ".join(f"{job} at {where}" for job, _, where in targets))


def _gateway_checks(stored: Stored, now: datetime) -> list[Check]:
    if not stored.gateways:
        return [
            Check(
                "collector",
                "Collected gateways",
                "unknown",
                "No gateways configured",
                "Optional: see [collector] in docs/configuration.md.",
            )
        ]
    return [check for state in stored.gateways for check in _of_gateway(state, stored, now)]


def _of_gateway(state: GatewayState, stored: Stored, now: datetime) -> list[Check]:
    name = state.name
    found = [_collector_check(state, now)]
    for check in state.checks:
        title = f"{f.text(name, 40)}: {check.name.replace('_', ' ')}"
        result = _result(check)
        fix = _fix(check.name, state.state) if result in ("failed", "warning") else ""
        found.append(Check(f"gateway_{check.name}", title, result, f.failure(check.detail), fix))
    lost = [gap for gap in stored.gaps if gap.gateway == name]
    if lost:
        reasons = ", ".join(sorted({gap.reason.replace("_", " ") for gap in lost}))
        gaps_found = "1 gap" if len(lost) == 1 else f"{len(lost)} gaps"
        finding = f"{gaps_found} in the last 24 h ({reasons}): events in these intervals may be missing"
        fix = "Keep the collector running, and set the queue's retention to 3600 s. Expired events are lost."
        found.append(Check("gateway_gaps", f"{f.text(name, 40)}: completeness", "warning", finding, fix))
    return found


def _result(check: GatewayCheck) -> Result:
    if check.result == "failed":
        return "warning" if check.name == "retention" else "failed"
    return "ok" if check.result == "ok" else "unknown"


_FIXES = {
    "retention": "Set redis-usage-queue-retention-seconds to 3600, its maximum.",
    "second_consumer": "Run only one consumer per queue; two consumers split the data.",
    "inbox": "Free disk space at collector.inbox_path, or make it writable for the collector.",
}
_STATE_FIXES = {
    "unreachable": "Check the gateway's address in [collector], and that it is running.",
    "not_redis": "Connect directly to the gateway's port 8317: RESP cannot pass an HTTP reverse proxy. "
    'Or set transport = "http".',
    "refused": "Set the management key; after five failed attempts it bans this host for 30 minutes.",
    "waiting": "Set the correct management key; it is retried once a minute to avoid a ban.",
    "banned": "Set the correct management key, then wait for the ban to expire or restart the gateway.",
    "no_key": "Provide the environment variable or file that this gateway's key in [collector] refers to.",
    "home": "Collect from the Home that governs this node.",
    "management_off": "Set remote-management.secret-key in the gateway's configuration (and allow-remote, "
    "where the collector runs on another machine).",
    "too_old": "Upgrade the gateway: the queue needs 6.10.8 or later, 7.1.39 is recommended.",
    "publishing_off": "Set usage-statistics-enabled: true in the gateway's configuration.",
    "stopped": "Start the collector: python -m collector",
}
"""What to do where a gateway's state is not well."""


def _fix(check: str, state: str) -> str:
    return _FIXES.get(check) or _STATE_FIXES.get(state, "Check in progress; reload in a minute.")


def _collector_check(state: GatewayState, now: datetime) -> Check:
    title = f"{f.text(state.name, 40)}: collector connected"
    last = f"last event {f.ago(state.last_event_at, now)}"
    if now - state.updated_at > COLLECTOR_GONE:
        finding = f"The collector last reported {f.ago(state.updated_at, now)}; {last}"
        return Check("collector_connected", title, "failed", finding, "Start it: python -m collector")
    if state.problem or state.state != "collecting":
        finding = f"{f.text(state.state, 40)}: {f.failure(state.problem)}; {last}"
        fix = _STATE_FIXES.get(state.state, "See the checks of this gateway below.")
        return Check("collector_connected", title, "failed", finding, fix)
    return Check("collector_connected", title, "ok", f"Connected via {state.transport}; {last}")


def _range_check(stored: Stored, chosen: Selection, now: datetime) -> Check:
    name, title = "range_and_filters", "Time range and filters"
    if stored.in_range:
        return Check(name, title, "ok", f"{f.number(stored.in_range)} matching requests")
    if stored.without_conditions:
        finding = (
            f"{f.number(stored.without_conditions)} requests in this time range, none matches the filters"
        )
        return Check(name, title, "failed", finding, "Remove filters.", f"/{chosen.cleared}", "Clear all")
    if stored.newest is None:
        return Check(name, title, "unknown", "The ledger has no requests")
    finding = f"No requests in this time range; the newest was {f.ago(stored.newest, now)}"
    longer = chosen.over("now-90d", "now")
    return Check(name, title, "failed", finding, "Choose a longer time range.", f"/{longer}", "90 days")


def _zone_check(chosen: Selection | None, now: datetime) -> Check:
    zone = chosen.range.zone if chosen else None
    shown = f.moment(now, zone) if zone else f.iso(now)
    finding = f"{shown}; times are shown in {zone.key if zone else 'UTC'}"
    return Check("zone", "Time zone and clock", "ok", finding)


def _local(address: str) -> str:
    host, port = split_address(address)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
