"""What every panel must have, and what the Overview promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dashboards.build import DASHBOARDS, dashboards
from dashboards.frame import SCHEMA_VERSION, TAG
from dashboards.overview import UID
from prometheus.config import RuleConfig

BUILT = dashboards(RuleConfig())
PANELS = [
    pytest.param(panel, id=f"{name}-{panel['title']}")
    for name, dashboard in BUILT.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]
DAILY = "sum(increase({}[1d]))"


def by_title(title: str) -> dict[str, Any]:
    (found,) = (panel for panel in BUILT["overview"]["panels"] if panel["title"] == title)
    return dict(found)


def nulls(value: Any, path: str = "") -> Iterator[str]:
    if value is None:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield from nulls(inner, f"{path}.{key}")
    for number, inner in enumerate(value if isinstance(value, list) else ()):
        yield from nulls(inner, f"{path}[{number}]")


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_counts_in_which_unit_and_why_it_may_be_empty(panel: dict[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    assert len(panel["description"]) > 40
    assert defaults["unit"]
    assert len(defaults["noValue"]) > 10
    assert isinstance(defaults.get("thresholds", {"steps": []})["steps"], list)


@pytest.mark.parametrize("panel", PANELS)
def test_a_target_leaves_nothing_to_chance(panel: dict[str, Any]) -> None:
    assert [target["refId"] for target in panel["targets"]] == list("ABCDEFG"[: len(panel["targets"])])
    for target in panel["targets"]:
        assert target["range"] is not target["instant"]
        assert target["intervalFactor"] == 1
        assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert target["legendFormat"]


@pytest.mark.parametrize("panel", PANELS)
def test_only_lines_choose_their_number_of_points(panel: dict[str, Any]) -> None:
    """A day's bar must not depend on it, and a stat or table needs one point."""
    assert ("maxDataPoints" in panel) == (panel["type"] == "timeseries" and "timeFrom" not in panel)


@pytest.mark.parametrize("panel", PANELS)
def test_numbers_are_the_last_ones(panel: dict[str, Any]) -> None:
    if "reduceOptions" in panel["options"]:
        assert panel["options"]["reduceOptions"] == {"calcs": ["lastNotNull"], "fields": "", "values": False}


@pytest.mark.parametrize("panel", PANELS)
def test_rates_never_have_shorter_windows_than_the_rules(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        if "$__rate_interval" in target["expr"]:
            assert target["interval"] == "75s"


@pytest.mark.parametrize("name", BUILT)
def test_a_dashboard_is_ours_current_and_fixed(name: str) -> None:
    dashboard = BUILT[name]
    assert dashboard["schemaVersion"] == SCHEMA_VERSION
    assert dashboard["editable"] is False
    assert dashboard["tags"] == [TAG]
    assert dashboard["timezone"] == "browser"
    assert dashboard["time"] == {"from": "now-24h", "to": "now"}
    assert list(nulls(dashboard)) == []


@pytest.mark.parametrize("name", BUILT)
def test_the_grid_has_no_overlap_and_no_gap(name: str) -> None:
    cells = [
        (grid["x"] + x, grid["y"] + y)
        for grid in (panel["gridPos"] for panel in BUILT[name]["panels"])
        for x in range(grid["w"])
        for y in range(grid["h"])
    ]
    assert len(cells) == len(set(cells)) == 24 * (max(y for _, y in cells) + 1)


@pytest.mark.parametrize("name", BUILT)
def test_ids_and_titles_are_there_once(name: str) -> None:
    panels = BUILT[name]["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    assert len({panel["title"] for panel in panels}) == len(panels)


def test_every_dashboard_has_an_address_of_its_own() -> None:
    uids = [dashboard["uid"] for dashboard in BUILT.values()]
    assert UID == BUILT["overview"]["uid"] == "quotascope-overview"
    assert len(set(uids)) == len(DASHBOARDS)


def test_variables_choose_datasource_models_and_apis() -> None:
    datasource, model, api = BUILT["overview"]["templating"]["list"]
    assert (datasource["name"], datasource["type"], datasource["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    for variable in (model, api):
        assert variable["query"] == f"label_values(codex_lb_proxy_requests_total, {variable['name']})"
        assert variable["multi"] is variable["includeAll"] is True
        assert variable["allValue"] == ".*"
        assert variable["current"]["value"] == ["$__all"]


def test_today_so_far_stands_first_with_its_four_stats() -> None:
    panels = BUILT["overview"]["panels"]
    assert panels[0]["title"] == "Today so far"
    assert [panel["title"] for panel in panels[1:5]] == [
        "Cost today so far (USD)",
        "Cost yesterday (USD)",
        "Requests today so far",
        "Requests yesterday",
    ]
    assert {panel["type"] for panel in panels[1:5]} == {"stat"}


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
    assert target["expr"] == f"sum(increase({series}[$__range]))"


@pytest.mark.parametrize(
    ("title", "series"),
    [
        ("Cost yesterday (USD)", 'codex_lb_proxy_cost_usd_total{model=~"$model"}'),
        ("Requests yesterday", 'codex_lb_proxy_requests_total{model=~"$model",api=~"$api"}'),
    ],
)
def test_yesterday_is_the_last_point_of_the_daily_query(title: str, series: str) -> None:
    panel = by_title(title)
    (target,) = panel["targets"]
    assert (panel["timeFrom"], panel["timeTo"], panel["hideTimeOverride"]) == ("now-2d/d", "now/d", True)
    assert target["expr"] == DAILY.format(series)
    assert (target["interval"], target["range"]) == ("1d", True)


def test_cost_per_day_shows_completed_days_and_says_so() -> None:
    panel = by_title("Cost/day (USD, completed days + 7d avg)")
    assert panel["timeTo"] == "now/d"
    bar, line = panel["targets"]
    assert bar["expr"] == by_title("Cost yesterday (USD)")["targets"][0]["expr"]
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
