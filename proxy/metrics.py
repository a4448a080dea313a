"""Every family that the proxy exports, declared as data. Counters live in the process and reset with it."""

from __future__ import annotations

from ledger.families import MetricFamily

LATENCY_MS_BUCKETS = (
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    20_000.0,
    30_000.0,
    60_000.0,
    120_000.0,
    300_000.0,
    600_000.0,
    900_000.0,
)
"""25 ms to 15 min: from a refused request to the longest reasoning turn."""

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
    "Tokens as the provider reported them; cached_input is part of input, reasoning is part of output.",
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
UNPRICED = MetricFamily(
    "codex_lb_proxy_unpriced_success_total",
    "counter",
    "Successful requests that could not be priced, by reason.",
    ("api", "reason"),
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
BUFFER_SIZE = MetricFamily(
    "codex_lb_request_log_buffer_size", "gauge", "Finished requests that wait to be stored in the ledger."
)
BUFFER_DROPPED = MetricFamily(
    "codex_lb_request_log_buffer_dropped_total",
    "counter",
    "Finished requests that were lost because the buffer was full while the ledger could not be written.",
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
    UNPRICED,
    ACCOUNT_REQUESTS,
    ACCOUNT_TOKENS,
    ACCOUNT_COST,
    ACCOUNT_UNPRICED,
    ACCOUNT_ERRORS,
    BUFFER_SIZE,
    BUFFER_DROPPED,
    BODY_LOG_DROPPED,
    HTTP_REQUESTS,
    HTTP_DURATION,
    API_KEY_REQUESTS,
    KEY_PROMPT_TOKENS,
    KEY_COMPLETION_TOKENS,
    KEY_TOKENS,
)
