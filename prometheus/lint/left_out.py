"""Families that are exported and deliberately neither charted nor alerted on, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping

from metrics import collector as collector_metrics
from metrics import exporter as exporter_metrics
from metrics import proxy as proxy_metrics

_SHORT_WINDOW = "the five-hour window renews before anybody could plan by it; its used percent is charted"

_FEW_REPORT = "few providers say what a request cost; docs/prices.md has the query that compares"

LEFT_OUT: Mapping[str, str] = {
    exporter_metrics.PRIMARY_CREDITS.name: _SHORT_WINDOW,
    exporter_metrics.PRIMARY_RESET.name: _SHORT_WINDOW,
    exporter_metrics.PRIMARY_WINDOW.name: _SHORT_WINDOW,
    exporter_metrics.ACCOUNT_UNPRICED_7D.name: "the counter of unpriced requests is charted, with the reason",
    exporter_metrics.ACCOUNT_COST_7D.name: "the cost of the cycle is charted, which is always there",
    exporter_metrics.UNREADABLE_ROWS.name: "the log names table and row, which a count cannot",
    collector_metrics.GAPS.name: "how long gaps were says more than how many there were",
    proxy_metrics.BUDGET_CHARGED.name: "the page shows what a key may spend; refusals are alerted on",
    proxy_metrics.PROJECT_REQUESTS.name: "cost by project is charted; the page lists its requests",
    proxy_metrics.REPORTED_COST.name: _FEW_REPORT,
    proxy_metrics.REPORTED_COST_OURS.name: _FEW_REPORT,
    proxy_metrics.OUTBOX_BYTES.name: "where the outbox does not empty, OutboxWaiting fires",
    proxy_metrics.OUTBOX_REFUSED.name: "the log and `ledger stats` say why, which a count cannot",
    proxy_metrics.LOOP_LAG.name: "the latency that it causes is charted and alerted on; it tells why",
    proxy_metrics.LB_REFRESHES.name: "the age of what was read last is charted, and says the same",
}
