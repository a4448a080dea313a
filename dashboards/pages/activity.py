"""Activity by hour: what the chosen accounts did, and what it cost, in each hour."""

from __future__ import annotations

from dashboards.kit import colors, frame, links, panels, variables
from dashboards.kit.layout import Row, place
from dashboards.kit.parts import About
from dashboards.kit.plain import Json
from dashboards.queries import activity as queries
from dashboards.queries import quota
from prometheus import addresses
from prometheus.config import RuleConfig

UID = addresses.ACTIVITY
TITLE = "Activity by hour"
DESCRIPTION = "Cost, requests, tokens and errors of the chosen accounts, or of all traffic, hour by hour."

_HOURS = (
    "Each bar is a full hour of the browser's time zone, and stands in it; the hour that is not over yet "
    "has none."
)
_NO_REQUESTS = "No request of these accounts in a full hour of this range: choose others above"
_ACCOUNTS = links.dashboard(addresses.ACCOUNTS, "All accounts and their quota")


def dashboard(config: RuleConfig) -> Json:
    rows = (
        Row(panels.row("Cost and requests"), 9, ((12, cost()), (12, requests()))),
        Row(panels.row("Quota"), 8, ((12, windows(config)), (12, week(config)))),
        Row(panels.row("Tokens and failures"), 9, ((8, tokens()), (10, errors(config)), (6, unpriced()))),
    )
    choices = [variables.datasource(), variables.accounts_or_all_traffic(), variables.api()]
    return frame.dashboard(UID, TITLE, DESCRIPTION, place(rows), choices, quota=True)


def cost() -> Json:
    about = About(
        "Cost per hour (USD)",
        f"US dollars of the accounts' priced requests. {_HOURS}",
        "currencyUSD",
        _NO_REQUESTS,
        decimals=2,
        links=(_ACCOUNTS,),
    )
    return panels.hours(about, [queries.cost()], {"Cost": "blue"})


def requests() -> Json:
    about = About(
        "Requests per hour",
        f"Requests of the accounts by outcome; cancelled means that the client went away. {_HOURS}",
        "locale",
        _NO_REQUESTS,
        decimals=0,
        links=(_ACCOUNTS,),
    )
    return panels.hours(about, [queries.requests()], colors.STATUS)


def windows(config: RuleConfig) -> Json:
    about = About(
        "Quota used",
        "Percent of the short windows and of the weeks that is used, as last reported at each moment: the "
        f"mean of the accounts and, of {quota.MAX_LINES} accounts or fewer, each. A fall to 0 is a reset. "
        "Above the dashed line an account is nearly used up.",
        "percent",
        "The provider has reported nothing about these accounts' quota",
        links=(_ACCOUNTS, links.console(config)),
    )
    limit = config.quota_used_percent_above
    return panels.timeseries(about, quota.windows(config), most=100, limit=limit)


def week(config: RuleConfig) -> Json:
    about = About(
        "Cost of the week against the implied quota (USD)",
        "US dollars that the accounts have cost since their weekly resets, and what their whole weeks are "
        "worth by their estimates, both of the accounts that have an estimate.",
        "currencyUSD",
        "No estimate of these accounts: see Suppressed estimates",
        decimals=2,
        links=(_ACCOUNTS,),
    )
    lines = {"Spent since the reset": "blue", "Implied quota": "green"}
    return panels.timeseries(about, quota.week_so_far(config), colors=lines)


def tokens() -> Json:
    about = About(
        "Tokens per hour",
        "Tokens of the accounts as the provider reported them: input that was new, that came from the "
        f"provider's cache and that was written to it, and output, reasoning included. {_HOURS}",
        "short",
        "No tokens of these accounts reported in a full hour of this range",
        links=(links.dashboard(addresses.OVERVIEW, "Tokens of all accounts"),),
    )
    return panels.hours(about, queries.tokens(), colors.TOKENS)


def errors(config: RuleConfig) -> Json:
    about = About(
        "Errors per hour",
        f"Failed requests of the accounts by class of error, of all traffic by the provider's code. {_HOURS}",
        "locale",
        "No failed request of these accounts in this range",
        decimals=0,
        links=(links.dashboard(addresses.ROUTING, "How errors are routed around"), links.console(config)),
    )
    return panels.hours(about, queries.errors(), colors.ERRORS)


def unpriced() -> Json:
    about = About(
        "Unpriced per hour",
        f"Successful requests of the accounts without a price, by reason: the true cost is higher. {_HOURS}",
        "locale",
        "None in this range: what succeeded has a price",
        decimals=0,
        links=(links.dashboard(addresses.ROUTING, "Unpriced requests of all accounts"),),
    )
    return panels.hours(about, [queries.unpriced()])
