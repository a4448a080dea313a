from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dashboards.build import dashboards
from dashboards.delivery.changes import differences
from dashboards.delivery.deploy import compare, deploy, table
from dashboards.delivery.grafana import Grafana, Retries
from dashboards.errors import GrafanaError
from dashboards.kit.frame import TAG
from prometheus.addresses import FOLDER
from prometheus.config import RuleConfig

pytestmark = pytest.mark.slow

BUILT = dict(dashboards(RuleConfig()))
UIDS = {dashboard["uid"] for dashboard in BUILT.values()}
Connect = Callable[[], Grafana]


@pytest.fixture
def grafana(any_grafana: Connect) -> Iterator[Grafana]:
    """With nothing of ours in it."""
    connected = any_grafana()
    clean(connected)
    yield connected
    clean(connected)


def clean(grafana: Grafana) -> None:
    for uid in {*UIDS, *grafana.tagged(TAG, FOLDER), "somebody-elses"}:
        grafana.delete(uid)


def actions(found: Any) -> dict[str, str]:
    return {change.uid: change.action for change in found}


def test_the_first_deployment_creates_everything_in_the_folder(grafana: Grafana) -> None:
    assert actions(deploy(grafana, BUILT, prune=True)) == dict.fromkeys(UIDS, "create")
    assert grafana.folder_title(FOLDER) == "Quotascope"
    for uid in UIDS:
        stored = grafana.dashboard(uid)
        assert stored is not None
        assert (stored.folder, stored.provisioned) == (FOLDER, False)


def test_the_second_deployment_writes_nothing(grafana: Grafana) -> None:
    deploy(grafana, BUILT, prune=True)
    before = {uid: grafana.dashboard(uid) for uid in UIDS}
    assert actions(deploy(grafana, BUILT, prune=True)) == dict.fromkeys(UIDS, "unchanged")
    assert {uid: grafana.dashboard(uid) for uid in UIDS} == before  # versions too


def test_a_change_made_by_hand_is_drift_and_is_undone(grafana: Grafana) -> None:
    deploy(grafana, BUILT, prune=True)
    stored = grafana.dashboard("quotascope-overview")
    assert stored is not None
    edited = copy.deepcopy(stored.dashboard)
    edited["panels"][1]["targets"][0]["expr"] = "vector(0)"
    grafana.save(edited, FOLDER, "by hand")
    (change,) = [c for c in compare(grafana, BUILT) if c.is_drift]
    assert (change.uid, change.action) == ("quotascope-overview", "update")
    (detail,) = change.details
    assert detail.startswith("panels[Cost today so far (USD)].targets[0].expr: 'vector(0)' -> 'sum(")
    deploy(grafana, BUILT, prune=True)
    assert not any(c.is_drift for c in compare(grafana, BUILT))


def test_long_texts_are_shown_from_where_they_differ() -> None:
    before = "sum(increase(codex_lb_proxy_cost_usd_total{model=~'$model'}[1h])) and on () up"
    (found,) = differences({"expr": before}, {"expr": before.replace("1h", "1d")})
    assert found.startswith("expr: \"...l{model=~'$model'}[1h]))")
    assert "[1d]))" in found
    assert list(differences({"title": "a" * 50}, {"title": "a" * 51})) == [
        f"title: '...{'a' * 20}' -> '...{'a' * 21}'"
    ]


def test_only_ours_are_pruned(grafana: Grafana) -> None:
    deploy(grafana, BUILT, prune=True)
    theirs = {"uid": "somebody-elses", "title": "Somebody else's", "tags": ["api"], "panels": []}
    grafana.save(theirs, FOLDER, "theirs")
    fewer = {name: dashboard for name, dashboard in BUILT.items() if name != "pipeline"}
    assert actions(compare(grafana, fewer))["quotascope-pipeline"] == "prune"
    deploy(grafana, fewer, prune=False)
    assert grafana.dashboard("quotascope-pipeline") is not None
    deploy(grafana, fewer, prune=True)
    assert grafana.dashboard("quotascope-pipeline") is None
    assert grafana.dashboard("somebody-elses") is not None
    assert set(grafana.tagged(TAG, FOLDER)) == UIDS - {"quotascope-pipeline"}


