"""What the Overview promises."""

from __future__ import annotations

from typing import Any

import pytest

from dashboards.build import dashboards
from prometheus.config import RuleConfig
from prometheus.jobs import confined

BUILT = dashboards(RuleConfig())


def by_title(title: str) -> dict[str, Any]:
    (found,) = (panel for panel in BUILT["overview"]["panels"] if panel["title"] == title)
    return dict(found)


def test_variables_choose_datasource_models_and_apis() -> None:
    datasource, model, api, *_ = BUILT["overview"]["templating"]["list"]
    assert (datasource["name"], datasource["type"], datasource["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    for variable in (model, api):
        asked = f"label_values(codex_lb_proxy_requests_total, {variable['name']})"
        assert variable["query"] == confined(asked, RuleConfig())
        assert variable["multi"] is variable["includeAll"] is True
        assert variable["allValue"] == ".*"
        assert variable["current"]["value"] == ["$__all"]


def test_today_so_far_stands_first_with_its_stats() -> None:
    panels = BUILT["overview"]["panels"]
    assert panels[0]["title"] == "Today so far"
    assert [panel["title"] for panel in panels[1:6]] == [
        "Cost today so far (USD)",
        "Cost yesterday (USD)",
        "Requests today so far",
        "Requests yesterday",
        "Projected end of day (USD)",
    ]
    assert {panel["type"] for panel in panels[1:6]} == {"stat"}


@pytest.mark.parametrize(
    ("title", "series"),
    [
        ("Cost today so far (USD)", 'codex_lb_proxy_cost_usd_total{model=~"$model"}'),
        ("Requests today so far", 'codex_lb_proxy_requests_total{model=~"$model",api=~"$api"}'),
    ],
)
def test_today_runs_from_midnight_to_now(title: str, series: str) -> None:
    panel = by_title(title)
    (target,) = panel["targets"]
    assert (panel["timeFrom"], panel["hideTimeOverride"], target["instant"]) == ("now/d", True, True)
    assert "timeTo" not in panel
    zoomed = (
        " and on () (vector((time() - $__range_s + 1) % 900) < 3)"
        " unless on () job_instance_model:codex_lb_proxy_cost_usd:sum_total offset -10m"
    )
    assert target["expr"] == confined(f"sum(increase({series}[$__range])){zoomed}", RuleConfig())


@pytest.mark.parametrize(
    ("title", "daily"),
    [
        ("Cost yesterday (USD)", 'sum(increase(codex_lb_proxy_cost_usd_total{model=~"$model"}[1d]))'),
        (
            "Requests yesterday",
            'sum(increase(codex_lb_proxy_requests_total{model=~"$model",api=~"$api"}[1d]))',
        ),
    ],
)
def test_yesterday_is_the_last_point_of_the_daily_query(title: str, daily: str) -> None:
    panel = by_title(title)
    (target,) = panel["targets"]
    assert (panel["timeFrom"], panel["timeTo"], panel["hideTimeOverride"]) == ("now-2d/d", "now/d", True)
    later = "job_instance_model:codex_lb_proxy_cost_usd:sum_total[2h] @ end() offset -26h"
    expr = confined(daily, RuleConfig())
    kept = " and on () (vector($__range_s) >= 169200 <= 266400)"
    assert target["expr"].startswith(f"{expr}{kept} unless on () present_over_time({later}) unless on () ")
    assert (target["interval"], target["range"]) == ("1d", True)


def test_cost_per_day_shows_completed_days_and_says_so() -> None:
    panel = by_title("Cost/day (USD, completed days + 7d avg)")
    assert panel["timeTo"] == "now/d"
    bar, line = panel["targets"]
    assert by_title("Cost yesterday (USD)")["targets"][0]["expr"].startswith(bar["expr"] + " and on")
    assert {bar["interval"], line["interval"]} == {"1d"}
    for phrase in ("completed day", "[1d]", "latest bar is usually yesterday", "Cost yesterday (USD)"):
        assert phrase in panel["description"]
    custom = panel["fieldConfig"]["defaults"]["custom"]
    assert (custom["drawStyle"], custom["barAlignment"]) == ("bars", -1)


def test_the_alerts_threshold_is_in_the_picture() -> None:
    config = RuleConfig(error_ratio_above=0.2)
    panel = next(p for p in dashboards(config)["overview"]["panels"] if p["title"] == "Error rate")
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["thresholds"]["steps"][-1]["value"] == 0.2
    assert defaults["custom"]["axisSoftMax"] > 0.2
