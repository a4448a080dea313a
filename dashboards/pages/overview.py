"""The Overview: what today costs, whether requests succeed, how fast and with what they are answered."""

from __future__ import annotations

from dashboards.kit import frame, panels, variables
from dashboards.kit.layout import Row, place
from dashboards.kit.plain import Json
from dashboards.panels import days, traffic
from prometheus import addresses
from prometheus.config import RuleConfig

UID = addresses.OVERVIEW
TITLE = "Overview"
DESCRIPTION = "Cost, requests, errors, speed and tokens of the LLM traffic through the proxy."


def dashboard(config: RuleConfig) -> Json:
    placed = place((_today(config), _cost(config), _requests(config), _speed(config)))
    choices = [
        variables.datasource(),
        variables.model(),
        variables.api(),
        variables.top(),
        variables.resolution(config),
        variables.fine(config),
        variables.coarse(config),
    ]
    return frame.dashboard(UID, TITLE, DESCRIPTION, placed, choices)


def _today(config: RuleConfig) -> Row:
    cells = (
        (5, days.cost_today(config)),
        (5, days.cost_yesterday()),
        (5, days.requests_today()),
        (4, days.requests_yesterday()),
        (5, days.cost_projected()),
        (6, days.cost_against_yesterday()),
        (6, days.cost_against_last_week()),
        (6, days.cost_of_month(config)),
        (6, days.limit_of_month(config)),
    )
    return Row(panels.row("Today so far"), 4, cells)


def _cost(config: RuleConfig) -> Row:
    cells = (
        (12, days.cost_per_day()),
        (12, traffic.cost_by_model()),
        (8, traffic.cost_by_key()),
        (8, traffic.cost_by_project(config)),
        (8, traffic.unpriced()),
    )
    return Row(panels.row("Cost"), 8, cells)


def _requests(config: RuleConfig) -> Row:
    cells = (
        (8, traffic.requests_by_model(config)),
        (8, traffic.error_rate(config)),
        (8, traffic.errors(config)),
        (12, traffic.tokens_by_kind(config)),
        (12, traffic.cache_ratio(config)),
    )
    return Row(panels.row("Requests"), 8, cells)


def _speed(config: RuleConfig) -> Row:
    cells = (
        (8, traffic.latency(config)),
        (8, traffic.latency_by_model(config)),
        (8, traffic.time_to_first_token(config)),
    )
    return Row(panels.row("Speed"), 9, cells)
