"""Every name that is not a room's own: what the rules record, and what Prometheus adds by itself.

Recorded names say level, metric and operation: `job_instance_model:METRIC:OPERATION`.
"""

from __future__ import annotations

from dataclasses import dataclass

from metrics import proxy as proxy_metrics
from metrics.family import MetricFamily

JOB_AND_INSTANCE = ("job", "instance")
"""Labels that Prometheus puts on everything it scrapes."""

UP = MetricFamily("up", "gauge", "1 if the last scrape of the target succeeded.", JOB_AND_INSTANCE)
SCRAPE_SECONDS = MetricFamily(
    "scrape_duration_seconds", "gauge", "Seconds that the scrape took.", JOB_AND_INSTANCE, unit="seconds"
)
SCRAPE_SAMPLES = MetricFamily(
    "scrape_samples_post_metric_relabeling",
    "gauge",
    "Samples that remained of the scrape after relabelling.",
    JOB_AND_INSTANCE,
)

ALERTS = MetricFamily(
    "ALERTS",
    "gauge",
    "1 for each alert that is pending or firing, beside the labels of its own.",
    ("alertname", "alertstate", "severity"),
)

COST = MetricFamily(
    # Ends in `_total` because Prometheus and Grafana take the ending for the sign of a counter.
    "job_instance_model:codex_lb_proxy_cost_usd:sum_total",
    "counter",
    "US dollars by process and model, once a minute: for windows of more than a day.",
    (*JOB_AND_INSTANCE, "model"),
    unit="usd",
)
MARKS = MetricFamily(
    "job_instance_event:codex_lb_lb_mark:sum_total",
    "counter",
    "Marks by process and event, of all accounts, once a minute: a thousand accounts are one series.",
    (*JOB_AND_INSTANCE, "event"),
)
REQUESTS = MetricFamily(
    "job_instance:codex_lb_proxy_requests:sum_total",
    "counter",
    "Requests by process, once a minute: whether there is traffic, and whether a process began again.",
    JOB_AND_INSTANCE,
)
PROMPT_TOKENS = MetricFamily(
    "job_instance:token_usage_prompt:sum_total",
    "counter",
    "Prompt tokens by process, of all keys, once a minute: a thousand keys are one series.",
    JOB_AND_INSTANCE,
)
COMPLETION_TOKENS = MetricFamily(
    "job_instance:token_usage_completion:sum_total",
    "counter",
    "Completion tokens by process, of all keys, once a minute: a thousand keys are one series.",
    JOB_AND_INSTANCE,
)
RESETS = MetricFamily(
    "job_instance:codex_lb_secondary_resets:sum_total",
    "counter",
    "Resets of weekly quota windows by exporter, of all accounts, once a minute.",
    JOB_AND_INSTANCE,
)
MINUTELY: tuple[MetricFamily, ...] = (COST, REQUESTS, PROMPT_TOKENS, COMPLETION_TOKENS, MARKS, RESETS)
"""Counters as they stand, summed over labels that no panel asks for."""


@dataclass(frozen=True, slots=True)
class Hourly:
    """The increase of a counter in the hour before each sample, recorded once an hour over all processes.

    `sum_over_time(name[30d])` is then the total of thirty days, from 720 samples a series. Its edges are
    those of recorded hours: at each end of the window it may be off by what one hour counts.

    Attributes:
        name: what is recorded; its labels are what stays of the source's.
    """

    name: MetricFamily
    source: MetricFamily


def _hourly(source: MetricFamily, *labels: str) -> Hourly:
    name = MetricFamily(
        f"{'_'.join(labels)}:{source.name.removesuffix('_total')}:increase1h",
        "gauge",
        f"By the hour: {source.help}",
        labels,
        source.unit,
    )
    return Hourly(name, source)


HOURLY_ACCOUNT_COST = _hourly(proxy_metrics.ACCOUNT_COST, "account_id")
HOURLY_ACCOUNT_REQUESTS = _hourly(proxy_metrics.ACCOUNT_REQUESTS, "account_id")
HOURLY_ACCOUNT_ERRORS = _hourly(proxy_metrics.ACCOUNT_ERRORS, "account_id")
HOURLY_ACCOUNT_RETRIES = _hourly(proxy_metrics.ACCOUNT_RETRIES, "account_id")
HOURLY_ACCOUNT_UNPRICED = _hourly(proxy_metrics.ACCOUNT_UNPRICED, "account_id")

HOURLY_KEY_REQUESTS = _hourly(proxy_metrics.API_KEY_REQUESTS, "api_key")
HOURLY_KEY_ERRORS = _hourly(proxy_metrics.KEY_ERRORS, "api_key")
HOURLY_KEY_PROMPT = _hourly(proxy_metrics.KEY_PROMPT_TOKENS, "api_key")
HOURLY_KEY_COMPLETION = _hourly(proxy_metrics.KEY_COMPLETION_TOKENS, "api_key")
HOURLY_KEY_COST = _hourly(proxy_metrics.KEY_COST, "api_key", "model")
HOURLY_PROJECT_COST = _hourly(proxy_metrics.PROJECT_COST, "project")

HOURLY: tuple[Hourly, ...] = (
    HOURLY_ACCOUNT_COST,
    HOURLY_ACCOUNT_REQUESTS,
    HOURLY_ACCOUNT_ERRORS,
    HOURLY_ACCOUNT_RETRIES,
    HOURLY_ACCOUNT_UNPRICED,
    HOURLY_KEY_REQUESTS,
    HOURLY_KEY_ERRORS,
    HOURLY_KEY_PROMPT,
    HOURLY_KEY_COMPLETION,
    HOURLY_KEY_COST,
    HOURLY_PROJECT_COST,
)
"""By account or key, of which there may be thousands; a key's cost by model too."""

RECORDED: tuple[MetricFamily, ...] = (*MINUTELY, *(hourly.name for hourly in HOURLY))
BUILT_IN: tuple[MetricFamily, ...] = (UP, SCRAPE_SECONDS, SCRAPE_SAMPLES)
