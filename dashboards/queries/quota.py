"""What the dashboard of accounts asks about quota windows, estimates and resets.

The latest values of gauges, by account. Credits are what a plan's window is taken to hold; dollars are what
the traffic through the proxy would have cost.
"""

from __future__ import annotations

from dashboards.queries.activity import everything_is_chosen
from dashboards.queries.identity import named
from dashboards.queries.query import ACCOUNT, Query, highest, stepped
from metrics import exporter
from metrics.family import MetricFamily
from prometheus.config import RuleConfig
from prometheus.promql import select
from prometheus.quota import elapsed_seconds, projected_unused_percent, seconds_to_reset

NAME = "{{display}}"
MAX_LINES = 6
"""Accounts that get lines of their own; more of them would hide each other."""

DAYS = 7
"""Of the weekly window: every reset lies within so many days."""


def most_credits() -> Query:
    """Weekly credits that are left, most first."""
    return _ranked(latest(exporter.SECONDARY_CREDITS))


def most_used() -> Query:
    """Percent of the weekly window that is used, most first."""
    return _ranked(latest(exporter.SECONDARY_USED))


def most_used_short() -> Query:
    """Percent of the short window that is used, most first."""
    return _ranked(latest(exporter.PRIMARY_USED))


def pool_credits() -> Query:
    """Weekly credits that are left in all accounts."""
    return Query(f"sum({latest(exporter.SECONDARY_CREDITS)})", "Credits left", instant=True)


def pool_used() -> Query:
    """Percent of the week that is used, the mean of the accounts."""
    return Query(f"avg({latest(exporter.SECONDARY_USED)})", "Used", instant=True)


def pool_waste() -> Query:
    """Credits of all accounts that will be left at their resets."""
    return Query(f"sum({projected_waste()})", "Projected waste", instant=True)


def earliest_exhaustion() -> Query:
    """Seconds until the first account has used up its week, at its speed so far."""
    return Query(f"min({seconds_left()})", "Earliest exhaustion", instant=True)


def short_windows_used_up(percent: float) -> Query:
    """Number of accounts whose short window is used up to so many percent."""
    used = latest(exporter.PRIMARY_USED)
    return Query(f"count({used} >= {percent:g}) or 0 * count({used})", "Accounts", instant=True)


def pace(config: RuleConfig) -> tuple[Query, Query]:
    """Percent of the week that is used, and that is over: means of the accounts."""
    return (
        stepped(Query(f"avg({latest(exporter.SECONDARY_USED)})", "Used"), config),
        stepped(Query(f"avg({_even_pace()})", "Even pace"), config),
    )


def implied_quota() -> Query:
    """US dollars that a week is worth, where enough of it has been used to tell."""
    return _ranked(_worth())


def _worth() -> str:
    worth, used = latest(exporter.IMPLIED_QUOTA_7D), latest(exporter.USED_DELTA_7D)
    return f"{worth} and on (account_id) ({used} >= $least)"


def suppressed() -> Query:
    """Percent used of accounts that get no estimate, by the reason."""
    reasons = f"max by (account_id, reason) ({select(exporter.ESTIMATE_SUPPRESSED, ACCOUNT)})"
    used = f"{reasons} * on (account_id) group_left () {latest(exporter.SECONDARY_USED)}"
    return Query(f"sort_desc({named(used, 'reason')})", NAME, instant=True)


def resetting_accounts() -> tuple[Query, ...]:
    """Number of accounts whose week ends, by days from now."""
    return tuple(
        Query(f"count({span}) or 0 * count({_to_reset()})", legend, instant=True) for legend, span in _days()
    )


def resetting_credits() -> tuple[Query, ...]:
    """Credits that are still there and end with their week, by days from now."""
    credits = latest(exporter.SECONDARY_CREDITS)
    return tuple(
        Query(f"sum({credits} and on (account_id) {span}) or 0 * sum({credits})", legend, instant=True)
        for legend, span in _days()
    )


def most_wasted() -> Query:
    """Credits that will be left at the reset, at the speed of the window so far."""
    return _ranked(f"{projected_waste()} > 0.5")


def pacing(config: RuleConfig) -> tuple[Query, Query]:
    """Over all accounts: credits that are left, and those of them that nobody will use."""
    left = f"sum({latest(exporter.SECONDARY_CREDITS)})"
    return (
        stepped(Query(left, "Left"), config),
        stepped(Query(f"sum({projected_waste()})", "Projected waste"), config),
    )


def projected_waste() -> str:
    """By account: credits left over at the reset, if used as fast as since the window began: the percent
    that the alert asks for, in credits.

    A percent of the week is left credits / (100 - used). Without a capacity, with a used-up window or one
    whose end has passed, there is no answer.
    """
    left, used = latest(exporter.SECONDARY_CREDITS), latest(exporter.SECONDARY_USED)
    percent = projected_unused_percent(latest)
    return f"({left} / (100 - {used} > 0) * {percent} and {_to_reset()})"


