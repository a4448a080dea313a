from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from prometheus.config import RuleConfig
from prometheus.errors import ConfigError
from settings.rules import Rules


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"scrape_timeout": "16s"}, "scrape_timeout"),
        ({"rate_window": "59s"}, "rate_window"),
    ],
)
def test_a_value_that_cannot_work_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=f"^{named} = .*allowed: "):
        RuleConfig.of(Rules.model_validate(change))


def test_the_bounds_themselves_are_allowed() -> None:
    interval = timedelta(seconds=15)
    config = RuleConfig.of(Rules(scrape_interval=interval, scrape_timeout=interval, rate_window=4 * interval))
    assert config.panel_step == interval


def test_four_panel_steps_are_the_rate_window() -> None:
    config = RuleConfig()
    assert 4 * config.panel_step == config.rate_window
