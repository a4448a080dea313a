from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from dashboards.kit import colors
from dashboards.kit.parts import fixed, override
from dashboards.panels.days import cost_per_day, cost_today
from dashboards.preview import theme
from dashboards.preview.answered import Answered
from dashboards.preview.grafana_time import Ask, Range
from dashboards.preview.source import Series
from prometheus.config import RuleConfig

NOW = datetime(2026, 9, 10, tzinfo=UTC)
ASK = Ask("x", NOW, NOW, timedelta(minutes=1), True, "")


def answered(panel: dict[str, Any], *names: str) -> Answered:
    series = [Series(name, {}, ((NOW, 1.0),)) for name in names]
    return Answered(panel, Range(NOW, NOW), [(ASK, series)])


def test_a_little_money_is_not_shown_as_none() -> None:
    cost = answered(cost_today(RuleConfig()))
    assert cost.text(0.0001) == "< $0.01"
    assert cost.text(0.0) == "$0.00"
    assert cost.text(0.006) == "$0.01"


def test_a_panels_own_colours_go_before_the_palette() -> None:
    bars = answered(cost_per_day(), "Cost/day", "7d average", "another")
    colors = [bars.color(number, series.name) for number, series in enumerate(bars.series)]
    assert colors == [theme.color("blue"), theme.color("orange"), theme.in_order(2)]
    assert bars.field("7d average", "custom.drawStyle") == "line"
    assert bars.field("Cost/day", "custom.drawStyle") is None


def test_an_empty_panel_has_its_reason() -> None:
    assert "midnight" in answered(cost_per_day()).no_value


def test_colours_by_meaning_are_patterns_of_which_the_last_decides() -> None:
    panel = cost_per_day() | {
        "fieldConfig": {
            "defaults": {},
            "overrides": [override(name, color=fixed(color)) for name, color in colors.HTTP.items()],
        }
    }
    found = answered(panel, "200", "404", "429", "503", "0")
    named = [found.color(number, one.name) for number, one in enumerate(found.series)]
    assert named[:4] == [theme.NAMED[name] for name in ("green", "orange", "yellow", "red")]
    assert named[4] == theme.in_order(4)
