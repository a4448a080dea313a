"""Every family that the proxy exports, declared as data. Counters live in the process and reset with it."""

from __future__ import annotations

from metrics.family import MetricFamily

LATENCY_MS_BUCKETS = (
    *(25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 20_000.0, 30_000.0, 60_000.0),
    *(120_000.0, 300_000.0, 600_000.0, 900_000.0),
)
"""25 ms to 15 min: from a refused request to the longest reasoning turn."""

SCORE_BUCKETS = (1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2)
"""A free account with a week to go has a score of 8e-7, a pro account in its last minute one of 0.017."""

HTTP_SECONDS_BUCKETS = tuple(ms / 1000 for ms in LATENCY_MS_BUCKETS)

REQUESTS = MetricFamily(
    "codex_lb_proxy_requests_total",
    "counter",
    "Requests by outcome: success, error, cancelled (the client went away).",
    ("status", "model", "api"),
)
ERRORS = MetricFamily(
    "codex_lb_proxy_errors_total", "counter", "Failed requests by the provider's error code.", ("error_code",)
)
LATENCY = MetricFamily(
    "codex_lb_proxy_latency_ms",
    "histogram",
    "Milliseconds from a request's arrival to the last byte of its answer; without cancelled requests.",
    ("model", "api"),
    unit="milliseconds",
    buckets=LATENCY_MS_BUCKETS,
)
TIME_TO_FIRST_TOKEN = MetricFamily(
    "codex_lb_proxy_time_to_first_token_ms",
    "histogram",
    "Milliseconds from a request's arrival to the first generated token of a stream.",
    ("model", "api"),
    unit="milliseconds",
    buckets=LATENCY_MS_BUCKETS,
)
TOKENS = MetricFamily(
    "codex_lb_proxy_tokens_total",
    "counter",
    "Tokens as the provider reported them; cached_input and cache_write are part of input, "
    "reasoning is part of output.",
    ("kind", "model"),
    unit="tokens",
)
COST = MetricFamily(
    "codex_lb_proxy_cost_usd_total",
    "counter",
    "US dollars of the requests that have a price; see the unpriced counter for the rest.",
    ("model",),
    unit="usd",
)
REPORTED_COST = MetricFamily(
    "codex_lb_proxy_reported_cost_usd_total",
    "counter",
    "US dollars that providers themselves say that their requests cost, of those that have a price here too.",
    ("provider",),
    unit="usd",
)
REPORTED_COST_OURS = MetricFamily(
    "codex_lb_proxy_reported_cost_ours_usd_total",
    "counter",
    "What the same requests cost by our prices; the difference is what one of the two has wrong.",
    ("provider",),
    unit="usd",
)
UNPRICED = MetricFamily(
    "codex_lb_proxy_unpriced_success_total",
    "counter",
    "Successful requests that could not be priced, by reason.",
    ("api", "reason"),
)
UNMETERED = MetricFamily(
    "codex_lb_proxy_unmetered_total",
    "counter",
    "Successful requests that cost, or may cost, and whose usage is not known, by route template.",
    ("api", "path"),
)
IMPLAUSIBLE = MetricFamily(
    "codex_lb_proxy_implausible_usage_total",
    "counter",
    "Requests with reported numbers that make no sense; these are left out of every sum.",
    ("api",),
)
ACCOUNT_REQUESTS = MetricFamily(
    "codex_lb_proxy_account_requests_total",
    "counter",
    "Requests by account and outcome.",
    ("account_id", "status", "api"),
)
ACCOUNT_TOKENS = MetricFamily(
    "codex_lb_proxy_account_tokens_total",
    "counter",
    "Tokens by account.",
    ("account_id", "kind", "api"),
    unit="tokens",
)
ACCOUNT_COST = MetricFamily(
    "codex_lb_proxy_account_cost_usd_total",
    "counter",
    "US dollars of the priced requests by account.",
    ("account_id", "api"),
    unit="usd",
)
ACCOUNT_UNPRICED = MetricFamily(
    "codex_lb_proxy_account_unpriced_success_total",
    "counter",
    "Successful requests without a price by account and reason.",
    ("account_id", "api", "reason"),
)
ACCOUNT_ERRORS = MetricFamily(
    "codex_lb_proxy_account_errors_total",
    "counter",
    "Failed requests by account and class of error.",
    ("account_id", "error_class"),
)
RETRIES = MetricFamily(
    "codex_lb_proxy_retries_total",
    "counter",
    "Attempts that failed and were followed by another one, by the class of the error.",
    ("api", "error_class"),
)
ACCOUNT_RETRIES = MetricFamily(
    "codex_lb_proxy_account_retries_total",
    "counter",
    "Attempts on an account that failed and were followed by another one.",
    ("account_id", "api", "error_class"),
)
LB_SELECT = MetricFamily(
    "codex_lb_lb_select_total",
    "counter",
    "Tries to choose an account from a pool, by what came of it.",
    ("pool", "sticky_backend", "reallocate_sticky", "outcome"),
)
LB_SELECTED_TIER = MetricFamily(
    "codex_lb_lb_selected_tier_total",
    "counter",
    "Accounts that were chosen, by the tier of their plan.",
    ("pool", "sticky_backend", "reallocate_sticky", "tier"),
)
LB_TIER_SCORE = MetricFamily(
    "codex_lb_lb_tier_score",
    "histogram",
    "Scores of the accounts that were chosen: tier weight per second until the weekly reset.",
    ("pool", "sticky_backend", "reallocate_sticky", "tier"),
    buckets=SCORE_BUCKETS,
)
LB_MARK = MetricFamily(
    "codex_lb_lb_mark_total",
    "counter",
    "What was noticed of accounts that failed.",
    ("event", "account_id"),
)
LB_PERMANENT = MetricFamily(
    "codex_lb_lb_mark_permanent_failure_total",
    "counter",
    "Failures that do not pass by themselves, by their code.",
    ("code",),
)
LB_REFRESHES = MetricFamily(
    "codex_lb_lb_snapshot_refresh_total", "counter", "Times that the accounts were read from the ledger."
)
LB_UPDATED_AT = MetricFamily(
    "codex_lb_lb_snapshot_updated_at_seconds",
    "gauge",
    "When the accounts were last read from the ledger, in seconds since 1970.",
    unit="seconds",
)
USAGE_REFRESH_FAILURES = MetricFamily(
    "codex_lb_usage_refresh_failures_total",
    "counter",
    "Polls of accounts' quota, and refreshes of their tokens, that failed.",
    ("status_code", "phase"),
)
BUDGET_HITS = MetricFamily(
    "codex_lb_proxy_budget_hits_total",
    "counter",
    "Requests that were refused because a proxy key's budget is spent.",
    ("api_key", "period"),
)
BUDGET_CHARGED = MetricFamily(
    "codex_lb_proxy_budget_charged_usd_total",
    "counter",
    "US dollars charged to the budgets of proxy keys, by reported counts or by estimate.",
    ("api_key", "basis"),
)
BUFFER_SIZE = MetricFamily(
    "codex_lb_request_log_buffer_size", "gauge", "Finished requests that wait to be stored in the ledger."
)
BUFFER_CAPACITY = MetricFamily(
    "codex_lb_request_log_buffer_capacity",
    "gauge",
    "Finished requests that may wait to be stored before any is dropped.",
)
BUFFER_DROPPED = MetricFamily(
    "codex_lb_request_log_buffer_dropped_total",
    "counter",
    "Finished requests that were lost because the buffer was full while the ledger could not be written.",
)
OUTBOX_SIZE = MetricFamily(
    "codex_lb_proxy_outbox_size",
    "gauge",
    "Finished requests and quota samples in the local outbox, which PostgreSQL does not have yet.",
)
OUTBOX_BYTES = MetricFamily(
    "codex_lb_proxy_outbox_bytes", "gauge", "Bytes that the outbox takes on the disk.", unit="bytes"
)
OUTBOX_REFUSED = MetricFamily(
    "codex_lb_proxy_outbox_refused",
    "gauge",
    "Finished requests and quota samples that PostgreSQL refuses: set aside in the outbox, others go on.",
)
LOOP_LAG = MetricFamily(
    "codex_lb_proxy_loop_lag_seconds",
    "histogram",
    "How late the event loop comes back to what is due, looked at 20 times a second, to the millisecond: "
    "meanwhile no request moves.",
    unit="seconds",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
BODY_LOG_DROPPED = MetricFamily(
    "codex_lb_body_log_dropped_total",
    "counter",
    "Entries of the opt-in body log that were dropped because it could not keep up.",
)
HTTP_REQUESTS = MetricFamily(
    "http_requests_total",
    "counter",
    "HTTP requests by status code, method and route template.",
    ("status", "method", "path"),
)
HTTP_DURATION = MetricFamily(
    "http_request_duration_seconds",
    "histogram",
    "Seconds that HTTP requests took, by method and route template.",
    ("method", "path"),
    unit="seconds",
    buckets=HTTP_SECONDS_BUCKETS,
)
API_KEY_REQUESTS = MetricFamily(
    "api_key_requests_total", "counter", "Requests by masked API key.", ("api_key",)
)
KEY_ERRORS = MetricFamily(
    "api_key_errors_total", "counter", "Failed requests by masked API key.", ("api_key",)
)
KEY_COST = MetricFamily(
    "api_key_cost_usd_total",
    "counter",
    "US dollars of the priced requests by masked API key and model.",
    ("api_key", "model"),
    unit="usd",
)
PROJECT_REQUESTS = MetricFamily(
    "codex_lb_proxy_project_requests_total",
    "counter",
    "Requests that name a project in one of the configured headers, by project.",
    ("project",),
)
PROJECT_COST = MetricFamily(
    "codex_lb_proxy_project_cost_usd_total",
    "counter",
    "US dollars of the priced requests that name a project, by project.",
    ("project",),
    unit="usd",
)
KEY_PROMPT_TOKENS = MetricFamily(
    "token_usage_prompt_total",
    "counter",
    "Input tokens of requests answered 200, by masked API key.",
    ("api_key",),
    unit="tokens",
)
KEY_COMPLETION_TOKENS = MetricFamily(
    "token_usage_completion_total",
    "counter",
    "Output tokens of requests answered 200, by masked API key.",
    ("api_key",),
    unit="tokens",
)
KEY_TOKENS = MetricFamily(
    "token_usage_total",
    "counter",
    "Input and output tokens of requests answered 200, by masked API key.",
    ("api_key",),
    unit="tokens",
)

FAMILIES: tuple[MetricFamily, ...] = (
    REQUESTS,
    ERRORS,
    LATENCY,
    TIME_TO_FIRST_TOKEN,
    TOKENS,
    COST,
    REPORTED_COST,
    REPORTED_COST_OURS,
    UNPRICED,
    UNMETERED,
    IMPLAUSIBLE,
    ACCOUNT_REQUESTS,
    ACCOUNT_TOKENS,
    ACCOUNT_COST,
    ACCOUNT_UNPRICED,
    ACCOUNT_ERRORS,
    RETRIES,
    ACCOUNT_RETRIES,
    LB_SELECT,
    LB_SELECTED_TIER,
    LB_TIER_SCORE,
    LB_MARK,
    LB_PERMANENT,
    LB_REFRESHES,
    LB_UPDATED_AT,
    USAGE_REFRESH_FAILURES,
    BUDGET_HITS,
    BUDGET_CHARGED,
    BUFFER_SIZE,
    BUFFER_CAPACITY,
    BUFFER_DROPPED,
    OUTBOX_SIZE,
    OUTBOX_BYTES,
    OUTBOX_REFUSED,
    LOOP_LAG,
    BODY_LOG_DROPPED,
    HTTP_REQUESTS,
    HTTP_DURATION,
    API_KEY_REQUESTS,
    KEY_ERRORS,
    KEY_COST,
    PROJECT_REQUESTS,
    PROJECT_COST,
    KEY_PROMPT_TOKENS,
    KEY_COMPLETION_TOKENS,
    KEY_TOKENS,
)
