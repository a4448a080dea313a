from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from prometheus.config import RuleConfig
from prometheus.errors import ConfigError


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"scrape_interval": timedelta(0)}, "scrape_interval"),
        ({"dropped_within": timedelta(seconds=-1)}, "dropped_within"),
        ({"scrape_timeout": timedelta(seconds=16)}, "scrape_timeout"),
        ({"rate_window": timedelta(seconds=59)}, "rate_window"),
        ({"error_ratio_above": 1.0}, "error_ratio_above"),
        ({"error_ratio_above": -0.1}, "error_ratio_above"),
    ],
)
def test_a_value_that_cannot_work_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=f"^{named} = .*allowed: "):
        replace(RuleConfig(), **change)


def test_the_bounds_themselves_are_allowed() -> None:
    interval = timedelta(seconds=15)
    config = RuleConfig(scrape_interval=interval, scrape_timeout=interval, rate_window=4 * interval)
    assert config.panel_step == interval


def test_four_panel_steps_are_the_rate_window() -> None:
    config = RuleConfig()
    assert 4 * config.panel_step == config.rate_window
