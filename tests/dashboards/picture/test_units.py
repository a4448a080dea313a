from __future__ import annotations

import pytest

from dashboards.build import dashboards
from dashboards.preview.units import _FORMATS, formatted
from prometheus.config import RuleConfig


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (12.3456, "currencyUSD", 2, "$12.35"),
        (1_234.5, "currencyUSD", 2, "$1.23K"),
        (-3.0, "currencyUSD", 2, "-$3.00"),
        (0.0, "currencyUSD", 2, "$0.00"),
        (0.0312, "percentunit", None, "3.12%"),
        (1.0, "percentunit", None, "100%"),
        (850.0, "ms", None, "850 ms"),
        (1_250.0, "ms", None, "1.25 s"),
        (90_000.0, "ms", None, "1.5 min"),
        (0.0, "ms", None, "0 ms"),
        (1_234_567.0, "locale", 0, "1,234,567"),
        (12_345.0, "short", None, "12.3 K"),
        (0.0421, "short", None, "0.042"),
        (10.0, "short", None, "10"),
        (2.5, "reqpm", None, "2.5 req/min"),
        (0.0614, "suffix:out per in", 3, "0.061 out per in"),
        (7.0, "no such unit", None, "7"),
    ],
)
def test_numbers_read_as_in_grafana(value: float, unit: str, decimals: int | None, text: str) -> None:
    assert formatted(value, unit, decimals) == text


def test_every_unit_that_a_panel_uses_is_known() -> None:
    used = {
        panel["fieldConfig"]["defaults"]["unit"]
        for dashboard in dashboards(RuleConfig()).values()
        for panel in dashboard["panels"]
        if panel["type"] != "row"
    }
    assert {unit for unit in used if not unit.startswith("suffix:")} <= set(_FORMATS)
