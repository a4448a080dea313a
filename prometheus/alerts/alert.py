"""Alerts: what somebody has to look at, when, and where the page about it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from exporter import metrics as exporter_metrics
from prometheus import names
from prometheus.config import RuleConfig
from prometheus.durations import promql as duration
from prometheus.promql import equal, increase, one_of, rate, select, share, total
from proxy import metrics as proxy_metrics

GROUP = "quotascope-alerts"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. It fires where `signal threshold` holds, and `only_if` has a series of the same labels.

    Attributes:
        signal: the value that people know; alone it always has data.
        threshold: comparison and number, like `> 0.05`.
        lasting: how long it must hold; None fires at the first evaluation.
        severity: `critical` loses data or blinds us now, `warning` can wait for the morning.
        description: Prometheus' template text; `$value` is the signal.
    """

    name: str
    signal: str
    threshold: str
    severity: Literal["critical", "warning"]
    summary: str
    description: str
    lasting: timedelta | None = None
    only_if: str = ""

    @property
    def expr(self) -> str:
        """The whole expression."""
        # In parentheses always: a comparison binds tighter than the `or` that a signal may end with.
        condition = f"({self.signal}) {self.threshold}"
        return f"{condition} and {self.only_if}" if self.only_if else condition

    @property
    def page(self) -> str:
        """File name of its runbook page."""
        words = re.findall("[A-Z][a-z]+", self.name.removeprefix("Quotascope"))
        return "-".join(words).lower() + ".md"


def alerts(config: RuleConfig) -> tuple[Alert, ...]:
    """All alerts."""
    return (
        error_ratio_high(config),
        scrape_lost(config),
        collector_failing(config),
        log_buffer_dropping(config),
    )


def error_ratio_high(config: RuleConfig) -> Alert:
    """Too many requests fail; cancelled ones count as requests, never as failures."""
    window = duration(config.rate_window)
    requests = proxy_metrics.REQUESTS
    whole = select(requests)
    return Alert(
        name="QuotascopeErrorRatioHigh",
        signal=share(rate(select(requests, equal("status", "error")), window), rate(whole, window), "job"),
        threshold=f"> {config.error_ratio_above:g}",
        only_if=f"{total(increase(whole, window), 'job')} >= {config.error_requests_at_least}",
        lasting=config.error_ratio_for,
        severity="warning",
        summary="Many requests fail",
        description="{{ $value | humanizePercentage }} of the requests through {{ $labels.job }} failed in "
        f"the last {window}; cancelled requests are not counted as failed.",
    )


def scrape_lost(config: RuleConfig) -> Alert:
    """A target that cannot be scraped, or a job that has no target at all."""
    window = duration(config.scrape_lost_for)
    jobs = (config.proxy_job, config.exporter_job)
    seen = f"max_over_time({select(names.UP, one_of('job', jobs))}[{window}])"
    missing = [f'label_replace(vector(0), "job", "{job}", "", "")' for job in jobs]
    return Alert(
        name="QuotascopeScrapeLost",
        signal=" or on (job) ".join((seen, *missing)),
        threshold="== 0",
        # One evaluation more, so that a Prometheus that has just started has scraped once.
        lasting=config.evaluation_interval,
        severity="critical",
        summary="Nothing is scraped from {{ $labels.job }}",
        description="No scrape of {{ $labels.job }} {{ with $labels.instance }}at {{ . }} {{ end }}"
        f"succeeded in the last {window}: its metrics and every alert on them are blind.",
    )


def collector_failing(config: RuleConfig) -> Alert:
    """The exporter answers, but one of its subjects cannot be read."""
    return Alert(
        name="QuotascopeCollectorFailing",
        signal=select(exporter_metrics.COLLECTOR_SUCCESS),
        threshold="== 0",
        lasting=config.collector_failing_for,
        severity="warning",
        summary="The exporter cannot read {{ $labels.collector }}",
        description="The collector {{ $labels.collector }} of {{ $labels.instance }} has failed for "
        f"{duration(config.collector_failing_for)}: its families are missing, the others are still true.",
    )


def log_buffer_dropping(config: RuleConfig) -> Alert:
    """Finished requests were lost before they could be stored."""
    window = duration(config.dropped_within)
    return Alert(
        name="QuotascopeLogBufferDropping",
        signal=increase(select(proxy_metrics.BUFFER_DROPPED), window),
        threshold="> 0",
        severity="critical",
        summary="Metered requests are being lost",
        description='{{ $value | printf "%.0f" }} finished requests of {{ $labels.instance }} were dropped '
        f"in the last {window}: the ledger cannot be written and its buffer is full.",
    )


def document(config: RuleConfig) -> dict[str, Any]:
    """The alerts as a Prometheus rule file."""
    rules = [_rule(alert, config.runbook_base_url) for alert in alerts(config)]
    return {"groups": [{"name": GROUP, "interval": duration(config.evaluation_interval), "rules": rules}]}


def _rule(alert: Alert, runbooks: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": alert.name, "expr": alert.expr}
    if alert.lasting is not None:
        rule["for"] = duration(alert.lasting)
    rule["labels"] = {"severity": alert.severity}
    rule["annotations"] = {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": f"{runbooks.rstrip('/')}/{alert.page}",
    }
    return rule
