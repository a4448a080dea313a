"""The alerts as data; tests/prometheus/alerts/ shows each of them firing and not firing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import promql_parser
import pytest

from dashboards.build import dashboards
from prometheus import scrape
from prometheus.alerts import Alert, alerts, document
from prometheus.config import RuleConfig
from prometheus.errors import ConfigError
from settings.rules import Rules

CONFIG = RuleConfig()


def test_promtool_accepts_the_alerts(
    built: Path, promtool: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    result = promtool("check", "rules", built / "rules/alerts.yml")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("alert", alerts(CONFIG), ids=lambda alert: alert.name)
def test_the_threshold_can_be_taken_off(alert: Alert) -> None:
    """So that a dashboard or a check can ask for the signal alone."""
    comparison = promql_parser.parse(alert.condition)
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


def test_every_alert_leads_to_a_dashboard_that_there_is() -> None:
    uids = {dashboard["uid"] for dashboard in dashboards(CONFIG).values()}
    assert {alert.dashboard for alert in alerts(CONFIG)} <= uids


def test_addresses_are_the_installations_own() -> None:
    config = RuleConfig(runbook_base_url="https://wiki/", dashboard_base_url="https://grafana/d/")
    (group,) = document(config)["groups"]
    for rule in group["rules"]:
        assert rule["annotations"]["runbook_url"].startswith("https://wiki/")
        assert rule["annotations"]["dashboard_url"].startswith("https://grafana/d/")
        assert "//" not in rule["annotations"]["runbook_url"].removeprefix("https://")


def test_thresholds_come_from_the_configuration() -> None:
    changed = RuleConfig(spend_limit_usd=7.5, latency_above=timedelta(seconds=90), short_keys_above=9)
    thresholds = {alert.name: alert.threshold for alert in alerts(changed)}
    assert thresholds["QuotascopeSpendAboveLimit"] == "> 7.5"
    assert thresholds["QuotascopeLatencyHigh"] == "> 90"
    assert thresholds["QuotascopeShortKeySurge"] == "> 9"


def test_an_alert_is_switched_off_or_re_levelled_by_one_line() -> None:
    rules = Rules.model_validate(
        {
            "spend_limit_usd": 250.0,
            "alerts": {"QuotaGoingToWaste": {"enabled": False}, "SpendAboveLimit": {"severity": "info"}},
        }
    )
    found = {alert.name: alert for alert in alerts(RuleConfig.of(rules))}
    assert "QuotascopeQuotaGoingToWaste" not in found
    assert found["QuotascopeSpendAboveLimit"].severity == "info"
    assert found["QuotascopeSpendAboveLimit"].threshold == "> 250"
    assert len(found) == len(alerts(RuleConfig())) - 1


def test_an_alert_that_does_not_exist_is_named() -> None:
    rules = Rules.model_validate({"alerts": {"SpendAboveLimitt": {"enabled": False}}})
    with pytest.raises(ConfigError, match=r"^rules\.alerts\.SpendAboveLimitt: no such alert; "):
        alerts(RuleConfig.of(rules))


def test_a_service_that_does_not_run_here_is_neither_scraped_nor_missed() -> None:
    config = RuleConfig.of(Rules.model_validate({"services": ["exporter"]}))
    (job,) = scrape.document(config, scrape.Targets("p:1", "e:2"), [])["scrape_configs"]
    assert job["job_name"] == config.exporter_job
    (lost,) = [alert for alert in alerts(config) if alert.short_name == "ScrapeLost"]
    assert config.exporter_job in lost.signal
    assert config.proxy_job not in lost.signal


def test_an_objective_is_one_that_the_proxy_counts_by() -> None:
    rules = Rules.model_validate({"latency_objective_within": "3m"})
    with pytest.raises(ConfigError, match=r"^latency_objective_within = 3m: allowed: 25ms, .*, 2m, 5m,"):
        RuleConfig.of(rules)
