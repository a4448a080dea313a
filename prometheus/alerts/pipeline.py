"""Alerts on ourselves: what is not scraped, not read, not stored."""

from __future__ import annotations

from metrics import exporter as exporter_metrics
from metrics import proxy as proxy_metrics
from metrics import recorded as names
from metrics.recorded import JOB_AND_INSTANCE
from prometheus import addresses
from prometheus.alerts.alert import Alert
from prometheus.config import RuleConfig
from prometheus.promql import equal, increase, one_of, rate, select, total
from prometheus.promql import promql as duration


def alerts(config: RuleConfig) -> tuple[Alert, ...]:
    return (
        scrape_lost(config),
        collector_failing(config),
        ledger_stale(config),
        outbox_waiting(config),
        log_buffer_dropping(config),
        watchdog(config),
    )


def watchdog(config: RuleConfig) -> Alert:
    """Always fires: who receives it regularly knows that alerts get through."""
    return Alert(
        name="QuotascopeWatchdog",
        signal="# lint-ignore alert-without-for: it always fires\n"
        f"count({select(names.UP, one_of('job', config.jobs))})",
        threshold="> 0",
        severity="none",
        summary="Alerts get through",
        description="This alert always fires. If it stops arriving, Prometheus, the Alertmanager or the "
        "way from it is broken, and no other alert arrives either.",
        dashboard=addresses.PIPELINE,
    )


def scrape_lost(config: RuleConfig) -> Alert:
    """A target that cannot be scraped, or a job that has no target at all."""
    window = duration(config.scrape_lost_for)
    seen = f"max_over_time({select(names.UP, one_of('job', config.jobs))}[{window}])"
    missing = [f'label_replace(vector(0), "job", "{job}", "", "")' for job in config.jobs]
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
        dashboard=addresses.PIPELINE,
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
        f"{duration(config.collector_failing_for)}: its metrics are missing, the others are unaffected.",
        dashboard=addresses.PIPELINE,
    )


def ledger_stale(config: RuleConfig) -> Alert:
    """Requests end, and none of them arrives in the ledger that the exporter reads."""
    window = duration(config.ledger_stale_after)
    newest = total(select(exporter_metrics.NEWEST_REQUEST), *JOB_AND_INSTANCE)
    # An exporter that reads the ledger well, and finds no request in it at all.
    freshness = select(exporter_metrics.COLLECTOR_SUCCESS, equal("collector", "freshness"))
    never = f"0 * {total(freshness, *JOB_AND_INSTANCE)}"
    return Alert(
        name="QuotascopeLedgerStale",
        signal=f"time() - ({newest} or {never})",
        threshold=f"> {config.ledger_stale_after.total_seconds():g}",
        only_if=f"on () {total(increase(select(proxy_metrics.REQUESTS), window))} > 0",
        lasting=config.evaluation_interval,
        severity="critical",
        summary="Requests are not stored",
        description="{{ if gt $value 1e9 }}No request was ever stored{{ else }}The newest stored request "
        "ended {{ $value | humanizeDuration }} ago{{ end }} in the ledger that {{ $labels.instance }} "
        f"reads, though requests were answered in the last {window}.",
        dashboard=addresses.PIPELINE,
    )


def outbox_waiting(config: RuleConfig) -> Alert:
    """One proxy's outbox does not empty: the ledger is not stale where another proxy's does."""
    window = duration(config.inbox_waiting_for)
    minute = f"60 * {total(rate(select(proxy_metrics.REQUESTS), window), *JOB_AND_INSTANCE)}"
    waiting = f"min_over_time({select(proxy_metrics.OUTBOX_SIZE)}[{window}])"
    return Alert(
        name="QuotascopeOutboxWaiting",
        # Of a busy proxy some requests are always on their way; a minute of them is not.
        signal=f"{waiting} > on (job, instance) {minute}",
        threshold="> 0",
        severity="warning",
        summary="Finished requests wait for PostgreSQL",
        description='At least {{ $value | printf "%.0f" }} finished requests of {{ $labels.instance }} have '
        f"waited in its outbox for {window}: PostgreSQL does not take them. None of them is lost.",
        dashboard=addresses.PIPELINE,
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
        dashboard=addresses.PIPELINE,
    )