def test_a_copy_outside_of_our_folder_is_not_ours(grafana: Grafana) -> None:
    """Who saves one of ours under another name keeps its tag."""
    deploy(grafana, BUILT, prune=True)
    grafana.save(BUILT["overview"] | {"uid": "somebody-elses", "title": "My overview"}, "", "copied")
    assert "somebody-elses" not in actions(compare(grafana, BUILT))


def test_a_moved_dashboard_is_drift(grafana: Grafana) -> None:
    deploy(grafana, BUILT, prune=True)
    grafana.save(BUILT["tokens"], "", "moved")
    (change,) = [c for c in compare(grafana, BUILT) if c.is_drift]
    assert change.details[0] == f"folder: none -> {FOLDER}"


def test_a_folder_with_another_title_is_renamed(local: Any) -> None:
    server, url = local
    grafana = Grafana(url, "glsa_test_token")
    grafana.create_folder(FOLDER, "Old")
    deploy(grafana, BUILT, prune=True)
    assert server.folders[FOLDER]["title"] == "Quotascope"
    server.requests.clear()
    deploy(grafana, BUILT, prune=True)
    assert server.writes == []
    grafana.close()


def test_what_a_file_provisions_stops_the_deployment_before_it_writes(local: Any) -> None:
    server, url = local
    grafana = Grafana(url, "glsa_test_token")
    deploy(grafana, BUILT, prune=True)
    server.provisioned.add("quotascope-tokens")
    server.dashboards["quotascope-tokens"]["dashboard"]["title"] = "Old"
    server.dashboards["quotascope-overview"]["dashboard"]["title"] = "Old"
    server.requests.clear()
    with pytest.raises(GrafanaError, match="Token Usage Metrics: that Grafana reads it from a file"):
        deploy(grafana, BUILT, prune=True)
    assert server.writes == []
    grafana.close()


def test_the_table_says_what_and_why(grafana: Grafana) -> None:
    deploy(grafana, BUILT, prune=True)
    changed = BUILT | {"tokens": BUILT["tokens"] | {"title": "Other"}}
    words = {"update": "updated", "unchanged": "same"}
    lines = table(compare(grafana, changed), words).splitlines()
    assert "updated  Other  (quotascope-tokens)" in lines
    assert lines[lines.index("updated  Other  (quotascope-tokens)") + 1].strip() == (
        "title: 'Token Usage Metrics' -> 'Other'"
    )
    assert lines[0] == "same     Overview  (quotascope-overview)"


def test_from_nothing_an_editor_sees_what_would_be_and_does_it(local: Any) -> None:
    """In an empty Grafana every look is denied; only writes tell."""
    _, url = local
    grafana = Grafana(url, "glsa_test_token")
    assert actions(compare(grafana, BUILT)) == dict.fromkeys(UIDS, "create")
    assert actions(deploy(grafana, BUILT, prune=True)) == dict.fromkeys(UIDS, "create")
    grafana.create_folder(FOLDER, "Quotascope")  # answered 412: it exists
    assert actions(compare(grafana, BUILT)) == dict.fromkeys(UIDS, "unchanged")
    grafana.close()


def test_a_dashboard_that_may_not_be_written_is_named(local: Any) -> None:
    server, url = local
    grafana = Grafana(url, "glsa_test_token", Retries(()))
    deploy(grafana, BUILT, prune=True)
    server.hidden.add("quotascope-overview")
    with pytest.raises(GrafanaError, match=r"dashboard quotascope-overview: refuses the token \(HTTP 403\)"):
        deploy(grafana, BUILT, prune=True)
    grafana.close()


def test_a_panel_more_does_not_hide_what_was_done_to_another(grafana: Grafana) -> None:
    deploy(grafana, BUILT, prune=True)
    stored = grafana.dashboard("quotascope-overview")
    assert stored is not None
    edited = copy.deepcopy(stored.dashboard)
    edited["panels"][1]["targets"][0]["expr"] = "vector(0)"
    edited["panels"].append(
        {"id": 9_999, "type": "text", "title": "By hand", "gridPos": {"x": 0, "y": 999, "w": 1, "h": 1}}
    )
    grafana.save(edited, FOLDER, "by hand")
    (change,) = [c for c in compare(grafana, BUILT) if c.is_drift]
    assert change.details[0].startswith("panels[Cost today so far (USD)].targets[0].expr: 'vector(0)' -> ")
    assert change.details[1] == "panels[By hand]: there -> gone"
