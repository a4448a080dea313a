"""Every dashboard as a resource of Grafana 13: nothing is lost, and Grafana's own models know all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboardv2 import Dashboard
from grafana_foundation_sdk.models.folderv1 import Folder
from grafana_foundation_sdk.models.resource import Manifest

from dashboards.__main__ import main
from dashboards.build import dashboards
from dashboards.kit.plain import without
from dashboards.kit.resources import resource
from prometheus import addresses
from prometheus.config import RuleConfig
from tests.dashboards.test_schema import lost

BUILT = dashboards(RuleConfig())
RESOURCES = {name: resource(dashboard) for name, dashboard in BUILT.items()}

plugins.register_default_plugins()


class Encoder(JSONEncoder):
    """The SDK (0.0.21) reads a panel's type and version into sets of one."""

    def default(self, o: Any) -> Any:
        return next(iter(o)) if isinstance(o, set) else super().default(o)


def through(model: Any, value: Any) -> Any:
    return json.loads(Encoder().encode(model.from_json(value)))


def steps(value: Any) -> Iterator[Any]:
    """Of all thresholds."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if key == "steps":
            yield from inner
        elif isinstance(inner, dict | list):
            yield from steps(inner)


def unknown(spec: Any) -> list[str]:
    """Paths that the SDK loses; it knows queries of panels, not those of variables."""
    paths = lost(spec, through(Dashboard, spec))
    return [path for path in paths if not re.fullmatch(r"\.variables\[\d+\]\.spec\.query\.spec\.query", path)]


@pytest.mark.parametrize("name", RESOURCES)
def test_no_key_is_unknown_to_grafana_13(name: str) -> None:
    made = RESOURCES[name]
    assert list(lost(made, through(Manifest, made))) == []
    assert unknown(made["spec"]) == []


def test_the_round_trip_would_notice() -> None:
    broken = json.loads(json.dumps(RESOURCES["overview"]["spec"]))
    broken["elements"]["panel-2"]["spec"]["subtitel"] = "typo"
    broken["timeSettings"]["auto_refresh"] = "1m"
    found = [path.rsplit(".", 1)[-1] for path in unknown(broken)]
    assert found == ["subtitel", "auto_refresh"]


@pytest.mark.parametrize("name", BUILT)
def test_both_schemas_show_the_same_panels_in_the_same_places(name: str) -> None:
    spec = RESOURCES[name]["spec"]
    panels = {p["id"]: p for p in BUILT[name]["panels"] if p["type"] != "row"}
    elements = {element["spec"]["id"]: element["spec"] for element in spec["elements"].values()}
    assert elements.keys() == panels.keys()
    for id, panel in panels.items():
        element = elements[id]
        assert (element["title"], element["vizConfig"]["group"]) == (panel["title"], panel["type"])
        queries = [query["spec"] for query in element["data"]["spec"]["queries"]]
        assert [query["refId"] for query in queries] == [target["refId"] for target in panel["targets"]]
        for query, target in zip(queries, panel["targets"], strict=True):
            assert list(lost(query["query"]["spec"], target)) == []
            assert query["query"]["datasource"]["name"] == target["datasource"]["uid"]
        look = element["vizConfig"]["spec"]
        # Grafana's own types, npm's @grafana/schema 13.2, want overrides, and a value in each step.
        assert without(look, set())["fieldConfig"] == {"overrides": []} | panel["fieldConfig"]
        assert look["options"] == panel["options"]
        assert all("value" in step for step in steps(look["fieldConfig"]))
        options = element["data"]["spec"]["queryOptions"]
        assert all(options.get(key) == panel.get(key) for key in ("timeFrom", "interval", "maxDataPoints"))
    placed = []
    top = 0
    for row in spec["layout"]["spec"]["rows"]:
        top += 1
        items = [item["spec"] for item in row["spec"]["layout"]["spec"]["items"]]
        placed += [(i["element"]["name"], i["x"], top + i["y"], i["width"], i["height"]) for i in items]
        top += max(item["y"] + item["height"] for item in items)
    assert placed == [
        (f"panel-{id}", *(panel["gridPos"][key] for key in ("x", "y", "w", "h")))
        for id, panel in panels.items()
    ]


@pytest.mark.parametrize("name", BUILT)
def test_variables_and_annotations_ask_the_same(name: str) -> None:
    spec = RESOURCES[name]["spec"]
    for variable, before in zip(spec["variables"], BUILT[name]["templating"]["list"], strict=True):
        made = variable["spec"]
        keys = ("name", "includeAll", "allValue", "auto_count", "auto_min")
        assert {key: made.get(key) for key in keys} == {key: before.get(key) for key in keys}
        if before["type"] == "query":
            assert made["query"]["spec"]["query"] == before["query"]
    for mark, before in zip(spec["annotations"], BUILT[name]["annotations"]["list"], strict=True):
        asked = mark["spec"]["query"]["spec"]
        assert list(lost(asked, before["target"])) == []


def test_a_folder_that_git_sync_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--schema", "v2", "--out", str(tmp_path)], {}) == 0
    folder = tmp_path / "git-sync" / addresses.FOLDER_TITLE
    assert f"commit {tmp_path / 'git-sync'}" in capsys.readouterr().out
    files = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in folder.iterdir()}
    described = files.pop("_folder.json")
    assert through(Manifest, described) == described
    assert through(Folder, described["spec"]) == described["spec"] == {"title": "Quotascope"}
    assert {made["metadata"]["name"] for made in files.values()} == {d["uid"] for d in BUILT.values()}
    assert {(made["apiVersion"], made["kind"]) for made in files.values()} == {
        ("dashboard.grafana.app/v2", "Dashboard")
    }
    assert not (tmp_path / "dashboards").exists()
