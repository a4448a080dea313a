"""Every planted fault is found, under its own rule, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from prometheus.config import RuleConfig
from prometheus.lint import exposition
from prometheus.lint.catalogue import RULES
from prometheus.lint.finding import Place
from prometheus.lint.linting import lint, world
from prometheus.lint.query import Query
from prometheus.lint.sources.reading import sources

FAULTS = Path(__file__).parent.parent / "faults"
WHOLE = {"unused-record", "unused-family", "stale-left-out", "unreadable-file"}
"""Rules that only a file, or a whole set of files, can break."""


def planted(file: str) -> Iterator[tuple[Query, str]]:
    """Every query of a file, and the rule that it says it breaks."""
    path = FAULTS / file
    (source,) = sources([path])
    for query in source.queries:
        if path.suffix == ".yml":
            (group,) = yaml.safe_load(path.read_text())["groups"]
            rules = {
                rule.get("record", rule.get("alert")): rule["labels"]["planted"] for rule in group["rules"]
            }
            yield query, rules[query.place.panel]
        else:
            title = query.place.panel.removeprefix("variable ").removeprefix("annotation ")
            yield query, title.partition(":")[0]


ALL = [(q, r) for file in ("dashboard.json", "rules.yml", "page.md") for q, r in planted(file)]


def found(*files: str) -> list[tuple[Place, str]]:
    return [
        (finding.place, finding.complaint.rule)
        for finding in lint(sources([FAULTS / file for file in files]), world(RuleConfig()))
    ]


@pytest.fixture(scope="module")
def findings() -> dict[Place, set[str]]:
    rules: dict[Place, set[str]] = {}
    for file in ("dashboard.json", "rules.yml", "page.md"):
        for place, rule in found(file):
            rules.setdefault(place, set()).add(rule)
    return rules


def test_there_are_many() -> None:
    faults = [rule for _, rule in ALL if rule in RULES]
    assert len(faults) >= 70
    assert set(faults) == set(RULES) - WHOLE


@pytest.mark.parametrize(("query", "rule"), ALL, ids=lambda v: v.place.panel if isinstance(v, Query) else v)
def test_a_fault_is_found_and_nothing_else(query: Query, rule: str, findings: dict[Place, set[str]]) -> None:
    assert findings.get(query.place, set()) == ({rule} if rule in RULES else set())


def test_a_finding_names_its_line() -> None:
    for place, _ in found("dashboard.json", "page.md"):
        text = (FAULTS / Path(place.file).name).read_text().splitlines()[place.line - 1]
        assert "codex_lb" in text or "up" in text or "histogram_quantile" in text or "http" in text


def test_recorded_and_never_asked_for() -> None:
    unused = [place.panel for place, rule in found("whole") if rule == "unused-record"]
    assert unused == ["api:codex_lb_proxy_requests:rate5m"]


def test_exported_and_never_shown() -> None:
    """A family is looked at where a recorded name leads to it, over two rules; and where a part of it is."""
    held = world(RuleConfig())
    reasons = [
        finding.complaint.reason.split()[0]
        for finding in lint(sources([FAULTS / "whole"]), held)
        if finding.complaint.rule == "unused-family"
    ]
    shown = {"codex_lb_proxy_cost_usd_total", "codex_lb_proxy_latency_ms"}
    assert held.exported is not None
    assert set(reasons) == held.exported - shown - held.left_out.keys()


def foreign() -> list[str]:
    document = json.loads((FAULTS / "foreign/dashboard.json").read_text())
    return [panel["title"] for panel in document["dashboard"]["rows"][0]["panels"]]


def test_others_files_are_held_against_their_own_scrape() -> None:
    schema = exposition.load(str(FAULTS / "foreign/scrape.txt"))
    given = sources([FAULTS / "foreign/dashboard.json"])
    found = [(f.place.panel, f.complaint.rule) for f in lint(given, world(RuleConfig(), schema))]
    assert found == [(title, title.partition(":")[0]) for title in foreign()]


def test_without_a_scrape_nothing_is_said_about_names_and_labels() -> None:
    rules = {rule for _, rule in found("foreign")}
    assert rules == {"counter-without-rate", "empty-division"}
