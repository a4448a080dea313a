"""What the checks conclude of what was found."""

from __future__ import annotations

from console.web.health import Targets, prometheus_check
from settings.model import Settings

UP: Targets = {
    "quotascope-proxy": [("up", "127.0.0.1:8787")],
    "quotascope-exporter": [("up", "127.0.0.1:8789")],
}


def test_what_prometheus_scrapes_is_named_with_its_address() -> None:
    found = prometheus_check(Settings(), UP)
    assert found.result == "ok"
    assert found.finding == "up: quotascope-proxy at 127.0.0.1:8787, quotascope-exporter at 127.0.0.1:8789"


def test_one_target_of_a_job_that_is_down_is_found_beside_another_that_is_up() -> None:
    proxies = [("down", "10.0.0.1:8787"), ("up", "10.0.0.2:8787")]
    found = prometheus_check(Settings(), {**UP, "quotascope-proxy": proxies})
    assert (found.result, found.finding) == ("failed", "quotascope-proxy at 10.0.0.1:8787 is down")


def test_a_job_without_targets_is_not_scraped() -> None:
    found = prometheus_check(Settings(), {"quotascope-proxy": UP["quotascope-proxy"]})
    assert (found.result, found.finding) == ("failed", "quotascope-exporter is not scraped")
