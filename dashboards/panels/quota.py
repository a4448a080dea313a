"""Panels about quota: what is left, what a week is worth, what ends soon, and what will go to waste."""

from __future__ import annotations

from dashboards.kit import links, panels
from dashboards.kit.parts import About
from dashboards.kit.plain import Json
from dashboards.kit.tables import Column, table
from dashboards.queries import quota as queries
from prometheus import addresses
from prometheus.config import RuleConfig

USED_LIMITS = {80.0: "orange", 95.0: "red"}
"""Percent of a window: at four fifths one may still move work, at 95 the next large request may fail."""

_ITS_HOURS = (links.activity("__field.labels"),)
_ITS_HOURS_IN_TABLE = (links.activity("__data.fields"),)
NO_QUOTA = "No quota is known: the proxy has seen none go by, or the exporter is not scraped"
CREDITS = "Credits are what the plan is taken to hold: see the capacity table of the configuration."
_AT_THE_END = "As last reported by the provider, at the end of the dashboard's range."


def most_credits(config: RuleConfig) -> Json:
    about = About(
        "Remaining credits of the week",
        f"Credits left in the weekly window, for the accounts that have most. {_AT_THE_END} {CREDITS}",
        "short",
        NO_QUOTA,
        links=act(config),
        value_links=_ITS_HOURS,
    )
    return panels.bar_gauge(about, [queries.most_credits()], "green")


def most_used(config: RuleConfig) -> Json:
    about = About(
        "Used of the week",
        "Percent of the weekly window that is used, for the accounts that have used most. "
        f"{_AT_THE_END} It is 0 from its reset until the provider reports the next window.",
        "percent",
        NO_QUOTA,
        links=act(config),
        value_links=_ITS_HOURS,
    )
    return panels.bar_gauge(about, [queries.most_used()], "green", USED_LIMITS, most=100)


def most_used_short(config: RuleConfig) -> Json:
    about = About(
        "Used of the short window",
        "Percent of the short window that is used, for the accounts that have used most of it. "
        f"{_AT_THE_END} It is 0 from its reset until the provider reports the next window.",
        "percent",
        NO_QUOTA,
        links=act(config),
        value_links=_ITS_HOURS,
    )
    return panels.bar_gauge(about, [queries.most_used_short()], "green", USED_LIMITS, most=100)


def implied_quota() -> Json:
    about = About(
        "Implied quota of the week (USD)",
        "US dollars that a whole week would buy: the spend since the weekly reset, at most seven days back, "
        "through the share of the window that it used. It depends on the mix of models and on caching. "
        "Accounts that have moved less than the least movement chosen above are left out: rounding alone "
        "would decide there.",
        "currencyUSD",
        "No account has moved enough: lower the least movement above, or see why estimates are suppressed",
        decimals=2,
        links=(links.dashboard(addresses.OVERVIEW, "Unpriced requests make it too low"),),
        value_links=_ITS_HOURS,
    )
    return panels.bar_gauge(about, [queries.implied_quota()])


def suppressed() -> Json:
    about = About(
        "Suppressed estimates",
        "Accounts whose window moved without the proxy's knowledge, so that an estimate would mislead, with "
        "the reason and the used percent: cycle_start_mismatch, used before we first looked; "
        "mid_cycle_jump, a rise without a request; meter_fell, quota reset before its time; "
        "no_priced_usage, nothing with a price; unknown_cycle, a window of unknown length.",
        "percent",
        "No estimate is suppressed",
        decimals=0,
        links=(links.dashboard(addresses.PIPELINE, "Whether all traffic is seen"),),
        value_links=_ITS_HOURS_IN_TABLE,
    )
    column = Column(queries.suppressed(), "Used", "percent", 0)
    return table(about, [column], {"display": "Account", "reason": "Reason", "account_id": ""})


def unexplained() -> Json:
    about = About(
        "Used beyond the proxy",
        "Percentage points of the week that rose while no request came through the proxy, for the accounts "
        f"with most of them. {_AT_THE_END} Use side by side with requests is not in it.",
        "percent",
        "All use of these accounts is explained by requests",
        decimals=0,
        links=(links.dashboard(addresses.PIPELINE, "Whether all traffic is seen"),),
        value_links=_ITS_HOURS,
    )
    return panels.bar_gauge(about, [queries.unexplained()], "orange", most=100)


