"""Accounts and quota: who has how much left, who spends it, and what will run out or go to waste."""

from __future__ import annotations

from dashboards.kit import frame, panels, variables
from dashboards.kit.layout import Row, place
from dashboards.kit.plain import Json
from dashboards.panels import pool, quota, spenders
from prometheus import addresses
from prometheus.config import RuleConfig

UID = addresses.ACCOUNTS
TITLE = "Accounts and quota"
DESCRIPTION = "Quota windows, estimates, resets and traffic of every account."


def dashboard(config: RuleConfig) -> Json:
    rows = (_pool(config), _look(config), _left(config), _ends(config), _traffic(config))
    choices = [variables.datasource(), variables.accounts_of_all(), variables.top(), variables.least()]
    return frame.dashboard(UID, TITLE, DESCRIPTION, place(rows), choices, quota=True)


def _pool(config: RuleConfig) -> Row:
    cells = (
        (5, pool.used(config)),
        (5, pool.credits(config)),
        (5, pool.waste(config)),
        (5, pool.exhaustion(config)),
        (4, pool.short_windows(config)),
    )
    return Row(panels.row("All of them together"), 4, cells)


def _look(config: RuleConfig) -> Row:
    cells = (
        (24, quota.risk(config)),
        (6, quota.most_used(config)),
        (6, quota.most_used_short(config)),
        (12, quota.windows(config)),
    )
    return Row(panels.row("Who is at risk"), 9, cells)


def _left(config: RuleConfig) -> Row:
    cells = (
        (8, quota.most_credits(config)),
        (8, quota.implied_quota()),
        (8, spenders.by_status(config)),
        (14, quota.suppressed()),
        (10, quota.unexplained()),
    )
    return Row(panels.row("What is left, and what it is worth"), 9, cells)


def _ends(config: RuleConfig) -> Row:
    cells = (
        (8, pool.pace(config)),
        (8, quota.pacing(config)),
        (8, quota.most_wasted(config)),
        (12, quota.reset_accounts(config)),
        (12, quota.reset_credits(config)),
    )
    # Seven bars with their names stand in it without scrolling.
    return Row(panels.row("What ends, and what goes to waste"), 12, cells)


def _traffic(config: RuleConfig) -> Row:
    cells = (
        (6, spenders.cost_per_hour(config)),
        (6, spenders.requests_per_minute(config)),
        (6, spenders.error_ratio(config)),
        (6, spenders.cost_in_range()),
    )
    return Row(panels.row("Traffic by account"), 9, cells)
