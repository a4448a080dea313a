from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from prometheus.alerts import alerts
from prometheus.config import RuleConfig
from prometheus.errors import ConfigError, OutputError
from provisioning.__main__ import TEMPLATES, Values, files, quoted, write

VALUES = Values(
    prometheus_url="http://prometheus:9090",
    prometheus_version="3.5.0",
    scrape_interval="15s",
    dashboards_path=PurePosixPath("/build/dashboards"),
)
ALERTING = replace(VALUES, webhook_url="https://hooks.example/alerts?key=a&b=$x")
CONTACT_POINTS = PurePosixPath("provisioning/alerting/contact-points.yml")
POLICIES = PurePosixPath("provisioning/alerting/policies.yml")
DATASOURCE = PurePosixPath("provisioning/datasources/prometheus.yml")
PROVIDER = PurePosixPath("provisioning/dashboards/quotascope.yml")


def test_every_template_becomes_a_file_at_its_place() -> None:
    templates = {path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.yml")}
    assert {str(path.relative_to("provisioning")) for path in files(ALERTING)} == templates
    assert {DATASOURCE, PROVIDER, CONTACT_POINTS, POLICIES} == set(files(ALERTING))


def test_without_a_webhook_nobodys_policies_are_replaced() -> None:
    assert {DATASOURCE, PROVIDER} == set(files(VALUES))


def test_every_policy_leads_to_the_contact_point() -> None:
    (point,) = yaml.safe_load(files(ALERTING)[CONTACT_POINTS])["contactPoints"]
    (receiver,) = point["receivers"]
    assert receiver["settings"]["url"] == "https://hooks.example/alerts?key=a&b=$x".replace("$", "$$")
    (root,) = yaml.safe_load(files(ALERTING)[POLICIES])["policies"]
    assert {root["receiver"], *(route["receiver"] for route in root["routes"])} == {point["name"]}
    severities = {value for route in root["routes"] for _, _, value in route["object_matchers"]}
    assert severities <= {alert.severity for alert in alerts(RuleConfig())}


def test_the_datasource() -> None:
    (datasource,) = yaml.safe_load(files(VALUES)[DATASOURCE])["datasources"]
    assert datasource == {
        "name": "Quotascope Prometheus",
        "uid": "quotascope-prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": "http://prometheus:9090",
        "isDefault": True,
        "editable": False,
        "jsonData": {
            "httpMethod": "POST",
            "timeInterval": "15s",
            "prometheusType": "Prometheus",
            "prometheusVersion": "3.5.0",
        },
    }


def test_the_provider_reads_one_folder_and_saves_nothing() -> None:
    (provider,) = yaml.safe_load(files(VALUES)[PROVIDER])["providers"]
    assert provider["options"] == {"path": "/build/dashboards"}
    assert provider["allowUiUpdates"] is False
    # Grafana refuses a provider that names a folder and takes folders from the files as well.
    assert "folder" in provider and "foldersFromFilesStructure" not in provider["options"]


@pytest.mark.parametrize(
    "text", ["a: b # c", "it's", 'say "so"', "{{ x }}", "$x ${y}", "ünïcode 🙂", "back\\slash"]
)
def test_no_value_breaks_out_of_its_string(text: str) -> None:
    rendered = files(replace(VALUES, dashboards_path=PurePosixPath("/", text)))[PROVIDER]
    (provider,) = yaml.safe_load(rendered)["providers"]
    assert provider["options"]["path"] == f"/{text}".replace("$", "$$")


def test_grafana_expands_no_variable_of_ours() -> None:
    assert quoted("/srv/$HOME") == '"/srv/$$HOME"'


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("prometheus_url", "prometheus:9090", r"--prometheus-url 'prometheus:9090'; allowed: http\(s\)"),
        ("webhook_url", "hooks.example", r"--webhook-url 'hooks.example'; allowed: http\(s\)"),
        ("prometheus_version", "v3", "--prometheus-version 'v3'; allowed: like 3.5.0"),
        ("dashboards_path", PurePosixPath("build"), "--dashboards-path 'build'; allowed: an absolute path"),
    ],
)
def test_what_grafana_could_not_use_is_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(VALUES, **{field: value})


def test_files_are_written_below_the_folder(tmp_path: Path) -> None:
    written = write(files(VALUES), tmp_path / "new")
    assert {p.relative_to(tmp_path / "new") for p in written} == {Path(p) for p in files(VALUES)}
    assert {p.read_text(encoding="utf-8") for p in written} == set(files(VALUES).values())


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=f"file{os.sep}provisioning.*: cannot be written: Not a directory"):
        write(files(VALUES), tmp_path / "file")


def test_the_folders_that_grafana_looks_into_are_there(tmp_path: Path) -> None:
    write(files(VALUES), tmp_path)
    assert sorted(path.name for path in (tmp_path / "provisioning").iterdir()) == [
        "alerting",
        "dashboards",
        "datasources",
        "notifiers",
        "plugins",
    ]
