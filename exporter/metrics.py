"""Every family that the exporter exports, declared as data."""

from __future__ import annotations

from ledger.families import MetricFamily

ACCOUNTS = MetricFamily("codex_lb_accounts_total", "gauge", "Accounts by status.", ("status",))
IDENTITY = MetricFamily(
    "codex_lb_account_identity",
    "gauge",
    "Always 1: joins account_id to the name that people know and to the plan.",
    ("account_id", "display", "plan_type"),
)
ACCOUNT_COST_7D = MetricFamily(
    "codex_lb_proxy_account_cost_usd_7d",
    "gauge",
    "US dollars spent by an account in the last seven days; requests without a price are not in it.",
    ("account_id",),
    unit="usd",
)
ACCOUNT_UNPRICED_7D = MetricFamily(
    "codex_lb_proxy_account_unpriced_requests_7d",
    "gauge",
    "Requests of an account in the last seven days that have no price, and so no part in its cost.",
    ("account_id",),
)
COLLECTOR_SUCCESS = MetricFamily(
    "codex_lb_exporter_collector_success", "gauge", "1 if the collector could read its data.", ("collector",)
)
COLLECTOR_DURATION = MetricFamily(
    "codex_lb_exporter_collector_duration_seconds",
    "gauge",
    "Seconds that the collector took.",
    ("collector",),
    unit="seconds",
)
NEWEST_REQUEST = MetricFamily(
    "codex_lb_exporter_newest_request_timestamp_seconds",
    "gauge",
    "When the newest stored request ended, in seconds since 1970.",
    unit="seconds",
)

FAMILIES: tuple[MetricFamily, ...] = (
    ACCOUNTS,
    IDENTITY,
    ACCOUNT_COST_7D,
    ACCOUNT_UNPRICED_7D,
    COLLECTOR_SUCCESS,
    COLLECTOR_DURATION,
    NEWEST_REQUEST,
)
