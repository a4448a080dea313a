"""Every alert, firing and not firing, as promtool evaluates the generated files."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from prometheus.alerts import Alert, alerts
from prometheus.config import RuleConfig

CONFIG = RuleConfig()
PROXY = 'job="quotascope-proxy",instance="127.0.0.1:8787"'
EXPORTER = 'job="quotascope-exporter",instance="127.0.0.1:8789"'
UP = {f"up{{{PROXY}}}": "1x60", f"up{{{EXPORTER}}}": "1x60"}
"""Both targets are scraped: without them the alert on lost scrapes is right to fire."""


@dataclass(frozen=True)
class Case:
    """Series at one sample a minute, and what fires at a minute: labels beside the severity, and the
    description. None fires where `says` is empty."""

    alert: str
    series: dict[str, str]
    minute: int
    says: list[tuple[dict[str, str], str]] = field(default_factory=list)


def requests(status: str, per_minute: str) -> dict[str, str]:
    return {
        f'codex_lb_proxy_requests_total{{{PROXY},status="{status}",model="m",api="responses"}}': per_minute
    }


JOB = {"job": "quotascope-proxy"}
PROXY_TARGET = {"job": "quotascope-proxy", "instance": "127.0.0.1:8787"}
EXPORTER_TARGET = {"job": "quotascope-exporter", "instance": "127.0.0.1:8789"}
COLLECTOR = {**EXPORTER_TARGET, "collector": "accounts"}
FAILED = (
    "10% of the requests through quotascope-proxy failed in the last 5m; "
    "cancelled requests are not counted as failed."
)
BLIND = "succeeded in the last 5m: its metrics and every alert on them are blind."
DROPPED = (
    "30 finished requests of 127.0.0.1:8787 were dropped in the last 15m: "
    "the ledger cannot be written and its buffer is full."
)
UNREAD = (
    "The collector accounts of 127.0.0.1:8789 has failed for 10m: "
    "its families are missing, the others are still true."
)
SUCCESS = f'codex_lb_exporter_collector_success{{{EXPORTER},collector="accounts"}}'
LOST = f"codex_lb_request_log_buffer_dropped_total{{{PROXY}}}"

CASES = {
    "one in ten fails": Case(
        "QuotascopeErrorRatioHigh",
        {**UP, **requests("success", "0+90x60"), **requests("error", "0+10x60")},
        20,
        [(JOB, FAILED)],
    ),
    "one in ten fails, but only since four minutes": Case(
        "QuotascopeErrorRatioHigh",
        {**UP, **requests("success", "0+90x60"), **requests("error", "0x16 0+10x44")},
        20,
    ),
    "one in ten is cancelled": Case(
        "QuotascopeErrorRatioHigh",
        {**UP, **requests("success", "0+90x60"), **requests("cancelled", "0+10x60")},
        20,
    ),
    "few fail": Case(
        "QuotascopeErrorRatioHigh",
        {**UP, **requests("success", "0+96x60"), **requests("error", "0+4x60")},
        20,
    ),
    "all fail, but these are three a minute": Case(
        "QuotascopeErrorRatioHigh", {**UP, **requests("error", "0+3x60")}, 20
    ),
    "one target is down": Case(
        "QuotascopeScrapeLost",
        {**UP, f"up{{{PROXY}}}": "1x10 0x50"},
        20,
        [(PROXY_TARGET, f"No scrape of quotascope-proxy at 127.0.0.1:8787 {BLIND}")],
    ),
    "a job has no target": Case(
        "QuotascopeScrapeLost",
        {f"up{{{EXPORTER}}}": "1x60"},
        20,
        [(JOB, f"No scrape of quotascope-proxy {BLIND}")],
    ),
    "every third scrape succeeds": Case(
        "QuotascopeScrapeLost", {**UP, f"up{{{PROXY}}}": "0 0 1x0 " * 20}, 40
    ),
    "Prometheus has just started": Case("QuotascopeScrapeLost", dict.fromkeys(UP, "_ 1x60"), 3),
    "a collector has failed for a while": Case(
        "QuotascopeCollectorFailing", {**UP, SUCCESS: "1x5 0x55"}, 20, [(COLLECTOR, UNREAD)]
    ),
    "a collector fails for some minutes": Case(
        "QuotascopeCollectorFailing", {**UP, SUCCESS: "1x5 0x8 1x46"}, 20
    ),
    "requests are dropped": Case(
        "QuotascopeLogBufferDropping", {**UP, LOST: "0x10 0+30x0 30x50"}, 20, [(PROXY_TARGET, DROPPED)]
    ),
    "requests were dropped an hour ago": Case("QuotascopeLogBufferDropping", {**UP, LOST: "0x2 30x80"}, 70),
    "nothing was ever dropped": Case("QuotascopeLogBufferDropping", {**UP, LOST: "0x60"}, 20),
}


def expected(alert: Alert, labels: dict[str, str], description: str) -> dict[str, Any]:
    summary = alert.summary.replace("{{ $labels.job }}", labels.get("job", ""))
    return {
        "exp_labels": {**labels, "severity": alert.severity},
        "exp_annotations": {
            "summary": summary.replace("{{ $labels.collector }}", labels.get("collector", "")),
            "description": description,
            "runbook_url": f"{CONFIG.runbook_base_url}/{alert.page}",
        },
    }


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_alert_fires_exactly_when_it_should(
    case: Case, run_rules: Callable[[Sequence[dict[str, Any]]], str]
) -> None:
    alert = next(a for a in alerts(CONFIG) if a.name == case.alert)
    document = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [
            {
                "eval_time": f"{case.minute}m",
                "alertname": case.alert,
                "exp_alerts": [expected(alert, labels, description) for labels, description in case.says],
            }
        ],
    }
    assert run_rules([document]) == ""


def test_every_alert_is_shown_firing_and_not_firing() -> None:
    names = {alert.name for alert in alerts(CONFIG)}
    assert {case.alert for case in CASES.values() if case.says} == names
    assert {case.alert for case in CASES.values() if not case.says} == names


def test_promtool_accepts_the_alerts(
    built: Path, promtool: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    result = promtool("check", "rules", built / "rules/alerts.yml")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("alert", alerts(CONFIG), ids=lambda alert: alert.name)
def test_the_threshold_can_be_taken_off(alert: Alert) -> None:
    """So that a dashboard or a check can ask for the signal alone."""
    comparison = promql_parser.parse(alert.expr)
    if alert.only_if:
        assert isinstance(comparison, promql_parser.BinaryExpr)
        comparison = comparison.lhs
    assert isinstance(comparison, promql_parser.BinaryExpr)
    assert isinstance(comparison.lhs, promql_parser.ParenExpr)
    assert str(comparison.lhs.expr) == str(promql_parser.parse(alert.signal))


def test_pages_have_readable_names_of_their_own() -> None:
    pages = [alert.page for alert in alerts(CONFIG)]
    assert pages[0] == "error-ratio-high.md"
    assert len(set(pages)) == len(pages)
