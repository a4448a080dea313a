"""What the dashboard of accounts asks about quota windows, estimates and resets.

The latest values of gauges, by account. Credits are what a plan's window is taken to hold; dollars are what
the traffic through the proxy would have cost.
"""

from __future__ import annotations

from dashboards.queries.identity import named
from dashboards.queries.query import ACCOUNT, Query, highest, stepped
from metrics import exporter
from metrics.family import MetricFamily
from prometheus.config import RuleConfig
from prometheus.promql import select

NAME = "{{display}}"
DAYS = 7
"""Of the weekly window: every reset lies within so many days."""


def most_credits() -> Query:
    """Weekly credits that are left, most first."""
    return _ranked(latest(exporter.SECONDARY_CREDITS))


def most_used() -> Query:
    """Percent of the weekly window that is used, most first."""
    return _ranked(latest(exporter.SECONDARY_USED))


def implied_quota() -> Query:
    """US dollars that a week is worth, where enough of it has been used to tell."""
    worth, used = latest(exporter.IMPLIED_QUOTA_7D), latest(exporter.USED_DELTA_7D)
    return _ranked(f"{worth} and on (account_id) ({used} >= $least)")


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
    """By account: credits left over at the reset, if used as fast as since the window began.

    Used credits are left credits * used / (100 - used). Without a capacity, with a used-up window or one
    whose end has passed, there is no answer.
    """
    left, used = latest(exporter.SECONDARY_CREDITS), latest(exporter.SECONDARY_USED)
    elapsed = f"({latest(exporter.SECONDARY_WINDOW)} * 60 - {_to_reset()} > 0)"
    return f"clamp_min({left} * (1 - {used} / (100 - {used} > 0) * {_to_reset()} / {elapsed}), 0)"


def at_risk() -> tuple[Query, ...]:
    """The accounts that have used most of their week, by column: used of the week and of the short window,
    seconds to the reset, credits left, projected waste, dollars of the week, implied quota."""
    return tuple(
        Query(
            named(f"{column} and on (account_id) topk($top, {latest(exporter.SECONDARY_USED)})"), NAME, True
        )
        for column in (
            latest(exporter.SECONDARY_USED),
            latest(exporter.PRIMARY_USED),
            _to_reset(),
            latest(exporter.SECONDARY_CREDITS),
            projected_waste(),
            latest(exporter.ACCOUNT_CYCLE_COST),
            f"({latest(exporter.IMPLIED_QUOTA_7D)} > 0)",
        )
    )


def windows(config: RuleConfig) -> tuple[Query, Query]:
    """Percent used of both windows of each account."""
    short, week = (named(latest(family)) for family in (exporter.PRIMARY_USED, exporter.SECONDARY_USED))
    return (
        stepped(Query(short, "{{display}} short window"), config),
        stepped(Query(week, "{{display}} week"), config),
    )


def latest(family: MetricFamily) -> str:
    """A gauge of the exporter by account, from whichever exporter has it."""
    return f"max by (account_id) ({select(family, ACCOUNT)})"


def _to_reset() -> str:
    return f"({latest(exporter.SECONDARY_RESET)} - time() > 0)"


def _days() -> list[tuple[str, str]]:
    """A legend and the seconds to the reset, for each day from now."""
    spans = []
    for day in range(DAYS):
        legend = "within a day" if day == 0 else f"in {day} to {day + 1} days"
        spans.append((legend, f"({_to_reset()} > {day * 86_400} <= {(day + 1) * 86_400})"))
    return spans


def _ranked(expr: str) -> Query:
    return Query(f"sort_desc({named(highest(expr))})", NAME, instant=True)
