"""Panels that rank accounts by what they do: cost, requests, errors."""

from __future__ import annotations

from dashboards.kit import links, panels
from dashboards.kit.parts import About
from dashboards.kit.plain import Json
from dashboards.kit.words import FULL_HOURS
from dashboards.queries import accounts as queries
from prometheus import addresses
from prometheus.config import RuleConfig
from prometheus.promql import promql as duration

_ITS_HOURS = links.activity("__field.labels")
_IDLE = "No account was used in this range: does the proxy route to accounts, and is it scraped?"


def cost_per_hour(config: RuleConfig) -> Json:
    window = duration(config.rate_window)
    about = About(
        "Cost per hour by account (USD)",
        f"US dollars an hour, at the speed of the last {window} of the range, for the accounts that spend "
        "most. Requests without a price are not in it.",
        "currencyUSD",
        f"No account spent anything in the last {window}",
        decimals=2,
        links=(links.console(config),),
        value_links=(_ITS_HOURS,),
    )
    return panels.bar_gauge(about, [queries.cost_per_hour(config)])


def requests_per_minute(config: RuleConfig) -> Json:
    window = duration(config.rate_window)
    about = About(
        "Requests by account",
        f"Requests a minute of every outcome in the last {window} of the range, for the busiest accounts.",
        "reqpm",
        f"No account was used in the last {window}",
        links=(links.dashboard(addresses.ROUTING, "How accounts are chosen"),),
        value_links=(_ITS_HOURS,),
    )
    return panels.bar_gauge(about, [queries.requests_per_minute(config)])


def error_ratio(config: RuleConfig) -> Json:
    at_least = config.error_requests_at_least
    about = About(
        "Error rate by account",
        "Failed requests as a share of all over the dashboard's time range, highest first, for accounts "
        f"with at least {at_least} requests and at least one failure. {FULL_HOURS}",
        "percentunit",
        f"No account with {at_least} requests or more in this range has failed",
        links=(links.runbook("QuotascopeErrorRatioHigh", config), links.console(config)),
        value_links=(_ITS_HOURS,),
    )
    limits = {config.error_ratio_above: "red"}
    return panels.bar_gauge(about, [queries.error_ratio_in_range(at_least)], "green", limits, most=1)


def cost_in_range() -> Json:
    about = About(
        "Cost by account (USD)",
        "US dollars over the dashboard's time range, for the accounts that spent most. Requests without a "
        f"price are not in it. {FULL_HOURS}",
        "currencyUSD",
        _IDLE,
        decimals=2,
        links=(links.dashboard(addresses.OVERVIEW, "Cost by model"),),
        value_links=(_ITS_HOURS,),
    )
    return panels.bar_gauge(about, [queries.cost_in_range()])


def by_status(config: RuleConfig) -> Json:
    about = About(
        "Accounts by status",
        "Number of accounts in each state, as the exporter last read them. Only active ones take requests.",
        "locale",
        "No account is known: the exporter is not scraped, or none is configured",
        decimals=0,
        links=(links.console(config),),
    )
    return panels.bar_gauge(about, [queries.by_status()], "purple")
