"""Every alert, firing and not firing: one promtool file for each, run on the generated rules."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from prometheus.alerts import Alert, alerts
from prometheus.config import RuleConfig

HERE = Path(__file__).parent
ALERTS = alerts(RuleConfig())


def file_of(alert: Alert) -> Path:
    return HERE / alert.page.replace(".md", ".yml")


def test_alerts_and_files_match_one_to_one() -> None:
    assert {path.name for path in HERE.glob("*.yml")} == {file_of(alert).name for alert in ALERTS}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_fires_exactly_when_it_should(
    alert: Alert, built: Path, tmp_path: Path, promtool: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Each is evaluated alone: with all the others at every step it would take ten times as long."""
    shutil.copytree(built / "rules", tmp_path / "rules")
    document = yaml.safe_load((built / "rules/alerts.yml").read_text(encoding="utf-8"))
    for group in document["groups"]:
        group["rules"] = [rule for rule in group["rules"] if rule["alert"] == alert.name]
    document["groups"] = [group for group in document["groups"] if group["rules"]]
    (tmp_path / "rules/alerts.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    shutil.copy(file_of(alert), tmp_path)
    result = promtool("test", "rules", tmp_path / file_of(alert).name)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_is_shown_firing_and_not_firing(alert: Alert) -> None:
    document: dict[str, Any] = yaml.safe_load(file_of(alert).read_text(encoding="utf-8"))
    asked = [asked for case in document["tests"] for asked in case["alert_rule_test"]]
    assert {one["alertname"] for one in asked} == {alert.name}
    assert {bool(one["exp_alerts"]) for one in asked} == {True, False}
