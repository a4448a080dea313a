"""Panels about what is tried again, what fails in the background, and what could not be priced."""

from __future__ import annotations

from dashboards.kit import colors, links, panels
from dashboards.kit.parts import About
from dashboards.kit.plain import Json
from dashboards.kit.words import FULL_HOURS, NO_TRAFFIC, averaged
from dashboards.queries import routing as queries
from prometheus import addresses
from prometheus.config import RuleConfig

_ITS_HOURS = (links.activity("__field.labels"),)
_ERRORS = links.dashboard(addresses.ACCOUNTS, "Error rate by account")
_UNPRICED = links.dashboard(addresses.OVERVIEW, "Unpriced requests by API")


def retries(config: RuleConfig) -> Json:
    about = About(
        "Retries by error class",
        f"Attempts a minute that failed and were followed by another one, by class of error, "
        f"{averaged(config)}. The caller sees the last attempt alone.",
        "opm",
        "No attempt was repeated in this range",
        links=(_ERRORS,),
    )
    return panels.timeseries(about, [queries.retries(config)], stacked=True, colors=colors.ERRORS)


def retries_by_account(config: RuleConfig) -> Json:
    about = About(
        "Retries by account",
        "Attempts that failed and were followed by another one over the dashboard's time range, for the "
        f"accounts with most of them. {FULL_HOURS} The API filter does not apply.",
        "locale",
        "No attempt was repeated in the full hours of this range",
        decimals=0,
        links=(_ERRORS, links.console(config)),
        value_links=_ITS_HOURS,
    )
    return panels.bar_gauge(about, [queries.retries_by_account()], "orange")


def refresh_failures(config: RuleConfig) -> Json:
    about = About(
        "Usage refresh failures",
        f"Polls of the accounts' quota, and refreshes of their tokens, that failed, a minute, "
        f"{averaged(config)}, by phase and status code. Quota gets old meanwhile. The API filter does not "
        "apply.",
        "opm",
        "No poll and no refresh failed in this range, or none is configured",
        links=(links.console(config),),
    )
    return panels.timeseries(about, [queries.refresh_failures(config)])


def unpriced(config: RuleConfig) -> Json:
    about = About(
        "Unpriced by reason",
        f"Successful requests a minute that no price could be given to, by reason, {averaged(config)}: every "
        "cost and every implied quota is too low by them.",
        "reqpm",
        NO_TRAFFIC,
        links=(_UNPRICED,),
    )
    return panels.timeseries(about, [queries.unpriced(config)], stacked=True)


def unmetered(config: RuleConfig) -> Json:
    about = About(
        "Usage not known",
        "Successful requests a minute whose usage is not known, by path, and requests whose reported numbers "
        f"make no sense and are left out, {averaged(config)}. Both make tokens and cost too low.",
        "reqpm",
        "Of every request it is known what it used",
        links=(_UNPRICED,),
    )
    return panels.timeseries(about, queries.unmetered(config))


def unpriced_by_account() -> Json:
    about = About(
        "Unpriced by account",
        "Successful requests that no price could be given to over the dashboard's time range, for the "
        f"accounts with most of them. {FULL_HOURS} The API filter does not apply.",
        "locale",
        "Every successful request of the full hours of this range has a price",
        decimals=0,
        links=(_UNPRICED,),
        value_links=_ITS_HOURS,
    )
    return panels.bar_gauge(about, [queries.unpriced_by_account()], "orange")