def reset_accounts(config: RuleConfig) -> Json:
    about = About(
        "Reset cliff: accounts",
        "Number of accounts whose weekly window ends within so many days from the end of the dashboard's "
        "range. Many in one bar: their quota comes back, and what is left of it is lost, at the same time.",
        "locale",
        NO_QUOTA,
        decimals=0,
        links=act(config),
    )
    return panels.bar_gauge(about, queries.resetting_accounts(), "purple")


def reset_credits(config: RuleConfig) -> Json:
    about = About(
        "Reset cliff: credits",
        f"Weekly credits that are still left and end within so many days, all accounts together. {CREDITS}",
        "short",
        NO_QUOTA,
        links=act(config),
    )
    return panels.bar_gauge(about, queries.resetting_credits(), "purple")


def pacing(config: RuleConfig) -> Json:
    about = About(
        "Waste pacing",
        "Weekly credits that are left in all accounts at each moment, and those of them that will be left "
        "over at the resets if each account goes on at the mean speed of its window so far. Used-up windows "
        f"waste nothing and are not in it. {CREDITS}",
        "short",
        NO_QUOTA,
        axis="credits",
        links=act(config),
    )
    return panels.timeseries(
        about,
        queries.pacing(config),
        colors={"Left": "green", "Projected waste": "orange"},
        points=panels.SLOW_POINTS,
    )


def most_wasted(config: RuleConfig) -> Json:
    about = About(
        "Projected waste (credits)",
        "Weekly credits that will be left over at the reset, at the mean speed of the window so far, for the "
        f"accounts with most of them. An account with half a credit or less is on track. {CREDITS}",
        "short",
        "Every account with a known quota is on track",
        links=act(config),
        value_links=_ITS_HOURS,
    )
    return panels.bar_gauge(about, [queries.most_wasted()], "orange")


def risk(config: RuleConfig) -> Json:
    """Everything about those who are nearly done."""
    about = About(
        "Accounts at risk",
        "The accounts that have used most of their week, with what is known about them. Ahead of pace is how "
        "many percentage points more is used than at an even pace; Runs out in is empty where the reset "
        "comes before that at the speed so far, Implied quota where less was used than the least movement "
        "above. Times count from the end of the dashboard's range; an empty "
        f"cell means that nothing is known. {CREDITS}",
        "short",
        NO_QUOTA,
        links=act(config),
        value_links=_ITS_HOURS_IN_TABLE,
    )
    used, short, ahead, reset, ends, left, waste, cost, worth = queries.at_risk()
    limits = tuple(USED_LIMITS.items())
    columns = [
        Column(used, "Week used", "percent", 0, limits),
        Column(short, "Short used", "percent", 0, limits),
        Column(ahead, "Ahead of pace", "percent", 0, ((0.0, "orange"),)),
        Column(reset, "Resets in", "dtdhms"),
        Column(ends, "Runs out in", "dtdhms", None, ((0.0, "red"),)),
        Column(left, "Credits left", "short", 1),
        Column(waste, "Will be left", "short", 1),
        Column(cost, "Week's cost", "currencyUSD", 2),
        Column(worth, "Implied quota", "currencyUSD", 2),
    ]
    return table(about, columns, {"display": "Account", "account_id": ""})


def windows(config: RuleConfig) -> Json:
    """Which of all its windows stops an account, and until when."""
    about = About(
        "Usage windows",
        "Every usage window that the provider reports, by its length or by the model or feature that it "
        f"limits, the most used ones first, with the time to its reset. {_AT_THE_END}",
        "percent",
        NO_QUOTA,
        decimals=0,
        links=act(config),
        value_links=_ITS_HOURS_IN_TABLE,
    )
    used, reset = queries.every_window()
    columns = [
        Column(used, "Used", "percent", 0, tuple(USED_LIMITS.items())),
        Column(reset, "Resets in", "dtdhms"),
    ]
    return table(about, columns, {"display": "Account", "window": "Window", "account_id": ""})


def act(config: RuleConfig) -> tuple[links.Link, ...]:
    return (links.console(config), links.dashboard(addresses.ROUTING, "How accounts are chosen"))
