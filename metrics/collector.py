"""Every family that the collector exports, declared as data. Its counters live in its inbox: they survive
its end, and count each event once however often it is killed."""

from __future__ import annotations

from metrics import proxy
from metrics.family import MetricFamily

EVENTS = MetricFamily(
    "codex_lb_collector_events_total",
    "counter",
    "Events that were received and are new, by gateway and by the way they came.",
    ("gateway", "transport"),
)
PENDING = MetricFamily(
    "codex_lb_collector_inbox_pending", "gauge", "Received items that are not in the ledger yet."
)
UNDECODABLE = MetricFamily(
    "codex_lb_collector_undecodable_total",
    "counter",
    "Received items that this version cannot read; they stay in the inbox.",
    ("gateway",),
)
CONNECTED = MetricFamily(
    "codex_lb_collector_connected",
    "gauge",
    "1 while events of the gateway are received or asked for, else 0.",
    ("gateway",),
)
GAP_SECONDS = MetricFamily(
    "codex_lb_collector_gap_seconds_total",
    "counter",
    "Seconds in which events of the gateway may have been lost, by what happened; counted at its end.",
    ("gateway", "reason"),
    unit="seconds",
)
GAPS = MetricFamily(
    "codex_lb_collector_gaps_total",
    "counter",
    "Times that events of the gateway may have been lost, by what happened.",
    ("gateway", "reason"),
)
LAST_EVENT = MetricFamily(
    "codex_lb_collector_last_event_timestamp_seconds",
    "gauge",
    "When the newest event of the gateway was received, in seconds since 1970.",
    ("gateway",),
    unit="seconds",
)

OWN: tuple[MetricFamily, ...] = (
    EVENTS,
    PENDING,
    UNDECODABLE,
    CONNECTED,
    GAP_SECONDS,
    GAPS,
    LAST_EVENT,
)

SHARED: tuple[MetricFamily, ...] = (
    proxy.REQUESTS,
    proxy.ERRORS,
    proxy.LATENCY,
    proxy.TIME_TO_FIRST_TOKEN,
    proxy.TOKENS,
    proxy.COST,
    proxy.UNPRICED,
    proxy.ACCOUNT_REQUESTS,
    proxy.ACCOUNT_TOKENS,
    proxy.ACCOUNT_COST,
    proxy.ACCOUNT_UNPRICED,
    proxy.ACCOUNT_ERRORS,
    proxy.HTTP_REQUESTS,
    proxy.HTTP_DURATION,
    proxy.API_KEY_REQUESTS,
    proxy.KEY_ERRORS,
    proxy.KEY_COST,
    proxy.PROJECT_REQUESTS,
    proxy.PROJECT_COST,
    proxy.KEY_PROMPT_TOKENS,
    proxy.KEY_COMPLETION_TOKENS,
    proxy.KEY_TOKENS,
)
"""The proxy's families, of collected requests; the label `job` tells the two apart."""

FAMILIES = (*OWN, *SHARED)
