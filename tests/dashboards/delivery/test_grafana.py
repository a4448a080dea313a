from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dashboards.delivery.grafana import PAGE, Grafana, Retries
from dashboards.errors import GrafanaError
from dashboards.kit.frame import TAG

pytestmark = pytest.mark.slow

TOKEN = "glsa_test_token"


def connected(url: str, token: str = TOKEN, waited: list[float] | None = None) -> Grafana:
    return Grafana(url, token, Retries((0.5, 1.0), (waited if waited is not None else []).append))


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_failure_that_may_pass_is_tried_again(status: int, local: Any) -> None:
    server, url = local
    server.failures = [status, status]
    waited: list[float] = []
    grafana = connected(url, waited=waited)
    assert grafana.version() == "12.3.1"
    assert waited == [0.5, 1.0]
    assert len(server.requests) == 3
    grafana.close()


def test_after_the_last_try_the_reason_is_told(local: Any) -> None:
    server, url = local
    server.failures = [503, 503, 503]
    grafana = connected(url)
    with pytest.raises(GrafanaError, match=r"Server Error 503: as told"):
        grafana.version()
    grafana.close()


def test_a_refusal_is_not_tried_again(local: Any) -> None:
    server, url = local
    for status in (400, 403, 412):
        server.requests.clear()
        server.failures = [status]
        grafana = connected(url)
        with pytest.raises(GrafanaError):
            grafana.save({"uid": "x", "title": "x"}, "", "")
        grafana.close()
        assert len(server.requests) == 1


def test_a_wrong_token_says_which_one_is_needed(local: Any) -> None:
    _, url = local
    grafana = connected(url, "wrong")
    with pytest.raises(GrafanaError, match=r"HTTP 401.*GRAFANA_TOKEN must be a service account's"):
        grafana.dashboard("x")
    grafana.close()


def test_a_search_goes_through_all_pages(local: Any) -> None:
    server, url = local
    for number in range(PAGE + 3):
        server.dashboards[f"d{number}"] = {
            "dashboard": {"title": f"{number}", "tags": [TAG]},
            "folderUid": "f",
        }
    grafana = connected(url)
    assert len(grafana.tagged(TAG, "f")) == PAGE + 3
    assert grafana.tagged(TAG, "other") == {}
    grafana.close()


def test_nobody_there_is_one_line(free_port: Callable[[], int]) -> None:
    waited: list[float] = []
    grafana = connected(f"http://127.0.0.1:{free_port()}", waited=waited)
    with pytest.raises(GrafanaError, match="cannot be reached") as caught:
        grafana.version()
    assert "\n" not in str(caught.value)
    assert len(waited) == 2
    grafana.close()
