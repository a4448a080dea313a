"""Panels about all accounts together: how much is left, and how long it lasts."""

from __future__ import annotations

from dashboards.kit import links, panels
from dashboards.kit.parts import About
from dashboards.kit.plain import Json
from dashboards.panels.quota import CREDITS, USED_LIMITS, act
from dashboards.queries import quota as queries
from prometheus.config import RuleConfig

_NO_QUOTA = "No quota is known"
_CHOSEN = "Of the accounts that are chosen above."
SHORT_USED_UP = 95.0
"""Percent: the next large request may fail."""


def used(config: RuleConfig) -> Json:
    about = About(
        "Mean use of the week",
        f"Percent of the weekly windows that is used, the mean of the accounts. {_CHOSEN}",
        "percent",
        _NO_QUOTA,
        decimals=0,
        links=act(config),
    )
    return panels.stat(about, queries.pool_used(), None, "green", USED_LIMITS)


def credits(config: RuleConfig) -> Json:
    about = About(
        "Credits left of the week",
        f"Weekly credits that are left, all accounts together. {_CHOSEN} {CREDITS}",
        "short",
        _NO_QUOTA,
        links=act(config),
    )
    return panels.stat(about, queries.pool_credits(), None, "green")


def waste(config: RuleConfig) -> Json:
    about = About(
        "Credits that will be left over",
        "Weekly credits that will be left at the accounts' resets, if each goes on at the mean speed of its "
        f"window so far. {_CHOSEN} {CREDITS}",
        "short",
        _NO_QUOTA,
        links=(links.runbook("QuotascopeQuotaGoingToWaste", config),),
    )
    return panels.stat(about, queries.pool_waste(), None, "orange")


def exhaustion(config: RuleConfig) -> Json:
    about = About(
        "First account runs out in",
        "Time until the first account has used up its week, if it goes on at the mean speed of its window so "
        f"far; Accounts at risk says which it is. {_CHOSEN}",
        "dtdurations",
        "No account runs out before its reset",
        decimals=1,
        links=(links.runbook("QuotascopeQuotaNearlyUsed", config),),
    )
    return panels.stat(about, queries.earliest_exhaustion(), None, "orange")


def short_windows(config: RuleConfig) -> Json:
    about = About(
        "Short windows used up",
        f"Number of accounts that have used {SHORT_USED_UP:g}% or more of their short window: they work "
        f"again once it resets, hours from now. {_CHOSEN}",
        "locale",
        _NO_QUOTA,
        decimals=0,
        links=act(config),
    )
    query = queries.short_windows_used_up(SHORT_USED_UP)
    return panels.stat(about, query, None, "green", {1: "orange"})


def pace(config: RuleConfig) -> Json:
    about = About(
        "Used against an even pace",
        "Percent of the week that is used, and that is over: the means of the accounts. Above the dashed "
        f"line they run out before their resets, well below it quota goes to waste. {_CHOSEN}",
        "percent",
        _NO_QUOTA,
        links=act(config),
    )
    return panels.timeseries(
        about,
        queries.pace(config),
        most=100,
        colors={"Used": "blue", "Even pace": "#7b7b7b"},
        dashed=("Even pace",),
        points=panels.SLOW_POINTS,
    )