def seconds_left() -> str:
    """By account: seconds until the week is used up at the speed since it began, where that is before its
    reset."""
    used = latest(exporter.SECONDARY_USED)
    return f"((100 - {used}) / ({used} > 0) * {elapsed_seconds(latest)} < {_to_reset()})"


def ahead_of_pace() -> str:
    """By account: percentage points that more is used than would be at an even pace through the week."""
    return f"({latest(exporter.SECONDARY_USED)} - {_even_pace()})"


def _even_pace() -> str:
    """Percent of the week that is over."""
    return f"{elapsed_seconds(latest)} / ({latest(exporter.SECONDARY_WINDOW)} * 60) * 100"


def at_risk() -> tuple[Query, ...]:
    """The accounts that have used most of their week, by column: used of the week and of the short window,
    points ahead of an even pace, seconds to the reset and to the end of the quota, credits left, projected
    waste, dollars of the week, implied quota."""
    return tuple(
        Query(
            named(f"{column} and on (account_id) topk($top, {latest(exporter.SECONDARY_USED)})"), NAME, True
        )
        for column in (
            latest(exporter.SECONDARY_USED),
            latest(exporter.PRIMARY_USED),
            ahead_of_pace(),
            _to_reset(),
            seconds_left(),
            latest(exporter.SECONDARY_CREDITS),
            projected_waste(),
            latest(exporter.ACCOUNT_CYCLE_COST),
            f"({_worth()}) > 0",
        )
    )


def every_window() -> tuple[Query, Query]:
    """The most used windows of all accounts: percent used, and seconds to the reset where that is known."""
    used, reset = (
        f"max by (account_id, window) ({select(family, ACCOUNT)})"
        for family in (exporter.WINDOW_USED, exporter.WINDOW_RESET)
    )
    left = f"({reset} - time() > 0) and on (account_id, window) {highest(used)}"
    return tuple(Query(named(expr, "window"), NAME, instant=True) for expr in (highest(used), left))  # type: ignore[return-value]


def windows(config: RuleConfig) -> tuple[Query, ...]:
    """Percent used of both windows: the mean of several accounts and, of a few, each."""
    gauges = exporter.PRIMARY_USED, exporter.SECONDARY_USED
    short, week = map(latest, gauges)
    means = [
        _of_all("avg", each, _every(gauge), f" unless on () (count({each}) == 1)")
        for each, gauge in zip((short, week), gauges, strict=True)
    ]
    few = [f"({named(each)}) and on () (count({each}) <= {MAX_LINES})" for each in (short, week)]
    asked = (
        (few[0], "{{display}} short window"),
        (few[1], "{{display}} week"),
        (means[0], "mean, short window"),
        (means[1], "mean, week"),
    )
    return tuple(stepped(Query(expr, legend), config) for expr, legend in asked)


def week_so_far(config: RuleConfig) -> tuple[Query, Query]:
    """US dollars of the accounts' weeks so far, and what their whole weeks are worth by their estimates."""
    worth = [f"({pick(exporter.IMPLIED_QUOTA_7D)} > 0)" for pick in (latest, _every)]
    spent = [
        f"{pick(exporter.ACCOUNT_CYCLE_COST)} and on (account_id) {known}"
        for pick, known in zip((latest, _every), worth, strict=True)
    ]
    return (
        stepped(Query(_of_all("sum", *spent), "Spent since the reset"), config),
        stepped(Query(_of_all("sum", *worth), "Implied quota"), config),
    )


def _of_all(operation: str, some: str, every: str, unless: str = "") -> str:
    """Of the accounts that are chosen, or of every account where all are."""
    return f"{operation}({some}){unless} or ({operation}({every}) and on () ({everything_is_chosen()}))"


def _every(family: MetricFamily) -> str:
    return f"max by (account_id) ({select(family)})"


def unexplained() -> Query:
    """Percentage points of the week that no request explains, most first."""
    return _ranked(f"{latest(exporter.UNEXPLAINED_7D)} > 0.5")


def latest(family: MetricFamily) -> str:
    """A gauge of the exporter by account, from whichever exporter has it."""
    return f"max by (account_id) ({select(family, ACCOUNT)})"


def _to_reset() -> str:
    return f"({seconds_to_reset(latest)} > 0)"


def _days() -> list[tuple[str, str]]:
    """A legend and the seconds to the reset, for each day from now."""
    spans = []
    for day in range(DAYS):
        legend = "within a day" if day == 0 else f"in {day} to {day + 1} days"
        spans.append((legend, f"({_to_reset()} > {day * 86_400} <= {(day + 1) * 86_400})"))
    return spans


def _ranked(expr: str) -> Query:
    return Query(f"sort_desc({named(highest(expr))})", NAME, instant=True)
