"""Every name that is not a room's own: what the rules record, and what Prometheus adds by itself.

Recorded names say level, metric and operation: `job_instance_model:METRIC:OPERATION`.
"""

from __future__ import annotations

from ledger.families import MetricFamily

JOB_AND_INSTANCE = ("job", "instance")
"""Labels that Prometheus puts on everything it scrapes."""

UP = MetricFamily("up", "gauge", "1 if the last scrape of the target succeeded.", JOB_AND_INSTANCE)

COST = MetricFamily(
    # Ends in `_total` because Prometheus and Grafana take the ending for the sign of a counter.
    "job_instance_model:codex_lb_proxy_cost_usd:sum_total",
    "counter",
    "US dollars by process and model, once a minute: for windows of more than a day.",
    (*JOB_AND_INSTANCE, "model"),
    unit="usd",
)

RECORDED: tuple[MetricFamily, ...] = (COST,)
BUILT_IN: tuple[MetricFamily, ...] = (UP,)
