from __future__ import annotations

import pytest

from dashboards.errors import LinkError
from dashboards.kit import links
from prometheus import addresses
from prometheus.alerts import alerts
from prometheus.config import RuleConfig
from settings.rules import Rules

CONFIG = RuleConfig(runbook_base_url="https://example.org/runbooks/")


def test_a_runbook_is_the_page_of_an_alert() -> None:
    alert = alerts(CONFIG)[0]
    assert links.runbook(alert.name, CONFIG).url == f"https://example.org/runbooks/{alert.page}"


def test_a_page_of_no_alert_stops_the_build() -> None:
    with pytest.raises(LinkError, match="there is no alert 'QuotascopeNothing'"):
        links.runbook("QuotascopeNothing", CONFIG)


def test_a_dashboard_keeps_time_and_choices() -> None:
    link = links.dashboard(addresses.TOKENS, "Tokens")
    assert link.document() == {
        "title": "Tokens",
        "url": "/d/quotascope-tokens?${__url_time_range}&${__all_variables}",
        "targetBlank": False,
    }


def test_an_account_leads_to_its_hours() -> None:
    url = links.activity("__field.labels").url
    assert url.endswith("&var-account=${__field.labels.account_id}")
    assert url.startswith(f"/d/{addresses.ACTIVITY}?")


def test_the_console_opens_beside_grafana() -> None:
    config = RuleConfig.of(Rules(), "https://usage.example.org")
    assert links.console(config).document()["targetBlank"] is True
    assert links.console(config).url == "https://usage.example.org/accounts"
    assert links.console(config, "__data.fields").url.endswith("/accounts/${__data.fields.account_id}")
    assert links.console(CONFIG).url == "http://127.0.0.1:8788/accounts"
