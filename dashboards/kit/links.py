"""Where to go from a panel: to another dashboard, to a runbook page, to where one can act."""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.errors import LinkError
from dashboards.kit.plain import Json
from prometheus import addresses
from prometheus.alerts import alerts
from prometheus.config import RuleConfig


@dataclass(frozen=True, slots=True)
class Link:
    """A title and an address; Grafana fills in `${...}`."""

    title: str
    url: str

    def document(self) -> Json:
        return {"title": self.title, "url": self.url, "targetBlank": not self.url.startswith("/")}


def dashboard(uid: str, title: str) -> Link:
    """Another dashboard, with the same time range and choices."""
    return Link(title, f"/d/{uid}?${{__url_time_range}}&${{__all_variables}}")


def activity(account: str) -> Link:
    """The hours of the account that was clicked at.

    Args:
        account: where Grafana finds its id: `__field.labels` or, in a table, `__data.fields`.
    """
    chosen = f"${{datasource:queryparam}}&var-account=${{{account}.account_id}}"
    return Link("Its activity by hour", f"/d/{addresses.ACTIVITY}?${{__url_time_range}}&{chosen}")


def runbook(alert: str, config: RuleConfig) -> Link:
    """The page of an alert, by its name.

    Raises: LinkError where there is no such alert.
    """
    page = next((each.page for each in alerts(config) if each.name == alert), None)
    if page is None:
        raise LinkError(f"there is no alert {alert!r} whose page could be linked")
    return Link("Runbook", addresses.runbook(config, page))


def console(config: RuleConfig, account: str | None = None) -> Link:
    """The page on which accounts are paused, resumed and signed in again.

    Args:
        account: where Grafana finds its id, to go to it: `__field.labels` or `__data.fields`.
    """
    address = f"{config.console_url}/accounts"
    if account is not None:
        return Link("Act on it", f"{address}/${{{account}.account_id}}")
    return Link("Act on accounts", address)


def requests(config: RuleConfig, conditions: str = "") -> Link:
    """The requests of the same time, one by one.

    Args:
        conditions: further parameters of the page's query string, like `&status=error`.
    """
    return Link("The requests themselves", f"{config.console_url}/?${{__url_time_range}}{conditions}")
