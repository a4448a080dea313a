"""Manifests: what the Prometheus operator and Grafana's sidecar take, with the same rules and dashboards."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import build as dashboards_build
from prometheus import alerts, rules
from prometheus.__main__ import main
from prometheus.config import RuleConfig
from prometheus.errors import OutputError
from prometheus.kubernetes import MAX_BYTES, dashboard

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,251}[a-z0-9])?")
KEY = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?")
RULE = {"alert", "annotations", "expr", "for", "keep_firing_for", "labels", "record"}
"""What the operator's schema allows in a rule."""


@pytest.fixture
def manifests(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """All manifests by the name of their file."""
    dashboards_build.write(dashboards_build.dashboards(RuleConfig()), tmp_path)
    assert main(["build", "--kubernetes", "--out", str(tmp_path)], {}) == 0
    found = sorted((tmp_path / "kubernetes").glob("*.yml"))
    return {file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in found}


@pytest.mark.slow
def test_names_and_labels_are_as_kubernetes_wants_them(
    manifests: dict[str, dict[str, Any]],
) -> None:
    names = [made["metadata"]["name"] for made in manifests.values()]
    assert len(set(names)) == len(names)
    for made in manifests.values():
        assert NAME.fullmatch(made["metadata"]["name"])
        assert made["metadata"]["name"].startswith("quotascope-")
        for key, value in made["metadata"]["labels"].items():
            assert KEY.fullmatch(key) and KEY.fullmatch(value) and len(value) <= 63


def test_the_rules_are_the_same_and_promtool_accepts_them(
    manifests: dict[str, dict[str, Any]],
    tmp_path: Path,
    promtool: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    made = manifests["rules"]
    assert (made["apiVersion"], made["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    config = RuleConfig()
    assert made["spec"]["groups"] == rules.document(config)["groups"] + alerts.document(config)["groups"]
    groups = [group["name"] for group in made["spec"]["groups"]]
    assert all(name.startswith("quotascope-") for name in groups) and len(set(groups)) == len(groups)
    assert {key for group in made["spec"]["groups"] for rule in group["rules"] for key in rule} <= RULE
    (tmp_path / "spec.yml").write_text(yaml.safe_dump(made["spec"]), encoding="utf-8")
    result = promtool("check", "rules", tmp_path / "spec.yml")
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
def test_each_dashboard_is_in_a_config_map_that_the_sidecar_collects(
    manifests: dict[str, dict[str, Any]],
) -> None:
    for name, built in dashboards_build.dashboards(RuleConfig()).items():
        made = manifests[f"dashboard-{name}"]
        assert (made["apiVersion"], made["kind"]) == ("v1", "ConfigMap")
        assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
        ((file, text),) = made["data"].items()
        assert file == f"quotascope-{name}.json"
        assert json.loads(text) == json.loads(dashboards_build.text(built))


def test_without_dashboards_it_says_what_to_do_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "--kubernetes", "--out", str(tmp_path)], {}) == 2
    assert "first: python -m dashboards build" in capsys.readouterr().err


def test_a_dashboard_that_no_config_map_holds_is_named() -> None:
    with pytest.raises(OutputError, match=r"^dashboards/big\.json: \d+ bytes; allowed: below"):
        dashboard("big", json.dumps({"title": "x" * MAX_BYTES}))
