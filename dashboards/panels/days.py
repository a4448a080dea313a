"""Panels over whole days: today so far, yesterday, and the days before."""

from __future__ import annotations

from dashboards.kit import links, panels
from dashboards.kit.parts import About, Span
from dashboards.kit.plain import Json
from dashboards.queries import overview as queries
from prometheus import addresses
from prometheus.config import RuleConfig

TODAY = Span("now/d")
MONTH = Span("now/M")
YESTERDAY = Span("now-2d/d", "now/d")
LAST_WEEK = Span("now-7d/d", "now/d")
"""Eight midnights: the first bar stands before the left edge, the other seven are the completed days."""

PRICED_ONLY = "Requests without a price are not in it: see Unpriced requests. The API filter does not apply."
_SPENDERS = links.dashboard(addresses.ACCOUNTS, "Who spends it")
_KEYS = links.dashboard(addresses.API_KEYS, "Who calls")
_NO_TODAY = "Nothing since midnight, or zoomed"
_NO_YESTERDAY = "Nothing yesterday, or zoomed"


def cost_today(config: RuleConfig) -> Json:
    """US dollars since midnight."""
    about = About(
        "Cost today so far (USD)",
        "US dollars of all priced requests from today's midnight (browser time zone) until now. "
        f"Red from the limit of ${config.spend_limit_usd:g} a day on. {PRICED_ONLY}",
        "currencyUSD",
        _NO_TODAY,
        decimals=2,
        links=(_SPENDERS, links.runbook("QuotascopeSpendAboveLimit", config)),
    )
    return panels.stat(about, queries.cost_so_far(), TODAY, "blue", {config.spend_limit_usd: "red"})


def cost_against_yesterday() -> Json:
    """Whether today is dearer than yesterday was by now."""
    return _against(1, "Cost against yesterday", "yesterday until this time of day")


def cost_against_last_week() -> Json:
    """Whether today is dearer than this weekday usually is by now."""
    return _against(7, "Cost against last week", "this day a week ago until this time")


def _against(days: int, title: str, before: str) -> Json:
    about = About(
        title,
        f"How much more or less was spent since midnight than {before} (browser time zone): 20% is a fifth "
        f"more, -20% a fifth less. {PRICED_ONLY}",
        "percentunit",
        "Nothing to compare with, or zoomed",
        decimals=0,
        links=(_SPENDERS,),
    )
    return panels.stat(about, queries.cost_against(days), TODAY)


def cost_of_month(config: RuleConfig) -> Json:
    """US dollars since the month began."""
    about = About(
        "Cost this month (USD)",
        "US dollars of all priced requests since the first of the month (browser time zone), to within ten "
        f"minutes, as far back as Prometheus keeps data. {PRICED_ONLY}",
        "currencyUSD",
        "Nothing this month, or zoomed",
        decimals=2,
        links=(_SPENDERS,),
    )
    return panels.stat(about, queries.cost_of_month(), MONTH, "blue")


def limit_of_month(config: RuleConfig) -> Json:
    """How much of what one is ready to pay is spent."""
    about = About(
        "Budget of the month used",
        "Cost of this month as a share of what the limit in [rules], spend_limit_usd = "
        f"${config.spend_limit_usd:g} a day, allows for the whole month. {PRICED_ONLY}",
        "percentunit",
        "Nothing this month, or zoomed",
        decimals=0,
        links=(links.runbook("QuotascopeSpendAboveLimit", config),),
    )
    limits = {0.8: "orange", 1.0: "red"}
    return panels.stat(about, queries.limit_of_month(config), MONTH, "green", limits)


def cost_projected() -> Json:
    """US dollars of today when it will be over."""
    about = About(
        "Projected end of day (USD)",
        "US dollars of today so far, plus what the rest of this day cost a week ago (browser time zone). "
        "Without a week of data: what the last 24 hours cost. "
        f"{PRICED_ONLY}",
        "currencyUSD",
        "Nothing in the last 24 hours, or zoomed",
        decimals=2,
        links=(_SPENDERS,),
    )
    return panels.stat(about, queries.cost_projected(), TODAY, "orange")


def cost_yesterday() -> Json:
    """US dollars of the last completed day."""
    about = About(
        "Cost yesterday (USD)",
        "US dollars of the 24 hours before today's midnight (browser time zone): the latest bar of Cost/day. "
        "Needs scrapes from the whole day; without any it shows the last day that has them. "
        f"{PRICED_ONLY}",
        "currencyUSD",
        _NO_YESTERDAY,
        decimals=2,
        links=(_SPENDERS,),
    )
    return panels.stat(about, queries.cost_yesterday(), YESTERDAY)


def requests_today() -> Json:
    """Requests since midnight."""
    about = About(
        "Requests today so far",
        "Requests of every outcome, cancelled ones too, from today's midnight (browser time zone) until now.",
        "locale",
        _NO_TODAY,
        decimals=0,
        links=(_KEYS,),
    )
    return panels.stat(about, queries.requests_so_far(), TODAY, "blue")


def requests_yesterday() -> Json:
    """Requests of the last completed day."""
    about = About(
        "Requests yesterday",
        "Requests of every outcome in the 24 hours before today's midnight (browser time zone). "
        "Needs scrapes from the whole day; without any it shows the last day that has them.",
        "locale",
        _NO_YESTERDAY,
        decimals=0,
        links=(_KEYS,),
    )
    return panels.stat(about, queries.requests_yesterday(), YESTERDAY)


def cost_per_day() -> Json:
    """Seven completed days and their moving average."""
    about = About(
        "Cost/day (USD, completed days + 7d avg)",
        "Each bar is a completed day: the 24 hours ([1d]) before a midnight of the browser's time zone. "
        "The latest bar is usually yesterday: compare it with Cost yesterday (USD); today is not in it. "
        "The line is the average of the seven days before each midnight; days without data count as 0. "
        "A day on which the clocks change is 24 hours here all the same, and while zoomed the midnights are "
        "those of UTC.",
        "currencyUSD",
        "No completed day in the range: the first bar appears after midnight",
        decimals=2,
        links=(_SPENDERS,),
    )
    return panels.bars(about, queries.cost_per_day(), queries.cost_per_day_averaged(), LAST_WEEK)
