"""What the dashboard of the metering itself asks."""

from __future__ import annotations

from dashboards.queries.query import RANGE, READ_BUCKETS, STEP, WINDOW, Query, stepped
from metrics import collector, exporter, proxy
from metrics import recorded as names
from metrics.family import MetricFamily
from prometheus.config import RuleConfig
from prometheus.promql import (
    Matcher,
    buckets,
    equal,
    increase,
    matching,
    one_of,
    quantile,
    rate,
    select,
    total,
)

SCRAPED_WITHIN = "6h"
"""How far back the last scrape is looked for."""

MAX_GAPS = 6
"""Bars of gaps, the longest first: more would not be readable, and most are 0."""


def targets_up(config: RuleConfig) -> Query:
    """1 for each target whose last scrape succeeded, else 0."""
    return Query(_ours(names.UP, config), "{{job}} {{instance}}", instant=True)


def firing_alerts() -> Query:
    """Our alerts that fire, each with the number of things that it fires for. The one that always does, so
    that somebody misses it, is not among them."""
    ours = matching("alertname", "Quotascope.+"), Matcher("severity", "!=", "none")
    firing = select(names.ALERTS, equal("alertstate", "firing"), *ours)
    return Query(f"count by (alertname, severity) ({firing})", "{{alertname}}", instant=True)


def since_scrape(config: RuleConfig) -> Query:
    """Seconds since the last scrape of each target that succeeded, in the last hours."""
    up = _ours(names.UP, config)
    succeeded = f"(timestamp({up}) and {up} == 1)"
    # The subquery is asked at full minutes: of a target that answers, the last scrape is known exactly.
    seen = f"{succeeded} or max_over_time({succeeded}[{SCRAPED_WITHIN}:1m])"
    return Query(f"time() - max by (job, instance) ({seen})", "{{job}} {{instance}}", instant=True)


def store_size(config: RuleConfig) -> Query:
    """Bytes of the ledger, or of the store that an exporter reads, by exporter."""
    return stepped(Query(f"max by (instance) ({select(exporter.STORE_BYTES)})", "{{instance}}"), config)


def scrape_success(config: RuleConfig) -> Query:
    """Share of the scrapes that succeeded, by target."""
    succeeded = f"avg_over_time({_ours(names.UP, config)}[{WINDOW}])"
    return stepped(Query(succeeded, "{{job}} {{instance}}"), config)


def scrape_seconds(config: RuleConfig) -> Query:
    """Seconds that the slowest scrape took, by job."""
    slowest = f"max by (job) ({_peak(_ours(names.SCRAPE_SECONDS, config))})"
    return stepped(Query(slowest, "{{job}}"), config)


def scrape_samples(config: RuleConfig) -> Query:
    """Samples of one scrape, by job, after relabelling."""
    return stepped(Query(total(_ours(names.SCRAPE_SAMPLES, config), "job"), "{{job}}"), config)


def buffer(config: RuleConfig) -> tuple[Query, Query]:
    """Finished requests that wait to be stored, and that may wait before any is dropped."""
    return (
        stepped(Query(total(_peak(select(proxy.BUFFER_SIZE))), "Waiting"), config),
        stepped(Query(total(select(proxy.BUFFER_CAPACITY)), "Room"), config),
    )


def dropped() -> tuple[Query, Query]:
    """What was lost over the panel's range: finished requests, and entries of the body log."""
    return (
        Query(total(increase(select(proxy.BUFFER_DROPPED), RANGE)), "Requests", instant=True),
        Query(total(increase(select(proxy.BODY_LOG_DROPPED), RANGE)), "Body log entries", instant=True),
    )


def ledger_lag(config: RuleConfig) -> Query:
    """Seconds since the newest stored request, for as long as requests are counted."""
    lag = f"max_over_time(clamp_min(time() - max({select(exporter.NEWEST_REQUEST)}), 0)[{STEP}:1m])"
    traffic = f"{total(rate(select(names.REQUESTS), WINDOW))} > 0"
    return stepped(Query(f"{lag} and ({traffic})", "Behind"), config)


def collector_seconds(config: RuleConfig) -> Query:
    """Seconds that each of the exporter's collectors took."""
    slowest = f"max by (collector) ({_peak(select(exporter.COLLECTOR_DURATION))})"
    return stepped(Query(slowest, "{{collector}}"), config)


def collector_success() -> Query:
    """1 for each collector that could read its data, else 0."""
    return Query(f"min by (collector) ({select(exporter.COLLECTOR_SUCCESS)})", "{{collector}}", instant=True)


def http_by_status(config: RuleConfig) -> Query:
    """HTTP requests a minute to the proxy, by status code."""
    counted = total(rate(select(proxy.HTTP_REQUESTS), WINDOW), "status")
    return stepped(Query(f"{counted} * 60 > 0", "{{status}}"), config)


def http_seconds(config: RuleConfig) -> Query:
    """Seconds below which 95 of 100 HTTP requests stay."""
    measured = rate(buckets(proxy.HTTP_DURATION), READ_BUCKETS)
    return stepped(Query(quantile(0.95, measured), "p95"), config)


def gateways_connected() -> Query:
    """1 for each gateway that is collected from, else 0."""
    return Query(f"min by (gateway) ({select(collector.CONNECTED)})", "{{gateway}}", instant=True)


def gateway_events(config: RuleConfig) -> Query:
    """Events a minute, by gateway and by the way they came."""
    received = total(rate(select(collector.EVENTS), WINDOW), "gateway", "transport")
    return stepped(Query(f"{received} * 60 > 0", "{{gateway}} {{transport}}"), config)


def gateway_gaps() -> Query:
    """Seconds of the panel's range in which events may have been lost, by gateway and by what happened."""
    lost = total(increase(select(collector.GAP_SECONDS), RANGE), "gateway", "reason")
    return Query(f"topk({MAX_GAPS}, {lost})", "{{gateway}} {{reason}}", instant=True)


def inbox(config: RuleConfig) -> Query:
    """Received items that wait to be stored."""
    return stepped(Query(total(_peak(select(collector.PENDING))), "Waiting"), config)


def gateway_silence(config: RuleConfig) -> Query:
    """Seconds since the newest event of each gateway."""
    age = f"clamp_min(time() - max by (gateway) ({select(collector.LAST_EVENT)}), 0)"
    return stepped(Query(age, "{{gateway}}"), config)


def _ours(family: MetricFamily, config: RuleConfig) -> str:
    return select(family, one_of("job", (config.proxy_job, config.exporter_job, config.collector_job)))


def _peak(selector: str) -> str:
    """The most within each step of a line: a peak between two points is what one looks for."""
    return f"max_over_time({selector}[{STEP}])"
