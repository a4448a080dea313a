"""What every panel and every dashboard must have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from string import ascii_uppercase
from typing import Any

import pytest

from dashboards.build import DASHBOARDS, dashboards
from dashboards.kit.frame import SCHEMA_VERSION, TAG
from metrics import exporter, proxy
from prometheus import addresses
from prometheus.config import RuleConfig
from tests.support.cases import each

BUILT = dashboards(RuleConfig())
PANELS = [panel for dashboard in BUILT.values() for panel in dashboard["panels"] if panel["type"] != "row"]
UIDS = {value for name, value in vars(addresses).items() if name.isupper() and not name.startswith("FOLDER")}


def nulls(value: Any, path: str = "") -> Iterator[str]:
    if value is None:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield from nulls(inner, f"{path}.{key}")
    for number, inner in enumerate(value if isinstance(value, list) else ()):
        yield from nulls(inner, f"{path}[{number}]")


@each("panel", PANELS)
def test_a_panel_says_what_it_counts_in_which_unit_and_why_it_may_be_empty(panel: dict[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    assert len(panel["description"]) > 40
    assert defaults["unit"]
    if (
        panel["type"] == "table" and len(panel["targets"]) > 1
    ) or "noValue" not in defaults:  # up to 11.3 it would stand in cells and at ticks
        assert defaults.get("noValue", "-") == "-"
        assert re.search(r" Empty: .{10,}\.$", panel["description"])
    else:
        assert len(defaults["noValue"]) > 10
    assert isinstance(defaults.get("thresholds", {"steps": []})["steps"], list)


@each("panel", [panel for panel in PANELS if panel["type"] == "stat"])
def test_why_a_number_is_missing_can_be_read(panel: dict[str, Any]) -> None:
    """Grafana makes the text of a stat as small as it takes to fit."""
    assert len(panel["fieldConfig"]["defaults"]["noValue"]) <= 8 * panel["gridPos"]["w"]


@each("panel", PANELS)
def test_a_target_leaves_nothing_to_chance(panel: dict[str, Any]) -> None:
    assert [target["refId"] for target in panel["targets"]] == list(ascii_uppercase[: len(panel["targets"])])
    for target in panel["targets"]:
        assert target["range"] is not target["instant"]
        assert target["intervalFactor"] == 1
        assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert target["legendFormat"]


@each("panel", PANELS)
def test_only_lines_choose_their_number_of_points(panel: dict[str, Any]) -> None:
    """A day's or an hour's bar must not depend on it, and a stat or table needs one point."""
    line = panel["type"] == "timeseries" and panel["fieldConfig"]["defaults"]["custom"]["drawStyle"] == "line"
    assert ("maxDataPoints" in panel) == line


@each("panel", PANELS)
def test_numbers_are_the_last_ones(panel: dict[str, Any]) -> None:
    if "reduceOptions" in panel["options"]:
        assert panel["options"]["reduceOptions"] == {"calcs": ["lastNotNull"], "fields": "", "values": False}


@each("panel", PANELS)
def test_lines_look_as_they_are_described(panel: dict[str, Any]) -> None:
    """In a stack, a part that is 0 would draw its line over the top of all others."""
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    if custom.get("drawStyle") == "line":
        assert (custom["lineWidth"] == 0) is (custom["stacking"]["mode"] == "normal")
        dashes = "custom.lineStyle" in str(panel["fieldConfig"]["overrides"])
        limited = custom["thresholdsStyle"]["mode"] == "dashed"
        assert (dashes or limited) or "dashed" not in panel["description"]


@each("panel", PANELS)
def test_rates_never_have_shorter_windows_than_the_rules(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        if "$__rate_interval" in target["expr"]:
            assert panel["interval"] == "5m"  # Grafana 9 reads nothing else for it


@pytest.mark.parametrize("panel", PANELS)
def test_why_a_panel_is_empty_is_never_written_in_an_alarming_colour(panel: dict[str, Any]) -> None:
    """Grafana takes the colour of no value, and of the least one."""
    if panel["type"] in ("stat", "bargauge"):
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert steps[0]["color"] in ("text", "#464c54")
        assert [step["value"] for step in steps[1:]] == sorted({step["value"] for step in steps[1:]})


@pytest.mark.parametrize("name", BUILT)
def test_a_dashboard_is_ours_current_and_fixed(name: str) -> None:
    dashboard = BUILT[name]
    assert dashboard["schemaVersion"] == SCHEMA_VERSION
    assert dashboard["editable"] is False
    assert TAG in dashboard["tags"]
    assert dashboard["timezone"] == ""
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
    assert set(uids) == UIDS
    assert len(uids) == len(DASHBOARDS) == len(UIDS)


@each("panel", PANELS)
def test_links_lead_to_dashboards_that_exist_or_out_of_grafana(panel: dict[str, Any]) -> None:
    for link in (*panel["links"], *panel["fieldConfig"]["defaults"].get("links", ())):
        inside = re.match(r"/d/([^?]+)\?\$\{__url_time_range\}&", link["url"])
        assert (inside[1] in UIDS) if inside else re.match("https?://", link["url"])
        assert link["targetBlank"] is (inside is None)


@pytest.mark.parametrize("name", BUILT)
def test_every_dashboard_leads_on(name: str) -> None:
    """To the others by a list, and from most of its panels to where the answer continues."""
    (others,) = BUILT[name]["links"]
    assert (others["type"], others["tags"], others["keepTime"]) == ("dashboards", [TAG], True)
    panels = [panel for panel in BUILT[name]["panels"] if panel["type"] != "row"]
    assert sum(bool(panel["links"]) for panel in panels) > len(panels) / 2


@pytest.mark.parametrize("name", BUILT)
def test_every_variable_is_used(name: str) -> None:
    asked = [target["expr"] for panel in BUILT[name]["panels"] for target in panel.get("targets", ())]
    for variable in BUILT[name]["templating"]["list"]:
        if variable["type"] != "datasource":
            assert any(f"${variable['name']}" in expr for expr in asked), variable["name"]


@pytest.mark.parametrize("name", BUILT)
def test_resets_are_marked_where_one_looks_for_quota(name: str) -> None:
    """Of a thousand accounts one resets every ten minutes: elsewhere lines would hide the panels."""
    marks = {mark["name"]: mark["enable"] for mark in BUILT[name]["annotations"]["list"]}
    assert marks == {
        "Deploys": True,
        "Restarts of the proxy": True,
        "Quota resets": name in ("accounts", "activity"),
    }


@pytest.mark.parametrize("panel", PANELS)
def test_no_panel_reads_every_sample_of_each_account_or_key(panel: dict[str, Any]) -> None:
    """A week of a thousand accounts has forty million samples: over long ranges recorded hours are added up,
    or counters are read some hundred times. `bench dashboards` says what it costs."""
    many = [f for f in (*proxy.FAMILIES, *exporter.FAMILIES) if {"account_id", "api_key"} & {*f.labels}]
    names = "|".join(f.bucket if f.kind == "histogram" else f.name for f in many)
    whole = re.compile(rf"\b({names})(\{{[^}}]*\}})?\[\$__range\]")
    found = [target["expr"] for target in panel.get("targets", ()) if whole.search(target["expr"])]
    assert found == []
