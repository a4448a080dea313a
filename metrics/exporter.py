"""Every family that the exporter exports, declared as data."""

from __future__ import annotations

from metrics.family import MetricFamily

ACCOUNTS = MetricFamily("codex_lb_accounts_total", "gauge", "Accounts by status.", ("status",))
IDENTITY = MetricFamily(
    "codex_lb_account_identity",
    "gauge",
    "Always 1: joins account_id to the name that people know and to the plan.",
    ("account_id", "display", "plan_type"),
)
ACCOUNT_STATUS = MetricFamily(
    "codex_lb_account_status",
    "gauge",
    "Always 1: the status that the account has now.",
    ("account_id", "status"),
)
PRIMARY_USED = MetricFamily(
    "codex_lb_primary_used_percent",
    "gauge",
    "How much of the short quota window is used, 0 to 100; 0 once its reset time has passed.",
    ("account_id",),
)
SECONDARY_USED = MetricFamily(
    "codex_lb_secondary_used_percent",
    "gauge",
    "How much of the weekly quota window is used, 0 to 100; 0 once its reset time has passed.",
    ("account_id",),
)
PRIMARY_RESET = MetricFamily(
    "codex_lb_primary_reset_at_seconds",
    "gauge",
    "When the short quota window ends, in seconds since 1970, as last reported by the provider.",
    ("account_id",),
    unit="seconds",
)
SECONDARY_RESET = MetricFamily(
    "codex_lb_secondary_reset_at_seconds",
    "gauge",
    "When the weekly quota window ends, in seconds since 1970, as last reported by the provider.",
    ("account_id",),
    unit="seconds",
)
PRIMARY_WINDOW = MetricFamily(
    "codex_lb_primary_window_minutes",
    "gauge",
    "Length of the short quota window in minutes.",
    ("account_id",),
    unit="minutes",
)
SECONDARY_WINDOW = MetricFamily(
    "codex_lb_secondary_window_minutes",
    "gauge",
    "Length of the weekly quota window in minutes.",
    ("account_id",),
    unit="minutes",
)
PRIMARY_CREDITS = MetricFamily(
    "codex_lb_primary_remaining_credits",
    "gauge",
    "Credits left in the five-hour window, by the capacity of the plan.",
    ("account_id",),
)
SECONDARY_CREDITS = MetricFamily(
    "codex_lb_secondary_remaining_credits",
    "gauge",
    "Credits left in the seven-day window, by the capacity of the plan.",
    ("account_id",),
)
SECONDARY_RESETS = MetricFamily(
    "codex_lb_secondary_resets_total",
    "counter",
    "Resets of the weekly quota window that this exporter has seen.",
    ("account_id",),
)
ACCOUNT_CYCLE_COST = MetricFamily(
    "codex_lb_proxy_account_cycle_cost_usd",
    "gauge",
    "US dollars spent since the weekly reset, at most seven days back, whether or not there is an estimate.",
    ("account_id",),
    unit="usd",
)
ACCOUNT_COST_7D = MetricFamily(
    "codex_lb_proxy_account_cost_usd_7d",
    "gauge",
    "US dollars that the implied quota is made of; absent, as its other part, where that is suppressed.",
    ("account_id",),
    unit="usd",
)
ACCOUNT_UNPRICED_7D = MetricFamily(
    "codex_lb_proxy_account_unpriced_requests_7d",
    "gauge",
    "Requests in the time of the seven-day cost that have no price, and so no part in it.",
    ("account_id",),
)
USED_DELTA_7D = MetricFamily(
    "codex_lb_secondary_used_percent_delta_pp_7d",
    "gauge",
    "Percentage points of the week that the implied quota is made of; absent where it is suppressed.",
    ("account_id",),
)
IMPLIED_QUOTA_7D = MetricFamily(
    "codex_lb_secondary_implied_quota_usd_7d",
    "gauge",
    "US dollars that the whole weekly window is worth, by the spend per percent so far; NaN at 0 percent.",
    ("account_id",),
    unit="usd",
)
ESTIMATE_SUPPRESSED = MetricFamily(
    "codex_lb_secondary_quota_estimate_suppressed",
    "gauge",
    "Always 1: why no implied quota is given for an account.",
    ("account_id", "reason"),
)
UNEXPLAINED_7D = MetricFamily(
    "codex_lb_secondary_unexplained_percent_7d",
    "gauge",
    "Percentage points by which the weekly window rose while no request was made here: use beyond the proxy.",
    ("account_id",),
)
WINDOW_USED = MetricFamily(
    "codex_lb_window_used_percent",
    "gauge",
    "How much of each usage window is used, 0 to 100, by its length (5h, 7d, 30d) or its model's name.",
    ("account_id", "window"),
)
WINDOW_RESET = MetricFamily(
    "codex_lb_window_reset_at_seconds",
    "gauge",
    "When each usage window ends, in seconds since 1970, as last reported by the provider.",
    ("account_id", "window"),
    unit="seconds",
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
STORE_BYTES = MetricFamily(
    "codex_lb_exporter_store_bytes",
    "gauge",
    "Size of the store that is read: of the SQLite file, or of the PostgreSQL database.",
    unit="bytes",
)
UNREADABLE_ROWS = MetricFamily(
    "codex_lb_exporter_unreadable_rows",
    "gauge",
    "Rows of the store that could not be understood and do not count.",
    ("table",),
)

FAMILIES: tuple[MetricFamily, ...] = (
    ACCOUNTS,
    IDENTITY,
    ACCOUNT_STATUS,
    PRIMARY_USED,
    SECONDARY_USED,
    PRIMARY_RESET,
    SECONDARY_RESET,
    PRIMARY_WINDOW,
    SECONDARY_WINDOW,
    PRIMARY_CREDITS,
    SECONDARY_CREDITS,
    SECONDARY_RESETS,
    ACCOUNT_CYCLE_COST,
    ACCOUNT_COST_7D,
    ACCOUNT_UNPRICED_7D,
    USED_DELTA_7D,
    IMPLIED_QUOTA_7D,
    ESTIMATE_SUPPRESSED,
    UNEXPLAINED_7D,
    WINDOW_USED,
    WINDOW_RESET,
    COLLECTOR_SUCCESS,
    COLLECTOR_DURATION,
    NEWEST_REQUEST,
    STORE_BYTES,
    UNREADABLE_ROWS,
)
