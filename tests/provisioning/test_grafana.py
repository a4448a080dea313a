"""A real Grafana takes our files: datasource, dashboards, and where its own alerts go.

No registry that CI reaches has one: GRAFANA_HOME names the folder of an installed or built Grafana.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from dashboards.build import dashboards
from dashboards.build import write as write_dashboards
from prometheus import addresses
from prometheus.config import RuleConfig
from provisioning.__main__ import Values, files, write
from tests.support.served import webhook

pytestmark = pytest.mark.slow

RULE = {
    "uid": "always",
    "title": "Always",
    "condition": "A",
    "for": "0s",
    "labels": {"severity": "critical"},
    "data": [
        {
            "refId": "A",
            "datasourceUid": "__expr__",
            "relativeTimeRange": {"from": 60, "to": 0},
            "model": {"refId": "A", "type": "math", "expression": "1 > 0"},
        }
    ],
}
GROUP = {"orgId": 1, "name": "test", "folder": "Test", "interval": "10s", "rules": [RULE]}


@pytest.fixture
def home() -> Path:
    named = os.environ.get("GRAFANA_HOME")
    if not named:
        pytest.skip("set GRAFANA_HOME to the folder of a Grafana to run this")
    return Path(named)


@contextmanager
def grafana(home: Path, folder: Path, port: int) -> Iterator[str]:
    settings = {
        "PATHS_DATA": str(folder / "data"),
        "PATHS_LOGS": str(folder / "logs"),
        "PATHS_PROVISIONING": str(folder / "provisioning"),
        "SERVER_HTTP_ADDR": "127.0.0.1",
        "SERVER_HTTP_PORT": str(port),
        "AUTH_ANONYMOUS_ENABLED": "true",
        "AUTH_ANONYMOUS_ORG_ROLE": "Admin",
        "ANALYTICS_REPORTING_ENABLED": "false",
        "ANALYTICS_CHECK_FOR_UPDATES": "false",
    }
    environ = {**os.environ, **{f"GF_{name}": value for name, value in settings.items()}}
    with (folder / "grafana.log").open("wb") as log:
        process = subprocess.Popen(
            [home / "bin/grafana-server", "-homepath", home], stdout=log, stderr=log, env=environ
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def asked(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)
    except OSError:  # it is about to start
        return None


def until(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 300
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return found


def test_an_alert_of_grafana_reaches_the_webhook(
    home: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []
    built = dashboards(RuleConfig())
    write_dashboards(built, tmp_path)
    with webhook(heard) as url:
        values = Values(
            "http://127.0.0.1:9", "3.5.0", "15s", PurePosixPath(tmp_path / "dashboards"), f"{url}/alerts"
        )
        write(files(values), tmp_path)
        rules = tmp_path / "provisioning/alerting/rules.yml"
        rules.write_text(yaml.safe_dump({"apiVersion": 1, "groups": [GROUP]}), encoding="utf-8")
        with grafana(home, tmp_path, free_port()) as api:
            until(lambda: asked(f"{api}/api/health"))
            assert [each["uid"] for each in asked(f"{api}/api/datasources")] == ["quotascope-prometheus"]
            wanted = {(each["uid"], addresses.FOLDER_TITLE) for each in built.values()}
            search = f"{api}/api/search?type=dash-db"
            until(lambda: {(each["uid"], each["folderTitle"]) for each in asked(search)} == wanted)
            until(lambda: heard)
    path, told = heard[0]
    (alert,) = told["alerts"]
    assert (path, told["receiver"], alert["status"]) == ("/alerts", "quotascope", "firing")
    assert alert["labels"]["alertname"] == "Always"
    logged = (tmp_path / "grafana.log").read_text(encoding="utf-8").splitlines()
    assert [line for line in logged if "logger=provisioning" in line and "level=error" in line] == []
