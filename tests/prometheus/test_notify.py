"""Alerts reach people: a real Prometheus, a real Alertmanager, and a webhook that listens."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from prometheus.build import NOTIFY_FILE, SCRAPE_FILE, files, write
from prometheus.config import RuleConfig
from prometheus.notify import document
from prometheus.scrape import Targets
from settings.notify import Notify
from tests.support.served import webhook

EVERYTHING = Notify(
    alertmanager="127.0.0.1:9093",
    webhook_url="http://127.0.0.1:1/people",
    ntfy_url="https://ntfy.example.org/quotascope",
    slack_url_file=Path("/run/slack"),
    slack_channel="#alerts",
    mail_to="oncall@example.org",
    mail_from="quotascope@example.org",
    mail_server="mail.example.org:587",
    mail_password_file=Path("/run/mail"),
    watchdog_url="http://127.0.0.1:1/watchdog",
)
SECOND = timedelta(seconds=1)


def test_amtool_accepts_every_way_and_sends_each_alert_where_it_belongs(
    tmp_path: Path, binary: Callable[[str], str]
) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(yaml.safe_dump(document(EVERYTHING), sort_keys=False), encoding="utf-8")
    checked = subprocess.run([binary("amtool"), "check-config", file], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr + checked.stdout

    def receiver(*labels: str) -> str:
        command = [binary("amtool"), "config", "routes", "test", f"--config.file={file}", *labels]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert receiver("alertname=QuotascopeWatchdog", "severity=none") == "watchdog"
    assert receiver("alertname=QuotascopeScrapeLost", "severity=critical") == "people"
    assert receiver("alertname=QuotascopeBudgetHit", "severity=warning") == "people"


def test_each_way_is_written_alone() -> None:
    people, watchdog = document(Notify(ntfy_url="https://n/t"))["receivers"]
    url = "https://n/t?template=alertmanager"
    assert people == {"name": "people", "webhook_configs": [{"url": url, "send_resolved": True}]}
    assert watchdog == {"name": "watchdog"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"alertmanager": "127.0.0.1:9093"}, "nobody receives"),
        ({"mail_to": "a@example.org"}, "mail_from and mail_server"),
        ({"mail_to": "nobody"}, "one address"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, str], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Notify.model_validate(given)


@contextmanager
def alertmanager(program: str, file: Path, port: int) -> Iterator[str]:
    """A real one, that gathers alerts for a second before it sends."""
    text = re.sub(r"(group_wait|group_interval): \w+", r"\1: 1s", file.read_text(encoding="utf-8"))
    file.write_text(text, encoding="utf-8")
    options = [f"--config.file={file}", f"--storage.path={file.parent}", "--cluster.listen-address="]
    with file.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            [program, *options, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
    try:
        yield f"http://127.0.0.1:{port}/api/v2/alerts"
    finally:
        process.terminate()
        process.wait(20)


def asked(url: str, alerts: object = None) -> Any:
    data = None if alerts is None else json.dumps(alerts).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")
    except OSError:  # it is about to start
        return []


def until(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def test_an_alert_of_a_real_prometheus_reaches_people_and_keeps_others_back(
    tmp_path: Path,
    binary: Callable[[str], str],
    running_prometheus: Callable[..., AbstractContextManager[str]],
    free_port: Callable[[], int],
) -> None:
    config = RuleConfig(
        scrape_interval=SECOND,
        scrape_timeout=SECOND,
        evaluation_interval=SECOND,
        scrape_lost_for=5 * SECOND,
        services=("proxy",),
    )
    heard: list[tuple[str, dict[str, Any]]] = []

    def names(path: str) -> set[str]:
        return {alert["labels"]["alertname"] for at, sent in heard if at == path for alert in sent["alerts"]}

    port, nobody = free_port(), "127.0.0.1:1"
    with webhook(heard) as hooks:
        notify = Notify(
            alertmanager=f"127.0.0.1:{port}",
            webhook_url=f"{hooks}/people",
            watchdog_url=f"{hooks}/watchdog",
        )
        write(files(config, Targets(nobody, nobody, alertmanager=notify.alertmanager), notify), tmp_path)
        with (
            alertmanager(binary("prometheus-alertmanager"), tmp_path / NOTIFY_FILE, port) as url,
            running_prometheus(tmp_path / SCRAPE_FILE, tmp_path / "data"),
        ):
            until(lambda: "QuotascopeScrapeLost" in names("/people") and names("/watchdog"))
            begun = datetime.now(UTC).isoformat()
            labels = {"alertname": "QuotascopeErrorRatioHigh", "job": config.proxy_job, "severity": "warning"}
            asked(url, [{"labels": labels, "startsAt": begun}])
            until(lambda: [a for a in asked(f"{url}?active=false") if a["status"]["inhibitedBy"]])
    assert names("/people") == {"QuotascopeScrapeLost"}
    assert names("/watchdog") == {"QuotascopeWatchdog"}
    (lost,) = [sent["alerts"][0] for at, sent in heard if at == "/people"][:1]
    assert lost["annotations"]["runbook_url"].endswith("/runbooks/scrape-lost.md")
